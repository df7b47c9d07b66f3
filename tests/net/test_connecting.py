"""Connections being opened: they come, or fail with a reason, and never from within the constructor."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.python.failure import Failure

from edgenode.net.connecting import Connecting
from tests.support.transports import Loop


class Opened:
    """What became of a connection that is being opened."""

    def __init__(self, host: str, port: int) -> None:
        self.loop = Loop()
        self.socks: list[socket.socket] = []
        self.reasons: list[str] = []
        self.connecting = Connecting(self.loop.poller, host, port, self.socks.append, self._failed)
        assert (self.socks, self.reasons) == ([], [])

    def _failed(self, reason: str, number: int) -> None:
        assert reason == os.strerror(number)
        self.reasons.append(reason)

    def end(self) -> None:
        """Nothing is left in the poller; what was opened is closed."""
        assert not self.loop.readers
        for each in self.socks:
            each.close()


def local(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A listening socket on the loopback interface."""
    return socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_is_opened(family: socket.AddressFamily) -> None:
    """The socket comes once, non-blocking, without Nagle's delay, connected and no longer watched."""
    with local(family) as listening:
        opened = Opened(*listening.getsockname()[:2])
        assert opened.connecting.fileno() > 2
        assert opened.connecting.logPrefix() == "connecting"
        opened.loop.until(lambda: opened.socks)
        opened.loop.settle()
        (sock,) = opened.socks
        assert sock.getpeername() == listening.getsockname()
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.fileno() == opened.connecting.fileno()
        assert opened.reasons == []
        opened.end()


def test_a_unix_socket_is_opened(tmp_path: pathlib.Path) -> None:
    """Its path is the host."""
    path = str(tmp_path / "app.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        opened = Opened(path, 0)
        opened.loop.until(lambda: opened.socks)
        (sock,) = opened.socks
        assert (sock.getpeername(), sock.getblocking(), opened.reasons) == (path, False, [])
        opened.end()


@pytest.mark.parametrize(("kind", "reason"), [
    ("none", errno.ENOENT), ("nobody's", errno.ECONNREFUSED), ("a file", errno.ECONNREFUSED), ("busy", errno.EAGAIN),
])  # fmt: skip
def test_a_unix_socket_that_cannot_be_opened_says_why(tmp_path: pathlib.Path, kind: str, reason: int) -> None:
    """A full backlog does too: a Unix socket does not wait for room in it."""
    path = tmp_path / "app.sock"
    with contextlib.ExitStack() as stack:
        if kind == "a file":
            path.touch()
        elif kind != "none":
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(path))
            if kind == "busy":
                listening.listen(0)
                stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        opened = Opened(str(path), 0)
        opened.loop.until(lambda: opened.reasons)
        assert (opened.socks, opened.reasons) == ([], [os.strerror(reason)])
        opened.end()


def test_a_refused_connection_says_so() -> None:
    """Nobody listens there any more."""
    with local() as listening:
        address = listening.getsockname()
    opened = Opened(*address)
    opened.loop.until(lambda: opened.reasons)
    opened.loop.settle()
    assert opened.reasons == ["Connection refused"]
    assert opened.socks == []
    opened.end()


def test_an_impossible_address_says_so() -> None:
    """The system refuses it at once; it is told later, for the caller does not have the object yet."""
    opened = Opened("255.255.255.255", 80)
    assert len(opened.loop.later) == 1
    opened.loop.turn()
    assert opened.reasons == [os.strerror(errno.EACCES)] or opened.reasons == [os.strerror(errno.ENETUNREACH)]
    opened.end()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """The process may not open another file."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(1)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_lack_of_descriptors_says_so() -> None:
    """There is no socket to connect; it is told later too."""
    loop, reasons = Loop(), list[str]()
    with no_more_descriptors():
        connecting = Connecting(loop.poller, "127.0.0.1", 80, _unexpected, lambda reason, _: reasons.append(reason))
    assert reasons == []
    loop.turn()
    assert reasons == ["Too many open files"]
    connecting.doWrite()
    connecting.cancel()
    assert reasons == ["Too many open files"]


def _unexpected(value: Any) -> None:
    raise AssertionError(value)


@pytest.mark.parametrize("end", [Connecting.cancel, Connecting.doWrite, "connectionLost"])
def test_nothing_follows_the_end(end: Callable[[Connecting], None] | str) -> None:
    """A cancelled connection is closed and tells nothing; one that is told of is told of once."""
    with local() as listening:
        opened = Opened(*listening.getsockname())
        if isinstance(end, str):
            opened.connecting.connectionLost(Failure(ConnectionError()))
        else:
            end(opened.connecting)
        told = len(opened.socks) + len(opened.reasons)
        assert told == (end is not Connecting.cancel)
        opened.connecting.doWrite()
        opened.connecting.cancel()
        opened.loop.settle()
        assert len(opened.socks) + len(opened.reasons) == told
        if end is Connecting.cancel:
            with pytest.raises(OSError):
                os.fstat(opened.connecting.fileno())
        opened.end()


def test_a_cancelled_impossible_address_is_silent() -> None:
    """It was refused at once, and given up before that was told."""
    opened = Opened("255.255.255.255", 80)
    opened.connecting.cancel()
    opened.loop.turn()
    assert (opened.socks, opened.reasons) == ([], [])
    opened.end()
