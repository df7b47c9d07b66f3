"""A node in memory behaves as one on a network, and needs neither sockets nor a reactor nor time."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import sys
from typing import Any

import pytest
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.protocols import amp

from edgenode import ClientError, Decision, EdgeEndpoint, Exchange, Response, connection_of
from edgenode.testing import (
    SERVER,
    Client,
    FakeOrigin,
    MemoryNode,
    MemoryReactor,
    OriginRequest,
    Sandbox,
    exchange_of,
    identity,
    make_authority,
    result_of,
)

RULES = """
[global-filter scripts]
action            = no
header.user-agent = ^curl/

[action no]
type   = block
status = 403
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a socket fails."""

    class Forbidden(socket.socket):
        def __new__(cls, *arguments: Any, **options: Any) -> Forbidden:
            raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", Forbidden)


def test_a_request_goes_through_the_node(sandbox: Sandbox) -> None:
    """By TLS, with a verified client and a verified server, to an origin that sees what an origin sees; one event."""
    app = FakeOrigin(lambda request: Response(201, ((b"x-length", b"%d" % len(request.body)),), b"made"))
    with MemoryNode(sandbox.configuration(RULES), {"app": app}) as node:
        client = node.client("www.test", sandbox.clients.issue("alice"), authority=sandbox.servers)
        answer = client.ask("POST", "/orders?x=1", [("X-Mine", "yes")], b"a" * 300_000)
        assert (answer.status, answer.body, dict(answer.headers)[b"x-length"]) == (201, b"made", b"300000")
        (asked,) = app.requests
        assert (asked.method, asked.target, asked.header(b"X-Mine")) == (b"POST", b"/orders?x=1", b"yes")
        assert (asked.header(b"x-forwarded-for"), asked.header(b"x-other")) == (b"127.0.0.1", None)
        (event,) = node.events
        assert (event["certificate"]["verify"], event["certificate"]["subject"]) == ("SUCCESS", "CN=alice")
        assert (event["status"], event["bytes"]["received"]) == (201, 300_000)
    assert not node.reactor.getDelayedCalls()


def test_rules_and_refused_clients(sandbox: Sandbox) -> None:
    """A filter blocks, a group that demands certificates refuses, and the origin hears of neither."""
    app = FakeOrigin()
    with MemoryNode(sandbox.configuration(RULES), {"app": app}) as node:
        assert node.client("www.test").get("/", [("User-Agent", "curl/8")]).status == 403
        assert node.client("partners.test").get("/").status == 400
        stranger = make_authority("Strangers").issue("mallory")
        assert node.client("partners.test", stranger).get("/").status == 400
        assert [event["status"] for event in node.events] == [403, 400, 400]
        assert not app.requests
        assert node.client("partners.test", sandbox.clients.issue("bob")).get("/").body == b"ok"


def test_a_client_that_trusts_others_does_not_believe_the_node(sandbox: Sandbox) -> None:
    """What the node presents is verified by Twisted, if the test says whom it trusts."""
    with MemoryNode(sandbox.configuration()) as node:
        client = node.client("www.test", authority=make_authority("Others"))
        with pytest.raises(Exception, match="certificate verify failed"):
            client.get("/")


def test_an_origin_is_down_or_silent(sandbox: Sandbox) -> None:
    """Refused connections and answers that never come are what they are on a network, as soon as the clock says so."""
    app = FakeOrigin()
    with MemoryNode(sandbox.configuration("[origin other]\nservers = http://192.0.2.81:80\n"), {"app": app}) as node:
        client = node.client("www.test")
        assert client.get("/").status == 200
        app.down = True
        assert client.get("/").status == 502
        app.down = False
        app.answer = lambda request: Deferred()
        node.pass_time(30)  # fail-timeout
        waiting = client.request(b"GET", b"https://www.test/slow")
        with pytest.raises(AssertionError, match="no result yet"):
            result_of(waiting)
        node.pass_time(61)  # read-timeout
        assert result_of(waiting).code == 504


def test_an_origin_by_tls_knows_the_node(sandbox: Sandbox) -> None:
    """The node presents its certificate, and verifies the origin's name."""
    servers = make_authority("Origins")
    (sandbox.folder / "origins.pem").write_bytes(servers.pem)
    sandbox.clients.issue("the edge").write(sandbox.folder, "edge-client")
    more = """
[origin app]
servers     = https://app.internal:443
certificate = edge-client
trust-store = origins
[certificate edge-client]
chain       = edge-client.pem
key         = edge-client.key
authorities = clients.pem
[trust-store origins]
authorities = origins.pem
"""
    issued = servers.issue("app", eku=[SERVER], sans=["DNS:app.internal"])
    app = FakeOrigin(certificate=issued, authority=sandbox.clients)
    with MemoryNode(sandbox.configuration(more), {"app": app}) as node:
        assert node.client("www.test").get("/").status == 200
        assert app.requests[0].client == "the edge"
        wrong = servers.issue("app", eku=[SERVER], sans=["DNS:other.internal"])
        node.serve("app", FakeOrigin(certificate=wrong))
        node.reactor.pass_time(120)  # the kept connection has gone
        assert node.client("www.test").get("/").status == 502


