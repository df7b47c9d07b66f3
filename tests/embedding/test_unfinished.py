"""Requests that Twisted tells no end of: every one that was judged has one event, whenever the resource lets it go."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from h2.exceptions import ProtocolError
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from edgenode.embedding.filtered_resource import FilteredResource
from edgenode.embedding.unfinished import EndOfConnection
from tests.embedding.test_filtered_resource import H2, pipeline_of, serving, serving_tls
from tests.support.clients import Client, connect
from tests.support.listening import listening
from tests.support.node import PKI, Events, get, in_thread

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: open.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HELLO, ECHOED = b"\x81\x85\0\0\0\0hello", b"\x81\x05hello"


class Autobahn(WebSocketServerProtocol):  # type: ignore[misc, unused-ignore]
    """Echoes."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class Raw(Protocol):
    """Echoes as if it were WebSocket."""

    def connectionMade(self) -> None:
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(ECHOED)  # type: ignore[union-attr]


class Hijacking(Resource):
    """Puts another protocol on the transport, and says so to nobody."""

    def render(self, request: Any) -> int:
        transport, protocol = request.transport, Raw()
        setattr(transport, "wrappedProtocol" if hasattr(transport, "wrappedProtocol") else "protocol", protocol)
        protocol.makeConnection(transport)
        return NOT_DONE_YET


class Upgrading(Resource):
    """Upgrades as ``twisted.web.websocket`` does, which needs wsproto."""

    def render(self, request: Any) -> int:
        request.channel._protocolUpgradeForWebsockets(Raw())
        return NOT_DONE_YET


RESOURCES: dict[str, Callable[[], Any]] = {
    "autobahn": lambda: WebSocketResource(_autobahn()),
    "twisted": Upgrading,
    "hijacking": Hijacking,
}


def _autobahn() -> WebSocketServerFactory:
    factory = WebSocketServerFactory()
    factory.protocol = Autobahn
    return factory


class Later(Resource):
    """Gives its requests to another resource after its ``render`` has returned."""

    isLeaf = True

    def __init__(self, inner: Any, delay: float) -> None:
        super().__init__()
        self.inner, self.delay = inner, delay

    def render(self, request: Any) -> int:
        if self.delay:
            deferLater(_reactor(), self.delay, self.inner.render, request)
        else:
            self.inner.render(request)
        return NOT_DONE_YET


class Plain:
    """A client without TLS."""

    def __init__(self, port: int) -> None:
        self.sock = connect(port)

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> bytes:
        return self.sock.recv(65536)


@contextlib.asynccontextmanager
async def served(pki: PKI, transport: str, resource: Any) -> AsyncIterator[Callable[[], Any]]:
    """A site with a resource on a transport, and what connects to it."""
    if transport == "tcp":
        async with serving(resource) as port:
            yield lambda: Plain(port)
    elif transport == "ssl":
        async with serving_tls(pki, resource) as port:
            yield lambda: Client(port, "open.test", chain=(pki.client,))
    else:
        async with listening(pki, Site(resource)) as port:
            yield lambda: port.client("open.test")


def talked(client: Any, end: bytes) -> bytes:
    """All that comes until the connection ends, or something has come."""
    received = b""
    while end not in received and (piece := client.receive()):
        received += piece
    return received


@pytest.mark.parametrize("transport", ["tcp", "ssl", "edgenode"])
@pytest.mark.parametrize("delay", [0, 0.01], ids=["at once", "later"])
@pytest.mark.parametrize("kind", RESOURCES)
async def test_a_connection_taken_over_has_one_event_for_its_request(
    pki: PKI, kind: str, delay: float, transport: str
) -> None:
    """Status 101: at that moment if Twisted's request says so, and else when the connection is over."""
    events = Events()
    resource = FilteredResource(pipeline_of(pki), Later(RESOURCES[kind](), delay), events=events)

    def talk(client: Any) -> tuple[int, bytes, int]:
        with client:
            client.send(UPGRADE)
            head = talked(client, b"\r\n\r\n")
            client.send(HELLO)
            return int(head.split()[1]), talked(client, ECHOED), len(events.told)

    async with served(pki, transport, resource) as connected:
        early = not delay and kind != "hijacking"
        assert await in_thread(lambda: talk(connected())) == (101, ECHOED, early)
        (event,) = await events.take()
    assert (event["status"], event["request"]["target"]) == (101, "/")
    assert events.told == []


