"""Handshake messages after the handshake: a few are served, a flood is cut within the read that finds it."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from OpenSSL import SSL

from edgenode.net.tls_messages import WINDOW, limit_messages
from edgenode.net.transport import Transport
from tests.support.handshakes import client, server
from tests.support.tls_records import APPLICATION_DATA, Secrets, Writer
from tests.support.transports import Ends, Loop, Told, certificate, talking


class Pair:
    """A server's transport, and a client that writes its records by hand."""

    def __init__(self) -> None:
        secrets = Secrets()
        self.loop, self.told = Loop(), Told()
        self.sock, end = socket.socketpair()
        for each in (self.sock, end):
            each.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        context = client()
        context.set_keylog_callback(secrets)
        self.tls = SSL.Connection(context, self.sock)
        self.tls.set_connect_state()
        connection = SSL.Connection(server(certificate()), end)
        connection.set_accept_state()
        self.transport = Transport(self.loop.poller, end, connection, self.told)
        while not self.transport.established:
            self._handshake()
        self.records = Writer(self.tls, secrets)

    def _handshake(self) -> None:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            pass
        self.transport.start()

    def updates(self, count: int) -> bytes:
        """So many KeyUpdates, and a byte of application data."""
        return b"".join(self.records.key_update() for _ in range(count)) + self.records.record(APPLICATION_DATA, b"a")

    def answer(self) -> None:
        """Read what the server answers, so that it does not have to wait for that."""
        try:
            self.sock.recv(1 << 20)
        except BlockingIOError:
            pass


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A pair whose handshake is done."""
    pair = Pair()
    yield pair
    pair.transport.abort()
    pair.sock.close()
    assert not pair.loop.readers


def test_a_few_key_updates_are_served(pair: Pair) -> None:
    """Thirty between two bytes, second after second: each byte arrives."""
    for count in range(1, 8):
        pair.sock.send(pair.updates(30))
        pair.loop.until(lambda: len(pair.told.data) == count)  # noqa: B023
        pair.answer()
        pair.loop.now += WINDOW
    assert pair.told.calls == ["handshaken"] + ["received"] * 7


@pytest.mark.parametrize("at_once", [True, False], ids=["in one read", "in many reads"])
def test_a_flood_of_key_updates_is_cut(pair: Pair, at_once: bool) -> None:
    """Two hundred within a second, with bytes in between or without: the connection ends, and says why."""
    if at_once:
        pair.sock.send(pair.updates(200))
        pair.loop.settle()
    else:
        for _ in range(20):
            if not pair.told.ends:
                pair.sock.send(pair.updates(10))
                pair.loop.settle()
                pair.answer()
    assert pair.told.ends == [("too many handshake messages", False)]
    assert len(pair.told.data) < 20
    assert pair.told.calls[-1] == "lost"


def test_a_flood_is_cut_within_the_read(pair: Pair) -> None:
    """What the kernel still holds of it is not looked at: the socket is gone before the read returns, and no
    descriptor more is in use."""
    lowest = os.dup(1)
    os.close(lowest)
    connection = pair.transport.connection
    assert isinstance(connection, SSL.Connection)
    pair.sock.send(pair.updates(1000))
    with pytest.raises(SSL.SysCallError) as raised:
        connection.recv(16384)
    assert raised.value.args[0] == errno.EBADF
    assert connection.total_renegotiations() == 0
    with pytest.raises(OSError):
        pair.transport.sock.getpeername()
    with pytest.raises(ConnectionError):
        _drain(pair.sock)
    after = os.dup(1)
    os.close(after)
    assert after == lowest


def _drain(sock: socket.socket) -> None:
    while sock.recv(1 << 20):
        pass
    raise ConnectionError


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


def test_a_flood_ends_even_without_a_descriptor_to_spare(pair: Pair) -> None:
    """Then the socket is shut down: what the kernel holds may still be read, and nothing more."""
    pair.sock.send(pair.updates(100))
    with no_more_descriptors():
        pair.loop.settle()
    assert pair.told.calls[-1] == "lost"
    assert pair.told.ends[0][1] is False


def test_steps_are_counted_within_a_window() -> None:
    """The limit itself is too much, one less is not, and a new window begins at zero."""
    now = [5.0]
    step: list[Callable[..., None]] = []
    cut: list[int] = []

    class Connection:
        def set_info_callback(self, callback: Callable[..., None]) -> None:
            step.append(callback)

    left, right = socket.socketpair()
    connection: Any = Connection()
    limit_messages(connection, left, lambda: now[0])

    def take(count: int) -> bool:
        for _ in range(count):
            step[0](connection, 1, 1)
        try:
            left.getsockname()
        except OSError:
            cut.append(1)
        return bool(cut)

    assert not take(255)
    now[0] = 6.0
    assert not take(255)
    now[0] = 6.999
    assert take(1)
    left.close()
    right.close()


def test_only_tls_has_messages_to_limit() -> None:
    """A connection without TLS is established all the same."""
    with talking("plain") as ends:
        assert ends.right.established


def test_every_established_connection_is_limited() -> None:
    """Those to origins too: an origin may send as many messages as a client."""
    ends = Ends(certificate())
    limited: list[Any] = []
    for transport in (ends.left, ends.right):
        connection: Any = transport.connection
        connection.set_info_callback = limited.append
    ends.shake()
    assert len(limited) == 2
    ends.left.abort()
    ends.right.abort()
