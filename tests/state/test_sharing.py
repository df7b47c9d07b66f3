"""The quarantine of several nodes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest
from attrs import evolve

from edgenode.state.interface import Call, Entry
from tests.state.test_redis import LIMIT, Node, node, sleep
from tests.support.node import until
from tests.support.redis import RedisServer, needs_redis

pytestmark = needs_redis


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of its own."""
    with RedisServer() as server:
        yield server


def entry(value: str, seconds: float = 60.0, *, since: float | None = None, key: str = "ip") -> Entry:
    """An entry that is held from now on."""
    now = time.time()
    return Entry(key, value, now + seconds, now if since is None else since, "root", "a test")


def held(node: Node, value: str, key: str = "ip") -> bool:
    """Whether a node holds a value."""
    return node.state.quarantine.find(key, value) is not None


async def test_a_ban_on_one_node_holds_on_the_other_at_the_next_request(server: RedisServer) -> None:
    """The answer to the next request's calls brings it, and says that there is news."""
    async with node(server.url) as one, node(server.url) as other:
        await sleep(0.05)
        one.state.quarantine.hold(entry("192.0.2.7"))
        await one.total()
        known = other.state.quarantine.added
        await other.total()
        assert other.state.quarantine.added > known
        assert held(other, "192.0.2.7")
        assert not held(other, "192.0.2.8")


async def test_a_lift_holds_on_the_other_too(server: RedisServer) -> None:
    """What is lifted on one node is lifted on all; and may be held again."""
    async with node(server.url) as one, node(server.url) as other:
        one.state.quarantine.hold(entry("203.0.113.0/24"))
        await one.total()
        await other.total()
        assert held(other, "203.0.113.9")
        other.state.quarantine.lift("ip", "203.0.113.0/24", "root")
        await other.total()
        await one.total()
        assert not held(one, "203.0.113.9")
        one.state.quarantine.hold(entry("203.0.113.0/24"))
        await one.total()
        await other.total()
        assert held(other, "203.0.113.9")


async def test_a_node_without_traffic_hears_within_a_second(server: RedisServer) -> None:
    """A node that counts nothing asks by itself."""
    async with node(server.url) as one, node(server.url) as other:
        one.state.quarantine.hold(entry("192.0.2.7"))
        began = time.monotonic()
        await until(lambda: held(other, "192.0.2.7"))
        assert time.monotonic() - began < 1.5


async def test_a_node_that_comes_later_knows_all(server: RedisServer) -> None:
    """A full read at the beginning brings what was held before, more than one answer can bring too."""
    async with node(server.url) as one:
        for n in range(250):
            one.state.quarantine.hold(entry(f"value {n}", key="header.user-agent"))
        one.state.quarantine.hold(Entry("ip", "192.0.2.1", math.inf, time.time(), "root", "for ever"))
        await until(lambda: server("HGET", "edgenode:{quarantine}:head", "seq") == b"251")
        async with node(server.url) as other:
            await until(lambda: held(other, "192.0.2.1"))
            assert all(held(other, f"value {n}", "header.user-agent") for n in range(250))
            found = other.state.quarantine.find("ip", "192.0.2.1")
            assert found is not None
            assert found.until == math.inf
            assert (found.who, found.why, found.action) == ("root", "for ever", "block")


async def test_what_is_held_and_lifted_while_the_server_is_away_is_told_later(server: RedisServer) -> None:
    """A node tells what it has held, and lifted, as soon as it can; also a server that has lost everything."""
    async with node(server.url) as one, node(server.url) as other:
        one.state.quarantine.hold(entry("192.0.2.1"))
        one.state.quarantine.hold(entry("192.0.2.2"))
        await one.total()
        await other.total()
        assert held(other, "192.0.2.2")
        server.kill()
        await until(lambda: one.state.away and other.state.away)
        one.state.quarantine.hold(entry("192.0.2.3"))
        one.state.quarantine.lift("ip", "192.0.2.2", "root")
        server.start()
        await until(lambda: held(other, "192.0.2.3") and not held(other, "192.0.2.2"))
        await sleep(0.1)
        assert held(one, "192.0.2.1")
        assert not held(one, "192.0.2.2")
        async with node(server.url) as third:
            await until(lambda: held(third, "192.0.2.1") and held(third, "192.0.2.3"))
            assert not held(third, "192.0.2.2")


