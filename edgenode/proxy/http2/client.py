"""HTTP/2 on a connection to an origin: many requests at a time, each on a stream of its own (RFC 9113).

Law: what a read has brought is told once all of it has been read, to each stream by itself: a defect, a malformed
response or a slow reader ends or holds up that stream and no other. After GOAWAY no stream begins; what the origin says
it has not looked at was not sent. An origin that is not heard of, though streams wait for it, is asked with a PING.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import ClassVar, Protocol

from twisted.internet.error import TimeoutError
from twisted.logger import Logger

from edgenode.model.errors import OriginError
from edgenode.model.presentation import Presentation
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http2.engine import NO_ERROR, OUTPUT, REFUSED_STREAM, Engine, Fields, Receiver
from edgenode.proxy.http2.origin_stream import RequestStream
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.refusals import ended

_PING = b"edgenode"
_MOST_PINGS, _PAUSE = 2, 300.0
"""PINGs without a frame of a stream from the origin between them, and the seconds after which there may be another:
servers of gRPC end a connection at more (``too_many_pings``)."""

_log = Logger()


class Keeper(Protocol):
    """The pool, which lends streams out."""

    def changed(self, connection: MultiplexedConnection) -> None:
        """It can carry more requests than before, or fewer, or carries none any more."""

    def gone(self, connection: MultiplexedConnection) -> None:
        """The connection is over."""


class MultiplexedConnection:
    """A connection to one server of an origin, and the streams on it.

    :param make: makes the engine that has its frames.
    :ivar server: the server.
    :ivar transport: the transport below; its receiver is this object.
    :ivar engine: its frames.
    :ivar presented: what became of our certificate on it; ``None`` without TLS.
    :ivar active: how many streams are lent.
    :ivar deadline: when to lose patience, on the clock of ``deadlines``.
    """

    shares: ClassVar[bool] = True
    __slots__ = (
        "_deadlines", "_doubted", "_drained", "_draining", "_ending", "_flushing", "_heard", "_keeper", "_last_ping",
        "_pinged", "_pings", "_sent", "_settled", "_streams", "_touched", "active", "deadline", "engine", "now",
        "origin", "presented", "released", "scheme", "server", "transport", "__weakref__",
    )  # fmt: skip

    def __init__(
        self,
        keeper: Keeper,
        server: Balanced,
        origin: Origin,
        transport: Transport,
        deadlines: Deadlines,
        presented: Presentation | None,
        make: Callable[[Receiver], Engine],
    ) -> None:
        self._keeper = keeper
        self.server = server
        self.origin = origin
        self.transport = transport
        self._deadlines = deadlines
        self.now = deadlines.clock
        self.presented = presented
        self.scheme = b"https" if server.server.tls else b"http"
        self.engine = make(weakref.proxy(self))  # so that both go without the garbage collector
        self._streams: dict[int, RequestStream] = {}
        self._touched: list[RequestStream] = []
        self._drained: list[int] = []
        self._flushing = self._draining = self._doubted = self._settled = self._ending = False
        self._pings = self._sent = 0
        self._pinged = self._last_ping = 0.0
        self._heard = self.now()
        self.active = self.released = 0
        self.deadline = NEVER

    # -- the pool's side ---------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more requests it can carry now."""
        if self._draining or self._doubted or not self._settled or self.transport.lost:
            return 0
        lent = self.active - len(self._streams)  # and not begun yet
        return min(self.origin.max_streams - self.active, self.engine.capacity - lent)

    def stream(self) -> RequestStream:
        """A stream for a request; it has its place until it is over."""
        self.active += 1
        if self.active == 1:
            self._heard = self.now()
            self._watch()
        return RequestStream(self, self.presented)

    def usable(self, look: bool) -> bool:
        """Whether another request may be sent on it, now that it has none; if not, it is ended.

        :param look: whether there was no poll since it had one, so that its end may have come unseen.
        """
        self.transport.catch_up(look)
        if self.room > 0:
            return True
        self.close()
        return False

    def close(self) -> None:
        """Close it, without a stream."""
        if not self._ending and not self.transport.lost:
            self._draining = self._ending = True
            self.engine.goaway(NO_ERROR)
            self._flush()
            self.transport.close()

    # -- the streams' side -------------------------------------------------------------------------------------------

    def begun(self, stream: RequestStream) -> None:
        """A request was sent."""
        self._streams[stream.number] = stream
        self._deadlines.watch(stream)

    def over(self, stream: RequestStream) -> None:
        """A stream is over: its place is another's."""
        if self._streams.pop(stream.number, None) is not None:
            self._deadlines.forget(stream)
        self.active -= 1
        if self.transport.lost:
            return
        if self._draining and not self.active:
            self.close()
        else:
            self._keeper.changed(self)

    def deliver(self, stream: RequestStream) -> None:
        """Have a stream tell what has come; what goes wrong in that ends this stream alone."""
        try:
            stream.deliver()
        except Exception:
            _log.failure("a request to an origin failed")
            stream.broken()

    def deliver_soon(self, stream: RequestStream) -> None:
        """The same, but not from within a call of the stream's own."""
        if self.transport.lost:
            self.deliver(stream)
        else:
            self._touch(stream)
            self.transport.call_again()

    def flush_soon(self) -> None:
        """Send what the engine has to send, once everybody has had his turn in this round."""
        if not self._flushing:
            self._flushing = True
            self.transport.soon(self._flush)

    def doubt(self) -> None:
        """The origin has not answered a request: lend no stream until it is heard of, and ask whether it lives."""
        now = self.now()
        if not self._doubted and (self._pinged or self._ping_at(now) <= now):
            self._doubted = True
            if not self._pinged:
                self._ping()
            self._keeper.changed(self)

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """Say the first words, in which the engine has our settings."""
        self._flush()

    def received(self, data: bytes) -> None:
        """Bytes from the origin."""
        engine = self.engine
        if data:
            self._heard = self.now()
            engine.feed(data)
            if self._pinged or self._doubted:
                self._alive()
        self._settle()
        if not self.transport.lost:
            self.flush_soon()

    def drained(self) -> None:
        """The socket has taken everything."""
        self._flush()
        self._watch()

    def ended(self) -> None:
        """The origin sends no more."""
        self.transport.close()

    def lost(self, reason: str, clean: bool) -> None:
        """The origin, or we, ended the connection."""
        self._deadlines.forget(self)
        self._keeper.gone(self)
        for stream in [*self._streams.values()]:
            self._deadlines.forget(stream)
            where = "in the middle of the response" if stream.began else "before the response"
            stream.fail(ended(reason, self.presented, where, False, clean=clean, begun=stream.began))

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        if self.transport.queued:
            if self.transport.sent > self._sent:
                self._watch()
            else:
                self._fail("timeout", "the origin takes nothing that is sent to it", "send-timeout")
        elif not self.active:
            self.close()
        elif not self._pinged:
            due = self._ping_at(self._heard + self.origin.ping_interval)
            if due <= now:
                self._ping()
            else:
                self.deadline = due
        elif self._heard > self._pinged:
            self._alive()
        else:
            self._fail("timeout", "the origin does not answer a PING", "ping-timeout")

    # -- the engine's side -------------------------------------------------------------------------------------------

    def head(self, stream: int, fields: Fields, done: bool) -> None:
        """A final response."""
        if (found := self._streams.get(stream)) is not None:
            found.came_head(fields, done)
            self._touch(found)
            self.transport.wary = False  # the origin has accepted the handshake
            self._lively()

    def interim(self, stream: int, fields: Fields) -> None:
        """An interim response."""
        if (found := self._streams.get(stream)) is not None:
            found.came_interim(fields)
            self._touch(found)

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Bytes of a body."""
        if (found := self._streams.get(stream)) is not None:
            found.came_data(data, done)
            self._touch(found)
            self._lively()
        else:
            self.engine.consumed(stream, len(data))

    def trailers(self, stream: int, fields: Fields) -> None:
        """Trailers."""
        if (found := self._streams.get(stream)) is not None:
            found.came_trailers(fields)
            self._touch(found)

    def reset(self, stream: int, code: int, ours: bool) -> None:
        """A stream is over before its end."""
        if (found := self._streams.get(stream)) is not None:
            found.came_reset(code, ours)
            self._touch(found)

    def writable(self, stream: int) -> None:
        """A body has been taken into frames."""
        self._drained.append(stream)

    def goaway(self, last: int, code: int) -> None:
        """The origin takes no more streams."""
        self._draining = True
        for number, stream in [*self._streams.items()]:
            if number > last:
                stream.came_reset(REFUSED_STREAM, False)
                self._touch(stream)
        if self.active:
            self._keeper.changed(self)

    def pong(self, data: bytes) -> None:
        """That it was heard of is enough."""

    def refused(self, reason: str) -> None:
        """No origin sends requests."""

    def settings(self) -> None:
        """The origin takes more streams than before, or fewer."""
        self._settled = True
        if self.active:
            self._keeper.changed(self)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _touch(self, stream: RequestStream) -> None:
        if not stream.touched:
            stream.touched = True
            self._touched.append(stream)

    def _flush(self) -> None:
        """Send what the engine has to send, while the socket takes it."""
        self._flushing = False
        transport, engine = self.transport, self.engine
        while not transport.queued:
            data = engine.output()
            if data:
                transport.write(data)
            if self._drained:
                self._tell_drained()
            elif len(data) < OUTPUT:
                break
        else:
            self._watch()
        self._settle()

    def _settle(self) -> None:
        """Tell the streams what has come, and end what is at its end."""
        while self._touched:
            touched, self._touched = self._touched, []
            for stream in touched:
                self.deliver(stream)
        engine = self.engine
        if self._ending or self.transport.lost:
            return
        if engine.error:
            self._fail("invalid", f"the response is malformed: {engine.error}", engine.error)
        elif engine.closed and self.active:
            self._fail("reset", "the origin has ended the connection", "")
        elif engine.closed or (self._draining and not self.active):
            self.close()

    def _tell_drained(self) -> None:
        drained, self._drained = self._drained, []
        for number in drained:
            if (found := self._streams.get(number)) is not None:
                found.drained()

    def _lively(self) -> None:
        """A frame has come after which the origin may be pinged anew."""
        if self._pings:
            self._pings = 0
            self._watch()

    def _alive(self) -> None:
        """The origin has been heard of."""
        self._pinged = 0.0
        self._watch()
        if self._doubted:
            self._doubted = False
            if self.active:
                self._keeper.changed(self)

    def _ping(self) -> None:
        self._pinged = self._last_ping = self.now()
        self._pings += 1
        self.engine.ping(_PING)
        self.flush_soon()
        self._watch()

    def _ping_at(self, wanted: float) -> float:
        """When a PING that is wanted at a time may be sent."""
        return wanted if self._pings < _MOST_PINGS else max(wanted, self._last_ping + _PAUSE)

    def _watch(self) -> None:
        """Set the deadline."""
        origin = self.origin
        if self.transport.queued:
            self._sent = self.transport.sent
            self.deadline = self.now() + origin.send_timeout
        elif self._pinged:
            self.deadline = self._pinged + origin.ping_timeout
        elif self.active and origin.ping_interval:
            self.deadline = self._ping_at(self._heard + origin.ping_interval)
        else:
            self.deadline = NEVER if self.active else self.now() + origin.idle_timeout

    def _fail(self, kind: str, reason: str, why: str) -> None:
        """End the connection, and with it every stream."""
        status, cause = (504, TimeoutError()) if kind == "timeout" else (502, None)
        self._draining = self._ending = True
        for stream in [*self._streams.values()]:
            stream.fail(OriginError(status, kind, reason, sent=True, begun=stream.began, cause=cause))
        if not self.transport.lost:
            self._flush()
            self.transport.abort(why)
