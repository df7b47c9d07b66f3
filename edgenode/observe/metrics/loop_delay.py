"""How late the event loop is: a timer that measures how much later than it should it goes off."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from edgenode.observe.metrics.meter import BOUNDS

PERIOD = 0.25
"""Seconds between two measurements."""


class LoopDelay:
    """Measures while it runs.

    :param reactor: its timers, and a clock of monotonic seconds.
    :ivar buckets: how many were so late: see :data:`edgenode.observe.metrics.meter.BOUNDS`.
    :ivar seconds: all delays together.
    :ivar most: the longest.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._next: Any = None
        self._due = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = self.most = 0.0

    def start(self) -> None:
        """Measure from now on."""
        if self._next is None:
            self._wait()

    def stop(self) -> None:
        """Measure no more; what was measured stays."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _wait(self) -> None:
        self._due = self._reactor.clock() + PERIOD
        self._next = self._reactor.callLater(PERIOD, self._late)

    def _late(self) -> None:
        late = max(0.0, self._reactor.clock() - self._due)
        self.buckets[bisect_left(BOUNDS, late)] += 1
        self.seconds += late
        self.most = max(self.most, late)
        self._wait()
