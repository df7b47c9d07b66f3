"""Request bodies that rules look at: held back until they are judged, within bounds, and then passed on unchanged."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred

from edgenode.config.load import Configuration
from edgenode.model.decision import NOTHING, Decision
from edgenode.model.exchange import NO_BODY, Body, Exchange
from edgenode.net.transport import READ_AHEAD
from edgenode.node.service import EdgeService
from edgenode.policy.actions import PREDEFINED
from tests.support.node import PKI, Changes, Events, Node, Origin, fields, get, in_thread, ini, started, until

SIZE = 1000
"""``inspect-body-size``."""

CHANGES: Changes = {
    "path-map all": {"inspect-body-size": str(SIZE), "max-body-size": "64k"},
    "listener public": {"body-timeout": "10s"},
}
BLOCK = Decision(action=PREDEFINED["block"])


@define(eq=False)
class Looking:
    """A stage that looks at bodies, keeps what it saw, and blocks those with an attack in them."""

    name: str = "looking"
    repeatable: bool = True
    needs: frozenset[str] = frozenset(("body",))
    saw: list[Exchange] = Factory(list)
    say: Callable[[Exchange], Any] | None = None

    @property
    def bodies(self) -> list[Body | None]:
        """The bodies of the requests that it saw."""
        return [None if exchange.request is None else exchange.request.body for exchange in self.saw]

    def decide(self, exchange: Exchange) -> Any:
        """Look."""
        self.saw.append(exchange.tagged())  # a copy: the body is taken out of it once it is judged
        if self.say is not None:
            return self.say(exchange)
        body = None if exchange.request is None else exchange.request.body
        return BLOCK if body is not None and b"attack" in body.data else NOTHING


@contextlib.asynccontextmanager
async def looking(pki: PKI, origin: Origin, stage: Looking, changes: Changes | None = None) -> AsyncIterator[Node]:
    """A node with one more stage in its pipelines."""
    from twisted.internet import reactor

    merged = {header: {**CHANGES.get(header, {}), **(changes or {}).get(header, {})} for header in CHANGES}
    configuration = Configuration.from_text(ini(origin.port, merged), pki.folder, {})
    rules = configuration.rules
    configuration = evolve(configuration, rules=evolve(rules, stages=(*rules.stages, stage)))
    events = Events()
    node = Node(EdgeService(configuration, reactor, events), events, pki)
    node.start()
    try:
        yield node
    finally:
        await node.stop()


def post(body: bytes, path: str = "/", *lines: str, close: bool = False) -> bytes:
    """A request with a body of known length."""
    return get(path, "open.test", f"Content-Length: {len(body)}", *lines, method="POST", close=close, body=body)


def chunked(*pieces: bytes, close: bool = False) -> bytes:
    """A request with a body in these chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return get("/", "open.test", "Transfer-Encoding: chunked", method="POST", close=close, body=body)


def content(request: bytes) -> bytes:
    """The body of a request as an origin got it, without its framing."""
    head, _, body = request.partition(b"\r\n\r\n")
    if not fields(head + b"\r\n", "transfer-encoding"):
        return body
    pieces = b""
    while size := int(body.partition(b"\r\n")[0], 16):
        start = body.index(b"\r\n") + 2
        pieces, body = pieces + body[start : start + size], body[start + size + 2 :]
    return pieces


