"""The rates of the last minute: what has been counted since, per second, and no longer ago."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from edgenode.observe.metrics.meter import Meter, RequestCounts
from edgenode.observe.metrics.rates import PERIOD, SPAN, LastMinute


class Timers(Clock):
    """Timers, and the clock that a poller has."""

    def clock(self) -> float:
        """Monotonic seconds."""
        return self.seconds()


def count(meter: Meter, requests: int, digit: int = 2, action: str = "", mode: str = "block") -> None:
    """Count so many requests of one kind."""
    key = ("public", "shop", "all", digit, action, mode)
    meter.requests.setdefault(key, RequestCounts()).buckets[0] += requests


@pytest.fixture
def clock() -> Timers:
    """A clock."""
    return Timers()


def test_rates_are_of_the_last_minute(clock: Timers) -> None:
    """Until a minute is over, of the time since the start; then of what came within a minute, and nothing before."""
    meter = Meter()
    minute = LastMinute(meter, clock)
    assert minute.rates().requests == 0
    minute.start()
    count(meter, 60)
    clock.pump([1.0] * 30)
    rates = minute.rates()
    assert (rates.seconds, rates.requests, rates.statuses) == (30, 2, {"2xx": 2})
    clock.pump([1.0] * 60)
    count(meter, 12, 4)
    rates = minute.rates()
    assert SPAN - PERIOD <= rates.seconds <= SPAN + PERIOD
    assert rates.statuses == {"4xx": 12 / rates.seconds}
    minute.stop()
    assert not clock.getDelayedCalls()


def test_what_rules_have_refused_is_told(clock: Timers) -> None:
    """In monitoring nobody is, and neither by an action that keeps nobody from anything."""
    meter = Meter()
    minute = LastMinute(meter, clock)
    minute.start()
    count(meter, 10, 4, "block")
    count(meter, 20, 2, "block", "monitoring")
    count(meter, 40, 2, "let pass")
    clock.advance(10)
    assert minute.rates({"let pass"}).blocked == 1
    minute.stop()


def test_the_filters_that_match_most_are_told(clock: Timers) -> None:
    """Three of them, in their order, whatever actions they propose; not those that only put on tags."""
    meter = Meter()
    minute = LastMinute(meter, clock)
    minute.start()
    for filter, number in (("a", 10), ("b", 40), ("c", 20), ("", 30)):
        meter.filters["global-filters", filter, "block", "block", True] = [number]
        meter.filters["global-filters", filter, "monitor", "block", False] = [number]
        meter.filters["global-filters", filter + "-tags", "", "block", False] = [1000]
    clock.advance(10)
    assert [*minute.rates().filters.items()] == [("b", 8), ("global-filters", 6), ("c", 4)]
    minute.stop()


def test_a_node_that_serves_again_begins_anew(clock: Timers) -> None:
    """What was counted in an earlier life is no rate of this one."""
    meter = Meter()
    minute = LastMinute(meter, clock)
    minute.start()
    count(meter, 100)
    clock.advance(10)
    minute.stop()
    minute.start()
    clock.advance(10)
    assert minute.rates().requests == 0
    minute.stop()
