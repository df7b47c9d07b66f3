"""Health checks: when a server is up and when it is down, on a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.health import OriginHealth
from edgenode.proxy.origin.health_check import HealthCheck
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.probing import Unhealthy
from edgenode.proxy.origin.standing import Checked
from tests.proxy.origin.pooled import Pooled


class FakeProbe:
    """In place of what checks a server: the test says what it finds."""

    def __init__(self) -> None:
        self.asked: Deferred[None] | None = None

    def run(self) -> Deferred[None]:
        """Wait for the test."""
        self.asked = Deferred()
        return self.asked

    def stop(self) -> None:
        """Nothing is open."""

    def find(self, good: bool) -> None:
        """End the check."""
        asked, self.asked = self.asked, None
        assert asked is not None
        if good:
            asked.callback(None)
        else:
            asked.errback(Unhealthy("it answers 503"))


class Checking:
    """The checks of an origin with one server."""

    def __init__(self, check: HealthCheck) -> None:
        self.pooled = Pooled()
        self.probe = FakeProbe()
        self.told: list[bool] = []
        self.health = OriginHealth(self.pooled.pool, check, self._changed, lambda *_: self.probe)

    def _changed(self, pool: OriginPool, server: Balanced, checked: Checked) -> None:
        self.told.append(checked.healthy)

    @property
    def server(self) -> Balanced:
        """The server."""
        return self.pooled.pool.balancer.servers[0]


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_a_server_goes_down_and_up_by_checks_in_a_row(found: list[bool], rise: int, fall: int) -> None:
    """The first check counts at once; every change, and nothing else, is told."""
    checking = Checking(HealthCheck(rise=rise, fall=fall))
    checking.health.start()
    up, row, changes = True, 0, list[bool]()
    for number, good in enumerate(found):
        checking.pooled.loop.advance(5.5 if number else 0.1)
        checking.probe.find(good)
        row = 0 if good == up else row + 1
        if row >= (1 if number == 0 else rise if good else fall):
            up, row = good, 0
            changes.append(up)
        assert checking.server.healthy is up
    assert checking.told == changes
    if found:
        standing = checking.pooled.pool.standing.checks[checking.server.text]
        assert (standing.passed, standing.failed) == (found.count(True), found.count(False))
    checking.health.stop()


def test_the_first_check_comes_at_once_and_the_next_after_the_interval() -> None:
    """Within a tenth of a second, and then not before the interval has passed, counted from the end of the last."""
    checking = Checking(HealthCheck())
    checking.health.start()
    checking.pooled.loop.advance(0.1)
    checking.pooled.loop.advance(60)  # one at a time
    checking.probe.find(True)
    checking.pooled.loop.advance(4.9)
    assert checking.probe.asked is None
    checking.pooled.loop.advance(0.7)
    assert checking.probe.asked is not None
    checking.health.stop()
    checking.pooled.loop.advance(60)


def test_without_checks_every_server_is_up() -> None:
    """Nobody would ever bring back one that is down."""
    checking = Checking(HealthCheck())
    checking.health.start()
    checking.pooled.loop.advance(0.1)
    checking.probe.find(False)
    assert not checking.server.healthy
    checking.health.forget()
    assert checking.server.healthy
