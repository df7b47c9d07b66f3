"""Servers of Redis that refuse, or lie; and those of a cluster."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from struct import pack
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred

from bench.processes import free_port
from edgenode.model.settings import Seconds
from edgenode.state import redis_connection
from edgenode.state.interface import Call, Counter
from tests.state.test_redis import LIMIT, node, sleep
from tests.support.node import until
from tests.support.redis import RedisServer, needs_redis

FLOW = Counter("flow checkout", "steps", 1, 60.0)


@define(eq=False)
class Liar:
    """Something that listens, and answers what a test says.

    :ivar answers: the first for the first command, and so on; the last for all further ones.
    """

    path: str
    answers: list[bytes]
    _listening: socket.socket = field(init=False)

    def __enter__(self) -> Liar:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            with sock:
                answers = [*self.answers]
                while True:
                    try:
                        if not sock.recv(65536):
                            break
                        sock.sendall(answers.pop(0) if len(answers) > 1 else answers[0])
                    except OSError:
                        break


def bulk(text: bytes) -> bytes:
    """A string, as the protocol has it."""
    return b"$%d\r\n%s\r\n" % (len(text), text)


SELECTED = b"+OK\r\n"


def counted(*numbers: int, token: bytes = b"0123456789abcdef 0", news: bytes = b"") -> bytes:
    """An answer: the total of each call, and two times."""
    return token + b"\n" + b"".join(pack("<qQQ", number, 1_000_000, 0) for number in numbers) + b"\n" + news


NOTHING_NEW = counted(1)
HELD = b'h 4e9 1 ["ip", "192.0.2.7", 4e9, 1, "who", "why", "block"]'

LIES = {
    "a number": b":1\r\n",
    "nothing": b"$-1\r\n",
    "an array": b"*1\r\n$1\r\n1\r\n",
    "an array without an end": b"*1000000000\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a string that is too long": b"$1048577\r\n",
    "a length with a sign": b"$+5\r\nabcde\r\n",
    "a length that is negative": b"$-5\r\n",
    "a length of digits without an end": b"$" + b"1" * 5000,
    "bytes without an end": b"x" * 100_000,
    "no end of the string": bulk(NOTHING_NEW)[:-2] + b"xx",
    "an error without an end": b"-" + b"E" * 5000,
    "too few lines": bulk(b"-"),
    "too few answers": bulk(b"- 0\n"),
    "too many answers": bulk(counted(1, 1)),
    "a negative number": bulk(counted(-3)),
    "an answer without its last byte": bulk(counted(1)[:-1]),
    "no whole number": bulk(b"0123456789abcdef 0\n1.5 0 0\n"),
    "no number": bulk(b"0123456789abcdef 0\nnan 0 0\n"),
    "infinity": bulk(b"0123456789abcdef 0\n1 inf 0\n"),
    "a number of many digits": bulk(b"0123456789abcdef 0\n1 0 " + b"9" * 5000 + b"\n"),
    "words": bulk(b"0123456789abcdef 0\nmany 0 0\n"),
    "a quarantine without a number": bulk(counted(1, token=b"0123456789abcdef x")),
    "no entry of a quarantine": bulk(counted(1, news=b"hello")),
    "an entry with other types": bulk(counted(1, news=HELD.replace(b'"who"', b"[]"))),
    "an entry that ends at no time": bulk(counted(1, news=HELD.replace(b"4e9,", b"NaN,"))),
    "an entry that is nested": bulk(counted(1, news=b"h 1 1 " + b"[" * 9000 + b"]" * 9000)),
    "two answers": bulk(NOTHING_NEW) * 2,
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_lies_is_one_that_is_away(lie: str, tmp_path: Any) -> None:
    """Whatever comes in place of an answer, the request is answered by the policy, and the quarantine is as it was."""
    with Liar(str(tmp_path / "s"), [SELECTED, bulk(NOTHING_NEW), LIES[lie]]) as liar:
        async with node(f"unix:{liar.path}", timeout=Seconds(0.2)) as one:
            assert await one.total() == 1
            await until(lambda: one.actions)
            assert one.actions[0] == "state-absent"
            assert not [*one.state.quarantine.entries()]


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_lies_from_the_beginning_is_away(
    lie: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in answer to the login, and to the first question."""
    monkeypatch.setattr(redis_connection, "OPENING", 0.3)
    for answers in ([LIES[lie]], [SELECTED, LIES[lie]]):
        path = str(tmp_path / f"s{len(answers)}")
        with Liar(path, answers):
            async with node(f"unix:{path}", here=False, timeout=Seconds(0.2)) as one:
                await until(lambda: one.actions)
                assert await one.total() == 1


async def test_an_endless_answer_takes_no_memory(tmp_path: Any) -> None:
    """Of an answer without an end no more is kept than of a long one."""
    endless = b"$1048576\r\n" + b"x" * 900_000
    with Liar(str(tmp_path / "s"), [SELECTED, bulk(NOTHING_NEW), endless]) as liar:
        async with node(f"unix:{liar.path}", timeout=Seconds(0.2)) as one:
            assert await one.total() == 1
            assert "no answer within" in one.told[0].why


async def test_what_a_server_says_cannot_forge_a_line(tmp_path: Any) -> None:
    """An error of the server's is told without what steers a terminal, and not at any length."""
    with Liar(str(tmp_path / "s"), [SELECTED, b"-ERR \x1b[31m\rfine\n" + b"x" * 3000 + b"\r\n"]) as liar:
        async with node(f"unix:{liar.path}", here=False) as one:
            await until(lambda: one.actions)
            assert one.told[0].why.isprintable()
            assert len(one.told[0].why) < 400


