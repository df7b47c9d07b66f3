"""What both engines do alike: exchanges, flow control, the end of connections."""

from __future__ import annotations

import pytest

from edgenode.proxy.http2.engine import CANCEL, NO_ERROR
from edgenode.proxy.http2.engines import ENGINE, engine
from edgenode.proxy.http2.limits import EngineLimits
from tests.proxy.http2.pair import ENGINES, OK, POST, REQUEST, Pair, Told

pytestmark = pytest.mark.parametrize("kind", ENGINES)


def test_an_exchange_with_everything(kind: type) -> None:
    """A request with a body and trailers, two interim answers, and an answer with a body and trailers."""
    pair = Pair(kind)
    stream = pair.client.request(POST, False)
    pair.talk()
    assert pair.to_server.take() == [("head", 1, [*POST], False)]
    pair.client.data(stream, b"bo", False)
    pair.client.data(stream, b"dy", False)
    pair.client.trailers(stream, [(b"sum", b"1")])
    pair.talk()
    assert pair.to_server.take() == [("data", 1, b"body", False), ("trailers", 1, [(b"sum", b"1")])]
    pair.server.interim(1, [(b":status", b"103"), (b"link", b"</a>")])
    pair.server.respond(1, OK, False)
    pair.server.data(1, b"answer", False)
    pair.server.trailers(1, [(b"end", b"2")])
    pair.talk()
    assert pair.to_client.take("interim", "head", "data", "trailers") == [
        ("interim", 1, [(b":status", b"103"), (b"link", b"</a>")]),
        ("head", 1, [*OK], False),
        ("data", 1, b"answer", False),
        ("trailers", 1, [(b"end", b"2")]),
    ]
    assert pair.server.open_streams == pair.client.open_streams == 0


def test_a_body_waits_for_the_windows(kind: type) -> None:
    """What the peer has no room for stays queued; ``writable`` is told when the last of it is taken, and not before."""
    pair = Pair(kind)
    pair.ask()
    pair.server.respond(1, OK, False)
    pair.server.data(1, bytes(100000), False)
    pair.talk()
    assert pair.server.queued(1) == 100000 - 65536
    assert pair.to_server.take("writable") == []
    pair.client.consumed(1, 65536)
    pair.talk()
    assert pair.server.queued(1) == 0
    assert pair.to_server.take("writable") == [("writable", 1)]


def test_who_is_told_that_all_is_taken_may_reset_another(kind: type) -> None:
    """Of which the same would have been told next."""
    pair = Pair(kind)
    for _ in range(2):
        pair.ask()
    for stream in (1, 3):
        pair.server.respond(stream, OK, False)
        pair.server.data(stream, b"x", False)
    pair.to_server.writable = lambda stream: pair.server.reset(4 - stream, CANCEL)  # type: ignore[method-assign]
    pair.talk()
    assert len(pair.to_client.take("reset")) == 1


def test_a_head_of_100_kib_is_sent(kind: type) -> None:
    """Who reads a head says how large it may be; libnghttp2 alone would send 64 KiB at the most."""
    pair = Pair(kind, towards=EngineLimits(max_header_list_size=200_000))
    pair.server.respond(pair.ask(), [*OK, *((b"x-%d" % number, b"v" * 5000) for number in range(20))], True)
    pair.talk()
    ((_, _, fields, _),) = pair.to_client.take("head")
    assert len(fields) == 21


def test_a_reset_is_told_once_and_nothing_after_it(kind: type) -> None:
    """Whatever is called for the stream afterwards does nothing."""
    pair = Pair(kind)
    stream = pair.client.request(POST, False)
    pair.talk()
    pair.to_server.take()
    pair.client.reset(stream, CANCEL)
    pair.talk()
    assert pair.to_server.take() == [("reset", 1, CANCEL, False)]
    pair.server.respond(1, OK, False)
    pair.server.data(1, b"x", True)
    pair.server.trailers(1, [])
    pair.server.reset(1, CANCEL)
    pair.talk()
    assert pair.server.queued(1) == pair.server.open_streams == 0
    assert pair.to_client.take() == []
    assert pair.ask() == 3


def test_bytes_of_a_stream_that_was_reset_are_given_back(kind: type) -> None:
    """The connection's window is whole again, however much was under way."""
    pair = Pair(kind)
    for _ in range(100):
        stream = pair.client.request(POST, False)
        pair.client.data(stream, bytes(65536), False)
        pair.talk()
        pair.server.reset(stream, NO_ERROR)
        pair.server.consumed(stream, 65536)
        pair.talk()
    stream = pair.client.request(POST, False)
    pair.client.data(stream, bytes(65536), False)
    pair.talk()
    assert pair.client.queued(stream) == 0


def test_a_connection_ends_in_two_steps(kind: type) -> None:
    """After the notice a request is still taken, after the GOAWAY none; with the last one the connection is over."""
    pair = Pair(kind)
    pair.ask()
    pair.server.shutdown_notice()
    pair.talk()
    assert pair.to_client.take() == [("goaway", 2**31 - 1, NO_ERROR)]
    assert pair.client.capacity == pair.client.request(REQUEST, True) == 0
    pair.server.goaway(NO_ERROR)
    pair.talk()
    assert pair.to_client.take() == [("goaway", 1, NO_ERROR)]
    pair.server.respond(1, OK, True)
    pair.talk()
    assert pair.to_client.take() == [("head", 1, [*OK], True)]
    assert pair.server.closed
    assert pair.client.closed
    assert not pair.server.error


def test_nothing_raises_after_the_end(kind: type) -> None:
    """Every method may be called for a connection that is over, or has failed."""
    for code in (NO_ERROR, CANCEL):
        pair = Pair(kind)
        pair.ask()
        pair.client.goaway(code)
        pair.talk()
        pair.server.feed(b"\xff" * 64)
        for each in (pair.server, pair.client):
            each.feed(b"x")
            each.request(REQUEST, True)
            each.respond(1, OK, False)
            each.interim(1, OK)
            each.data(1, b"x", True)
            each.trailers(1, [])
            each.reset(1, CANCEL)
            each.consumed(1, 1)
            each.ping(bytes(8))
            each.shutdown_notice()
            each.goaway(NO_ERROR)
            each.goaway(CANCEL)
            each.output()
            assert each.queued(1) == 0


def test_a_ping_is_answered(kind: type) -> None:
    """With the same bytes."""
    pair = Pair(kind)
    pair.server.ping(b"12345678")
    pair.talk()
    assert pair.to_server.take() == [("pong", b"12345678")]


def test_the_engine_that_runs_is_libnghttp2s(kind: type) -> None:
    """Where ``ngh2`` is there; the start line says so."""
    assert isinstance(engine(True, Told()), ENGINES[0])
    assert ENGINE.startswith("libnghttp2 (ngh2 ")


def test_an_answer_is_told_before_the_reset_behind_it(kind: type) -> None:
    """A server that wants no more of a body says so behind its whole answer, in one piece (RFC 9113, section 8.1)."""
    pair = Pair(kind)
    stream = pair.client.request(POST, False)
    pair.talk()
    pair.server.respond(stream, OK, False)
    pair.server.data(stream, b"answer", True)
    said = pair.server.output()
    pair.server.reset(stream, NO_ERROR)
    pair.client.feed(said + pair.server.output())
    assert pair.to_client.take("head", "data", "reset") == [
        ("head", stream, [*OK], False),
        ("data", stream, b"answer", True),
        ("reset", stream, NO_ERROR, False),
    ]
