"""HTTP/1.1 on a connection to an origin: one request at a time, kept alive between them.

Law: a response belongs to the request that was sent, or the connection is closed. Bytes that nobody asked for, a head
that can be read in two ways, an endless head, a flood of interim responses: each ends the connection, never the node.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from twisted.internet.error import TimeoutError

from edgenode.model.errors import OriginError, without_frames
from edgenode.model.exchange import Headers
from edgenode.model.presentation import Presentation
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http1.bodies import MalformedBody
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.reader import ResponseReader
from edgenode.proxy.http1.tunnel import HTTP1Tunnel, check_switched, upgrade_lines
from edgenode.proxy.http1.writer import chunk, last_chunk, request_head
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.refusals import ended
from edgenode.proxy.streams import NO_CONTENT, ResponseReceiver, Tunnel, TunnelReceiver
from edgenode.proxy.websocket.handshake import new_key

_WITH_BODY = frozenset(
    b"ACL LOCK MERGE MKCALENDAR MKCOL NOTIFY PATCH POST PROPFIND PROPPATCH PUT QUERY REPORT SEARCH SUBSCRIBE".split()
)
"""Methods whose requests have a body by their definition: every server expects it."""


_CLOSE = b"Connection: close\r\n"
_EXPECT_AND_CLOSE = b"Expect: 100-continue\r\n" + _CLOSE


class Keeper(Protocol):
    """The pool, which lends connections out and takes them back."""

    def release(self, connection: OriginConnection) -> None:
        """The response is complete and the connection can serve another request."""

    def gone(self, connection: OriginConnection) -> None:
        """The connection is over."""


class OriginConnection:
    """An established connection to one server of an origin, and the stream of its current request.

    :ivar protocol: empty: it speaks HTTP/1.1.
    :ivar shares: that it carries one request at a time.
    :ivar server: the server.
    :ivar transport: the transport below; its receiver is this object.
    :ivar presented: what became of our certificate on it; ``None`` without TLS.
    :ivar served: how many requests have been sent on it.
    :ivar deadline: when to lose patience, on the clock of ``deadlines``.
    """

    protocol: ClassVar[str] = ""
    shares: ClassVar[bool] = False
    __slots__ = (
        "_chunked", "_deadlines", "_ended", "_keeper", "_key", "_last", "_origin", "_paused", "_reader", "_receiver",
        "_request_done", "_sent", "deadline", "presented", "released", "served", "server",
        "transport",
    )  # fmt: skip

    def __init__(
        self,
        keeper: Keeper,
        server: Balanced,
        origin: Origin,
        transport: Transport,
        deadlines: Deadlines,
        presented: Presentation | None = None,
    ) -> None:
        self._keeper = keeper
        self.server = server
        self._origin = origin
        self.transport = transport
        self._deadlines = deadlines
        self.presented = presented
        self._reader = ResponseReader(origin.max_header_size)
        self._receiver: ResponseReceiver | None = None
        self._request_done = True
        self._chunked = False
        self._key = b""
        self._paused = False
        self._last = False
        self._ended = False
        self._sent = 0
        self.served = self.released = 0
        self.deadline = NEVER

    # -- the stream of the current request ---------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether something is unsent, so that the writer should wait."""
        return self.transport.queued > 0

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
        # An origin that overlooks a body, or answers an expectation without it, takes it for the next request. Nobody
        # has judged that, and its answer would be another client's: so there is no next one, and the origin is told.
        self._last = expects or (length != NO_CONTENT and length != 0 and method not in _WITH_BODY)
        if self._last:
            lines += _EXPECT_AND_CLOSE if expects else _CLOSE
        if upgrade:
            self._last = True
            self._key = new_key()
            lines += upgrade_lines(self._key)
        if not done and self.presented is not None:
            self.transport.wary = True  # it may be answered, and the connection reset, before all of it is sent
        self._receiver = receiver
        self._reader.expect(method, upgrade=upgrade)
        self.served += 1
        self._chunked = length is None
        data = request_head(method, target, host, lines, length)
        self._write(data + self._framed(body, done) if length is None else data + body, done)

    def send_body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """Send more of the request body."""
        self._write(self._framed(data, done, trailers) if self._chunked else data, done)

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

    def reset(self) -> None:
        """The request is given up before the response: nobody wants the rest."""
        self._receiver = None
        self.transport.abort()

    def tunnel(self, receiver: TunnelReceiver) -> Tunnel:
        """Go on as a tunnel: the connection is no longer HTTP's, but still the pool's."""
        self._receiver = None
        self.deadline = NEVER
        self.transport.wary = False
        return HTTP1Tunnel(self.transport, receiver, self._gone, self._reader.rest(), ended=self._ended)

    # -- the pool's side ---------------------------------------------------------------------------------------------

    def usable(self, look: bool) -> bool:
        """Whether the origin has kept silent since the last response, as it has to; if not, the connection is ended.

        Asked right before another request is sent. The end of the last response may just have been read, and what
        stands behind it, in a TLS record of its own, be unread: it would be taken for the next response, another
        client's. No poll has told of it yet, so the socket is looked at.

        :param look: whether there was no poll since, after which everybody was read.
        """
        self.transport.catch_up(look)
        return not self.transport.lost

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
        reader = self._reader
        reader.feed(data)
        try:
            if reader.head is None:
                self._read_head(receiver)
                return
            body, done = reader.read_body()
            if done:
                self._finish()
                receiver.response_body(body, True, reader.trailers)
                return
            self.deadline = self._deadlines.clock() + self._origin.read_timeout
            if body:
                receiver.response_body(body, False, ())
            self._go_on()
        except (MalformedHead, MalformedBody) as error:
            reason, cause = f"the response is malformed: {error}", without_frames(error)
            self._fail(OriginError(502, "invalid", reason, sent=True, begun=True, cause=cause))
        except Exception:
            # A defect. It ends this connection, but if the response was complete that tells its receiver nothing.
            if self._receiver is None:
                receiver.failed(OriginError(502, "unavailable", "an internal error", sent=True))
            raise

    def drained(self) -> None:
        """The origin took everything."""
        self._wait()
        if self._receiver is not None:
            self._receiver.origin_drained()

    def ended(self) -> None:
        """The origin sends no more: the end of a body without a length, and of the connection in any case."""
        receiver = self._receiver
        self._ended = True
        if receiver is not None and self._reader.unfinished:
            return  # the rest comes first
        if receiver is not None and self._reader.ends_with_connection():
            self._receiver = None
            self.transport.close()
            receiver.response_body(b"", True, ())
        else:
            self.transport.close()

    def lost(self, reason: str, clean: bool) -> None:
        """The origin, or we, ended the connection."""
        self._deadlines.forget(self)
        receiver, self._receiver = self._receiver, None
        self._keeper.gone(self)
        if receiver is not None:
            where = "before the response" if self._reader.head is None else "in the middle of the response"
            begun = self._reader.begun
            first = self.served == 1 and not begun
            receiver.failed(ended(reason, self.presented, where, first, clean=clean, begun=begun))

    def expired(self, now: float) -> None:
        """The deadline has passed."""
        if self.transport.queued and self.transport.sent > self._sent:
            self._wait()
        elif self._receiver is None:
            if self.transport.queued:
                self.transport.abort("the origin takes nothing of the request")  # it is closing, and cannot
            else:
                self.transport.close()
        else:
            reason, begun, cause = "the origin was too slow", self._reader.begun, TimeoutError()
            self._fail(OriginError(504, "timeout", reason, sent=True, begun=begun, cause=cause))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _gone(self, reason: str) -> None:
        """The tunnel is over."""
        self._deadlines.forget(self)
        self._keeper.gone(self)

    def _framed(self, data: bytes, done: bool, trailers: Headers = ()) -> bytes:
        return chunk(data) + last_chunk(trailers) if done else chunk(data)

    def _write(self, data: bytes, done: bool) -> None:
        self._request_done = done
        self.transport.write(data)
        self._wait()

    def _wait(self) -> None:
        """Set the deadline by whose move it is."""
        if self.transport.queued:
            self._sent = self.transport.sent
            self.deadline = self._deadlines.clock() + self._origin.send_timeout
        elif self._paused or not (self._request_done or self._reader.head is not None):
            self.deadline = NEVER  # the next move is ours, or the client's, who has a deadline of its own
        else:
            self.deadline = self._deadlines.clock() + self._origin.read_timeout

    def _fail(self, error: OriginError) -> None:
        receiver, self._receiver = self._receiver, None
        self.transport.abort(error.reason)
        if receiver is not None:
            receiver.failed(error)

    def _read_head(self, receiver: ResponseReceiver) -> None:
        reader = self._reader
        while True:
            head = reader.read_head()
            if head is None:
                return
            if head.status >= 200:
                break
            if head.status == 101:
                check_switched(head, self._key)
                receiver.responded(head, b"", False)
                return
            self._wait()
            receiver.interim(head)
            if self._receiver is not receiver:
                return
            if self._paused:
                self.transport.call_again()  # for what has come behind it
                return
        body, done = reader.read_body()
        if done and not reader.trailers:
            self._finish()
            receiver.responded(head, body, True)
            return
        self._wait()
        receiver.responded(head, body, False)
        if not done:
            self._go_on()
        elif self._receiver is receiver:  # unless it has given the response up
            self._finish()
            receiver.response_body(b"", True, reader.trailers)

    def _go_on(self) -> None:
        """Have the rest of what has come read, if it was too much at once; or hear that nothing more comes."""
        if self._receiver is None:
            return
        if self._reader.unfinished:
            self.transport.call_again()
        elif self._ended:
            self.ended()

    def _finish(self) -> None:
        """The response is complete: give the connection back, or close it if it can serve no other."""
        head = self._reader.head
        assert head is not None
        self._receiver = None
        if self._paused:
            self.resume()
        last = self._last or self._ended or not head.keep_alive
        if last or not self._request_done or self._reader.excess or self.transport.queued:
            self.transport.close()
            if self.transport.queued:
                self._wait()
        else:
            self._keeper.release(self)
