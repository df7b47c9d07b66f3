"""One origin as an agent of ``twisted.web``: ``treq.client.HTTPClient(OriginAgent(pool))`` speaks to it.

Law: whatever a URI says, the request goes to the servers of this one origin, under its one identity; its authority is
no more than the Host field. How a message is framed is decided here alone: what a caller's headers say of it is
dropped, for a second Content-Length is a second request to somebody.
"""

from __future__ import annotations

import re

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from edgenode.model import exchange
from edgenode.model.errors import ClientError, OriginError
from edgenode.proxy.headers import HOP_BY_HOP, header_lines
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.http1.responseheads import ResponseHead
from edgenode.proxy.origin.agent_bodies import OriginResponse, Upload
from edgenode.proxy.origin.balancing import CONDITIONS, Attempts, Balanced
from edgenode.proxy.origin.pool import Opening, OriginPool
from edgenode.proxy.targets import read_authority

_URI = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([!-\"$-~]*)(?:#[!-~]*)?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_NOT_FROM_CALLERS = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
_WITH_LENGTH = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods that say so if they have no body (RFC 9110, section 8.6)."""


@implementer(IAgent)
class OriginAgent:
    """The agent of one origin; connections, limits and timeouts are those of its pool.

    A response that is neither read nor aborted keeps its connection.

    :param pool: the connections to the origin.
    """

    def __init__(self, pool: OriginPool) -> None:
        self.pool = pool

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Send a request; cancelling the Deferred closes its connection.

        The Deferred fails with :class:`~edgenode.model.errors.OriginError` if there is no response, with
        ``SchemeNotSupported`` or ``ValueError`` if the request cannot be sent as it is, and with
        ``RequestGenerationFailed`` if the body's producer fails.

        :param uri: absolute, ``http`` or ``https``: which of the two is the origin's matter; the fragment is dropped.
        :param headers: end-to-end fields; hop-by-hop fields, Host, Content-Length and Expect are dropped.
        :param bodyProducer: the body; without a known length it goes in chunks.
        """
        try:
            upload = None if bodyProducer is None else Upload(bodyProducer)
            request = ClientRequest(method, uri, headers if headers is not None else Headers())
            data = _head(request, upload)
        except (ValueError, SchemeNotSupported):
            return fail()
        sending = _Sending(self.pool, request, data, upload)
        sending.borrow()
        return sending.answered


@implementer(IClientRequest)
@frozen(eq=False)
class ClientRequest:
    """The request that a response answers.

    :ivar method: the method.
    :ivar absoluteURI: the URI asked for.
    :ivar headers: the header fields as the caller gave them.
    """

    method: bytes
    absoluteURI: bytes
    headers: Headers


def _head(request: ClientRequest, upload: Upload | None) -> bytes:
    """The head of a request in HTTP/1.1.

    :raises SchemeNotSupported: if the URI's scheme is neither http nor https.
    :raises ValueError: if a part of it would not come through as one, such as a value with a line end.
    """
    match = _URI.fullmatch(request.absoluteURI)
    if match is None:
        raise ValueError(f"not an absolute URI: {request.absoluteURI!r}")
    scheme, authority, target = match.groups()
    if scheme.lower() not in (b"http", b"https"):
        raise SchemeNotSupported(f"Unsupported scheme: {scheme!r}")
    if not _TOKEN.fullmatch(request.method) or request.method == b"CONNECT":
        raise ValueError(f"not a method to send: {request.method!r}")
    try:
        host = read_authority(authority)
    except ClientError as error:
        raise ValueError(f"{error.reason}: {authority!r}") from error
    framing = b""
    if upload is not None:
        framing = upload.framing
    elif request.method in _WITH_LENGTH:
        framing = b"Content-Length: 0\r\n"
    target = target if target.startswith(b"/") else b"/" + target
    lines = header_lines(_fields(request.headers))
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (request.method, target, host, lines, framing)


def _fields(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The fields that are sent."""
    nominated = b",".join(headers.getRawHeaders(b"connection", ())).lower().split(b",")
    dropped = _NOT_FROM_CALLERS.union(name.strip() for name in nominated)
    fields = []
    for name, values in headers.getAllRawHeaders():
        if name.lower() in dropped:
            continue
        if not _TOKEN.fullmatch(name) or not all(map(_VALUE.fullmatch, values)):
            raise ValueError(f"not a header field to send: {name!r}")
        fields += [(name, value) for value in values]
    return fields


class _Sending:
    """One request under way: what the pool and the connection tell of it.

    :ivar answered: fires with the response.
    """

    def __init__(self, pool: OriginPool, request: ClientRequest, data: bytes, upload: Upload | None) -> None:
        self._pool = pool
        self._request = request
        self._data = data
        self._upload = upload
        self._attempts = Attempts(pool.origin, request.method, upload is None)
        self._opening: Opening | None = None
        self._lent: OriginConnection | None = None
        self._reused = False
        self._error: OriginError | None = None
        self._response: OriginResponse | None = None
        self.answered: Deferred[IResponse] = Deferred(lambda _: self._let_go())

    # -- the pool's side ---------------------------------------------------------------------------------------------

    def borrow(self, *, fresh: bool = False) -> None:
        """Get a connection and send the request on it."""
        lent = self._pool.borrow(self, self._attempts.tried, fresh=fresh)
        self._reused = isinstance(lent, OriginConnection)
        if isinstance(lent, OriginConnection):
            self._begin(lent)
        else:
            self._opening = lent

    def connected(self, connection: OriginConnection) -> None:
        """The pool has opened a connection."""
        self._opening = None
        self._begin(connection)

    def unconnected(self, server: Balanced | None, error: OriginError) -> None:
        """The pool could open none."""
        self._opening = None
        self._attempt_failed(server, error)

    def _begin(self, connection: OriginConnection) -> None:
        self._lent = connection
        connection.begin(self._request.method, self._data, self._upload is None, self)
        if self._upload is not None:
            self._upload.start(connection, self._upload_failed)

    # -- the connection's side ---------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """An interim response is of no use to a caller of an agent."""

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The origin has answered."""
        server, now = self._server, self._pool.deadlines.clock()
        if done:
            self._lent = None  # it is back in its pool, and may be another's already
        if self._attempts.another(server, f"http-{head.status}", sent=True):
            self._pool.balancer.failed(server, now)
            self._let_go()
            self.borrow()
            return
        self._pool.balancer.succeeded(server)
        self._response = response = OriginResponse(self, self._request, head, body, done)
        if done:
            self._let_go()
        self.answered.callback(response)

    def continued(self, body: bytes, done: bool, trailers: exchange.Headers) -> None:
        """More of the response; nobody asks an agent for trailers."""
        response = self._response
        if response is None or self._lent is None:
            return
        if done:
            self._lent = None
            self._let_go()
        if body:
            response.received(body, done)
        if done:
            response.ended()

    def origin_drained(self) -> None:
        """The origin has taken what was sent."""
        if self._upload is not None:
            self._upload.drained()

    def failed(self, error: OriginError) -> None:
        """The connection failed."""
        server, self._lent = self._server, None
        if self._response is not None:
            self._let_go()
            self._response.ended(ResponseFailed([Failure(error)], self._response))
        elif self._reused and error.kind == "reset" and self._attempts.repeatable:
            # The origin closed a kept connection just as it was used: that is no failure of the server.
            self.borrow(fresh=True)
        else:
            self._attempt_failed(server, error)

    # -- the response's side -----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read no more of the response."""
        if self._lent is not None:
            self._lent.pause()

    def resume(self) -> None:
        """Read on."""
        if self._lent is not None:
            self._lent.resume()

    def abort(self) -> None:
        """Nobody wants the rest of the response."""
        if self._lent is not None and self._response is not None:
            self._let_go()
            # Not at once: the protocol is in the middle of something, and expects the end to come from the reactor.
            lost = ResponseFailed([Failure(ConnectionAborted())], self._response)
            self._pool.reactor.callLater(0, self._response.ended, lost)

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _server(self) -> Balanced:
        assert self._lent is not None
        return self._lent.server

    def _attempt_failed(self, server: Balanced | None, error: OriginError) -> None:
        """No answer will come: another server, or the end."""
        if server is not None and error.kind in CONDITIONS:
            self._pool.balancer.failed(server, self._pool.deadlines.clock())
            if self._attempts.another(server, CONDITIONS[error.kind], error.sent):
                self._error = error
                self.borrow()
                return
        self._let_go()
        self.answered.errback(self._error if self._error is not None and error.kind == "unavailable" else error)

    def _upload_failed(self, failure: Failure) -> None:
        self._let_go()
        if self._response is None:
            self.answered.errback(RequestGenerationFailed([failure]))
        else:
            self._response.ended(ResponseFailed([failure], self._response))

    def _let_go(self) -> None:
        """Give up what is under way."""
        opening, self._opening = self._opening, None
        lent, self._lent = self._lent, None
        if opening is not None:
            opening.cancel()
        if lent is not None:
            lent.abandon()
        if self._upload is not None:
            self._upload.stop()
