"""Deadlines: nothing expires early, nothing much too late, and nobody waits for what expires."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import Factory, define
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from edgenode.net.deadlines import NEVER, SWEEP, Deadlines


@define(eq=False)
class Expiring:
    """Something with a deadline.

    :ivar times: when it expired.
    :ivar then: what else happens then.
    """

    deadline: float = 1.0
    times: list[float] = Factory(list)
    then: Callable[[], object] = lambda: None

    def expired(self, now: float) -> None:
        """Note it, and wait for nothing more."""
        self.times.append(now)
        self.deadline = NEVER
        self.then()


@pytest.fixture
def clock() -> Clock:
    """Time, which passes when it is told to."""
    return Clock()


@pytest.fixture
def deadlines(clock: Clock) -> Deadlines:
    """Deadlines on that clock."""
    return Deadlines(clock, clock.seconds)


def pump(clock: Clock, seconds: float) -> None:
    """Let time pass in small steps."""
    clock.pump([0.01] * round(seconds * 100))


@pytest.mark.parametrize("deadline", [0.0, 0.1, 1.0, 1.05, 2.999])
def test_nothing_expires_early_or_much_too_late(clock: Clock, deadlines: Deadlines, deadline: float) -> None:
    """It expires once, after its deadline and before two more sweeps."""
    watched = Expiring(deadline)
    deadlines.watch(watched)
    pump(clock, 4)
    (time,) = watched.times
    assert deadline <= time <= deadline + 2 * SWEEP


def test_a_deadline_may_be_moved(clock: Clock, deadlines: Deadlines) -> None:
    """Further away or nearer, without a word to the deadlines."""
    later, sooner = Expiring(1.0), Expiring(60.0)
    deadlines.watch(later)
    deadlines.watch(sooner)
    pump(clock, 0.5)
    later.deadline, sooner.deadline = 3.0, 1.0
    pump(clock, 2)
    assert (later.times, len(sooner.times)) == ([], 1)
    pump(clock, 1)
    assert len(later.times) == 1


def test_what_never_expires_never_expires(clock: Clock, deadlines: Deadlines) -> None:
    """Nor does what has been forgotten, even if it was never watched."""
    never, forgotten = Expiring(NEVER), Expiring(1.0)
    deadlines.watch(never)
    deadlines.watch(forgotten)
    deadlines.forget(forgotten)
    deadlines.forget(Expiring())
    pump(clock, 100)
    assert (never.times, forgotten.times) == ([], [])


def test_there_is_a_timer_only_while_anything_is_watched(clock: Clock, deadlines: Deadlines) -> None:
    """One for all; it ends with the last, and comes back with the next."""
    first, second = Expiring(NEVER), Expiring(NEVER)
    assert not clock.getDelayedCalls()
    deadlines.watch(first)
    deadlines.watch(second)
    assert len(clock.getDelayedCalls()) == 1
    pump(clock, 1)
    assert len(clock.getDelayedCalls()) == 1
    deadlines.forget(first)
    deadlines.forget(second)
    pump(clock, 1)
    assert not clock.getDelayedCalls()
    third = Expiring(0.0)
    deadlines.watch(third)
    pump(clock, 1)
    assert len(third.times) == 1


def test_stopping_forgets_everything(clock: Clock, deadlines: Deadlines) -> None:
    """No timer is left, and nothing expires; it can be used again."""
    watched = Expiring(1.0)
    deadlines.watch(watched)
    deadlines.stop()
    deadlines.stop()
    assert not clock.getDelayedCalls()
    pump(clock, 2)
    assert watched.times == []
    deadlines.watch(watched)
    pump(clock, 1)
    assert len(watched.times) == 1


def test_the_end_may_come_of_a_deadline(clock: Clock, deadlines: Deadlines) -> None:
    """The last connection that expires ends the node: nothing fails, and no timer is left."""
    deadlines.watch(Expiring(then=deadlines.stop))
    pump(clock, 2)
    assert not clock.getDelayedCalls()


def test_what_another_ends_does_not_expire(clock: Clock, deadlines: Deadlines) -> None:
    """Both expire in the same sweep, and the first ends the second."""
    pair = [Expiring(), Expiring()]
    for watched, other in (pair, reversed(pair)):

        def end(other: Expiring = other) -> None:
            deadlines.forget(other)

        watched.then = end
        deadlines.watch(watched)
    pump(clock, 2)
    assert sorted(len(each.times) for each in pair) == [0, 1]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_failure_is_not_repeated_at_once(
    clock: Clock,
    deadlines: Deadlines,
    error: type[BaseException],
    flush_logged_errors: Callable[..., list[Failure]],
) -> None:
    """What fails when it expires is logged and left alone for a minute; the others expire."""

    def fail() -> None:
        failing.deadline = 0.0
        raise error

    failing, others = Expiring(then=fail), [Expiring() for _ in range(5)]
    for each in (failing, *others):
        deadlines.watch(each)
    pump(clock, 50)
    assert [len(each.times) for each in (failing, *others)] == [1] * 6
    pump(clock, 15)
    assert len(failing.times) == 2
    assert len(flush_logged_errors(error)) == 2


class Turns(Clock):
    """A clock whose calls are made one by one."""

    def turn(self) -> None:
        """Make the next call, when its time has come."""
        call = self.calls.pop(0)
        self.rightNow = max(self.rightNow, call.getTime())
        call.func(*call.args)


def test_much_that_expires_at_once_does_not_block() -> None:
    """Of a hundred at the same time that take 4 ms each, a few expire in a turn, and the rest in the next turns."""
    turns = Turns()
    deadlines = Deadlines(turns, turns.seconds)

    def end(watched: Expiring) -> None:
        turns.rightNow += 0.004
        deadlines.forget(watched)

    for _ in range(100):
        watched = Expiring()
        watched.then = lambda watched=watched: end(watched)  # type: ignore[misc]
        deadlines.watch(watched)
    took = []
    while turns.calls:
        before = turns.seconds()
        turns.turn()
        took.append(turns.seconds() - before)
    busy = [each for each in took if each]
    assert len(busy) > 30
    assert max(took[5:]) < 0.015
    assert turns.seconds() < 1.0 + 2 * SWEEP + 100 * 0.004
