"""More than a listener may carry: who is turned away, how, and that nobody else notices."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred

from edgenode.config.load import Configuration
from edgenode.proxy.listener.limits import Load
from tests.support.node import (
    OK,
    PKI,
    Client,
    Node,
    Origin,
    Served,
    answering,
    connect,
    fields,
    get,
    in_thread,
    ini,
    started,
    until,
)

LISTENER = "listener public"


@frozen
class Slow:
    """An origin's behaviour: ``/slow`` is answered when it is released, everything else at once."""

    reached: threading.Semaphore
    released: threading.Event

    @classmethod
    def new(cls) -> Slow:
        return cls(threading.Semaphore(0), threading.Event())

    def __call__(self, served: Served) -> None:
        while (request := served.request()) is not None:
            if request.startswith(b"GET /slow "):
                self.reached.release()
                self.released.wait(10)
            served.send(OK)


@contextlib.contextmanager
def slow_origin(pki: PKI) -> Iterator[tuple[Origin, Slow]]:
    """An origin that answers ``/slow`` when the test says so."""
    slow = Slow.new()
    with Origin(pki, slow) as origin:
        try:
            yield origin, slow
        finally:
            slow.released.set()


def load(node: Node) -> Load:
    """What the node carries."""
    return node.service.ports["public"].load


def reason(event: dict[str, dict[str, str]]) -> str:
    """Why a request was turned away."""
    return event["error"]["reason"]


# -- connections -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["max-connections", "max-connections-per-client"])
async def test_one_connection_too_many_is_told_to_come_again(pki: PKI, limit: str) -> None:
    """Over a limit of connections: 503 with Retry-After and the end; the event names the limit; nothing is judged."""
    with Origin(pki) as origin:
        async with started(pki, origin, {LISTENER: {limit: "1", "retry-after": "3s"}}) as node:

            def turned_away() -> bytes:
                with node.client() as client:
                    client.send(get())
                    return client.rest()

            with await in_thread(node.client) as client:
                answer = await in_thread(turned_away)
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert (fields(answer, "retry-after"), fields(answer, "connection")) == ([b"3"], [b"close"])
                (event,) = await node.events.take()
                assert (event["status"], reason(event)) == (503, f"over the limit: {limit}")
                assert origin.take() == []
                assert (await in_thread(client.ask, get())).status == 200
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
            await node.events.take(2)
        assert load(node).connections.count == load(node).excess.count == 0


async def test_further_connections_wait_in_the_kernels_queue(pki: PKI) -> None:
    """With all connections taken, those on top too, the next one waits and is served as soon as there is room."""
    with Origin(pki) as origin:
        changes = {LISTENER: {"max-connections": "2", "max-excess-connections": "1"}}
        async with started(pki, origin, changes) as node:
            clients = [await in_thread(node.client) for _ in range(3)]
            with clients[2], clients[1]:
                with clients[0]:
                    waiting = Deferred.fromCoroutine(node.exchange(get(close=True)))
                    assert (await in_thread(clients[1].ask, get())).status == 200
                    assert len(node.service.ports["public"].connections) == 3
                assert (await waiting).startswith(b"HTTP/1.1 200 ")
            await node.events.take(2)


async def test_one_client_cannot_have_all_the_answers(pki: PKI) -> None:
    """A client far over its limit is closed at once, without a handshake, while another client is served."""
    with Origin(pki) as origin:
        changes = {LISTENER: {"max-connections-per-client": "1", "max-excess-connections": "8"}}
        async with started(pki, origin, changes) as node:

            def refused() -> bool:
                with connect(node.port, patience=2) as sock:
                    try:
                        return sock.recv(1) == b""
                    except ConnectionResetError:
                        return True

            with await in_thread(node.client) as client, await in_thread(node.client):
                assert await in_thread(refused)
                assert (await node.exchange(get(close=True), source="127.0.0.2")).startswith(b"HTTP/1.1 200 ")
                assert (await in_thread(client.ask, get())).status == 200
            await node.events.take(2)


