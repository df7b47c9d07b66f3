"""HTTP/2 on a connection from a client (RFC 9113): requests in, responses out, each on a stream of its own.

Law: every request is an exchange like any other, and no stream waits for another: what a client does not take of one
response, and what an origin does not take of one request, waits in its own stream. What is written in a round of the
reactor is sent at once. A turn takes so many requests of one connection and no more. Every stream has a deadline, or
waits for an origin, which has one; so has the connection.
"""

from __future__ import annotations

import weakref

from edgenode.model.errors import ClientError
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http2.engine import CANCEL, NO_ERROR, OUTPUT, PROTOCOL_ERROR, Fields
from edgenode.proxy.http2.engines import engine
from edgenode.proxy.http2.server_stream import Client, ServerStream
from edgenode.proxy.listener.limits import ClientLimits, HeadLimits, Timeouts

_AT_ONCE = 16
"""Requests of one connection that are handled in one turn; others get theirs before the next."""

_WRITES = 2
"""Pieces of :data:`~edgenode.proxy.http2.engine.OUTPUT` bytes that one connection is sent in one turn."""

_LINGERING = 2.0
"""Seconds for which a client may read why the connection ends, before it is cut."""

_SWALLOWING = 1.0
"""Seconds for a client to end a request that is answered already, before it is told that it need not."""

_NOTICE = 1.0
"""Seconds for a client to answer the PING behind the notice that the connection will end: what it has sent before it
has read the notice is served (RFC 9113, section 6.8)."""

_HALF_CLOSED = 5.0
"""Seconds for the responses to a client that has closed its sending side."""

_PING = b"edgenode"


