"""Deadlines of connections, watched by one timer.

A timer for every request would cost more than reading the request. So a connection only carries the time at which it
expires, as an attribute that its owner sets as often as he likes, and one sweep compares: 0.15 ms for 10,000
connections. Law: nothing expires early, and nothing more than two sweeps late; if much expires at once it is ended in
turns of 10 ms, so that others do not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

from edgenode.net.poller import Timers

NEVER = float("inf")
SWEEP = 0.2
"""Seconds between two sweeps while anything is watched."""

_TURN = 0.01
"""Seconds for what expires in one go; the rest comes in the reactor's next turn."""

_AFTER_A_FAILURE = 60.0
"""Seconds until something that failed when it expired expires again."""

_log = Logger()


class Watched(Protocol):
    """What has a deadline.

    :ivar deadline: on the clock of :class:`Deadlines`, seconds; :data:`NEVER` if nothing is waited for.
    """

    deadline: float

    def expired(self, now: float) -> None:
        """The deadline has passed; set a new one, or end.

        :param now: the time, on the same clock.
        """


class Deadlines:
    """The deadlines of all connections of a node.

    :param reactor: for its timers.
    :ivar clock: the clock that deadlines are set by: monotonic seconds; the reactor's, if it has one of its own.
    """

    def __init__(self, reactor: Timers, clock: Callable[[], float] | None = None) -> None:
        self._reactor = reactor
        of_the_reactor: Callable[[], float] = getattr(reactor, "clock", time.monotonic)
        self.clock = clock or of_the_reactor
        self._watched: set[Watched] = set()
        self._next: Any = None

    def watch(self, watched: Watched) -> None:
        """Compare its deadline from now on."""
        self._watched.add(watched)
        if self._next is None:
            self._next = self._reactor.callLater(SWEEP, self._sweep)

    def forget(self, watched: Watched) -> None:
        """Compare its deadline no longer; it need not be watched."""
        self._watched.discard(watched)

    def stop(self) -> None:
        """Forget all of them, and have no timer left; something that expires may call this."""
        self._watched.clear()
        if self._next is not None and self._next.active():
            self._next.cancel()
            self._next = None

    def _sweep(self) -> None:
        now = self.clock()
        pause = SWEEP
        for watched in [each for each in self._watched if each.deadline <= now]:
            if self.clock() > now + _TURN:
                pause = 0
                break
            if watched in self._watched:  # unless another that expired has ended it
                try:
                    watched.expired(now)
                except BaseException:
                    _log.failure("a deadline failed")
                    watched.deadline = now + _AFTER_A_FAILURE
        self._next = self._reactor.callLater(pause, self._sweep) if self._watched else None
