"""What an origin of HTTP/2 can do wrong with its first request: a table of raw frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen
from hpack import Encoder

KEEP, NOTIFY, CUT, STALL = "keep", "notify", "cut", "stall"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, WHOLE = 1, 4
"""END_STREAM, END_HEADERS."""


def frame(kind: int, flags: int = 0, payload: bytes = b"", stream: int = 1) -> bytes:
    """A frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def head(*fields: tuple[bytes, bytes], status: bytes = b"200", flags: int = WHOLE) -> bytes:
    """A HEADERS frame with a status and fields, of a fresh encoder that remembers nothing."""
    encoder = Encoder()
    encoder.header_table_size = 0
    return frame(HEADERS, flags, encoder.encode([(b":status", status), *fields], huffman=False))


@frozen
class Misbehaviour:
    """One way to answer, and what has to become of it.

    :ivar pieces: what is sent, piece by piece.
    :ivar then: what follows: nothing wrong (``keep``), the end of the connection, or silence.
    :ivar kind: of the error; empty if the response is whole.
    :ivar alone: whether another stream of the connection goes on.
    :ivar begun: whether its head has been told.
    :ivar endless: sent again and again after the pieces, until the other side has had enough.
    """

    pieces: tuple[bytes, ...]
    then: str = KEEP
    kind: str = "invalid"
    alone: bool = True
    begun: bool = False
    endless: bytes = b""


_LENGTH = (b"content-length", b"10")
_HINTS = head((b"link", b"</a>"), status=b"103")

_POINTS: Mapping[str, tuple[tuple[bytes, ...], bool]] = {
    "at-the-beginning": ((), False),
    "in-a-frame-header": ((head()[:5],), False),
    "in-a-header-block": ((head(_LENGTH)[:14],), False),
    "before-a-continuation": ((head(flags=0),), False),
    "behind-an-interim-response": ((_HINTS,), False),
    "behind-the-head": ((head(_LENGTH),), True),
    "in-a-data-frame": ((head(_LENGTH), frame(DATA, 0, b"12345")[:12]), True),
    "in-the-body": ((head(_LENGTH), frame(DATA, 0, b"12345")), True),
    "before-the-end": ((head(_LENGTH), frame(DATA, 0, b"1234567890")), True),
    "in-a-body-without-a-length": ((head(), frame(DATA, 0, b"12345")), True),
    "in-trailers": ((head(), frame(DATA, 0, b"12345"), frame(HEADERS, END, b"\x00\x01a")), True),
}
"""Every point at which an origin can go or fall silent, and whether its head has come by then."""


_IN_A_FRAME = ("in-a-frame-header", "in-a-header-block", "before-a-continuation", "in-a-data-frame", "in-trailers")


def _at_every_point() -> Iterator[tuple[str, Misbehaviour]]:
    for point, (pieces, begun) in _POINTS.items():
        for then in (NOTIFY, CUT):
            yield f"{then}-{point}", Misbehaviour(pieces, then, "reset", False, begun)
        yield f"{STALL}-{point}", Misbehaviour(pieces, STALL, "timeout", "frame" not in point, begun)
        whole = not any(
            word in point for word in ("in-a-frame", "in-a-header", "before-a-c", "in-a-data", "in-trailers")
        )
        if whole:
            for code in (0, 1, 2, 5, 8, 11, 12):
                reset = frame(RST, 0, code.to_bytes(4, "big"))
                yield f"reset-{code}-{point}", Misbehaviour((*pieces, reset), KEEP, "reset", True, begun)


