"""A resource behind a pipeline: what Twisted lets through and the node would not, the inner resource never sees."""

from __future__ import annotations

import binascii
import contextlib
import datetime
import pathlib
import re
import socket
import types
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from attrs import define, evolve, frozen
from treq.testing import StubTreq
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.vhost import NameVirtualHost
from zope.interface.verify import verifyObject

from edgenode.config.load import Configuration
from edgenode.embedding.filtered_resource import FilteredResource
from edgenode.embedding.site_request import BodyNotKept, read_arguments, read_head
from edgenode.model.decision import NOTHING, Decision, Forward, Outcome, Rewrite
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Body, Exchange, Geography
from edgenode.policy.actions import PREDEFINED, Block, Monitor
from edgenode.policy.escaping import header_value
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import Tagging
from edgenode.policy.templates import Template
from edgenode.proxy.http1.request_head import read_request_head
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.rules.views import arguments
from tests.support.certificates import now
from tests.support.hostile import DECLINED, MALFORMED, SERVED, Hostile
from tests.support.hostile_requests import FAMILIES
from tests.support.listening import listening
from tests.support.node import (
    PATIENCE,
    PKI,
    Answer,
    Changes,
    Client,
    Events,
    connect,
    fields,
    get,
    in_thread,
    ini,
    until,
)
from tests.support.strategies import CONNECTION

# Twisted's own pages for what there is not.
pytestmark = pytest.mark.filterwarnings("ignore:.*_Unsafe.*was deprecated:DeprecationWarning")

FILTERS = {
    "global-filter curl": {"action": "block", "header.user-agent": "^curl/", "tags": "script"},
    "global-filter gone": {"action": "close", "path": "^/close"},
    "global-filter moved": {"action": "moved", "path": "^/moved"},
    "global-filter watched": {"action": "monitor", "path": "^/watched"},
    "global-filter secret": {"action": "block", "path": "^/secret(/|$)"},
    "action moved": {"type": "redirect", "location": "https://example.com/", "status": "307"},
}


@frozen
class Seen:
    """What the inner resource has seen of a request."""

    method: bytes
    uri: bytes
    prepath: tuple[bytes, ...]
    headers: dict[bytes, list[bytes]]
    body: bytes
    exchange: Exchange
    decision: Decision


class Inner(Resource):
    """Remembers what it sees, and says where in its tree it stands."""

    def __init__(self, name: bytes = b"", seen: list[Seen] | None = None) -> None:
        super().__init__()
        self.name = name
        self.seen = [] if seen is None else seen

    def getChild(self, path: bytes, request: Any) -> Inner:
        return Inner(self.name + b"/" + path, self.seen)

    def render_GET(self, request: Any) -> bytes:
        headers = {name.lower(): values for name, values in request.requestHeaders.getAllRawHeaders()}
        exchange, decision = request.getComponent(Exchange), request.getComponent(Decision)
        prepath = tuple(request.prepath)
        body = request.content.read()
        self.seen.append(Seen(request.method, request.uri, prepath, headers, body, exchange, decision))
        return b"inner " + self.name

    def render(self, request: Any) -> bytes:
        return self.render_GET(request)


@define(eq=False)
class Stage:
    """A stage that says what a test wants."""

    said: Callable[[Exchange], Any]
    name: str = "test"
    repeatable: bool = False
    needs: frozenset[str] = frozenset()

    def decide(self, exchange: Exchange) -> Any:
        return self.said(exchange)


def pipeline_of(pki: PKI) -> Pipeline:
    """The pipeline of a configuration with filters."""
    return Configuration.from_text(ini(1, FILTERS), pki.folder, {}).pipeline("all")


def saying(said: Callable[[Exchange], Any]) -> Pipeline:
    """A pipeline with one stage."""
    return Pipeline(Tagging.of({}), (Stage(said),))


@contextlib.asynccontextmanager
async def serving(resource: Any, listener: str = "tcp:0:interface=127.0.0.1") -> AsyncIterator[int]:
    """A site of Twisted's with a resource, and its port."""
    from twisted.internet import reactor

    port = await serverFromString(reactor, listener).listen(Site(resource))
    try:
        yield port.getHost().port
    finally:
        await port.stopListening()


def exchange_bytes(port: int, data: bytes, patience: float = PATIENCE) -> bytes:
    """Send bytes without TLS, and return all that comes."""
    with connect(port, patience) as sock:
        sock.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionResetError, BlockingIOError):
            while piece := sock.recv(65536):
                received += piece
        return received


async def ask(port: int, data: bytes) -> bytes:
    """The same from a coroutine."""
    received: bytes = await in_thread(exchange_bytes, port, data)
    return received


def status_of(answer: bytes) -> int:
    """The status of the first answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


# -- the decision ----------------------------------------------------------------------------------------------------


async def test_what_is_let_through_arrives_with_its_judgement(pki: PKI) -> None:
    """The tree is walked as ever; exchange and decision hang on the request."""
    inner, events = Inner(), Events()
    resource = FilteredResource(pipeline_of(pki), inner, events=events)
    verifyObject(IResource, resource)
    async with serving(resource) as port:
        answer = await ask(port, get("/one/two%20words?q=1", "Example.com", close=True))
        (event,) = await events.take()
    assert (status_of(answer), answer.partition(b"\r\n\r\n")[2]) == (200, b"inner /one/two words")
    (seen,) = inner.seen
    assert (seen.uri, seen.prepath) == (b"/one/two%20words?q=1", (b"one", b"two words"))
    assert seen.headers[b"host"] == [b"example.com"]
    assert seen.exchange.request is not None
    assert seen.exchange.request.normalised_path == b"/one/two words"
    assert {"ip:127-0-0-1", "protocol:http", "mtls:none", "host:example-com"} <= seen.decision.tags
    assert seen.exchange.tags == seen.decision.tags
    assert (event["status"], event["error"], event["bytes"]["sent"]) == (200, None, 20)
    assert event["request"]["target"] == "/one/two%20words?q=1"


@pytest.mark.parametrize(
    ("path", "agent", "status", "body"),
    [
        ("/", "curl/8", 403, b"Forbidden.\n"),
        ("/secret", "-", 403, b"Forbidden.\n"),
        ("/%73ecret/x", "-", 403, b"Forbidden.\n"),
        ("/a/../secret", "-", 403, b"Forbidden.\n"),
        ("//secret", "-", 403, b"Forbidden.\n"),
        ("/moved", "-", 307, b""),
        ("/watched", "-", 200, b"inner /watched"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_action_is_carried_out(pki: PKI, path: str, agent: str, status: int, body: bytes, method: str) -> None:
    """The answer is the action's, the inner resource is asked only if it is let through, and the event says why."""
    inner, events = Inner(), Events()
    async with serving(FilteredResource(pipeline_of(pki), inner, events=events)) as port:
        answer = await ask(port, get(path, "open.test", f"User-Agent: {agent}", method=method, close=True))
        (event,) = await events.take()
    head, _, received = answer.partition(b"\r\n\r\n")
    assert (status_of(answer), received) == (status, body if method == "GET" else b"")
    assert fields(head + b"\r\n\r\n", "content-length") == [b"%d" % len(body)]
    assert len(inner.seen) == (status == 200)
    assert event["status"] == status
    assert event["reasons"]
    assert (status == 307) == (b"\r\nLocation: https://example.com/\r\n" in answer)


