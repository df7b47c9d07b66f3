"""The public abuses of HTTP/2: each ends in the loss of the abuser's connection, or costs us nothing."""

from __future__ import annotations

import pytest
from attrs import evolve

from edgenode.proxy.http2 import guard
from edgenode.proxy.http2.engine import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)
from edgenode.proxy.http2.guard import CONTINUATION, DATA, HEADERS, PREFACE, SETTINGS
from edgenode.proxy.http2.limits import EngineLimits, Rate
from tests.proxy.http2.pair import ENGINES, OK, POST, REQUEST, Pair
from tests.proxy.http2.wire import (
    ACK,
    END_STREAM,
    PADDED,
    PRIORITY_UPDATE,
    Wire,
    body,
    frame,
    ping,
    priority,
    reset,
    settings,
    window,
)

pytestmark = pytest.mark.parametrize("kind", ENGINES)

FEW = EngineLimits(resets=Rate(20, 10), glitches=Rate(50, 25))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the rates, which stands still; its only item is the time."""
    time = [1000.0]
    monkeypatch.setattr(guard, "clock", lambda: time[0])
    return time


def calmed(wire: Wire) -> bool:
    """Whether the connection has been ended for its peer's zeal."""
    return wire.goaway == ENHANCE_YOUR_CALM and bool(wire.engine.error) and wire.engine.closed


