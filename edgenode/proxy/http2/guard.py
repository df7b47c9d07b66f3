"""The guard in front of an engine: it walks the headers of frames, and sees what an engine ignores or puts up with.

Law: an engine is given whole frames. What costs us more than the peer is counted by rate, and beyond the rate the
connection ends (ENHANCE_YOUR_CALM); so does one whose peer sends on streams that it has ended itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct
from time import monotonic as clock

from edgenode.proxy.http2.engine import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)
from edgenode.proxy.http2.limits import EngineLimits, Rate

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
"""The types of frames (RFC 9113, section 6)."""

OPEN, TOLD, GONE, ANSWERED = 1, 2, 4, 8
"""What is known of a stream: the peer may send more; the receiver knows it; the peer has reset it; it did not end when
all of our side was there."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
"""Bytes of a frame's header."""

_HEADERS_KIND = bytes((HEADERS,))
_END_STREAM, _END_HEADERS, _PADDED = 1, 4, 8
_LARGEST = 16384
"""Bytes of the largest payload that we take (RFC 9113, section 4.2)."""

DUE = 4
"""Frames that a peer may send for a message or a piece of a body that it gets: WINDOW_UPDATE of the stream and of the
connection, and PING; and for each head that it sends."""

_TINY, _HUGE = 256, 1 << 24
"""Increments of a window, bytes: smaller and larger ones than a peer has reason to send."""

_MAX_WINDOW = 2**31 - 1
_NOT_WANTED = -1
_REMEMBERED = 256
"""How many streams are remembered that we have reset, and on which the peer may have sent before it knew."""

_unpack = Struct("!HBBBI").unpack_from


