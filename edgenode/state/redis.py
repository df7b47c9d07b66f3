"""Counters on a server of Redis or Valkey, which nodes share.

Law: a request costs one round trip, whatever is counted, and never waits for longer than the timeout, nor for a
connection. What the server does, or says, is a fault of nobody else: as long as it cannot be asked the policy
``absent`` holds, which is told once, when it begins and when it ends.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from edgenode.state.interface import AGAIN, Answers, Call, Counted, Counter, Happened, InTime, StateAbsent, Tell
from edgenode.state.memory import MemoryState
from edgenode.state.redis_commands import Commands
from edgenode.state.redis_connection import Asker, RedisConnection
from edgenode.state.redis_requests import Request
from edgenode.state.settings import Server
from edgenode.state.sharing import Sharing
from edgenode.state.telling import untold

FIRST, LONGEST = 0.1, float(AGAIN)
"""Seconds before the first attempt to connect again, and the most, each time twice as long; up to half of it less."""

STEADY = 10.0
"""Seconds of a connection after which the next attempt is a first one again."""

POLL = 1.0
"""Seconds after which a node that has nothing to count asks what is new."""

FURTHER = 0.01
"""Seconds after which it asks for the rest, of more than one answer brings."""

_COMPLAIN = 60.0
"""Seconds between two lines about keys that are somebody else's."""

PROBE = (Call(Counter("edgenode probe", "fixed", 1 << 50, 1.0), "probe"),)
"""Shows whether a server can count."""

_log = Logger()