async def test_an_event_has_no_value_that_is_masked(pki: PKI) -> None:
    """What the configuration masks is masked in the events of a resource too, which sees it."""
    text = f"{ini(1, FILTERS)}\n[masking]\nmask = argument.password\n"
    inner, events = Inner(), Events()
    resource = FilteredResource(Configuration.from_text(text, pki.folder, {}).pipeline("all"), inner, events=events)
    async with serving(resource) as port:
        await ask(port, get("/?password=hunter2&a=1", "open.test", close=True))
        (event,) = await events.take()
    assert inner.seen[0].uri == b"/?password=hunter2&a=1"
    assert event["request"]["target"].startswith("/?password=masked-")
    assert "hunter2" not in str(event)


async def test_close_sends_no_byte(pki: PKI) -> None:
    """The connection is cut, with what is pipelined behind the request; the event says 444."""
    inner, events = Inner(), Events()
    async with serving(FilteredResource(pipeline_of(pki), inner, events=events)) as port:
        assert await ask(port, get("/close") + get("/after")) == b""
        (event,) = await events.take()
    assert event["status"] == 444
    assert inner.seen == []


async def test_headers_of_an_action_arrive(pki: PKI) -> None:
    """They replace what the client has sent under these names."""

    @frozen
    class Mark(Monitor):
        def outcome(self, exchange: Exchange) -> Outcome:
            return Forward(((b"x-mark", ",".join(sorted(exchange.tags & {"seen"})).encode()),))

    inner = Inner()
    pipeline = saying(lambda exchange: Decision(frozenset({"seen"}), (), Mark("mark")))
    async with serving(FilteredResource(pipeline, inner)) as port:
        await ask(port, get("/", "open.test", "X-Mark: forged", "x-mark: again", close=True))
    assert inner.seen[0].headers[b"x-mark"] == [b"seen"]


@pytest.mark.parametrize(
    ("rewrite", "status"),
    [
        (Rewrite(((b"x-mark", b"ours"),), frozenset((b"x-old",))), 200),
        (Rewrite(origin="canary"), 503),
        (Rewrite(((b"client-cert", b"x"),)), 503),
        (Rewrite(removed=frozenset((b"host",))), 503),
    ],
)
async def test_what_a_stage_changes_of_a_request_is_changed(rewrite: Rewrite, status: int) -> None:
    """But for what it may not change; and there is no origin to be chosen."""
    inner = Inner()
    pipeline = saying(lambda exchange: Decision(rewrite=rewrite))
    async with serving(FilteredResource(pipeline, inner)) as port:
        answer = await ask(port, get("/", "open.test", "X-Mark: forged", "x-mark: again", "X-Old: 1", close=True))
    assert status_of(answer) == status
    for each in inner.seen:
        assert (each.headers[b"x-mark"], each.headers.get(b"x-old")) == ([b"ours"], None)
    assert len(inner.seen) == (status == 200)


_LIMITED = Block("limited", headers=((b"ratelimit", header_value(Template.from_text("own"), "ratelimit")),))


@pytest.mark.parametrize("action", [None, PREDEFINED["block"], _LIMITED, PREDEFINED["close"]])
async def test_what_a_decision_adds_is_in_every_answer(action: Any) -> None:
    """And who wants to know the answer is told once; what the resource says is what the origin said."""
    told: list[tuple[int, int, int]] = []
    after = SimpleNamespace(responded=lambda *answer: told.append(answer))
    headers = ((b"ratelimit", b"a"), (b"ratelimit", b"b"), (b"content-length", b"0"))
    said = Decision(action=action, headers=headers, after=(after,))
    async with serving(FilteredResource(saying(lambda exchange: said), Inner())) as port:
        answer = await ask(port, get("/x", close=True))
    head = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    if action is PREDEFINED["close"]:
        assert (answer, told) == (b"", [(444, 0, 0)])
    else:
        assert fields(head, "ratelimit") == [*([b"own"] if action is _LIMITED else []), b"a", b"b"]
        assert fields(head, "content-length") == [b"8" if action is None else b"11"]
        assert told == [(200, 8, 200) if action is None else (403, 11, 0)]


async def test_a_large_body_is_not_given_to_a_resource_that_is_not_asked(pki: PKI) -> None:
    """Blocked or let through: the connection goes on, and each request has its own body."""
    inner, body = Inner(), b"x" * 300_000
    sized = "Content-Length: 300000"

    def talk(port: int) -> list[int]:
        with connect(port) as sock:
            for path in ("/secret", "/fine"):
                sock.sendall(get(path, "open.test", sized, method="POST", body=body))
            sock.sendall(get("/last", close=True))
            received = b"".join(iter(lambda: sock.recv(65536), b""))
        return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", received)]

    async with serving(FilteredResource(pipeline_of(pki), inner)) as port:
        assert await in_thread(talk, port) == [403, 200, 200]
    assert [(seen.uri, len(seen.body)) for seen in inner.seen] == [(b"/fine", 300_000), (b"/last", 0)]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200_000])
