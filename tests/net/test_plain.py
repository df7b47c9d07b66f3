"""A plain socket speaks as an ``SSL.Connection`` does, as far as a transport listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from edgenode.net.plain import Plain


@pytest.fixture
def ends() -> Iterator[tuple[Plain, socket.socket]]:
    """A plain connection, and the other end of its socket."""
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right:
        yield Plain(left), right


def test_it_reads_and_writes(ends: tuple[Plain, socket.socket]) -> None:
    """What is there, up to a size; what the socket takes; and there is no handshake, and nothing decrypted."""
    plain, other = ends
    plain.do_handshake()
    other.send(b"question")
    space = bytearray(100)
    assert (plain.recv_into(memoryview(space)[:5]), plain.recv_into(memoryview(space)[5:]), plain.pending()) == (
        5,
        3,
        0,
    )
    assert space[:8] == b"question"
    assert plain.send(memoryview(b"answer")) == 6
    assert other.recv(100) == b"answer"


def test_nothing_there_is_no_error(ends: tuple[Plain, socket.socket]) -> None:
    """An empty socket says so as OpenSSL does, and so does a full one."""
    plain, _ = ends
    with pytest.raises(SSL.WantReadError):
        plain.recv_into(memoryview(bytearray(100)))
    for _ in range(100):
        try:
            plain.send(bytes(100_000))
        except SSL.WantWriteError:
            break
    else:
        raise AssertionError("it is never full")


def test_a_fin_is_a_proper_end(ends: tuple[Plain, socket.socket]) -> None:
    """Either side can end its sending side alone."""
    plain, other = ends
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(SSL.ZeroReturnError):
        plain.recv_into(memoryview(bytearray(100)))
    assert plain.send(b"answer") == 6
    assert plain.shutdown()
    assert other.recv(100) == b"answer"
    assert other.recv(100) == b""


def test_errors_are_openssl_s(ends: tuple[Plain, socket.socket]) -> None:
    """With the system's number and words; a shutdown of what is gone is none."""
    plain, other = ends
    plain.send(b"unread")
    other.close()
    with pytest.raises(SSL.SysCallError) as raised:
        plain.recv_into(memoryview(bytearray(100)))
    assert raised.value.args == (104, "Connection reset by peer")
    with pytest.raises(SSL.SysCallError) as raised:
        plain.send(b"a")
    assert raised.value.args == (32, "Broken pipe")
    plain.shutdown()
    plain._socket.close()
    plain.shutdown()
