"""Deadlines: one timer for all, and its end."""

from __future__ import annotations

from attrs import define
from twisted.internet.task import Clock

from edgenode.net.deadlines import Deadlines


@define(eq=False)
class Last:
    """Something whose end is the end of everything."""

    deadlines: Deadlines
    deadline: float = 1.0

    def expired(self, now: float) -> None:
        """End."""
        self.deadlines.stop()


def test_the_end_may_come_of_a_deadline() -> None:
    """The last connection that expires ends the node: nothing fails, and no timer is left."""
    clock = Clock()
    deadlines = Deadlines(clock, clock.seconds)  # type: ignore[arg-type]
    deadlines.watch(Last(deadlines))
    clock.pump([0.5] * 4)
    assert not clock.getDelayedCalls()


class Turns(Clock):
    """A clock whose calls are made one by one."""

    def turn(self) -> None:
        """Make the next call, when its time has come."""
        call = self.calls.pop(0)
        self.rightNow = max(self.rightNow, call.getTime())
        call.func(*call.args)


@define(eq=False)
class Costly:
    """Something that takes four milliseconds to end."""

    turns: Turns
    deadlines: Deadlines
    deadline: float = 1.0

    def expired(self, now: float) -> None:
        """End, and take a while."""
        self.turns.rightNow += 0.004
        self.deadlines.forget(self)


def test_much_that_expires_at_once_does_not_block() -> None:
    """Of a hundred deadlines at the same time a few pass in each turn of the reactor, one after the other."""
    turns = Turns()
    deadlines = Deadlines(turns, turns.seconds)  # type: ignore[arg-type]
    for _ in range(100):
        deadlines.watch(Costly(turns, deadlines))
    took = []
    while turns.calls:
        before = turns.seconds()
        turns.turn()
        took.append(turns.seconds() - before)
    assert len(took) > 30
    assert max(took[5:]) < 0.015
