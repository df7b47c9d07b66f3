"""``[global-filter]``: rule lists that tag every request they match, and may propose an action; and their stage.

Law: every active filter is judged and every tag of every filter that matches is kept; then one action is taken, the
strongest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.decision import NOTHING, Action, Decision, Reason
from edgenode.errors import InvalidValue
from edgenode.exchange import Exchange
from edgenode.policy.tagging import check_own_tag
from edgenode.rules.compiling import Entries, SectionSet, compile_sections
from edgenode.rules.sections import Section
from edgenode.rules.tags import canonical
from edgenode.settings import Reference, Word, setting


@frozen
class GlobalFilter(Section):
    """A rule list for every request of the node: tags for those that match, and an action."""

    kind: ClassVar[str] = "global-filter"

    active: bool = setting("Whether it is judged at all.", True)
    description: str = setting("What it is for; shown to people only.", "")
    tags: tuple[Word, ...] = setting(
        "Tags for the requests that it matches: words of a-z, 0-9, hyphens and colons. Other filters see them, "
        "wherever they stand in the file.",
        (),
    )
    action: Annotated[str, Reference("action")] | None = setting(
        "The action proposed for the requests that it matches; without one they are only tagged.", None
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if a tag is not in canonical form, or is an automatic tag."""
        for tag in self.tags:
            try:
                check_own_tag(tag)
            except InvalidValue as problem:
                raise InvalidValue(f"tags: {tag}: {problem.sentence}") from None


@frozen(eq=False)
class _Consequence:
    """What follows if a filter matches."""

    filter: str
    tags: frozenset[str]
    action: Action | None


@lru_cache(4096)
def _reason(filter: str, action: str, entries: Entries) -> Reason:
    """Why a filter matched; remembered, for the same entries match again and again."""
    return Reason(
        GlobalFilters.name,
        filter,
        " and ".join(map(str, entries)),
        ", ".join(dict.fromkeys(entry.annotation for entry in entries if entry.annotation)),
        action,
    )


@frozen(eq=False)
class GlobalFilters:
    """The stage that judges all global filters together."""

    name: ClassVar[str] = "global-filters"
    repeatable: ClassVar[bool] = True

    _sections: SectionSet
    _consequences: tuple[_Consequence, ...]

    @classmethod
    def of(
        cls, filters: Mapping[str, GlobalFilter], sections: Mapping[str, Section], actions: Mapping[str, Action]
    ) -> GlobalFilters:
        """Compile the active ones of these filters.

        :param filters: every filter by its name, in the order of the file.
        :param sections: the sections that they name.
        :param actions: the actions that they name, the predefined ones among them.
        :raises InvalidValue: if a section or an action is named that does not exist, or as
            :func:`edgenode.rules.compiling.compile_sections` does.
        """
        active = {name: each for name, each in filters.items() if each.active}
        for name, each in active.items():
            if each.action is not None and each.action not in actions:
                raise InvalidValue(f"the global filter {name} names an action that does not exist: {each.action}")
        compiled = compile_sections(
            tuple(active.values()), sections, [each.tags for each in active.values()], tuple(active)
        )
        return cls(
            compiled,
            tuple(
                _Consequence(name, frozenset(each.tags), None if each.action is None else actions[each.action])
                for name, each in active.items()
            ),
        )

    def decide(self, exchange: Exchange) -> Decision:
        """The tags and reasons of every filter that matches, and the strongest of their actions."""
        matching = self._sections.matching(exchange)
        if not matching:
            return NOTHING
        tags: set[str] = set()
        reasons: list[Reason] = []
        winner: Action | None = None
        for index, entries in matching:
            consequence = self._consequences[index]
            tags |= consequence.tags
            action = consequence.action
            reasons.append(_reason(consequence.filter, "" if action is None else action.name, entries))
            if action is not None and (winner is None or action.strength > winner.strength):
                winner = action
        if winner is not None:
            tags.add(canonical(f"action:{winner.name}"))
        return Decision(frozenset(tags), tuple(reasons), winner)
