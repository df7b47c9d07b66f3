"""One origin as an agent of ``twisted.web``: ``treq.client.HTTPClient(OriginAgent(pool))`` speaks to it.

Law: whatever a URI says, the request goes to the servers of this one origin, under its one identity; the URI's authority
is no more than the Host field. How a message is framed is decided here alone: what a caller's headers say of it is
dropped, for a second Content-Length is a second request to somebody.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IProducer, IProtocol, IPushProducer
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseDone, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from edgenode import exchange
from edgenode.errors import ClientError, OriginError
from edgenode.proxy.balancing import Attempts, Balanced
from edgenode.proxy.headers import HOP_BY_HOP, header_lines
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.http1.heads import ResponseHead
from edgenode.proxy.origins import CONDITIONS, SAFE
from edgenode.proxy.pool import Opening, OriginPool
from edgenode.proxy.targets import read_authority

_URI = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([!-\"$-~]*)(?:#[!-~]*)?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_NOT_FROM_CALLERS = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
_WITH_LENGTH = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods that say so if they have no body (RFC 9110, section 8.6)."""


class WrongBodyLength(Exception):
    """A body producer wrote more bytes, or fewer, than its length said."""


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

        The Deferred fails with :class:`~edgenode.errors.OriginError` if there is no response, with ``SchemeNotSupported``
        or ``ValueError`` if the request cannot be sent as it is, and with ``RequestGenerationFailed`` if the body's
        producer fails.

        :param uri: absolute, ``http`` or ``https``: which of the two is the origin's matter; the fragment is dropped.
        :param headers: end-to-end fields; hop-by-hop fields, Host, Content-Length and Expect are dropped.
        :param bodyProducer: the body; without a known length it goes in chunks.
        """
        try:
            upload = None if bodyProducer is None else _Upload(bodyProducer)
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


def _head(request: ClientRequest, upload: _Upload | None) -> bytes:
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

    def __init__(self, pool: OriginPool, request: ClientRequest, data: bytes, upload: _Upload | None) -> None:
        self._pool = pool
        self._request = request
        self._data = data
        self._upload = upload
        self._attempts = Attempts(pool.origin, request.method in SAFE and upload is None)
        self._opening: Opening | None = None
        self._lent: OriginConnection | None = None
        self._reused = False
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
        if self._attempts.another(server, f"http-{head.status}", sent=True):
            self._pool.balancer.failed(server, now)
            self._lent = None if done else self._lent
            self._let_go()
            self.borrow()
            return
        self._pool.balancer.succeeded(server, now)
        self._response = response = OriginResponse(self, self._request, head, bodiless=done and not body)
        self.answered.callback(response)
        self.continued(body, done, ())

    def continued(self, body: bytes, done: bool, trailers: exchange.Headers) -> None:
        """More of the response; nobody asks an agent for trailers."""
        response = self._response
        if response is None:
            return
        if body:
            response.received(body, last=done)
        if done:
            self._lent = None
            self._let_go()
            response.ended(Failure(PotentialDataLoss() if response.endless else ResponseDone()))

    def origin_drained(self) -> None:
        """The origin has taken what was sent."""
        if self._upload is not None:
            self._upload.drained()

    def failed(self, error: OriginError) -> None:
        """The connection failed."""
        server, self._lent = self._server, None
        if self._response is not None:
            self._let_go()
            self._response.ended(Failure(ResponseFailed([Failure(error)], self._response)))
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
            lost = Failure(ResponseFailed([Failure(ConnectionAborted())], self._response))
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
                self.borrow()
                return
        self._let_go()
        self.answered.errback(error)

    def _upload_failed(self, failure: Failure) -> None:
        self._let_go()
        if self._response is None:
            self.answered.errback(RequestGenerationFailed([failure]))
        else:
            self._response.ended(Failure(ResponseFailed([failure], self._response)))

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


@implementer(IConsumer)
class _Upload:
    """The body of a request, from its producer to the connection, as fast as the connection takes it.

    :ivar framing: the header line that announces it.
    :raises ValueError: if its length is no length.
    """

    def __init__(self, producer: IBodyProducer) -> None:
        self._producer = producer
        self._connection: OriginConnection | None = None
        self._paused = False
        self._left: int | None = None
        if producer.length == UNKNOWN_LENGTH:
            self.framing = b"Transfer-Encoding: chunked\r\n"
        elif isinstance(producer.length, int) and producer.length >= 0:
            self._left = producer.length
            self.framing = b"Content-Length: %d\r\n" % producer.length
        else:
            raise ValueError(f"not the length of a body: {producer.length!r}")

    def start(self, connection: OriginConnection, failed: Callable[[Failure], None]) -> None:
        """Begin; this cannot be repeated, nor can the request from here on."""
        self._connection = connection
        self._failed = failed
        maybeDeferred(self._producer.startProducing, self).addCallbacks(self._produced, self._broken)

    def stop(self) -> None:
        """Nobody wants the rest."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._producer.stopProducing()

    def drained(self) -> None:
        """The connection takes more."""
        if self._paused and self._connection is not None:
            self._paused = False
            self._producer.resumeProducing()

    def write(self, data: bytes) -> None:
        """Bytes of the body come from the producer."""
        connection = self._connection
        if connection is None or not data:
            return
        if self._left is None:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        else:
            self._left -= len(data)
            if self._left < 0:
                self.stop()
                self._failed(Failure(WrongBodyLength("the body is longer than its length")))
                return
        connection.write(data, False)
        if connection.full and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """An ``IBodyProducer`` must not register itself: it was the one asked to produce."""
        raise RuntimeError("a body producer does not register")

    def unregisterProducer(self) -> None:
        """Nor unregister."""
        raise RuntimeError("a body producer does not unregister")

    def _produced(self, result: object) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._left:
            self._failed(Failure(WrongBodyLength("the body is shorter than its length")))
        else:
            connection.write(b"0\r\n\r\n" if self._left is None else b"", True)

    def _broken(self, failure: Failure) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._failed(failure)