class Guard(ABC):
    """What the guard knows of a connection.

    :ivar error: why the connection ends; empty while it does not.
    """

    __slots__ = (
        "_block", "_continuations", "_cut", "_deaf", "_draining", "_due", "_glitches", "_greeted", "_highest",
        "_limits", "_partial", "_resets", "_server", "_skipped", "_streams", "_vanished", "error",
    )  # fmt: skip

    def __init__(self, server: bool, limits: EngineLimits) -> None:
        self._server = server
        self._limits = limits
        self._streams: dict[int, int] = {}
        self._cut: dict[int, None] = {}
        self._skipped: list[tuple[int, int]] | None = None
        self._glitches: list[float] | None = None
        self._resets: list[float] | None = None
        self._partial = b""
        self._greeted = not server
        self._draining = self._deaf = False
        self._highest = -1
        self._block = self._continuations = self._vanished = 0
        self._due = DUE  # the first words of a connection are none too many
        self.error = ""

    @property
    def midway(self) -> bool:
        """Whether the peer is in the middle of its preface, or of a head."""
        return bool(self._block) or not self._greeted or self._partial[3:4] == _HEADERS_KIND

    def feed(self, data: bytes) -> None:
        """Read bytes from the peer."""
        if self._deaf:
            return
        if self._partial:
            data, self._partial = self._partial + data, b""
        at = start = 0
        if not self._greeted:
            if not data.startswith(PREFACE[: len(data)]):
                self._fail(PROTOCOL_ERROR, "the client does not begin with the preface of HTTP/2")
                return
            if len(data) < len(PREFACE):
                self._partial = data
                return
            self._greeted = True
            at = len(PREFACE)
        end, streams = len(data), self._streams
        while end - at >= HEAD:
            high, low, kind, flags, stream = _unpack(data, at)
            size = high << 8 | low
            stop = at + HEAD + size
            if stop > end or size > _LARGEST:
                if size > _LARGEST:
                    self._fail(FRAME_SIZE_ERROR, "a frame is larger than allowed")
                    return
                break
            state = streams.get(stream, 0)
            if state & OPEN and size and kind == DATA and not flags & _PADDED and not self._block:
                if flags & _END_STREAM:
                    streams[stream] = state ^ OPEN
            elif kind == HEADERS and flags & _END_HEADERS and not self._block and self._begins(stream, state, flags):
                pass
            else:
                code = self._look(kind, flags, stream & _MAX_WINDOW, size, data, at + HEAD)
                if self._deaf:
                    return
                if code:
                    self._read(data, start, at)
                    self._vanished = 0
                    start = stop if self._drops(stream & _MAX_WINDOW, code, data, at + HEAD) else at
                    if self._deaf:
                        return
            at = stop
        self._partial = data[at:]
        if start < at:
            self._read(data, start, at)
            self._vanished = 0

    def _begins(self, stream: int, state: int, flags: int) -> bool:
        """Note a whole header block where it is expected: of the next stream, or of one on which more may come."""
        if state & OPEN:
            self._streams[stream] = state & ~OPEN | (OPEN ^ flags & _END_STREAM)
            return True
        if stream == self._highest + 2 and self._server and not self._draining:
            self._highest = stream
            self._new(stream, flags)
            return True
        return False

    def _new(self, stream: int, flags: int) -> None:
        """Note a stream of the peer's; or that the engine refuses it, for there are too many."""
        if len(self._streams) - self._vanished < self._limits.max_concurrent_streams:
            self._streams[stream] = OPEN ^ flags & _END_STREAM
        else:
            self._remember_cut(stream)
            self._count_reset("the client begins more streams than it may")

    def _look(self, kind: int, flags: int, stream: int, size: int, data: bytes, at: int) -> int:
        """Look at a frame that is not the usual one.

        :param at: where its payload begins.
        :returns: 0 if the engine gets it, else what it may be on its stream: an error, or nothing at all.
        """
        if kind == CONTINUATION:
            self._continued(flags)
        elif self._block:
            pass  # an error that the engine sees
        elif kind == HEADERS:
            self._header_block(stream, flags)
        elif kind == DATA:
            self._data(stream, flags, size, data, at)
        elif kind == RST_STREAM:
            self._reset(stream)
        elif kind == WINDOW_UPDATE and size == 4:
            increment = int.from_bytes(data[at : at + 4], "big") & _MAX_WINDOW
            if 0 < stream <= self._highest and stream not in self._streams:
                self._count_reply()
                return _NOT_WANTED
            if increment < _TINY:
                self._count_reply()
            elif increment > _HUGE and stream:
                return FLOW_CONTROL_ERROR
        elif kind == PRIORITY:
            return self._priority(stream, size, data, at)
        elif kind in (PING, SETTINGS):
            self._count_reply()
        elif kind != PUSH_PROMISE:
            self._count_glitch()
        return 0

    def _reset(self, stream: int) -> None:
        """The peer resets a stream: our work was for nothing, if we have not done it."""
        state = self._streams.get(stream)
        if state is not None:
            self._vanished += not state & GONE
            self._streams[stream] = state & ~OPEN | GONE
        if state is None or state & ANSWERED:
            self._count_glitch()
        else:
            self._count_reset("the client resets streams too often")

    def _continued(self, flags: int) -> None:
        self._continuations += 1
        if self._continuations > self._limits.max_continuations:
            self._fail(ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
        if flags & _END_HEADERS:
            self._block = 0

    def _header_block(self, stream: int, flags: int) -> None:
        """Note a header block that does not end with its first frame, or on a stream that is not the next one."""
        state = self._streams.get(stream)
        if not flags & _END_HEADERS:
            self._block = stream
            self._continuations = 0
        if state is not None:
            if state & GONE:
                self._fail(STREAM_CLOSED, "a frame on a stream that the peer has reset")
            self._begins(stream, state, flags)
        elif stream <= self._highest:
            self._closed(stream)
        elif self._server and stream & 1 and not self._draining:
            if stream > self._highest + 2:
                self._skipped = [*(self._skipped or ())[-15:], (self._highest, stream)]
            self._highest = stream
            self._new(stream, flags)

    def _data(self, stream: int, flags: int, size: int, data: bytes, at: int) -> None:
        state = self._streams.get(stream)
        if state is None:
            if stream <= self._highest:
                self._closed(stream)
        elif state & GONE:
            self._fail(STREAM_CLOSED, "a frame on a stream that the peer has reset")
        elif flags & _END_STREAM:
            self._streams[stream] = state & ~OPEN if state & OPEN else state
        elif size == 0 or (flags & _PADDED and size <= 1 + data[at]):
            self._count_glitch()

    def _priority(self, stream: int, size: int, data: bytes, at: int) -> int:
        self._count_glitch()
        if not stream:
            self._fail(PROTOCOL_ERROR, "a PRIORITY of no stream")
        elif size == 5 and int.from_bytes(data[at : at + 4], "big") & _MAX_WINDOW == stream:
            if stream in self._streams:
                return PROTOCOL_ERROR
            self._fail(PROTOCOL_ERROR, "a stream that depends on itself")
        return 0

    def _closed(self, stream: int) -> None:
        """A frame came on a stream that is over: an error, but where the peer may not know yet that it is."""
        if stream in self._cut or not stream & 1:
            self._count_glitch()
        elif any(low < stream < high for low, high in self._skipped or ()):
            self._fail(PROTOCOL_ERROR, "a stream with a lower number than one before it")
        else:
            self._fail(STREAM_CLOSED, "a frame on a stream that is closed")

    def _drops(self, stream: int, code: int, data: bytes, at: int) -> bool:
        """Have the engine not get a frame, and reset its stream; or not, if it is no error after all."""
        if code == _NOT_WANTED:
            return True
        if code == FLOW_CONTROL_ERROR:
            increment = int.from_bytes(data[at : at + 4], "big") & _MAX_WINDOW
            if self._window(stream) + increment <= _MAX_WINDOW:
                return False
        self._refuse(stream, code)
        return True

    def _count_reply(self) -> None:
        """A frame came with which peers react to what they are sent: clients of gRPC give back the place of each small
        message, and measure by PING how fast it came. So many are due for each of ours; others do no work."""
        if self._due:
            self._due = min(self._due, self._limits.glitches.burst) - 1
        else:
            self._count_glitch()

    def _count_glitch(self) -> None:
        if self._glitches is None:
            self._glitches = [self._limits.glitches.burst, clock()]
        if self._exceeds(self._glitches, self._limits.glitches):
            self._fail(ENHANCE_YOUR_CALM, "too many frames that do no work")

    def _count_reset(self, reason: str) -> None:
        """A stream of the client's was reset, or had to be."""
        if self._server:
            if self._resets is None:
                self._resets = [self._limits.resets.burst, clock()]
            if self._exceeds(self._resets, self._limits.resets):
                self._fail(ENHANCE_YOUR_CALM, reason)

    def _exceeds(self, bucket: list[float], rate: Rate) -> bool:
        left, since = bucket
        bucket[1] = now = clock()
        bucket[0] = left = min(rate.burst, left + (now - since) * rate.per_second) - 1
        return left < 0

    def _remember_cut(self, stream: int) -> None:
        """The peer may send on a stream that we have reset, until it knows."""
        cut = self._cut
        cut[stream] = None
        if len(cut) > _REMEMBERED:
            del cut[next(iter(cut))]

    def _fail(self, code: int, reason: str) -> None:
        """End the connection."""
        if not self.error:
            self.error = reason
            self._deaf = True
            self._partial = b""
            self._terminate(code)

    @abstractmethod
    def _read(self, data: bytes, start: int, stop: int) -> None:
        """Have the engine read a part of it: whole frames."""

    @abstractmethod
    def _window(self, stream: int) -> int:
        """How many bytes of a stream's body the peer takes; 0 if the stream is over."""

    @abstractmethod
    def _refuse(self, stream: int, code: int) -> None:
        """Reset a stream because of what the peer has sent."""

    @abstractmethod
    def _terminate(self, code: int) -> None:
        """Say GOAWAY, and nothing after it."""
