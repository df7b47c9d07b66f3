"""What both engines of HTTP/2 have in common: which streams are told of, and to whom.

Law: a stream is told of between its head and its end or reset, and never afterwards; bytes of a body that nobody is
told are given back to the peer at once, or the connection's window would leak.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from edgenode.proxy.http2.engine import Fields, Receiver
from edgenode.proxy.http2.limits import EngineLimits

PEER_STREAMS = 100
"""How many streams a peer takes that has not said it yet (RFC 9113, section 6.5.2: at least so many)."""


class Streams(ABC):
    """The streams of one connection. See :class:`edgenode.proxy.http2.engine.Engine`."""

    __slots__ = (
        "_limits", "_live", "_peer_streams", "_receiver", "_server", "_unsent", "closed", "connect_protocol", "error",
    )  # fmt: skip

    def __init__(self, server: bool, receiver: Receiver, limits: EngineLimits) -> None:
        self._server = server
        self._receiver = receiver
        self._limits = limits
        self._live: set[int] = set()
        self._unsent: set[int] = set()
        self._peer_streams = PEER_STREAMS
        self.closed = False
        self.connect_protocol = False
        self.error = ""

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._live)

    @property
    def capacity(self) -> int:
        """How many more streams the peer takes now."""
        return max(0, self._peer_streams - len(self._live)) if self._takes_requests() else 0

    def _head_came(self, stream: int, fields: Fields, done: bool) -> None:
        if self._server:
            self._live.add(stream)
        if stream in self._live:
            self._receiver.head(stream, fields, done)

    def _interim_came(self, stream: int, fields: Fields) -> None:
        if stream in self._live:
            self._receiver.interim(stream, fields)

    def _data_came(self, stream: int, data: bytes, done: bool) -> None:
        if stream in self._live:
            self._receiver.data(stream, data, done)
        else:
            self.consumed(stream, len(data))

    def _trailers_came(self, stream: int, fields: Fields) -> None:
        if stream in self._live:
            self._receiver.trailers(stream, fields)

    def _reset_came(self, stream: int, code: int, ours: bool) -> None:
        if stream in self._live:
            self._forget(stream)
            self._receiver.reset(stream, code, ours)

    def _ended(self, stream: int) -> None:
        """Both directions of a stream have ended."""
        self._live.discard(stream)
        if stream in self._unsent:
            self._unsent.discard(stream)
            self._receiver.writable(stream)

    def _forget(self, stream: int) -> None:
        self._live.discard(stream)
        self._unsent.discard(stream)

    def _taken(self) -> None:
        """Tell whose body has been taken into frames."""
        if self._unsent:
            for stream in [stream for stream in self._unsent if not self.queued(stream)]:
                self._unsent.discard(stream)
                self._receiver.writable(stream)

    @abstractmethod
    def consumed(self, stream: int, size: int) -> None:
        """See the engine."""

    @abstractmethod
    def queued(self, stream: int) -> int:
        """See the engine."""

    @abstractmethod
    def _takes_requests(self) -> bool:
        """Whether a request could be begun."""
