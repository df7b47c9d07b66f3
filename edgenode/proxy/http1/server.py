"""The connection from a client: requests in, responses out, one at a time and in order.

Law: a request is handed over only when its whole head has been read strictly; its body follows as the taker takes it.
Nothing of a further request is looked at before the response to the current one is complete. Every state has a
deadline.
"""

from __future__ import annotations

import re

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Headers, Response
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.net.transport import HIGH_WATER, Transport
from edgenode.proxy.headers import header_lines, http_date
from edgenode.proxy.http1.bodies import BodyReader, MalformedBody
from edgenode.proxy.http1.hosting import Host, Taker, Timeouts
from edgenode.proxy.http1.requestheads import Limits, RequestHead, check_unfinished_request, read_request_head
from edgenode.proxy.http1.writing import chunk, error_response, status_line

_LINGER = 2.0
"""Seconds for which a client that is still sending may read why it was refused, before the connection is cut."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")


class ServerConnection:
    """A connection that speaks HTTP/1.1 to a client.

    :ivar deadline: when to lose patience.
    :ivar requests: how many requests have begun on it.
    """

    __slots__ = (
        "_body", "_buffer", "_chunked", "_close", "_continue", "_deadlines", "_done_sent", "_head", "_host", "_limits",
        "_left", "_lingering", "_max_requests", "_responding", "_running", "_sent", "_start", "_taker",
        "_timeouts", "deadline", "requests", "transport",
    )  # fmt: skip

    transport: Transport

    def __init__(self, host: Host, deadlines: Deadlines, limits: Limits, timeouts: Timeouts, max_requests: int) -> None:
        self._host = host
        self._deadlines = deadlines
        self._limits = limits
        self._timeouts = timeouts
        self._max_requests = max_requests
        self._buffer = b""
        self._start = b""
        self._head: RequestHead | None = None
        self._taker: Taker | None = None
        self._body: BodyReader | None = None
        self._continue = False
        self._responding = False
        self._running = False
        self._done_sent = False
        self._chunked = False
        self._close = False
        self._lingering = False
        self._left: float | None = None
        self._sent = 0
        self.requests = 0
        self.deadline = deadlines.clock() + timeouts.handshake

    # -- the taker's side --------------------------------------------------------------------------------------------

    def respond(self, response: Response, *, close: bool = False) -> None:
        """Answer the current request from here; complete in itself."""
        fields = [(b"Content-Type", b"text/plain; charset=utf-8")] if response.body else []
        if any(name == b"content-type" for name, _ in response.headers):
            fields = []
        self._close = self._close or close
        lines = header_lines((*fields, *((name.title(), value) for name, value in response.headers))) + http_date()
        self.begin_response(response.status, b"", lines, len(response.body), response.body, True)

    def interim(self, status: int, reason: bytes, lines: bytes) -> None:
        """Pass an interim response on, to a client that knows them."""
        assert self._head is not None
        if self._head.request.version == (1, 1):
            self.transport.write(status_line(status, reason) + lines + b"\r\n")

    def begin_response(
        self, status: int, reason: bytes, lines: bytes, length: int | None, body: bytes, done: bool
    ) -> None:
        """Send a response head with the first bytes of the body.

        :param lines: the header fields, each with its line end, without framing and Connection, which are written here.
        :param length: of the body; ``None`` if it is not known in advance.
        :param done: whether that is all of it.
        """
        head = self._head
        assert head is not None
        request = head.request
        self._responding = True
        bodiless = request.method == b"HEAD" or status in (204, 304)
        if self._body is not None or not head.block.keep_alive or self.requests >= self._max_requests:
            # Bytes of a body that nobody takes would be read as the next request.
            self._close = True
        framing = b""
        self._chunked = False
        if length is not None:
            framing = b"" if status == 204 else b"Content-Length: %d\r\n" % length
        elif not bodiless:
            if request.version == (1, 1):
                self._chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self._close = True
        if self._close:
            framing += b"Connection: close\r\n"
        elif request.version == (1, 0):
            framing += b"Connection: keep-alive\r\n"
        start = b"%b%b%b\r\n" % (status_line(status, reason), lines, framing)
        if bodiless:
            body = b""
        self._write(start, body, done)
        if done:
            self._finish()

    def continue_response(self, body: bytes, done: bool, trailers: Headers = ()) -> None:
        """Send more of the response body."""
        if self._chunked:
            self._write(b"", body, done, trailers)
        else:
            self.transport.write(body)
            if self.transport.queued:
                self._watch_sending()
        if done:
            self._finish()

    def abort(self, reason: str) -> None:
        """Cut the connection: the response cannot be completed, and must not look complete."""
        self._taker = None
        self.transport.abort(reason)

    def close_silently(self) -> None:
        """Close without a byte of a response: nginx's 444."""
        self._taker = None
        self._close = True
        self._close_transport()

    def accept_body(self) -> None:
        """The request has been let through: ask for its body if the client waits to be asked."""
        if self._continue:
            self._continue = False
            self.transport.write(_CONTINUE)

    def pause_body(self) -> None:
        """Read no more of the request body until :meth:`resume_body`; the client's deadline stands still."""
        if self._left is None:
            self._left = self.deadline - self._deadlines.clock()
            self.deadline = NEVER
            self.transport.pause()

    def resume_body(self) -> None:
        """Read on."""
        left, self._left = self._left, None
        if left is not None:
            if self.deadline == NEVER:
                self.deadline = self._deadlines.clock() + left
            self.transport.resume()

    def renew(self, limits: Limits, timeouts: Timeouts, max_requests: int) -> None:
        """Hold whatever comes next to these limits; what is being waited for keeps its deadline."""
        self._limits, self._timeouts, self._max_requests = limits, timeouts, max_requests
        self._start = b""  # a request that repeats the last one is read again

    def last_request(self) -> None:
        """Close the connection after the current response, or now if there is none."""
        self._close = True
        if self._taker is None and not self._running:
            self._close_transport()

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """The TLS handshake is done; the first request is expected at once."""
        self.deadline = self._deadlines.clock() + self._timeouts.header
        self._host.established(self)

    def received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._lingering or (self._close and self._taker is None):
            return  # nothing more is served here
        if self._taker is not None:
            if self._body is not None:
                self._read_body(data)
                return
            # A pipelined request waits for its turn, but not without a bound.
            self._buffer += data
            if len(self._buffer) > HIGH_WATER:
                self.pause_body()
            return
        if not self._buffer:
            self.deadline = self._deadlines.clock() + self._timeouts.header
            self._buffer = data
        else:
            self._buffer += data
        self._run()

    def drained(self) -> None:
        """The client took everything."""
        if self._taker is not None:
            if self._responding and self._body is None:
                self.deadline = NEVER
            self._taker.client_drained()
        else:
            self.deadline = self._deadlines.clock() + self._between
            self._run()

    def ended(self) -> None:
        """The other side has ended its sending side: end this one too."""
        self.transport.close()

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over."""
        self._deadlines.forget(self)
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.client_lost(reason or "the client closed the connection")
        self._host.gone(self, reason)

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        if self.transport.queued and self.transport.sent > self._sent:
            self._watch_sending()
        elif self.transport.queued:
            self.transport.abort("the client takes nothing of the response")
        elif self._lingering or not self.transport.established or self._responding:
            self.transport.abort("too slow")
        elif self._taker is not None:
            self.deadline = NEVER
            self._taker.body_refused(ClientError(408, "the request body took too long"))
        elif self._buffer:
            self._refuse(ClientError(408, "the request head took too long"))
        else:
            self.transport.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Take requests from the buffer until one waits for something."""
        if self._running:
            return
        self._running = True
        try:
            # A client that takes no answers gets no more of them: the requests wait, and soon it waits itself.
            while self._taker is None and self._buffer and not self._close and not self.transport.full:
                if not self._take_request():
                    break
        except ClientError as error:
            self._refuse(error)
        finally:
            self._running = False

    def _take_request(self) -> bool:
        """Take one request from the buffer; false if it is not all there yet."""
        head = self._head
        if head is not None and head.body is None and self._buffer == self._start:
            self._buffer = b""  # it repeats its predecessor to the byte, and so does what is read from it
        else:
            head = self._read_head()
            if head is None:
                return False
        self.requests += 1
        self._head = head
        self._body = head.body
        self._continue = head.block.expects_continue
        self._responding = self._done_sent = False
        self.deadline = NEVER if head.body is None else self._deadlines.clock() + self._timeouts.body
        if head.block.upgrade:
            raise ClientError(501, "WebSocket is not offered")
        taker = self._host.take(self, head)
        if taker is None or self._done_sent:
            return True
        self._taker = taker
        if self._body is not None and self._buffer:
            data, self._buffer = self._buffer, b""
            self._read_body(data)
        return True

    def _read_head(self) -> RequestHead | None:
        """Read a request head from the buffer; ``None`` if it is not all there yet."""
        data = self._buffer
        empty = _EMPTY_LINES.match(data)  # RFC 9112, section 2.2: empty lines before a request line are ignored
        if empty is not None:
            data = data[empty.end() :]
        self._buffer = data or b"\r\n"  # kept, so that a trickle of empty lines has but one deadline
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            if data and data != b"\r":
                check_unfinished_request(data, self._limits)
            return None
        start, self._buffer = data[:end], data[end:]
        head = read_request_head(start, self._limits)
        self._start = start
        return head

    def _read_body(self, data: bytes) -> None:
        body, taker = self._body, self._taker
        assert body is not None
        try:
            piece, rest = body.feed(data)
        except MalformedBody as error:
            if taker is not None:
                taker.body_refused(ClientError(400, f"malformed body: {error}"))
            return
        self._continue = False
        if body.done:
            self._body = None
            self._buffer = rest
            if not self._responding:
                self.deadline = NEVER
        if taker is not None and (piece or body.done):
            taker.body(piece, body.done)

    def _write(self, start: bytes, body: bytes, done: bool, trailers: Headers = ()) -> None:
        if self._chunked:
            if body:
                body = chunk(body)
            if done:
                body += b"0\r\n%b\r\n" % header_lines(trailers)
        # One write, and so one record, for a head and a small body; a large body is not copied for it.
        if start and len(body) > 8192:
            self.transport.write(start)
            start = b""
        self.transport.write(start + body if start else body)
        if self.transport.queued:
            self._watch_sending()

    def _close_transport(self) -> None:
        """Close once everything is sent, if it ever is."""
        if self.transport.queued:
            self._watch_sending()
        self.transport.close()

    def _watch_sending(self) -> None:
        self._sent = self.transport.sent
        self.deadline = self._deadlines.clock() + self._timeouts.send

    def _finish(self) -> None:
        """The response is complete: next request, or the end."""
        self._taker = None
        self._done_sent = True
        if self._close:
            self._end()
            return
        self._responding = False
        self.resume_body()
        if self.transport.queued:
            self._watch_sending()
            return
        self.deadline = self._deadlines.clock() + self._between
        if self._buffer:
            self._run()

    @property
    def _between(self) -> float:
        """How long the next request may take to come: its rest, if it has begun."""
        return self._timeouts.header if self._buffer else self._timeouts.keepalive

    def _end(self) -> None:
        """Close after the response.

        If more may be on its way, let the client read the response first: unread bytes would turn the close into a
        reset, which can destroy the response (RFC 9112, section 9.6).
        """
        head = self._head
        if self._body is None and not self._buffer and head is not None and not head.block.keep_alive:
            self._close_transport()
            return
        self._body = None
        self._buffer = b""
        self._lingering = True
        self.deadline = self._deadlines.clock() + _LINGER
        if self.transport.queued:
            self._watch_sending()
        self.resume_body()
        self.transport.half_close()

    def _refuse(self, error: ClientError) -> None:
        """Answer what never became a request."""
        self._close = True
        self._taker = None
        self._responding = True
        self.transport.write(error_response(error.status))
        self._host.refused(self, error)
        self._buffer = b"refused"
        self._end()
