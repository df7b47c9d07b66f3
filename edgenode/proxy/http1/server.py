"""HTTP/1.1 on a connection from a client: requests in, responses out, one at a time and in order.

Law: a request is handed over only when its whole head has been read strictly; its body follows as the handler takes it.
Nothing of a further request is looked at before the response to the current one is complete and sent. Every state has
a deadline, or waits for an origin, which has one. Nothing is read while something that was read waits.
"""

from __future__ import annotations

from typing import Protocol

from edgenode.model.errors import ClientError, without_frames
from edgenode.model.exchange import Headers
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http1.reader import RequestReader
from edgenode.proxy.http1.states import AFTER, Event, State
from edgenode.proxy.http1.tunnel import HTTP1Tunnel, accepted
from edgenode.proxy.http1.writer import chunk, error_response, last_chunk, status_line
from edgenode.proxy.listener.limits import ClientLimits
from edgenode.proxy.streams import RequestHandler, RequestHead, Tunnel, TunnelReceiver
from edgenode.proxy.websocket.handshake import KEY

_IDLE, _HEAD, _BODY, _WAIT, _EARLY, _RESPONSE, _LINGER, _CLOSED = State
_AFTER_BYTES, _AFTER_BODY_END = AFTER[Event.BYTES], AFTER[Event.BODY_END]
_AFTER_REQUEST, _AFTER_REQUEST_WITH_BODY = AFTER[Event.REQUEST], AFTER[Event.REQUEST_WITH_BODY]
_AFTER_RESPONSE_START = AFTER[Event.RESPONSE_START]
_AFTER_NEXT, _AFTER_MORE = AFTER[Event.NEXT], AFTER[Event.MORE]
_AFTER_LINGER, _AFTER_CLOSE = AFTER[Event.LINGER], AFTER[Event.CLOSE]
# To look a member up in its class takes longer than the rest of a transition.

_LINGERING = 2.0
"""Seconds for which a client that is still sending may read why it was refused, before the connection is cut."""

_TURN = 0.001
"""Seconds of pipelined requests that are answered at once, before other connections get their turn."""

