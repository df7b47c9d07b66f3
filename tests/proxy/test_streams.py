"""The law of streams, kept by each protocol that carries them: today HTTP/1.1, plain and in TLS."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.proxy.streams import NO_CONTENT
from tests.proxy.http1.asking import Asking, Receiver, asking
from tests.proxy.http1.messages import Written, cuts, requests, responses
from tests.proxy.http1.serving import serving

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
BODY = bytes(range(256)) * 800  # 200 KiB
EARLY = b"HTTP/1.1 103 Early Hints\r\n\r\n"


# -- head first, then the body in order, then its end, once ------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(requests(), min_size=1, max_size=3), st.data(), st.booleans())
def test_a_client_s_requests_are_told_head_body_end(written: list[Written], data: st.DataObject, tls: bool) -> None:
    """However they come, one after the other; the end is told once, with the last byte or after it."""
    with serving(tls=tls) as each:
        for piece in data.draw(cuts(b"".join(one.data for one in written))):
            each.send(piece)
        for number, one in enumerate(written):
            handler = each.handlers[number]
            assert (handler.head.method, handler.head.target) == one.message.start
            assert handler.head.headers == one.message.fields
            assert handler.body == one.message.body
            assert handler.done == (handler.head.length != 0)
            handler.respond()
            each.loop.settle()
        assert len(each.handlers) == len(written)


@settings(max_examples=60)
@given(responses(), st.data(), st.booleans())
def test_an_origin_s_response_is_told_head_body_end(written: Written, data: st.DataObject, tls: bool) -> None:
    """Interim ones before it; trailers come with the end and at no other time."""
    with asking(tls=tls) as each:
        receiver = each.ask(method=written.method)
        for piece in data.draw(cuts(written.data)):
            each.peer.send(piece)
        assert receiver.head is not None
        assert (receiver.head.status, receiver.head.headers) == (written.message.start, written.message.fields)
        assert (receiver.body, receiver.done, receiver.trailers) == (
            written.message.body,
            True,
            written.message.trailers,
        )
        assert receiver.interims == [103] * written.data.count(b"HTTP/1.1 103 ")
        assert (each.free, receiver.error) == (1, None)


@TLS
@pytest.mark.parametrize("data", [SIZED % 10 + b"12345", CHUNKED + b"5\r\n12345\r\n", CHUNKED + b"0\r\n", b"", EARLY])
def test_a_response_that_ends_early_fails_and_never_ends(tls: bool, data: bytes) -> None:
    """Though the connection ends as it should."""
    with asking(tls=tls) as each:
        receiver = each.ask()
        each.peer.send(data)
        each.peer.finish()
        assert receiver.error is not None
        assert (receiver.error.kind, receiver.error.sent, receiver.done) == ("reset", True, False)


@TLS
def test_an_endless_response_ends_with_its_connection_if_that_ends_well(tls: bool) -> None:
    """In TLS a FIN alone may be an attacker's; it is no end."""
    with asking(tls=tls) as each:
        receiver = each.ask()
        each.peer.send(b"HTTP/1.1 200 OK\r\n\r\nall")
        each.peer.finish()
        assert (receiver.body, receiver.done) == (b"all", True)
        assert (each.free, each.ends) == (0, 1)
    with asking(tls=tls) as each:
        receiver = each.ask()
        each.peer.read()  # closing with bytes unread is a reset
        each.peer.send(b"HTTP/1.1 200 OK\r\n\r\nall")
        each.peer.close()
        assert receiver.done is not tls
        assert (receiver.error is not None) is tls


# -- credit ------------------------------------------------------------------------------------------------------------


@TLS
def test_a_client_s_body_stands_still_while_it_is_paused(tls: bool) -> None:
    """Also what has been decrypted already; afterwards all of it comes, once and in order."""
    with serving(tls=tls) as each:
        each.loop.tick = 0.001  # each slice ends with its first read, in the middle of a record
        each.send(UPLOAD % len(BODY))
        handler = each.handler
        handler.taking = False
        taken = each.send(BODY)
        rounds = 0
        while not handler.done and rounds < 1000:
            before = len(handler.body)
            each.loop.settle()
            assert len(handler.body) == before
            handler.stream.resume_body()
            taken += each.send(BODY[taken:])
            assert len(handler.body) > before
            rounds += 1
        assert handler.body == BODY
        assert rounds > 3


@TLS
def test_an_origin_s_response_stands_still_while_it_is_paused(tls: bool) -> None:
    """The same the other way."""
    with asking(tls=tls) as each:
        each.loop.tick = 0.001
        receiver = Receiver()
        receiver.on_call = lambda name: None if receiver.done else each.pause(receiver)
        each.ask(receiver)
        whole = SIZED % len(BODY) + BODY
        taken = each.peer.send(whole)
        rounds = 0
        while not receiver.done and rounds < 1000:
            before = len(receiver.body)
            each.loop.settle()
            assert len(receiver.body) == before
            each.resume(receiver)
            taken += each.peer.send(whole[taken:])
            assert len(receiver.body) > before
            rounds += 1
        assert receiver.body == BODY
        assert rounds > 3
        assert each.free == 1


