"""A state that is shared by a real server of Redis."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from edgenode.model.settings import Seconds, Secret, Word
from edgenode.net.poller import Poller
from edgenode.state.interface import Answers, Call, Counted, Counter, Entry, Happened, StateAbsent
from edgenode.state.memory import MemoryState
from edgenode.state.node_state import NodeState
from edgenode.state.settings import Server, ServerUrl, StateSection
from tests.support.node import until
from tests.support.redis import RedisServer, needs_redis

pytestmark = needs_redis

LIMIT = Counter("rate-limit login", "fixed", 3, 60.0)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of its own."""
    with RedisServer() as server:
        yield server


class Node:
    """A node's state, and what it has told."""

    def __init__(self, url: str, **keys: Any) -> None:
        self.section = StateSection(url=ServerUrl.from_text(url), **keys)
        self.state = NodeState(MemoryState())
        self.told: list[Happened] = []

    def start(self, server: Server | None = None) -> None:
        from twisted.internet import reactor  # only now: pytest-twisted installs it

        self.state.renew(self.section, server or Server(self.section))
        self.state.start(Poller(reactor), None, self.told.append)

    @property
    def actions(self) -> list[str]:
        """What it has told of its server."""
        return [each.action for each in self.told if each.action.startswith("state-")]

    async def count(self, *calls: Call) -> list[Counted | None]:
        """Count, and wait."""
        said = self.state.count(calls)
        answers: Answers = await said if isinstance(said, Deferred) else said
        return [*answers]

    async def total(self, call: Call | None = None) -> int:
        """What one call comes to."""
        answer = (await self.count(call or Call(LIMIT, "k")))[0]
        assert answer is not None
        return answer.total


@contextlib.asynccontextmanager
async def node(url: str, *, here: bool = True, server: Server | None = None, **keys: Any) -> AsyncIterator[Node]:
    """A node; with ``here`` the server can be asked at the beginning."""
    node = Node(url, **keys)
    node.start(server)
    try:
        if here:
            await until(lambda: not node.state.away)
        yield node
    finally:
        await node.state.stop()


async def sleep(seconds: float) -> None:
    """Turn the reactor for a time."""
    from twisted.internet import reactor

    await deferLater(reactor, seconds)


async def test_two_nodes_share_a_limit(server: RedisServer) -> None:
    """What one node counts the other sees."""
    async with node(server.url) as one, node(server.url) as other:
        assert [await each.total() for each in (one, other, one, other)] == [1, 2, 3, 4]


async def test_another_prefix_is_another_state(server: RedisServer) -> None:
    """Nodes with different prefixes share nothing."""
    async with node(server.url) as one, node(server.url, prefix=Word("other")) as other:
        assert [await each.total() for each in (one, other)] == [1, 1]


async def test_a_request_is_one_round_trip(server: RedisServer) -> None:
    """All calls of a request are one command."""
    async with node(server.url) as one:
        before = server("INFO", "commandstats")
        calls = [Call(Counter(f"rate-limit {n}", "fixed", 3, 60.0), f"k{n}") for n in range(5)]
        assert all(await one.count(*calls))
        after = server("INFO", "commandstats")
        assert evals(after) - evals(before) == 1


def evals(stats: bytes) -> int:
    """How many scripts were run."""
    return sum(
        int(line.partition("calls=")[2].partition(",")[0])
        for line in stats.decode().splitlines()
        if line.startswith("cmdstat_eval")
    )


async def test_a_server_that_is_killed_is_told_once_and_found_again(server: RedisServer) -> None:
    """While it is away each node counts for itself, without waiting; one event says that it is away, one that it is
    back."""
    async with node(server.url) as one:
        assert await one.total() == 1
        remote = one.state.remote
        assert remote is not None
        connected = remote.since
        assert connected is not None
        assert connected <= time.time()
        assert remote.reason == ""
        server.kill()
        await until(lambda: one.state.away)
        assert remote.since is not None
        assert remote.since > connected
        assert remote.reason
        for expected in (1, 2, 3):
            answers = one.state.count([Call(LIMIT, "k")])
            assert not isinstance(answers, Deferred)
            assert answers[0] is not None
            assert answers[0].total == expected
        await sleep(0.6)
        assert one.actions == ["state-absent"]
        server.start()
        await until(lambda: not one.state.away)
        assert one.actions == ["state-absent", "state-back"]
        assert remote.reason == ""
        assert await one.total() == 1, "the server has forgotten"


async def test_requests_that_wait_when_the_server_dies_are_answered(server: RedisServer) -> None:
    """Who waits for an answer of a server that dies is answered by the policy."""
    async with node(server.url) as one:
        server("CLIENT", "PAUSE", "10000")
        waiting = [one.state.count([Call(LIMIT, "k")]) for _ in range(20)]
        assert all(isinstance(each, Deferred) for each in waiting)
        server.kill()
        answers = [(await each)[0] for each in waiting if isinstance(each, Deferred)]
        assert sorted(each.total for each in answers if each) == list(range(1, 21))