@pytest.mark.parametrize("needs", [(), ("body",)], ids=["not looked at", "looked at"])
async def test_rules_see_the_body_as_the_node_would_show_it(size: int, needs: tuple[str, ...]) -> None:
    """Up to the bound of the pipeline, if it looks at bodies at all; the resource reads all of it."""
    saw: list[Exchange] = []

    def look(exchange: Exchange) -> Decision:
        saw.append(exchange)
        return NOTHING

    inner, body = Inner(), b"z" * size
    pipeline = Pipeline(Tagging.of({}), (Stage(look, needs=frozenset(needs)),), inspect_body_size=100)
    async with serving(FilteredResource(pipeline, inner)) as port:
        data = get("/", "open.test", f"Content-Length: {size}", method="POST", close=True, body=body)
        assert status_of(await ask(port, data)) == 200
    seen = Body(body[:100], size, size > 100) if needs or not size else None
    assert [exchange.request and exchange.request.body for exchange in saw] == [seen]
    assert ("body:truncated" in saw[0].tags) == (seen is not None and seen.truncated)
    assert saw[0].time > 1e9
    assert inner.seen[0].body == body


async def test_the_inner_resource_learns_where_the_client_is() -> None:
    """What the pipeline knows of it hangs on the request with the rest."""
    inner, place = Inner(), Geography(country="DE")
    pipeline = Pipeline(Tagging.of({}), locate={"127.0.0.1": place}.__getitem__)
    async with serving(FilteredResource(pipeline, inner)) as port:
        assert status_of(await ask(port, get(close=True))) == 200
    assert inner.seen[0].exchange.geography == place
    assert "geo-region:nil" in inner.seen[0].decision.tags


# -- decisions that take their time ----------------------------------------------------------------------------------


async def test_a_decision_may_take_its_time(pki: PKI) -> None:
    """Pipelined requests wait for it, and are answered in order."""
    waiting: list[Deferred[Decision]] = []

    def later(exchange: Exchange) -> Deferred[Decision]:
        waiting.append(Deferred())
        return waiting[-1]

    inner = Inner()
    async with serving(FilteredResource(saying(later), inner)) as port:
        answered = in_thread(exchange_bytes, port, get("/1") + get("/2", close=True))
        await until(lambda: waiting)
        assert inner.seen == []
        assert len(waiting) == 1
        waiting[0].callback(Decision(action=PREDEFINED["block"]))
        await until(lambda: len(waiting) == 2)
        waiting[1].callback(Decision())
        answer = await answered
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"403", b"200"]
    assert [seen.uri for seen in inner.seen] == [b"/2"]


@pytest.mark.parametrize("action", ["skip", "block", "close"])
async def test_nobody_is_asked_for_a_client_that_has_gone(pki: PKI, action: str) -> None:
    """It left while the decision was waited for: the decision falls into nothing, and the event says 499."""
    waiting: list[Deferred[Decision]] = []

    def later(exchange: Exchange) -> Deferred[Decision]:
        waiting.append(Deferred())
        return waiting[-1]

    inner, events = Inner(), Events()
    async with serving(FilteredResource(saying(later), inner, events=events)) as port:
        with await in_thread(connect, port) as sock:
            await in_thread(sock.sendall, get())
            await until(lambda: waiting)
        (event,) = await events.take()
        waiting[0].callback(Decision(action=PREDEFINED[action]))
    assert event["status"] == 499
    assert inner.seen == []


async def test_a_stage_is_cancelled_when_the_client_goes() -> None:
    """Without a word in the log."""
    waiting: list[Deferred[Decision]] = []
    cancelled: list[object] = []

    def later(exchange: Exchange) -> Deferred[Decision]:
        waiting.append(Deferred(cancelled.append))
        return waiting[-1]

    inner, events = Inner(), Events()
    async with serving(FilteredResource(saying(later), inner, events=events)) as port:
        with await in_thread(connect, port) as sock:
            await in_thread(sock.sendall, get())
            await until(lambda: waiting)
        (event,) = await events.take()
        await until(lambda: cancelled)
    assert event["status"] == 499
    assert inner.seen == []


