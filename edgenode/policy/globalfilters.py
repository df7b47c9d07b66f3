"""``[global-filter]``: rule lists that tag every request they match, and may propose an action; and their stage.

Law: every active filter is judged and every tag of every filter that matches is kept; then one action is taken, the
strongest. An action that exempts from stages stands beside it, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange
from edgenode.model.settings import Reference, Tag, Word, setting
from edgenode.policy.actions import taken_tags
from edgenode.policy.challenge import PASSED, Challenge, for_humans
from edgenode.policy.tagging import HUMAN, MESSAGE, check_own_tag
from edgenode.rules import filter_feeds
from edgenode.rules.definitions import Definitions
from edgenode.rules.feeds import Feed
from edgenode.rules.filter_feeds import FeedCategory
from edgenode.rules.formulas import Evidence, Formula, needs_of, requires_tag
from edgenode.rules.lists import Members
from edgenode.rules.matching.compiling import FormulaSet, compile_formulas
from edgenode.rules.matching.engines import Start, Workshop, at_once
from edgenode.rules.section_formulas import SectionFormulas
from edgenode.rules.sections import Section


@frozen
class GlobalFilter(Section, Feed):
    """A rule list for every request of the node: tags for those that match, and an action. With a source the lines that
    come from there are one more of its rules: any of them."""

    kind: ClassVar[str] = "global-filter"

    active: bool = setting("Whether the filter is evaluated.", True)
    name: str = setting(
        "The filter's name for people, with spaces: ``Scripts that write``. Events and ``explain`` show it beside the "
        "name of the section. Nothing refers to it, and no tag is made of it.",
        "",
    )
    description: str = setting("What it is for; shown to people only.", "")
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for the requests that it matches: words of a-z, 0-9, hyphens and colons. Other filters can "
        "match them, wherever they are in the file.",
        (),
    )
    action: Annotated[str, Reference("action")] | None = setting(
        "The action proposed for the requests that it matches; without one they are only tagged.", None
    )
    feed: FeedCategory | None = setting(
        "The category of the values of its source, such as ``ip`` or ``header.user-agent``.", None
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if a tag is not in canonical form, or is an automatic tag; if a source is without the
        category of its lines, or entries of that category have to match besides, which are not negated; if its name is
        more than a line.
        """
        if len(self.name) > _LONGEST_NAME or not self.name.isprintable():
            raise InvalidValue(f"a name is one line of up to {_LONGEST_NAME} characters", which="name")
        if self.sources and self.feed is None:
            raise InvalidValue("a source needs feed, the category of its lines, such as ip", which="source")
        if not self.sources and self.feed is not None:
            raise InvalidValue("has no meaning without a source", which="feed")
        alike = [each for each in self.entries if self.feed is not None and each.key == str(self.feed)]
        if self.relation == "and" and not all(each.negated for each in alike):
            sentence = "entries of the category of its feed, beside a source, are for relation = or; with ! they except"
            raise InvalidValue(sentence, which="relation")
        for tag in self.tags:
            try:
                check_own_tag(tag)
            except InvalidValue as problem:
                raise InvalidValue(f"tags: {tag}: {problem.sentence}") from None

    @property
    def proposes(self) -> tuple[str, ...]:
        """The names of the actions that can be taken because of it."""
        return (self.action,) if self.active and self.action is not None else ()

    @property
    def empty(self) -> bool:
        """Whether it has no condition at all."""
        return self.feed is None and super().empty

    def looks_at(self, name: str, known: SectionFormulas) -> frozenset[str]:
        """What its rules and its feed look at: see :attr:`edgenode.rules.fields.Field.needs`.

        :param name: its own.
        :param known: makes the formula of its own rules.
        """
        fed = frozenset[str]() if self.feed is None else self.feed.needs(self.readings)
        return fed | needs_of(known.formula(self, name))

    def of_messages(self, name: str, known: SectionFormulas) -> bool:
        """Whether it can certainly be true of messages of WebSockets alone, whatever its feed holds; the parameters are
        those of :meth:`looks_at`."""
        return (self.feed is None or self.relation == "and") and requires_tag(known.formula(self, name), MESSAGE)

    def formula(self, name: str, known: SectionFormulas, feeds: Mapping[str, Members]) -> Formula:
        """What it comes down to: its own rules and its feed, joined by its relation.

        :param name: its own.
        :param known: makes the formula of its own rules.
        :param feeds: what the filters with a source hold, by the filter's name.
        """
        own = known.formula(self, name)
        if self.feed is None:
            return own
        return filter_feeds.joined(own, filter_feeds.formula(self.feed, feeds[name], self.whence, self.readings))