async def test_a_slow_server_has_no_request_wait_for_longer_than_the_timeout(server: RedisServer) -> None:
    """A request waits for the timeout and not longer; those behind it do not wait at all; and no late answer is given
    to another request."""
    async with node(server.url, timeout=Seconds(0.2)) as one:
        server("CLIENT", "PAUSE", "1500")
        began = time.monotonic()
        assert await one.total() == 1
        assert 0.15 < time.monotonic() - began < 0.45
        assert one.state.away
        assert not isinstance(one.state.count([Call(LIMIT, "other")]), Deferred)
        await until(lambda: not one.state.away)
        fresh = [await one.total(Call(LIMIT, f"fresh {n}")) for n in range(5)]
        assert fresh == [1] * 5
    assert one.actions == ["state-absent", "state-back"]


async def test_a_server_that_is_busy_is_away() -> None:
    """A server that does something else for a second is away for that long."""
    with RedisServer(enable_debug_command="yes") as server:
        async with node(server.url) as one:
            one_second = threading.Thread(target=server, args=("DEBUG", "SLEEP", "1"))
            one_second.start()
            await sleep(0.1)
            assert await one.total() == 1
            assert one.actions == ["state-absent"]
            await until(lambda: not one.state.away)
            one_second.join()


@pytest.mark.parametrize("policy", ["local", "open", "closed"])
async def test_the_policy_while_the_server_is_away(policy: str) -> None:
    """``local`` counts here, ``open`` does not count, ``closed`` lets no request pass."""
    async with node("unix:/nowhere/redis.sock", here=False, absent=policy) as one:
        await until(lambda: one.actions)
        calls: Sequence[Call] = [Call(LIMIT, "k"), Call(LIMIT, "l")]
        if policy == "closed":
            with pytest.raises(StateAbsent):
                one.state.count(calls)
        else:
            answers = await one.count(*calls)
            assert [each and each.total for each in answers] == ([1, 1] if policy == "local" else [None, None])
        one.state.add(calls)


async def test_closed_refuses_also_who_was_waiting(server: RedisServer) -> None:
    """With ``closed`` the Deferred of who waits fails with the same."""
    async with node(server.url, absent="closed") as one:
        server("CLIENT", "PAUSE", "500")
        with pytest.raises(StateAbsent):
            await one.total()


async def test_a_script_that_the_server_has_forgotten_is_sent_again(server: RedisServer) -> None:
    """``SCRIPT FLUSH`` while requests are under way costs none of them its answer."""
    async with node(server.url) as one:
        assert await one.total() == 1
        server("SCRIPT", "FLUSH")
        said = [one.state.count([Call(LIMIT, "k")]) for _ in range(10)]
        answers = [await each for each in said if isinstance(each, Deferred)]
        assert sorted(each.total for answer in answers if (each := answer[0])) == list(range(2, 12))
        assert one.actions == []


async def test_a_wrong_password_is_told_with_the_servers_words() -> None:
    """Nobody is logged in with a wrong password, and the event says so."""
    with RedisServer(requirepass="right") as server:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"password": Secret("wrong")}, "WRONGPASS"),
            ({}, "NOAUTH"),
            ({"password": Secret("right"), "user": Word("nobody")}, "WRONGPASS"),
        ]
        for keys, said in cases:
            async with node(server.url, here=False, **keys) as one:
                await until(lambda: one.actions)
                assert said in one.told[0].why
                assert await one.total() == 1
                assert one.state.away
        async with node(server.url, password=Secret("right")) as one:
            assert await one.total() == 1
            await one.total()


async def test_a_user_of_an_acl_logs_in(server: RedisServer, tmp_path: Any) -> None:
    """A user with few rights is enough: the commands of the script, on the keys of the prefix."""
    rights = "+evalsha +eval +get +set +hget +hset +hlen +hexists +hdel +hincrby +exists +del +pexpire"
    server("ACL", "SETUSER", "edge", "on", ">secret", "~edgenode:*", *rights.split(), "+time", "+zadd", "+zrem",
           "+zcard", "+zrange", "+zrevrange", "+zrangebyscore", "+select")  # fmt: skip
    (tmp_path / "password").write_text("secret\nand a line\n")
    url = f"unix:{server.path}?db=3"
    async with node(url, user=Word("edge"), password_file=tmp_path / "password") as one:
        one.state.quarantine.hold(Entry("ip", "192.0.2.7", time.time() + 60, time.time(), "test", "why"))
        assert await one.total() == 1
        await sleep(0.05)
        assert one.actions == []
    server("SELECT", "3")
    assert server("DBSIZE") > 0
