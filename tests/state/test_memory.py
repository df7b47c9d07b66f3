"""The counters in memory."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from edgenode.state.interface import KINDS, Call, Counted, Counter
from edgenode.state.memory import MemoryState


def count(state: MemoryState, *calls: Call) -> list[Counted | None]:
    """The answers, as the memory gives them at once."""
    return [*state.count(calls)]


@pytest.mark.parametrize("kind", ["fixed", "sliding"])
def test_as_many_fit_as_are_allowed(kind: str) -> None:
    """Of three in a minute the fourth is over, and a minute later one fits again."""
    clock = Clock()
    state, counter = MemoryState(clock.seconds), Counter("rate-limit x", kind, 3, 60.0)
    answers = [count(state, Call(counter, "k"))[0] for _ in range(4)]
    assert [each.total for each in answers if each] == [1, 2, 3, 4]
    clock.advance(60)
    again = count(state, Call(counter, "k"))[0]
    assert again is not None
    assert again.total == 1


@pytest.mark.parametrize("kind", ["sliding", "distinct"])
@pytest.mark.parametrize("most", [1, 4, 12])
def test_what_has_come_counts_on_when_a_reload_changes_the_number(kind: str, most: int) -> None:
    """A window that is half full of four is over at once with one, and has room for less with another number."""
    state, before, after = MemoryState(lambda: 0.0), Counter("x", kind, 4, 60.0), Counter("x", kind, most, 60.0)
    for value in "ab":
        state.count([Call(before, "k", 1, value)])
    answer = count(state, Call(after, "k", 1, "c"))[0]
    assert answer is not None
    assert answer.total == ((most + 1) // 2 + 1 if kind == "sliding" else 3)


def test_looking_counts_nothing() -> None:
    """A call of amount 0 answers what one more would come to, as often as it is made."""
    state, counter = MemoryState(lambda: 0.0), Counter("rate-limit x", "fixed", 3, 60.0)
    assert [each.total for _ in range(3) if (each := count(state, Call(counter, "k", 0))[0])] == [1, 1, 1]


def test_calls_depend_on_flows_before_them() -> None:
    """What is counted only behind the last step of a flow is counted by the request that takes it."""
    state, flow = MemoryState(lambda: 0.0), Counter("flow f", "steps", 2, 60.0)
    limit = Counter("rate-limit x", "fixed", 1, 60.0)

    def take(step: int) -> list[bool]:
        calls = (Call(flow, "k", steps=(step,)), Call(limit, "k", only_if=(0,)), Call(limit, "l", unless=(0,)))
        return [each is not None for each in count(state, *calls)]

    assert take(1) == [True, False, True], "the last step before the first is none"
    assert take(0) == [True, False, True]
    assert take(1) == [True, True, False]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("calls", [1, 2])
def test_a_window_ends_exactly_at_its_end(kind: str, calls: int) -> None:
    """Not a moment sooner, whatever others come meanwhile; it begins with the first call."""
    clock = Clock()
    state, counter = MemoryState(clock.seconds), Counter("x", kind, 4, 64.0)

    def look() -> int:
        answer = count(state, Call(counter, "k", 0, "another", (0, 1, 2)))[0]
        assert answer is not None
        return answer.total

    for number in range(calls):
        state.count([Call(counter, "k", 1, str(number), (number,))])
    clock.advance((16.0 * calls if kind == "sliding" else 64.0) - 1e-3)
    for number in range(200):
        state.count([Call(counter, f"other {number}", 1, "v", (0,))])
    if kind == "sliding":
        assert look() == 2, "the last one is not yet used up"
    else:
        assert look() == calls + 1
    clock.advance(1e-3)
    assert look() == 1
    answer = count(state, Call(counter, "k", 1, "another", (0,)))[0]
    assert answer is not None
    assert answer.total == 1
