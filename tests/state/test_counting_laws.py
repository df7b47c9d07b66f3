"""The counters in memory against a plain reference: a list of all calls with their times."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgenode.state.interface import KINDS, Call, Counted, Counter
from edgenode.state.memory import MemoryState

COUNTERS = [
    Counter(f"{kind} {most} {period}", kind, most, period)
    for kind in KINDS
    for most, period in ((0, 1.0), (1, 2.0), (2, 0.25), (3, 8.0), (7, 3.0))
    if not (kind == "steps" and most == 0)
]
KEYS = ("", "a", "a\0b", "a\0", "\0b", "\ud800", "ä", "x" * 300)
VALUES = ("", "u", "v", "w", "x" * 100, "x" * 101, "\ud800" * 100)


@define
class Plain:
    """What one key of a counter was called for: the simplest that says the same.

    :ivar made: of every call that was kept its time, its amount and its value.
    """

    counter: Counter
    made: list[tuple[Fraction, int, str]] = field(factory=list)
    taken: list[Fraction] = field(factory=list)

    def answer(self, now: Fraction, call: Call, always: bool) -> Counted:
        """What the call comes to; what is kept is kept."""
        period = Fraction(self.counter.period)
        kinds = {"fixed": self.fixed, "sliding": self.sliding, "distinct": self.distinct, "steps": self.steps}
        return kinds[self.counter.kind](now, period, call, always)

    def window(self, now: Fraction, period: Fraction) -> tuple[Fraction, list[tuple[Fraction, int, str]]]:
        """The end of the window, and the calls in it; it begins with the first that is in no other."""
        end = None
        for at, *_ in self.made:
            if end is None or at >= end:
                end = at + period
        if end is None or end <= now:
            return now + period, []
        return end, [each for each in self.made if end - period <= each[0]]

    def fixed(self, now: Fraction, period: Fraction, call: Call, always: bool) -> Counted:
        end, within = self.window(now, period)
        total = sum(amount for _, amount, _ in within)
        if call.amount:
            self.made.append((now, call.amount, ""))
        wait = end - now if total + call.amount >= self.counter.most else 0
        return Counted(total + (call.amount or 1), float(end - now), float(wait))

    def distinct(self, now: Fraction, period: Fraction, call: Call, always: bool) -> Counted:
        end, within = self.window(now, period)
        known = list(dict.fromkeys(value for *_, value in within))[: self.counter.most + 1]
        total = len({*known, call.value})
        if call.amount:
            self.made.append((now, 1, call.value))
            known = list(dict.fromkeys([*known, call.value]))[: self.counter.most + 1]
        return Counted(total, float(end - now), float(end - now if len(known) >= self.counter.most else 0))

    def steps(self, now: Fraction, period: Fraction, call: Call, always: bool) -> Counted:
        end, within = self.window(now, period)
        taken = min(len(within), self.counter.most - 1)
        if taken not in call.steps:
            return Counted(taken, float(end - now), 0.0)
        if call.amount and taken + 1 < self.counter.most:
            self.made.append((now, 1, ""))
        return Counted(taken + 1, float(end - now), 0.0)

    def sliding(self, now: Fraction, period: Fraction, call: Call, always: bool) -> Counted:
        """A bucket that leaks one in each interval; how full it is says the whole history."""
        if not self.counter.most:
            return Counted(call.amount or 1, 0.0, float(period))
        interval, level, before = period / self.counter.most, Fraction(0), now
        for at, amount, _ in self.made:
            level = max(Fraction(0), level - (at - before)) + amount * interval if level else amount * interval
            before = at
        level = max(Fraction(0), level - (now - before))
        total = ceil((level + (call.amount or 1) * interval) / interval)
        if call.amount and (always or total <= self.counter.most):
            self.made.append((now, call.amount, ""))
            level += call.amount * interval
        wait = max(Fraction(0), level + interval - period)
        return Counted(total, float(level), float(wait))


class Reference:
    """All counters and keys."""

    def __init__(self) -> None:
        self._known: dict[tuple[Counter, str], Plain] = {}

    def count(self, calls: Sequence[Call], now: Fraction, always: bool) -> list[Counted | None]:
        """The answers."""
        answers: list[Counted | None] = []
        for call in calls:
            ended = [
                at for at, (each, answer) in enumerate(zip(calls, answers, strict=False))
                if answer is not None and answer.total >= each.counter.most
            ]  # fmt: skip
            if (call.only_if and not {*call.only_if} & {*ended}) or {*call.unless} & {*ended}:
                answers.append(None)
                continue
            plain = self._known.setdefault((call.counter, call.key), Plain(call.counter))
            answers.append(plain.answer(now, call, always))
        return answers


def near(one: Counted | None, other: Counted | None) -> bool:
    """Whether they are the same, but for the last digit of the seconds."""
    if one is None or other is None:
        return one is other
    seconds = max(abs(one.reset - other.reset), abs(one.wait - other.wait))
    return one.total == other.total and seconds < 1e-6


def a_call(counters: Sequence[Counter], keys: Sequence[str]) -> st.SearchStrategy[Call]:
    """A call of one of some counters."""
    return st.builds(
        Call,
        st.sampled_from(counters),
        st.sampled_from(keys),
        st.sampled_from((0, 1, 1, 1, 2, 5, 10**12)),
        st.sampled_from(VALUES),
        st.lists(st.integers(0, 6), max_size=4).map(tuple),
        st.just(()),
        st.just(()),
    )


@st.composite
def some_calls(draw: st.DrawFn, one: st.SearchStrategy[Call]) -> list[Call]:
    """Calls, some of which depend on flows before them."""
    calls: list[Call] = []
    for call in draw(st.lists(one, max_size=5)):
        flows = [at for at, each in enumerate(calls) if each.counter.kind == "steps"]
        chosen = st.lists(st.sampled_from(flows), max_size=2).map(tuple) if flows else st.just(())
        calls.append(call._replace(only_if=draw(chosen), unless=draw(chosen)))
    return calls


class Counting(RuleBasedStateMachine):
    """A state and the reference are asked the same."""

    @initialize(
        start=st.sampled_from((0, 1, 10**6 + Fraction(1, 8))),
        counters=st.lists(st.sampled_from(COUNTERS), min_size=1, max_size=3, unique=True),
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True),
    )
    def begin(self, start: Fraction, counters: list[Counter], keys: list[str]) -> None:
        """At some time, with a few of the counters and keys: so they are asked for again."""
        self.now = Fraction(start)
        self.state = MemoryState(lambda: float(self.now), lambda: 0.0)
        self.reference = Reference()
        self.one = a_call(counters, keys)
        self.some = some_calls(self.one)
        periods = [Fraction(each.period) for each in counters]
        intervals = [Fraction(each.period) / each.most for each in counters if each.kind == "sliding" and each.most > 0]
        self.waits = [each for each in (*periods, *intervals) if each.denominator in (1, 2, 4, 8)]

    @rule(data=st.data())
    def count(self, data: st.DataObject) -> None:
        """Count."""
        calls = data.draw(self.some)
        self.check(calls, self.state.count(calls), self.reference.count(calls, self.now, False))

    @rule(data=st.data(), times=st.integers(1, 9))
    def count_often(self, data: st.DataObject, times: int) -> None:
        """The same again and again at one moment."""
        call = data.draw(self.one)
        for _ in range(times):
            self.check([call], self.state.count([call]), self.reference.count([call], self.now, False))

    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        """Count what has been sent already."""
        calls = data.draw(self.some)
        self.state.add(calls)
        self.reference.count(calls, self.now, True)

    @rule(eighths=st.integers(1, 24))
    def wait(self, eighths: int) -> None:
        """Time passes, in steps that a float has exactly."""
        self.now += Fraction(eighths, 8)

    @rule(data=st.data(), most=st.integers(1, 3))
    def wait_until_just(self, data: st.DataObject, most: int) -> None:
        """As long as a window, or as one that is let through takes."""
        if self.waits:
            self.now += most * data.draw(st.sampled_from(self.waits))

    @rule(counters=st.lists(st.sampled_from(COUNTERS), min_size=1), seed=st.integers(0, 10**6))
    def crowd(self, counters: list[Counter], seed: int) -> None:
        """Many others come once: that moves entries about, and changes nothing for anybody."""
        for number in range(60):
            self.state.count([Call(counters[number % len(counters)], f"{seed}.{number}", 1, "v", (0,))])

    @invariant()
    def books_balance(self) -> None:
        """What all tables say that they hold is what they hold."""
        if hasattr(self, "state"):
            tables = self.state._tables.values()
            assert self.state._used.keys == sum(len(each) for each in tables)
            assert self.state._used.size == sum(each.size for each in tables)
            for each in tables:
                kept: Any = each
                entries = [entry for shard in kept._shards for entry in shard.items()]
                assert sorted(kept._ring) == sorted(key for key, _ in entries)
                assert each.size == sum(kept._size_of(*entry) for entry in entries)

    def check(self, calls: object, found: object, expected: object) -> None:
        """Compare."""
        assert isinstance(found, list)
        assert isinstance(expected, list)
        assert len(found) == len(expected)
        assert all(map(near, found, expected)), (self.now, calls, found, expected)


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
