"""A twisted.web resource behind a pipeline: every request is judged before the resource hears of it.

Law: what is judged is what the resource sees. A request that Twisted accepts and the node would not is refused here as
well; headers that only claim something are taken out; dot segments are resolved before the resource tree is walked. And
whatever fails, fails closed: the resource is not asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.resource import IResource, getChildForRequest
from zope.interface import implementer

from edgenode.embedding.connection_facts import connection_of
from edgenode.embedding.protocol_transport import ProtocolTransport
from edgenode.model.decision import Close, Decision, Respond
from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_BODY, Body, Connection, Exchange, Request, Response, by_name
from edgenode.model.interfaces import IEventSink
from edgenode.policy.pipeline import Pipeline
from edgenode.proxy.event_record import EventRecord
from edgenode.proxy.headers import Forwarded, header_lines, misleads
from edgenode.proxy.judging import PAGES, refuse
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.proxy.trusted_proxies import X_FORWARDED_FOR, TrustedProxies
from edgenode.tls.verification import judge

_LIMITS = HeadLimits(target=8 * 1024, head=32 * 1024, headers=100)
"""Those that a listener has by default; Twisted has its own in front of them."""

_FAILED = Response(503, (), PAGES[503])

_log = Logger()


@implementer(IResource)
class FilteredResource:
    """A resource that asks a pipeline before it asks another one: ``Site(FilteredResource(pipeline, inner))``.

    The inner resource finds the judgement on its request: ``request.getComponent(Exchange)`` and
    ``request.getComponent(Decision)``.

    :param pipeline: ``configuration.pipeline(NAME)`` of a path map.
    :param inner: the resource, and with it all its children; no other way may lead to it.
    :param verifies: the caller vouches that the site's TLS listener lets nobody in with a bad certificate, see
        :func:`~edgenode.embedding.connection_facts.connection_of`. A listener of ours says so itself.
    :param trusted_proxies: networks of proxies that are believed about the client's address.
    :param client_address: the header in which they report it, ``x-forwarded-for`` or ``forwarded``.
    :param events: takes one event for each request.
    """

    isLeaf = True
    server: Any = None

    def __init__(
        self,
        pipeline: Pipeline,
        inner: IResource,
        *,
        verifies: bool = False,
        trusted_proxies: Sequence[str] = (),
        client_address: str = X_FORWARDED_FOR,
        events: IEventSink | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.inner = inner
        self.verifies = verifies
        self.trusted_proxies = TrustedProxies(trusted_proxies, client_address)
        self.events = events

    def getChildWithDefault(self, name: bytes, request: server.Request) -> IResource:
        """Itself, whatever the name: to the children of the inner resource only :meth:`render` leads."""
        request.postpath.insert(0, request.prepath.pop())
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """Give the inner resource a child, which is filtered as well."""
        self.inner.putChild(path, child)

    def render(self, request: server.Request) -> int:
        """Judge a request, and answer it or let the inner resource do so.

        :returns: ``NOT_DONE_YET``.
        """
        _Filtering(self, request).start()
        return server.NOT_DONE_YET


class _Filtering:
    """One request on its way through the filter."""

    __slots__ = ("_record", "_filter", "_over", "_request")

    def __init__(self, filter: FilteredResource, request: server.Request) -> None:
        self._filter = filter
        self._request = request
        self._record: EventRecord | None = None
        self._over = False

    def start(self) -> None:
        """Judge the request."""
        began, request = time.perf_counter(), self._request
        request.notifyFinish().addCallbacks(lambda _: self._end(request.code), lambda _: self._end(499))
        try:
            transport = _transport(request)
            connection = connection_of(transport, verifies=self._filter.verifies)
            peer = connection.peer.host
            self._record = record = EventRecord("", Exchange(connection, client=peer), began=began)
            record.received, body = _body(request, self._filter.pipeline.inspects)
            ours = evolve(_read(request, record.received, connection), body=body)
            if self._filter.trusted_proxies.contains(peer):
                reported = Forwarded.reported(ours, peer, self._filter.trusted_proxies)
                peer, ours.scheme = reported.client, reported.scheme
            record.exchange = _exchange(connection, ours, peer, transport)
            _show(request, ours)
            decision = self._filter.pipeline.judge(record.exchange)
        except ClientError as error:
            self._refuse(error)
            return
        except Exception:
            _log.failure("a request could not be judged")
            self._respond(_FAILED)
            return
        if isinstance(decision, Deferred):
            decision.addCallback(self._act).addErrback(self._failed)
        else:
            self._act(decision)

    def _act(self, decision: Decision) -> None:
        """Do what was decided, unless the client has gone meanwhile."""
        record, request = self._record, self._request
        if self._over or record is None:
            return
        record.decided = time.perf_counter()
        record.decision = decision
        try:
            exchange = record.exchange.tagged(decision.tags)
            outcome = decision.outcome(exchange)
        except Exception:
            _log.failure("an action failed")
            self._respond(_FAILED)
            return
        if isinstance(outcome, Respond):
            self._respond(outcome.response)
        elif isinstance(outcome, Close):
            # With HTTP/2 there is no transport, and the channel is a single stream of the connection.
            line: Any = request.channel if request.transport is None else request.transport
            line.abortConnection()
            self._end(444)
        else:
            for name, values in by_name(outcome.headers).items():
                request.requestHeaders.setRawHeaders(name, list(values))
            request.setComponent(Exchange, exchange)
            request.setComponent(Decision, decision)
            request.render(getChildForRequest(self._filter.inner, request))

    def _refuse(self, error: ClientError) -> None:
        """Answer a request that was not even given to the pipeline; on HTTP/1 it was the connection's last."""
        request = self._request
        if self._record is not None:
            self._record.error = error
        if request.clientproto != b"HTTP/2":
            # Who framed it otherwise, in front of us, would take its rest for another request.
            request.setHeader(b"connection", b"close")
            request.channel.persistent = False
        answer = refuse(error, "400")
        assert answer is not None
        self._respond(answer.response)

    def _respond(self, response: Response) -> None:
        request = self._request
        request.setResponseCode(response.status)
        if response.body:
            request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        for name, values in by_name(response.headers).items():
            request.responseHeaders.setRawHeaders(name, list(values))
        request.setHeader(b"content-length", b"%d" % len(response.body))
        request.write(response.body)
        request.finish()

    def _failed(self, failure: Failure) -> None:
        """The inner resource failed after a decision that had to be waited for."""
        if self._over:
            _log.failure("a resource failed", failure=failure)
        else:
            self._request.processingFailed(failure)

    def _end(self, status: int) -> None:
        """The request is over: nothing more is done for it, and its event is written."""
        record, events = self._record, self._filter.events
        over, self._over = self._over, True
        if not over and record is not None and events is not None:
            record.status, record.sent, record.ended = status, self._request.sentLength, time.perf_counter()
            events.record(record)


