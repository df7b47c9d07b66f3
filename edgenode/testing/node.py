"""A node in memory: the whole service with TLS and HTTP on both its sides, without a network and on one clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from treq import content
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers as TwistedHeaders
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.model.exchange import Response
from edgenode.model.interfaces import IEventSink, Record
from edgenode.node.service import EdgeService
from edgenode.observe.event_record import event_of
from edgenode.observe.event_schema import Event
from edgenode.testing.certificates import Issued
from edgenode.testing.handshakes import Handshakes
from edgenode.testing.origin import FakeOrigin
from edgenode.testing.reactor import MemoryReactor, Place


@implementer(IEventSink)
class Events:
    """A sink that keeps what it is given.

    :ivar records: the records, in order.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        """Keep a record."""
        self.records.append(record)

    @property
    def told(self) -> list[Event]:
        """The events of all records."""
        return [event_of(record) for record in self.records]


class MemoryNode:
    """A node that runs in memory from the beginning; :meth:`stop` ends it.

    As a context it stops at the end of its block. In trial: ``self.addCleanup(node.stop)``.

    :param configuration: what it does; its endpoints are in memory, whatever they are.
    :param origins: who is behind each origin, by its name: a fake one, or any factory of Twisted's. Of the others
        connections are refused.
    :param options: further arguments of :class:`~edgenode.node.service.EdgeService`.
    :ivar reactor: its clock and its connections.
    :ivar service: the service.
    :ivar sink: its events, unless other ``events`` are given.
    """

    def __init__(
        self,
        configuration: Configuration,
        origins: Mapping[str, FakeOrigin | IProtocolFactory] | None = None,
        reactor: MemoryReactor | None = None,
        **options: Any,
    ) -> None:
        self.reactor = reactor or MemoryReactor()
        self.sink = Events()
        for name, origin in (origins or {}).items():
            self.serve(name, origin, configuration)
        self.service = EdgeService(configuration, self.reactor, **{"events": self.sink, **options})
        self.service.privilegedStartService()
        self.service.startService()
        self.settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def events(self) -> list[Event]:
        """The events so far."""
        return self.sink.told

    def serve(
        self, name: str, origin: FakeOrigin | IProtocolFactory, configuration: Configuration | None = None
    ) -> None:
        """Put somebody behind an origin.

        :param name: the origin by name.
        """
        configuration = configuration or self.service.configuration
        served: Any = origin
        if isinstance(origin, FakeOrigin):
            served = _Switched(origin, origin.factory(self.reactor))
        for each in configuration.origins[name].servers:
            self.reactor.sockets.servers[each.host, each.port] = served

    def settle(self) -> None:
        """Serve everybody until nobody is ready."""
        self.reactor.settle()

    def pass_time(self, seconds: float) -> None:
        """Let time pass: timeouts, health checks and stages that wait see it."""
        self.reactor.pass_time(seconds)

    def client(
        self,
        name: str,
        certificate: Issued | None = None,
        *,
        listener: str | None = None,
        authority: Issued | None = None,
        address: str = "127.0.0.1",
    ) -> Client:
        """A client of a listener.

        :param name: the host that it asks for: the server name of its handshakes.
        :param certificate: what it presents.
        :param listener: the listener's name; the first one's if absent.
        :param authority: whom it trusts; if absent it believes that the node is the node.
        :param address: where it comes from.
        """
        ports = self.service.ports
        host = ports[listener or next(iter(ports))].getHost()
        return Client(self.reactor, (host.host, host.port), name, certificate, authority, address)

    def stop(self) -> None:
        """Stop, and cut what is still open; nothing of it is left."""
        if self.service.running:
            stopped = self.service.stopService()
            self.settle()
            self.service.cut()
            self.settle()
            result_of(stopped)


class _Switched:
    """A fake origin as a factory that can be down."""

    def __init__(self, origin: FakeOrigin, factory: IProtocolFactory) -> None:
        self._origin = origin
        self.buildProtocol = factory.buildProtocol

    @property
    def down(self) -> bool:
        return self._origin.down


@implementer(IAgent)
class Client:
    """A client in memory: for requests as they are, for treq, and for any protocol of Twisted's.

    ``treq.client.HTTPClient(client)`` speaks to the node; every request goes on a connection of its own.

    :param place: host and port of the listener.
    :param name: the server name of its handshakes.
    :param certificate: what it presents.
    :param authority: whom it trusts; if absent it believes everybody.
    :param address: where it comes from.
    """

    def __init__(
        self,
        reactor: MemoryReactor,
        place: Place,
        name: str,
        certificate: Issued | None = None,
        authority: Issued | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.reactor = reactor
        self.name = name
        self.endpoint: IStreamClientEndpoint = reactor.client(place, Handshakes(certificate, authority, name), address)
        self._agent = Agent.usingEndpointFactory(reactor, _To(self.endpoint))

    def ask(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> Response:
        """Send a request, and return the response, which must come without any time passing.

        :param target: a path, or a whole URI whose host is the Host field.
        :raises AssertionError: if there is no response yet.
        """
        fields = TwistedHeaders()
        for name, value in headers:
            fields.addRawHeader(name, value)
        uri = target if "://" in target else f"https://{self.name}{target}"
        producer = None if body is None else _Whole(body)
        response: Any = self._result(self.request(method.encode(), uri.encode(), fields, producer))
        whole = b"" if method == "HEAD" else self._result(content(response))
        lines = response.headers.getAllRawHeaders()
        found = tuple((name.lower(), value) for name, values in lines for value in values)
        return Response(response.code, found, whole)

    def get(self, target: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
        """Send a GET."""
        return self.ask("GET", target, headers)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: TwistedHeaders | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send a request as an agent of Twisted's does."""
        responded: Deferred[Any] = self._agent.request(method, uri, headers, bodyProducer)
        responded.addCallback(_Settling, self.reactor)
        self.reactor.settle()
        return responded

    def connect(self, factory: IProtocolFactory) -> Any:
        """Connect a protocol of Twisted's, by TLS.

        :return: the protocol.
        """
        return self._result(self.endpoint.connect(factory))

    def _result(self, deferred: Deferred[Any]) -> Any:
        self.reactor.settle()
        return result_of(deferred)


@implementer(IBodyProducer)
class _Whole:
    """A body that is there."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    resumeProducing = stopProducing = pauseProducing


class _Settling(proxyForInterface(IResponse)):  # type: ignore[misc]
    """A response whose body comes as soon as somebody takes it."""

    def __init__(self, original: IResponse, reactor: MemoryReactor) -> None:
        super().__init__(original)
        self._reactor = reactor

    def deliverBody(self, protocol: Any) -> None:
        self.original.deliverBody(protocol)
        self._reactor.settle()


@implementer(IAgentEndpointFactory)
class _To:
    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        return self._endpoint


def result_of(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with; raises what it has failed with.

    :raises AssertionError: if it has done neither.
    """
    found: list[Any] = []

    def keep(result: Any) -> Any:
        found.append(result)
        return None if isinstance(result, Failure) else result

    deferred.addBoth(keep)
    if not found:
        raise AssertionError("there is no result yet: something waits for time to pass")
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]
