"""Records without application data after the handshake: a few are served, a flood is cut, and a read costs one."""

from __future__ import annotations

import os
import resource
import socket
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from termios import FIONREAD
from typing import Any

import pytest
from OpenSSL import SSL

from edgenode.net import tls_messages
from edgenode.net.tls_messages import WINDOW, Messages
from edgenode.net.transport import Transport
from tests.support.handshakes import client, server
from tests.support.tls_records import APPLICATION_DATA, TLS12_CIPHERS, Secrets, Writer, Writer12
from tests.support.transports import Ends, Loop, Told, certificate, talking

RECORD = 27
"""Bytes of a record with a KeyUpdate in it."""

TICKETS = 2
"""Session tickets that a server of OpenSSL's sends after a handshake."""


class Pair:
    """A transport, and its peer that writes its records by hand: a client of a server's unless said otherwise."""

    def __init__(self, version: str = "1.3", ours: str = "server") -> None:
        self.secrets = Secrets()
        self.loop, self.told = Loop(), Told()
        self.sock, end = socket.socketpair()
        for each in (self.sock, end):
            each.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        context = client(version=version, ciphers=TLS12_CIPHERS)
        context.set_keylog_callback(self.secrets)
        clients = SSL.Connection(context, self.sock if ours == "server" else end)
        clients.set_connect_state()
        servers = SSL.Connection(server(certificate()), end if ours == "server" else self.sock)
        servers.set_accept_state()
        self.connection, self.tls = (servers, clients) if ours == "server" else (clients, servers)
        self.transport = Transport(self.loop.poller, end, self.connection, self.told)
        for _ in range(10):
            self._handshake()
        self.loop.settle()
        if version == "1.3":
            side = (b"CLIENT", 0) if ours == "server" else (b"SERVER", TICKETS)
            self.records = Writer(self.tls, self.secrets, *side)
        else:
            self.records12 = Writer12(self.tls)

    def _handshake(self) -> None:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            pass
        if not self.transport.established:
            self.transport.start()

    def updates(self, count: int, requested: bool = True) -> bytes:
        """So many KeyUpdates, and a byte of application data."""
        updates = b"".join(self.records.key_update(requested) for _ in range(count))
        return updates + self.records.record(APPLICATION_DATA, b"a")

    def answer(self) -> None:
        """Read what the other side answers, so that it does not have to wait for that."""
        try:
            self.sock.recv(1 << 20)
        except OSError:
            pass

    @property
    def unread(self) -> int:
        """The bytes that our side has not read yet."""
        count = array("i", [0])
        ioctl(self.transport.sock, FIONREAD, count)
        return count[0]

    def end(self) -> None:
        """Close both ends; nothing is left."""
        self.transport.abort()
        self.sock.close()
        assert not self.loop.readers


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A server's transport and a client, by TLS 1.3."""
    pair = Pair()
    yield pair
    pair.end()


@pytest.fixture
def older() -> Iterator[Pair]:
    """The same by TLS 1.2."""
    pair = Pair("1.2")
    yield pair
    pair.end()


def test_a_few_key_updates_are_served(pair: Pair) -> None:
    """Thirty between two bytes, second after second: each byte arrives."""
    for count in range(1, 8):
        pair.sock.send(pair.updates(30))
        pair.loop.until(lambda: len(pair.told.data) == count)  # noqa: B023
        pair.answer()
        pair.loop.now += WINDOW
    assert pair.told.calls == ["handshaken"] + ["received"] * 7


@pytest.mark.parametrize("requested", [True, False], ids=["answered", "unanswered"])
@pytest.mark.parametrize("at_once", [True, False], ids=["in one read", "in many reads"])
@pytest.mark.parametrize("ours", ["server", "client"])
def test_a_flood_of_key_updates_is_cut(ours: str, at_once: bool, requested: bool) -> None:
    """Two hundred within a second, with bytes in between or without: the connection ends, and says why. An origin's
    connection does so too."""
    pair = Pair(ours=ours)
    if at_once:
        pair.sock.send(pair.updates(200, requested))
        pair.loop.settle()
    else:
        for _ in range(20):
            if not pair.told.ends:
                pair.sock.send(pair.updates(10, requested))
                pair.loop.settle()
                pair.answer()
    assert pair.told.ends == [("too many handshake messages", False)]
    assert len(pair.told.data) < 20
    assert pair.told.calls[-1] == "lost"
    pair.end()


