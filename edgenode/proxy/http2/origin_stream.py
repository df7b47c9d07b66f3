"""One request to an origin on a stream of HTTP/2, and the response to it (RFC 9113, section 8.1).

Law: what comes waits here while nobody takes it, and is given back to the origin's window only when it has gone on: so
a slow client holds up its own stream and no other. A failure is told behind everything that came before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from twisted.internet.error import TimeoutError

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Headers
from edgenode.model.presentation import Presentation
from edgenode.net.deadlines import NEVER
from edgenode.proxy.http2.engine import CANCEL, INTERNAL_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, Engine, Fields
from edgenode.proxy.http2.fields import read_response_head
from edgenode.proxy.http2.origin_messages import malformed, request_fields, reset
from edgenode.proxy.http2.tunnel import OriginTunnel
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.streams import ResponseHead, ResponseReceiver, Tunnel, TunnelReceiver

_MAX_INTERIM = 16
_AHEAD = 65536
"""Bytes of a request body that wait here at most before its writer should."""

_CONNECT = ((b":method", b"CONNECT"), (b":protocol", b"websocket"))
"""What a request for WebSocket has in the place of its method (RFC 8441, section 4)."""


class Carrier(Protocol):
    """The connection of a stream.

    :ivar engine: its frames.
    :ivar origin: the section of its origin.
    :ivar scheme: that of its requests.
    :ivar now: the clock of deadlines.
    """

    engine: Engine
    origin: Origin
    scheme: bytes
    now: Callable[[], float]

    def begun(self, stream: RequestStream) -> None:
        """A request was sent."""

    def over(self, stream: RequestStream) -> None:
        """A stream is over: its place is another's."""

    def deliver(self, stream: RequestStream) -> None:
        """Have a stream tell what has come; what goes wrong in that ends this stream alone."""

    def deliver_soon(self, stream: RequestStream) -> None:
        """The same, but not from within a call of the stream's own."""

    def flush_soon(self) -> None:
        """Send what the engine has to send."""

    def doubt(self) -> None:
        """The origin has not answered a request."""


