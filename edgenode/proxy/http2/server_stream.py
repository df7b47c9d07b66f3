"""One request on a client's HTTP/2 connection, and the response to it: the stream that an exchange writes to.

Law: bytes of a request body that its handler has no place for wait here, as many as the stream's window has, and their
place is given back to the client when the handler goes on. What is said for a stream that is over is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgenode.model.errors import ClientError, without_frames
from edgenode.model.exchange import Headers, Response
from edgenode.net.deadlines import NEVER
from edgenode.net.transport import Transport
from edgenode.proxy.grpc import trailers_only
from edgenode.proxy.headers import http_date
from edgenode.proxy.http2.engine import CANCEL, INTERNAL_ERROR, Engine, Fields
from edgenode.proxy.http2.fields import fields_of
from edgenode.proxy.http2.request_head import read_request_head
from edgenode.proxy.http2.tunnel import ClientTunnel
from edgenode.proxy.judging import PAGES
from edgenode.proxy.listener.limits import HeadLimits, Timeouts
from edgenode.proxy.streams import RequestHandler, RequestHead, Tunnel, TunnelReceiver
from edgenode.rules.views.grpc import has_grpc

AHEAD = 32 * 1024
"""Bytes of a response that may wait in a stream before the writer is told to wait; half the window that a client has
by default (RFC 9113, section 6.9.2)."""


SWALLOWED = 64 * 1024
"""Bytes of a request body that are taken, and thrown away, behind a response that did not wait for them."""


class Client(Protocol):
    """What a speaker needs of the client connection that it speaks on."""

    def handle(self, stream: ServerStream, head: RequestHead) -> RequestHandler | None:
        """Handle a request; ``None`` if its response is complete already."""

    def refused(self, error: ClientError) -> None:
        """Something that is no request was refused; it has been answered already."""

    def gone(self, reason: str) -> None:
        """The connection is over."""


class Connection(Protocol):
    """What a stream needs of its connection.

    :ivar client: whom it tells of requests.
    :ivar clock: of the deadlines.
    :ivar heads: how large a request head may be.
    :ivar timeouts: how long the client may take.
    """

    client: Client
    clock: Callable[[], float]
    engine: Engine
    heads: HeadLimits
    timeouts: Timeouts
    transport: Transport

    def flush_soon(self) -> None:
        """Send what there is to be sent, once everybody has written what they write in this round."""

    def go_on(self, stream: ServerStream) -> None:
        """Have a stream deliver what waits in it, after everybody else."""

    def expect(self, due: float) -> None:
        """Something is due by then."""

    def watch_taking(self, stream: ServerStream) -> None:
        """The client has to take some of a response, and has so long for it."""

    def answered(self, stream: ServerStream) -> None:
        """The response on a stream is complete, and may not have been sent yet."""

    def cut(self, stream: ServerStream, code: int) -> None:
        """End a stream before its end."""

    def part(self, stream: ServerStream) -> None:
        """A stream whose response is sent is over."""

    def last_request(self) -> None:
        """Serve no further request."""


class ServerStream:
    """A stream of a client's connection: see :class:`edgenode.proxy.streams.ClientStream`.

    :param number: the stream's.
    :param fields: of its head.
    :param done: whether the request has no body.
    :ivar begun: whether it was handed over, or refused.
    :ivar complete: whether all of the request has come.
    :ivar over: whether nothing more is to be written to it.
    :ivar body_due: until when the request body has to be there.
    :ivar taken_due: until when the client has to take some of the response, while it takes none.
    """

    begun = False
    over = False
    body_due = NEVER
    taken_due = NEVER
    bodiless = False
    _handler: RequestHandler | None = None
    _continue = False
    _left: float | None = None  # of the time for the body, while the handler takes no more of it
    _waiting: bytes | bytearray = b""
    _trailers: Headers = ()
    _owed = 0  # bytes whose place was not given back yet
    _given = 0  # bytes of the response
    _swallows = 0  # bytes that are still taken behind the response
    _taken = 0  # of them those that had been taken into frames when it was looked at last

    def __init__(self, connection: Connection, number: int, fields: Fields, done: bool) -> None:
        self._connection = connection
        self.number = number
        self._fields = fields
        self.complete = self._told = done
        self.soon = connection.transport.soon

    # -- the exchange's side -----------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether so much of the response is unsent that the writer should wait."""
        connection = self._connection
        size = connection.engine.queued(self.number)
        if size <= AHEAD and (size == 0 or not connection.transport.queued):
            return False
        connection.watch_taking(self)
        return True

    @property
    def waits(self) -> bool:
        """Whether the client waits to be told to send its body."""
        return self._continue

    def start_response(
        self, status: int, reason: bytes, lines: bytes, length: int | None, body: bytes, done: bool
    ) -> None:
        """Send a response head with the first bytes of the body."""
        if self.over:
            return
        fields = fields_of(lines, (b":status", b"%d" % status))
        if length is not None and status != 204:
            fields.append((b"content-length", b"%d" % length))
        if status == 204 or status == 304 or self._head.method == b"HEAD":
            self.bodiless = True
            body = b""
        ends = done and not body
        engine = self._connection.engine
        engine.respond(self.number, fields, ends)
        if not ends and (body or done):
            self._given += len(body)
            engine.data(self.number, body, done)
        self._written(done)
        if not done and not self.complete:
            # Each side may wait for the other now, as in gRPC: what bounds that is the origin's deadline.
            self.body_due = NEVER
            if self._left is not None:
                self._left = NEVER

    def send_body(self, body: bytes, done: bool, trailers: Headers = ()) -> None:
        """Send more of the response body."""
        if self.over:
            return
        engine = self._connection.engine
        if self.bodiless:
            body = b""
        self._given += len(body)
        if trailers:
            if body:
                engine.data(self.number, body, False)
            engine.trailers(self.number, trailers)
        elif body or done:
            engine.data(self.number, body, done)
        self._written(done)

    def interim(self, status: int, reason: bytes, lines: bytes) -> None:
        """Pass an interim response on."""
        if not self.over:
            self._connection.engine.interim(self.number, fields_of(lines, (b":status", b"%d" % status)))
            self._connection.flush_soon()

    def accept_body(self) -> None:
        """Send 100 if the client waits for it before its body."""
        if self._continue:
            self._continue = False
            self.interim(100, b"", b"")

    def pause_body(self) -> None:
        """Deliver nothing of the request body until :meth:`resume_body`; the client's deadline for it stands still."""
        if self._left is None:
            self._left = self.body_due - self._connection.clock()
            self.body_due = NEVER

    def resume_body(self) -> None:
        """Deliver again."""
        left, self._left = self._left, None
        if left is None or self.over:
            return
        self._pay()
        if not self.complete:
            self._expect_body(left)
        if self._waiting or (self.complete and not self._told):
            self._connection.go_on(self)

    def reset(self, reason: str) -> None:
        """End the stream: the response cannot be completed, and must not look complete."""
        self._end(INTERNAL_ERROR)

    def close_silently(self) -> None:
        """End the stream without a byte of a response."""
        self._end(CANCEL)

    def last_request(self) -> None:
        """Serve no further request on the connection."""
        self._connection.last_request()

    # -- as a tunnel -------------------------------------------------------------------------------------------------

    def tunnel(self, receiver: TunnelReceiver, lines: bytes) -> Tunnel:
        """Accept the request for a tunnel, and begin it (RFC 8441)."""
        self._connection.engine.respond(self.number, fields_of(lines, (b":status", b"200")), False)
        self._connection.flush_soon()
        self._handler = tunnel = ClientTunnel(self, receiver)
        self.resume_body()
        return tunnel

    def send_on(self, data: bytes, done: bool) -> None:
        """Send bytes of a tunnel, or the end of them; its other direction stays open."""
        if not self.over:
            self._given += len(data)
            self._connection.engine.data(self.number, data, done)
            self._connection.flush_soon()

    def part(self) -> None:
        """Both directions of a tunnel end once all is sent."""
        if not self.over:
            self._written(True)

    def cancel(self) -> None:
        """Both end at once."""
        self._end(CANCEL)

    # -- the connection's side ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Have the request handled, or deliver what waits of its body."""
        if self.over:
            return
        if self.begun:
            self._deliver_waiting()
            return
        self.begun = True
        connection = self._connection
        try:
            self._head = head = read_request_head(self._fields, self._told, connection.heads)
        except ClientError as error:
            self._refuse(without_frames(error))
            return
        finally:
            self._fields = ()
        if head.upgrade:
            self._left, self._told = NEVER, False  # what comes before the answer waits for it
        elif not self.complete:
            self._continue = head.expects_continue and not self._waiting
            self._expect_body(connection.timeouts.body)
        self._told = self._told or (head.length == 0 and not head.upgrade)
        self._handler = handler = connection.client.handle(self, head)
        if handler is not None and (self._waiting or (self.complete and not self._told)):
            self._deliver_waiting()

    def body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """More of the request body came."""
        self._owed += len(data)
        if done:
            self.complete = True
            self.body_due = NEVER
        if self.over or self._told:
            self._pay()
            if self._swallows:
                self._swallow(len(data))
        elif not self.begun or self._left is not None or self._waiting:
            self._waiting = self._waiting + data  # of at most the stream's window
            self._trailers = trailers
        else:
            self._deliver(data, done, trailers)

    def drained(self) -> None:
        """All that was queued of the response has been taken into frames."""
        self.taken_due = NEVER
        if self._handler is not None:
            self._handler.client_drained()

    def lost(self, reason: str) -> None:
        """The client is gone, or has given the request up."""
        handler = self._drop()
        if handler is not None:
            handler.client_lost(reason)

    def failed(self, error: ClientError) -> None:
        """The rest of the request cannot be had."""
        handler = self._handler
        if handler is not None:
            handler.body_failed(error)

    def swallow(self, until: float) -> None:
        """The response is sent, and the client still sends to it: let it come to the end of a small body.

        :param until: until when, on the clock of the deadlines.
        """
        self._swallows = SWALLOWED
        self.body_due = until

    def _swallow(self, size: int) -> None:
        self._swallows -= size
        if self.complete or self._swallows <= 0:
            self._connection.part(self)

    def stalls(self) -> bool:
        """Whether the client has taken nothing of the response since this was asked last."""
        taken = self._given - self._connection.engine.queued(self.number)
        stalls, self._taken = taken <= self._taken, taken
        return stalls

    # -- inside ------------------------------------------------------------------------------------------------------

    def _expect_body(self, within: float) -> None:
        self.body_due = due = self._connection.clock() + within
        self._connection.expect(due)

    def _deliver_waiting(self) -> None:
        if self._left is None:
            data, self._waiting = bytes(self._waiting), b""
            trailers, self._trailers = self._trailers, ()
            self._deliver(data, self.complete, trailers)

    def _deliver(self, data: bytes, done: bool, trailers: Headers) -> None:
        handler = self._handler
        self._continue = False
        if done:
            self._told = True
        if handler is not None:
            handler.request_body(data, done, trailers)
        if self._left is None:
            self._pay()

    def _pay(self) -> None:
        """Give the client the place of what was taken back."""
        owed = self._owed - len(self._waiting)
        if owed > 0:
            self._owed -= owed
            self._connection.engine.consumed(self.number, owed)
            self._connection.flush_soon()

    def _refuse(self, error: ClientError) -> None:
        """Answer what never became a request."""
        self._connection.client.refused(error)
        kind, date = b"text/plain; charset=utf-8", (b"date", http_date()[6:-2])
        page = PAGES[error.status]
        bodiless = (b":method", b"HEAD") in self._fields
        response = Response(error.status, ((b"content-type", kind), (b"content-length", b"%d" % len(page))), page)
        if has_grpc({b"content-type": tuple([value for name, value in self._fields if name == b"content-type"])}):
            response, _ = trailers_only(Response(error.status, (), page))
        engine, status = self._connection.engine, b"%d" % response.status
        engine.respond(self.number, [(b":status", status), date, *response.headers], bodiless or not response.body)
        if response.body and not bodiless:
            engine.data(self.number, response.body, True)
        self._written(True)

    def _drop(self) -> RequestHandler | None:
        """Nothing more is delivered or written."""
        self.over = True
        handler, self._handler = self._handler, None
        self.body_due = self.taken_due = NEVER
        if self._owed:
            self._waiting = b""
            self._pay()
        return handler

    def _written(self, done: bool) -> None:
        """More of the response was written, or the last of it."""
        if done:
            self._drop()
            self._connection.answered(self)
        else:
            self._connection.flush_soon()

    def _end(self, code: int) -> None:
        if not self.over:
            self._drop()
            self._connection.cut(self, code)
