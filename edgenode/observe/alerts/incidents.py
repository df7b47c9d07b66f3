"""When an alert is raised and when it is resolved: a pure machine, driven by the times of events and of a clock.

Law: its time never goes back, and what comes late is counted where it belongs. A value is looked at when an event of it
comes, and in each new second; it is raised once, and resolved once its condition has been false for long enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import floor
from typing import Any

from attrs import define, evolve, frozen

from edgenode.observe.alerts.condition import Condition
from edgenode.observe.alerts.windows import Windows

MOST_VALUES = 10_000
"""So many values an alert counts by themselves; the coldest go."""

MOST_RAISED = 1000
"""So many of them are raised at a time; a further one has to wait until there is room."""

MOST_DIFFERENT = 200_000
"""So many different values are remembered by an alert that counts these, of all that it counts by."""

LONGEST_VALUE = 256
"""Characters of a value; what is longer is cut."""


@frozen
class Incident:
    """A condition that has become true of a value, until it no longer was.

    :ivar value: the value; empty if the alert counts all events together.
    :ivar since: when it was raised, seconds since the epoch.
    :ivar count: how many events there were then, or of a hundred of a share; the most that was seen since.
    :ivar until: when it was resolved; ``None`` while it is raised.
    """

    value: str
    since: float
    count: int
    until: float | None = None

    @property
    def identity(self) -> str:
        """What tells it from every other one of its alert."""
        return f"{self.since:.6f} {self.value}"


@define
class _Raised:
    """One that is raised.

    :ivar last: when its condition was true last.
    """

    incident: Incident
    last: float


class Machine:
    """One alert.

    :param condition: the threshold.
    :param resolve_after: how long the condition has to be false until it is resolved, seconds.
    :param distinct: whether different values are counted.
    :param at_least: of fewer events in the window there is no share.
    :param start: from when on every event is told, seconds since the epoch: that there are few can be said only once a
        whole window was seen.
    :ivar now: its time, seconds since the epoch.
    :ivar counted: how many events it has counted.
    :ivar waiting: how many times a value was over and not raised, for too many were.
    """

    def __init__(
        self,
        condition: Condition,
        resolve_after: float = 0.0,
        distinct: bool = False,
        at_least: int = 0,
        start: float = float("-inf"),
    ) -> None:
        self._condition = condition
        self._resolve_after = resolve_after
        self._at_least = at_least
        different = condition.number + 1 if distinct else 0
        most = MOST_VALUES if not distinct else min(MOST_VALUES, MOST_DIFFERENT // different)
        self._windows = Windows(condition.period, most, different)
        self._totals = Windows(condition.period, MOST_VALUES) if condition.share else None
        self._raised: dict[str, _Raised] = {}
        self._start = start
        self.now = float("-inf")
        self.counted = self.waiting = 0

    @property
    def forgotten(self) -> int:
        """How many values have had to go, for there were too many."""
        return self._windows.forgotten + (self._totals.forgotten if self._totals is not None else 0)

    @property
    def raised(self) -> tuple[Incident, ...]:
        """What is raised, the longest first."""
        return tuple(each.incident for each in self._raised.values())

    def take(self, time: float, value: str = "", what: str = "", counts: bool = True) -> list[Incident]:
        """Take an event.

        :param time: when it has happened, seconds since the epoch.
        :param value: what it is counted by.
        :param what: the value of which different ones are counted.
        :param counts: whether it is one of those that count; else it is one of those of which they are a share.
        :returns: what was raised, and what was resolved: that has an ``until``.
        """
        changes = self.advance(time)
        value, what = value[:LONGEST_VALUE], what[:LONGEST_VALUE]
        self.recall(time, value, what, counts)
        return changes + self._judge([value])

    def recall(self, time: float, value: str = "", what: str = "", counts: bool = True) -> None:
        """Count an event that was taken before, and judge nothing."""
        self.now = max(self.now, time)
        if counts:
            self.counted += 1
            self._windows.add(value, time, self.now, what, self._raised)
        if self._totals is not None:
            self._totals.add(value, time, self.now, kept=self._raised)

    def advance(self, now: float) -> list[Incident]:
        """It is so late; returns what has changed, as :meth:`take` does."""
        before, self.now = self.now, max(self.now, now)
        if before > float("-inf") and floor(self.now) == floor(before):
            return []
        return self._judge(list(self._raised) or ([""] if self._condition.less else []))

    def set_back(self, now: float) -> None:
        """The clock was set back: what was counted is forgotten, and what is raised stays so for as long as if it had
        been true until now."""
        self.now = self._start = now
        self._windows.clear()
        if self._totals is not None:
            self._totals.clear()
        for each in self._raised.values():
            each.last = now

    def _judge(self, values: Iterable[str]) -> list[Incident]:
        changes: list[Incident] = []
        for value in values:
            raised, count = self._raised.get(value), self._windows.count(value, self.now)
            total = self._totals.count(value, self.now) if self._totals is not None else count
            holds = self._holds(count, total)
            if holds is None:
                continue
            seen = count * 100 // max(total, 1) if self._condition.share else count
            if raised is None:
                changes += self._raise(value, seen) if holds else ()
            elif holds:
                raised.last = self.now
                if (seen < raised.incident.count) if self._condition.less else (seen > raised.incident.count):
                    raised.incident = evolve(raised.incident, count=seen)
            elif self.now - raised.last >= self._resolve_after:
                del self._raised[value]
                changes.append(evolve(raised.incident, until=self.now))
        return changes

    def _raise(self, value: str, count: int) -> Iterable[Incident]:
        if len(self._raised) >= MOST_RAISED:
            self.waiting += 1
            return ()
        incident = Incident(value, self.now, count)
        self._raised[value] = _Raised(incident, self.now)
        return (incident,)

    def _holds(self, count: int, total: int) -> bool | None:
        """Whether the condition is true; ``None``: it is not known, for a whole window was not seen yet."""
        if self._condition.share and total < max(self._at_least, 1):
            return False
        holds = self._condition.holds(count, total)
        seen = self.now - self._start >= self._condition.period
        return holds if not (holds and self._condition.less) or seen else None

    # -- what outlasts the process -------------------------------------------------------------------------------------

    def kept(self) -> list[list[Any]]:
        """What is raised, as JSON has it."""
        return [
            [each.incident.value, each.incident.since, each.incident.count, each.last] for each in self._raised.values()
        ]

    def restore(self, kept: Iterable[Any], now: float) -> None:
        """Go on where another has stopped.

        :param kept: of :meth:`kept`.
        :param now: the time of the other.
        :raises ValueError: if it is none, as TypeError too.
        """
        for value, since, count, last in kept:
            incident = Incident(str(value), float(since), int(count))
            self._raised[incident.value] = _Raised(incident, float(last))
        self.now = max(self.now, now)