class RedisState:
    """Counts on a server.

    :param server: where it is; may be set to another with the same section, for the next connection.
    :param local: counts while the server cannot be asked, and keeps the quarantine.
    :ivar sharded: whether it is one of a cluster.
    :ivar heard: whether it has answered since this was set to false.
    :ivar since: since when it can be asked, or cannot, seconds since 1970; ``None`` if that is not known yet.
    """

    def __init__(self, server: Server, local: MemoryState) -> None:
        self.server = server
        self.local = local
        self.commands = Commands(server.section.prefix)
        self.sharing = Sharing(local.quarantine, self.commands, self.ask)
        self.sharded = False
        self.heard = False
        self._absent_policy = server.section.absent
        self._reactor: Any = None
        self._tell: Tell = untold
        self._opening: RedisConnection | None = None
        self._link: RedisConnection | None = None
        self._timer: Any = None
        self._delay = FIRST
        self._since = self._complained = float("-inf")
        self._attempts = 0
        self._told: str | None = None
        self.since: float | None = None

    @property
    def away(self) -> bool:
        """Whether the server cannot be asked."""
        return self._link is None

    @property
    def reason(self) -> str:
        """Why it cannot be asked, if it cannot."""
        return self._told or ""

    # -- counting ----------------------------------------------------------------------------------------------------

    def count(self, calls: Sequence[Call]) -> Answers | Deferred[Answers]:
        """Count, all at once.

        :raises StateAbsent: or the Deferred fails with it.
        """
        link = self._link
        if link is None or link.full:
            return self.absent(calls)
        request = Request(self, calls, False)
        request.deferred = deferred = InTime()
        if self.sharded:
            request.send_apart()
        else:
            link.ask(self.commands.count(calls), request)
        return deferred

    def add(self, calls: Sequence[Call]) -> None:
        """Count what only the answer to a request has told."""
        request = Request(self, calls, True)
        if self._link is None or self._link.full:
            request.lost()
        elif self.sharded:
            request.send_apart()
        else:
            request.send()

    def absent(self, calls: Sequence[Call]) -> Answers:
        """What becomes of calls that the server does not count.

        :raises StateAbsent: if no request is to pass without it.
        """
        if self._absent_policy == "local":
            return self.local.count(calls)
        if self._absent_policy == "closed":
            raise StateAbsent(self._told or "no connection yet")
        return (None,) * len(calls)

    def add_here(self, calls: Sequence[Call]) -> None:
        """The same of what nobody waits for."""
        if self._absent_policy == "local":
            self.local.add(calls)

    def fill(self, calls: Sequence[Call], answers: list[Counted | None], faulty: Sequence[int]) -> None:
        """Put in place the answers to calls whose keys are somebody else's.

        :raises StateAbsent: if no request is to pass without them.
        """
        now = self._reactor.clock()
        if now > self._complained + _COMPLAIN:
            self._complained = now
            what = f"the key of {calls[faulty[0]].counter.name} is somebody else's; is the prefix in use?"
            _log.warn("[state] {server}: {what}", server=str(self.server.url), what=what)
        instead = self.absent(calls)
        for at in faulty:
            answers[at] = instead[at]

    def ask(self, question: bytes, asker: Asker) -> bool:
        """Send a question, if there is a connection; and say whether."""
        if self._link is None:
            return False
        self._link.ask(question, asker)
        return True

    # -- the connection ----------------------------------------------------------------------------------------------

    def start(self, reactor: Any, tell: Tell) -> None:
        """Connect, and stay connected."""
        self._reactor, self._tell = reactor, tell
        self.local.quarantine.share = self.sharing.changed
        self._connect()

    def stop(self) -> None:
        """Close the connection; who waits for an answer is answered by the policy."""
        self._reactor = None
        self.local.quarantine.share = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        for link in (self._opening, self._link):
            if link is not None:
                link.end("the node stops")

    def _connect(self) -> None:
        self._attempts += 1
        self._opening = RedisConnection(self._reactor, self.server, self, self._attempts)
        self._opening.open()

    def opened(self) -> None:
        """Logged in: a first question tells whether it can count, and brings what is held in quarantine."""
        if self._opening is not None:
            self._opening.ask(self.commands.count(PROBE, alone=self.sharded), _Probe(self))

    def proved(self) -> None:
        """The server counts."""
        link = self._opening
        if link is None:
            return
        self._opening, self._link = None, link
        link.proved()
        self._since = self._reactor.clock()
        self.since = time.time()
        self._attempts = 0
        if self._told is not None:
            self._told = None
            self._report("state-back", "it counts again")
        else:
            _log.info("[state] {server}: what is counted is shared", server=str(self.server.url))
        self.sharing.send()
        self.heard = not self.sharded
        self._poll()

    def gone(self, reason: str) -> None:
        """The connection is over, or there is none."""
        was = self._link
        self._opening = self._link = None
        if self._reactor is None:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if was is not None and self._reactor.clock() > self._since + STEADY:
            self._delay = FIRST
        if self._told is None:
            self.since = time.time()
            self._report("state-absent", f"{reason}; absent = {self._absent_policy}")
        elif reason != self._told:
            _log.warn("[state] {server}: {said}", server=str(self.server.url), said=reason)
        self._told = reason
        delay = self._delay * (1 - random.random() / 2)  # noqa: S311 - no secret
        self._delay = min(2 * self._delay, LONGEST)
        self._timer = self._reactor.callLater(delay, self._connect)

    def _report(self, action: str, why: str) -> None:
        self._tell(Happened(action, f"{self.server.url}: {why}"))

    def _poll(self) -> None:
        """Ask what is new, if no answer has told of late, or not all."""
        more = self.sharing.more
        self._timer = self._reactor.callLater(FURTHER if more else POLL, self._poll)
        if more or not self.heard:
            self.sharing.poll()
        self.heard = False


class _Probe:
    """The first question on a connection."""

    def __init__(self, state: RedisState) -> None:
        self._state = state
        self._tries = 0

    def answered(self, answer: bytes) -> None:
        """It counts."""
        self._state.commands.read(answer, PROBE, self._state.sharing.heard)
        self._state.proved()

    def refused(self, error: str) -> bool:
        """Send the script, if it is not there; and apart, if the server is one of a cluster."""
        state, link = self._state, self._state._opening
        self._tries += 1
        if link is None or self._tries > 2:
            return False
        if error.startswith("CROSSSLOT"):
            state.sharded = True  # the server is one of a cluster
        elif not error.startswith("NOSCRIPT"):
            return False
        link.ask(state.commands.count(PROBE, whole=True, alone=state.sharded), self)
        return True

    def lost(self) -> None:
        """The connection has ended, which has been told."""