class Ending(Resource):
    """Ends its connection, or stream, some time later, or answers."""

    isLeaf = True

    def render(self, request: Any) -> int:
        how = request.path[1:].decode()
        if how.startswith("write-"):
            request.setResponseCode(202)
            request.write(b"begun")
        ways = {
            "lose": request.loseConnection,
            "channel": request.channel.loseConnection,
            "abort": request.channel.abortConnection
            if request.transport is None
            else request.transport.abortConnection,
            "finish": request.finish,
        }
        deferLater(_reactor(), 0.01, ways[how.removeprefix("write-")])
        return NOT_DONE_YET


@pytest.mark.parametrize("transport", ["tcp", "ssl", "edgenode"])
@pytest.mark.parametrize("how", ["lose", "channel", "abort", "write-lose", "finish"])
async def test_a_connection_that_a_resource_ends_has_one_event(pki: PKI, how: str, transport: str) -> None:
    """By the request, its channel or its transport; kept connections have one for each request."""
    events = Events()

    def talk(client: Any) -> None:
        with client, contextlib.suppress(ConnectionResetError):
            for _ in range(3 if how == "finish" else 1):
                client.send(get(f"/{how}", "open.test"))
                talked(client, b"\r\n0\r\n\r\n")

    async with served(pki, transport, FilteredResource(pipeline_of(pki), Ending(), events=events)) as connected:
        await in_thread(lambda: talk(connected()))
        told = await events.take(3 if how == "finish" else 1)
    assert {event["status"] for event in told} == ({200} if how == "finish" else {499})


async def test_a_stream_of_http2_that_a_resource_ends_has_one_event(pki: PKI) -> None:
    """Twisted tells nobody; so it is told with the end of the connection: with the status that was sent, or 444."""
    events = Events()
    ways = ("abort", "write-lose", "write-abort", "finish", "lose")

    def talk(client: Client) -> None:
        with client, contextlib.suppress(ProtocolError):  # of "lose" Twisted sends the end and no head
            two = H2(client)
            for number, how in enumerate(ways, 1):
                two.send(f"/{how}")
                two.until_ended(number)

    async with listening(pki, Site(FilteredResource(pipeline_of(pki), Ending(), events=events))) as port:
        await in_thread(lambda: talk(port.client("open.test", alpn=[b"h2"])))
        told = {event["request"]["target"]: event["status"] for event in await events.take(len(ways))}
    assert told == {"/lose": 444, "/abort": 444, "/write-lose": 202, "/write-abort": 202, "/finish": 200}


def test_whoever_waits_for_the_end_of_a_connection_is_told_once() -> None:
    """After the transport itself, each once, also if that fails; and nothing is left on the transport."""

    class Transport:
        def __init__(self) -> None:
            self.told: list[str] = []

        def connectionLost(self, reason: str) -> None:
            self.told.append(reason)
            raise RuntimeError

    class Slotted:
        __slots__ = ()

        def connectionLost(self) -> None: ...

    transport = Transport()
    one, two, three = (lambda name=name: transport.told.append(name) for name in ("one", "two", "three"))
    ends = [EndOfConnection.tell(transport, each) for each in (one, two, three)]
    assert ends[0] is not None
    assert ends[0] is ends[1] is ends[2]
    ends[0].forget(two)
    with pytest.raises(RuntimeError):
        transport.connectionLost("lost")
    assert transport.told == ["lost", "one", "three"]
    assert "connectionLost" not in vars(transport)
    assert EndOfConnection.tell(object(), one) is None
    assert EndOfConnection.tell(Slotted(), one) is None


def _reactor() -> Any:
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    return reactor
