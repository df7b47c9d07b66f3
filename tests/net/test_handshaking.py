"""Handshakes by steps: a step takes few records, none behind the handshake, and ends as OpenSSL's own would."""

from __future__ import annotations

import contextlib
import socket
from array import array
from collections.abc import Iterator
from fcntl import ioctl
from termios import FIONREAD

import pytest
from OpenSSL import SSL

from edgenode.net.handshaking import AT_ONCE, MOST, SteppedConnection
from tests.support.handshakes import client, server
from tests.support.transports import certificate

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


class Pair:
    """Both ends of a connection, without a handshake yet; ``theirs`` is plain OpenSSL's."""

    def __init__(self, version: str = "1.3", ours: str = "server") -> None:
        self.theirs, self.ours = socket.socketpair()
        for each in (self.theirs, self.ours):
            each.setblocking(False)
        contexts = {"client": client(version=version), "server": server(certificate())}
        self.tls = SteppedConnection(contexts[ours], self.ours)
        self.other = SSL.Connection(contexts["server" if ours == "client" else "client"], self.theirs)
        (self.tls if ours == "client" else self.other).set_connect_state()
        (self.other if ours == "client" else self.tls).set_accept_state()

    def step(self, connection: SSL.Connection) -> bool:
        """Whether its handshake is done."""
        try:
            connection.do_handshake()
        except (SSL.WantReadError, SSL.WantWriteError):
            return False
        return True

    def shake(self) -> None:
        """The whole handshake."""
        done = [False, False]
        for _ in range(20):
            for which, connection in enumerate((self.other, self.tls)):
                done[which] = done[which] or self.step(connection)
        assert all(done)

    @property
    def unread(self) -> int:
        """The bytes that our side has not read yet."""
        count = array("i", [0])
        ioctl(self.ours, FIONREAD, count)
        return count[0]

    def close(self) -> None:
        """Close both ends."""
        self.theirs.close()
        self.ours.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A server of ours and its client."""
    pair = Pair()
    yield pair
    pair.close()


def hello() -> bytes:
    """A ClientHello of OpenSSL's: the message."""
    tls = SSL.Connection(client(), None)
    tls.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        tls.do_handshake()
    return tls.bio_read(65536)[5:]


def records(message: bytes, size: int) -> bytes:
    """A message in records of so many bytes."""
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


@BOTH
@pytest.mark.parametrize("ours", ["server", "client"])
def test_a_handshake_is_a_handshake(ours: str, version: str) -> None:
    """On either side; and then bytes go both ways over the socket alone."""
    pair = Pair(version, ours)
    pair.shake()
    for sender, receiver in ((pair.tls, pair.other), (pair.other, pair.tls)):
        sender.send(b"x" * 10_000)
        received = b""
        for _ in range(5):
            try:
                received += receiver.recv(65536)
            except SSL.WantReadError:
                pass
        assert len(received) == 10_000
    with pytest.raises(TypeError):
        pair.tls.bio_read(1)
    pair.close()


@BOTH
@pytest.mark.parametrize("size", [1, 2, 100])
def test_records_that_come_bit_by_bit(version: str, size: int) -> None:
    """Every byte of the client by itself: the same handshake."""
    pair = Pair(version)
    relay, end = socket.socketpair()
    for each in (relay, end):
        each.setblocking(False)
    other = SSL.Connection(client(version=version), end)
    other.set_connect_state()
    done = [False, False]
    for _ in range(20):
        done[0] = done[0] or pair.step(other)
        for source, target, piece in ((relay, pair.theirs, size), (pair.theirs, relay, 65536)):
            while True:
                try:
                    data = source.recv(piece)
                except BlockingIOError:
                    break
                target.send(data)
                done[1] = done[1] or pair.step(pair.tls)
    assert done == [True, True]
    for sock in (relay, end):
        sock.close()
    pair.close()


@BOTH
def test_nothing_behind_the_handshake_is_taken(version: str) -> None:
    """What a client sends together with its Finished is read from the socket afterwards."""
    pair = Pair(version)
    assert not pair.step(pair.other)
    pair.step(pair.tls)
    done = pair.step(pair.other)
    if done:
        pair.other.send(b"early")
    pair.tls.do_handshake()
    if not done:
        assert pair.step(pair.other)
        pair.other.send(b"early")
    received = b""
    for _ in range(3):
        try:
            received += pair.tls.recv(100)
        except SSL.WantReadError:
            pass
    assert received == b"early"
    pair.close()