async def test_addresses_of_one_network_are_one_client(pki: PKI) -> None:
    """With a shorter prefix two addresses share the limit of one client."""
    with Origin(pki) as origin:
        changes = {LISTENER: {"max-connections-per-client": "1", "client-prefix-ipv4": "24"}}
        async with started(pki, origin, changes) as node:
            with await in_thread(node.client):
                assert (await node.exchange(get(), source="127.0.0.2")).startswith(b"HTTP/1.1 503 ")
                assert (await node.exchange(get(close=True), source="127.0.1.2")).startswith(b"HTTP/1.1 200 ")
            await node.events.take(2)


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["max-requests", "max-requests-per-client"])
async def test_one_request_too_many_is_told_to_come_again(pki: PKI, limit: str) -> None:
    """Over a limit of requests: 503 with Retry-After, an event that names the limit, and the connection goes on."""
    with slow_origin(pki) as (origin, slow):
        async with started(pki, origin, {LISTENER: {limit: "1", "retry-after": "250ms"}}) as node:
            with await in_thread(node.client) as first, await in_thread(node.client) as second:
                answer = in_thread(first.ask, get("/slow"))
                await in_thread(slow.reached.acquire)
                for _ in range(3):
                    refused = await in_thread(second.ask, get())
                    assert (refused.status, refused.fields("retry-after")) == (503, [b"1"])
                    assert refused.fields("connection") == []
                    (event,) = await node.events.take()
                    assert (event["status"], reason(event)) == (503, f"over the limit: {limit}")
                    assert event["request"]["target"] == "/"
                slow.released.set()
                assert (await answer).status == 200
                assert (await in_thread(second.ask, get())).status == 200
            assert len(origin.take()) == 2
            await node.events.take(2)


async def test_clients_behind_a_trusted_proxy_are_told_apart(pki: PKI) -> None:
    """The limit of requests is for the client that a trusted proxy reports, not for the proxy."""
    with slow_origin(pki) as (origin, slow):
        changes = {LISTENER: {"max-requests-per-client": "1"}, "edge": {"trusted-proxies": "127.0.0.1/32"}}
        async with started(pki, origin, changes) as node:

            def ask(client: Client, path: str, address: str) -> int:
                return client.ask(get(path, "open.test", f"X-Forwarded-For: {address}")).status

            with await in_thread(node.client) as first, await in_thread(node.client) as second:
                answer = in_thread(ask, first, "/slow", "192.0.2.1")
                await in_thread(slow.reached.acquire)
                assert await in_thread(ask, second, "/", "192.0.2.1") == 503
                assert await in_thread(ask, second, "/", "192.0.2.2") == 200
                slow.released.set()
                assert await answer == 200
            await node.events.take(3)


async def test_a_refusal_is_not_remembered(pki: PKI) -> None:
    """A request that repeats its predecessor to the byte is judged anew after it was one too many, and as before."""
    with slow_origin(pki) as (origin, slow):
        async with started(pki, origin, {LISTENER: {"max-requests": "1"}}) as node:
            with await in_thread(node.client) as first, await in_thread(node.client) as second:
                for _ in range(2):
                    assert (await in_thread(second.ask, get())).status == 200
                answer = in_thread(first.ask, get("/slow"))
                await in_thread(slow.reached.acquire)
                for _ in range(2):
                    assert (await in_thread(second.ask, get())).status == 503
                slow.released.set()
                assert (await answer).status == 200
                for _ in range(2):
                    assert (await in_thread(second.ask, get())).status == 200
            events = [event for event in await node.events.take(7) if event["request"]["target"] == "/"]
            assert [event["status"] for event in events] == [200, 200, 503, 503, 200, 200]
            tags, groups = [event["tags"] for event in events], [event["server_group"] for event in events]
            assert tags[2] == tags[3] == []
            assert tags[0] == tags[1] == tags[4] == tags[5] != []
            assert groups == ["open", "open", "", "", "open", "open"]


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
async def test_a_body_too_many_is_not_taken(pki: PKI, expect: tuple[str, ...]) -> None:
    """A request with a body is answered without the body being asked for or taken, and the connection ends."""
    with slow_origin(pki) as (origin, slow):
        async with started(pki, origin, {LISTENER: {"max-requests": "1"}}) as node:
            with await in_thread(node.client) as first:
                answer = in_thread(first.ask, get("/slow"))
                await in_thread(slow.reached.acquire)
                post = get("/", "open.test", "Content-Length: 5", *expect, method="POST")
                refused = await node.exchange(post + (b"" if expect else b"hello" + get()))
                assert refused.startswith(b"HTTP/1.1 503 ")
                assert refused.count(b"HTTP/1.1 ") == 1
                assert fields(refused, "connection") == [b"close"]
                slow.released.set()
                assert (await answer).status == 200
            await node.events.take(2)