@needs_redis
async def test_a_server_without_memory_is_away() -> None:
    """A server that may not write is away, and is asked again with patience: one event, and not one for each try."""
    with RedisServer() as server:
        async with node(server.url) as one:
            server("CONFIG", "SET", "maxmemory", "1")
            assert await one.total() == 1
            await sleep(0.5)
            assert one.actions == ["state-absent"]
            assert "OOM" in one.told[0].why
            server("CONFIG", "SET", "maxmemory", "0")
            await until(lambda: not one.state.away)


@needs_redis
async def test_a_replica_is_no_server_to_count_on() -> None:
    """A replica, which cannot be written to, is away."""
    with RedisServer() as server:
        async with node(server.url) as one:
            server("REPLICAOF", "127.0.0.1", free_port())
            assert await one.total() == 1
            assert "READONLY" in one.told[0].why
            server("REPLICAOF", "NO", "ONE")
            await until(lambda: not one.state.away)
            assert await one.total() == 1


@needs_redis
async def test_keys_of_somebody_else_are_no_fault_of_the_node() -> None:
    """A key that is a list is counted by the policy; the node goes on, and the calls beside it count."""
    with RedisServer() as server:
        async with node(server.url) as one:
            await one.count(Call(LIMIT, "k"))
            names = [each for each in server("KEYS", "*:{*") if b"quarantine" not in each]
            name = next(each for each in names if server("PTTL", each) > 10_000)  # and not the probe
            server("DEL", name)
            server("LPUSH", name, "x")
            fine = Call(Counter("rate-limit fine", "fixed", 9, 60.0), "k")
            for expected in (1, 2):
                answers = await one.count(Call(LIMIT, "k"), fine)
                assert [each and each.total for each in answers] == [expected, expected]
            assert one.actions == []
            assert server("TYPE", name) == b"list"


@pytest.fixture
def cluster() -> Iterator[RedisServer]:
    """A server that is a whole cluster."""
    with RedisServer("port", "cluster-port", cluster_enabled="yes", bind="127.0.0.1") as server:
        server("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        yield server


@needs_redis
async def test_a_cluster_is_asked_apart_for_each_key(cluster: RedisServer) -> None:
    """Calls of different keys go to a cluster as commands of their own; what they come to is the same."""
    async with node(cluster.url) as one:
        await until(lambda: b"cluster_state:ok" in cluster("CLUSTER", "INFO"))
        await until(lambda: not one.state.away)
        for expected in (1, 2, 3, 4):
            answers = await one.count(*(Call(LIMIT, f"k{n}") for n in range(5)), Call(FLOW, "k1", steps=(0,)))
            assert [each and each.total for each in answers] == [expected] * 5 + [1]
        assert one.actions in ([], ["state-absent", "state-back"])


@needs_redis
async def test_calls_depend_on_flows_of_other_keys_in_a_cluster(cluster: RedisServer) -> None:
    """What counts only behind a flow of another key, or not behind it, does so in a cluster too."""
    never = Counter("flow never", "steps", 9, 60.0)
    async with node(cluster.url) as one:
        await until(lambda: not one.state.away)
        calls = [
            Call(FLOW, "a", steps=(0,)),
            Call(never, "b", steps=(0,)),
            Call(LIMIT, "c", only_if=(0,)),
            Call(LIMIT, "d", only_if=(1,)),
            Call(LIMIT, "a", only_if=(0, 1)),
            Call(LIMIT, "e", unless=(0,)),
            Call(LIMIT, "f", unless=(1,)),
            Call(LIMIT, "b", only_if=(1, 0), unless=(1,)),
        ]
        for expected in (1, 2):
            answers = await one.count(*calls)
            assert [each and each.total for each in answers] == [
                1, min(1, expected), expected, None, expected, None, expected, expected,
            ]  # fmt: skip


@needs_redis
async def test_a_server_whose_cluster_is_incomplete_is_away(cluster: RedisServer) -> None:
    """Slots that nobody has are an error with the server's words."""
    async with node(cluster.url) as one:
        cluster("CLUSTER", "DELSLOTSRANGE", "0", "16383")
        await until(lambda: one.actions and one.state.away)
        assert "CLUSTERDOWN" in one.told[-1].why
        assert not isinstance(one.state.count([Call(LIMIT, "k")]), Deferred)


@needs_redis
async def test_keys_on_another_server_of_a_cluster_are_an_error() -> None:
    """Where a cluster has shards on several servers, one of them is not enough, and says so."""
    options = {"cluster_enabled": "yes", "bind": "127.0.0.1"}
    with (
        RedisServer("port", "cluster-port", **options) as here,
        RedisServer("port", "cluster-port", **options) as there,
    ):
        here("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        there("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        here("CLUSTER", "MEET", "127.0.0.1", there.options["port"], there.options["cluster-port"])
        await until(lambda: b"cluster_state:ok" in here("CLUSTER", "INFO"))
        async with node(here.url, here=False) as one:
            await until(lambda: one.actions or not one.state.away)
            for n in range(20):
                await one.count(Call(LIMIT, f"k{n}"))
            await until(lambda: one.actions)
            assert "MOVED" in one.told[0].why