_LONGEST_NAME = 200
_NO_STAGES: frozenset[str] = frozenset()


@frozen(eq=False)
class _Consequence:
    """What follows if a filter matches.

    :ivar filter: the name of the filter.
    :ivar display_name: what people call it.
    :ivar tags: what it puts on.
    :ivar action: the action that competes with those of others.
    :ivar strength: that of this action.
    :ivar named: the name of its action, whether or not that competes.
    :ivar exempt: the stages that are left out.
    :ivar taken: the tags that are put on besides if its action is taken.
    :ivar reasons: the reason for each evidence that it can have, by the ``id`` of that. Those have to be kept alive.
    :ivar alone: likewise the decision if no other filter matches.
    :ivar note: what its reasons say besides.
    """

    filter: str
    display_name: str
    tags: frozenset[str]
    action: Action | None
    strength: int
    named: str
    exempt: frozenset[str]
    taken: frozenset[str]
    reasons: Mapping[int, Reason]
    alone: Mapping[int, Decision]

    note: str

    @classmethod
    def of(
        cls, name: str, filter: GlobalFilter, action: Action | None, ways: Iterable[Evidence], note: str = ""
    ) -> _Consequence:
        """What follows if a filter matches.

        :param ways: every evidence that it can have, as far as that is known beforehand.
        :param note: what its reasons say besides.
        """
        tags, named = frozenset[str](filter.tags), "" if action is None else action.name
        reasons = {id(way): _reason(name, filter.name, named, way, note) for way in ways}
        exempt, taken = _NO_STAGES, frozenset[str]()
        if action is not None and action.exempts:
            tags, exempt, action = tags | action.tags, action.exempts, None
        elif action is not None:
            taken = taken_tags(action)
        alone = {way: Decision(tags | taken, (reason,), action, (), exempt) for way, reason in reasons.items()}
        strength = 0 if action is None else action.strength
        return cls(name, filter.name, tags, action, strength, named, exempt, taken, reasons, alone, note)

    def reason(self, evidence: Evidence) -> Reason:
        """Why it matched, where that was not known beforehand."""
        return _reason(self.filter, self.display_name, self.named, evidence, self.note)


def _reason(filter: str, display_name: str, action: str, evidence: Evidence, note: str) -> Reason:
    """Why a filter matched."""
    return Reason(
        GlobalFilters.name,
        filter,
        " and ".join(map(str, evidence)),
        ", ".join(dict.fromkeys(each for each in (*(one.annotation for one in evidence), note) if each)),
        action,
        display_name,
    )


