"""How a transport writes: at once if the socket takes it, queued otherwise, and in pieces of a bounded size."""

from __future__ import annotations

import contextlib
import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from edgenode.net.plain import Plain
from edgenode.net.records import RECORD
from edgenode.net.transport import CHUNK, SLICE, WRITE_AHEAD
from tests.support.transports import Ends, certificate, numbered, put, talking

KINDS = pytest.mark.parametrize("kind", ["plain", "TLS"])


def blocked(ends: Ends, size: int = 1_000_000) -> bytes:
    """Let the right end read nothing, and write until the left end's socket takes no more; what was written."""
    ends.right.pause()
    data = b""
    while not ends.left.queued:
        data += numbered(size)
        ends.left.write(numbered(size))
    return data


@KINDS
@pytest.mark.parametrize("size", [1, 1000, RECORD, CHUNK])
def test_what_the_socket_takes_is_sent_at_once(kind: str, size: int) -> None:
    """One call of OpenSSL for what fits into a piece, no queue, and no interest in the socket's being writable."""
    with talking(kind) as ends:
        watched = ends.watch(ends.left)
        ends.left.write(numbered(size))
        assert watched.sends == [numbered(size)]
        assert (ends.left.queued, ends.left.sent) == (0, size)
        assert ends.registered(ends.left) == (True, False)
        ends.loop.settle()
        assert ends.told[0].calls == ["handshaken"], "nothing was queued, so nothing is drained"
        assert ends.told[1].data == numbered(size)


def test_a_large_write_is_given_to_openssl_in_pieces() -> None:
    """128 KiB are two calls, of eight records."""
    with talking() as ends:
        watched = ends.watch(ends.left)
        ends.left.write(numbered(131072))
        assert [len(each) for each in watched.sends] == [65536, 65536]
        assert b"".join(watched.sends) == numbered(131072)


def test_nothing_written_is_nothing_sent() -> None:
    """Empty bytes make no record, neither at once nor in the queue."""
    with talking() as ends:
        watched = ends.watch(ends.left)
        ends.left.write(b"")
        assert watched.sends == []
        blocked(ends)
        queued = ends.left.queued
        ends.left.write(b"")
        ends.right.resume()
        ends.loop.until(lambda: not ends.left.queued)
        assert queued
        assert b"" not in watched.sends


@given(
    kind=st.sampled_from(["plain", "TLS", "TLS, record by record"]),
    sizes=st.lists(st.sampled_from([1, 100, RECORD, CHUNK - 1, CHUNK, CHUNK + 1, 300_000]), min_size=1, max_size=12),
)
def test_bytes_are_sent_once_and_in_order(kind: str, sizes: list[int]) -> None:
    """Whatever the socket takes at a time, and whether OpenSSL says after each record what it took."""
    with talking(kind[:5], partial="record" in kind) as ends:
        total = sum(sizes) + 600_000
        data = numbered(total)
        ends.right.pause()
        at = 0
        for size in [*sizes, 600_000]:
            ends.left.write(data[at : at + size])
            at += size
            assert ends.left.queued + ends.left.sent == at
        ends.right.resume()
        ends.loop.until(lambda: not ends.left.queued)
        ends.loop.settle()
        assert ends.told[1].data == data
        assert (ends.left.queued, ends.left.sent) == (0, total)
        ends.loop.settle()
        assert ends.told[0].calls.count("drained") <= 1


@KINDS
def test_what_is_written_within_a_round_keeps_its_order(kind: str) -> None:
    """Little is held until everybody's bytes have been handed on; much is sent at once, but after the little."""
    with talking(kind) as ends:
        little, much = numbered(100), numbered(CHUNK + 1)
        watched = ends.watch(ends.left)

        def answer() -> None:
            ends.left.write(little)
            ends.left.write(little)
            assert watched.sends == []
            ends.left.write(much)
            assert b"".join(watched.sends) == little + little + much
            ends.left.write(little)

        ends.told[0].then["received"] = answer
        ends.right.write(b"a question")
        ends.loop.settle()
        assert watched.sends[-1] == little
        assert ends.told[1].data == little + little + much + little


@KINDS
def test_what_the_socket_does_not_take_is_queued(kind: str) -> None:
    """The writer is told when all of it is sent, and the socket is no longer watched."""
    with talking(kind) as ends:
        data = blocked(ends)
        assert ends.left.queued
        assert ends.registered(ends.left) == (True, True)
        ends.loop.settle()
        assert ends.told[0].calls == ["handshaken"]
        ends.right.resume()
        ends.loop.until(lambda: not ends.left.queued)
        assert ends.told[0].calls == ["handshaken", "drained"]
        assert ends.registered(ends.left) == (True, False)
        ends.loop.until(lambda: len(ends.told[1].data) == len(data))
        assert ends.told[1].data == data


