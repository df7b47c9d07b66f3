"""The rules of a configuration as formulas, lowered once for all who look for doubts in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from edgenode.model.errors import Problem
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.proxy.routing import PathMap
from edgenode.rules import filter_feeds
from edgenode.rules.formulas import All, AnyOf, Evidence, Formula
from edgenode.rules.matching.contradictions import Conjunction, conjunctions
from edgenode.rules.sections import Entry, Section

if TYPE_CHECKING:
    from edgenode.config.configuration import Configuration


@frozen(eq=False)
class Rules:
    """The rules of a configuration, lowered once.

    :ivar lists: every section with rules, by its header.
    :ivar own: what each says itself, without the sections that it names.
    :ivar formulas: of those that are judged: active filters and path maps, by their header.
    :ivar apart: the same as conjunctions; without those that have too many.
    """

    configuration: Configuration
    lists: Mapping[str, Section]
    own: Mapping[str, tuple[Formula, ...]]
    formulas: Mapping[str, Formula]
    apart: Mapping[str, tuple[Conjunction, ...]] = field(init=False)

    @apart.default
    def _conjunctions(self) -> Mapping[str, tuple[Conjunction, ...]]:
        found = ((header, conjunctions(formula)) for header, formula in self.formulas.items())
        return {header: each for header, each in found if each is not None}

    @classmethod
    def of(cls, configuration: Configuration) -> Rules:
        """Of a configuration without errors."""
        lists = {header: each for header, each in configuration.written() if isinstance(each, Section)}
        lowering = configuration.lowering
        own: dict[str, tuple[Formula, ...]] = {}
        formulas: dict[str, Formula] = {}
        for header, each in lists.items():
            whole = lowering.formula(each, header)
            assert isinstance(whole, All | AnyOf)
            own[header] = whole.parts[: len(each.entries) + (each.expression is not None)]
            if isinstance(each, GlobalFilter) and each.feed is not None:
                members = configuration.contents.feeds[header.partition(" ")[2]]
                whole = filter_feeds.formula(each.feed, members, str(each.source))
            if isinstance(each, PathMap) or (isinstance(each, GlobalFilter) and each.active):
                formulas[header] = whole
        return cls(configuration, lists, own, formulas)

    @property
    def filters(self) -> Iterator[tuple[str, GlobalFilter]]:
        """The active filters by their header."""
        for header, each in self.lists.items():
            if isinstance(each, GlobalFilter) and each.active:
                yield header, each


def at(header: str, evidence: Evidence, sentence: str) -> Problem:
    """A doubt with what was written: an entry, or a part of an expression."""
    first = evidence[0] if evidence else None
    if isinstance(first, Entry):
        return Problem(header, first.key, sentence, first.value, 0)
    return Problem(header, "expression" if first else "", sentence, str(first) if first else None, 0)


def shown(evidence: Evidence) -> str:
    """Evidence in words."""
    return " and ".join(map(str, evidence))
