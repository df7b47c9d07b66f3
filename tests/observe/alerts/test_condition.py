"""How many of what, in how long, as an alert says it."""

from __future__ import annotations

import pytest

from edgenode.model.errors import InvalidValue
from edgenode.observe.alerts.condition import Condition


@pytest.mark.parametrize(
    ("text", "condition", "written"),
    [
        ("100 per 5m", Condition(100, 300.0), "more than 100 per 5m"),
        ("more than 100 per 5m", Condition(100, 300.0), "more than 100 per 5m"),
        ("more  than 0 per 1s", Condition(0, 1.0), "more than 0 per 1s"),
        ("less than 1 per 10m", Condition(1, 600.0, less=True), "less than 1 per 10m"),
        ("more than 5% per 5m", Condition(5, 300.0, share=True), "more than 5% per 5m"),
        ("less than 100% per 5m", Condition(100, 300.0, less=True, share=True), "less than 100% per 5m"),
    ],
)
def test_a_threshold_is_read_as_it_is_written(text: str, condition: Condition, written: str) -> None:
    """What is written is read as the same."""
    assert Condition.from_text(text) == condition
    assert str(condition) == written
    assert Condition.from_text(written) == condition


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("", 0, "expected more than"),
        ("often", 0, "expected more than"),
        ("more than", 0, "expected more than"),
        ("fewer than 5 per 1m", 0, "expected more than"),
        ("more than 5", 0, "expected more than"),
        ("more than 5 in 1m", 10, "expected a number and a period, such as 100 per 1m$"),
        ("more than 5 per 60", 16, "expected a duration"),
        ("more than 5% per 60", 17, "expected a duration"),
        ("5 per 1m block", 9, "nothing stands behind"),
        ("5 per 500ms", 6, "a window is at least 1s"),
        ("more than 5 per 8d", 16, "a window is at least 1s and at most 7d"),
        ("less than 0 per 1m", 10, "never less than 0"),
        ("more than 100% per 1m", 10, "never more than 100%"),
        ("less than 101% per 1m", 10, "never more than 100%"),
        ("more than 1000000001 per 1m", 10, "the largest number"),
        ("5k per 1m", 0, "expected more than"),
    ],
)
def test_what_is_no_threshold_is_told_with_its_column(text: str, column: int, sentence: str) -> None:
    """The column of what is wrong."""
    with pytest.raises(InvalidValue, match=sentence) as caught:
        Condition.from_text(text)
    assert caught.value.column == column


def test_a_condition_is_true_above_or_below_its_number_and_never_at_it() -> None:
    """Of shares it is exact: no number is rounded."""
    assert [Condition(2, 60.0).holds(n, n) for n in (1, 2, 3)] == [False, False, True]
    assert [Condition(2, 60.0, less=True).holds(n, n) for n in (1, 2, 3)] == [True, False, False]
    share = Condition(5, 60.0, share=True)
    assert not share.holds(50, 1000)
    assert share.holds(51, 1000)
    assert not share.holds(0, 0)