@TLS
def test_who_has_written_enough_is_told_when_all_is_sent(tls: bool) -> None:
    """A client that does not read makes its stream full, an origin too; each drains once."""
    with serving(tls=tls) as each:
        each.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        stream = each.handler.stream
        assert not stream.full
        each.handler.begin(BODY * 10, len(BODY) * 20)
        assert stream.full
        assert each.handler.told == []
        each.read()
        assert each.handler.told == ["drained"]
        assert not stream.full
    with asking(tls=tls) as asked:
        receiver = Receiver()
        asked.connection.begin(receiver, b"POST", b"/", b"a", b"", len(BODY) * 20, BODY * 10, False)
        assert asked.connection.full
        assert receiver.drained == 0
        asked.peer.read()
        assert receiver.drained == 1
        assert not asked.connection.full


# -- reset -------------------------------------------------------------------------------------------------------------

PIECES = (EARLY + CHUNKED + b"2\r\nok\r\n", b"2\r\nok\r\n", b"2\r\nok\r\n0\r\nX: y\r\n\r\n")


@TLS
@pytest.mark.parametrize("within", ["interim", "responded", "response_body"])
@pytest.mark.parametrize("how", [Asking.reset, Asking.pause], ids=["reset", "pause"])
def test_nothing_follows_a_reset_or_a_pause_from_within(
    tls: bool, within: str, how: Callable[[Asking, Receiver], None]
) -> None:
    """Wherever the receiver has had enough, and however much has come at once."""
    with asking(tls=tls) as each:
        receiver = Receiver()
        receiver.on_call = lambda name: how(each, receiver) if name == within and not receiver.done else None
        each.ask(receiver)
        for piece in PIECES:
            each.peer.send(piece)
        if how is Asking.reset:
            assert not receiver.done
            assert (each.ends, each.free) == (1, 0)
        else:
            for _ in range(10):
                each.resume(receiver)
            assert (receiver.body, receiver.trailers, each.free) == (b"ok" * 3, ((b"x", b"y"),), 1)


@TLS
def test_nothing_follows_the_end_of_a_client(tls: bool) -> None:
    """Whoever resets a client's stream hears no more of it; nor does whoever was told that the client is gone."""
    with serving(tls=tls) as each:
        each.send(UPLOAD % 10 + b"12345")
        each.handler.stream.reset("for the test")
        each.send(b"67890")
        assert (each.handler.body, each.handler.done, each.handler.told) == (b"12345", 0, [])
    with serving(tls=tls) as each:
        each.send(UPLOAD % 10 + b"12345")
        each.peer.close()
        assert (each.handler.body, each.handler.done, each.handler.told) == (b"12345", 0, ["lost"])


@TLS
def test_nothing_is_written_after_a_reset(tls: bool) -> None:
    """By neither side's stream."""
    with asking(tls=tls) as each:
        receiver = Receiver()
        each.connection.begin(receiver, b"POST", b"/", b"a", b"", 10, b"12345", False)
        each.reset(receiver)
        each.connection.send_body(b"67890", True)
        assert b"67890" not in each.peer.read()
    with serving(tls=tls) as serves:
        serves.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        stream = serves.handler.stream
        serves.handler.begin(b"12345", 10)
        stream.reset("for the test")
        serves.transport.write(b"67890")
        received = serves.read()
        assert received.endswith(b"12345" + (b"CUT" if tls else b"EOF"))


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "pieces", "written"),
    [
        (NO_CONTENT, [], b"\r\n"),
        (0, [], b"Content-Length: 0\r\n\r\n"),
        (4, [b"bo", b"dy"], b"Content-Length: 4\r\n\r\nbody"),
        (None, [b"bo", b"dy"], b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"),
        (None, [b"body", b""], b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_request_is_written_in_one_framing(
    length: int | None, pieces: list[bytes], written: bytes, at_once: bool
) -> None:
    """Its body with the head or behind it; an empty piece is no last chunk."""
    with asking() as each:
        first = pieces[:1] if at_once else []
        rest = pieces[len(first) :]
        each.connection.begin(Receiver(), b"PUT", b"/a?b", b"open.test", b"X: y\r\n", length, b"".join(first), not rest)
        for number, piece in enumerate(rest):
            each.connection.send_body(piece, number == len(rest) - 1)
        assert each.peer.read() == b"PUT /a?b HTTP/1.1\r\nHost: open.test\r\nX: y\r\n" + written
