"""A reactor on a clock of the test's own: real sockets, one thread, and no time passes unless the test says so."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.task import Clock

from edgenode.net.poller import Poller
from edgenode.testing.reactor import MemoryReactor

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


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """The same over the loopback interface, for what only TCP has: ``SO_RCVLOWAT``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        first = socket.create_connection(listening.getsockname())
        second, _ = listening.accept()
    for end in (first, second):
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return first, second


class _Reactor(MemoryReactor):
    """As much of a reactor as a poller and a resolver need, with real sockets."""

    sockets: Any = None

    def __init__(self) -> None:
        Clock.__init__(self)

    def addReader(self, poller: Poller) -> None:
        """The loop looks by itself."""

    def removeReader(self, poller: Poller) -> None:
        """Likewise."""


class Loop(Poller):
    """A poller whose reactor is a clock.

    :ivar tick: seconds that pass whenever somebody looks at the clock.
    """

    def __init__(self) -> None:
        self.tick = 0.0
        super().__init__(_Reactor(), self._look)

    def _look(self) -> float:
        self._reactor.rightNow += self.tick
        return self.seconds()

    def seconds(self) -> float:
        """The time, without a tick."""
        now: float = self._reactor.seconds()
        return now

    def advance(self, seconds: float) -> None:
        """Let time pass, and call what is due."""
        self._reactor.advance(seconds)

    @property
    def reading(self) -> list[Any]:
        """Everybody who waits for something to read."""
        return list(self._readers.values())

    def turn(self) -> bool:
        """Serve everybody who is ready; whether there was anybody."""
        moved = bool(self._again or self._read or self._epoll.poll(0, 1))
        if moved:
            self.doRead()
        now = self.seconds()
        moved = moved or any(call.getTime() <= now for call in self._reactor.getDelayedCalls())
        self.advance(0)
        return moved

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