def _block(served: Served) -> None:
    served.request()
    served.stall()


def _cut(served: Served) -> None:
    served.request()
    served.send(OK[:-1])


def _reset(served: Served) -> None:
    served.request()
    served.reset()


def _answer_early(served: Served) -> None:
    served.head()
    served.send(OK)
    served.stall()


ENDS: dict[str, tuple[Callable[[Served], None] | None, bytes]] = {
    "answered": (None, get()),
    "head": (None, get(method="HEAD")),
    "pipelined": (None, get() * 3),
    "the client goes": (_block, get()),
    "the client goes amid its body": (_block, get("/", "open.test", "Content-Length: 5", method="POST") + b"ab"),
    "a malformed body": (None, get("/", "open.test", "Transfer-Encoding: chunked", method="POST") + b"x\r\n"),
    "too large a body": (None, get("/", "open.test", "Content-Length: 99999999999", method="POST")),
    "no such host": (None, get("/", "nobody.test")),
    "answered amid its body": (_answer_early, get("/", "open.test", "Content-Length: 5", method="POST") + b"ab"),
    "cut by the origin": (_cut, get()),
    "reset by the origin": (_reset, get()),
    "blocked": (None, get("/blocked")),
    "closed": (None, get("/closed")),
}
FILTERS = {
    "global-filter block": {"path": "^/blocked$", "action": "block"},
    "global-filter close": {"path": "^/closed$", "action": "close"},
}


@pytest.mark.parametrize("end", ENDS)
async def test_every_end_counts_out(pki: PKI, end: str) -> None:
    """However a request ends, it is no longer counted, and the only place is free for the next."""
    behaviour, data = ENDS[end]
    with Origin(pki, behaviour) as origin:
        changes = {LISTENER: {"max-requests": "1", "max-requests-per-client": "1"}, **FILTERS}
        async with started(pki, origin, changes) as node:

            def send() -> None:
                with node.client(patience=0.3) as client:
                    client.send(data)
                    with contextlib.suppress(TimeoutError):
                        client.rest()
                    client.reset()

            await in_thread(send)
            origin.behaviour = answering(OK)
            await until(lambda: not load(node).requests.count)
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
            assert load(node).requests.count == 0
            assert all(event["status"] != 503 for event in node.events.told)
            node.events.told.clear()


async def test_limits_set_and_lifted_while_requests_are_under_way(pki: PKI) -> None:
    """A reload may set limits, or lift them, in the middle of requests; the count is right all the same."""
    with slow_origin(pki) as (origin, slow):
        async with started(pki, origin) as node:

            async def reload(listener: dict[str, str | None]) -> None:
                text = ini(origin.port, {LISTENER: listener})
                await node.service.reload(Configuration.from_text(text, pki.folder, {}))

            with await in_thread(node.client) as first, await in_thread(node.client) as second:
                uncounted = in_thread(first.ask, get("/slow"))
                await in_thread(slow.reached.acquire)
                await reload({"max-requests": "1"})
                counted = in_thread(second.ask, get("/slow"))
                await in_thread(slow.reached.acquire)
                assert load(node).requests.count == 1
                assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 503 ")
                await reload({})
                assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
                await reload({"max-requests": "1", "client-prefix-ipv4": "8"})
                slow.released.set()
                assert [(await uncounted).status, (await counted).status] == [200, 200]
                assert load(node).requests.count == 0
                assert (await in_thread(first.ask, get())).status == 200
            node.events.told.clear()
