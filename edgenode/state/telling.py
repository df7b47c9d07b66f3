"""Where what happens to a state goes, and how often what repeats itself is told."""

from __future__ import annotations

from collections.abc import Callable

from edgenode.state.interface import Happened, Tell

_AGAIN = 60.0
"""Seconds between two events about something that goes on: else whoever fills a table would fill the disk too."""


def untold(happened: Happened) -> None:
    """Nobody wants to know."""


class Telling:
    """Takes what happens.

    :param clock: monotonic seconds.
    :ivar tell: takes it now.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._again_at: dict[str, float] = {}
        self.tell: Tell = untold

    def rarely(self, happened: Happened) -> None:
        """Tell what may happen again and again, once a minute."""
        now = self._clock()
        if now >= self._again_at.get(happened.action, now):
            self._again_at[happened.action] = now + _AGAIN
            self.tell(happened)
