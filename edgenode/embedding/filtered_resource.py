"""A twisted.web resource behind a pipeline: every request is judged before the resource hears of it.

Law: what is judged is what the resource sees. A request that Twisted accepts and the node would not is refused here as
well; headers that only claim something are taken out; dot segments are resolved before the resource tree is walked. And
whatever fails, fails closed: the resource is not asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource, getChildForRequest
from zope.interface import implementer

from edgenode.embedding.connection_facts import KnownConnections
from edgenode.embedding.protocol_transport import ProtocolTransport
from edgenode.embedding.site_request import read_arguments, read_body, read_head, show, taken_over, transport_of
from edgenode.embedding.unfinished import EndOfConnection
from edgenode.model.decision import FORWARD, Close, Decision, Forward, Respond
from edgenode.model.errors import ClientError
from edgenode.model.exchange import UNKNOWN_CLIENT, Connection, Exchange, Headers, Response, by_name
from edgenode.model.interfaces import IEventSink
from edgenode.observe.guarded_sink import GuardedSink
from edgenode.observe.masked_records import MaskingSink
from edgenode.policy.pipeline import Pipeline
from edgenode.proxy.event_record import EventRecord
from edgenode.proxy.header_names import ONE_HOP
from edgenode.proxy.headers import Forwarded
from edgenode.proxy.judging import PAGES, check_rewrite, outcome_of, refuse, tell
from edgenode.proxy.listener.client_session import Standing
from edgenode.proxy.streams import RequestHead
from edgenode.proxy.trusted_proxies import FORWARDED, X_FORWARDED_FOR, TrustedProxies
from edgenode.tls.verification import judge

UNIX = "unix:"
"""Among trusted proxies: whoever connects by a Unix socket, as nginx's ``set_real_ip_from`` has it."""

_MOST_AUTHORITIES = 16
"""So many are remembered of a connection, with what is the same for all of its requests to one."""

_FAILED = Response(503, (), PAGES[503])

