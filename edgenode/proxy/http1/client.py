"""The connection to an origin: one request at a time, kept alive between them.

Law: a response belongs to the request that was sent, or the connection is closed. Bytes that nobody asked for, a head
that can be read in two ways, an endless head, a flood of interim responses: each ends the connection, never the node.
"""

from __future__ import annotations

import socket
from typing import Protocol

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Headers
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http1.bodies import BodyReader, EndlessBody, MalformedBody
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.responseheads import ResponseHead, read_response_head
from edgenode.proxy.origin.balancing import Balanced

_MAX_INTERIM = 16
_BODILESS = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"))
"""Methods whose requests have no body by custom (RFC 9110, section 9.3.1)."""


class ResponseReceiver(Protocol):
    """Whom an origin's connection tells what the origin answers."""

    def interim(self, head: ResponseHead) -> None:
        """An interim response (1xx) came; more follows."""

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The head of the final response came, with the first bytes of its body.

        :param done: whether that is all of it.
        """

    def continued(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of the response body came."""

    def origin_drained(self) -> None:
        """All of the request that was written has been sent."""

    def failed(self, error: OriginError) -> None:
        """There will be no response, or no more of it."""


class Keeper(Protocol):
    """Who lends connections out and takes them back."""

    def release(self, connection: OriginConnection) -> None:
        """The exchange is over and the connection can serve another."""

    def gone(self, connection: OriginConnection) -> None:
        """The connection is over."""


