"""A reactor on a clock of the test's own: real sockets, one thread, and no time passes unless the test says so."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

_ENOUGH = 20_000
"""Turns after which something that never comes to rest has failed."""


class End(socket.socket):
    """An end of a socket pair that says it is TCP of this host."""

    def getsockname(self) -> Any:
        """An address of this host."""
        return ("127.0.0.1", 443)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, neither blocking."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    first, second = (End(fileno=end.detach()) for end in ends)
    return first, second


class Loop(Clock):
    """As :class:`edgenode.net.poller.Reactor` wants it, and so much of a thread pool as a resolver needs.

    :ivar tick: seconds that pass whenever somebody looks at the clock.
    :ivar clock: the clock, monotonic seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tick = 0.0
        self.clock: Callable[[], float] = self._look
        self.batch = self.unsent = None  # at once
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        self._again: deque[Any] = deque()

    def _look(self) -> float:
        self.rightNow += self.tick
        return self.rightNow

    # -- for those who live in it ------------------------------------------------------------------------------------

    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` whenever its descriptor is readable."""
        self._readers[reader.fileno()] = reader

    def removeReader(self, reader: Any) -> None:
        """No longer."""
        self._readers.pop(reader.fileno(), None)

    def addWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` whenever its descriptor is writable."""
        self._writers[writer.fileno()] = writer

    def removeWriter(self, writer: Any) -> None:
        """No longer."""
        self._writers.pop(writer.fileno(), None)

    def again(self, continued: Any) -> None:
        """Call ``continued.doAgain`` once, after everybody else."""
        self._again.append(continued)

    def getThreadPool(self) -> Loop:
        """A pool of no threads."""
        return self

    def callInThreadWithCallback(
        self, told: Callable[[bool, Any], object], function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> None:
        """Call it, and tell of it, in the next turn."""
        self.callLater(0, self._call, told, function, *arguments, **options)

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call it."""
        function(*arguments)

    def _call(
        self, told: Callable[[bool, Any], object], function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> None:
        from twisted.python.failure import Failure

        try:
            result = function(*arguments, **options)
        except Exception:
            told(False, Failure())
        else:
            told(True, result)

    # -- for the test ------------------------------------------------------------------------------------------------

    @property
    def reading(self) -> list[Any]:
        """Everybody who waits for something to read."""
        return list(self._readers.values())

    def turn(self) -> bool:
        """Serve everybody who is ready, once; whether there was anybody."""
        poll = select.poll()
        for number in self._readers.keys() | self._writers.keys():
            wanted = select.POLLIN * (number in self._readers) | select.POLLOUT * (number in self._writers)
            poll.register(number, wanted)
        ready = poll.poll(0)
        for number, events in ready:
            if events & ~select.POLLOUT and number in self._readers:
                self._readers[number].doRead()
            if events & ~select.POLLIN and number in self._writers:
                self._writers[number].doWrite()
        due = [call for call in self.getDelayedCalls() if call.getTime() <= self.rightNow]
        self.advance(0)
        again = [self._again.popleft() for _ in range(len(self._again))]
        for each in again:
            each.doAgain()
        return bool(ready or due or again)

    def settle(self) -> None:
        """Serve everybody until nobody is ready."""
        for _ in range(_ENOUGH):
            if not self.turn():
                return
        raise AssertionError("it does not come to rest")

    def wait(self, seconds: float, step: float = 0.1) -> None:
        """Let time pass, and serve everybody meanwhile."""
        for _ in range(round(seconds / step)):
            self.advance(step)
            self.settle()
