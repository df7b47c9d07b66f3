"""How the time of something grows with its size: what a machine's speed and its other users do not change."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMES = 8
"""How many times as large the larger work is."""


def grows_with_its_size(work: Callable[[int], Callable[[], object]], size: int) -> bool:
    """Whether work takes no more than about as many times as long as it is larger: twice that is still no square.

    :param work: prepares work of a size, and returns what does it.
    :param size: of the smaller one; it should take milliseconds.
    """
    return _seconds(work(size * TIMES)) < 2 * TIMES * _seconds(work(size)) + 0.005


def _seconds(work: Callable[[], object]) -> float:
    """The CPU time of this thread, the best of three."""
    found = []
    for _ in range(3):
        began = time.thread_time()
        work()
        found.append(time.thread_time() - began)
    return min(found)