def test_the_same_bytes_are_given_again() -> None:
    """OpenSSL has taken a part of a piece, and not said which: it gets the whole piece again, though more is queued."""
    with talking() as ends:
        ends.right.pause()
        watched = ends.watch(ends.left)
        while not ends.left.queued:
            ends.left.write(numbered(CHUNK + 5000))
        refused = watched.sends[-1]
        ends.left.write(b"more")
        ends.right.resume()
        watched.sends.clear()
        ends.loop.until(lambda: not ends.left.queued)
        assert watched.sends[0] == refused


class Everything:
    """A connection that takes whatever it is given.

    :ivar sends: how much it was given, call by call.
    """

    def __init__(self) -> None:
        self.sends: list[int] = []

    def send(self, data: bytes) -> int:
        self.sends.append(len(data))
        return len(data)


def test_a_slice_of_writing_ends_when_its_time_is_up() -> None:
    """Each piece takes 0.4 ms, and the socket takes everything: three are sent in a slice, the rest later."""
    with talking() as ends:
        blocked(ends)
        ends.left.write(bytes(10 * CHUNK))
        connection = ends.left.connection
        put(ends.left, Everything())
        watched = ends.watch(ends.left, SLICE * 0.4)
        counts = []
        while ends.left.queued:
            watched.sends.clear()
            assert ends.told[0].calls == ["handshaken"], "nobody is drained of whom something is queued"
            assert ends.registered(ends.left) == (True, True)
            ends.left.doWrite()
            counts.append(len(watched.sends))
        assert ends.registered(ends.left) == (True, False)
        assert set(counts[:-1]) == {3}
        assert len(counts) > 3
        assert ends.told[0].calls == ["handshaken", "drained"]
        ends.left.connection = connection


def test_a_write_sends_at_once_what_a_slice_may() -> None:
    """Of a megabyte 128 KiB are sent from within the write, though the socket would take more; the rest is queued."""
    with talking() as ends:
        connection, taking = ends.left.connection, Everything()
        put(ends.left, taking)
        ends.left.write(bytes(1 << 20))
        assert taking.sends == [CHUNK, CHUNK]
        assert (ends.left.sent, ends.left.queued) == (WRITE_AHEAD, (1 << 20) - WRITE_AHEAD)
        assert ends.registered(ends.left) == (True, True)
        ends.left.connection = connection


@KINDS
def test_what_is_written_before_the_handshake_is_sent_after_it(kind: str) -> None:
    """In order, and before what the receiver writes when it hears of the handshake."""
    ends = Ends(None if kind == "plain" else certificate())
    ends.left.write(b"early, ")
    ends.told[0].then["handshaken"] = lambda: ends.left.write(b"late")
    ends.shake()
    ends.loop.until(lambda: len(ends.told[1].data) >= len(b"early, late"))
    assert ends.told[1].data == b"early, late"
    ends.left.abort()
    ends.right.abort()


# -- failures ----------------------------------------------------------------------------------------------------------


@KINDS
def test_a_writer_hears_of_a_broken_connection_later(kind: str) -> None:
    """A write to a connection that is gone does not call back into its writer; what it writes then is dropped."""
    with talking(kind) as ends:
        ends.left.pause()
        ends.right.abort()
        watched = ends.watch(ends.left)
        for _ in range(3):
            ends.left.write(b"a")
        assert ends.told[0].ends == []
        assert len(watched.sends) == 1
        assert ends.left.queued == 0
        ends.loop.turn()
        assert ends.told[0].calls == ["handshaken", "lost"]
        assert ends.told[0].ends == [("Broken pipe", False)]


@KINDS
def test_a_queue_whose_connection_breaks_is_dropped(kind: str) -> None:
    """The other side goes while something is queued: the end is told, as no clean one."""
    with talking(kind) as ends:
        ends.left.pause()
        blocked(ends)
        ends.right.abort()
        ends.loop.until(lambda: ends.told[0].ends)
        ((reason, clean),) = ends.told[0].ends
        assert (bool(reason), clean) == (True, False)
        assert (ends.left.queued, ends.left.lost) == (0, True)
        ends.left.write(b"more")
        assert ends.left.queued == 0


class Handshake(Plain):
    """A connection whose handshake raises what it is given, one after the other, and then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    def do_handshake(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def recv_into(self, buffer: memoryview) -> int:
        raise SSL.WantReadError

    def shutdown(self) -> bool:
        return True


def handshaking(ends: Ends, *errors: BaseException) -> None:
    """Start the left end with a handshake of one's own."""
    connection: Any = Handshake(*errors)
    ends.left.connection = connection
    ends.left.start()