async def test_what_was_lifted_does_not_come_back_with_a_node_that_was_away(server: RedisServer) -> None:
    """A node that has not heard of a lift hears of it when it is back, and does not hold the value again for all."""
    async with node(server.url) as one:
        old = entry("192.0.2.1", since=time.time() - 10)
        one.state.quarantine.hold(old)
        await one.total()
        one.state.quarantine.lift("ip", "192.0.2.1", "root")
        await one.total()
        away = Node(server.url)
        away.state.quarantine.hold(old)
        away.start()
        try:
            await until(lambda: not held(away, "192.0.2.1"))
            await sleep(0.2)
            await one.total()
            assert not held(one, "192.0.2.1")
        finally:
            await away.state.stop()


async def test_the_later_end_wins(server: RedisServer) -> None:
    """Of two nodes that hold the same value, each has the end that is later."""
    async with node(server.url) as one, node(server.url) as other:
        one.state.quarantine.hold(entry("192.0.2.1", 100))
        other.state.quarantine.hold(entry("192.0.2.1", 1000))
        for each in (one, other, one, other):
            await each.total()
        for each in (one, other):
            found = each.state.quarantine.find("ip", "192.0.2.1")
            assert found is not None
            assert found.until > time.time() + 900


async def test_what_has_run_out_is_forgotten(server: RedisServer) -> None:
    """The server keeps no entry for much longer than it lasts."""
    async with node(server.url) as one:
        for n in range(5):
            one.state.quarantine.hold(entry(f"192.0.2.{n}", 0.1))
        await one.total()
        await sleep(0.2)
        one.state.quarantine.hold(entry("192.0.2.100"))
        await one.total()
        await sleep(0.05)
        assert server("HLEN", "edgenode:{quarantine}:entries") == 1
        assert server("ZCARD", "edgenode:{quarantine}:log") == server("ZCARD", "edgenode:{quarantine}:ends") == 1


async def test_a_quarantine_that_is_somebody_elses_is_not_shared(server: RedisServer) -> None:
    """Keys of another type in its place are left alone, and counters are shared all the same."""
    server("SET", "edgenode:{quarantine}:head", "mine")
    async with node(server.url) as one, node(server.url) as other:
        one.state.quarantine.hold(entry("192.0.2.1"))
        assert [await each.total() for each in (one, other)] == [1, 2]
        assert held(one, "192.0.2.1")
        assert not held(other, "192.0.2.1")
        assert one.actions == []
    assert server("GET", "edgenode:{quarantine}:head") == b"mine"


async def test_a_flood_of_bans_is_told_in_full(server: RedisServer) -> None:
    """Many values that are held at once arrive all, and requests go on meanwhile."""
    async with node(server.url) as one, node(server.url) as other:
        for n in range(3000):
            one.state.quarantine.hold(entry(f"value {n}", key="header.user-agent"))
        assert await one.total() == 1
        await until(lambda: all(held(other, f"value {n}", "header.user-agent") for n in range(0, 3000, 100)))
        assert await other.total(Call(LIMIT, "k")) == 2
        assert one.actions == other.actions == []


async def test_each_action_is_an_entry_and_a_lift_ends_them_all(server: RedisServer) -> None:
    """A value that is held with two actions is so on all nodes; a lift ends both, and a shorter one may follow it."""
    async with node(server.url) as one, node(server.url) as other:
        for action, seconds in (("monitor", 1000.0), ("block", 100.0)):
            one.state.quarantine.hold(evolve(entry("192.0.2.1", seconds), action=action))
        await one.total()
        await other.total()
        assert {each.action for each in other.state.quarantine.all("ip", "192.0.2.1")} == {"monitor", "block"}
        other.state.quarantine.lift("ip", "192.0.2.1", "root")
        other.state.quarantine.hold(entry("192.0.2.1", 50))
        await other.total()
        await one.total()
        async with node(server.url) as third:
            for each in (one, other, third):
                found = each.state.quarantine.all("ip", "192.0.2.1")
                assert [each.action for each in found] == ["block"]
                assert found[0].until < time.time() + 60


async def test_what_is_said_last_while_the_server_is_away_counts(server: RedisServer) -> None:
    """Held, lifted and held again, or the other way round: the server hears it in that order."""
    async with node(server.url) as one, node(server.url) as other:
        server.kill()
        await until(lambda: one.state.away and other.state.away)
        quarantine = one.state.quarantine
        for value in ("192.0.2.1", "192.0.2.2"):
            quarantine.hold(entry(value))
            quarantine.lift("ip", value, "root")
        quarantine.hold(entry("192.0.2.1"))
        server.start()
        await until(lambda: held(other, "192.0.2.1"))
        await sleep(0.1)
        assert not held(other, "192.0.2.2")
        assert held(one, "192.0.2.1")