@implementer(IResponse)
class OriginResponse:
    """A response of the origin.

    Nothing of its body beyond what came with the head is held before :meth:`deliverBody`.

    :ivar endless: whether its body ends with its connection, so that nobody can tell whether it is whole.
    """

    def __init__(self, sending: _Sending, request: ClientRequest, head: ResponseHead, *, bodiless: bool) -> None:
        self.version = (b"HTTP", 1, 1)
        self.code = head.status
        self.phrase = head.reason
        self.request = request
        self.previousResponse: IResponse | None = None
        self.headers = Headers()
        for name, value in head.headers:
            if name not in HOP_BY_HOP and (name != b"content-length" or request.method == b"HEAD"):
                self.headers.addRawHeader(name, value)
        self.length: int | str = 0 if bodiless else UNKNOWN_LENGTH if head.length is None else head.length
        self.endless = not bodiless and head.length is None and b"transfer-encoding" not in dict(head.headers)
        self._transport = _BodyTransport(sending)
        self._protocol: IProtocol | None = None
        self._buffer: list[bytes] = []
        self._reason: Failure | None = None

    def setPreviousResponse(self, response: IResponse) -> None:
        """Remember the response that led here by a redirect."""
        self.previousResponse = response

    def deliverBody(self, protocol: IProtocol) -> None:
        """Give the body to a protocol, which may pause and abort it through its transport.

        Its ``connectionLost`` gets ``ResponseDone``; ``PotentialDataLoss`` if the body ends with its connection; or
        ``ResponseFailed``.

        :raises RuntimeError: if the body was delivered before.
        """
        if self._protocol is not None:
            raise RuntimeError("the body has a protocol already")
        self._protocol = protocol
        self._transport.paused = False
        protocol.makeConnection(self._transport)
        buffer, self._buffer = self._buffer, []
        for data in buffer:
            protocol.dataReceived(data)
        if self._reason is not None:
            protocol.connectionLost(self._reason)
        elif buffer and not self._transport.paused:
            self._transport.resumeProducing()

    def received(self, data: bytes, *, last: bool) -> None:
        """Bytes of the body came."""
        if self._protocol is not None:
            self._protocol.dataReceived(data)
            return
        self._buffer.append(data)
        if not last:
            self._transport.pauseProducing()

    def ended(self, reason: Failure) -> None:
        """The body is over; the first reason counts."""
        if self._reason is None:
            self._reason = reason
            if self._protocol is not None:
                self._protocol.connectionLost(reason)


@implementer(IPushProducer)
class _BodyTransport:
    """What the protocol of a response's body knows as its transport.

    :ivar paused: whether the body is being held back.
    """

    disconnecting = False

    def __init__(self, sending: _Sending) -> None:
        self._sending = sending
        self.paused = False

    def pauseProducing(self) -> None:
        """Deliver nothing more for now."""
        self.paused = True
        self._sending.pause()

    def resumeProducing(self) -> None:
        """Deliver again."""
        self.paused = False
        self._sending.resume()

    def stopProducing(self) -> None:
        """Deliver nothing more at all: close the connection."""
        self._sending.abort()

    loseConnection = abortConnection = stopProducing
