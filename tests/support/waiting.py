"""Waiting in a thread for what another process or the kernel does, and tells nobody: it has to be looked at again.

What happens on the reactor of a test is awaited there, and time is a clock of the test: this is for the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(true: Callable[[], object], what: str, seconds: float = 10.0, pause: float = 0.01) -> None:
    """Look again and again until something is true.

    :param what: what is waited for, in words.
    :param seconds: after which it will not come any more, and the test fails.
    :param pause: seconds between two looks.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"after {seconds} seconds still not: {what}"
        time.sleep(pause)


def settled(number: Callable[[], int], what: str, pause: float = 0.1) -> int:
    """A number, once it is the same in two looks.

    :param what: what is waited for, in words.
    :param pause: seconds between two looks.
    """
    seen: list[int] = []

    def same() -> bool:
        seen.append(number())
        return len(seen) > 1 and seen[-1] == seen[-2]

    wait_for(same, what, pause=pause)
    return seen[-1]
