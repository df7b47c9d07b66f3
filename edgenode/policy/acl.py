"""``[acl-profile]``: six lists of tags that say who is let in; and the stage that judges by them.

Law: what becomes of a request is the first row of :data:`ROWS` that applies, and nothing else. A profile that is not
active does nothing at all. Where no challenge can be sent, who would get one is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange
from edgenode.model.settings import Reference, Tag, Word, setting
from edgenode.policy.actions import taken_tags
from edgenode.policy.challenge import PASSED, Passed, for_humans
from edgenode.policy.selection import Selection
from edgenode.policy.tagging import HUMAN
from edgenode.rules.tags import canonical

LISTS = ("enforce-deny", "bypass", "allow-bot", "deny-bot", "allow", "deny")
"""The lists of a profile."""

CHALLENGE = "challenge"
"""The name of the action that a requester gets that may be a program."""

_CONTENT_FILTER = frozenset(("content-filter",))
_Tags = tuple[Annotated[Word, Tag(own=False)], ...]


@frozen
class Row:
    """A row of the decision table.

    :ivar matching: the lists that have a tag of the request.
    :ivar others: the lists that have none; ``human`` for a requester that is not known to be human.
    :ivar list: the list that the reason names.
    :ivar becomes: what becomes of the request: ``block`` (the action of the profile), ``challenge``, ``pass``, or
        ``bypass``: it passes, and the content filter is left out.
    """

    matching: frozenset[str]
    others: frozenset[str]
    list: str
    becomes: str


def _row(matching: str, others: str, list: str, becomes: str) -> Row:
    return Row(frozenset(matching.split()), frozenset(others.split()), list, becomes)


ROWS: tuple[Row, ...] = (
    #    lists that match    and that do not  the reason's list  what becomes of it
    _row("enforce-deny",     "",              "enforce-deny",    "block"),
    _row("bypass",           "",              "bypass",          "bypass"),
    _row("allow-bot deny",   "allow",         "deny",            "block"),
    _row("allow-bot",        "",              "allow-bot",       "pass"),
    _row("deny-bot deny",    "allow human",   "deny-bot",        "block"),
    _row("deny-bot",         "human",         "deny-bot",        "challenge"),
    _row("allow",            "",              "allow",           "pass"),
    _row("deny",             "",              "deny",            "block"),
)  # fmt: skip
"""The decision table: the first row that applies is taken; if none does, the request passes."""


@frozen
class ACLProfile:
    """Who is let in, by tags: six lists, for the path maps that name it in ``acl-profile``.

    A list matches if the request has any of its tags; ``all`` is a tag of every request. Who is in no list passes:
    ``deny = all`` refuses everybody whom ``allow`` does not name.
    """

    kind: ClassVar[str] = "acl-profile"

    active: bool = setting("Whether it is asked. If not, nothing of it has an effect.", True)
    enforce_deny: _Tags = setting("Refused, whatever the other lists say.", ())
    bypass: _Tags = setting("Let in, and the content filter is left out; no other stage is.", ())
    allow_bot: _Tags = setting("Let in, programs too, unless ``deny`` matches and ``allow`` does not.", ())
    deny_bot: _Tags = setting(
        "Challenged, unless the requester has solved a challenge already; refused instead if ``deny`` matches too, and "
        "``allow`` does not.",
        (),
    )
    allow: _Tags = setting("Let in, whatever ``deny`` says.", ())
    deny: _Tags = setting("Refused.", ())
    action: Annotated[str, Reference("action")] = setting("What is done with those who are refused.", "block")
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for the requests for which a list decides, besides ``acl:NAME``.", ()
    )

    @property
    def proposes(self) -> tuple[str, ...]:
        """The names of the actions that can be taken because of it."""
        if not self.active:
            return ()
        return (self.action, CHALLENGE) if self.deny_bot else (self.action,)

    def lists(self) -> Mapping[str, tuple[str, ...]]:
        """The tags of each of :data:`LISTS`."""
        return {name: getattr(self, name.replace("-", "_")) for name in LISTS}


def _settled() -> Iterator[Row | None]:
    """The row for each set of facts: a bit for each list that matches, and one for a human."""
    facts = (*LISTS, HUMAN)
    for number in range(1 << len(facts)):
        holding = frozenset(fact for bit, fact in enumerate(facts) if number >> bit & 1)
        yield next((row for row in ROWS if row.matching <= holding and not row.others & holding), None)


_BY_FACTS = tuple(_settled())
_IS_HUMAN = 1 << len(LISTS)


@frozen(eq=False)
class Profile:
    """The stage of one profile, compiled.

    :ivar profile: the name of its section.
    :ivar needs: what its actions look at besides the head of a request.
    """

    name: ClassVar[str] = "acl"

    profile: str
    needs: frozenset[str]
    _listed: frozenset[str]
    _bits: Mapping[str, int]
    _lists: Mapping[str, tuple[str, ...]]
    _consequences: Mapping[tuple[Row, bool], Decision]
    _alone: Mapping[tuple[str, bool], Decision]

    @classmethod
    def of(cls, name: str, section: ACLProfile, actions: Mapping[str, Action]) -> Profile:
        """Of a section.

        :param actions: every action by its name.
        :raises InvalidValue: if it names one that does not exist.
        """
        if section.action not in actions:
            raise InvalidValue(f"the ACL profile {name} names an action that does not exist: {section.action}")
        refusal, lists = actions[section.action], section.lists()
        taken = {"block": refusal, "challenge": actions.get(CHALLENGE, refusal)}
        bits: dict[str, int] = {}
        for bit, several in enumerate(lists.values()):
            for tag in several:
                bits[tag] = bits.get(tag, 0) | 1 << bit
        tags = frozenset((canonical(f"acl:{name}"), *section.tags))
        humans = {word: for_humans(action) for word, action in taken.items()}
        consequences = {
            (row, human): _consequence(row, tags, (humans if human else taken).get(row.becomes))
            for row in ROWS
            for human in (False, True)
        }
        alone: dict[tuple[str, bool], Decision] = {}
        needs = frozenset[str]().union(*(action.needs for action in taken.values()))
        made = cls(name, needs, frozenset(bits), MappingProxyType(bits), lists, consequences, alone)
        for tag, human in ((tag, human) for tag in bits for human in (False, True)):
            alone[tag, human] = made.judged((tag,), human)
        return made

    def decide(self, exchange: Exchange) -> Decision:
        """What the lists come to."""
        tags = exchange.tags
        found = self._listed & tags
        if not found:
            return NOTHING
        if len(found) == 1:
            (tag,) = found
            return self._alone[tag, HUMAN in tags]
        return self.judged(found, HUMAN in tags)

    def judged(self, found: Iterable[str], human: bool) -> Decision:
        """What the lists come to for a requester.

        :param found: the tags of the request that are in a list.
        :param human: whether it is known to be one.
        """
        facts = _IS_HUMAN if human else 0
        for tag in found:
            facts |= self._bits[tag]
        row = _BY_FACTS[facts]
        if row is None:
            return NOTHING
        shown, consequence = (
            " ".join(tag for tag in self._lists[row.list] if tag in found),
            self._consequences[row, human],
        )
        action = consequence.action
        note, named = PASSED if isinstance(action, Passed) else "", "" if action is None else action.name
        reason = Reason(self.name, self.profile, f"{row.list}: {shown}", note, named)
        return Decision(consequence.tags, (reason,), action, (), consequence.exempt)


def _consequence(row: Row, tags: frozenset[str], action: Action | None) -> Decision:
    """What a row comes to, without its reason."""
    if action is None:
        return Decision(tags, exempt=_CONTENT_FILTER if row.becomes == "bypass" else frozenset())
    if action.exempts:
        return Decision(tags | action.tags, exempt=action.exempts)
    return Decision(tags | taken_tags(action), action=action)


@frozen(eq=False)
class ACL:
    """The profiles of a configuration, compiled; the stage of a path map is that of the profile that it names.

    :ivar profiles: the active ones, by name.
    """

    name: ClassVar[str] = Profile.name

    profiles: Mapping[str, Profile]

    @classmethod
    def of(cls, profiles: Mapping[str, ACLProfile], actions: Mapping[str, Action]) -> ACL:
        """Of sections by name.

        :raises InvalidValue: if one names an action that does not exist.
        """
        return cls({name: Profile.of(name, each, actions) for name, each in profiles.items() if each.active})

    def selected(self, selection: Selection) -> Profile | None:
        """The stage of the profile that a path map names; ``None`` if it names none, or one that is not active."""
        return self.profiles.get(selection.acl_profile)
