"""Two nodes that share a server of Redis: real nodes, real clients, a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from edgenode.state.interface import Entry
from tests.support.node import PKI, Answer, Changes, Node, Origin, get, in_thread, started, until
from tests.support.redis import RedisServer, needs_redis

pytestmark = [pytest.mark.lasting, needs_redis]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of its own."""
    with RedisServer() as server:
        yield server


def changes(url: str, limit: str = "5 per 1h", absent: str = "local", failure: str = "closed", **keys: str) -> Changes:
    """A node with a limit, on a server."""
    return {
        "edge": {"failure": failure},
        "rate-limit one": {"key": "ip", "limit": limit, **keys},
        "state": {"url": url, "absent": absent, "timeout": "300ms"},
    }


@contextlib.asynccontextmanager
async def two(pki: PKI, origin: Origin, found: Changes) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes in front of one origin, connected to their server."""
    async with started(pki, origin, found) as one, started(pki, origin, found) as other:
        await until(lambda: not any(away(each) for each in (one, other)))
        yield one, other


def away(node: Node) -> bool:
    """Whether a node cannot ask its server."""
    return bool(getattr(node.service.configuration.state, "away"))  # noqa: B009 - it is no part of every state


async def ask(node: Node, path: str = "/") -> Answer:
    """The answer to a request on a connection of its own."""
    answer: Answer = await in_thread(_ask, node, path)
    return answer


def _ask(node: Node, path: str) -> Answer:
    with node.client() as client:
        client.send(get(path, "open.test"))
        return client.answer()


async def test_two_nodes_let_as_many_pass_as_one(pki: PKI, origin: Origin, server: RedisServer) -> None:
    """A limit of five is five on both together, and the fields of the answers say what remains on both."""
    async with two(pki, origin, changes(server.url)) as nodes:
        answers = [await ask(nodes[n % 2]) for n in range(8)]
        assert [each.status for each in answers] == [200] * 5 + [429] * 3
        told = [each.fields("ratelimit")[0] for each in answers]
        assert [each.split(b";")[1] for each in told] == [b"r=%d" % rest for rest in (4, 3, 2, 1, 0, 0, 0, 0)]
        assert all(3590 <= int(each.fields("retry-after")[0]) <= 3600 for each in answers[5:])


async def test_many_at_once_are_counted_exactly(pki: PKI, origin: Origin, server: RedisServer) -> None:
    """Of sixty requests at once to both nodes fifty pass, neither more nor less."""
    async with two(pki, origin, changes(server.url, "50 per 1h")) as nodes:
        asked = [in_thread(_ask, nodes[n % 2], "/") for n in range(60)]
        statuses = [(await each).status for each in asked]
        assert sorted(statuses) == [200] * 50 + [429] * 10


async def test_who_is_banned_on_one_node_is_banned_on_the_other(pki: PKI, origin: Origin, server: RedisServer) -> None:
    """The next request to the other node is refused for the ban, which came with the answer to its own question."""
    async with two(pki, origin, changes(server.url, "2 per 1s", ban="10m")) as (one, other):
        assert [(await ask(one)).status for _ in range(3)] == [200, 200, 429]
        server(
            "DEL", *[each for each in server("KEYS", "edgenode:{*") if b"quarantine" not in each]
        )  # the count is over
        answer = await ask(other)
        assert answer.status == 429
        assert int(answer.fields("retry-after")[0]) > 500


async def test_what_is_held_on_one_node_is_refused_on_the_other(pki: PKI, origin: Origin, server: RedisServer) -> None:
    """The first request after it is refused already, and passes once it is lifted."""
    async with two(pki, origin, changes(server.url, "100 per 1h")) as (one, other):
        assert (await ask(other)).status == 200
        quarantine = one.service.configuration.state.quarantine
        now = time.time()
        quarantine.hold(Entry("ip", "127.0.0.0/8", now + 60, now, "root", "a test"))
        await until(lambda: server("HGET", "edgenode:{quarantine}:head", "seq") == b"1")
        assert (await ask(other)).status == 403
        quarantine.lift("ip", "127.0.0.0/8", "root")
        await until(lambda: other.service.configuration.state.quarantine.find("ip", "127.0.0.1") is None)
        assert [(await ask(each)).status for each in (one, other)] == [200, 200]


async def test_a_server_that_is_killed_under_load_fails_no_request(
    pki: PKI, origin: Origin, server: RedisServer
) -> None:
    """Requests go on while it is away, none waits for long, and they are counted together once it is back."""
    async with two(pki, origin, changes(server.url, "100000 per 1h")) as nodes:
        slowest, statuses, stop = [0.0], list[int](), threading.Event()

        def load(node: Node) -> None:
            with node.client() as client:
                while not stop.is_set():
                    began = time.monotonic()
                    client.send(get("/", "open.test"))
                    statuses.append(client.answer().status)
                    slowest[0] = max(slowest[0], time.monotonic() - began)

        def more(count: int) -> bool:
            return len(statuses) > count

        loads = [in_thread(load, each) for each in nodes]
        for action in (server.kill, server.start):
            await until(partial(more, len(statuses) + 100))
            await in_thread(action)
        await until(lambda: not any(map(away, nodes)))
        await until(partial(more, len(statuses) + 100))
        stop.set()
        for each in loads:
            await each
        assert set(statuses) == {200}
        assert slowest[0] < 2
        assert server("DBSIZE") > 0


@pytest.mark.parametrize("failure", ["closed", "open"])
async def test_closed_refuses_whatever_failure_says(
    pki: PKI, origin: Origin, server: RedisServer, failure: str
) -> None:
    """With ``absent = closed`` nothing that would be counted passes without the server; it does again with it."""
    async with two(pki, origin, changes(server.url, absent="closed", failure=failure)) as (one, _):
        assert (await ask(one)).status == 200
        server.kill()
        await until(lambda: away(one))
        refused = await ask(one)
        assert (refused.status, refused.fields("retry-after")) == (503, [b"5"])
        server.start()
        await until(lambda: not away(one))
        assert (await ask(one)).status == 200


class Stalling:
    """A proxy on a Unix socket that can stop passing bytes on, as a path that has gone dark does.

    :ivar dark: set while it passes nothing on.
    """

    def __init__(self, path: str, server: RedisServer) -> None:
        self.path, self.dark = path, threading.Event()
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._server.path)
            for here, there in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(here, there), daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                while self.dark.is_set():
                    time.sleep(0.01)
                there.sendall(data)
        for each in (here, there):
            each.close()

    def close(self) -> None:
        """End it."""
        self.dark.clear()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


async def test_a_path_that_goes_dark_costs_one_timeout(pki: PKI, origin: Origin, server: RedisServer) -> None:
    """The request that is under way waits for the timeout, those after it for nothing; and late answers are no
    other's."""
    proxy = Stalling(str(server.folder / "proxy.sock"), server)
    try:
        async with two(pki, origin, changes(f"unix:{proxy.path}", "3 per 1h")) as (one, _):
            assert (await ask(one)).status == 200
            proxy.dark.set()
            began = time.monotonic()
            assert (await ask(one)).status == 200
            assert 0.25 < time.monotonic() - began < 2
            began = time.monotonic()
            assert [(await ask(one)).status for _ in range(3)] == [200, 200, 429]
            assert time.monotonic() - began < 1
            proxy.dark.clear()
            await until(lambda: not away(one))
            assert (await ask(one)).status == 200
    finally:
        proxy.close()


async def test_a_reload_goes_to_another_server_and_back_to_memory(
    pki: PKI, origin: Origin, server: RedisServer
) -> None:
    """What is in ``[state]`` can change while the node runs; the connection of before is closed."""
    with RedisServer() as second:
        async with started(pki, origin, changes(server.url)) as one:
            await until(lambda: not away(one))
            assert (await ask(one)).fields("ratelimit")[0].split(b";")[1] == b"r=4"
            await one.reload(origin, changes(second.url))
            await until(lambda: not away(one))
            assert (await ask(one)).fields("ratelimit")[0].split(b";")[1] == b"r=4"
            await until(lambda: len(server("CLIENT", "LIST").splitlines()) == 1)
            await one.reload(origin, {"rate-limit one": {"key": "ip", "limit": "5 per 1h"}})
            await until(lambda: len(second("CLIENT", "LIST").splitlines()) == 1)
            assert (await ask(one)).fields("ratelimit")[0].split(b";")[1] == b"r=4"
