"""Many requests of one client at once: so many connections are opened for it at a time, and its others wait."""

from __future__ import annotations

import pytest

from edgenode.model.errors import OriginError
from edgenode.proxy.origin.bursts import AT_ONCE
from tests.proxy.origin.pooled import Borrowing, FakeOpening, Pooled

_MORE = 5


def burst(pooled: Pooled, client: object, number: int) -> list[Borrowing]:
    """Ask for connections, all at once."""
    borrowing = [Borrowing(pool=pooled.pool, client=client) for _ in range(number)]
    for each in borrowing:
        each.place = pooled.pool.borrow(each)
    return borrowing


@pytest.fixture
def pooled() -> Pooled:
    """A pool of which one client wants more than it gets at once."""
    pooled = Pooled()
    burst(pooled, "hasty", AT_ONCE + _MORE)
    assert (len(pooled.openings), pooled.pool.queued) == (AT_ONCE, _MORE)
    return pooled


def test_another_client_need_not_wait_for_one_that_opens_many(pooled: Pooled) -> None:
    """For it a connection is opened at once; and for who is nobody's, such as requests of HTTP/1.1, as many as ever."""
    for client, number in ("calm", 1), (None, AT_ONCE * 2):
        before = len(pooled.openings)
        burst(pooled, client, number)
        assert len(pooled.openings) == before + number


@pytest.mark.parametrize("how", ["succeed", "cancel"])
def test_when_one_is_there_or_has_failed_the_next_is_opened(pooled: Pooled, how: str) -> None:
    """One each, until nobody waits."""
    for number in range(AT_ONCE + _MORE):
        assert len(pooled.openings) == AT_ONCE + min(number, _MORE)
        getattr(pooled.openings[number], how)()
        pooled.loop.settle()
    burst(pooled, "hasty", AT_ONCE)  # what was opened before does not count
    assert (len(pooled.openings), pooled.pool.queued) == (2 * AT_ONCE + _MORE, 0)


def test_who_waits_takes_what_has_come_free(pooled: Pooled) -> None:
    """Then nothing is opened for it."""
    for opening in pooled.openings[:_MORE]:
        pooled.pool.release(opening.succeed())  # type: ignore[arg-type]
    pooled.loop.settle()
    assert (len(pooled.openings), pooled.pool.queued) == (AT_ONCE, 0)
    assert len(pooled.pool._bursts._bursts) == 1


def test_nothing_is_kept_of_a_client_for_whom_nothing_is_opened(pooled: Pooled) -> None:
    """Whatever becomes of its requests."""
    for opening in [*pooled.openings]:
        opening.fail(OriginError(502, "connect", "refused"))
    pooled.loop.settle()
    while unfinished := [each for each in pooled.openings if each in pooled.pool._opening]:
        unfinished[0].succeed()
        pooled.loop.settle()
    assert len(pooled.openings) == AT_ONCE + _MORE
    assert pooled.pool._bursts._bursts == {}


def test_nothing_is_kept_of_a_client_whose_requests_have_left_when_their_turn_comes() -> None:
    """In whatever order they leave."""
    pooled = Pooled()
    first, *others, waiting = burst(pooled, "hasty", AT_ONCE + 1)
    for each in (first, waiting, *others):
        each.place.cancel()
    pooled.loop.settle()
    assert pooled.pool._bursts._bursts == {}


def test_nothing_is_kept_of_a_client_whose_last_connection_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one to a Unix socket that is not there does."""
    pooled = Pooled()
    *_, waiting = burst(pooled, "hasty", AT_ONCE + 1)
    monkeypatch.setattr(FakeOpening, "begin", lambda self: self.fail(OriginError(502, "connect", "refused")))
    for opening in [*pooled.openings]:
        opening.cancel()
    pooled.loop.settle()
    assert [error.reason for error in waiting.errors] == ["refused"]
    assert pooled.pool._bursts._bursts == {}


def test_the_end_of_the_pool_is_told_to_who_waits_for_its_own_turn(pooled: Pooled) -> None:
    """And not only to those for whom something is being opened."""
    waiting = burst(pooled, "hasty", 2)
    pooled.pool.abort("the node stops")
    assert [str(error.reason) for each in waiting for error in each.errors] == ["the node stops"] * 2
    assert pooled.pool.queued == 0


def test_who_waits_has_its_time(pooled: Pooled) -> None:
    """As in the queue of ``max-connections``."""
    (waiting,) = burst(pooled, "hasty", 1)
    pooled.loop.advance(5.5)
    pooled.loop.settle()
    assert [error.status for error in waiting.errors] == [503]


def test_where_nobody_may_wait_nobody_does() -> None:
    """``max-queued = 0`` is what the operator wants: an answer at once."""
    pooled = Pooled(max_queued=0)
    burst(pooled, "hasty", AT_ONCE * 3)
    assert len(pooled.openings) == AT_ONCE * 3