FLOODS = {
    "ping": ping(),
    "settings": settings(),
    "empty data": body(1, b""),
    "empty padded data": frame(DATA, PADDED, 1, b"\x03" + bytes(3)),
    "priority": priority(1),
    "priority of idle streams": priority(101),
    "priority update": frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1"),
    "tiny window updates": window(0, 1),
    "unknown frames": frame(0xFA, 0, 0, b"?"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of_frames_that_do_no_work(kind: type, what: str, now: list[float]) -> None:
    """CVE-2019-9512, 9513, 9515, 9518 and their kin: beyond the burst the connection ends."""
    wire = Wire(kind, limits=FEW)
    wire.say(wire.head(1, POST, False))
    wire.say(FLOODS[what] * 40)
    assert wire.engine.error == ""
    wire.say(FLOODS[what] * 20)
    assert calmed(wire)


def test_a_flood_of_acknowledgements(kind: type) -> None:
    """Of settings that were not sent: the connection ends at the first, or beyond the burst."""
    wire = Wire(kind, limits=FEW)
    wire.say(frame(SETTINGS, ACK, 0) * 60)
    assert wire.engine.error
    assert wire.engine.closed


def test_frames_that_do_no_work_are_counted_by_rate(kind: type, now: list[float]) -> None:
    """A connection that pings for days is never too long."""
    wire = Wire(kind, limits=FEW)
    for _ in range(10_000):
        wire.say(ping())
        now[0] += 0.05
    assert wire.engine.error == ""


def test_pings_that_follow_bodies_are_free(kind: type, now: list[float]) -> None:
    """gRPC measures the way with a PING for each piece of a body, as fast as it is."""
    wire = Wire(kind, limits=FEW)
    wire.say(wire.head(1, POST, False))
    for _ in range(200):
        wire.say(body(1, b"message") + ping())
        wire.engine.consumed(1, 7)
    wire.engine.respond(1, OK, False)
    for _ in range(200):
        wire.engine.data(1, b"answer", False)
        wire.say(ping())
    assert wire.engine.error == ""


def test_resets_of_answered_streams_are_no_rapid_resets(kind: type, now: list[float]) -> None:
    """A client of gRPC that has its status resets the rest of its own side."""
    wire = Wire(kind, limits=FEW)
    for stream in range(1, 81, 2):
        wire.say(wire.head(stream, POST, False))
        wire.engine.respond(stream, OK, True)
        wire.say(reset(stream, NO_ERROR))
    assert wire.engine.error == ""
    assert wire.engine.open_streams == 0


def test_reactions_to_what_was_sent_are_no_flood(kind: type, now: list[float]) -> None:
    """A client of gRPC gives back the place of each small message of a stream, and measures the way by PING."""
    wire = Wire(kind, limits=FEW)
    wire.say(wire.head(1, POST, False))
    wire.engine.respond(1, OK, False)
    for _ in range(1000):
        wire.engine.data(1, b"message", False)
        wire.say(window(1, 7) + window(0, 7) + ping())
    assert wire.engine.error == ""
    wire.engine.data(1, b"the last", True)
    wire.say(body(1, b"", True))
    for _ in range(120):
        wire.say(window(1, 7))
    assert calmed(wire), "more than were due"


def test_a_client_whose_calls_are_refused_may_give_back_windows(kind: type, now: list[float]) -> None:
    """Though it gets no body: it makes room for a message before there is one."""
    wire = Wire(kind, limits=FEW)
    for number in range(200):
        stream = 2 * number + 1
        wire.say(wire.head(stream, POST, True) + window(stream, 5) + window(0, 5))
        wire.engine.respond(stream, OK, True)
        wire.say(window(stream, 5))
    assert wire.engine.error == ""


def test_rapid_reset(kind: type, now: list[float]) -> None:
    """CVE-2023-44487: requests that are reset at once are never told, and beyond the burst the connection ends."""
    wire = Wire(kind, limits=FEW)
    for number in range(10):
        stream = 2 * number + 1
        wire.say(wire.head(stream) + reset(stream))
    assert wire.told.take() == []
    assert wire.engine.open_streams == 0
    wire.say(b"".join(wire.head(stream) + reset(stream) for stream in range(21, 81, 2)))
    assert calmed(wire)
    assert wire.told.take() == []


def test_resets_are_counted_by_rate(kind: type, now: list[float]) -> None:
    """A client that gives requests up now and then may do so for days."""
    wire = Wire(kind, limits=FEW)
    for number in range(500):
        wire.say(wire.head(2 * number + 1))
        wire.say(reset(2 * number + 1))
        now[0] += 0.2
    assert wire.engine.error == ""
    assert len(wire.told.take("head")) == len(wire.told.take("head", "reset")) + 500


PROVOCATIONS = {
    "malformed requests": lambda wire, stream: wire.head(stream, [*REQUEST, (b"connection", b"close")]),
    "overflown windows": lambda wire, stream: wire.head(stream) + window(stream, 2**31 - 1),
    "streams that depend on themselves": lambda wire, stream: wire.head(stream) + priority(stream, stream),
}


@pytest.mark.parametrize("how", PROVOCATIONS)
def test_made_you_reset(kind: type, how: str, now: list[float]) -> None:
    """CVE-2025-8671: resets that a client makes us send count as its own."""
    wire = Wire(kind, limits=FEW)
    for number in range(30):
        wire.say(PROVOCATIONS[how](wire, 2 * number + 1))
    assert calmed(wire)
    assert len(wire.resets) <= 21
    assert wire.engine.open_streams <= 1


def test_continuation_flood(kind: type) -> None:
    """CVE-2024-27316 and its kin: a header block may have so many frames, whatever is in them."""
    wire = Wire(kind)
    start = frame(HEADERS, END_STREAM, 1, wire.block(REQUEST))
    wire.say(start + frame(CONTINUATION, 0, 1) * 9)
    assert calmed(wire)
    assert wire.told.take() == []


def test_a_header_block_in_some_frames(kind: type) -> None:
    """Is a request like any other."""
    wire = Wire(kind)
    block = wire.block(REQUEST)
    wire.say(wire.blocks(1, [block[:3], block[3:5], b"", block[5:]]))
    assert wire.told.take() == [("head", 1, [*REQUEST], True)]
    assert not wire.engine.midway


def test_hpack_bomb(kind: type) -> None:
    """A few bytes that stand for many: the connection ends when the list is twice as large as allowed."""
    wire = Wire(kind)
    large = (b"x-large", b"x" * 4000)
    wire.say(wire.head(1, [*REQUEST, large]))
    assert wire.told.take("head")
    bomb = wire.head(3, [*REQUEST, *[large] * 100])
    assert len(bomb) < 200
    wire.say(bomb)
    assert wire.engine.error
    assert wire.engine.closed
    assert wire.goaway in (PROTOCOL_ERROR, ENHANCE_YOUR_CALM)
    assert wire.told.take() == []


def test_a_list_that_is_a_little_too_large_is_told(kind: type) -> None:
    """So that it can be answered with 431."""
    wire = Wire(kind)
    wire.say(wire.head(1, [*REQUEST, *[(b"x-large", b"x" * 4000)] * 10]))
    assert wire.told.take("head")


def test_stream_churn(kind: type) -> None:
    """Nothing is kept of streams that are over, however many there were."""
    wire = Wire(kind)
    for stream in range(1, 4001, 2):
        wire.say(wire.head(stream))
        wire.engine.respond(stream, OK, True)
    wire.say(b"")
    assert wire.engine.open_streams == 0
    assert wire.engine.error == ""
    sizes = [len(getattr(wire.engine, name)) for name in ("_streams", "_cut", "_unsent")]
    assert sum(sizes) == 0


def test_zero_window_stall(kind: type) -> None:
    """What a peer does not take stays queued, is seen to be held by its windows, and costs no frames."""
    pair = Pair(kind)
    wire = Wire(kind)
    wire.say(settings(x4=0))
    wire.sent.clear()
    for stream in range(1, 201, 2):
        wire.say(wire.head(stream))
        wire.engine.respond(stream, OK, False)
        wire.engine.data(stream, b"x" * 100, True)
    wire.say(b"")
    assert [sent.kind for sent in wire.sent] == [HEADERS] * 100
    assert wire.engine.stalled
    assert wire.engine.queued(199) == 100
    wire.say(settings(x4=100))
    assert not wire.engine.stalled
    assert wire.engine.open_streams == 0
    assert len(wire.told.take("writable")) == 100
    assert not pair.server.stalled


def test_more_streams_than_allowed(kind: type) -> None:
    """End the connection, or are refused; in no case told."""
    wire = Wire(kind, limits=EngineLimits(max_concurrent_streams=10))
    wire.say(b"".join(wire.head(stream) for stream in range(1, 41, 2)))
    assert len(wire.told.take("head")) <= 10


def test_more_streams_than_allowed_by_who_has_not_heard_of_it(kind: type, now: list[float]) -> None:
    """Are refused one by one until the client acknowledges our settings; if there are many, the connection ends."""
    wire = Wire(kind, limits=evolve(FEW, max_concurrent_streams=10), begun=False)
    wire.say(PREFACE + settings())
    wire.say(b"".join(wire.head(stream) for stream in range(1, 31, 2)))
    assert len(wire.told.take("head")) <= 10
    assert wire.engine.open_streams <= 10
    wire.say(b"".join(wire.head(stream) for stream in range(31, 81, 2)))
    assert wire.engine.error
    assert wire.engine.closed
    assert wire.told.take("head") == []


def test_streams_that_are_reset_make_room_at_once(kind: type) -> None:
    """In the very read in which they are."""
    wire = Wire(kind, limits=EngineLimits(max_concurrent_streams=10))
    wire.say(b"".join(wire.head(stream) for stream in range(1, 21, 2)))
    assert len(wire.told.take("head")) == 10
    wire.say(reset(1) + wire.head(21) + reset(3) + reset(21) + wire.head(23) + wire.head(25))
    assert [call[1] for call in wire.told.take("head")] == [23, 25]
    assert wire.engine.open_streams == 10
    assert wire.engine.error == ""


def test_a_body_without_an_end_is_bounded_by_the_windows(kind: type) -> None:
    """More than the window that we have given is an error, of the stream or of the connection."""
    wire = Wire(kind)
    wire.say(wire.head(1, POST, False))
    for _ in range(5):
        wire.say(body(1, bytes(16384)))
    assert wire.goaway == FLOW_CONTROL_ERROR or wire.resets == [(1, FLOW_CONTROL_ERROR)]
    assert sum(len(call[2]) for call in wire.told.take("data")) <= 65536


def test_frames_on_streams_that_are_over(kind: type, now: list[float]) -> None:
    """Are an error of the connection if the peer has ended the stream, and ignored, by rate, if we have."""
    for ending, late in ((b"", body(1, b"x")), (reset(1), body(1, b"x")), (reset(1), b"head")):
        wire = Wire(kind)
        wire.say(wire.head(1, POST, not ending) + ending)
        wire.engine.respond(1, OK, True)
        wire.say(b"")
        wire.say(wire.head(1) if late == b"head" else late)
        assert wire.goaway == STREAM_CLOSED
    wire = Wire(kind, limits=FEW)
    wire.say(wire.head(1, POST, False))
    wire.engine.reset(1, NO_ERROR)
    wire.say(body(1, b"x") * 20)
    assert wire.engine.error == ""
    wire.say(body(1, b"x") * 40)
    assert calmed(wire)
    assert wire.told.take("data") == []


def test_streams_out_of_order(kind: type) -> None:
    """A number below one that was used is an error of the connection, of the one kind or the other."""
    for first, second, error in ((5, 3, PROTOCOL_ERROR), (1, 1, STREAM_CLOSED), (2, 4, PROTOCOL_ERROR)):
        wire = Wire(kind)
        wire.say(wire.head(first))
        if wire.told.take("head"):
            wire.engine.respond(first, OK, True)
            wire.say(b"")
        wire.say(wire.head(second))
        assert wire.goaway == error


def test_a_frame_that_is_too_large(kind: type) -> None:
    """Is refused by its header, before its payload is there."""
    wire = Wire(kind)
    wire.say(wire.head(1, POST, False) + frame(DATA, 0, 1, bytes(16385))[:100])
    assert wire.goaway == FRAME_SIZE_ERROR


def test_what_is_no_http2(kind: type) -> None:
    """Is refused by its first bytes."""
    wire = Wire(kind, begun=False)
    wire.say(b"GET / HTTP/1.1\r\n")
    assert wire.engine.error
    assert wire.engine.closed
    assert wire.goaway == PROTOCOL_ERROR


def test_an_origin_that_pushes(kind: type) -> None:
    """Has not been asked to, and loses its connection."""
    wire = Wire(kind, server=False)
    assert wire.engine.request(REQUEST, True) == 1
    wire.say(b"")
    wire.say(frame(5, 4, 1, b"\0\0\0\2" + wire.block(REQUEST)))
    assert wire.goaway == PROTOCOL_ERROR
    assert wire.told.take() == []


def test_an_origin_that_answers_what_nobody_has_asked(kind: type) -> None:
    """Loses its connection."""
    wire = Wire(kind, server=False)
    wire.say(wire.head(7, OK))
    assert wire.engine.error
    assert wire.engine.closed
    assert wire.told.take() == []
