"""The stage of the quarantine: refuses requests that have a value which is held.

Law: whatever of a request is held, in whatever spelling, is found, and the strongest action of all its entries is
taken. An entry always refuses at least as much as whoever added it could have wanted: one whose action is no more, or
has come to let requests pass, blocks.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import ClassVar

from attrs import Factory, define, field, frozen
from twisted.logger import Logger

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange
from edgenode.policy.actions import PREDEFINED, Skip, taken_tags
from edgenode.policy.challenge import met
from edgenode.policy.contentfilter.masking import NOTHING_MASKED, Masks
from edgenode.policy.keys import ADDRESS, Part
from edgenode.policy.selection import Selection
from edgenode.policy.tagging import HUMAN
from edgenode.rules.tags import canonical
from edgenode.state.interface import Entry, Quarantine

NAME = "quarantine"

DYNAMIC_RULE = "dynamic-rule "
"""What the holder's name begins with where that is a dynamic rule."""


def is_ban(key: str) -> bool:
    """Whether a key of an entry is the header of the limit that has banned."""
    return key.startswith("rate-limit ")


_MOST_KNOWN = 1024
"""Decisions that are kept, for who is held comes again and again."""


@define(eq=False)
class Words:
    """The words of the keys that are held, read once.

    :ivar masks: what is masked, of which hashes are held.
    :ivar keys: the keys that they are of.
    :ivar parts: each, for the values of a request; without those of bans, which the stage that counts looks up.
    """

    _log: ClassVar[Logger] = Logger()

    masks: Masks = NOTHING_MASKED
    keys: frozenset[str] = frozenset()
    parts: tuple[Part, ...] = ()
    _told: set[str] = field(factory=set)

    def read(self, keys: frozenset[str]) -> tuple[Part, ...]:
        """The parts of other keys."""
        found = []
        for key in sorted(keys):
            if is_ban(key) or key == ADDRESS:
                continue
            try:
                found.append(Part.from_text(key).hiding(self.masks))
            except InvalidValue as problem:
                if key not in self._told:
                    self._told.add(key)
                    self._log.error("{key} is held, and not looked for: {sentence}", key=key, sentence=problem.sentence)
        self.keys, self.parts = keys, tuple(found)
        return self.parts


@frozen(eq=False)
class Quarantined:
    """What makes the stage of a pipeline; without a state nothing is held.

    :ivar actions: every action by its name.
    :ivar tags: of dynamic rules, by their names, the tags for what they hold.
    :ivar needs: what the values look at that those hold, besides the head of a request.
    :ivar masks: what is masked anywhere, of which hashes are held.
    """

    name: ClassVar[str] = NAME

    actions: Mapping[str, Action]
    tags: Mapping[str, frozenset[str]]
    needs: frozenset[str] = frozenset()
    masks: Masks = NOTHING_MASKED

    def selected(self, selection: Selection) -> Held | None:
        """The stage with the state of a pipeline."""
        state = selection.state
        return None if state is None else Held(self.actions, self.tags, state.quarantine, self.needs, self.masks)


@frozen
class Held:
    """The stage. The pipeline leaves it out as long as its quarantine has no keys. Two are equal that have the same
    actions and the same quarantine.

    :ivar actions: as above.
    :ivar tags: likewise.
    :ivar quarantine: what is held.
    :ivar needs: what dynamic rules hold is looked for everywhere, in bodies too; what people add is where it is there.
    :ivar masks: as above.
    """

    name: ClassVar[str] = NAME

    actions: Mapping[str, Action] = field(eq=id)
    tags: Mapping[str, frozenset[str]] = field(eq=id)
    quarantine: Quarantine = field(eq=id)
    needs: frozenset[str] = frozenset()
    masks: Masks = NOTHING_MASKED
    _words: Words = field(default=Factory(lambda self: Words(self.masks), takes_self=True), init=False, eq=False)
    _known: dict[tuple[object, ...], Decision] = field(factory=dict, init=False, eq=False)

    def decide(self, exchange: Exchange) -> Decision:
        """The strongest action of all entries that hold a value of the exchange."""
        quarantine, words = self.quarantine, self._words
        keys = quarantine.keys
        parts = words.parts if words.keys is keys or words.keys == keys else words.read(keys)
        entries: list[Entry] = []
        client = exchange.client
        if ADDRESS in keys and client and client != UNKNOWN_CLIENT:
            entries += quarantine.all(ADDRESS, client)
        for part in parts:
            for value in part.values(exchange):
                entries += quarantine.all(part.word, value)
        if not entries:
            return NOTHING
        told = (HUMAN in exchange.tags, *entries)
        decision = self._known.get(told)
        if decision is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            decision = self._known[told] = self._decision(entries, exchange)
        return decision

    def _decision(self, entries: list[Entry], exchange: Exchange) -> Decision:
        tags = {NAME}
        decision = Decision()
        for entry in entries:
            action, passed = met(self._action(entry), exchange)
            if entry.who.startswith(DYNAMIC_RULE):
                rule = entry.who.removeprefix(DYNAMIC_RULE)
                tags |= {canonical(f"dynamic-rule:{rule}"), *self.tags.get(rule, ())}
            decision.add(Decision(reasons=(_reason(entry, action.name), *passed), action=action))
        winner = decision.action
        assert winner is not None
        decision.tags = taken_tags(winner) | tags
        return decision

    def _action(self, entry: Entry) -> Action:
        for action in (self.actions.get(entry.action), self.actions.get("block")):
            if action is not None and not isinstance(action, Skip):
                return action
        return PREDEFINED["block"]


def _reason(entry: Entry, action: str) -> Reason:
    """Why the requests that an entry holds are refused: which, who, why, and until when."""
    until = "until it is lifted" if math.isinf(entry.until) else f"until {moment(entry.until)}"
    return Reason(NAME, entry.who, f"{entry.key}: {entry.value}", f"{entry.why}, {until}".lstrip(", "), action)


def moment(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339, UTC, to the second; what is too far away is the end of the year 9999."""
    try:
        found = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        found = datetime.datetime.max
    return f"{found:%Y-%m-%dT%H:%M:%SZ}"