@pytest.fixture
def ends() -> Any:
    """Two ends that nobody has started."""
    ends = Ends(None)
    yield ends
    ends.left.abort()
    ends.right.abort()
    assert not ends.loop.readers


def test_a_handshake_waits_for_what_it_wants(ends: Ends) -> None:
    """For the socket to be writable, then for it to be readable, and each only as long as it is wanted."""
    handshaking(ends, SSL.WantWriteError(), SSL.WantReadError())
    assert ends.registered(ends.left) == (False, True)
    ends.loop.turn()
    assert ends.registered(ends.left) == (True, False)
    assert not ends.left.established
    ends.right.sock.send(b"a")
    ends.loop.turn()
    assert ends.left.established
    assert ends.registered(ends.left) == (True, False)
    assert ends.told[0].calls == ["handshaken"]


def test_a_handshake_that_ends_with_writing_stops_watching_for_it(ends: Ends) -> None:
    """A socket is nearly always writable: an established connection is not woken up for that."""
    handshaking(ends, SSL.WantWriteError())
    ends.loop.turn()
    assert ends.registered(ends.left) == (True, False)
    assert ends.told[0].calls == ["handshaken"]


def test_a_handshake_goes_on_while_its_receiver_is_paused(ends: Ends) -> None:
    """It is no delivery; but nothing is read after it."""
    handshaking(ends, SSL.WantReadError())
    ends.left.pause()
    ends.right.sock.send(b"a")
    ends.loop.turn()
    assert ends.left.established
    assert ends.told[0].calls == ["handshaken"]
    assert ends.registered(ends.left) == (False, False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SSL.Error([("SSL routines", "", "no shared cipher")]), "no shared cipher"),
        (SSL.SysCallError(errno.ECONNRESET, "ECONNRESET"), "Connection reset by peer"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "closed without close_notify"),
        (SSL.ZeroReturnError(), "closed by the other side"),
        (ZeroDivisionError(), "something of our own failed in the handshake"),
    ],
)
def test_a_handshake_that_fails_says_why(ends: Ends, error: BaseException, reason: str) -> None:
    """In OpenSSL's words, or the system's; an exception of a callback without name and traceback."""
    handshaking(ends, error)
    assert ends.told[0].calls == ["lost"]
    assert ends.told[0].ends == [(reason, False)]
    assert not ends.left.established


def test_what_is_no_tls_fails_the_handshake() -> None:
    """The other side speaks in the clear: OpenSSL says what it thinks of that, and nothing was received."""
    ends = Ends(certificate())
    ends.left.start()
    ends.right.sock.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    ends.loop.until(lambda: ends.told[0].ends)
    ((reason, clean),) = ends.told[0].ends
    assert "version" in reason or "record" in reason
    assert not clean
    assert ends.told[0].calls == ["lost"]
    ends.right.abort()


def test_writes_wait_for_a_handshake_that_is_under_way(ends: Ends) -> None:
    """They are queued and not sent, though the socket is writable."""
    handshaking(ends, SSL.WantReadError())
    ends.left.write(b"early")
    ends.loop.settle()
    assert ends.left.queued == 5
    assert ends.registered(ends.left) == (True, False)


def test_an_established_connection_is_closed_after_an_early_write(ends: Ends) -> None:
    """Closed before its handshake is done, it still sends what was written before that."""
    sent: list[bytes] = []

    def send(data: bytes) -> int:
        sent.append(bytes(data))
        return len(data)

    handshaking(ends, SSL.WantReadError())
    connection: Any = ends.left.connection
    connection.send = send
    ends.left.write(b"early")
    ends.left.close()
    ends.left.write(b"too late")
    ends.right.sock.send(b"a")
    ends.loop.until(lambda: ends.told[0].ends)
    assert sent == [b"early"]
    assert ends.told[0].ends == [("", True)]


def test_who_does_not_read_our_handshake_wakes_nobody() -> None:
    """While our messages wait for the socket, what a client sends is not read, and the loop is not told of it."""
    ends = Ends(certificate())
    ends.right.start()
    assert ends.registered(ends.right) == (True, False)
    with pytest.raises(SSL.WantReadError):
        ends.left.connection.do_handshake()
    fill = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            fill += ends.right.sock.send(bytes(1000))
    ends.loop.turn()
    assert ends.registered(ends.right) == (False, True)
    while fill > 0:
        fill -= len(ends.left.sock.recv(min(fill, 65536)) or bytes(fill))
    ends.left.start()
    ends.loop.until(lambda: ends.left.established and ends.right.established)
    assert ends.registered(ends.right) == (True, False)
    ends.left.abort()
    ends.right.abort()
