"""The quarantine of several nodes: what one holds or lifts, the others are told by the server's answers.

Law: of each value the server keeps what was said last; the later end wins, and what was lifted is not held again by a
node that has not heard of it. What could not be told yet is told once the server can be asked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

from twisted.logger import Logger

from edgenode.state.interface import Entry
from edgenode.state.quarantine import HeldValues
from edgenode.state.redis_commands import NEWS, Commands, digest
from edgenode.state.redis_connection import Asker, Lie

AT_ONCE = 50
"""Changes of one command."""

FLYING = 4
"""Commands with changes that wait for an answer."""

WAITING = 100_000
"""The most changes that wait to be told; what is held is told again at the next connection anyhow."""

LONGEST = 16384
"""Bytes of an entry."""

_TOMB = 7 * 86400.0
"""Seconds that the server remembers what was lifted: count.lua."""

_MUCH = 100_000
"""Bytes of an answer that may be a part: less than count.lua sends at once."""

_TOKEN = re.compile(rb"([0-9a-f]{16}) ([0-9]{1,15})")
_CHANGE = re.compile(rb"([hl]) (\S+) (\S+) (\[.*\])")

_log = Logger()

_Member = tuple[str, str, str]
"""The key, the value and the action of an entry; no action for a lift, which is of all of them."""

_Change = tuple[bytes, ...]
"""A change as the arguments of count.lua."""


class Sharing:
    """Tells the server what this node holds and lifts, and this node what others do.

    :param quarantine: this node's.
    :param ask: sends a question to the server, if there is a connection; and says whether.
    :ivar more: whether the server has said so much at once that there may be more.
    """

    def __init__(self, quarantine: HeldValues, commands: Commands, ask: Callable[[bytes, Asker], bool]) -> None:
        self._quarantine = quarantine
        self._commands = commands
        self._ask = ask
        self._identity = b""
        self._queue: dict[_Member, _Change] = {}
        self._flying: list[_Told] = []
        self._complained = False
        self.more = False

    # -- to the others -----------------------------------------------------------------------------------------------

    def changed(self, entry: Entry | None, key: str, value: str, who: str) -> None:
        """This node holds something, or has lifted it.

        :param entry: ``None`` if it was lifted.
        """
        if entry is None:
            now = self._quarantine.now()
            self._put(b"l", Entry(key, value, now + _TOMB, now, who, "", ""))
        else:
            self._put(b"h", entry)
        self.send()

    def _put(self, what: bytes, entry: Entry) -> None:
        member, change = entry.identity, _change(what, entry)
        self._queue.pop(member, None)  # what was said last is told last
        if len(change[-1]) <= LONGEST and len(self._queue) < WAITING:
            self._queue[member] = change
        else:
            _log.warn("[state] an entry of {key} is not shared", key=member[0])

    def send(self) -> None:
        """Tell what waits, as much as may fly."""
        while self._queue and len(self._flying) < FLYING:
            changes = {member: self._queue[member] for member in islice(self._queue, AT_ONCE)}
            told = _Told(self, changes)
            if not self._ask(self._commands.change((*changes.values(),)), told):
                return
            self._flying.append(told)
            for member in changes:
                del self._queue[member]

    def poll(self) -> None:
        """Ask what is new."""
        self._ask(self._commands.change(()), _Told(self, {}))

    def over(self, told: _Told, done: bool) -> None:
        """Changes have been told, or not: then they wait."""
        if told in self._flying:
            self._flying.remove(told)
        if not done:
            earlier = {member: each for member, each in told.changes.items() if member not in self._queue}
            self._queue = {**earlier, **self._queue}
        else:
            self.send()

    # -- from the others ---------------------------------------------------------------------------------------------

    def heard(self, token: bytes, news: bytes) -> None:
        """What the server says is new.

        :raises Lie: if it is no such thing.
        """
        if token == b"-":
            return
        if token == b"!":
            if not self._complained:
                self._complained = True
                _log.warn("[state] the keys of the quarantine are somebody else's: it is not shared")
            return
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise Lie("expected a sequence number")
        changes = [_read(line) for line in news.split(b"\n")] if news else []
        another = match[1] != self._identity
        self._identity = match[1]
        self._commands.know(match[1], match[2])
        for change in changes:
            self._apply(*change)
        if another:  # the server has lost what it knew, or knew nothing yet
            for entry in self._quarantine.entries():
                if not self._untold(entry.identity):
                    self._put(b"r", entry)
        self.more = len(changes) >= NEWS or len(news) > _MUCH
        self.send()

    def _untold(self, member: _Member) -> bool:
        """Whether the server has yet to hear what this node says of it."""
        return member in self._queue or any(member in told.changes for told in self._flying)

    def _apply(self, held: bool, at: float, entry: Entry) -> None:
        key, value, quarantine = entry.key, entry.value, self._quarantine
        if held:
            if entry.until > quarantine.now() and not self._untold((key, value, "")):
                quarantine.merge(entry)
            return
        known = [each for each in quarantine.all(key, value) if each.value == value]
        newer = [each for each in known if each.since > at or self._untold(each.identity)]
        if len(newer) < len(known):
            quarantine.unmerge(key, value, entry.who)
            for each in newer:
                quarantine.merge(each)


class _Told:
    """Changes that are being told."""

    def __init__(self, sharing: Sharing, changes: dict[_Member, _Change]) -> None:
        self._sharing = sharing
        self._again = False
        self.changes = changes

    def answered(self, answer: bytes) -> None:
        """They are told."""
        sharing = self._sharing
        sharing.over(self, True)
        sharing._commands.read(answer, (), sharing.heard)

    def refused(self, error: str) -> bool:
        """Send the script, if it is not there; once."""
        if self._again or not error.startswith("NOSCRIPT"):
            return False
        self._again = True
        sharing = self._sharing
        if not sharing._ask(sharing._commands.change((*self.changes.values(),), whole=True), self):
            self.lost()
        return True

    def lost(self) -> None:
        """They wait for the next connection."""
        self._sharing.over(self, False)


def _change(what: bytes, entry: Entry) -> _Change:
    values: list[Any] = [entry.key, entry.value, None if math.isinf(entry.until) else entry.until]
    values += [entry.since, entry.who, entry.why, entry.action]
    field, lifted = (digest(json.dumps([entry.key, entry.value, action])) for action in (entry.action, ""))
    return what, field, lifted, b"%.17g" % entry.until, b"%.17g" % entry.since, json.dumps(values).encode("ascii")


def _read(line: bytes) -> tuple[bool, float, Entry]:
    """Whether it is held, else lifted; when; and the entry.

    :raises Lie: if it is none.
    """
    match = _CHANGE.fullmatch(line)
    try:
        if match is None or len(line) > LONGEST + 100:
            raise ValueError
        at = float(match[3])
        key, value, until, since, who, why, action = json.loads(match[4])
        until = math.inf if until is None else until
        numbers, texts = (until, since), (key, value, who, why, action)
        if not all(isinstance(each, int | float) for each in numbers) or not all(
            isinstance(each, str) for each in texts
        ):
            raise ValueError
        if math.isnan(until) or not math.isfinite(since) or not math.isfinite(at):
            raise ValueError
        return match[1] == b"h", at, Entry(key, value, float(until), float(since), who, why, action)
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise Lie("expected an entry of the quarantine") from None
