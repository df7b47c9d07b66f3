"""The queue before an origin whose connections are all in use: in order, bounded in length and time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.web._newclient import RequestNotSent
from twisted.web.client import readBody

from edgenode.proxy.origin.agent import OriginAgent
from tests.proxy.origin.pooled import Borrowing, FakeConnection, Pooled
from tests.support.node import OK, PKI, Origin, Served, get, started
from tests.support.pools import beneath, pool_to

pytestmark = pytest.mark.lasting


def wait(pooled: Pooled, number: int = 1, **options: Any) -> list[Borrowing]:
    """Let some wait."""
    waiting = [Borrowing(pool=pooled.pool) for _ in range(number)]
    for each in waiting:
        assert pooled.pool.borrow(each, **options) is not None
    assert not any(each.got or each.errors for each in waiting)
    return waiting


def give_back(pooled: Pooled, connection: FakeConnection) -> None:
    """A request is over."""
    pooled.pool.release(connection)  # type: ignore[arg-type]
    pooled.loop.settle()


def test_who_came_first_is_served_first() -> None:
    """With the connection that came free; who comes later overtakes nobody."""
    pooled = Pooled(max_connections=1)
    connection = pooled.take()
    waiting = wait(pooled, 2)
    pooled.pool.release(connection)  # type: ignore[arg-type]
    waiting += wait(pooled)  # it is free, and is another's
    pooled.loop.settle()
    for number, each in enumerate(waiting):
        assert [len(other.got) for other in waiting] == [1] * (number + 1) + [0] * (2 - number)
        assert each.got == [(connection, True)]
        give_back(pooled, connection)
    assert (pooled.pool.queued, len(pooled.openings)) == (0, 1)


@pytest.mark.parametrize("how", ["ended", "failed", "cancelled"])
def test_a_place_that_comes_free_is_for_who_waits(how: str) -> None:
    """Where a connection has ended, or was not established, another is opened."""
    pooled = Pooled(max_connections=1)
    if how == "ended":
        connection = pooled.take()
    else:
        pooled.pool.borrow(Borrowing())
    (waiting,) = wait(pooled)
    if how == "ended":
        connection.end("reset")
    elif how == "failed":
        from edgenode.model.errors import OriginError

        pooled.openings[0].fail(OriginError(502, "connect", "for the test"))
    else:
        pooled.openings[0].cancel()
    pooled.loop.settle()
    pooled.openings[1].succeed()
    assert len(waiting.got) == 1
    assert pooled.pool.open == 1


def test_no_more_wait_than_may() -> None:
    """The next is refused at once with 503, and the reason names the key."""
    pooled = Pooled(max_connections=1, max_queued=2)
    pooled.take()
    wait(pooled, 2)
    (error,) = pooled.borrow().errors
    assert (error.status, error.kind, error.sent) == (503, "unavailable", False)
    assert error.reason == "all connections to the origin are in use, and 2 requests wait for one: max-queued"
    assert pooled.pool.queued == 2


def test_nobody_waits_longer_than_queue_timeout() -> None:
    """Then it is 503 with a reason of its own, and the place is another's."""
    pooled = Pooled(max_connections=1, max_queued=1, queue_timeout=3)
    connection = pooled.take()
    (late,) = wait(pooled)
    pooled.loop.wait(2.5)
    assert late.errors == []
    pooled.loop.wait(1)
    assert [(each.status, each.kind) for each in late.errors] == [(503, "unavailable")]
    assert late.errors[0].reason == "no connection to the origin came free within 3 s: queue-timeout"
    (waiting,) = wait(pooled)
    give_back(pooled, connection)
    assert (late.got, len(waiting.got)) == ([], 1)


def test_who_gives_up_leaves_the_queue() -> None:
    """Its place is free, and the next one's turn comes."""
    pooled = Pooled(max_connections=1, max_queued=2)
    connection = pooled.take()
    gone, waiting = Borrowing(pool=pooled.pool), Borrowing(pool=pooled.pool)
    place = pooled.pool.borrow(gone)
    pooled.pool.borrow(waiting)
    assert place is not None
    place.cancel()
    place.cancel()
    assert pooled.pool.queued == 1
    give_back(pooled, connection)
    assert (gone.got, gone.errors, len(waiting.got)) == ([], [], 1)