@frozen(eq=False)
class GlobalFilters:
    """The stage that judges all global filters together.

    :ivar needs: what the filters and their actions look at besides the head of a request.
    :ivar needs_of_requests: the same without the filters that can be true of messages of WebSockets alone.
    """

    name: ClassVar[str] = "global-filters"

    _formulas: FormulaSet
    _consequences: tuple[_Consequence, ...]
    needs: frozenset[str]
    needs_of_requests: frozenset[str]
    _for_humans: tuple[_Consequence, ...] | None = None

    @classmethod
    def of(
        cls,
        filters: Mapping[str, GlobalFilter],
        definitions: Definitions,
        actions: Mapping[str, Action],
        feeds: Mapping[str, Members] = MappingProxyType({}),
        known: SectionFormulas | None = None,
        before: GlobalFilters | None = None,
        start: Start = at_once,
    ) -> GlobalFilters:
        """Compile the active ones of these filters.

        :param filters: every filter by its name, in the order of the file.
        :param definitions: the sections and lists that they name.
        :param actions: the actions that they name, the predefined ones among them.
        :param feeds: what the filters with a source hold, by the filter's name.
        :param known: formulas with these definitions that have been made before.
        :param before: those that these succeed; what has not changed since is not compiled again.
        :param start: how the compiling of large sets of regular expressions is begun.
        :raises InvalidValue: if something is named that does not exist, or as
            :func:`edgenode.rules.section_formulas.formula_of` and
            :func:`edgenode.rules.matching.compiling.compile_formulas` do.
        """
        active = {name: each for name, each in filters.items() if each.active}
        for name, each in active.items():
            if each.action is not None and each.action not in actions:
                raise InvalidValue(f"the global filter {name} names an action that does not exist: {each.action}")
        known = known or SectionFormulas(definitions)
        formulas = [each.formula(name, known, feeds) for name, each in active.items()]
        workshop = Workshop({} if before is None else before._formulas.automata, start)
        compiled = compile_formulas(formulas, [each.tags for each in active.values()], tuple(active), workshop)
        consequences = [
            _Consequence.of(name, each, None if each.action is None else actions[each.action], ways)
            for (name, each), ways in zip(active.items(), compiled.ways, strict=True)
        ]
        humans = None
        if any(isinstance(each.action, Challenge) for each in consequences):
            humans = tuple(
                _Consequence.of(each.filter, active[each.filter], for_humans(each.action), ways, PASSED)
                if isinstance(each.action, Challenge)
                else each
                for each, ways in zip(consequences, compiled.ways, strict=True)
            )
        each_needs = [
            needs if consequence.action is None else needs | consequence.action.needs
            for needs, consequence in zip(compiled.each_needs, consequences, strict=True)
        ]
        of_requests = (
            needs
            for needs, (name, each) in zip(each_needs, active.items(), strict=True)
            if not each.of_messages(name, known)
        )
        nothing = frozenset[str]()
        return cls(compiled, tuple(consequences), nothing.union(*each_needs), nothing.union(*of_requests), humans)

    @property
    def pieces(self) -> list[object]:
        """Most of what it is made of, in many pieces: who frees a large one holds those, and lets them go by and by."""
        return [*self._formulas.pieces, *self._consequences]

    def decide(self, exchange: Exchange) -> Decision:
        """The tags and reasons of every filter that matches, and the strongest of their actions with its tags."""
        matching = self._formulas.matching(exchange)
        if not matching:
            return NOTHING
        consequences = self._consequences
        if self._for_humans is not None and HUMAN in exchange.tags:
            consequences = self._for_humans
        if len(matching) == 1:
            index, evidence = matching[0]
            alone = consequences[index].alone.get(id(evidence))
            if alone is not None:
                return alone
        tags: list[frozenset[str]] = []
        reasons: list[Reason] = []
        exempt = _NO_STAGES
        winner: _Consequence | None = None
        for index, evidence in matching:
            consequence = consequences[index]
            tags.append(consequence.tags)
            reason = consequence.reasons.get(id(evidence))
            reasons.append(consequence.reason(evidence) if reason is None else reason)
            if consequence.exempt:
                exempt |= consequence.exempt
            if consequence.action is not None and (winner is None or consequence.strength > winner.strength):
                winner = consequence
        if winner is None:
            return Decision(frozenset().union(*tags), tuple(reasons), None, (), exempt)
        return Decision(winner.taken.union(*tags), tuple(reasons), winner.action, (), exempt)
