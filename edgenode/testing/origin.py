"""An origin in memory, for a test to say what it answers, and to see what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.web import server
from twisted.web.resource import Resource

from edgenode.model.exchange import Headers, Response
from edgenode.testing.certificates import Issued
from edgenode.testing.handshakes import Handshakes
from edgenode.testing.reactor import MemoryReactor, over_tls


@frozen
class OriginRequest:
    """A request as it has come to an origin.

    :ivar method: the method.
    :ivar target: the request target.
    :ivar headers: the header fields, names in lower case.
    :ivar body: the whole body.
    :ivar client: the common name in the certificate that the node has presented; empty for none.
    """

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    client: str = ""

    def header(self, name: bytes) -> bytes | None:
        """The value of a header field, the last if there are several; ``None`` for none."""
        return dict(self.headers).get(name.lower())


OK = Response(200, ((b"content-type", b"text/plain"),), b"ok")
"""The answer of an origin that was told nothing else."""

Answering = Callable[[OriginRequest], Response | Deferred[Response]]


class FakeOrigin:
    """An origin that answers as a test says, by a site of Twisted's.

    :param answer: what it answers: always the same, or what a function makes of a request; it may be replaced.
    :param certificate: for servers that are ``https``: its certificate.
    :param authority: demands a certificate of the node that this authority has issued.
    :ivar requests: what it was asked, in order.
    :ivar down: whether it refuses connections, and requests on those that are open.
    """

    def __init__(
        self,
        answer: Response | Answering = OK,
        certificate: Issued | None = None,
        authority: Issued | None = None,
    ) -> None:
        self.answer = answer
        self.certificate = certificate
        self.authority = authority
        self.requests: list[OriginRequest] = []
        self.down = False

    def factory(self, reactor: MemoryReactor) -> IProtocolFactory:
        """What serves it."""
        site = server.Site(_Answers(self), reactor=reactor)
        if self.certificate is None:
            return site
        return over_tls(site, Handshakes(self.certificate, self.authority), reactor)


def _client(transport: Any) -> str:
    """The common name that a client has presented, empty for none."""
    tls = getattr(transport, "getHandle", lambda: None)()
    certificate = None if tls is None else tls.get_peer_certificate(as_cryptography=True)
    names = () if certificate is None else certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


class _Answers(Resource):
    isLeaf = True

    def __init__(self, origin: FakeOrigin) -> None:
        super().__init__()
        self._origin = origin

    def render(self, request: Any) -> int:
        if self._origin.down:
            request.transport.abortConnection()  # it was open already
            return server.NOT_DONE_YET
        lines = request.requestHeaders.getAllRawHeaders()
        asked = OriginRequest(
            request.method,
            request.uri,
            tuple((name.lower(), value) for name, values in lines for value in values),
            request.content.read(),
            _client(request.transport),
        )
        self._origin.requests.append(asked)
        answer = self._origin.answer
        answered: Deferred[Any] = maybeDeferred(lambda: answer(asked) if callable(answer) else answer)
        request.notifyFinish().addErrback(lambda _: answered.cancel())
        answered.addCallback(self._write, request)
        answered.addErrback(lambda failure: None if request._disconnected else request.processingFailed(failure))
        return server.NOT_DONE_YET

    def _write(self, response: Response, request: Any) -> None:
        request.setResponseCode(response.status)
        for name, value in response.headers:
            request.responseHeaders.addRawHeader(name, value)
        request.setHeader(b"content-length", b"%d" % len(response.body))
        request.write(response.body)
        request.finish()