def test_a_connection_to_any_server_is_as_good() -> None:
    """Under load none is closed because it is another server's turn; of one that was tried, or is out, it is."""
    pooled = Pooled(2, max_connections=2)
    first, second = pooled.take(), pooled.take()
    for _ in range(3):
        (waiting,) = wait(pooled)
        give_back(pooled, first)
        assert waiting.got == [(first, True)]
    waiting = Borrowing(pool=pooled.pool)
    place = pooled.pool.borrow(waiting, fresh=True)
    give_back(pooled, first)
    assert place is not None
    assert (first.ended, second.ended, len(pooled.openings)) == ("closed", "", 3)


def test_the_end_of_the_pool_is_told_to_who_waits() -> None:
    """Nobody is left behind."""
    pooled = Pooled(max_connections=1)
    pooled.take()
    waiting = wait(pooled, 2)
    pooled.pool.abort()
    assert [error.reason for each in waiting for error in each.errors] == ["the node stops"] * 2


# -- with an agent, and in the node ------------------------------------------------------------------------------------


async def test_requests_of_an_agent_wait_for_each_other(pki: PKI) -> None:
    """Ten at once over two connections: all are answered, in their order."""
    with Origin(pki, tls=False) as origin, pool_to(pki, origin.port, tls=False, max_connections=2) as pool:
        agent = OriginAgent(pool)
        asked = [agent.request(b"GET", b"http://origin.test/%d" % number) for number in range(10)]
        assert (pool.open, pool.queued) == (2, 8)
        for each in asked:
            assert await readBody(await each) == b"ok"
        assert (pool.open, pool.queued) == (2, 0)
    assert len(origin.connections) == 2
    numbers = [int(request.split(b" ")[1][1:]) for request in origin.requests]
    assert sorted(numbers) == list(range(10))
    for received in origin.connections:  # which of the two has come free first is the origin's matter
        on_it = [int(each) for each in re.findall(rb"GET /(\d+) ", received)]
        assert on_it == sorted(on_it)


async def test_an_agent_that_waits_in_vain_has_not_sent_its_request(pki: PKI) -> None:
    """``RequestNotSent``, and by ``queue-timeout`` or cancelled nothing of it is left."""
    with (
        Origin(pki, Served.stall, tls=False) as origin,
        pool_to(pki, origin.port, tls=False, max_connections=1, queue_timeout=0.2) as pool,
    ):
        agent = OriginAgent(pool)
        busy, late, gone = (agent.request(b"GET", b"http://origin.test/") for _ in range(3))
        gone.cancel()
        with pytest.raises(CancelledError):
            await gone
        assert pool.queued == 1
        with pytest.raises(RequestNotSent) as caught:
            await late
        assert (beneath(caught.value).status, beneath(caught.value).sent) == (503, False)
        busy.cancel()
        with pytest.raises(CancelledError):
            await busy
        await deferLater(pool.reactor, 0.01)
        assert (pool.open, pool.queued) == (0, 0)


async def test_the_node_s_requests_wait_too(pki: PKI) -> None:
    """The second is answered after the first, and its event has the time; the third waits in vain."""
    changes = {"origin origin": {"max-connections": "1", "max-queued": "1", "queue-timeout": "400ms"}}

    def slow(served: Served) -> None:
        while served.request() is not None:
            import time

            time.sleep(0.1)
            served.send(OK)

    with Origin(pki, slow) as origin:
        async with started(pki, origin, changes) as node:
            from twisted.internet.defer import ensureDeferred, gatherResults

            asked = [ensureDeferred(node.exchange(get(close=True))) for _ in range(3)]
            answers = await gatherResults(asked)
            assert sorted(answer[9:12] for answer in answers) == [b"200", b"200", b"503"]
            events = await node.events.take(3)
    refused = next(event for event in events if event["status"] == 503)
    assert refused["error"]["reason"].endswith("max-queued")
    assert sorted(bool(event["origin"] and event["origin"].get("queued", 0) > 10_000) for event in events) == [
        False, False, True,
    ]  # fmt: skip