_ONE_WRITE = 8192
"""Bytes of a body up to which it is copied behind its head, to be sent as one TLS record."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Client(Protocol):
    """What a speaker needs of the client connection that it speaks on."""

    def handle(self, stream: ServerConnection, head: RequestHead) -> RequestHandler | None:
        """Handle a request; ``None`` if its response is complete already."""

    def authority(self) -> bytes:
        """The authority of a request that says none."""
        ...

    def refused(self, error: ClientError) -> None:
        """Something that is no request was refused; it has been answered already."""

    def gone(self, reason: str) -> None:
        """The connection is over."""

    def becomes(self, tunnel: HTTP1Tunnel) -> None:
        """The connection is a tunnel from now on."""


class ServerConnection:
    """A connection that speaks HTTP/1.1 to a client: its speaker, and the stream of its current request.

    :param scheme: of its requests: ``https``, or ``http`` without TLS.
    :ivar state: where it stands.
    :ivar deadline: when to lose patience, on the clock of ``deadlines``.
    :ivar requests: how many requests have begun on it.
    """

    __slots__ = (
        "_chunked", "_client", "_close", "_continue", "_deadlines", "_due", "_ended", "_handler", "_head", "_left",
        "_limits", "_paused", "_reader", "_running", "_sent", "deadline", "requests", "soon", "state", "transport",
    )  # fmt: skip

    def __init__(
        self, client: Client, transport: Transport, deadlines: Deadlines, limits: ClientLimits, scheme: bytes = b"https"
    ) -> None:
        self._client = client
        self.transport = transport
        self.soon = transport.soon
        self._deadlines = deadlines
        self._limits = limits
        self._reader = RequestReader(limits.head, client.authority, scheme)
        self._head: RequestHead | None = None
        self._handler: RequestHandler | None = None
        self._continue = False
        self._running = False
        self._chunked = False
        self._close = False
        self._ended = False
        self._paused = False  # whether the transport is
        self._left: float | None = None  # of the time for a body, while its handler takes no more of it
        self._sent = 0
        self._due: float | None = None  # the deadline that holds once all is sent, while it is being sent
        self.requests = 0
        self.state = _IDLE
        # The first request is expected at once.
        self.deadline = deadlines.clock() + limits.timeouts.header

    # -- the stream of the current request ---------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether something is unsent, so that the writer should wait."""
        return self.transport.queued > 0

    @property
    def waits(self) -> bool:
        """Whether the client waits to be told to send its body."""
        return self._continue

    def start_response(
        self, status: int, reason: bytes, lines: bytes, length: int | None, body: bytes, done: bool
    ) -> None:
        """Send a response head with the first bytes of the body: see :class:`~edgenode.proxy.streams.ClientStream`."""
        head = self._head
        assert head is not None
        self.state = _AFTER_RESPONSE_START[self.state]
        if (
            not head.keep_alive
            or self._reader.body is not None
            or self.requests >= self._limits.keepalive_requests
            or head.upgrade
        ):
            # Bytes of a body that nobody takes, or of a tunnel that is refused, would be read as the next request.
            self._close = True
        bodiless = head.method == b"HEAD" or status == 204 or status == 304
        framing = b""
        self._chunked = False
        if length is not None:
            framing = b"" if status == 204 else b"Content-Length: %d\r\n" % length
        elif not bodiless:
            if head.version == (1, 1):
                self._chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self._close = True
        if self._close:
            framing += b"Connection: close\r\n"
        elif head.version == (1, 0):
            framing += b"Connection: keep-alive\r\n"
        start = b"%b%b%b\r\n" % (status_line(status, reason), lines, framing)
        if bodiless:
            body = b""
        if self._chunked:
            body = chunk(body) + last_chunk() if done else chunk(body)
        if len(body) > _ONE_WRITE:
            self.transport.write(start)
            self.transport.write(body)
        else:
            self.transport.write(start + body)
        if self.transport.queued:
            self._watch_sending()
        if done:
            self._finish()

    def send_body(self, body: bytes, done: bool, trailers: Headers = ()) -> None:
        """Send more of the response body."""
        if self._chunked:
            body = chunk(body) + last_chunk(trailers) if done else chunk(body)
        self.transport.write(body)
        if self.transport.queued:
            self._watch_sending()
        if done:
            self._finish()

    def interim(self, status: int, reason: bytes, lines: bytes) -> None:
        """Pass an interim response on, to a client that knows them."""
        assert self._head is not None
        if self._head.version == (1, 1):
            self.transport.write(b"%b%b\r\n" % (status_line(status, reason), lines))
            if self.transport.queued:
                self._watch_sending()

    def accept_body(self) -> None:
        """The request has been let through: ask for its body if the client waits to be asked."""
        if self._continue:
            self._continue = False
            self.transport.write(_CONTINUE)

    def pause_body(self) -> None:
        """Read no more until :meth:`resume_body`; the client's deadline stands still."""
        if self._left is None:
            due = self.deadline if self._due is None else self._due
            self._left = due - self._deadlines.clock()
            self._expect(NEVER)
            self._regulate()

    def resume_body(self) -> None:
        """Read on."""
        left, self._left = self._left, None
        if left is not None:
            self._expect(self._deadlines.clock() + left)
            self._regulate()
            if self._reader.body is not None and self._reader.buffered:
                self.transport.call_again()

    def reset(self, reason: str) -> None:
        """Cut the connection: the response cannot be completed, and must not look complete."""
        self._handler = None
        self.transport.abort(reason)

    def close_silently(self) -> None:
        """Close without a byte of a response."""
        self._handler = None
        self._close_transport()

    def last_request(self) -> None:
        """Close the connection after the current response, or now if there is none."""
        self._close = True
        if self._handler is None and not self._running and self.state <= _HEAD:
            self._close_transport()

    def tunnel(self, receiver: TunnelReceiver, lines: bytes) -> Tunnel:
        """Accept the request for a tunnel: the connection is no longer HTTP's."""
        head, reader = self._head, self._reader
        assert head is not None
        self._handler = None
        self.state = _AFTER_CLOSE[self.state]
        self._deadlines.forget(self)
        self.transport.write(accepted(lines, head.fields[KEY][0]))
        tunnel = HTTP1Tunnel(self.transport, receiver, self._client.gone, reader.buffered, ended=self._ended)
        reader.buffered = b""
        self._client.becomes(tunnel)
        return tunnel

    # -- the listener's side -----------------------------------------------------------------------------------------

    def renew(self, limits: ClientLimits) -> None:
        """Hold whatever comes next to these limits; what is being waited for keeps its deadline."""
        self._limits = limits
        self._reader.limits = limits.head

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """The speaker begins after the handshake."""

    def received(self, data: bytes) -> None:
        """Bytes from the client; none if the transport was asked to call again."""
        state = self.state
        if state is _BODY or state is _EARLY:
            self._reader.feed(data)
            if self._handler is not None:  # else it is to be handed over yet
                self._read_body()
        elif state <= _RESPONSE:
            self._reader.feed(data)
            if state is _HEAD:
                self._run()
            elif state is _IDLE and data:
                self.state = _AFTER_BYTES[state]
                self._run()
                if self.state is _HEAD:
                    self._expect(self._deadlines.clock() + self._limits.timeouts.header)
        if self._paused or self._reader.buffered:
            self._regulate()

    def drained(self) -> None:
        """The client took everything."""
        state, handler = self.state, self._handler
        due, self._due = self._due, None
        if due is not None:
            self.deadline = due
        if handler is not None:
            handler.client_drained()
        elif state is _LINGER:
            self._half_close()
        elif state <= _HEAD:
            self.deadline = self._deadlines.clock() + self._between  # the client could not be expected to go on before
            if state is _HEAD:
                self._run()
        if self._paused:
            self._regulate()

    def ended(self) -> None:
        """The client sends no more; what it has asked for it still gets, however long its origin may take.

        Nobody can tell whether it still reads, until something is sent to it. If it does not, its connection to the
        origin is held for nothing, for no longer than ``read-timeout``.
        """
        self._ended = True
        state = self.state
        if state is _BODY or state is _EARLY:
            if not self._reader.buffered:
                self._cut_short()
        elif state is _IDLE or state is _LINGER:
            self._close_transport()
        elif state is _HEAD:
            self._run()

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over."""
        self.state = _AFTER_CLOSE[self.state]
        self._deadlines.forget(self)
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.client_lost(reason or "the client closed the connection")
        self._client.gone(reason)

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        state = self.state
        if self.transport.queued:
            if self.transport.sent > self._sent:
                self._watch_sending()
            else:
                self.transport.abort("the client takes nothing of the response")
        elif state >= _EARLY:
            self.transport.abort("too slow")
        elif self._handler is not None:
            self.deadline = NEVER
            self._handler.body_failed(ClientError(408, "the request body took too long"))
        elif state is _HEAD:
            self._refuse(ClientError(408, "the request head took too long"))
        else:
            self._close_transport()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Take requests from what has come until one waits for something."""
        if self._running:
            return
        self._running = True
        reader = self._reader
        until = 0.0
        try:
            # A client that takes no responses gets no more of them: the requests wait, and so does it.
            while not self.transport.queued:
                head = reader.read_head()
                if head is None:
                    if self._ended:
                        self._close_transport()
                    break
                self._take(head)
                if self.state is not _HEAD:
                    break
                now = self._deadlines.clock()
                until = until or now + _TURN
                if now > until:
                    self.transport.call_again()
                    break
        except ClientError as error:
            self._refuse(without_frames(error))
        finally:
            self._running = False

    def _take(self, head: RequestHead) -> None:
        """Have a request handled."""
        self.requests += 1
        self._head = head
        if self._reader.body is None:
            self.state = _AFTER_REQUEST[self.state]
            self.deadline = NEVER
        else:
            self.state = _AFTER_REQUEST_WITH_BODY[self.state]
            self._continue = head.expects_continue and not self._reader.buffered
            self.deadline = self._deadlines.clock() + self._limits.timeouts.body
        self.soon(self._handle)

    def _handle(self) -> None:
        """Hand the request over."""
        head = self._head
        assert head is not None
        if not _BODY <= self.state <= _WAIT:
            return  # its time is over
        self._handler = self._client.handle(self, head)
        if self._reader.body is not None and self._reader.buffered:
            self.soon(self._begin_body)  # once the request has been judged, which may have been the end of it

    def _begin_body(self) -> None:
        """Read what has come of the body together with the head."""
        if self._handler is not None and self._reader.body is not None and self._left is None:
            self._read_body()

    def _read_body(self) -> None:
        handler = self._handler
        try:
            piece, done = self._reader.read_body()
        except ClientError as error:
            if handler is not None:
                handler.body_failed(without_frames(error))
            return
        self._continue = False
        if done:
            self.state = _AFTER_BODY_END[self.state]
            self._expect(NEVER)
        if handler is not None and (piece or done):
            handler.request_body(piece, done, self._reader.trailers if done else ())
        if self._reader.body is None:
            return
        if self._ended and not self._reader.buffered:
            self._cut_short()
        elif self._reader.buffered and self._left is None:
            self.transport.call_again()

    def _cut_short(self) -> None:
        """The client has closed its side before the end of the body."""
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.client_lost("the client closed the connection within the request body")
        self.transport.abort("closed within the request body")

    def _regulate(self) -> None:
        """Read only if what is read has a place."""
        state = self.state
        if state is _BODY or state is _EARLY:
            full = self._left is not None
        elif state is _HEAD:
            full = self.transport.queued > 0
        else:
            full = state <= _RESPONSE and bool(self._reader.buffered)
        if full is not self._paused:
            self._paused = full
            if full:
                self.transport.pause()
            else:
                self.transport.resume()

    def _close_transport(self) -> None:
        """Close once everything is sent, if it ever is."""
        self._close = True
        self.state = _AFTER_CLOSE[self.state]
        self.transport.close()
        if self.transport.queued:  # what was written in this round is sent only now
            self._watch_sending()

    def _expect(self, due: float) -> None:
        """Set the deadline of what the client has to send; while something is being sent to it, another holds."""
        if self._due is None:
            self.deadline = due
        else:
            self._due = due

    def _watch_sending(self) -> None:
        """Set the deadline of what is being sent."""
        if self._due is None:
            self._due = self.deadline
        self._sent = self.transport.sent
        self.deadline = self._deadlines.clock() + self._limits.timeouts.send

    def _finish(self) -> None:
        """The response is complete: next request, or the end."""
        self._handler = None
        if self._close:
            self._end()
            return
        more = bool(self._reader.buffered)
        if self._ended and not more:
            self._close_transport()
            return
        self.state = (_AFTER_MORE if more else _AFTER_NEXT)[self.state]
        self._left = None
        self._expect(self._deadlines.clock() + self._between)
        if more:
            self._run()
        if self._paused:
            self._regulate()

    @property
    def _between(self) -> float:
        """How long the next request may take to come: its rest, if it has begun."""
        timeouts = self._limits.timeouts
        return timeouts.keepalive if self.state is _IDLE else timeouts.header

    def _end(self) -> None:
        """Close after the response.

        If more may be on its way, let the client read the response first: unread bytes would turn the close into a
        reset, which can destroy the response (RFC 9112, section 9.6).
        """
        reader, head = self._reader, self._head
        asked_to_close = reader.body is None and not reader.buffered and head is not None and not head.keep_alive
        if asked_to_close:
            self._close_transport()
        else:
            self._linger()

    def _linger(self) -> None:
        self.state = _AFTER_LINGER[self.state]
        self._reader.body = None
        self._reader.buffered = b""
        self._left = None
        if self._paused:
            self._regulate()
        if self.transport.queued:
            self._watch_sending()
        else:
            self._half_close()

    def _half_close(self) -> None:
        """Say that no more responses come; the client has a moment to read them."""
        self.deadline = self._deadlines.clock() + _LINGERING
        self.transport.half_close()

    def _refuse(self, error: ClientError) -> None:
        """Answer what never became a request."""
        self._handler = None
        self._close = True
        self.transport.write(error_response(error.status))
        self._client.refused(without_frames(error))
        self._linger()