async def test_treq_speaks_to_it(sandbox: Sandbox) -> None:
    """A client is an agent of Twisted's."""
    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin(Response(200, (), b'{"a": 1}'))}) as node:
        client = HTTPClient(node.client("www.test"))
        response = await client.get("https://www.test/")
        assert await response.json() == {"a": 1}


def test_a_stage_of_ones_own_waits_on_the_clock_of_the_test(sandbox: Sandbox) -> None:
    """A stage that takes three seconds takes them when the test lets them pass."""
    reactor = MemoryReactor()

    class Slow:
        name = "slow"
        needs: frozenset[str] = frozenset()

        def decide(self, exchange: Exchange) -> Deferred[Decision]:
            return deferLater(reactor, 3, lambda: Decision(frozenset(("waited",))))

    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin()}, reactor, stages=[Slow()]) as node:
        waiting = node.client("www.test").request(b"GET", b"https://www.test/")
        node.pass_time(2.5)
        with pytest.raises(AssertionError, match="no result yet"):
            result_of(waiting)
        node.pass_time(1)
        assert result_of(waiting).code == 200
        assert "waited" in node.events[0]["tags"]


def test_a_reload_needs_no_threads(sandbox: Sandbox) -> None:
    """What the node gives to threads is done when the test says so."""
    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin()}) as node:
        reloaded = node.service.reload(sandbox.configuration(RULES))
        node.settle()
        result_of(reloaded)
        assert node.client("www.test").get("/", [("User-Agent", "curl/8")]).status == 403


def test_the_endpoint_works_in_memory(sandbox: Sandbox) -> None:
    """AMP over ``EdgeEndpoint``, on a reactor in memory: its protocol knows the client."""

    class WhoAmI(amp.Command):
        response = [(b"name", amp.Unicode())]  # noqa: RUF012

    class Server(amp.AMP):
        @WhoAmI.responder
        def who(self) -> dict[str, str]:
            assert self.transport is not None
            client = connection_of(self.transport).client
            return {"name": "" if client is None else client.subject}

    reactor = MemoryReactor()
    path = sandbox.write()
    port = result_of(EdgeEndpoint(reactor, str(path), "public").listen(Factory.forProtocol(Server)))
    host = port.getHost()
    client = Client(reactor, (host.host, host.port), "partners.test", sandbox.clients.issue("carol"))
    protocol = client.connect(Factory.forProtocol(amp.AMP))
    asked = protocol.callRemote(WhoAmI)
    reactor.settle()
    assert result_of(asked) == {"name": "CN=carol"}
    protocol.transport.loseConnection()
    port.stopListening()
    reactor.pass_time(5)
    reactor.stop()


def test_a_pipeline_alone(sandbox: Sandbox) -> None:
    """An exchange is read as the node reads it: its pipeline judges it without any node."""
    pipeline = sandbox.configuration(RULES).pipeline("all")
    alice = identity(sandbox.clients.issue("alice"))
    exchange = exchange_of("GET", "https://www.test/a/../b?q=1", [("User-Agent", "curl/8")], client=alice)
    assert exchange.request is not None
    assert exchange.request.normalised_path == b"/b"
    decision = pipeline.decide(exchange)
    assert isinstance(decision, Decision)
    assert decision.action is not None
    assert decision.action.name == "no"
    assert "cert-subject:cn-alice" in decision.tags
    with pytest.raises(ClientError):
        exchange_of("GET", "https://www.test/", [("Content-Length", "x")])


def test_nothing_of_it_needs_a_test_framework_or_the_reactor(tmp_path: pathlib.Path) -> None:
    """Neither pytest nor Hypothesis nor a reactor is imported, by the names or by a whole exchange."""
    program = f"""
import sys
from edgenode.testing import *
sandbox = Sandbox.make({str(tmp_path)!r})
with MemoryNode(sandbox.configuration(), {{"app": FakeOrigin()}}) as node:
    assert node.client("www.test").get("/").status == 200
assert not {{"pytest", "hypothesis", "twisted.internet.reactor"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_an_origin_was_asked_is_a_value() -> None:
    """Fields are found whatever their case."""
    assert OriginRequest(b"GET", b"/", ((b"a", b"1"),), b"").header(b"A") == b"1"