MISBEHAVIOURS: Mapping[str, Misbehaviour] = {
    **dict(_at_every_point()),
    # what is no HTTP/2
    "http-1.1": Misbehaviour((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",), alone=False),
    "garbage": Misbehaviour((bytes(range(255, 0, -1)),), alone=False),
    "endless-garbage": Misbehaviour((), STALL, alone=False, endless=bytes(range(255, 0, -1)) * 16),
    "a-large-frame": Misbehaviour((frame(DATA, 0, bytes(20_000)),), alone=False),
    "a-push": Misbehaviour((frame(PUSH, WHOLE, b"\0\0\0\x02\x82\x84\x86\x41\x01a"),), alone=False),
    "an-unknown-frame": Misbehaviour((frame(99, 0, b"what"), head(flags=WHOLE | END)), kind="", begun=True),
    "a-ping-of-seven-bytes": Misbehaviour((frame(PING, 0, b"1234567", 0),), alone=False),
    "settings-on-a-stream": Misbehaviour((frame(SETTINGS, 0, b""),), alone=False),
    "a-frame-size-that-is-none": Misbehaviour((frame(SETTINGS, 0, b"\0\5\0\0\0\1", 0),), alone=False),
    "a-window-above-the-largest": Misbehaviour((frame(SETTINGS, 0, b"\0\4\xff\xff\xff\xff", 0),), alone=False),
    "a-window-that-overflows": Misbehaviour((frame(WINDOW, 0, b"\x7f\xff\xff\xff", 0),), alone=False),
    "a-window-that-grows-by-nothing": Misbehaviour((frame(WINDOW, 0, bytes(4), 0),), alone=False),
    "a-broken-header-block": Misbehaviour((frame(HEADERS, WHOLE | END, b"\xff\xff\xff\xff\xff\xff"),), alone=False),
    "a-continuation-of-nothing": Misbehaviour((frame(CONTINUATION, WHOLE, b"\x88"),), alone=False),
    "another-frame-in-a-header-block": Misbehaviour((head(flags=0), frame(PING, 0, bytes(8), 0)), alone=False),
    "a-stream-that-nobody-has-begun": Misbehaviour((frame(HEADERS, WHOLE, b"\x88", 2),), alone=False),
    "a-stream-of-the-future": Misbehaviour((frame(DATA, 0, b"x", 99),), alone=False),
    "data-without-a-head": Misbehaviour((frame(DATA, END, b"ok"),), alone=False),
    # heads
    "no-status": Misbehaviour((frame(HEADERS, WHOLE | END, b"\x00\x01a\x01b"),)),
    "an-empty-header-block": Misbehaviour((frame(HEADERS, WHOLE | END),)),
    "status-abc": Misbehaviour((head(status=b"abc"),)),
    "status-99": Misbehaviour((head(status=b"99"),)),
    "status-600": Misbehaviour((head(status=b"600"),)),
    "status-1000": Misbehaviour((head(status=b"1000"),)),
    "an-unrequested-101": Misbehaviour((head(status=b"101"),)),
    "two-statuses": Misbehaviour((head((b":status", b"200")),)),
    "a-status-behind-a-field": Misbehaviour((frame(HEADERS, WHOLE, b"\x00\x01a\x01b\x88"),)),
    "the-pseudo-field-of-a-request": Misbehaviour((head((b":path", b"/")),)),
    "a-name-in-capitals": Misbehaviour((head((b"A", b"b")),)),
    "a-name-with-a-space": Misbehaviour((head((b"a b", b"c")),)),
    "a-name-with-a-line-end": Misbehaviour((head((b"a\r\nb", b"c")),)),
    "an-empty-name": Misbehaviour((head((b"", b"c")),)),
    "an-8-bit-name": Misbehaviour((head((b"\xe4", b"c")),)),
    "a-value-with-a-line-end": Misbehaviour((head((b"a", b"b\r\nset-cookie: c")),)),
    "a-value-with-a-bare-lf": Misbehaviour((head((b"a", b"b\nc")),)),
    "a-value-with-nul": Misbehaviour((head((b"a", b"b\0c")),)),
    "a-value-with-del": Misbehaviour((head((b"a", b"b\x7fc")),)),
    "a-value-with-white-space-around": Misbehaviour((head((b"a", b" b ")),)),
    "connection": Misbehaviour((head((b"connection", b"close")),)),
    "transfer-encoding": Misbehaviour((head((b"transfer-encoding", b"chunked")),)),
    "upgrade": Misbehaviour((head((b"upgrade", b"h2c")),)),
    "a-second-head": Misbehaviour((head(), head()), begun=True),
    # lengths
    "a-length-that-is-none": Misbehaviour((head((b"content-length", b"ten")),)),
    "a-negative-length": Misbehaviour((head((b"content-length", b"-2")),)),
    "two-lengths": Misbehaviour((head((b"content-length", b"2"), (b"content-length", b"3")),)),
    "the-same-length-twice": Misbehaviour((head((b"content-length", b"2"), (b"content-length", b"2")),)),
    "a-list-of-lengths": Misbehaviour((head((b"content-length", b"2, 2")),)),
    "a-body-shorter-than-its-length": Misbehaviour((head(_LENGTH), frame(DATA, END, b"ok")), begun=True),
    "a-body-longer-than-its-length": Misbehaviour((head(_LENGTH), frame(DATA, END, b"12345678901")), begun=True),
    "no-body-but-a-length": Misbehaviour((head(_LENGTH, flags=WHOLE | END),)),
    "the-body-of-a-204": Misbehaviour((head(status=b"204"), frame(DATA, END, b"ok")), begun=True),
    "the-body-of-a-304": Misbehaviour((head(status=b"304"), frame(DATA, END, b"ok")), begun=True),
    "padding-larger-than-its-frame": Misbehaviour((head(), frame(DATA, 8 | END, b"\x05ok")), alone=False, begun=True),
    # trailers
    "a-status-in-trailers": Misbehaviour((head(), frame(HEADERS, WHOLE | END, b"\x88")), begun=True),
    "trailers-without-an-end": Misbehaviour((head(), frame(HEADERS, WHOLE, b"\x00\x01a\x01b")), begun=True),
    "a-line-end-in-trailers": Misbehaviour((head(), frame(HEADERS, WHOLE | END, b"\x00\x01a\x03b\r\n")), begun=True),
    "data-behind-the-end": Misbehaviour(
        (head(flags=WHOLE | END), frame(DATA, 0, b"x")), kind="", alone=False, begun=True
    ),
    # without end
    "endless-interim-responses": Misbehaviour((), STALL, endless=_HINTS),
    "endless-continuations": Misbehaviour(
        (head(flags=0),), STALL, alone=False, endless=frame(CONTINUATION, 0, b"\0\1a\1b")
    ),
    "endless-empty-continuations": Misbehaviour((head(flags=0),), STALL, alone=False, endless=frame(CONTINUATION)),
    "endless-pings": Misbehaviour((), STALL, alone=False, endless=frame(PING, 0, bytes(8), 0) * 50),
    "endless-settings": Misbehaviour((), STALL, alone=False, endless=frame(SETTINGS, 0, b"", 0) * 50),
    "endless-empty-data": Misbehaviour((head(),), STALL, alone=False, begun=True, endless=frame(DATA) * 50),
    "a-large-head": Misbehaviour((head(*[(b"a%d" % n, b"b" * 1000) for n in range(12)]),)),
    "a-bomb": Misbehaviour(
        (frame(HEADERS, WHOLE | END, b"\x88\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 10_000),), alone=False
    ),
    # odd, but good
    "padded": Misbehaviour((head(), frame(DATA, 8 | END, b"\x02ok\0\0")), kind="", begun=True),
    "interim-responses": Misbehaviour((_HINTS, _HINTS, head(flags=WHOLE | END)), kind="", begun=True),
    "an-end-by-itself": Misbehaviour((head(), frame(DATA, 0, b"ok"), frame(DATA, END)), kind="", begun=True),
    "a-reset-behind-the-end": Misbehaviour((head(flags=WHOLE | END), frame(RST, 0, bytes(4))), kind="", begun=True),
    "priorities": Misbehaviour((frame(PRIORITY, 0, b"\0\0\0\0\x10"), head(flags=WHOLE | END)), kind="", begun=True),
    "a-head-in-pieces": Misbehaviour(
        (frame(HEADERS, END, b"\x88"), frame(CONTINUATION, 0, b"\0\1a"), frame(CONTINUATION, WHOLE, b"\1b")),
        kind="",
        begun=True,
    ),
    "byte-by-byte": Misbehaviour(tuple(bytes((c,)) for c in head() + frame(DATA, END, b"ok")), kind="", begun=True),
}
"""By name."""
