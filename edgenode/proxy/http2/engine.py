"""The interface between HTTP/2 as frames and HTTP/2 as streams (RFC 9113).

An engine has the frames of one connection, and does no input or output: HPACK, flow control, the states of streams,
SETTINGS, PING and GOAWAY. What it reads it tells a :class:`Receiver`. Two engines implement it: one on libnghttp2, with
a guard in front, and one on ``h2``, its oracle in tests and its substitute where the first has no wheel. Law:

- **Strict.** What RFC 9113 calls malformed, or could be read in two ways once it travels as HTTP/1.1, is a stream error
  and is never told; what endangers the connection ends it.
- **Credit.** A byte of a body is told once, and the peer may send another in its place when :meth:`Engine.consumed`
  says that this one has left, also for a stream that is over.
- **Bounded.** What a peer may make the engine do or keep, per connection and per second, is bounded.
- A stream is told of until :meth:`Receiver.reset` or until both of its directions have ended; an engine takes calls for
  a stream that is over, and does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Fields = Sequence[tuple[bytes, bytes]]
"""Fields in the order sent, pseudo-header fields first, names in lower case."""

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)
INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = 12, 13
CODES = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip
"""The names of error codes (RFC 9113, section 7)."""


def code_name(code: int) -> str:
    """The name of an error code, or its number."""
    return CODES[code] if code < len(CODES) else f"{code:#x}"


OUTPUT = 48 * 1024
"""Bytes that are asked for at once: three full records of TLS, and as many as are read of an origin at once."""


class Receiver(Protocol):
    """Whom an engine tells what has come: the speaker of a client's connection, or an origin's connection."""

    def head(self, stream: int, fields: Fields, done: bool) -> None:
        """A request came, or a final response.

        :param done: whether nothing follows on the stream.
        """

    def interim(self, stream: int, fields: Fields) -> None:
        """An interim response came."""

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Bytes of a body came, padding removed; to be given back by :meth:`Engine.consumed`."""

    def trailers(self, stream: int, fields: Fields) -> None:
        """Trailers came, and with them the end of the stream's direction."""

    def refused(self, reason: str) -> None:
        """A request was malformed: its stream was reset, and is never told of.

        :param reason: in what, in words.
        """

    def reset(self, stream: int, code: int, ours: bool) -> None:
        """The stream is over before its end.

        :param code: of the RST_STREAM frame (RFC 9113, section 7).
        :param ours: whether the engine has reset it, because of what the peer has sent.
        """

    def writable(self, stream: int) -> None:
        """All that was queued of a stream's body has been taken into frames: see :meth:`Engine.queued`."""

    def goaway(self, last: int, code: int) -> None:
        """The peer takes no more streams; of ours it has looked at none above ``last``."""

    def pong(self, data: bytes) -> None:
        """A PING of ours was answered."""

    def settings(self) -> None:
        """The peer's SETTINGS came, the first or others: see :attr:`Engine.capacity`."""


class Engine(Protocol):
    """The frames of one connection.

    :ivar closed: whether nothing more is to be read or written once the last output is sent: the connection is over.
    :ivar error: why the connection has been ended with an error; empty while it has not.
    :ivar fault: while a stream is told to be reset by us, why; empty if only the code says so.
    :ivar connect_protocol: whether the peer's SETTINGS offer extended CONNECT (RFC 8441; a client's engine alone).
    """

    closed: bool
    error: str
    fault: str
    connect_protocol: bool

    @property
    def open_streams(self) -> int:
        """How many streams of the peer, or of ours towards an origin, are open."""
        ...

    @property
    def capacity(self) -> int:
        """How many more streams the peer lets us begin now; 0 after its GOAWAY (a client's engine alone)."""
        ...

    @property
    def midway(self) -> bool:
        """Whether the peer is in the middle of its preface or of a head, which should not take it long.

        In the middle of a body it may be for as long as it has for that body.
        """
        ...

    @property
    def stalled(self) -> bool:
        """Whether bytes of bodies wait for the peer's windows, now that there is no output: for them it should not
        take long either."""
        ...

    def feed(self, data: bytes) -> None:
        """Bytes from the peer; never raises for what the peer has done: see :attr:`error`."""

    def output(self, size: int = OUTPUT) -> bytes:
        """The bytes to be sent now, in the order of the streams' priorities; empty if there are none.

        Frames are made as they are asked for, so that what is begun later may still come first. ``writable`` is told
        from within: what is written then is in the next output, so do not ask for it from within.

        :param size: so many at the most, but for an engine's last words; ask again until there are none.
        """
        ...

    def request(self, fields: Fields, done: bool) -> int:
        """Begin a stream with a request (a client's engine alone).

        :returns: the stream's number; 0 if the peer takes no more.
        """
        ...

    def respond(self, stream: int, fields: Fields, done: bool) -> None:
        """Send the head of a final response (a server's engine alone)."""

    def interim(self, stream: int, fields: Fields) -> None:
        """Send an interim response (a server's engine alone)."""

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Queue bytes of a body; they go as the peer's windows allow."""

    def trailers(self, stream: int, fields: Fields) -> None:
        """Queue trailers behind the body, and end the stream's direction."""

    def reset(self, stream: int, code: int) -> None:
        """End a stream at once."""

    def consumed(self, stream: int, size: int) -> None:
        """So many bytes of a body have left: give their place back to the peer."""

    def queued(self, stream: int) -> int:
        """How many bytes of the stream's body wait to be taken into frames."""
        ...

    def ping(self, data: bytes) -> None:
        """Send a PING with eight bytes."""

    def shutdown_notice(self) -> None:
        """Announce that the connection will take no more streams soon (RFC 9113, section 6.8)."""

    def goaway(self, code: int) -> None:
        """Take no more streams; those that were begun go on if the code is 0, else the connection ends."""
