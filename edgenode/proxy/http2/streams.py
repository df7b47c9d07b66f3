"""What both engines of HTTP/2 have in common behind the guard: which streams are told of, and to whom.

Law: a stream is told of between its head and its end or reset, and never afterwards; bytes of a body that nobody is
told are given back to the peer at once, or the connection's window would leak. What is malformed is never told.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from edgenode.proxy.http2.engine import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    Fields,
    Receiver,
)
from edgenode.proxy.http2.fields import MalformedFields, check_trailers
from edgenode.proxy.http2.guard import ANSWERED, DUE, GONE, OPEN, TOLD, Guard
from edgenode.proxy.http2.limits import EngineLimits

PEER_STREAMS = 100
"""How many streams a peer takes that has not said it yet (RFC 9113, section 6.5.2: at least so many)."""

_BLAMING = frozenset((PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, ENHANCE_YOUR_CALM))
_PROVOKED = "the client makes us reset streams too often"


class Streams(Guard):
    """The streams of one connection. See :class:`edgenode.proxy.http2.engine.Engine`."""

    __slots__ = (
        "_peer_streams", "_receiver", "_their_code", "_unheard", "_unsent", "closed", "connect_protocol", "fault",
    )  # fmt: skip

    def __init__(self, server: bool, receiver: Receiver, limits: EngineLimits) -> None:
        super().__init__(server, limits)
        self._receiver = receiver
        self._unsent: list[int] = []  # few at any time; an empty set has 216 bytes
        self._unheard = GONE if server else 0  # a server answers before it says that the rest is not wanted
        self._peer_streams = PEER_STREAMS
        self._their_code = NO_ERROR
        self.closed = False
        self.connect_protocol = False
        self.fault = ""

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def capacity(self) -> int:
        """How many more streams the peer takes now."""
        return max(0, self._peer_streams - len(self._streams)) if self._takes_requests() else 0

    # -- what comes --------------------------------------------------------------------------------------------------

    def _head_came(self, stream: int, fields: Fields, done: bool) -> None:
        state = self._streams.get(stream, 0)
        if state & self._unheard or not (state & TOLD or self._server):
            return  # nobody waits for it
        try:
            if self._server:
                self._check_request(fields, done)
                self._streams[stream] = state | TOLD
            else:
                self._check_response(fields)
        except MalformedFields as error:
            self._refuse(stream, PROTOCOL_ERROR, str(error))
            if self._server:
                self._receiver.refused(str(error))
            return
        self._due += DUE
        self._receiver.head(stream, fields, done)

    def _interim_came(self, stream: int, fields: Fields) -> None:
        self._checked(stream, fields, self._check_response, self._receiver.interim)

    def _trailers_came(self, stream: int, fields: Fields) -> None:
        self._checked(stream, fields, check_trailers, self._receiver.trailers)

    def _checked(
        self, stream: int, fields: Fields, check: Callable[[Fields], object], tell: Callable[[int, Fields], None]
    ) -> None:
        if self._streams.get(stream, 0) & (TOLD | self._unheard) == TOLD:
            try:
                check(fields)
            except MalformedFields as error:
                self._refuse(stream, PROTOCOL_ERROR, str(error))
                return
            tell(stream, fields)

    def _data_came(self, stream: int, data: bytes, done: bool) -> None:
        if self._streams.get(stream, 0) & (TOLD | self._unheard) == TOLD:
            if data:
                self._due += 1
            self._receiver.data(stream, data, done)
        else:
            self.consumed(stream, len(data))

    def _reset_came(self, stream: int, code: int, ours: bool) -> None:
        self.fault = ""
        state = self._forget(stream)
        if ours and state is not None:
            self._remember_cut(stream)
            self._count_reset(_PROVOKED)
        if state is not None and state & TOLD:
            self._receiver.reset(stream, code, ours)
        elif state is not None and ours and self._server:
            self._receiver.refused("a field or a pseudo-header field that no request may have")

    def _ended(self, stream: int) -> None:
        """Both directions of a stream have ended."""
        self._streams.pop(stream, None)
        if stream in self._unsent:
            self._unsent.remove(stream)
            self._receiver.writable(stream)

    def _goaway_came(self, last: int, code: int) -> None:
        self._their_code = code
        self._receiver.goaway(last, code)
        if not self._server:
            for stream in [stream for stream in self._streams if stream > last]:
                self._reset_came(stream, REFUSED_STREAM, False)

    def _forget(self, stream: int) -> int | None:
        if stream in self._unsent:
            self._unsent.remove(stream)
        return self._streams.pop(stream, None)

    # -- what goes ---------------------------------------------------------------------------------------------------

    def _begun(self, stream: int) -> None:
        self._streams[stream] = OPEN | TOLD
        self._highest = stream

    def _answered(self, stream: int) -> None:
        """All of our side of a stream is there."""
        state = self._streams.get(stream, 0)
        if state & OPEN:
            self._streams[stream] = state | ANSWERED

    def _taken(self) -> None:
        """Tell whose body has been taken into frames."""
        for stream in [stream for stream in self._unsent if not self.queued(stream)]:
            if stream in self._unsent:  # who was told before it may have reset it
                self._unsent.remove(stream)
                self._receiver.writable(stream)

    def _refuse(self, stream: int, code: int, fault: str = "") -> None:
        self.fault = fault
        state = self._forget(stream)
        if state is not None:
            self._cut_off(stream, code)
            self._count_reset(_PROVOKED)
            if state & TOLD:
                self._receiver.reset(stream, code, True)

    def reset(self, stream: int, code: int) -> None:
        """End a stream at once."""
        if self._forget(stream) is not None:
            self._cut_off(stream, code)
            if code in _BLAMING:
                self._count_reset(_PROVOKED)

    def _cut_off(self, stream: int, code: int) -> None:
        self._remember_cut(stream)
        self._send_reset(stream, code)

    # -- what an engine has ------------------------------------------------------------------------------------------

    @abstractmethod
    def consumed(self, stream: int, size: int) -> None:
        """See the engine."""

    @abstractmethod
    def queued(self, stream: int) -> int:
        """See the engine."""

    @abstractmethod
    def _check_request(self, fields: Fields, done: bool) -> None:
        """Check what the engine has not looked at itself."""

    @abstractmethod
    def _check_response(self, fields: Fields) -> None:
        """The same, of a final response or an interim one."""

    @abstractmethod
    def _send_reset(self, stream: int, code: int) -> None:
        """Reset a stream."""

    @abstractmethod
    def _takes_requests(self) -> bool:
        """Whether a request could be begun."""