class RequestStream:
    """A request and its response: :class:`edgenode.proxy.streams.OriginStream`.

    :ivar protocol: what is spoken here.
    :ivar number: of the stream; 0 before it has begun.
    :ivar touched: whether something has come that is not told yet.
    :ivar over: whether the response is complete, or there will be none.
    :ivar presented: what became of our certificate on its connection.
    :ivar deadline: when to lose patience.
    """

    protocol: ClassVar[str] = "HTTP/2"
    __slots__ = (
        "_connection", "_delivering", "_done", "_end_told", "_error", "_full", "_head", "_interims", "_left", "_owed",
        "_paused", "_pieces", "_receiver", "_request_done", "_responded", "_sending", "_told_interims", "_trailers",
        "_upgrade", "deadline", "number", "over", "presented", "touched",
    )  # fmt: skip

    def __init__(self, connection: Carrier, presented: Presentation | None) -> None:
        self._connection = connection
        self.presented = presented
        self._receiver: ResponseReceiver | None = None
        self._interims: list[ResponseHead] = []
        self._head: ResponseHead | None = None
        self._pieces: list[bytes] = []
        self._trailers: Headers = ()
        self._error: OriginError | None = None
        self._told_interims = self._owed = self._left = self.number = 0
        self._paused = self._full = self._done = self._request_done = self._responded = self._delivering = False
        self._sending = self._upgrade = self._end_told = self.touched = self.over = False
        self.deadline = NEVER

    # -- the exchange's side -----------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether so much is unsent that the writer should wait."""
        if self._connection.engine.queued(self.number) > _AHEAD:
            self._full = True
            return True
        return False

    def begin(
        self,
        receiver: ResponseReceiver,
        method: bytes,
        target: bytes,
        host: bytes,
        lines: bytes,
        length: int | None,
        body: bytes,
        done: bool,
        expects: bool = False,
        upgrade: bool = False,
    ) -> None:
        """Send a request's head: see :class:`~edgenode.proxy.streams.OriginStream`."""
        connection = self._connection
        self._receiver = receiver
        fields = request_fields(method, connection.scheme, host, target, lines, length, expects)
        if upgrade:
            if not connection.engine.connect_protocol:
                self.fail(
                    OriginError(502, "invalid", "the origin takes no WebSocket over HTTP/2 (RFC 8441)"), soon=True
                )
                return
            fields[:1] = _CONNECT
            fields.append((b"sec-websocket-version", b"13"))
            self._upgrade, done = True, False
        self._request_done = done
        number = self.number = connection.engine.request(fields, done and not body)
        if not number:
            self.fail(OriginError(502, "reset", "the origin takes no more streams", code=REFUSED_STREAM), soon=True)
            return
        connection.begun(self)
        if body:
            self._sending = True
            connection.engine.data(number, body, done)
        self._wait()
        connection.flush_soon()

    def send_body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """Send more of the request body."""
        if self._receiver is None or not self.number:
            return
        engine = self._connection.engine
        self._request_done = done
        if data:
            self._sending = True
        if trailers:
            if data:
                engine.data(self.number, data, False)
            engine.trailers(self.number, trailers)
        else:
            engine.data(self.number, data, done)
        self._wait()
        self._connection.flush_soon()

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`; meanwhile the origin has no deadline, and can send a window's worth."""
        self._paused = True
        self._wait()

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False
        if self._owed:
            self._credit(self._owed)
            self._owed = 0
        self._wait()
        if (self._pieces or self._head or self._interims or self._done or self._error) and not self._delivering:
            self._connection.deliver_soon(self)

    def reset(self) -> None:
        """Give the request up: nobody wants the response, or the rest of it."""
        if not self.over:
            self._receiver = None
            self._finish(CANCEL)

    def tunnel(self, receiver: TunnelReceiver) -> Tunnel:
        """Go on as a tunnel, after the answer 200 (RFC 8441)."""
        self._receiver = tunnel = OriginTunnel(self, receiver)
        self._wait()
        return tunnel

    # -- the connection's side ---------------------------------------------------------------------------------------

    @property
    def began(self) -> bool:
        """Whether anything of a response has come."""
        return self._responded or self._head is not None or self._told_interims > 0

    def came_head(self, fields: Fields, done: bool) -> None:
        """The response's head came."""
        head = read_response_head(fields)
        if len(head.field_block) > self._connection.origin.max_header_size:
            self._malformed("the head is too large")
        else:
            self._head, self._done = head, done

    def came_interim(self, fields: Fields) -> None:
        """An interim response came."""
        self._told_interims += 1
        if self._told_interims > _MAX_INTERIM:
            self._malformed("a flood of interim responses")
        else:
            self._interims.append(read_response_head(fields))

    def came_data(self, data: bytes, done: bool) -> None:
        """Bytes of the response body came."""
        if data:
            self._pieces.append(data)
        self._done = self._done or done

    def came_trailers(self, fields: Fields) -> None:
        """The trailers came."""
        self._trailers = tuple(fields)
        self._done = True

    def came_reset(self, code: int, ours: bool) -> None:
        """The stream has been reset, by the origin or for what it has sent."""
        if not self._done and self._error is None:
            fault = self._connection.engine.fault
            self._error = malformed(code, fault, self.began) if ours else reset(code, self.began)

    def _malformed(self, reason: str) -> None:
        if self._error is None:
            self._error = malformed(PROTOCOL_ERROR, reason, True)
            self._connection.engine.reset(self.number, PROTOCOL_ERROR)

    def fail(self, error: OriginError, soon: bool = False) -> None:
        """There will be no more of the response.

        :param soon: whether that is told later.
        """
        if self._error is None and not self._done:
            self._error = error
            if not soon:
                self._connection.deliver(self)
        if soon:
            self._connection.deliver_soon(self)

    def drained(self) -> None:
        """All that was queued of the request body has been taken into frames."""
        self._sending = False
        self._wait()
        if self._full:
            self._full = False
            if self._receiver is not None:
                self._receiver.origin_drained()

    def broken(self) -> None:
        """What it was told to has raised an exception."""
        receiver, self._receiver = self._receiver, None
        if not self.over:
            self._finish(INTERNAL_ERROR)
        if receiver is not None:
            receiver.failed(OriginError(502, "unavailable", "an internal error", sent=True))

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        left = self._connection.engine.queued(self.number)
        if left and left < self._left:
            self._wait()
            return
        if not left:
            self._connection.doubt()
        reason, cause = "the origin was too slow", TimeoutError()
        self.fail(OriginError(504, "timeout", reason, sent=True, begun=self.began, cause=cause))

    def deliver(self) -> None:
        """Tell what has come, as long as it is wanted."""
        self.touched = False
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._receiver is not None and self._next(self._receiver):
                pass
        finally:
            self._delivering = False

    # -- inside ------------------------------------------------------------------------------------------------------

    def _next(self, receiver: ResponseReceiver) -> bool:
        """Tell one thing; whether there may be more."""
        waits = self._pieces or self._head is not None or self._interims
        if self._paused and waits:
            return False
        if self._interims:
            self._wait()
            receiver.interim(self._interims.pop(0))
            return True
        if waits or (self._done and not self._end_told):
            self._tell(receiver)
            return True
        if self._error is not None:
            self._finish(CANCEL)
            receiver.failed(self._error)
        return False

    def _tell(self, receiver: ResponseReceiver) -> None:
        """Tell of the head, or more of the body, or both, or the end."""
        if self._upgrade and self._head is not None:
            self._tell_answer(receiver, self._head)
            return
        pieces = self._pieces
        if len(pieces) == 1:
            body = pieces[0]
            self._pieces = []
        elif pieces:
            body = b"".join(pieces)
            self._pieces = []
        else:
            body = b""
        head, done = self._head, self._done
        if head is not None:
            self._head = None
            self._responded = True
            done = done and not self._trailers
        self._end_told = done
        if done and not self._upgrade:
            self._finish(CANCEL)
        else:
            self._wait()
        if head is not None:
            receiver.responded(head, body, done)
        else:
            receiver.response_body(body, done, self._trailers if done else ())
        if body:
            if self._paused and not done:
                self._owed += len(body)
            else:
                self._credit(len(body))

    def _tell_answer(self, receiver: ResponseReceiver, head: ResponseHead) -> None:
        """Tell how a request for a tunnel was answered; what comes behind 200 is the tunnel's."""
        if 200 <= head.status < 300:
            self._head = None
            self._responded = True
            head.status = 101
            receiver.responded(head, b"", False)
        else:
            self._upgrade = False
            self._tell(receiver)

    def _credit(self, size: int) -> None:
        """So many bytes have left: the origin may send as many in their place."""
        self._connection.engine.consumed(self.number, size)
        self._connection.flush_soon()

    def _finish(self, code: int) -> None:
        """It is over; what is under way of it, in either direction, is given up."""
        self.over = True
        self._receiver = None
        self.deadline = NEVER
        connection = self._connection
        if not (self._done and self._request_done):
            connection.engine.reset(self.number, code)
            connection.flush_soon()
        unread = self._owed + sum(map(len, self._pieces))
        if unread:
            self._pieces = []
            self._owed = 0
            self._credit(unread)
        connection.over(self)

    def _wait(self) -> None:
        """Set the deadline by whose move it is."""
        connection = self._connection
        left = self._left = connection.engine.queued(self.number) if self._sending else 0
        if left:
            self.deadline = connection.now() + connection.origin.send_timeout
        elif self._paused or self.over or (self._upgrade and self._responded):
            self.deadline = NEVER
        elif not (self._request_done or self._responded or self._upgrade):
            self.deadline = NEVER  # the next move is ours, or the client's, who has a deadline of its own
        else:
            self.deadline = connection.now() + connection.origin.read_timeout
