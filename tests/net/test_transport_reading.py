"""How a transport reads: each byte once and in order, in slices of bounded size and time, nothing while paused."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.python.failure import Failure

from edgenode.net.records import RECORD
from edgenode.net.transport import READ_AHEAD, SLICE, Transport
from tests.support.transports import Ends, certificate, numbered, put, talking

KINDS = pytest.mark.parametrize("kind", ["plain", "TLS"])

SIZES = st.sampled_from([1, 2, 100, 5000, RECORD - 1, RECORD, RECORD + 1, 40_000, 200_000])


@given(
    kind=st.sampled_from(["plain", "TLS"]),
    sizes=st.lists(SIZES, min_size=1, max_size=8),
    moves=st.lists(st.sampled_from(["pause", "resume", "again", "turn"]), max_size=20),
)
def test_bytes_arrive_once_and_in_order(kind: str, sizes: list[int], moves: list[str]) -> None:
    """However they are written, whenever the receiver pauses or asks for a turn: all of them, once, in order."""
    data = numbered(sum(sizes))
    with talking(kind) as ends:
        told, right = ends.told[1], ends.right
        pending = iter(moves)

        def move() -> None:
            match next(pending, "resume"):
                case "pause":
                    right.pause()
                case "again":
                    right.call_again()

        told.then["received"] = move
        at = 0
        for size in sizes:
            ends.left.write(data[at : at + size])
            at += size
            ends.loop.turn()
        for each in moves:
            if each == "resume":
                right.resume()
            ends.loop.turn()
        for _ in range(200):
            right.resume()
            ends.loop.turn()
        assert told.data == data
        assert (ends.left.queued, ends.left.sent) == (0, len(data))


@KINDS
def test_a_small_message_is_one_read(kind: str) -> None:
    """It is read at once, and OpenSSL is not asked for more, which would cost an exception."""
    with talking(kind) as ends:
        watched = ends.watch(ends.right)
        for number in range(3):
            ends.left.write(b"a" * (RECORD - 1))
            ends.loop.until(lambda: len(ends.told[1].pieces) > number)  # noqa: B023
        assert watched.recvs == [RECORD] * 3
        assert watched.raised == []


@KINDS
def test_two_records_are_two_reads(kind: str) -> None:
    """What the first read leaves is read with the second, and delivered with it."""
    with talking(kind) as ends:
        watched = ends.watch(ends.right)
        ends.left.write(numbered(RECORD + 5000))
        ends.loop.until(lambda: ends.told[1].pieces)
        assert ends.told[1].pieces == [numbered(RECORD + 5000)]
        assert watched.recvs == [RECORD, RECORD]
        assert watched.raised == []


@KINDS
def test_a_slice_delivers_everything_as_one_up_to_a_bound(kind: str) -> None:
    """A megabyte waits: the receiver gets 48 KiB in one piece, from reads of whole records; nothing stays behind."""
    with talking(kind) as ends:
        ends.left.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ends.right.pause()
        ends.left.write(numbered(1 << 20))
        ends.loop.settle()
        ends.right.resume()
        watched = ends.watch(ends.right)
        ends.right.doRead()
        (piece,) = ends.told[1].pieces
        assert piece == numbered(1 << 20)[: len(piece)]
        assert len(piece) == READ_AHEAD == 49152
        assert watched.recvs == [RECORD] * 3
        assert ends.right.connection.pending() == 0


@pytest.mark.parametrize("cost", [SLICE / 4, SLICE / 2, SLICE * 2])
def test_a_slice_ends_when_its_time_is_up(cost: float) -> None:
    """Each read takes a while: a slice stops reading after a millisecond, delivers, and is continued in the next."""
    with talking() as ends:
        ends.right.pause()
        ends.left.write(numbered(100_000))
        ends.loop.settle()
        ends.right.resume()
        watched = ends.watch(ends.right, cost)
        began = ends.loop.now
        ends.right.doRead()
        assert ends.loop.now - began <= 0.0011 + 2 * cost
        assert len(watched.recvs) == min(3, 1 + max(1, round(SLICE / cost)))
        assert len(ends.told[1].pieces) == 1
        ends.loop.until(lambda: len(ends.told[1].data) == 100_000)


def test_a_slice_reads_one_tiny_record() -> None:
    """Records of one byte each: one is delivered in a slice, so that everybody else has a turn in between."""
    with talking() as ends:
        ends.right.pause()
        for byte in b"tiny":
            ends.left.write(bytes([byte]))
        ends.right.resume()
        ends.right.doRead()
        assert ends.told[1].pieces == [b"t"]
        ends.loop.until(lambda: ends.told[1].data == b"tiny")


@KINDS
def test_nothing_is_read_while_paused(kind: str) -> None:
    """What comes stays in the kernel, until that is full and the other side has to wait; it all arrives later."""
    data = numbered(3_000_000)
    with talking(kind) as ends:
        ends.right.pause()
        watched = ends.watch(ends.right)
        ends.left.write(data)
        ends.loop.settle()
        ends.right.doRead()  # whoever calls it
        assert watched.recvs == []
        assert ends.told[1].pieces == []
        assert ends.left.queued > 1_000_000
        assert ends.registered(ends.right)[0] is False
        ends.right.resume()
        ends.loop.until(lambda: len(ends.told[1].data) == len(data))
        assert ends.told[1].data == data


@KINDS
def test_a_pause_within_a_delivery_holds(kind: str) -> None:
    """The receiver pauses when it gets its first bytes: no more come, not even those that belong to the same record."""
    data = numbered(500_000)
    with talking(kind) as ends:
        told = ends.told[1]
        told.then["received"] = ends.right.pause
        ends.left.write(data)
        ends.loop.until(lambda: told.pieces)
        ends.loop.settle()
        pieces = 1
        while len(told.data) < len(data):
            assert len(told.pieces) == pieces
            ends.right.resume()
            ends.loop.settle()
            pieces += 1
        assert told.data == data
        assert told.calls.count("received") == pieces


def test_resuming_delivers_what_is_decrypted_already() -> None:
    """The record is in OpenSSL and the socket is empty: no poll tells of it, but it comes in the next round, once."""
    with talking() as ends:
        ends.right.pause()
        ends.left.write(b"decrypted already")
        assert (ends.right._fill(0, 1), ends.right._content[:1]) == (1, b"d")
        ends.right.resume()
        assert ends.told[1].pieces == []
        ends.loop.turn()
        assert ends.told[1].pieces == [b"ecrypted already"]
        ends.loop.settle()
        assert ends.told[1].calls == ["handshaken", "received"]


@pytest.mark.parametrize("then", ["pause", "abort"])
def test_what_is_decrypted_waits_for_who_pauses_again(then: str) -> None:
    """Between resuming and the next round the receiver pauses, or ends: nothing is delivered."""
    with talking() as ends:
        ends.right.pause()
        ends.left.write(b"decrypted already")
        assert (ends.right._fill(0, 1), ends.right._content[:1]) == (1, b"d")
        ends.right.resume()
        getattr(ends.right, then)()
        ends.loop.settle()
        assert ends.told[1].pieces == []
        if then == "pause":
            ends.right.resume()
            ends.loop.settle()
            assert ends.told[1].pieces == [b"ecrypted already"]


def test_what_a_slice_leaves_decrypted_is_read_next() -> None:
    """Time is up in the middle of a record, and the socket is empty: the rest of the record comes in the next round."""
    with talking() as ends:
        ends.right.pause()
        ends.left.write(numbered(RECORD + 1000))
        ends.loop.settle()
        ends.right.resume()
        ends.watch(ends.right, SLICE * 2)
        ends.loop.poller.clock = iter(range(1000)).__next__
        ends.right.doRead()
        assert ends.told[1].pieces == [numbered(RECORD + 1000)[:RECORD]]
        ends.loop.poller.clock = ends.loop.clock
        ends.loop.turn()
        ends.loop.turn()
        assert ends.told[1].data == numbered(RECORD + 1000)


def test_resuming_without_a_pause_changes_nothing() -> None:
    """And resuming twice delivers nothing twice."""
    with talking() as ends:
        ends.right.resume()
        ends.left.write(b"once")
        ends.loop.settle()
        ends.right.pause()
        ends.right.resume()
        ends.right.resume()
        ends.loop.settle()
        assert ends.told[1].pieces == [b"once"]


# -- a receiver that goes on -------------------------------------------------------------------------------------------


@KINDS
def test_a_receiver_that_goes_on_is_called_after_the_others(kind: str) -> None:
    """It is called without bytes, and until then nothing is read, though bytes are there."""
    with talking(kind) as ends, talking(kind):
        told = ends.told[1]
        rounds: list[int] = []

        def go_on() -> None:
            rounds.append(len(told.pieces))
            if len(rounds) < 4:
                ends.right.call_again()
                ends.left.write(b"more")

        told.then["received"] = go_on
        ends.left.write(b"first")
        ends.loop.settle()
        assert told.pieces[:4] == [b"first", b"", b"", b""]
        assert b"".join(told.pieces[4:]) == b"more" * 3


def test_going_on_waits_while_the_receiver_is_paused() -> None:
    """A receiver that asks for its turn and pauses has it when it resumes, once."""
    with talking() as ends:
        told = ends.told[1]
        ends.right.call_again()
        ends.right.pause()
        ends.loop.settle()
        assert told.pieces == []
        ends.left.write(b"more")
        ends.right.resume()
        ends.right.doRead()
        assert told.pieces == [], "nothing is read before its turn"
        ends.loop.settle()
        assert told.pieces == [b"", b"more"]


def test_asking_twice_is_asking_once() -> None:
    """A receiver that goes on for ever has one call in a round, however often it asks, and another has one too."""
    log: list[str] = []

    class Other:
        """Something else that always goes on."""

        def doAgain(self) -> None:
            log.append("other")
            if len(log) < 10:
                ends.loop.poller.again(self)

    def go_on() -> None:
        log.append("right")
        if len(log) < 10:
            ends.right.call_again()
            ends.right.call_again()

    with talking() as ends:
        ends.told[1].then["received"] = go_on
        ends.right.call_again()
        ends.right.pause()
        ends.right.call_again()
        ends.right.resume()
        ends.loop.poller.again(Other())
        ends.loop.settle()
        assert log[:10] == ["right", "other"] * 5


def test_going_on_delivers_what_is_decrypted_afterwards() -> None:
    """A receiver asks for its turn while a record is half read and the socket is empty: the other half comes too."""
    with talking() as ends:
        told = ends.told[1]
        ends.right.pause()
        ends.left.write(b"decrypted already")
        assert (ends.right._fill(0, 1), ends.right._content[:1]) == (1, b"d")
        ends.right.call_again()
        ends.right.resume()
        ends.loop.settle()
        assert told.pieces == [b"", b"ecrypted already"]


def test_going_on_is_possible_after_the_other_side_has_ended() -> None:
    """Its last requests may take several turns."""
    with talking() as ends:
        told = ends.told[1]
        told.then["ended"] = ends.right.call_again
        ends.left.write(b"last")
        ends.left.half_close()
        ends.loop.settle()
        assert told.pieces == [b"last", b""]
        assert told.calls == ["handshaken", "received", "ended", "received"]


def test_nobody_goes_on_after_the_end() -> None:
    """A connection that is lost before its turn comes gets none."""
    with talking() as ends:
        ends.right.call_again()
        ends.right.abort()
        ends.loop.settle()
        assert ends.told[1].calls == ["handshaken", "lost"]


# -- failures ----------------------------------------------------------------------------------------------------------


@KINDS
def test_nothing_is_delivered_after_the_end(kind: str) -> None:
    """A receiver that ends the connection with its first bytes gets no more, and hears of no other end."""
    with talking(kind) as ends:
        told = ends.told[1]
        told.then["received"] = lambda: ends.right.abort("enough")
        ends.left.write(numbered(500_000))
        ends.left.close()
        ends.loop.settle()
        assert told.calls == ["handshaken", "received", "lost"]
        assert told.ends == [("enough", False)]


def _fail() -> None:
    raise ZeroDivisionError


@KINDS
@pytest.mark.parametrize("call", ["handshaken", "received", "again", "drained", "ended", "lost"])
def test_a_receiver_that_fails_loses_its_connection(
    kind: str, call: str, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """Whatever it is told when it raises an exception: that is logged once, its connection ends, and others go on."""
    with talking(kind) as other:
        failing = Ends(None if kind == "plain" else certificate())
        told = failing.told[1]
        told.then["received" if call == "again" else call] = _fail
        failing.left.start()
        failing.right.start()
        failing.loop.settle()
        _provoke(failing, call)
        assert told.ends == [("", True) if call == "lost" else ("an internal error", False)]
        assert told.calls[-1] == "lost"
        assert len(flush_logged_errors(ZeroDivisionError)) == 1
        failing.left.abort()
        other.left.write(b"others")
        other.loop.until(lambda: other.told[1].data == b"others")


def _provoke(ends: Ends, call: str) -> None:
    right = ends.right
    match call:
        case "received":
            ends.left.write(b"a")
        case "again":
            right.call_again()
        case "drained":
            right.write(bytes(3_000_000))
        case "ended":
            ends.left.close()
        case "lost":
            right.close()
    ends.loop.until(lambda: ends.told[1].ends)


class Wants:
    """A connection whose reading has something to write first, once."""

    def __init__(self, transport: Transport) -> None:
        self._connection = transport.connection
        self._fill = transport._fill
        self.wants = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def fill(self, at: int, size: int) -> int:
        if self.wants:
            self.wants = False
            raise SSL.WantWriteError
        return self._fill(at, size)


def test_a_receiver_that_ends_within_a_slice_waits_for_nothing() -> None:
    """It aborts when it gets its bytes; the slice ended with something to write, which is no longer watched for."""
    with talking() as ends:
        ends.right.pause()
        ends.left.write(numbered(RECORD + 1000))
        ends.right.resume()
        ends.loop.later.clear()
        wants: Any = Wants(ends.right)

        def end() -> None:
            ends.right.abort("enough")

        def want(at: int, size: int) -> int:
            wants.wants = at > 0
            return Wants.fill(wants, at, size)

        wants.fill = want
        put(ends.right, wants)
        ends.told[1].then["received"] = end
        ends.right.doRead()
        assert ends.told[1].ends == [("enough", False)]
        assert ends.registered(ends.right) == (False, False)


def test_a_read_that_has_to_write_first_goes_on_when_it_can() -> None:
    """TLS may answer something while it reads: reading goes on when the socket is writable, and nobody was drained."""
    with talking() as ends:
        put(ends.right, Wants(ends.right))
        ends.left.write(b"after that")
        ends.right.doRead()
        assert ends.registered(ends.right) == (True, True)
        ends.right.doWrite()
        assert ends.told[1].pieces == [b"after that"]
        assert ends.registered(ends.right) == (True, False)
        assert "drained" not in ends.told[1].calls


@KINDS
def test_catching_up_reads_what_no_poll_has_told_of(kind: str) -> None:
    """It is handed on at once; nothing is, if nothing has come; and an end is told of."""
    with talking(kind) as ends:
        told, right = ends.told[1], ends.right
        right.catch_up(True)
        assert told.data == b""
        ends.left.write(b"early")
        right.catch_up(True)
        assert told.data == b"early"
        ends.left.close()
        right.catch_up(True)
        assert told.calls[-1] == "ended"


# -- a round of the poller ---------------------------------------------------------------------------------------------


def test_what_a_write_hands_on_is_not_handed_on_again() -> None:
    """Both may happen in one round: bytes are read, and before everybody's are handed on its queue can be sent."""
    with talking() as ends:
        poller = ends.loop.poller
        ends.right.write(b"a question")
        poller.batch = batch = deque[Any]()
        ends.left.doRead()
        assert ends.told[0].pieces == []
        ends.left.doWrite()
        poller.batch = None
        for each in batch:
            each.deliver()
        assert ends.told[0].pieces == [b"a question"]


def test_what_has_time_comes_after_everybody_s_bytes() -> None:
    """A call put off within a round comes when all have heard; outside of a round at once; never after the end."""
    log: list[str] = []
    with talking("plain") as ends:
        ends.left.soon(lambda: log.append("at once"))
        assert log == ["at once"]
        ends.told[0].then["received"] = lambda: ends.left.soon(lambda: log.append("left later"))

        def end() -> None:
            log.append("right hears")
            ends.right.soon(lambda: log.append("never"))
            ends.right.abort("enough")

        ends.told[1].then["received"] = end
        ends.left.write(b"a")
        ends.right.write(b"b")
        ends.loop.turn()
        assert log == ["at once", "right hears", "left later"]