class ServerConnection:
    """A connection that speaks HTTP/2 to a client.

    :ivar client: whom it tells of requests.
    :ivar deadline: when to lose patience with something, on the clock of the deadlines; never later than it is due.
    :ivar requests: how many requests have begun on it.
    """

    __slots__ = (
        "_answered", "_closing", "_deadlines", "_dirty", "_due", "_ended", "_fault", "_flushing", "_gone_away",
        "_head_due", "_heads", "_limits", "_lingers", "_running", "_sending_due", "_sent", "_streams", "_waiting",
        "client", "clock", "deadline", "engine", "heads", "requests", "timeouts", "transport", "__weakref__",
    )  # fmt: skip

    heads: HeadLimits
    timeouts: Timeouts

    def __init__(self, client: Client, transport: Transport, deadlines: Deadlines, limits: ClientLimits) -> None:
        self.client = client
        self.transport = transport
        self.clock = deadlines.clock
        self._deadlines = deadlines
        self._streams: dict[int, ServerStream] = {}
        self._waiting: list[ServerStream] = []  # who is to be handed over, or to go on; no deque: it has 760 bytes
        self._answered: list[ServerStream] = []  # of this round
        self._flushing = self._running = self._closing = self._gone_away = self._lingers = self._ended = False
        self._dirty = False
        self._sent = 0
        self._sending_due = self._head_due = NEVER
        self._heads = 0
        self._fault: ClientError | None = None  # for which the connection ends
        self.requests = 0
        self.renew(limits)
        self.engine = engine(True, weakref.proxy(self), limits.http2)  # so that both go without the garbage collector
        # The first request is expected at once. While there are streams, nothing is expected of the connection.
        self._due = self.deadline = self.clock() + limits.timeouts.header

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    # -- the streams' side -------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send what there is to be sent, once everybody has written what they write in this round."""
        self._dirty = True
        if not self._flushing:
            self._flushing = True
            self.transport.soon(self._flush)

    def go_on(self, stream: ServerStream) -> None:
        """Have a stream deliver what waits in it, after everybody else."""
        self._waiting.append(stream)
        self.transport.call_again()

    def expect(self, due: float) -> None:
        """Something is due by then."""
        if due < self.deadline:
            self.deadline = due

    def watch_taking(self, stream: ServerStream) -> None:
        """The client has to take some of a response, and has so long for it."""
        if stream.taken_due == NEVER:
            stream.stalls()
            stream.taken_due = due = self.clock() + self.timeouts.send
            self.expect(due)

    def answered(self, stream: ServerStream) -> None:
        """The response on a stream is complete, and may not have been sent yet."""
        self._answered.append(stream)
        self.flush_soon()

    def cut(self, stream: ServerStream, code: int) -> None:
        """End a stream before its end."""
        self.engine.reset(stream.number, code)
        self._forget(stream.number)
        self.flush_soon()

    def part(self, stream: ServerStream) -> None:
        """A stream whose response is sent is over: the client need not send to it any more (RFC 9113, section 8.1)."""
        if not stream.complete:
            self.engine.reset(stream.number, NO_ERROR)
        self._forget(stream.number)
        self.flush_soon()

    def last_request(self) -> None:
        """Serve no further request: say so, and when the client has heard it, look at no other."""
        if self._closing:
            return
        self._closing = True
        self.engine.shutdown_notice()
        self.engine.ping(_PING)
        self._due = self.clock() + _NOTICE
        self.expect(self._due)
        self.flush_soon()

    # -- the listener's side -----------------------------------------------------------------------------------------

    def renew(self, limits: ClientLimits) -> None:
        """Hold whatever comes next to these limits; what is being waited for keeps its deadline."""
        self._limits = limits
        self.heads = limits.head
        self.timeouts = limits.timeouts

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """The speaker begins after the handshake: with its settings."""
        self.flush_soon()

    def received(self, data: bytes) -> None:
        """Bytes from the client; none if the transport was asked to call again."""
        if self._lingers:
            return
        if data:
            flushing, self._flushing = self._flushing, True  # nothing is sent from within
            self.engine.feed(data)
            self._flushing = flushing
            if not self.engine.midway:
                self._head_due = NEVER
            elif self._head_due == NEVER or self._heads != self.requests:
                self._heads = self.requests
                self._head_due = due = self.clock() + self.timeouts.header
                self.expect(due)
        self.flush_soon()
        if self._waiting and not self._running:
            self._running = True
            self.transport.soon(self._run)

    def drained(self) -> None:
        """The client took everything."""
        self._sending_due = NEVER
        if self._lingers:
            self._half_close()
        else:
            self._flush()

    def ended(self) -> None:
        """The client sends no more; what it has asked for it still gets."""
        self._ended = True
        for stream in [*self._streams.values()]:
            if not stream.complete:
                stream.lost("the client closed the connection within the request body")
                self._streams.pop(stream.number, None)
        self._due = self.clock() + _HALF_CLOSED
        self.expect(self._due)
        self.flush_soon()

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over."""
        self._deadlines.forget(self)
        self._lingers = True
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lost(reason or "the client closed the connection")
        self._waiting.clear()
        self.client.gone(reason)

    def expired(self, now: float) -> None:
        """Something may be due."""
        self.deadline = NEVER
        if now >= self._sending_due:
            if self.transport.sent == self._sent:
                self.transport.abort("the client takes nothing of the responses")
                return
            self._watch_sending()
        if now >= self._head_due:
            self._head_due = NEVER
            self._fault = ClientError(408, "the request head took too long")
            self.engine.goaway(PROTOCOL_ERROR)
            self.flush_soon()
        if now >= self._due:
            self._over_due()
        for stream in [*self._streams.values()]:
            if now >= stream.body_due:
                stream.body_due = NEVER
                if stream.over:
                    self.part(stream)
                    continue
                stream.failed(ClientError(408, "the request body took too long"))
            elif now >= stream.taken_due:
                stream.taken_due = NEVER
                if stream.stalls():
                    stream.lost("the client takes nothing of the response")
                    self.cut(stream, CANCEL)
                else:
                    self.watch_taking(stream)
        self.expect(min(self._due, self._head_due, self._sending_due))
        for stream in self._streams.values():
            self.expect(min(stream.body_due, stream.taken_due))

    # -- the engine's side -------------------------------------------------------------------------------------------

    def head(self, stream: int, fields: Fields, done: bool) -> None:
        """A request came."""
        if not self._streams and not self._closing:
            self._due = NEVER
        self._streams[stream] = made = ServerStream(self, stream, fields, done)
        self._waiting.append(made)
        self.requests += 1
        if self.requests >= self._limits.keepalive_requests:
            self.last_request()

    def interim(self, stream: int, fields: Fields) -> None:
        """No client sends one."""

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Bytes of a request body came."""
        known = self._streams.get(stream)
        if known is None:
            self.engine.consumed(stream, len(data))
        else:
            known.body(data, done)

    def trailers(self, stream: int, fields: Fields) -> None:
        """Trailers came, and with them the end of a request."""
        known = self._streams.get(stream)
        if known is not None:
            known.body(b"", True, tuple(fields))

    def refused(self, reason: str) -> None:
        """A request was malformed."""
        self.client.refused(ClientError(400, f"malformed: {reason}"))

    def reset(self, stream: int, code: int, ours: bool) -> None:
        """A stream is over before its end."""
        known = self._streams.get(stream)
        if known is None:
            return
        if ours and not known.over:
            error = ClientError(400, f"malformed: {self.engine.fault or 'a frame or a body'}")
            if known.begun:
                known.failed(error)
            else:
                self.client.refused(error)
        known.lost("the client has reset the stream")
        self._forget(stream)

    def writable(self, stream: int) -> None:
        """All that was queued of a response has been taken into frames."""
        known = self._streams.get(stream)
        if known is not None and known.taken_due != NEVER:  # else nobody was told to wait
            known.drained()
            if known.over:
                self.answered(known)

    def goaway(self, last: int, code: int) -> None:
        """The client asks for nothing more."""
        self._closing = True
        self._go_away()

    def settings(self) -> None:
        """The client's windows and limits are the engine's to keep."""

    def pong(self, data: bytes) -> None:
        """The client has read what was sent before our PING."""
        if self._closing and not self._gone_away:
            self._go_away()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Have some of those who wait handled."""
        self._running = False
        waiting = self._waiting
        for _ in range(min(len(waiting), _AT_ONCE)):
            waiting.pop(0).run()
        if waiting:
            self.transport.call_again()

    def _flush(self) -> None:
        """Send what there is; what is written meanwhile, by who is told that all of it was sent, comes behind it."""
        transport = self.transport
        self._flushing = True
        for _ in range(_WRITES):
            if transport.queued or self._lingers:
                break
            self._dirty = False
            data = self.engine.output()
            if data:
                transport.write(data)
            if len(data) == OUTPUT:
                transport.call_again()  # the rest, which may be a few bytes, goes with what is written meanwhile
                break
            self._sent_all()
            if not self._dirty:
                break
        else:
            transport.call_again()
        self._flushing = False
        if transport.queued:
            self._watch_sending()

    def _sent_all(self) -> None:
        """All is sent that may be: forget the streams whose response that was, and to which the client does not send
        any more. Some clients, curl among them, take a reset in the middle of their request for a failure, though it
        says that there is none."""
        answered, self._answered = self._answered, []
        for stream in answered:
            if self.engine.queued(stream.number):
                self.watch_taking(stream)  # and it comes back once all of it is taken
            elif stream.complete:
                self._forget(stream.number)
            else:
                stream.swallow(due := self.clock() + _SWALLOWING)
                self.expect(due)
        if self.engine.closed or (not self._streams and (self._gone_away or self._ended)):
            self._end()

    def _forget(self, number: int) -> None:
        """A stream is over."""
        self._streams.pop(number, None)
        if not self._streams and not self._closing:
            self._due = self.clock() + self.timeouts.keepalive
            self.expect(self._due)

    def _go_away(self) -> None:
        """Take no more streams; end once there are none."""
        if not self._gone_away:
            self._gone_away = True
            self._due = NEVER
            self.engine.goaway(NO_ERROR)
            self.flush_soon()

    def _over_due(self) -> None:
        """The connection's own time is over."""
        self._due = NEVER
        if self._lingers:
            self.transport.abort("")
        elif self._ended:
            self.transport.abort("the client has closed its side, and the responses take long")
        elif self._closing:
            self._go_away()
        else:
            self.last_request()

    def _watch_sending(self) -> None:
        """Set the deadline of what is being sent."""
        if self._sending_due == NEVER or self.transport.sent != self._sent:
            self._sent = self.transport.sent
            self._sending_due = self.clock() + self.timeouts.send
        self.expect(self._sending_due)

    def _end(self) -> None:
        """Nothing more is to be read or written: the client may read the last of it."""
        if self._lingers:
            return
        data = self.engine.output()
        if data:
            self.transport.write(data)
        if self.engine.error and self._fault is None:
            self._fault = ClientError(400, f"HTTP/2: {self.engine.error}")
        if self._fault is not None:
            self.client.refused(self._fault)
        self._lingers = True
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lost("the connection has ended" if self._fault is None else self._fault.reason)
        if not self.transport.queued:
            self._half_close()

    def _half_close(self) -> None:
        if self._ended:
            self.transport.close()
            return
        self._due = self.clock() + _LINGERING
        self.expect(self._due)
        self.transport.half_close()
