"""A request on its way to the origin: which of its fields cross, what is added, and its body, in step with both sides.

Law: a body is sent on as fast as the slower side takes it; what waits here has a limit.
"""

from __future__ import annotations

from twisted.logger import Logger

from edgenode.model.decision import Decision, Rewrite
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Exchange, Headers, Response
from edgenode.proxy.expectation import Expectation
from edgenode.proxy.headers import answered_here, header_lines, max_forwards_line, request_lines, via_line
from edgenode.proxy.judging import TOO_LARGE, JudgedRequest
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.mirroring import Copy, Mirror
from edgenode.proxy.origin.attempts import SAFE, Attempts
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.routing import ServedPathMap
from edgenode.proxy.streams import NO_CONTENT, ClientStream, OriginStream
from edgenode.proxy.trailers import TRAILERS_WANTED, passing_to_origin, takes_trailers
from edgenode.proxy.websocket.handshake import EXTENSIONS, OF_ONE_HOP

_log = Logger()

_KEPT = 64 * 1024
"""Bytes of a request body that are kept, where HTTP/2 is spoken to the origin, until it answers."""


class ForwardedRequest(JudgedRequest, Attempts):
    """A request, and what of it goes to the origin; :class:`edgenode.proxy.exchange.ProxyExchange` is the whole.

    :ivar context: what it shares with others of its listener.
    :ivar identifier: the request's identifier.
    :ivar received: bytes of the request body.
    :ivar ended: when it ended, on ``time.perf_counter``; 0 if it has not.
    """

    context: ListenerContext
    identifier: bytes
    received = 0
    ended = 0.0
    _client: ClientStream
    _extra: Headers = ()
    _removed: frozenset[bytes] = frozenset()
    _chosen: OriginPool | None = None
    _pending: bytes | bytearray = b""
    _kept: bytes | None = None
    _trailers: Headers = ()
    _request_done = True
    _expectation: Expectation | None = None
    _copy: Copy | None = None

    # -- what a subclass says ----------------------------------------------------------------------------------------

    def look_into_body(self) -> None:
        """Enough of the body is there to judge the request; what is there waits on."""

    def body_failed(self, error: ClientError) -> None:
        """The rest of the request body cannot be had."""

    # -- changed on its way ------------------------------------------------------------------------------------------

    def rewrite(self, rewrite: Rewrite) -> None:
        """Change it so, besides what was changed before."""
        self._extra = rewrite.of(self._extra)
        if rewrite.removed:
            self._removed |= rewrite.removed
        if rewrite.origin:
            assert self.path_map is not None
            self._chosen = self.path_map.pools[rewrite.origin]

    @property
    def chosen(self) -> OriginPool | None:
        """The connections to the origin that is to be asked."""
        return self._chosen or (None if self.path_map is None else self.path_map.pool)

    def answer_here(self, path_map: ServedPathMap, pool: OriginPool) -> Response | None:
        """What is answered without the origin; ``None`` if it is asked."""
        for maintenance in path_map.maintenance, pool.maintenance:
            if maintenance is not None and (answer := maintenance.answer()) is not None:
                return answer
        return answered_here(self.head, path_map.allow) if b"max-forwards" in self.head.fields else None

    def mirror(self, mirror: Mirror) -> None:
        """Have it copied, if it is one of the share."""
        with _log.failuresHandled("a request could not be copied"):
            self._copy = mirror.begin(self.head, self._origin_lines(), bytes(self._pending), self._request_done)

    # -- its head ----------------------------------------------------------------------------------------------------

    @property
    def client(self) -> object:
        """Whose burst of requests this may belong to: a connection of HTTP/1.1 has one at a time."""
        return self.session if self.head.version >= (2, 0) else None

    @property
    def judged(self) -> Exchange:
        """What was judged of it."""
        return self.exchange

    def stick(self, cookie: bytes) -> None:
        """Have the answer set a cookie."""
        self.decision = self.decision | Decision(headers=((b"set-cookie", cookie),))

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent twice."""
        return self.head.length == 0 and self.head.method in SAFE

    @property
    def whole(self) -> bool:
        """Whether all that has come of the body still waits here, or is kept."""
        return self.received == len(self._pending) + len(self._kept or b"")

    def send(self, stream: OriginStream) -> None:
        """Send the request, with what has arrived of its body."""
        head, balanced, pool = self.head, self.balanced, self.pool
        assert balanced is not None
        host = head.authority if pool.origin.host == "client" else pool.host(balanced)
        body, length, done, expects = b"", head.length, self._request_done, False
        if length == 0:
            length = 0 if b"content-length" in head.fields else NO_CONTENT
        else:
            if self._pending or self._kept:
                body, self._pending = (self._kept or b"") + self._pending, b""
            kept = body if stream.protocol and len(body) <= _KEPT else None
            if kept is not self._kept:
                self._kept = kept
            if self._trailers:
                done = False
            expects = self._expectation is not None and self._expectation.lasts
        lines = self._origin_lines()
        target = pool.target(head.origin_target)
        stream.begin(self, head.method, target, host, lines, length, body, done, expects, head.upgrade)
        if length != NO_CONTENT:
            if self._trailers:
                stream.send_body(b"", True, self._crossing(self._trailers))
            if stream.full:
                self._client.pause_body()
            else:
                self._client.resume_body()

    def _origin_lines(self) -> bytes:
        """The field lines for the origin: what crosses, and what we say of the client and of the request."""
        head, standing, extra, via = self.head, self.standing, self._extra, self.context.via
        site = self.site
        assert site is not None
        assert standing is not None
        forwarded = standing.lines if self.forwarded is None else self.forwarded.lines()
        added = site.certificate_lines
        if b"te" in head.fields and takes_trailers(head):
            added = TRAILERS_WANTED + added
        if extra or self._removed or head.upgrade:
            crossing = request_lines(head, [*(name for name, _ in extra), *self._removed, *self._of_this_hop()])
            added += header_lines(extra)
        else:
            crossing = request_lines(head)
        if b"max-forwards" in head.fields:
            added += max_forwards_line(head)
        return b"%b%b%b%bX-Request-Id: %b\r\n" % (crossing, forwarded, via_line(head, via), added, self.identifier)

    def _of_this_hop(self) -> tuple[bytes, ...]:
        """The fields of a WebSocket handshake that are the client's and ours alone."""
        assert self.path_map is not None
        if not self.head.upgrade:
            return ()
        return (*OF_ONE_HOP, EXTENSIONS) if self.path_map.websocket.inspects != "no" else OF_ONE_HOP

    def _crossing(self, trailers: Headers) -> Headers:
        return passing_to_origin(trailers, self.head, [*(name for name, _ in self._extra), *self._removed])

    # -- its body ----------------------------------------------------------------------------------------------------

    def request_body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """Bytes of the request body came from the client."""
        self.received += len(data)
        self._request_done = done
        if self.ended:
            return
        if self._copy is not None:
            self._copy.add(data, done)
        if self._expectation is not None:
            self._expectation.over()
        path_map = self.path_map
        if (
            path_map is not None
            and self.received > path_map.max_body_size
            # If its beginning is to be judged that comes first, however much of it has come at once.
            and (self.wants >= path_map.max_body_size or self.attempting)
        ):
            self.body_failed(ClientError(413, TOO_LARGE))
        elif self.stream is not None:
            if self._kept is not None:
                self._keep(data, trailers)
            self.stream.send_body(data, done, self._crossing(trailers) if trailers else ())
            if self.stream is not None and self.stream.full:
                self._client.pause_body()
        else:
            if trailers:
                self._trailers = trailers
            if not self._pending:
                self._pending = data
            else:  # joined as it comes: as so many pieces of a byte it would take forty times the place
                if isinstance(self._pending, bytes):
                    self._pending = bytearray(self._pending)
                self._pending += data
            if self.wants and (done or len(self._pending) > self.wants):
                self.look_into_body()
            if self._pending and not self.wants and not self.ended:
                self._client.pause_body()

    def _keep(self, data: bytes, trailers: Headers) -> None:
        """Keep the beginning of a body that is sent by HTTP/2: the origin may refuse it unseen, and another take it."""
        assert self._kept is not None
        kept = self._kept + data
        self._kept, self._trailers = (kept, trailers) if len(kept) <= _KEPT else (None, ())

    def origin_drained(self) -> None:
        """The origin has taken what was sent."""
        self._client.resume_body()