def test_a_read_costs_one_message(pair: Pair) -> None:
    """OpenSSL does not go on to the next one by itself: what is behind it stays in the socket."""
    data = pair.updates(40, False)
    pair.sock.send(data)
    for left in range(1, 4):
        with pytest.raises(SSL.WantReadError):
            pair.connection.recv(16384)
        assert pair.unread == len(data) - left * RECORD


def test_what_stands_behind_a_message_is_read_with_it(pair: Pair) -> None:
    """One call of the reactor hands it on: nobody takes a connection with unread bytes for one that is silent."""
    pair.sock.send(pair.updates(3))
    pair.transport.doRead()
    assert pair.told.data == b"a"


def test_bytes_behind_messages_behind_bytes_are_left_for_the_next_slice(pair: Pair) -> None:
    """A slice hands on what one read may have, and then at most that once more, whatever stands in between."""
    full = bytes(16384)
    pair.sock.send(b"".join(pair.updates(1) + pair.records.record(APPLICATION_DATA, full) for _ in range(10)))
    pair.transport.doRead()
    assert len(pair.told.data) < 3 * 16384
    pair.loop.settle()
    assert len(pair.told.data) == 10 * 16385


def test_the_time_for_messages_is_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few messages with costly records in between cost as much as many: who takes too long in a slice is cut."""
    monkeypatch.setattr(tls_messages, "PATIENCE", 0.0)
    pair.sock.send(pair.updates(2))
    pair.transport.doRead()
    assert pair.told.ends == [("too many handshake messages", False)]


def test_a_renegotiation_is_refused_and_the_connection_goes_on(older: Pair) -> None:
    """TLS 1.2 has an alert for it, no_renegotiation: nothing else has changed."""
    for count in range(1, 4):
        older.sock.send(older.records12.renegotiation())
        older.loop.settle()
        older.sock.send(older.records12.record(APPLICATION_DATA, b"a"))
        older.loop.until(lambda: len(older.told.data) == count)  # noqa: B023
        older.answer()
    assert older.told.ends == []


@pytest.mark.parametrize("first", [0, 1], ids=["at once", "bit by bit"])
@pytest.mark.parametrize("size", [1, 100])
def test_a_renegotiation_in_pieces_is_cut(older: Pair, size: int, first: int) -> None:
    """OpenSSL would read on to the end of it, up to 128 KiB in records of a byte, whatever it costs."""
    data = older.records12.renegotiation(size)
    head = 5 + 8 + size + 16
    if first:
        for at in range(0, 4 * head, head):
            if not older.told.ends:
                older.sock.send(data[at : at + head])
                older.loop.settle()
    else:
        older.sock.send(data)
        older.loop.settle()
    assert older.told.ends == [("too many handshake messages", False)]


def test_a_flood_of_renegotiations_is_cut_within_the_read(older: Pair) -> None:
    """What the kernel still holds of it is not looked at: the socket is gone before the read returns, and no
    descriptor more is in use."""
    lowest = os.dup(1)
    os.close(lowest)
    older.sock.send(b"".join(older.records12.renegotiation() for _ in range(100)))
    older.transport.doRead()
    assert older.told.ends == [("too many handshake messages", False)]
    with pytest.raises(OSError):
        _drain(older.sock)
    after = os.dup(1)
    os.close(after)
    assert after <= lowest


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


def test_a_flood_ends_even_without_a_descriptor_to_spare(older: Pair) -> None:
    """Then the socket is shut down: what the kernel holds may still be read, and nothing more."""
    older.sock.send(b"".join(older.records12.renegotiation() for _ in range(100)))
    with no_more_descriptors():
        older.loop.settle()
    assert older.told.calls[-1] == "lost"
    assert older.told.ends[0][1] is False


def test_steps_are_counted_within_a_window(pair: Pair) -> None:
    """The limit itself is too much, one less is not, and a new window begins at zero."""
    now = [5.0]
    step: list[Callable[..., None]] = []
    connection: Any = pair.connection
    connection.set_info_callback = step.append
    messages = Messages(connection, pair.sock, lambda: now[0])
    messages.begin()

    def take(count: int) -> bool:
        for _ in range(count):
            step[0](connection, 1, 1)
        return messages.excess

    assert not take(255)
    now[0] = 6.0
    assert not take(255)
    now[0] = 6.999
    assert take(1)


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