# -- what is seen, and what arrives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("framed", [post, chunked], ids=["length", "chunks"])
@pytest.mark.parametrize("size", [1, SIZE - 1, SIZE, SIZE + 1, 20 * SIZE])
async def test_a_body_is_seen_up_to_its_bound_and_arrives_whole(
    pki: PKI, framed: Callable[[bytes], bytes], size: int
) -> None:
    """Rules see its beginning and whether that is all, by a tag as well; the origin gets every byte."""
    body, stage = bytes(range(256)) * (size // 256) + b"z" * (size % 256), Looking()
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:

            def ask() -> int:
                with node.client() as client:
                    return client.ask(framed(body)).status

            assert await in_thread(ask) == 200
            (event,) = await node.events.take()
    (seen,) = stage.bodies
    assert seen is not None
    assert (seen.data, seen.truncated) == (body[:SIZE], size > SIZE)
    assert seen.size == (64 * 1024 if framed is chunked and size > SIZE else size)
    assert ("body:truncated" in event["tags"]) == (size > SIZE)
    assert event["bytes"]["received"] == size
    assert [content(request) for request in origin.requests] == [body]


async def test_a_body_of_just_the_bound_is_awaited_to_its_end(pki: PKI) -> None:
    """Chunks that fill the bound may be all there is: that is known when the last has come, and not before."""
    stage, request = Looking(), chunked(bytes(SIZE))
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:
            with await in_thread(node.client) as client:
                await in_thread(client.send, request[:-5])
                await until(lambda: _received(node) == SIZE)
                assert stage.saw == []
                await in_thread(client.send, request[-5:])
                assert (await in_thread(client.answer, "POST")).status == 200
    assert stage.bodies == [Body(bytes(SIZE), SIZE)]


async def test_a_forbidden_body_reaches_nobody(pki: PKI) -> None:
    """The request is refused, its event says so, and the connection serves the next one."""
    stage = Looking()
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:

            def ask() -> list[int]:
                with node.client() as client:
                    return [client.ask(data).status for data in (post(b"an attack"), chunked(b"an att", b"ack"), get())]

            assert await in_thread(ask) == [403, 403, 200]
            events = await node.events.take(3)
    assert [event["action"] for event in events] == ["block", "block", None]
    assert [request.split(b" ")[0] for request in origin.requests] == [b"GET"]


async def test_no_byte_leaves_before_the_decision(pki: PKI) -> None:
    """While a body is not all there, its origin has not even been connected to."""
    stage, request = Looking(), post(b"first second")
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:
            with await in_thread(node.client) as client:
                await in_thread(client.send, request[:-6])
                await until(lambda: _received(node) == 6)
                assert (origin.connections, stage.saw) == ([], [])
                await in_thread(client.send, request[-6:])
                assert (await in_thread(client.answer, "POST")).status == 200
    assert [content(request) for request in origin.requests] == [b"first second"]


def _under_way(node: Node) -> Any:
    """The node's side of its one connection."""
    (connection,) = node.service.ports["public"].connections
    return connection._speaker


def _received(node: Node) -> int:
    """How much there is of the body of the one request under way."""
    handler = _under_way(node)._handler
    return -1 if handler is None else int(handler.received)


@pytest.mark.parametrize("body", [b"harmless", b"an attack"])
async def test_the_body_is_asked_for_when_it_is_to_be_judged(pki: PKI, body: bytes) -> None:
    """With ``Expect: 100-continue`` the client is told to send it, once, and then learns what became of it."""
    with Origin(pki) as origin:
        async with looking(pki, origin, Looking()) as node:

            def ask() -> list[int]:
                with node.client() as client:
                    expecting = post(body, "/", "Expect: 100-continue")
                    client.send(expecting[: -len(body)])
                    first = client.answer()
                    client.send(body)
                    return [first.status, client.answer("POST").status, client.ask(get()).status]

            assert await in_thread(ask) == [100, 403 if b"attack" in body else 200, 200]
            await node.events.take(2)


async def test_pipelined_bodies_are_judged_one_by_one(pki: PKI) -> None:
    """Each request is judged with its own body, in order, though all came at once."""
    stage = Looking()
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:

            def ask() -> list[int]:
                with node.client() as client:
                    client.send(post(b"one") + post(b"an attack") + chunked(b"th", b"ree") + get() + post(b"four"))
                    return [client.answer().status for _ in range(5)]

            assert await in_thread(ask) == [200, 403, 200, 200, 200]
            await node.events.take(5)
    assert [body and body.data for body in stage.bodies] == [b"one", b"an attack", b"three", b"", b"four"]
    assert [content(request) for request in origin.requests] == [b"one", b"three", b"", b"four"]


# -- by rules --------------------------------------------------------------------------------------------------------

FORM = "Content-Type: application/x-www-form-urlencoded"
PARTS = 'Content-Type: multipart/form-data; boundary="--b"'
RULES: Changes = {
    **CHANGES,
    "global-filter argument": {"action": "block", "argument.user": "^root$"},
    "global-filter entity": {"action": "block", "expression": 'http.request.body.raw contains "<!ENTITY"'},
    "global-filter compressed": {
        "action": "block",
        "header.content-encoding": ".",
        "expression": "len(http.request.body.raw) gt 0",
    },
    "global-filter hidden": {"tags": "hidden", "tag": "body:truncated"},
}


def part(name: str, value: bytes) -> bytes:
    """A multipart body with one part."""
    return b'----b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n----b--\r\n' % (name.encode(), value)


@pytest.mark.parametrize(
    ("request_bytes", "filter"),
    [
        (post(b"a=1&user=%72oot", "/", FORM), "argument"),
        (post(b"a=1&user=nobody", "/", FORM), ""),
        (post(b"a=1&user=nobody&user=root", "/?user=nobody", FORM), "argument"),
        (post(part("user", b"root"), "/", PARTS), "argument"),
        (post(part("user", b"nobody"), "/", PARTS), ""),
        (post(b"", "/?user=root"), "argument"),
        (post(b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///'>]>"), "entity"),
        (chunked(b"<!ENT", b"ITY e>"), "entity"),
        (chunked(b"<!ENT", b"-ITY e>"), ""),
        (post(b"\x1f\x8b", "/", "Content-Encoding: gzip"), "compressed"),
    ],
    ids=[
        "form",
        "other form",
        "repeated",
        "multipart",
        "other multipart",
        "query",
        "text",
        "chunks",
        "other chunks",
        "gzip",
    ],
)
async def test_rules_on_bodies_are_kept_to(pki: PKI, request_bytes: bytes, filter: str) -> None:
    """By arguments in forms of both kinds, in every value of them, and by what the body has in it anywhere."""
    with Origin(pki) as origin:
        async with started(pki, origin, RULES) as node:

            def ask() -> int:
                with node.client() as client:
                    return client.ask(request_bytes).status

            assert await in_thread(ask) == (403 if filter else 200)
            (event,) = await node.events.take()
    matched = [reason["filter"] for reason in event["reasons"]]
    assert [name for name in matched if f"global-filter {name}" in RULES] == ([filter] if filter else [])
    assert len(origin.requests) == (not filter)


async def test_what_rules_cannot_see_has_a_tag_that_they_can(pki: PKI) -> None:
    """An argument behind the bound is not found; that there is something behind it is, and is refused unless said
    otherwise."""
    for changes, status in (
        (RULES, 413),
        ({**RULES, "path-map all": {**CHANGES["path-map all"], "uninspected": "pass"}}, 200),
    ):
        with Origin(pki) as origin:
            async with started(pki, origin, changes) as node:

                def ask(node: Node = node) -> int:
                    with node.client() as client:
                        return client.ask(post(b"a=" + b"x" * SIZE + b"&user=root", "/", FORM)).status

                assert await in_thread(ask) == status
                (event,) = await node.events.take()
        assert "hidden" in event["tags"]


async def test_bodies_flow_where_no_rule_looks_at_them(pki: PKI) -> None:
    """The origin has the beginning of a body while its end is still to come."""
    with Origin(pki) as origin:
        async with started(pki, origin, {"global-filter path": {"action": "block", "path": "^/secret"}}) as node:
            with await in_thread(node.client) as client:
                await in_thread(client.send, post(b"first second")[:-6])
                await until(lambda: origin.received.endswith(b"\r\n\r\nfirst "))
                await in_thread(client.send, b"second")
                assert (await in_thread(client.answer, "POST")).status == 200


@pytest.mark.parametrize(("body", "status"), [(b"attack", 403), (b"harmless", 413)], ids=["attack", "harmless"])
async def test_how_much_comes_at_once_makes_no_difference(pki: PKI, body: bytes, status: int) -> None:
    """A body that turns out to be too large is judged by its beginning, and only then refused for its size."""
    data, stage = chunked(body.ljust(5000, b"."), close=True), Looking()
    changes = {"path-map all": {"inspect-body-size": "64", "max-body-size": "400"}}
    start = data.index(b"\r\n1388\r\n") + 8
    with Origin(pki) as origin:
        async with looking(pki, origin, stage, changes) as node:

            def ask() -> int:
                with node.client() as client:
                    return client.ask(data).status

            assert await in_thread(ask) == status
            with await in_thread(node.client) as client:
                await in_thread(client.send, data[: start + 65])
                await until(lambda: len(stage.saw) == 2)
                await in_thread(client.send, data[start + 65 :])
                assert (await in_thread(client.answer, "POST")).status == status
            await node.events.take(2)
    assert stage.bodies == [Body(data[start:][:64], 400, True)] * 2
    assert not origin.requests


# -- what is remembered ----------------------------------------------------------------------------------------------


async def test_a_repeated_head_with_another_body_is_judged_anew(pki: PKI) -> None:
    """What repeats its predecessor up to the body has nothing of its judgement, whatever the stages say."""
    stage = Looking()
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:

            def ask() -> list[int]:
                with node.client() as client:
                    return [client.ask(post(body)).status for body in (b"harmless", b"attack!!", b"harmless")]

            assert await in_thread(ask) == [200, 403, 200]
            await node.events.take(3)
    assert len(stage.saw) == 3


async def test_a_request_without_a_body_waits_for_nothing(pki: PKI) -> None:
    """Rules see that it has none, each time."""
    stage = Looking()
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:

            def ask() -> list[int]:
                with node.client() as client:
                    empty = get("/", "open.test", "Content-Length: 0", method="POST")
                    return [client.ask(data).status for data in (get(), get(), empty, chunked())]

            assert await in_thread(ask) == [200] * 4
            await node.events.take(4)
    assert stage.bodies == [NO_BODY] * 4


async def test_what_depends_on_the_clock_is_not_remembered(pki: PKI) -> None:
    """Each request has its own time; a stage that looks at it says that it does not repeat."""
    stage = Looking(needs=frozenset(("clock",)), repeatable=False)
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:

            def ask() -> list[int]:
                with node.client() as client:
                    return [client.ask(data).status for data in (get(), get())]

            assert await in_thread(ask) == [200, 200]
            first, second = await node.events.take(2)
    assert 1e9 < stage.saw[0].time < stage.saw[1].time
    assert first["time"] < second["time"]


# -- what goes wrong on the way --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (get("/", "open.test", "Content-Length: 99", method="POST", body=b"slow"), 408, "took too long"),
        (get("/", "open.test", "Transfer-Encoding: chunked", method="POST", body=b"1\r\nslow"), 400, "malformed body"),
        (get("/", "open.test", "Transfer-Encoding: chunked", method="POST", body=b"zz\r\n"), 400, "malformed body"),
        (get("/", "open.test", "Content-Length: 65537", "Expect: 100-continue", method="POST"), 413, "too large"),
        (chunked(b"a" * 65536, b"b", close=True), 413, "too large"),
    ],
    ids=["slow", "longer than its chunk", "no size", "too long", "too many chunks"],
)
async def test_what_is_no_body_reaches_no_origin(pki: PKI, data: bytes, status: int, reason: str) -> None:
    """The request is refused with one answer and the connection ends; its event has the automatic tags."""
    stage = Looking()
    changes = {"path-map all": {"inspect-body-size": "128k"}, "listener public": {"body-timeout": "500ms"}}
    with Origin(pki) as origin:
        async with looking(pki, origin, stage, changes) as node:
            answer = await node.exchange(data)
            (event,) = await node.events.take()
        assert (origin.connections, stage.saw) == ([], [])
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert (event["status"], event["error"]["status"]) == (status, status)
    assert reason in event["error"]["reason"]
    assert "securitypolicy-entry:all" in event["tags"]


async def test_a_client_that_vanishes_leaves_nothing_behind(pki: PKI) -> None:
    """Its request is over: nothing is judged and nobody is asked."""
    stage = Looking()
    with Origin(pki) as origin:
        async with looking(pki, origin, stage) as node:

            def vanish() -> None:
                with node.client() as client:
                    client.send(post(b"never finished")[:-4])

            await in_thread(vanish)
            (event,) = await node.events.take()
        assert (origin.connections, stage.saw) == ([], [])
    assert event["status"] == 499


@pytest.mark.parametrize("said", [NOTHING, BLOCK], ids=["forwarded", "refused"])
async def test_a_client_is_held_while_its_body_is_judged(pki: PKI, said: Decision) -> None:
    """Beyond what was looked at little more is read; if it may go on, everything arrives."""
    waiting: Deferred[Decision] = Deferred()
    stage, size = Looking(say=lambda exchange: waiting), 4 << 20
    with Origin(pki) as origin:
        async with looking(pki, origin, stage, {"path-map all": {"max-body-size": "1g"}}) as node:
            with await in_thread(node.client) as client:
                answer = in_thread(client.ask, post(bytes(size)))
                await until(lambda: stage.saw and _under_way(node)._left is not None)
                received = _received(node)
                waiting.callback(said)
                status = (await answer).status
            (event,) = await node.events.take()
    assert received <= SIZE + READ_AHEAD
    if said is NOTHING:
        assert (status, event["bytes"]["received"]) == (200, size)
        assert [len(content(request)) for request in origin.requests] == [size]
    else:
        assert (status, origin.connections) == (403, [])
