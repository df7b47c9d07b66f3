"""The timers of whoever was given none: those of the reactor that runs.

Law: the reactor is asked for only when there is something to be waited for; so a program may still choose its reactor
after it has imported and built all that uses this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Later = Callable[..., Any]
"""``IReactorTime.callLater``, of any reactor or of a ``task.Clock``."""


def call_later(delay: float, function: Callable[..., object], *arguments: object) -> Any:
    """Call a function after a delay in seconds; returns the ``IDelayedCall``."""
    from twisted.internet import reactor  # only now: importing it installs one

    return reactor.callLater(delay, function, *arguments)
