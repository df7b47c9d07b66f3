"""The bounds of the counters in memory: what goes when there is no room, and when it has run out."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from edgenode.state.interface import KINDS, Call, Counter, Happened
from edgenode.state.memory import MemoryState

LIMIT, OTHER = Counter("rate-limit x", "fixed", 3, 60.0), Counter("rate-limit y", "sliding", 3, 60.0)


def total(state: MemoryState, counter: Counter, key: str, amount: int = 1) -> int:
    """What a call comes to."""
    answer = state.count([Call(counter, key, amount, "v", (0,))])[0]
    assert answer is not None
    return answer.total


def started(clock: Clock, **bounds: int) -> tuple[MemoryState, list[Happened]]:
    """A state, and what it tells."""
    state, told = MemoryState(clock.seconds, lambda: 0.0, **bounds), list[Happened]()
    state.start(clock, None, told.append)
    return state, told


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_never_more_keys_than_may_be(kind: str) -> None:
    """Of any kind of counter; that is told once a minute."""
    clock = Clock()
    state, told = started(clock, keys=100)
    counter = Counter("x", kind, 3, 1000.0)
    for number in range(5000):
        total(state, counter, str(number))
        assert state._used.keys <= 101
    assert [each.action for each in told] == ["counters-full"]
    clock.advance(61)
    total(state, counter, "another")
    assert [each.action for each in told] == ["counters-full"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_never_more_bytes_than_may_be(kind: str) -> None:
    """However long the keys and the values are."""
    state, told = started(Clock(), memory=20_000)
    counter = Counter("x", kind, 50, 1000.0)
    for number in range(3000):
        state.count([Call(counter, f"{number % 300}" * (number % 50), 1, "v" * (number % 70) + str(number), (0,))])
        assert state._used.size <= 24_000
    assert [each.action for each in told] == ["counters-full"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_coldest_go_first(kind: str) -> None:
    """A key that is asked for meanwhile keeps its count, however many others come once."""
    state, _ = started(Clock(), keys=200)
    counter = Counter("x", kind, 1000 if kind != "steps" else 5, 1000.0)
    before = total(state, counter, "hot", 1)
    for number in range(5000):
        total(state, counter, str(number))
        if number % 50 == 0:
            total(state, counter, "hot", 0 if kind == "sliding" else 1)
    answer = state.count([Call(counter, "hot", 1, "another", (1,))])[0]
    assert answer is not None
    assert answer.total > before
    assert total(state, counter, "0", 0) == 1, "a cold one is forgotten"


def test_a_flood_of_keys_for_one_limit_makes_nobody_forget_another() -> None:
    """The largest table makes room."""
    state, _ = started(Clock(), keys=1000)
    for number in range(50):
        assert total(state, OTHER, str(number)) == 1
    for number in range(20_000):
        total(state, LIMIT, str(number))
    assert [total(state, OTHER, str(number)) for number in range(50)] == [2] * 50


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_run_out_is_not_kept(kind: str) -> None:
    """A stream of new keys for ten periods takes no more room than for two; afterwards nothing is left, no timer."""
    clock = Clock()
    state, told = started(clock)
    counter, most = Counter("x", kind, 3, 60.0), 0
    for number in range(20_000):
        clock.advance(0.03)
        total(state, counter, str(number))
        most = max(most, state._used.keys)
    assert most <= 2 * 2000 + 100
    for _ in range(200):
        clock.advance(1)
    assert state._used.keys == state._used.size == 0
    assert state._tables == {}
    assert not clock.getDelayedCalls()
    assert told == []


def test_a_counter_that_no_configuration_has_any_more_leaves_nothing() -> None:
    """Its keys run out, and nobody has to ask for them."""
    clock = Clock()
    state, _ = started(clock)
    for number in range(3000):
        total(state, LIMIT, str(number))
    for _ in range(100):
        clock.advance(1)
        total(state, OTHER, "x", 0)
    assert [*state._tables] in ([], [OTHER.identity])


def test_bounds_may_become_less() -> None:
    """By a reload: what is too much goes little by little."""
    clock = Clock()
    state, _ = started(clock)
    for number in range(3000):
        total(state, LIMIT, str(number))
    state.bounds(100, 1 << 30)
    for number in range(200):
        total(state, LIMIT, f"n{number}")
    assert state._used.keys <= 101


def test_keys_that_are_all_asked_for_stay_within_the_bounds() -> None:
    """Nobody is cold then, and somebody goes all the same."""
    state, told = started(Clock(), keys=100)
    for _ in range(30):
        for number in range(150):
            total(state, LIMIT, str(number))
            total(state, LIMIT, str(number))
            assert state._used.keys <= 101
    assert told


def test_a_stopped_state_counts_on_and_has_no_timer() -> None:
    """It may be started again."""
    clock = Clock()
    state, _ = started(clock)
    assert total(state, LIMIT, "x") == 1
    assert state.stop().called
    assert not clock.getDelayedCalls()
    assert total(state, LIMIT, "x") == 2
    assert not clock.getDelayedCalls()
    state.start(clock, None, lambda _: None)
    assert len(clock.getDelayedCalls()) == 1
