"""When an alert is raised and when it is resolved, against the most obvious reading of its key."""

from __future__ import annotations

from math import floor

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.observe.alerts import incidents
from edgenode.observe.alerts.condition import Condition
from edgenode.observe.alerts.incidents import Incident, Machine
from edgenode.observe.alerts.windows import PARTS, Events, Windows

CONDITION = Condition(2, 60.0)
"""More than two in a minute: the parts of its window are seconds."""


class Obvious:
    """All events are kept, and counted again whenever something is asked."""

    def __init__(self, condition: Condition, resolve_after: float, distinct: bool, at_least: int, start: float) -> None:
        self.condition, self.resolve_after, self.distinct, self.at_least = condition, resolve_after, distinct, at_least
        self.start = start
        self.events: list[tuple[float, str, str, bool]] = []
        self.now: float | None = None
        self.raised: dict[str, tuple[Incident, float]] = {}

    def take(self, time: float, value: str, what: str, counts: bool) -> list[Incident]:
        """An event."""
        changes = self.advance(time)
        self.events.append((time, value, what, counts))
        return changes + self.judge(value)

    def advance(self, now: float) -> list[Incident]:
        """The clock."""
        before = self.now
        self.now = now if before is None else max(before, now)
        if before is not None and floor(before) == floor(self.now):
            return []
        values = list(self.raised) or ([""] if self.condition.less else [])
        return [change for value in values for change in self.judge(value)]

    def part(self, time: float) -> int:
        """Which sixtieth of a window."""
        return floor(time / (self.condition.period / 60))

    def judge(self, value: str) -> list[Incident]:
        """Whether something is raised or resolved."""
        assert self.now is not None
        new = [each for each in self.events if self.part(each[0]) > self.part(self.now) - 60 and each[1] == value]
        counted = [what for _, _, what, counts in new if counts]
        number = min(len(set(counted)), self.condition.number + 1) if self.distinct else len(counted)
        share = number * 100 // max(len(new), 1) if self.condition.share else number
        if self.condition.share:
            threshold = self.condition.number * len(new)
            holds = number * 100 < threshold if self.condition.less else number * 100 > threshold
            holds = holds and len(new) >= max(self.at_least, 1)
        else:
            holds = number < self.condition.number if self.condition.less else number > self.condition.number
        if holds and self.condition.less and self.now - self.start < self.condition.period:
            return []
        if value not in self.raised:
            if not holds:
                return []
            self.raised[value] = (Incident(value, self.now, share), self.now)
            return [self.raised[value][0]]
        incident, last = self.raised[value]
        if holds:
            extreme = min if self.condition.less else max
            self.raised[value] = (evolve(incident, count=extreme(incident.count, share)), self.now)
            return []
        if self.now - last < self.resolve_after:
            return []
        del self.raised[value]
        return [evolve(incident, until=self.now)]


conditions = st.builds(
    Condition,
    st.integers(1, 4),
    st.sampled_from((1.0, 6.0, 60.0, 3600.0)),
    less=st.booleans(),
    share=st.just(False),
) | st.builds(
    lambda percent, period, less: Condition(percent, period, less, True),
    st.sampled_from((5, 50, 99)),
    st.sampled_from((6.0, 60.0)),
    st.booleans(),
)
steps = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.0, 0.1, 0.5, 1.0, 1.0, 2.0, 30.0, 61.0, 5000.0)),
        st.sampled_from((0.0, 0.0, 0.3, 5.0, 59.0, 61.0)),
        st.sampled_from(("", "", "a", "b")),
        st.sampled_from(("x", "y", "z", "u", "v")),
        st.booleans(),
        st.sampled_from(("event", "event", "event", "clock")),
    ),
    max_size=60,
)
"""Each: how much later it is, how late it is told, its value, its other value, whether it counts, and what it is."""


@given(conditions, st.sampled_from((0.0, 1.0, 60.0)), st.booleans(), st.integers(0, 3), st.integers(0, 100), steps)
def test_a_machine_says_what_the_obvious_one_says(
    condition: Condition, resolve_after: float, distinct: bool, at_least: int, start: int, steps: list[tuple]
) -> None:
    """With whatever events, in whatever order, and whatever the clock does."""
    distinct = distinct and not condition.share
    options = (condition, resolve_after, distinct, at_least, float(1000 + start))
    machine, obvious = Machine(*options), Obvious(*options)
    now = 1000.0
    for later, late, value, what, counts, kind in steps:
        now += later
        if kind == "clock":
            assert machine.advance(now) == obvious.advance(now)
        elif counts or condition.share:
            assert machine.take(now - late, value, what, counts) == obvious.take(now - late, value, what, counts)
        assert machine.raised == tuple(incident for incident, _ in obvious.raised.values())


