"""The abuses of HTTP/2 that are publicly known: what a client sends for ever that costs it nothing, and a server much.

Each is an endless iterator of pieces to be sent on one connection, in the order in which a server sees them.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator, Mapping

from attrs import frozen

from tests.support.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PRIORITY,
    SETTINGS,
    Field,
    block,
    frame,
    get,
    headers,
    literal,
    rst_stream,
    settings,
    window_update,
)

BATCH = 100
"""Frames, about, in one piece."""

Pieces = Iterator[bytes]


@frozen
class Abuse:
    """One of them.

    :ivar pieces: what is sent, for ever.
    :ivar settings: of the connection, in its preface.
    :ivar cut: whether a server has to end the connection; otherwise it has to bear it.
    :ivar deaf: whether the abuser reads nothing of what comes.
    """

    pieces: Callable[[], Pieces]
    settings: tuple[tuple[int, int], ...] = ()
    cut: bool = True
    deaf: bool = False


def _for_ever(piece: Callable[[int], bytes], first: bytes = b"", batch: int = BATCH) -> Pieces:
    """A piece for stream after stream, many in one."""
    yield first
    streams = itertools.count(1, 2)
    while True:
        yield b"".join(piece(next(streams)) for _ in range(batch))


def _on_one(each: bytes, first: bytes) -> Pieces:
    """The same again and again behind something."""
    yield first
    yield from itertools.repeat(each * BATCH)


def _post(stream: int, *fields: Field) -> bytes:
    return headers(stream, get("/upload", "open.test", *fields, method="POST"), done=False)


def _dependency(stream: int, other: int) -> bytes:
    return frame(PRIORITY, 0, stream, struct.pack(">IB", other, 15))


def rapid_reset() -> Pieces:
    """CVE-2023-44487: a request, and its end at once."""
    return _for_ever(lambda stream: headers(stream, get()) + rst_stream(stream))


def continuation_flood() -> Pieces:
    """CVE-2024-27316: a field block that does not end."""
    more = frame(CONTINUATION, 0, 1, block((b"x-%d" % number, b"y" * 100) for number in range(50)))
    return _on_one(more, frame(HEADERS, END_STREAM, 1, block(get())))


def empty_continuations() -> Pieces:
    """The same without a byte."""
    return _on_one(frame(CONTINUATION, 0, 1), frame(HEADERS, END_STREAM, 1, block(get())))


def hpack_bomb() -> Pieces:
    """CVE-2016-6581: a large field is indexed once, and referred to by one byte thousands of times."""
    bomb = block(get()) + literal(b"x-bomb", b"y" * 4000, 0x40, 6)
    streams = itertools.count(1, 2)
    yield frame(HEADERS, END_HEADERS | END_STREAM, next(streams), bomb)
    while True:
        yield frame(HEADERS, END_HEADERS | END_STREAM, next(streams), block(get()) + b"\xbe" * 15000)


def ping_flood() -> Pieces:
    """CVE-2019-9512: PINGs to be answered, while nothing is read."""
    return _on_one(frame(PING, 0, 0, b"12345678"), b"")


def pings_that_answer_nothing() -> Pieces:
    """Answers that nobody waits for."""
    return _on_one(frame(PING, ACK, 0, b"12345678"), b"")


def settings_flood() -> Pieces:
    """CVE-2019-9515: SETTINGS to be acknowledged, while nothing is read."""
    return _on_one(frame(SETTINGS), b"")


def window_churn() -> Pieces:
    """SETTINGS that change the windows of many streams again and again."""
    streams = b"".join(_post(stream) for stream in range(1, 100, 2))
    return _on_one(settings((INITIAL_WINDOW_SIZE, 0)) + settings((INITIAL_WINDOW_SIZE, 65535)), streams)


def empty_data() -> Pieces:
    """CVE-2019-9518: DATA without a byte."""
    return _on_one(frame(DATA, 0, 1), _post(1))


def padding_alone() -> Pieces:
    """DATA that is padding."""
    return _on_one(frame(DATA, PADDED, 1, b"\x00") + frame(DATA, PADDED, 1, b"\x01\x00"), _post(1))


def priority_flood() -> Pieces:
    """CVE-2019-9513: PRIORITY for stream after stream, each depending on another."""
    return _for_ever(lambda stream: _dependency(stream % 2000 | 1, (stream * 7919) % 2000 & ~1))


def window_zero_stall() -> Pieces:
    """CVE-2019-9517: many answers asked for, and no window to send them in."""
    yield b"".join(headers(stream, get("/large")) for stream in range(1, 200, 2))
    yield from itertools.repeat(b"")


def bad_streams() -> Pieces:
    """Stream after stream with a malformed request."""
    return _for_ever(lambda stream: headers(stream, get("/", "open.test", (b"Upper", b"1"))))


def self_dependency() -> Pieces:
    """Requests, each made to depend on itself: a stream error that the server has to send (RFC 7540, 5.3.1)."""
    return _for_ever(lambda stream: headers(stream, get("/slow")) + _dependency(stream, stream))


def reset_by_window() -> Pieces:
    """CVE-2025-8671, "made you reset": a request, and a WINDOW_UPDATE of 0 for it."""
    return _for_ever(lambda stream: headers(stream, get("/slow")) + window_update(stream, 0))


def reset_by_overflow() -> Pieces:
    """The same with a window that is too large."""
    return _for_ever(lambda stream: headers(stream, get("/slow")) + window_update(stream, 0x7FFFFFFF))


def reset_by_data() -> Pieces:
    """The same with DATA behind the end."""
    return _for_ever(lambda stream: headers(stream, get("/slow")) + frame(DATA, END_STREAM, stream, b"x"))


def reset_by_length() -> Pieces:
    """The same with a body that is longer than its length."""
    return _for_ever(lambda stream: _post(stream, (b"content-length", b"1")) + frame(DATA, 0, stream, b"xyz"))


def reset_by_priority() -> Pieces:
    """The same with a PRIORITY frame that is too short."""
    return _for_ever(lambda stream: headers(stream, get("/slow")) + frame(PRIORITY, 0, stream, b"xyz"))


def headers_without_names() -> Pieces:
    """CVE-2019-9516: fields without a name and without a value."""
    empty = ((b"", b""),) * 1000
    return _for_ever(lambda stream: headers(stream, [*get(), *empty]), batch=4)


def too_many_streams() -> Pieces:
    """Requests beyond what the server has said that it takes."""
    return _for_ever(lambda stream: headers(stream, get("/slow")))


def window_updates() -> Pieces:
    """Windows that grow by a byte, for ever."""
    return _on_one(window_update(0, 1), b"")


def unknown_frames() -> Pieces:
    """Frames of a type that nobody knows, which are to be ignored (RFC 9113, section 4.1)."""
    return _on_one(frame(0xB7, 0, 0, b"x"), b"")


def goaway_flood() -> Pieces:
    """GOAWAY again and again."""
    return _on_one(frame(GOAWAY, 0, 0, bytes(8)), b"")


def resets_of_closed_streams() -> Pieces:
    """RST_STREAM for a stream that is over."""
    return _on_one(rst_stream(1), headers(1, get()) + rst_stream(1))


def data_dribble() -> Pieces:
    """CVE-2019-9511: a large answer, asked for in windows of one byte."""
    yield b"".join(headers(stream, get("/large")) for stream in range(1, 21, 2))
    while True:
        yield b"".join(window_update(stream, 1) for stream in range(1, 21, 2))


NO_WINDOW = ((INITIAL_WINDOW_SIZE, 0),)

ABUSES: Mapping[str, Abuse] = {
    each.pieces.__name__: each
    for each in (
        Abuse(rapid_reset),
        Abuse(continuation_flood),
        Abuse(empty_continuations),
        Abuse(hpack_bomb),
        Abuse(ping_flood, deaf=True),
        Abuse(pings_that_answer_nothing, cut=False),
        Abuse(settings_flood, deaf=True),
        Abuse(window_churn, deaf=True),
        Abuse(empty_data),
        Abuse(padding_alone, cut=False),
        Abuse(priority_flood),
        Abuse(window_zero_stall, NO_WINDOW),
        Abuse(bad_streams),
        Abuse(self_dependency),
        Abuse(reset_by_window),
        Abuse(reset_by_overflow),
        Abuse(reset_by_data),
        Abuse(reset_by_length),
        Abuse(reset_by_priority),
        Abuse(headers_without_names),
        Abuse(too_many_streams),
        Abuse(window_updates, cut=False),
        Abuse(unknown_frames, cut=False),
        Abuse(goaway_flood, cut=False),
        Abuse(resets_of_closed_streams),
        Abuse(data_dribble, ((INITIAL_WINDOW_SIZE, 1), (MAX_FRAME_SIZE, 16384)), cut=False),
    )
}
"""All of them, by name."""
