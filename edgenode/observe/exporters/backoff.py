"""How long to wait before the next attempt: longer from failure to failure, and never as long as others do.

Law: with a random part, for exporters that have failed together should not come back together (AWS Architecture Blog,
"Exponential Backoff And Jitter").
"""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import define, field

LONGEST_AFTER = 3600.0
"""Seconds; a receiver that asks for more is asked again after that."""

_MOST_DOUBLINGS = 64


@define
class Backoff:
    """The times between attempts.

    :ivar first: the time after the first failure; seconds.
    :ivar most: the longest time; seconds.
    :ivar random: a number from 0 to 1.
    :ivar failures: the number of failures in a row.
    """

    first: float
    most: float
    random: Callable[[], float] = random.random
    failures: int = field(default=0, init=False)

    def failed(self, after: float = 0.0) -> float:
        """An attempt has failed: the time until the next, at least half of what is due.

        :param after: the time for which the receiver wants to be left alone; seconds.
        """
        whole = min(self.most, self.first * 2.0 ** min(self.failures, _MOST_DOUBLINGS))
        self.failures += 1
        return max(whole * (1 + self.random()) / 2, min(after, LONGEST_AFTER))

    def succeeded(self) -> None:
        """An attempt has not failed."""
        self.failures = 0