@given(steps, st.integers(0, 60))
def test_a_machine_that_goes_on_where_another_has_stopped_says_nothing_twice(steps: list[tuple], stop: int) -> None:
    """Events of the window are told to it again, and what was raised is; from then on both say the same."""
    first, second = Machine(CONDITION, 5.0), Machine(CONDITION, 5.0)
    now = 1000.0
    told: list[tuple[float, str]] = []
    for number, (later, late, value, _, _, kind) in enumerate(steps):
        now += later
        if number == min(stop, len(steps) - 1):
            for time, earlier in told:
                second.recall(time, earlier)
            second.restore(first.kept(), first.now)
            assert second.raised == first.raised
        changes = first.take(now - late, value) if kind == "event" else first.advance(now)
        if number >= min(stop, len(steps) - 1):
            assert changes == (second.take(now - late, value) if kind == "event" else second.advance(now))
        elif kind == "event":
            told.append((now - late, value))


def test_raised_at_the_event_that_is_one_too_many_and_resolved_when_the_window_has_passed() -> None:
    """The plain case."""
    machine = Machine(CONDITION, resolve_after=10.0)
    assert machine.take(0.0) == machine.take(1.0) == []
    assert machine.take(2.0) == [Incident("", 2.0, 3)]
    assert machine.take(3.0) == []
    assert machine.raised == (Incident("", 2.0, 4),)
    changes = [change for second in range(4, 200) for change in machine.advance(float(second))]
    # The third event is out of the window after 62 s: until 61 s there are more than two of them.
    assert changes == [Incident("", 2.0, 4, until=70.0)]


def test_a_silence_is_told_only_once_a_whole_window_was_seen() -> None:
    """What was before the start is not known; what is raised stays raised over a restart, until an event comes."""
    machine = Machine(Condition(1, 60.0, less=True), start=100.0)
    assert [machine.advance(float(second)) for second in range(100, 160)] == [[]] * 60
    assert machine.advance(160.0) == [Incident("", 160.0, 0)]
    again = Machine(Condition(1, 60.0, less=True), start=170.0)
    again.restore(machine.kept(), machine.now)
    assert [again.advance(float(second)) for second in range(170, 200)] == [[]] * 30
    assert again.take(200.5) == [Incident("", 160.0, 0, until=200.5)]


def test_a_value_that_has_to_go_is_the_coldest_and_never_one_that_is_raised() -> None:
    """There are never more values than so many, and the number of those that went is kept."""
    windows = Windows(60.0, most=3)
    for value in ("a", "b", "c", "a"):
        windows.add(value, 1.0, 1.0)
    windows.add("d", 1.0, 1.0)
    assert list(windows.values()) == ["c", "a", "d"]
    windows.add("e", 1.0, 1.0, kept={"c"})
    assert list(windows.values()) == ["c", "d", "e"]
    assert windows.forgotten == 2


def test_no_more_are_raised_at_a_time_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next is raised when there is room again, and how often one had to wait is counted."""
    monkeypatch.setattr(incidents, "MOST_RAISED", 2)
    machine = Machine(Condition(0, 60.0))
    assert [len(machine.take(1.0, value)) for value in "abcc"] == [1, 1, 0, 0]
    assert machine.waiting == 2
    assert [change.until for change in machine.advance(62.0)] == [62.0, 62.0]
    assert machine.take(62.0, "c") == [Incident("c", 62.0, 1)]


def test_memory_is_bounded_whatever_is_counted() -> None:
    """Of an event of the past nothing is kept, a window has sixty parts, and a value has a length."""
    machine = Machine(CONDITION)
    for number in range(200):
        machine.take(number * 0.9, f"{number % 3}" + "x" * 1000)
    assert {len(value) for value in machine._windows.values()} == {incidents.LONGEST_VALUE}
    assert len(machine._windows) == 3
    windows = machine._windows._windows.values()
    assert all(isinstance(each, Events) and len(each._parts) <= PARTS for each in windows)
    assert machine.take(0.0, "late") == []
    assert "late" not in list(machine._windows.values())
