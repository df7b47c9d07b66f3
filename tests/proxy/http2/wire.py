"""An engine whose peer writes its frames by hand."""

from __future__ import annotations

import struct
from typing import NamedTuple

from hpack import Encoder

from edgenode.proxy.http2.engine import Fields
from edgenode.proxy.http2.guard import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from edgenode.proxy.http2.hyper import HyperEngine
from edgenode.proxy.http2.limits import DEFAULT_LIMITS, EngineLimits
from edgenode.proxy.http2.nghttp2 import Nghttp2Engine
from tests.proxy.http2.pair import REQUEST, Told

END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1
PRIORITY_UPDATE = 16


class Frame(NamedTuple):
    """A frame that an engine has sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as it is sent (RFC 9113, section 4.1)."""
    return struct.pack("!HBBBI", len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def frames(data: bytes) -> list[Frame]:
    """The frames of what an engine has sent."""
    found, at = [], len(PREFACE) if data.startswith(PREFACE) else 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        stream = int.from_bytes(data[at + 5 : at + 9], "big")
        found.append(Frame(data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def settings(**values: int) -> bytes:
    """A SETTINGS frame, with identifiers as ``x3=100``."""
    pairs = (struct.pack("!HI", int(name[1:]), value) for name, value in values.items())
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def window(stream: int, size: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def reset(stream: int, code: int = 8) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def priority(stream: int, on: int = 0) -> bytes:
    """A PRIORITY frame."""
    return frame(PRIORITY, 0, stream, on.to_bytes(4, "big") + b"\x10")


def ping() -> bytes:
    """A PING frame."""
    return frame(PING, 0, 0, bytes(8))


def body(stream: int, data: bytes, done: bool = False) -> bytes:
    """A DATA frame."""
    return frame(DATA, END_STREAM if done else 0, stream, data)


class Wire:
    """A server's engine, or a client's, and the hand-written other side.

    :ivar engine: the engine.
    :ivar told: what it has told.
    :ivar sent: the frames that it has sent since they were taken.
    """

    def __init__(
        self,
        kind: type[Nghttp2Engine] | type[HyperEngine],
        server: bool = True,
        limits: EngineLimits = DEFAULT_LIMITS,
        begun: bool = True,
    ) -> None:
        self.told = Told()
        self.engine = kind(server, self.told, limits)
        self.sent: list[Frame] = []
        self._encoder = Encoder()
        if begun:
            self.say((PREFACE if server else b"") + settings() + frame(SETTINGS, ACK, 0))
        self.sent.clear()

    def say(self, data: bytes) -> None:
        """Have the engine read this, and send what it has to send."""
        self.engine.feed(data)
        while output := self.engine.output():
            self.sent += frames(output)

    def head(self, stream: int, fields: Fields = REQUEST, done: bool = True) -> bytes:
        """A HEADERS frame."""
        return frame(HEADERS, END_HEADERS | (END_STREAM if done else 0), stream, self.block(fields))

    def blocks(self, stream: int, pieces: list[bytes], done: bool = True) -> bytes:
        """A header block in a HEADERS frame and CONTINUATION frames."""
        last = len(pieces) - 1
        return b"".join(
            frame(
                CONTINUATION if at else HEADERS,
                (END_STREAM if done and not at else 0) | END_HEADERS * (at == last),
                stream,
                piece,
            )
            for at, piece in enumerate(pieces)
        )

    def block(self, fields: Fields) -> bytes:
        """A header block."""
        return bytes(self._encoder.encode(fields, huffman=False))

    @property
    def resets(self) -> list[tuple[int, int]]:
        """The streams that it has reset, with the codes."""
        return [(sent.stream, int.from_bytes(sent.payload, "big")) for sent in self.sent if sent.kind == RST_STREAM]

    @property
    def goaway(self) -> int | None:
        """The error of its GOAWAY; ``None`` if it has sent none."""
        for sent in self.sent:
            if sent.kind == GOAWAY:
                return int.from_bytes(sent.payload[4:8], "big")
        return None
