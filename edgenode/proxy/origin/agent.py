"""One origin as an agent of ``twisted.web``: ``treq.client.HTTPClient(OriginAgent(pool))`` speaks to it.

Law: a request goes to the servers of this one origin, under its one identity; a URI that is another's, such as the
Location of a redirect, is an error, and nothing is sent.
How a message is framed is decided here alone: what a caller's headers say of it is
dropped, for a second Content-Length is a second request to somebody.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable

from attrs import frozen
from twisted.internet.defer import AlreadyCalledError, Deferred, fail
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from edgenode.model import exchange
from edgenode.model.errors import ClientError, OriginError
from edgenode.proxy.header_names import HOP_BY_HOP
from edgenode.proxy.headers import header_lines
from edgenode.proxy.origin import agent_errors
from edgenode.proxy.origin.agent_bodies import OriginResponse, Upload
from edgenode.proxy.origin.attempts import SAFE, Attempts
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.streams import NO_CONTENT, OriginStream, ResponseHead
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

    The authority of a URI is the origin's name, its ``server-name``, a ``host`` that it names, or the host of one of
    its servers, each without a port or with one of a server's; the scheme is that of its servers. A response that is
    neither read nor aborted keeps its connection.

    :param pool: the connections to the origin; or what gives those of now.
    :param hosts: further authorities by which it may be asked, such as ``www.shop.example``.
    :raises ValueError: if one of them is no authority.
    """

    def __init__(self, pool: OriginPool | Callable[[], OriginPool], hosts: Iterable[str] = ()) -> None:
        self._pool = pool
        self._hosts = frozenset(_authority(each.encode("ascii")) for each in hosts)
        self._known: OriginPool | None = None
        self._authorities: frozenset[bytes] = frozenset()
        self._schemes: frozenset[bytes] = frozenset()

    @property
    def pool(self) -> OriginPool:
        """The connections to the origin."""
        return self._pool if isinstance(self._pool, OriginPool) else self._pool()

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Send a request; cancelling the Deferred closes its connection, of HTTP/2 its stream alone.

        The Deferred fails as that of ``twisted.web.client.Agent`` does; where it is the origin that failed,
        :meth:`OriginError.of <edgenode.model.errors.OriginError.of>` gives the details:

        - ``ConnectError`` and its kinds, or ``DNSLookupError``: there is no connection;
        - ``ResponseNeverReceived``, or ``RequestTransmissionFailed`` if the body was not sent yet: there was one, and
          it ended, was refused in TLS, or took too long; the first of ``reasons`` is the ``SSL.Error``, the
          ``VerificationError``, ``ConnectionLost``, ``ConnectionDone`` or ``TimeoutError``;
        - ``ResponseFailed``: the response had begun, or was no HTTP;
        - ``RequestNotSent``: nothing was tried, for the pool is closed, or the origin at its limit;
        - ``RequestGenerationFailed``: the body's producer failed, or wrote another length;
        - ``SchemeNotSupported``, :class:`ForeignURI` or another ``ValueError``: the request cannot be sent as it is;
        - what is a ``CancelledError`` too: it was cancelled.

        :param uri: absolute, of the origin; the fragment is dropped.
        :param headers: end-to-end fields; hop-by-hop fields, Content-Length and Expect are dropped; a Host takes the
            place of the URI's authority, as with ``Agent``.
        :param bodyProducer: the body; without a known length it goes in chunks.
        """
        try:
            upload = None if bodyProducer is None else Upload(bodyProducer)
            request = ClientRequest(method, uri, headers if headers is not None else Headers())
            pool = self.pool
            target, host = self._target_and_host(request, pool)
            sending = AgentRequest(pool, request, target, host, upload)
        except (ValueError, SchemeNotSupported):
            return fail()
        sending.attempt()
        return sending.responded_with

    def _target_and_host(self, request: ClientRequest, pool: OriginPool) -> tuple[bytes, bytes]:
        """The request target and the Host field of a request.

        :raises SchemeNotSupported: if the URI's scheme is not that of the origin's servers.
        :raises ForeignURI: if it is another host's.
        :raises ValueError: if a part of it would not come through as one, such as a value with a line end.
        """
        match = _URI.fullmatch(request.absoluteURI)
        if match is None:
            raise ValueError(f"not an absolute URI: {request.absoluteURI!r}")
        scheme, authority, target = match.groups()
        if pool is not self._known:
            self._authorities = _authorities(pool) | self._hosts
            self._schemes = frozenset(each.scheme.encode("ascii") for each in pool.origin.servers)
            self._known = pool
        if not _TOKEN.fullmatch(request.method) or request.method == b"CONNECT":
            raise ValueError(f"not a method to send: {request.method!r}")
        if scheme.lower() not in self._schemes:
            spoken = b" and ".join(sorted(self._schemes)).decode()
            raise SchemeNotSupported(f"the origin {pool.name!r} is asked by {spoken}, not {scheme.decode()}")
        try:
            host = _authority(authority)
        except ValueError as error:  # of another's redirect, that is no reason for another exception
            raise ForeignURI(str(error)) from error
        if host not in self._authorities:
            known = b", ".join(sorted(self._authorities)).decode()
            raise ForeignURI(f"{host.decode()} is not the origin {pool.name!r}, which is asked as {known}")
        if pool.origin.host not in ("client", "server"):
            host = pool.origin.host.encode("ascii")
        hosts = request.headers.getRawHeaders(b"host")
        if hosts is not None:
            if len(hosts) != 1:
                raise ValueError(f"not one Host: {hosts!r}")
            host = _authority(hosts[0])
        return target if target.startswith(b"/") else b"/" + target, host


class ForeignURI(ValueError):
    """A URI is not of the origin of the agent that was asked: of a redirect to another host, most likely."""


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


def _authorities(pool: OriginPool) -> frozenset[bytes]:
    """By which names an origin is asked, in their normal form."""
    origin = pool.origin
    names = {pool.name, *(each.name for each in origin.servers), origin.server_name or pool.name}
    if origin.host not in ("client", "server"):
        names.add(origin.host)
    found = set()
    for name in names:
        host = f"[{name}]" if name.count(":") > 1 and "[" not in name else name
        for end in ("", *(f":{each.port}" for each in origin.servers)):
            with contextlib.suppress(ValueError):  # of a name that is no host's
                found.add(_authority(f"{host}{end}".encode()))
    return frozenset(found)


def _authority(text: bytes) -> bytes:
    try:
        return read_authority(text)
    except ClientError as error:
        raise ValueError(f"{error.reason}: {text!r}") from error


def _fields(headers: Headers, protocol: str) -> list[tuple[bytes, bytes]]:
    """The fields that are sent; in HTTP/2 ``TE: trailers``, which servers of gRPC demand, is one of them."""
    nominated = b",".join(headers.getRawHeaders(b"connection", ())).lower().split(b",")
    dropped = _NOT_FROM_CALLERS.union(name.strip() for name in nominated)
    fields = []
    for name, values in headers.getAllRawHeaders():
        if name.lower() in dropped and not (protocol == "h2" and name.lower() == b"te" and values == [b"trailers"]):
            continue
        if not _TOKEN.fullmatch(name) or not all(map(_VALUE.fullmatch, values)):
            raise ValueError(f"not a header field to send: {name!r}")
        fields += [(name, value) for value in values]
    return fields


class AgentRequest(Attempts):
    """One request of an agent under way.

    :ivar responded_with: fires with the response.
    """

    def __init__(
        self, pool: OriginPool, request: ClientRequest, target: bytes, host: bytes, upload: Upload | None
    ) -> None:
        self.pool = pool
        self._request = request
        self._target = target
        self._host = host
        self._lines = header_lines(_fields(request.headers, pool.origin.protocol))
        self._upload = upload
        self._response: OriginResponse | None = None
        self.responded_with: Deferred[IResponse] = Deferred(lambda _: self._cancel())

    # -- the attempts ------------------------------------------------------------------------------------------------

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent twice."""
        return self._upload is None and self._request.method in SAFE

    @property
    def whole(self) -> bool:
        """Whether the producer of the body has not begun."""
        return self._upload is None or not self._upload.started

    def send(self, stream: OriginStream) -> None:
        """Send the request; its body follows from its producer."""
        upload, method = self._upload, self._request.method
        if upload is not None:
            length = upload.length
        else:
            length = 0 if method in _WITH_LENGTH else NO_CONTENT
        stream.begin(self, method, self._target, self._host, self._lines, length, b"", upload is None)
        if upload is not None:
            upload.start(stream, self._upload_failed)

    def take_response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The origin has answered."""
        self._response = response = OriginResponse(self, self._request, head, body, done)
        if done:
            self._end()
        self.responded_with.callback(response)

    def response_body(self, body: bytes, done: bool, trailers: exchange.Headers) -> None:
        """More of the response; nobody asks an agent for trailers."""
        response = self._response
        if response is None or self.stream is None:
            return
        if done:
            self.stream = None
            self._end()
        if body:
            response.received(body, done)
        if done:
            response.ended()

    def origin_drained(self) -> None:
        """The origin has taken what was sent."""
        if self._upload is not None:
            self._upload.drained()

    def no_response(self, error: OriginError) -> None:
        """No server has answered."""
        transmitting = self._transmitting
        self._end()
        self.responded_with.errback(agent_errors.no_response(error, transmitting))

    def response_broken(self, error: OriginError) -> None:
        """The response has begun and there will be no more of it."""
        self._end()
        assert self._response is not None
        self._response.ended(agent_errors.broken(error, self._response))

    # -- the response's side -----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read no more of the response."""
        if self.stream is not None:
            self.stream.pause()

    def resume(self) -> None:
        """Read on."""
        if self.stream is not None:
            self.stream.resume()

    def abort(self) -> None:
        """Nobody wants the rest of the response."""
        if self.stream is not None and self._response is not None:
            self._end()
            # Not at once: the protocol is in the middle of something, and expects the end to come from the reactor.
            lost = ResponseFailed([Failure(ConnectionAborted())], self._response)
            self.pool.reactor.callLater(0, self._aborted, self._response, lost)

    def _aborted(self, response: OriginResponse, lost: ResponseFailed) -> None:
        with contextlib.suppress(AlreadyCalledError):  # readBody's own, when its Deferred was cancelled
            response.ended(lost)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _upload_failed(self, failure: Failure) -> None:
        self._end()
        if self._response is None:
            self.responded_with.errback(RequestGenerationFailed([failure]))
        else:
            self._response.ended(ResponseFailed([failure], self._response))

    @property
    def _transmitting(self) -> bool:
        """Whether there is more of the request to be sent."""
        return self._upload is not None and not self._upload.finished

    def _cancel(self) -> None:
        """Nobody wants the response."""
        balanced = self.balanced or self.pool.balancer.servers[0]
        error = agent_errors.cancelled(balanced.server if self.stream is None else None, self._transmitting)
        self._end()
        self.responded_with.errback(error)

    def _end(self) -> None:
        """Give up what is under way."""
        self.give_up()
        if self._upload is not None:
            self._upload.stop()
