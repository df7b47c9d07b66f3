"""How often the log says what goes on and on: else whoever causes it would fill the disk."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 60.0
"""Seconds between two lines in the log about the same."""


class Complaints:
    """Complaints about one thing.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")

    def due(self) -> bool:
        """Whether the log says it now; then not again before the pause is over."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + PAUSE
        return True