def test_a_step_takes_few_records(pair: Pair) -> None:
    """Thousands of them are there; the rest waits for the next step, and others have their turn between."""
    data = records(hello(), 1)
    pair.theirs.send(data)
    before = pair.unread
    steps = 0
    while pair.unread and steps < 100:
        assert not pair.step(pair.tls)
        assert before - pair.unread <= 6 * AT_ONCE
        before = pair.unread
        steps += 1
    assert steps >= len(data) // (6 * AT_ONCE)


def test_what_is_within_a_record_is_taken_for_none(pair: Pair) -> None:
    """Bytes that look like the headers of tiny records are not counted as such."""
    pair.theirs.send(records(b"\1\0\xff\xff\0" + b"\x16\3\1\0\1\0" * 2700, 16384))
    steps = 0
    while pair.unread and steps < 100:
        assert not pair.step(pair.tls)
        steps += 1
    assert steps == 4


def test_a_second_hello_of_any_length_is_bounded_too(pair: Pair) -> None:
    """A whole handshake has so many records, and no more."""
    pair.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pair.theirs.send(records(b"\1\1\xff\xff" + bytes(10_000), 1)[: 6 * (MOST + 1000)])

    def steps() -> None:
        for _ in range(200):
            pair.step(pair.tls)

    with pytest.raises(SSL.Error, match="too many records in a handshake"):
        steps()


def test_what_is_no_tls_is_told_at_once() -> None:
    """An origin that answers in plain HTTP: its length is not waited for."""
    pair = Pair(ours="client")
    assert not pair.step(pair.tls)
    pair.theirs.send(b"HTTP/1.1 400")
    with pytest.raises(SSL.Error, match=r"wrong version number|http"):
        pair.step(pair.tls)
    pair.close()


def test_an_alert_is_sent(pair: Pair) -> None:
    """What OpenSSL has written when it fails goes out."""
    pair.theirs.send(b"\x16\x03\x01\0\4\2\0\0\0")
    with pytest.raises(SSL.Error):
        pair.step(pair.tls)
    assert pair.theirs.recv(100) == b"\x15\x03\x03\0\2\2\x0a"


def test_an_end_within_the_handshake_is_one(pair: Pair) -> None:
    """As OpenSSL tells it, and a reset likewise."""
    pair.theirs.send(records(hello(), 100)[:150])
    assert not pair.step(pair.tls)
    pair.theirs.close()
    with pytest.raises(SSL.SysCallError, match="Unexpected EOF"):
        pair.step(pair.tls)


def test_what_the_socket_does_not_take_waits() -> None:
    """The step says that it wants to write, and goes on from there."""
    pair = Pair()
    assert not pair.step(pair.other)
    pair.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    fill = 0
    while True:
        try:
            fill += pair.ours.send(bytes(1000))
        except BlockingIOError:
            break
    with pytest.raises(SSL.WantWriteError):
        pair.tls.do_handshake()
    while fill > 0:
        fill -= len(pair.theirs.recv(min(fill, 65536)) or bytes(fill))
    pair.shake()
    pair.close()


def test_what_comes_behind_the_last_message_waits_while_ours_is_not_sent() -> None:
    """The last step has to be taken up again, and what stands in the socket by then is still read from it."""
    pair = Pair("1.2")
    assert not pair.step(pair.other)
    assert not pair.step(pair.tls)
    assert not pair.step(pair.other)
    pair.theirs.send(b"\x17\3\3\0\5early")
    pair.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    fill = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            fill += pair.ours.send(bytes(1000))
    for _ in range(2):
        with pytest.raises(SSL.WantWriteError):
            pair.tls.do_handshake()
    while fill > 0:
        fill -= len(pair.theirs.recv(min(fill, 65536)) or bytes(fill))
    pair.tls.do_handshake()
    assert pair.step(pair.other)
    assert pair.unread == 10
    pair.close()
