"""What keeps an origin in trouble from being asked more than it can take."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from edgenode.model.settings import Percent
from edgenode.proxy.origin.circuit import RetryBudget
from edgenode.proxy.origin.client import OriginClient
from edgenode.proxy.origin.origin import Origin as Section
from edgenode.proxy.origin.server import Server
from tests.support.node import OK, PKI, Origin, Served, answering, until
from tests.support.pools import pool_to

SERVERS = (Server.from_text("https://a.test"),)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """Certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


def test_a_share_of_requests_may_be_second_attempts() -> None:
    """And a minimum, however few there are; without a budget all may be."""
    budget = RetryBudget(Section(servers=SERVERS, retry_budget=Percent(0.2), retry_minimum=1))
    assert budget.take(1)
    assert not budget.take(4)
    assert budget.take(10)
    assert not budget.take(10)
    budget.give_back()
    assert budget.take(10)
    assert RetryBudget(Section(servers=SERVERS)).take(0)


async def test_a_request_over_the_budget_gets_the_first_answer(pki: PKI) -> None:
    """It is whole: what a retry would have given up is the client's."""
    unwell = answering(b"HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nsad")
    with Origin(pki, unwell) as first, Origin(pki, unwell) as second:
        settings: Any = {"next_upstream": ("http-503",), "max_fails": 0, "retry_budget": Percent(0.0)}
        with pool_to(pki, first.port, second.port, retry_minimum=0, **settings) as pool:
            answer = await OriginClient(pool, 10.0).ask("GET", f"https://origin.test:{first.port}/")
            assert (answer.status, answer.content) == (503, b"sad")
            assert len(first.requests) + len(second.requests) == 1
        with pool_to(pki, first.port, second.port, retry_minimum=1, **settings) as pool:
            answer = await OriginClient(pool, 10.0).ask("GET", f"https://origin.test:{first.port}/")
            assert (answer.status, answer.content, pool.retries.under_way) == (503, b"sad", 0)
            assert len(first.requests) + len(second.requests) == 3


async def test_no_more_requests_than_agreed_are_under_way(pki: PKI) -> None:
    """The others wait in the queue, and get their answers in turn."""
    seen: list[int] = []

    def counting(served: Served) -> None:
        while served.request():
            seen.append(pool.active)
            served.send(OK)

    with Origin(pki, counting) as origin, pool_to(pki, origin.port, max_requests=2) as pool:
        client, url = OriginClient(pool, 10.0), f"https://origin.test:{origin.port}/"
        asked = [Deferred.fromCoroutine(client.ask("GET", url)) for _ in range(6)]
        assert (pool.active, pool.queued) == (2, 4)
        for each in asked:
            assert (await each).status == 200
        await until(lambda: not pool.active)
    assert max(seen) <= 2
    assert len(seen) == 6
