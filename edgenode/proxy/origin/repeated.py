"""What takes a while and is done again and again, such as asking a server: each time some while after its last end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred


class Repeated:
    """It is done once at a time.

    :param reactor: for its timer.
    :param begin: begins it; the Deferred fires when it has ended, and ends it when it is cancelled.
    :param ended: is told the result, or the Failure; unless it was stopped meanwhile.
    """

    def __init__(self, reactor: Any, begin: Callable[[], Deferred[Any]], ended: Callable[[Any], None]) -> None:
        self._reactor = reactor
        self._begin = begin
        self._ended = ended
        self._next: Any = None
        self._running: Deferred[Any] | None = None

    def now(self) -> None:
        """Do it at once."""
        self._next = None
        self._running = running = self._begin()
        running.addBoth(partial(self._over, running))

    def after(self, seconds: float) -> None:
        """Do it then."""
        self._next = self._reactor.callLater(seconds, self.now)

    def stop(self) -> None:
        """Do it no more; what is under way is cancelled."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def _over(self, running: Deferred[Any], result: Any) -> None:
        if self._running is running:
            self._running = None
            self._ended(result)