async def test_a_stage_that_never_answers_is_not_waited_for(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It has failed: 503."""
    inner = Inner()
    pipeline = evolve(saying(lambda exchange: Deferred()), timeout=0.01)
    async with serving(FilteredResource(pipeline, inner)) as port:
        assert status_of(await ask(port, get("/", close=True))) == 503
    assert inner.seen == []
    assert len(flush_logged_errors()) == 1


async def test_a_sink_that_raises_cuts_no_request(pki: PKI, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """Its event is lost, and the log says so once."""

    class Raising:
        def record(self, record: Any) -> None:
            raise SystemExit

    events: Any = Raising()
    async with serving(FilteredResource(pipeline_of(pki), Inner(), events=events)) as port:
        answer = await ask(port, get("/1") + get("/2", close=True))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200"]
    assert len(flush_logged_errors(SystemExit)) == 1


class Echo(Protocol):
    """Another protocol than HTTP."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


class TakingOver(Resource):
    """Gives the connection to another protocol, as autobahn's WebSocketResource does, or Twisted's own."""

    isLeaf = True

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def render_GET(self, request: Any) -> int:
        protocol, channel, transport = Echo(), request.channel, request.channel.transport
        if self.way == "autobahn":
            channel.transport = None
            transport.protocol = protocol
        else:
            channel.dataReceived, channel.connectionLost = protocol.dataReceived, protocol.connectionLost
        protocol.makeConnection(transport)
        transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        transport.loseConnection()
        return NOT_DONE_YET


@pytest.mark.parametrize("way", ["autobahn", "twisted"])
async def test_a_connection_that_another_protocol_takes_over_has_its_event(pki: PKI, way: str) -> None:
    """WebSocket: Twisted tells nobody of the end of such a request."""
    events = Events()
    async with serving(FilteredResource(pipeline_of(pki), TakingOver(way), events=events)) as port:
        assert status_of(await ask(port, get("/"))) == 101
        (event,) = await events.take()
    assert event["status"] == 101


def test_of_a_connection_only_some_authorities_are_remembered() -> None:
    """Whoever asks for ever more of them on one connection takes no more memory."""
    pipeline = Pipeline(Tagging.of({}))
    line = FilteredResource(pipeline, Resource()).line(CONNECTION)
    for number in range(100):
        head: Any = SimpleNamespace(authority=b"%d.test" % number, scheme=b"http")
        first = line.standing(pipeline, Exchange(CONNECTION), head)
        assert first is line.standing(pipeline, Exchange(CONNECTION), head)
    assert len(line._standings) <= 16


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("what", ["stage", "action", "inner"])
async def test_whatever_fails_fails_closed(
    pki: PKI, what: str, asynchronous: bool, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """503 if the judgement failed, 500 if the inner resource did; and the failure is logged."""

    class Broken(Monitor):
        def outcome(self, exchange: Exchange) -> Outcome:
            raise ZeroDivisionError

    class Failing(Inner):
        def render_GET(self, request: Any) -> bytes:
            super().render_GET(request)
            if what == "inner":
                raise ZeroDivisionError
            return b""

    def fail(exchange: Exchange) -> Any:
        if what == "stage":
            if asynchronous:
                return deferLater(_reactor(), 0, lambda: 1 // 0)
            raise ZeroDivisionError
        said = Decision(action=Broken("broken") if what == "action" else None)
        return deferLater(_reactor(), 0, lambda: said) if asynchronous else said

    inner = Failing()
    inner.isLeaf = True
    async with serving(FilteredResource(saying(fail), inner)) as port:
        answer = await ask(port, get("/", close=True))
    assert status_of(answer) == (500 if what == "inner" else 503)
    assert len(inner.seen) == (what == "inner")
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


@contextlib.asynccontextmanager
async def serving_unix(folder: pathlib.Path, resource: Any) -> AsyncIterator[Callable[[bytes], Any]]:
    """A site on a Unix socket, and what asks it."""
    path = folder / "s"

    def talk(data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(data)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    port = await serverFromString(_reactor(), f"unix:{path}").listen(Site(resource))
    try:
        yield lambda data: in_thread(talk, data)
    finally:
        await port.stopListening()


@pytest.mark.parametrize(
    ("more", "client"),
    [
        ({}, "unknown"),
        ({"trusted_proxies": ["unix:"]}, "192.0.2.7"),
        ({"trusted_proxies": ["127.0.0.1"]}, "unknown"),
        ({"facts": lambda _: CONNECTION}, CONNECTION.peer.host),
        ({"facts": lambda _: CONNECTION, "trusted_proxies": [CONNECTION.peer.host]}, "192.0.2.7"),
    ],
    ids=["as it is", "trusted", "another trusted", "own facts", "own facts trusted"],
)
async def test_a_unix_socket_is_served(
    tmp_path_factory: pytest.TempPathFactory, pki: PKI, more: Any, client: str
) -> None:
    """Its client is not known, unless a proxy there is trusted, or the program says who it is."""
    inner, events = Inner(), Events()
    resource = FilteredResource(pipeline_of(pki), inner, events=events, **more)
    async with serving_unix(tmp_path_factory.mktemp("socket"), resource) as talk:
        assert status_of(await talk(get("/", "open.test", "X-Forwarded-For: 192.0.2.7", close=True))) == 200
        assert status_of(await talk(get("/secret", close=True))) == 403
    assert inner.seen[0].exchange.client == client
    assert [event["status"] for event in events.told] == [200, 403]


@pytest.mark.parametrize("said", [None, "192.0.2.7", ZeroDivisionError()], ids=["nothing", "text", "raises"])
async def test_facts_that_are_none_fail_closed(said: Any, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """503, and the log says what the callable has returned."""

    def facts(request: Any) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    inner = Inner()
    async with serving(FilteredResource(saying(lambda exchange: NOTHING), inner, facts=facts)) as port:
        assert status_of(await ask(port, get(close=True))) == 503
    assert inner.seen == []
    assert len(flush_logged_errors(TypeError, ZeroDivisionError)) == 1


def test_facts_are_a_callable_alone() -> None:
    """What is wrong is told when the resource is made."""
    pipeline: Any = saying(lambda exchange: NOTHING)
    with pytest.raises(TypeError, match="called with a request"):
        FilteredResource(pipeline, Inner(), facts=CONNECTION)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="verifies"):
        FilteredResource(pipeline, Inner(), facts=lambda _: CONNECTION, verifies=True)
    with pytest.raises(ValueError, match="client_address is x-forwarded-for or forwarded: via"):
        FilteredResource(pipeline, Inner(), client_address="via")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_stubs_of_treq_work(pki: PKI, scheme: str) -> None:
    """``treq.testing`` has transports of its own, without OpenSSL."""
    inner = Inner()
    treq: Any = StubTreq(FilteredResource(pipeline_of(pki), inner))
    for path, status in (("/fine", 200), ("/secret", 403)):
        response = await treq.get(f"{scheme}://open.test{path}")
        assert response.code == status
    assert f"protocol:{scheme}" in inner.seen[0].decision.tags


async def test_each_request_of_a_connection_may_say_that_it_came_over_tls(pki: PKI) -> None:
    """Behind a proxy a resource says so by ``setHost``: of one request, and not of those around it."""
    inner = Inner()
    filtered = FilteredResource(pipeline_of(pki), inner)

    class Proxied(Resource):
        isLeaf = True

        def render(self, request: Any) -> int:
            if request.getHeader("x-scheme") == "https":
                request.setHost(b"open.test", 443, ssl=True)
            return filtered.render(request)

    async with serving(Proxied()) as port:
        plain = get("/", "open.test")
        await ask(port, plain + get("/", "open.test", "X-Scheme: https") + get("/", "open.test", close=True))
    seen = [each.decision.tags & {"protocol:http", "protocol:https"} for each in inner.seen]
    assert seen == [{"protocol:http"}, {"protocol:https"}, {"protocol:http"}]


class Notifying(Request):
    """Has a way of its own of saying that it is over."""

    asked = 0

    def notifyFinish(self) -> Deferred[None]:
        Notifying.asked += 1
        return super().notifyFinish()


@pytest.mark.parametrize("kind", [Request, Notifying])
async def test_the_event_is_written_at_the_end_whatever_the_class_of_the_request(pki: PKI, kind: Any) -> None:
    """A class that overrides ``notifyFinish`` is asked by it; of none is there more than one event."""
    asked, events = Notifying.asked, Events()
    filtered = FilteredResource(pipeline_of(pki), Inner(), events=events)
    port = _reactor().listenTCP(0, Site(filtered, requestFactory=kind))
    try:
        await ask(port.getHost().port, get("/", "open.test") + get("/secret", "open.test", close=True))
    finally:
        await port.stopListening()
    assert [event["status"] for event in await events.take(2)] == [200, 403]
    assert Notifying.asked - asked == (2 if kind is Notifying else 0)


class Streaming(Request):
    """Deals with the body as it comes."""

    def handleContentChunk(self, data: bytes) -> None:
        self.got = getattr(self, "got", 0) + len(data)


class WithoutContent(Streaming):
    """Has no content at all."""

    def gotLength(self, length: int | None) -> None:
        self.content = types.SimpleNamespace(tell=lambda: 0, seek=lambda *_: None, close=lambda: None)


@pytest.mark.parametrize("kind", [Streaming, WithoutContent])
@pytest.mark.parametrize("needs", [(), ("body",)], ids=["not looked at", "looked at"])
async def test_a_request_may_stream_its_body_unless_rules_look_at_it(
    kind: Any, needs: tuple[str, ...], flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """What nobody keeps cannot be judged: 503, and the log says why. A request without a body is served."""
    got: list[int] = []

    class Upload(Resource):
        isLeaf = True

        def render(self, request: Any) -> bytes:
            got.append(getattr(request, "got", 0))
            return b""

    pipeline = Pipeline(Tagging.of({}), (Stage(lambda exchange: NOTHING, needs=frozenset(needs)),))
    port = _reactor().listenTCP(0, Site(FilteredResource(pipeline, Upload()), requestFactory=kind))
    asked = [
        get("/", "open.test", "Content-Length: 5", method="POST", close=True, body=b"12345"),
        get(close=True),
        get("/", "open.test", "Transfer-Encoding: chunked", method="POST", close=True, body=b"3\r\nabc\r\n0\r\n\r\n"),
    ]
    try:
        for data in asked:
            await ask(port.getHost().port, data)
    finally:
        await port.stopListening()
    assert got == ([0] if needs else [5, 0, 3])
    refused = flush_logged_errors(BodyNotKept)
    assert len(refused) == (2 if needs else 0)
    assert all(kind.__qualname__ in str(failure.value) for failure in refused)


async def test_an_inner_resource_may_answer_later(pki: PKI) -> None:
    """``NOT_DONE_YET`` and unsupported methods work as without a filter."""

    class Later(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> int:
            deferLater(_reactor(), 0, request.finish)
            request.write(b"later")
            return NOT_DONE_YET

    async with serving(FilteredResource(pipeline_of(pki), Later())) as port:
        assert (await ask(port, get(close=True))).endswith(b"5\r\nlater\r\n0\r\n\r\n")
        answer = await ask(port, get(method="POST", close=True))
    assert status_of(answer) == 405


# -- what is judged is what is seen ----------------------------------------------------------------------------------


PART = b'--b\r\nContent-Disposition: form-data; name="q"\r\n'
TRICKS = {
    "no blank line": PART + b"evil\r\n--b--\r\n",
    "bare CR": PART.replace(b"\r\n", b"\r") + b"\revil\r--b--\r",
    "x-uuencode": PART
    + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 666 -\n"
    + binascii.b2a_uu(b"evil")
    + b"`\nend\r\n--b--\r\n",
    "as usual": PART + b"\r\nevil\r\n--b--\r\n",
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
async def test_the_arguments_that_the_resource_reads_are_judged(pki: PKI, trick: str) -> None:
    """Whatever ``email.message`` makes of a body is in ``request.args``, and so rules see it."""
    changes: Changes = {"global-filter evil": {"action": "block", "argument.q": "^evil$"}}
    body, typed = TRICKS[trick], "Content-Type: multipart/form-data; boundary=b"

    class Arguments(Resource):
        isLeaf = True

        def render(self, request: Any) -> bytes:
            return repr(request.args.get(b"q")).encode()

    statuses, read = [], b""
    for rules in (changes, {}):
        pipeline = Configuration.from_text(ini(1, rules), pki.folder, {}).pipeline("all")
        async with serving(FilteredResource(pipeline, Arguments())) as port:
            sized = f"Content-Length: {len(body)}"
            answer = await ask(port, get("/", "open.test", typed, sized, method="POST", close=True, body=body))
            statuses.append(status_of(answer))
            read = answer.partition(b"\r\n\r\n")[2]
    assert read == b"[b'evil']"
    assert statuses == [403, 200]


def test_arguments_that_only_the_application_knows_are_judged() -> None:
    """Read from wherever: of the bytes of the request nothing shows them."""
    request = types.SimpleNamespace(args={b"q": [b"evil", None]})
    head = read_request_head(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n", HeadLimits(1000, 1000, 10))
    read_arguments(request, head)  # type: ignore[arg-type]
    assert arguments.of_name(b"q")(Exchange(CONNECTION, head)) == (b"evil",)


async def test_a_resource_chosen_by_host_is_not_reached_by_another_authority(pki: PKI) -> None:
    """``NameVirtualHost`` looks at Host, the rules at the target (RFC 9112, section 3.2.2): where they differ, 400."""
    inner = Inner()
    filtered = FilteredResource(pipeline_of(pki), inner)
    virtual = NameVirtualHost()
    virtual.addHost(b"open.test", filtered)
    asked = get("http://other.test/", "open.test", close=True)
    async with serving(virtual) as port:
        statuses = [
            status_of(await ask(port, data)) for data in (asked, get("http://open.test/", "Open.Test", close=True))
        ]
    async with serving(filtered) as port:
        statuses.append(status_of(await ask(port, asked)))
    assert statuses == [400, 200, 200]
    assert [seen.headers[b"host"] for seen in inner.seen] == [[b"open.test"], [b"other.test"]]


async def test_cookies_are_one_field(pki: PKI) -> None:
    """As HTTP/2 has them joined (RFC 9113, section 8.2.3); WSGI would join them with commas, and read other ones."""
    inner = Inner()
    async with serving(FilteredResource(pipeline_of(pki), inner)) as port:
        await ask(port, get("/", "open.test", "Cookie: a=b", "Cookie: c=d", close=True))
    assert inner.seen[0].headers[b"cookie"] == [b"a=b; c=d"]


async def test_the_inner_resource_sees_the_path_that_was_judged(pki: PKI) -> None:
    """Dot segments are resolved before the tree is walked, and an absolute target is a path."""
    inner = Inner()
    async with serving(FilteredResource(pipeline_of(pki), inner)) as port:
        for target in ("/a/../b?c", "/b/./?c", "http://open.test/b?c"):
            await ask(port, get(target, close=True))
    assert [(seen.uri, seen.prepath) for seen in inner.seen] == [
        (b"/b?c", (b"b",)),
        (b"/b/?c", (b"b", b"")),
        (b"/b?c", (b"b",)),
    ]


async def test_a_path_does_not_lead_around_the_filter(pki: PKI) -> None:
    """A filter that stands within a tree judges what is below it, and refuses what only seems to be."""
    root, inner, other = Resource(), Inner(), Resource()
    root.putChild(b"filtered", FilteredResource(pipeline_of(pki), inner))
    root.putChild(b"other", other)
    targets = ("/filtered/a", "/filtered", "/filtered/x/../a", "/filtered/../other", "/other/../filtered/a")
    async with serving(root) as port:
        statuses = [status_of(await ask(port, get(target, close=True))) for target in targets]
    assert statuses == [200, 200, 200, 400, 404]
    assert [seen.prepath for seen in inner.seen] == [(b"filtered", b"a"), (b"filtered",), (b"filtered", b"a")]


def test_a_child_cannot_be_had_without_the_filter() -> None:
    """Whoever walks the tree himself gets the filter again; and a child that is put into it is filtered."""
    inner = Inner()
    resource = FilteredResource(saying(lambda exchange: Decision()), inner)

    request: Any = types.SimpleNamespace(prepath=[b"a"], postpath=[b"b"])
    assert resource.getChildWithDefault(b"a", request) is resource
    assert (request.prepath, request.postpath) == ([], [b"a", b"b"])
    resource.putChild(b"child", child := Inner())
    assert inner.children[b"child"] is child


async def test_headers_that_only_claim_something_do_not_arrive(pki: PKI) -> None:
    """A certificate, an address, another path, another spelling of a header: in no case and no spelling."""
    forged = (
        "Client-Cert: forged", "X-Forwarded-Client-Cert: forged", "SSL_CLIENT_VERIFY: SUCCESS", "ssl-client-s-dn: CN=A",
        "X-SSL-Cert: forged", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "X-Original-URL: /secret",
        "X-Rewrite-Url: /secret", "Proxy: http://evil.test", "User_Agent: browser", "X-Real-IP: 10.0.0.1",
    )  # fmt: skip
    inner = Inner()
    async with serving(FilteredResource(pipeline_of(pki), inner)) as port:
        await ask(port, get("/", "open.test", *forged, "Cookie: a=b", "X-Own: fine", close=True))
    assert set(inner.seen[0].headers) == {b"host", b"cookie", b"x-own", b"connection"}


async def test_the_client_behind_a_trusted_proxy_is_judged(pki: PKI) -> None:
    """As the node does: believed from right to left, and only if the peer is trusted."""
    inner = Inner()
    told = get("/", "open.test", "X-Forwarded-For: 10.9.9.9, 192.0.2.7", "X-Forwarded-Proto: https", close=True)
    for trusted, client in ((("127.0.0.0/8",), "192.0.2.7"), ((), "127.0.0.1"), (("10.0.0.0/8",), "127.0.0.1")):
        async with serving(FilteredResource(pipeline_of(pki), inner, trusted_proxies=trusted)) as port:
            await ask(port, told)
        exchange = inner.seen.pop().exchange
        assert exchange.client == client
        assert ("protocol:https" in exchange.tags) is (client == "192.0.2.7")


UNSEEN = re.compile(
    r"folds |transfer codings folded|spaces no field|methods CONNECT \*|methods PRI|methods (?i:trace|connect)$|"
    r"targets GET \*|hops asks"
)
"""What Twisted has put right before any resource can see it: folded lines and lines of blanks. What it answers by
itself: the target ``*``. And upgrades, and any method that is one, which are the inner resource's to refuse."""


def _refused(port: int, case: Hostile) -> tuple[list[bytes], bytes]:
    # Of a body that is too long Twisted waits for the end.
    received = exchange_bytes(port, case.before + case.data + get("/follower", close=True), 2.0)
    return re.findall(rb"HTTP/1\.1 (\d\d\d) ", received), received


@pytest.mark.deadline(60)
@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("sizes",)])
async def test_what_the_node_refuses_the_inner_resource_does_not_see(pki: PKI, family: str) -> None:
    """The corpus of hostile requests: nothing malformed arrives, and nothing that is sent behind it either."""
    cases = [
        case
        for case in FAMILIES[family]
        if case.end in (MALFORMED, DECLINED) and case.status != 421 and not UNSEEN.match(f"{family} {case.name}")
    ]
    inner = Inner()
    async with serving(FilteredResource(saying(lambda exchange: Decision()), inner)) as port:

        def refused() -> list[tuple[list[bytes], bytes]]:
            with ThreadPoolExecutor(8) as threads:
                return list(threads.map(_refused, [port] * len(cases), cases))

        answers = await in_thread(refused)
    before = sum(case.before.count(b" HTTP/1.1\r\n") for case in cases)
    assert len(inner.seen) == before, [seen for seen in inner.seen if b"follower" in seen.uri]
    for case, (statuses, received) in zip(cases, answers, strict=True):
        last = statuses[len(statuses) - 1 :]
        assert not last or last[0] in (b"400", b"501", b"505", b"417", b"431", b"414"), (case, received)


@pytest.mark.parametrize("family", ["lengths", "transfer codings", "targets", "hosts", "hops", "characters"])
async def test_what_the_node_serves_arrives(pki: PKI, family: str) -> None:
    """As the node would forward it: the filter is no stricter than the node, where Twisted is not."""
    cases = [case for case in FAMILIES[family] if case.end == SERVED and not case.before and case.name != "OPTIONS *"]
    inner, wrong = Inner(), []
    async with serving(FilteredResource(saying(lambda exchange: Decision()), inner)) as port:
        for case in cases:
            data = re.sub(rb"^([A-Z]+ [^\r]* HTTP/1\.[01]\r\n)", rb"\1Connection: close\r\n", case.data)
            answer = await ask(port, data)
            seen = [(seen.method, seen.uri, seen.body) for seen in inner.seen]
            inner.seen.clear()
            arrival = case.arrival
            assert arrival is not None
            if seen != [(arrival.method, arrival.target, arrival.body)]:
                wrong.append((case.name, answer[:30], seen))
    assert wrong == []


# -- who is at the other end -----------------------------------------------------------------------------------------


async def test_a_listener_of_ours_vouches_for_its_clients(pki: PKI) -> None:
    """The verdict is the listener's, with server group and security policy."""
    inner, events = Inner(), Events()
    site = Site(FilteredResource(pipeline_of(pki), inner, events=events))

    def talk(client: Client) -> Answer:
        with client:
            return client.ask(get("/", "strict.test"))

    async with listening(pki, site) as served:
        answer = await in_thread(lambda: talk(served.client("strict.test", chain=(pki.client,))))
        await served.events(1)
    assert answer.status == 200
    (seen,) = inner.seen
    assert {"mtls:verified", "servergroup:strict", "securitypolicy:all", "protocol:https"} <= seen.decision.tags
    assert seen.exchange.connection.client is not None
    assert seen.exchange.connection.client.subject == "CN=Alice,O=Partners"
    assert events.told[0]["certificate"]["verify"] == "SUCCESS"


@pytest.mark.parametrize("group", ["open.test", "optional.test"])
async def test_who_says_no_host_is_judged_for_the_one_of_the_handshake(pki: PKI, group: str) -> None:
    """HTTP/1.0 need not say one: rules and the inner resource see the server name."""
    inner, events = Inner(), Events()
    site = Site(FilteredResource(pipeline_of(pki), inner, events=events))

    def talk(client: Client) -> bytes:
        with client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            return client.rest()

    async with listening(pki, site) as served:
        received = await in_thread(lambda: talk(served.client(group)))
        await served.events(1)
    assert received.split(b" ")[1] == b"200"
    assert [seen.headers[b"host"] for seen in inner.seen] == [[group.encode()]]
    assert events.told[0]["server_group"] == group.removesuffix(".test")


@pytest.mark.parametrize("host", ["strict.test", "optional.test", "none.test"])
async def test_a_host_behind_another_door_is_not_served(pki: PKI, host: str) -> None:
    """Whoever shook hands with a server group that asks for nothing cannot ask for the host of another: 421."""
    inner, events = Inner(), Events()
    site = Site(FilteredResource(pipeline_of(pki), inner, events=events))

    def talk(client: Client) -> list[int]:
        with client:
            client.send(get("/", host) + get("/"))
            statuses = [client.answer().status]
            assert client.rest() == b""
            return statuses

    async with listening(pki, site) as served:
        assert await in_thread(lambda: talk(served.client("open.test"))) == [421]
        await served.events(1)
    assert inner.seen == []
    assert events.told[0]["error"]["status"] == 421


async def test_a_request_that_had_to_wait_is_judged_as_of_now(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was sent while the client was good, and is read when it is no longer: 400, and the event says 495."""
    monkeypatch.setattr("edgenode.embedding.protocol_transport._LOOK_AGAIN", 3600.0)
    passing = pki.clients.issue("CN=Mayfly", not_after=now() + 2 * datetime.timedelta(seconds=1))
    waiting: list[Deferred[Decision]] = []

    def later(exchange: Exchange) -> Deferred[Decision]:
        waiting.append(Deferred())
        return waiting[-1]

    def talk(client: Client) -> list[int]:
        with client:
            client.send(get("/1", "strict.test") + get("/2", "strict.test"))
            return [client.answer().status, client.answer().status]

    inner, events = Inner(), Events()
    async with listening(pki, Site(FilteredResource(saying(later), inner, events=events))) as served:
        answered = in_thread(lambda: talk(served.client("strict.test", chain=(passing,))))
        await until(lambda: waiting and now() > passing.certificate.not_valid_after_utc)
        waiting[0].callback(Decision())
        assert await answered == [200, 400]
        await served.events(1)
    assert [seen.uri for seen in inner.seen] == [b"/1"]
    assert [event["error"]["status"] for event in events.told if event["error"]] == [495]


@contextlib.asynccontextmanager
async def serving_tls(pki: PKI, resource: Any) -> AsyncIterator[int]:
    """A site on TLS of Twisted's own."""
    issued = pki.servers.issue("edge", sans=["DNS:open.test"])
    trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pki.clients.pem)])
    credentials: dict[str, Any] = {"privateKey": issued.key, "certificate": issued.certificate}
    options = ssl.CertificateOptions(**credentials, trustRoot=trust)
    port = _reactor().listenSSL(0, Site(resource), options, interface="127.0.0.1")
    try:
        yield port.getHost().port
    finally:
        await port.stopListening()


@pytest.mark.parametrize(("verifies", "tag"), [(False, "mtls:failed"), (True, "mtls:verified")])
async def test_a_listener_of_twisteds_is_believed_only_if_it_is_vouched_for(pki: PKI, verifies: bool, tag: str) -> None:
    """Whether it verifies cannot be seen from its connections."""
    inner = Inner()

    def talk(port: int) -> int:
        with Client(port, "open.test", chain=(pki.client,)) as client:
            return client.ask(get("/")).status

    resource = FilteredResource(pipeline_of(pki), inner, verifies=verifies)
    async with serving_tls(pki, resource) as port:
        assert await in_thread(talk, port) == 200
    assert tag in inner.seen[0].decision.tags


# -- HTTP/2 ----------------------------------------------------------------------------------------------------------


class H2:
    """A client that speaks HTTP/2."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.h2.initiate_connection()
        self.statuses: dict[int, int] = {}
        self.bodies: Counter[int] = Counter()
        self.ended: list[tuple[int, bool]] = []

    def send(
        self, path: str, *headers: tuple[str, str], method: str = "GET", host: str = "open.test", body: bytes = b""
    ) -> int:
        """Send a request, and return its stream."""
        stream = self.h2.get_next_available_stream_id()
        start = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        self.h2.send_headers(stream, [*start, *headers], end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.client.send(self.h2.data_to_send())
        return stream

    def until_ended(self, count: int) -> H2:
        """Read until so many streams have ended, or the connection has."""
        while len(self.ended) < count:
            data = self.client.receive()
            if not data:
                break
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self.statuses[event.stream_id] = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.append((event.stream_id, True))
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return self  # Twisted waits for the client to hang up
                elif isinstance(event, h2.events.StreamReset):
                    self.ended.append((event.stream_id, False))
            self.client.send(self.h2.data_to_send())
        return self


async def test_http2_is_judged_as_well(pki: PKI) -> None:
    """Every stream by itself; a close ends its own stream alone; what is malformed is 400."""
    inner, events = Inner(), Events()
    site = Site(FilteredResource(pipeline_of(pki), inner, events=events))

    def talk(client: Client) -> tuple[dict[int, int], list[tuple[int, bool]]]:
        with client:
            two = H2(client)
            two.send("/fine", ("ssl-client-verify", "SUCCESS"))
            two.send("/secret")
            two.send("/close")
            two.send("/a b")
            two.send("no-slash")
            two.send("/", ("user-agent", "curl/8"))
            two.send("/post", method="POST", body=b"x" * 15_000)
            two.send("/short", ("content-length", "0"), method="POST")
            two.send("/", host="strict.test")
            two.until_ended(9)
            return two.statuses, sorted(two.ended)

    async with listening(pki, site) as served:
        statuses, ended = await in_thread(lambda: talk(served.client("open.test", alpn=[b"h2"])))
        (event,) = await served.events(1)
    assert statuses == {1: 200, 3: 403, 7: 400, 9: 400, 11: 403, 13: 200, 15: 200, 17: 421}
    assert [stream for stream, whole in ended if not whole] == [5]
    assert event["tls"]["alpn"] == "h2"
    assert [(seen.uri, len(seen.body)) for seen in inner.seen] == [(b"/fine", 0), (b"/post", 15_000), (b"/short", 0)]
    assert b"ssl-client-verify" not in inner.seen[0].headers
    requests = [seen.exchange.request for seen in inner.seen]
    assert [(request.version, request.length) for request in requests if request] == [
        ((2, 0), 0),
        ((2, 0), None),
        ((2, 0), 0),
    ]
    assert sorted(event["status"] for event in events.told) == [200, 200, 200, 400, 400, 403, 403, 421, 444]


async def test_a_body_shorter_than_it_says_is_refused(pki: PKI) -> None:
    """Twisted takes an empty body for one of any length over HTTP/2."""
    inner = Inner()

    def talk(client: Client) -> dict[int, int]:
        with client:
            two = H2(client)
            two.send("/", ("content-length", "10"), method="POST")
            return two.until_ended(1).statuses

    async with listening(pki, Site(FilteredResource(pipeline_of(pki), inner))) as served:
        statuses = await in_thread(lambda: talk(served.client("open.test", alpn=[b"h2"])))
        await served.events(1)
    assert 200 not in statuses.values()
    assert inner.seen == []


@pytest.mark.parametrize(
    ("path", "method", "header"),
    [
        ("/secret", "GET / HTTP/1.1\r\nHost: open.test\r\nX:", ("x", "y")),
        ("/ HTTP/1.1\r\nX: y", "GET", ("x", "y")),
        ("/", "GET", ("x", "y\r\nHost: other.test")),
        ("/", "GET", ("x\r\ny", "z")),
    ],
)
async def test_no_line_can_be_smuggled_into_a_head_of_http2(
    pki: PKI, path: str, method: str, header: tuple[str, str]
) -> None:
    """The reader of HTTP/2 refuses it."""
    inner = Inner()

    def talk(client: Client) -> dict[int, int]:
        with client:
            two = H2(client)
            two.send(path, header, method=method)
            return two.until_ended(1).statuses

    async with listening(pki, Site(FilteredResource(saying(lambda exchange: Decision()), inner))) as served:
        statuses = await in_thread(lambda: talk(served.client("open.test", alpn=[b"h2"])))
        await served.events(1)
    assert 200 not in statuses.values()
    assert inner.seen == []


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/secret", "GET / HTTP/1.1\r\nHost: open.test\r\nX:"),
        ("/ HTTP/1.1\r\nX: y", "GET"),
        ("/ HTTP/1.1\r\nX:", "GET"),
    ],
)
def test_no_line_would_pass_if_it_could_be_smuggled_in(path: str, method: str) -> None:
    """Nor does the filter rely on that: what it reads must be what the resource would see."""
    headers = Headers({"host": ["open.test"], "x": ["y\r\nz: a"]})
    assert headers.getRawHeaders("x") == ["y z: a"]  # Twisted has no line end in a field
    request: Any = types.SimpleNamespace(
        method=method.encode(), uri=path.encode(), clientproto=b"HTTP/2", requestHeaders=headers, isSecure=lambda: True
    )
    with pytest.raises(ClientError):
        read_head(request, CONNECTION, secure=True)


def _reactor() -> Any:
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    return reactor


async def test_a_resource_is_behind_the_limits_of_its_configuration(pki: PKI) -> None:
    """Requests, and what the resource answers; the client is told of them."""
    limits: Changes = {
        "rate-limit requests": {"key": "ip", "limit": "4 per 1h"},
        "rate-limit bytes": {"key": "ip", "count": "bytes", "limit": "20 per 1h"},
        "rate-limit missing": {"key": "ip", "count": "status = 404", "limit": "2 per 1h", "tags": "lost"},
    }
    pipeline = Configuration.from_text(ini(1, limits), pki.folder, {}).pipeline("all")
    root = Resource()
    root.putChild(b"page", Inner(b"page"))
    async with serving(FilteredResource(pipeline, root)) as port:
        data = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n" * 5
        answers = await in_thread(_plainly, port, data, 5)
    assert [status for status, _ in answers] == [200, 200, 429, 429, 429]
    assert fields(answers[0][1], "ratelimit") == [b'"requests";r=3;t=3600, "bytes";r=20;t=3600']
    assert fields(answers[1][1], "ratelimit")[0].startswith(b'"requests";r=2;t=3600, "bytes";r=10;')
    assert fields(answers[4][1], "retry-after") == [b"3600"]


def _plainly(port: int, data: bytes, count: int) -> list[tuple[int, bytes]]:
    """The status and the head of each answer to requests in one write."""
    with connect(port) as sock:
        sock.sendall(data)
        received, found = b"", list[tuple[int, bytes]]()
        while len(found) < count:
            piece = sock.recv(65536)
            assert piece, received
            received += piece
            while (end := received.find(b"\r\n\r\n")) >= 0:
                head = received[: end + 4]
                length = int(fields(head, "content-length")[0])
                if len(received) < end + 4 + length:
                    break
                found.append((int(head.split(b" ", 2)[1]), head))
                received = received[end + 4 + length :]
    return found