def _transport(request: server.Request) -> ITransport:
    """The transport of a request's connection: with HTTP/2 Twisted gives a request none, and has no public way."""
    channel: Any = request.channel
    transport: ITransport = channel._conn.transport if request.transport is None else request.transport
    return transport


def _body(request: server.Request, wanted: int) -> tuple[int, Body | None]:
    """The size of the body, and as much of it as rules want to see; ``None`` if they do not look at bodies."""
    content: Any = request.content
    size: int = content.seek(0, os.SEEK_END)
    content.seek(0)
    if not size or not wanted:
        return size, None if size else NO_BODY
    data = content.read(wanted)
    content.seek(0)
    return size, Body(data, size, size > wanted)


def _read(request: server.Request, size: int, connection: Connection) -> Request:
    """A request as our own reader reads it, from a head that is put together again.

    :param size: of its body.
    :param connection: says whom it is for if it does not, which only HTTP/1.0 may.
    :raises ClientError: if the node would not take it.
    """
    fields = [(name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
    if request.clientproto == b"HTTP/1.0" and not request.requestHeaders.hasHeader(b"host"):
        address = connection.local.host
        name = connection.server_name or (f"[{address}]" if ":" in address else address)
        fields.append((b"Host", name.encode("ascii")))
    http2 = request.clientproto == b"HTTP/2"
    version = b"HTTP/1.1" if http2 else request.clientproto
    start = b"%b %b %b\r\n" % (request.method, request.uri, version)
    scheme = b"https" if request.isSecure() else b"http"
    ours = read_request_head(b"%b%b\r\n" % (start, header_lines(fields)), _LIMITS, scheme).with_body(None)
    if (ours.method, ours.target, len(ours.headers)) != (request.method, request.uri, len(fields)):
        raise ClientError(400, "a line end where none may be")
    if http2:
        framed = b"content-length" in ours.fields or not size  # a body needs no length in HTTP/2
        ours = evolve(ours, version=(2, 0), length=ours.length if framed else None)
    if ours.length is not None and ours.length != size:
        raise ClientError(400, "the body is not as long as its Content-Length says")
    return ours


def _exchange(connection: Connection, request: Request, client: str, transport: ITransport) -> Exchange:
    """The exchange; on a listener of ours the request must be for a server group that the client was judged for.

    :raises ClientError: 421, if it is for another; 495 or 496, if the client is no longer let in.
    """
    exchange = Exchange(connection, request, client, time=time.time())
    if not isinstance(transport, ProtocolTransport):
        return exchange
    group = transport.route(request)
    refusal = judge(group.group, connection.verification)
    if refusal is not None:
        raise refusal
    return evolve(exchange, server_group=group.name, security_policy=group.security_policy)


def _show(request: server.Request, ours: Request) -> None:
    """Let the inner resource see what is judged: the resolved path, the authority, and no header that misleads.

    :raises ClientError: 400, if the resolved path leads out of where the filter stands.
    """
    segments = list(map(unquote_to_bytes, ours.path[1:].split(b"/")))
    above = request.prepath or []
    if segments[: len(above)] != above:
        raise ClientError(400, "the path leads to another resource than it seems")
    request.postpath = segments[len(above) :]
    request.path = ours.path
    request.uri = ours.path if ours.query is None else b"%b?%b" % (ours.path, ours.query)
    headers = request.requestHeaders
    for name, _ in list(headers.getAllRawHeaders()):
        if misleads(name.lower()):
            headers.removeHeader(name)
    headers.setRawHeaders(b"host", [ours.authority])
