"""What ``edgenode origins`` has a node do: it tells of servers, drains one, and takes that back."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from edgenode.node.control import Report
from edgenode.node.origin_orders import obey, state_of
from edgenode.proxy.origin.balancing import Balancer
from tests.proxy.origin.pooled import Pooled


def order(pooled: Pooled, **words: str) -> Report:
    """Give an order."""
    return obey(words, {"shop": pooled.pool})


def listed(pooled: Pooled) -> Any:
    """What the list says of the servers."""
    report = order(pooled, do="list")
    assert report.done
    (origin,) = json.loads(report.text)
    return {each["address"]: (each["state"], each["active"], each["idle"]) for each in origin["servers"]}


def test_a_server_is_drained_until_that_is_taken_back() -> None:
    """Its requests go to the others, and those under way are told."""
    pooled = Pooled(2)
    first = pooled.take()
    assert listed(pooled) == {"s0:80": ("up", 1, 0), "s1:80": ("up", 0, 0)}
    report = order(pooled, do="drain", origin="shop", server="s0:80")
    assert report == Report(True, "s0:80 gets no new requests; under way: 1")
    assert {pooled.take().server.text for _ in range(3)} == {"s1:80"}
    pooled.pool.release(cast(Any, first))
    assert listed(pooled) == {"s0:80": ("draining", 0, 1), "s1:80": ("up", 3, 0)}
    assert order(pooled, do="drain", origin="shop", server="http://s1:80").text.endswith("; no server is left")
    assert len(pooled.borrow().errors) == 1
    assert order(pooled, do="undrain", origin="shop", server="s0:80").done
    assert pooled.take() is first


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"do": "drain", "origin": "shop", "server": "s2:80"}, "origin origin has no server 's2:80'"),
        ({"do": "list", "origin": "shap"}, "there is no origin 'shap'"),
        ({"do": "drain", "server": "s0:80"}, "an order says list, drain or undrain"),
        ({}, "an order says list, drain or undrain"),
    ],
)
def test_what_is_no_order_changes_nothing(words: dict[str, str], sentence: str) -> None:
    """It is said what is wrong with it."""
    pooled = Pooled(2)
    report = order(pooled, **words)
    assert not report.done
    assert report.text.startswith(sentence)
    assert not any(each.draining for each in pooled.pool.balancer.servers)


def test_the_state_of_a_server_is_a_word() -> None:
    """Drained, down by its health checks, out for its failures, to be tried, or up."""
    (server,) = Balancer(Pooled().pool.origin.servers, 1, 10.0).servers
    assert state_of(server, 5.0) == "up"
    server.out_until = 10.0
    assert (state_of(server, 5.0), state_of(server, 10.0)) == ("out", "trial")
    server.healthy = False
    assert state_of(server, 5.0) == "down"
    server.draining = True
    assert state_of(server, 5.0) == "draining"