class OriginConnection:
    """An established connection to one server of an origin.

    :ivar transport: the transport below; its receiver is this object.
    :ivar served: how many requests have been sent on it.
    :ivar deadline: when to lose patience, on the clock of ``deadlines``.
    """

    __slots__ = (
        "_answered", "_body", "_buffer", "_deadlines", "_interim", "_keep_alive", "_keeper", "_last", "_max_head",
        "_method", "_paused", "_read_timeout", "_receiver", "_request_done", "_send_timeout", "_sent", "deadline",
        "served", "server", "transport",
    )  # fmt: skip

    transport: Transport

    def __init__(
        self,
        keeper: Keeper,
        server: Balanced,
        deadlines: Deadlines,
        *,
        read_timeout: float,
        send_timeout: float,
        max_head: int,
    ) -> None:
        self._keeper = keeper
        self.server = server
        self._deadlines = deadlines
        self._read_timeout = read_timeout
        self._send_timeout = send_timeout
        self._max_head = max_head
        self._receiver: ResponseReceiver | None = None
        self._buffer = b""
        self._body: BodyReader | None = None
        self._method = b""
        self._answered = False
        self._request_done = True
        self._paused = False
        self._keep_alive = True
        self._last = False
        self._interim = 0
        self._sent = 0
        self.served = 0
        self.deadline = NEVER

    # -- the exchange's side -----------------------------------------------------------------------------------------

    def begin(
        self, method: bytes, data: bytes, done: bool, receiver: ResponseReceiver, *, has_body: bool = False
    ) -> None:
        """Send a request's head, with what is there of its body.

        :param data: in the framing of HTTP/1.1.
        :param done: whether that is the whole request.
        :param has_body: whether it has one.
        """
        # An origin that overlooks such a body answers it as a request of its own, and that would be the next one's.
        self._last = has_body and method in _BODILESS
        self._receiver = receiver
        self._method = method
        self._answered = False
        self._interim = 0
        self.served += 1
        self._request_done = done
        self.transport.write(data)
        self._wait()

    def write(self, data: bytes, done: bool) -> None:
        """Send more of the request body, in the framing of HTTP/1.1."""
        self._request_done = done
        self.transport.write(data)
        self._wait()

    def usable(self) -> bool:
        """Whether the origin has kept silent since the last response, as it has to; if not, the connection is ended.

        Asked right before another request is sent, for what arrived in this turn of the reactor is still unread: the
        end, or bytes that would be taken for the next response.
        """
        try:
            self.transport.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.transport.doRead()  # a session ticket, or the end
        return not self.transport.lost

    @property
    def full(self) -> bool:
        """Whether the writer should wait for ``origin_drained``."""
        return self.transport.full

    def pause(self) -> None:
        """Read no more of the response until :meth:`resume`; meanwhile the origin has no deadline for it."""
        self._paused = True
        self.transport.pause()
        self._wait()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        self._wait()
        self.transport.resume()

    def abandon(self) -> None:
        """The exchange is over before the response: nobody wants the rest."""
        self._receiver = None
        self.transport.abort()

    def close(self) -> None:
        """Close an unused connection."""
        self.transport.close()

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """The pool hands the transport over only after this."""

    def received(self, data: bytes) -> None:
        """Bytes from the origin."""
        receiver = self._receiver
        if receiver is None:
            # An unrequested response: whoever is next must not be given it.
            self.transport.abort("bytes that nobody asked for")
            return
        try:
            if not self._answered:
                self._read_head(receiver, self._buffer + data if self._buffer else data)
                return
            reader = self._body
            assert reader is not None
            body, rest = reader.feed(data)
            if reader.done:
                self._finish(rest)
                receiver.continued(body, True, reader.trailers)
                return
            self.deadline = self._deadlines.clock() + self._read_timeout
            if body:
                receiver.continued(body, False, ())
        except (MalformedHead, MalformedBody) as error:
            self._fail(OriginError(502, "invalid", f"the response is malformed: {error}", sent=True))

    def drained(self) -> None:
        """The origin took everything."""
        self._wait()
        if self._receiver is not None:
            self._receiver.origin_drained()

    def ended(self) -> None:
        """The other side has ended its sending side: end this one too."""
        self.transport.close()

    def lost(self, reason: str, clean: bool) -> None:
        """The origin, or we, ended the connection."""
        self._deadlines.forget(self)
        receiver, self._receiver = self._receiver, None
        self._keeper.gone(self)
        if receiver is None:
            return
        if self._answered and isinstance(self._body, EndlessBody) and clean:
            receiver.continued(b"", True, ())
            return
        where = "in the middle of the response" if self._answered else "before the response"
        receiver.failed(OriginError(502, "reset", f"connection ended {where}: {reason or 'closed'}", sent=True))

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        if self._receiver is None:
            self.transport.close()
        elif self.transport.queued and self.transport.sent > self._sent:
            self._wait()
        else:
            self._fail(OriginError(504, "timeout", "the origin was too slow", sent=True))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        if self.transport.queued:
            self._sent = self.transport.sent
            self.deadline = self._deadlines.clock() + self._send_timeout
        elif self._paused:
            self.deadline = NEVER
        elif self._request_done or self._answered:
            self.deadline = self._deadlines.clock() + self._read_timeout
        else:
            # The next move is the client's, and the client has a deadline of its own.
            self.deadline = NEVER

    def _fail(self, error: OriginError) -> None:
        receiver, self._receiver = self._receiver, None
        self.transport.abort(error.reason)
        if receiver is not None:
            receiver.failed(error)

    def _read_head(self, receiver: ResponseReceiver, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > self._max_head:
                if len(data) > self._max_head:
                    raise MalformedHead("the head is too large")
                line = data.find(b"\n")
                if not b"HTTP/1.".startswith(data[:7]) or line == 0 or (line > 0 and data[line - 1] != 13):
                    raise MalformedHead("not HTTP/1, or a bare LF")
                self._buffer = data
                return
            head = read_response_head(data[: end + 4], self._method)
            data = data[end + 4 :]
            if head.status >= 200:
                break
            self._interim += 1
            if head.status == 101 or self._interim > _MAX_INTERIM:
                raise MalformedHead("an unrequested 101, or a flood of interim responses")
            self._buffer = b""
            self.deadline = self._deadlines.clock() + self._read_timeout
            receiver.interim(head)
            if self._receiver is not receiver:
                return
        self._buffer = b""
        self._answered = True
        self._body = reader = None if head.framing is None else head.framing()
        self._keep_alive = head.keep_alive and not self._last
        if reader is None:
            body, rest, done = b"", data, True
        else:
            body, rest = reader.feed(data)
            done = reader.done
        trailers = reader.trailers if done and reader is not None else ()
        if done and not trailers:
            self._finish(rest)
            receiver.responded(head, body, True)
            return
        self._wait()
        receiver.responded(head, body, False)
        if trailers and self._receiver is receiver:  # unless it has given the response up
            self._finish(rest)
            receiver.continued(b"", True, trailers)

    def _finish(self, rest: bytes) -> None:
        """The response is complete: give the connection back, or close it if it can serve no other."""
        self._receiver = None
        self._body = None
        if self._paused:
            self.resume()
        if rest or not self._keep_alive or not self._request_done or self.transport.queued:
            self.transport.close()
        else:
            self._keeper.release(self)
