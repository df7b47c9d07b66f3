"""Which global filters are not certain, of an exchange of which not everything is known.

Law: a filter that is not named here is as the engine says, whatever the unknown may have been.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from attrs import define, field

from edgenode.model.exchange import Exchange
from edgenode.policy.explaining import Filters
from edgenode.rules.formulas import Computed, Formula, Leaf, Reads, every
from edgenode.rules.matching.certainty import Certainty, NotKnown, Unknown

_Reader = Callable[[Exchange], Any]
_CERTAIN: Mapping[str, Unknown] = MappingProxyType({})


@define(eq=False)
class UncertainFilters:
    """Knows of all filters what they look at, so that only those are taken apart that look at what is not known."""

    _filters: Filters
    _looks: dict[object, tuple[_Reader, set[str]]] = field(factory=dict, init=False)
    _reads: dict[str, Reads] = field(factory=dict, init=False)
    _doubtful: dict[tuple[frozenset[object], frozenset[str]], tuple[str, ...]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        for name, formula in self._filters.formulas.items():
            self._reads[name] = Reads.of(formula)
            for key, read in _looks(formula):
                self._looks.setdefault(key, (read, set()))[1].add(name)

    def depending(
        self, exchange: Exchange, matched: Collection[str], maybe: Mapping[str, Unknown] = _CERTAIN
    ) -> Mapping[str, Unknown]:
        """The filters that are not certain, each with what it depends on.

        :param exchange: with the tags that were there before the filters; it raises
            :class:`~edgenode.rules.matching.certainty.NotKnown` where something is asked that is not known.
        :param matched: the filters that the engine found to match, with anything in the unknown's place.
        :param maybe: the tags that it may have had besides, each with what that depends on.
        """
        unknown = frozenset(key for key, (read, _) in self._looks.items() if not _known(read, exchange))
        key = unknown, frozenset(maybe)
        if key not in self._doubtful:
            self._doubtful[key] = self._reached(*key)
        doubtful = self._doubtful[key]
        found: dict[str, Unknown] = {}
        possible = dict(maybe)
        sections = self._filters.filters
        sure = {tag for name in matched if name not in doubtful for tag in sections[name].tags}
        for name in doubtful:
            answer = Certainty(exchange.tagged(sure), possible).of(self._filters.formulas[name])
            if isinstance(answer, frozenset):
                found[name] = answer
                possible |= {tag: possible.get(tag, answer) | answer for tag in sections[name].tags if tag not in sure}
            elif answer:
                sure.update(sections[name].tags)
        return found

    def _reached(self, unknown: frozenset[object], maybe: frozenset[str]) -> tuple[str, ...]:
        """The filters that look at the unknown, or for such a tag, or one of such a filter, in the order of judging."""
        reached = {name for key in unknown for name in self._looks[key][1]}
        while True:
            tags = maybe.union(*(self._filters.filters[name].tags for name in reached))
            more = {name for name, reads in self._reads.items() if reads.tags & tags or (reads.computes and tags)}
            if more <= reached:
                return tuple(name for name in self._filters.order if name in reached)
            reached |= more


def _looks(formula: Formula) -> Iterator[tuple[object, _Reader]]:
    for part in every(formula):
        if isinstance(part, Leaf):
            yield part.predicate.subject.key, part.predicate.subject.read
        elif isinstance(part, Computed):
            yield part.test, part.test


def _known(read: _Reader, exchange: Exchange) -> bool:
    try:
        read(exchange)
    except (NotKnown, Exception):  # a field of an extension may fail
        return False
    return True
