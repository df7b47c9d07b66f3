"""Global filters taken apart for one exchange, one by one, in the order in which they come to be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from edgenode.model.exchange import Exchange
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import Formula, Reads
from edgenode.rules.lists import Members
from edgenode.rules.matching.explaining import Trace, trace, trace_section
from edgenode.rules.matching.ordering import by_tags
from edgenode.rules.section_formulas import SectionFormulas


@frozen(eq=False)
class Filters:
    """All active filters, each with its formula.

    :ivar filters: by name, in the order of the file.
    :ivar formulas: likewise.
    :ivar order: their names in the order of judging.
    """

    filters: Mapping[str, GlobalFilter]
    formulas: Mapping[str, Formula]
    order: Sequence[str]
    _definitions: Definitions

    @classmethod
    def of(cls, filters: Mapping[str, GlobalFilter], definitions: Definitions, feeds: Mapping[str, Members]) -> Filters:
        """Of filters that can be compiled: see :meth:`edgenode.policy.globalfilters.GlobalFilters.of`."""
        active = {name: each for name, each in filters.items() if each.active}
        known = SectionFormulas(definitions)
        formulas = {name: each.formula(name, known, feeds) for name, each in active.items()}
        names = list(active)
        reads = [Reads.of(formula) for formula in formulas.values()]
        computing = [index for index, each in enumerate(reads) if each.computes]
        sets = [each.tags for each in active.values()]
        order = by_tags(names, [each.tags for each in reads], sets, computing)
        return cls(active, formulas, [names[index] for index in order], definitions)

    def traces(self, exchange: Exchange) -> Mapping[str, Trace]:
        """What became of every filter, in the order of judging.

        :param exchange: with the tags that were there before.
        """
        found = {}
        tags: set[str] = set()
        for name in self.order:
            found[name] = self._trace(name, exchange.tagged(tags))
            if found[name].holds:
                tags.update(self.filters[name].tags)
        return found

    def _trace(self, name: str, exchange: Exchange) -> Trace:
        each = self.filters[name]
        if each.feed is not None:
            return trace(self.formulas[name], exchange)
        return trace_section(each, self._definitions, exchange)
