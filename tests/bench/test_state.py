"""What is judged of counting by Redis."""

from __future__ import annotations

import pytest
from attrs import evolve

from bench import state
from tests.bench.test_bench import GOOD, rows
from tests.support.redis import needs_redis


@pytest.mark.parametrize(("redis", "kept"), [([120.0, 124.0, 190.0], True), ([120.0, 126.0, 190.0], False)])
def test_the_limit_is_of_the_difference(redis: list[float], kept: bool) -> None:
    """The median of what a request takes more than in memory is compared with what it may."""
    measured = rows(none=[80.0] * 3, memory=[100.0] * 3, redis=redis)
    text, good = state.comparison(measured)
    assert good == kept
    assert ("NOT KEPT" in text) == (not kept)


def test_requests_that_failed_count_for_nothing() -> None:
    """A fast wrong answer is none."""
    measured = rows(none=[80.0], memory=[100.0], redis=[110.0])
    assert state.comparison(measured)[1]
    assert not state.comparison([*measured[:2], evolve(measured[2], report=evolve(GOOD, errors=1))])[1]


@needs_redis
def test_counting_by_redis_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A node without limits, one that counts in memory and one that does by Redis answer the same requests."""
    state.main(["--rounds", "1", "--seconds", "0.3", "--warming", "0.1"])
    printed = capsys.readouterr().out
    assert "the figures mean nothing" not in printed
    assert all(f"\n{name} " in printed for name in ("none", "memory", "redis"))