_IS_SECURE = http.Request.isSecure
_NOTIFY_FINISH = http.Request.notifyFinish  # by a name of ours: the module's own are behind a proxy

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
    :param facts: takes a request and returns the facts of its connection, in place of ``connection_of``: on Unix
        sockets, in tests, behind a proxy that says who the client is. It is asked for every request; if it raises, or
        returns anything else, the answer is 503, and that of a ``ClientError`` its status. Nobody can check what it
        says of a certificate.
    :param trusted_proxies: networks of proxies that are believed about the client's address; ``unix:`` for those that
        connect by a Unix socket.
    :param client_address: the header in which they report it, ``x-forwarded-for`` or ``forwarded``.
    :param events: takes one event for each request.
    :raises TypeError: if ``facts`` cannot be called.
    :raises ValueError: if ``verifies`` is said beside ``facts``, a network is none, ``client_address`` is another
        header, or the path map has something that judges answers, such as edge functions: nothing would ask it.
    """

    isLeaf = True
    server: Any = None

    def __init__(
        self,
        pipeline: Pipeline,
        inner: IResource,
        *,
        verifies: bool = False,
        facts: Callable[[server.Request], Connection] | None = None,
        trusted_proxies: Sequence[str] = (),
        client_address: str = X_FORWARDED_FOR,
        events: IEventSink | None = None,
    ) -> None:
        if facts is not None and not callable(facts):
            raise TypeError("facts is called with a request, and returns a Connection")
        if facts is not None and verifies:
            raise ValueError(
                "verifies is about facts that are read from the transport: with facts of your own, say it there"
            )
        if pipeline.answers is not None:
            raise ValueError("the pipeline judges answers of origins, which those of a resource are not")
        if client_address not in (X_FORWARDED_FOR, FORWARDED):
            raise ValueError(f"client_address is {X_FORWARDED_FOR} or {FORWARDED}: {client_address}")
        self.pipeline = pipeline
        self.inner = inner
        self.events = None if events is None else MaskingSink.of(GuardedSink(events), {"": pipeline.masks})
        self._facts = facts
        self._known = KnownConnections(verifies=verifies)
        networks = [network for network in trusted_proxies if network != UNIX]
        self._trusted_proxies = TrustedProxies(networks, client_address)
        self._trusts_unix = len(networks) < len(trusted_proxies)
        self._lines: WeakKeyDictionary[Connection, _Line] = WeakKeyDictionary()

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

    # -- for one request at a time -----------------------------------------------------------------------------------

    def connection(self, request: server.Request, transport: ITransport, now: float) -> Connection:
        """The facts of a request's connection.

        :param now: seconds since the epoch.
        :raises TypeError: if the callable for them has returned anything else.
        """
        if self._facts is None:
            return self._known.facts(transport, now)
        connection = self._facts(request)
        if not isinstance(connection, Connection):
            raise TypeError(f"the callable for the facts of a connection has returned {connection!r}")
        return connection

    def trusts(self, peer: str) -> bool:
        """Whether a peer, of this address, is a trusted proxy."""
        return self._trusts_unix if peer == UNKNOWN_CLIENT else self._trusted_proxies.contains(peer)

    def reported(self, head: RequestHead, peer: str) -> Forwarded:
        """What a trusted proxy reports of a request."""
        return Forwarded.reported(head, peer, self._trusted_proxies)

    def line(self, connection: Connection) -> _Line:
        """What is the same for all requests of a connection."""
        line = self._lines.get(connection)
        if line is None:
            # The facts of a callable may be told to be those of several connections.
            line = self._lines[connection] = _Line(self.trusts(connection.peer.host), self._facts is None)
        return line


class _Line:
    """What is the same for all requests of a connection.

    :ivar behind_proxy: whether its peer is a trusted proxy.
    :param one: whether it is certain to be a single one.
    """

    __slots__ = ("_one", "_secure", "_standings", "behind_proxy")

    def __init__(self, behind_proxy: bool, one: bool) -> None:
        self.behind_proxy = behind_proxy
        self._one = one
        self._secure: bool | None = None
        self._standings: dict[object, Standing] = {}

    def secure(self, request: server.Request) -> bool:
        """Whether a request came over TLS, or is said to have done so by ``setHost``."""
        if type(request).isSecure is not _IS_SECURE or getattr(request, "_forceSSL", True):
            return bool(request.isSecure())
        secure = self._secure
        if secure is None:
            secure = bool(request.isSecure())
            if self._one:
                self._secure = secure
        return secure

    def standing(self, pipeline: Pipeline, exchange: Exchange, head: RequestHead) -> Standing | None:
        """What is the same for all of them with one authority if the peer is the client; ``None`` if it has to be
        worked out."""
        if pipeline.locate is not None:
            return None
        standings, key = self._standings, (pipeline, head.authority, head.scheme)
        standing = standings.get(key)
        if standing is None:
            if len(standings) >= _MOST_AUTHORITIES:
                standings.clear()
            standing = standings[key] = Standing(pipeline.standing(exchange), b"")
        return standing


class _Filtering:
    """One request on its way through the filter."""

    __slots__ = ("_added", "_connection", "_filter", "_forwarded", "_over", "_record", "_request", "_waiting")

    def __init__(self, filter: FilteredResource, request: server.Request) -> None:
        self._filter = filter
        self._request = request
        self._record: EventRecord | None = None
        self._over = False
        self._forwarded = False
        self._added: Headers = ()  # to whatever answer
        self._waiting: Deferred[Decision] | None = None
        self._connection: EndOfConnection | None = None

    def start(self) -> None:
        """Judge the request."""
        request = self._request
        if type(request).notifyFinish is _NOTIFY_FINISH:
            request.notifications.append(cast(Any, self))  # what it does, without a Deferred to be called back by
        else:
            request.notifyFinish().addCallbacks(self.callback, self.errback)
        try:
            decision = self._judge()
        except ClientError as error:
            self._refuse(error)
            return
        except Exception:
            _log.failure("a request could not be judged")
            self._respond(_FAILED)
            return
        if isinstance(decision, Decision):
            self._act(decision)
        else:
            self._waiting = decision
            decision.addCallback(self._act).addErrback(self._failed)

    def _judge(self) -> Decision | Deferred[Decision]:
        began, now = time.perf_counter(), time.time()
        request, filter = self._request, self._filter
        transport = transport_of(request)
        connection = filter.connection(request, transport, now)
        line, peer = filter.line(connection), connection.peer.host
        exchange = Exchange(connection, client=peer, time=now)
        self._record = record = EventRecord("", exchange, now, began)
        head = read_head(request, connection, line.secure(request))
        record.received = read_body(request, head, filter.pipeline.inspects)
        read_arguments(request, head)
        exchange.request = head
        if line.behind_proxy:
            reported = filter.reported(head, peer)
            exchange.client, head.scheme = reported.client, reported.scheme
        if isinstance(transport, ProtocolTransport):
            _route(exchange, head, transport)
        show(request, head, filter)
        if not line.behind_proxy:
            record.standing = standing = line.standing(filter.pipeline, exchange, head)
            exchange.standing = None if standing is None else standing.tags
        return filter.pipeline.judge(exchange)

    def _act(self, decision: Decision) -> None:
        """Do what was decided, unless the client has gone meanwhile."""
        record, request = self._record, self._request
        if self._over or record is None:
            return
        record.decided = time.perf_counter()
        record.decision = decision
        if decision.headers:
            self._added = tuple(field for field in decision.headers if field[0] not in ONE_HOP)
        try:
            exchange = record.exchange
            if exchange.tags is not decision.tags:
                exchange = exchange.tagged(decision.tags)
            outcome = FORWARD if decision.action is None else outcome_of(decision, exchange)
            if decision.rewrite is not None and isinstance(outcome, Forward):
                check_rewrite(decision.rewrite, None)
        except ClientError:
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
            if decision.rewrite is not None:
                for name in decision.rewrite.removed:
                    request.requestHeaders.removeHeader(name)
                for name, values in by_name(decision.rewrite.headers).items():
                    request.requestHeaders.setRawHeaders(name, list(values))
            if outcome.headers:
                for name, values in by_name(outcome.headers).items():
                    request.requestHeaders.setRawHeaders(name, list(values))
            self._forwarded = True
            for name, value in self._added:
                request.responseHeaders.addRawHeader(name, value)
            request.setComponent(Exchange, exchange)
            request.setComponent(Decision, decision)
            request.render(getChildForRequest(self._filter.inner, request))
            if not self._over:
                if taken_over(request):
                    self._end(101)
                else:  # it goes on, and may be given to another protocol later
                    self._connection = EndOfConnection.tell(transport_of(request), self._gone)

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
        for name, values in by_name((*response.headers, *self._added)).items():
            request.responseHeaders.setRawHeaders(name, list(values))
        request.setHeader(b"content-length", b"%d" % len(response.body))
        request.write(response.body)
        request.finish()

    def _failed(self, failure: Failure) -> None:
        """The inner resource failed after a decision that had to be waited for."""
        if self._over:
            if not failure.check(CancelledError):
                _log.failure("a resource failed", failure=failure)
        else:
            self._request.processingFailed(failure)

    def callback(self, _: object) -> None:
        """The answer is finished."""
        self._end(self._request.code)

    def errback(self, _: Failure) -> None:
        """The client has gone."""
        self._end(499)
        if self._waiting is not None:  # nobody waits for the decision any more
            self._waiting.cancel()

    def _gone(self) -> None:
        """The connection is over, and its channel has not told so: the resource has given it to another protocol, or
        has ended the stream of HTTP/2 without an answer."""
        request = self._request
        self._end(101 if request.transport is not None else request.code if request.startedWriting else 444)

    def _end(self, status: int) -> None:
        """The request is over: nothing more is done for it, and its event is written."""
        record, events = self._record, self._filter.events
        if self._connection is not None:
            self._connection.forget(self._gone)
            self._connection = None
        over, self._over = self._over, True
        if over or record is None:
            return
        record.status, record.sent = status, self._request.sentLength
        if events is not None:
            record.ended = time.perf_counter()
            events.record(record)
        if record.decision.after:
            answered = status if self._forwarded and status not in (444, 499) else 0
            tell(record.decision.after, status, record.sent, answered)


def _route(exchange: Exchange, head: RequestHead, transport: ProtocolTransport) -> None:
    """On a listener of ours the request must be for a server group that the client was judged for.

    :raises ClientError: 421, if it is for another; 495 or 496, if the client is no longer let in.
    """
    group = transport.route(head)
    refusal = judge(group.group, exchange.connection.verification)
    if refusal is not None:
        raise refusal
    exchange.server_group, exchange.security_policy = group.name, group.security_policy
