"""How many of what, as it is written."""

from __future__ import annotations

import pytest

from edgenode.model.errors import InvalidValue
from edgenode.policy.thresholds import Amount, Threshold


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("5 per 1m", Threshold(5, 60.0)),
        ("0 per 250ms", Threshold(0, 0.25)),
        ("100  per  1h ban-it", Threshold(100, 3600.0, "ban-it")),
        ("10m per 1d", Threshold(10 * 1024**2, 86400.0)),
    ],
)
def test_a_threshold_is_a_number_and_a_period_and_perhaps_an_action(text: str, threshold: Threshold) -> None:
    """It is written as it is read."""
    read = Threshold.from_text(text)
    assert read == threshold
    assert str(read).split() == text.split()


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("", 0, "expected a number and a period"),
        ("5", 0, "expected a number and a period"),
        ("5 in 1m", 0, "expected a number and a period"),
        ("5 per", 0, "expected a number and a period"),
        ("5 per 1m one two", 0, "expected a number and a period"),
        ("five per 1m", 0, "expected a number"),
        ("-5 per 1m", 0, "expected a number"),
        ("5t per 1m", 0, "expected a number"),
        ("\u0665 per 1m", 0, "expected a number"),
        ("999999999999999k per 1m", 0, "the largest number is 999999999999999"),
        ("5 per 60", 6, "expected a duration"),
        ("5 per 0", 6, "a period is more than 0"),
        ("5 per 0s", 6, "a period is more than 0"),
        ("5 per 367d", 6, "a period is more than 0 and at most 366d"),
        ("5  per  1y", 8, "expected a duration"),
    ],
)
def test_what_is_no_threshold_is_told_with_its_column(text: str, column: int, sentence: str) -> None:
    """The column of what is wrong."""
    with pytest.raises(InvalidValue, match=sentence) as caught:
        Threshold.from_text(text)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text", ["requests", "bytes", "status >= 400", "status = 401", "status != 200", "distinct argument.user"]
)
def test_an_amount_is_written_as_it_is_read(text: str) -> None:
    """Blanks aside."""
    assert str(Amount.from_text(text)) == text
    assert Amount.from_text("status>=500") == Amount("status", ">=", 500)


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("request", 0, "expected requests, bytes"),
        ("status", 0, "expected requests, bytes"),
        ("status 404", 0, "expected requests, bytes"),
        ("status >= 4xx", 0, "expected requests, bytes"),
        ("status >= 600", 10, "a status is a number from 100 to 599"),
        ("distinct", 0, "expected requests, bytes"),
        ("distinct argumant.user", 9, "did you mean argument"),
        ("distinct  argument", 10, "argument needs a name"),
    ],
)
def test_what_is_no_amount_is_told_with_its_column(text: str, column: int, sentence: str) -> None:
    """The column of what is wrong."""
    with pytest.raises(InvalidValue, match=sentence) as caught:
        Amount.from_text(text)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("text", "origin_status", "much"),
    [
        ("bytes", 200, 7),
        ("bytes", 0, 7),
        ("status >= 400", 399, 0),
        ("status >= 400", 400, 1),
        ("status != 200", 0, 0),
        ("status != 200", 502, 1),
        ("status < 300", 204, 1),
        ("status <= 299", 300, 0),
        ("status > 400", 401, 1),
        ("status = 401", 401, 1),
    ],
)
def test_what_an_answer_comes_to(text: str, origin_status: int, much: int) -> None:
    """What the origin was not asked is no failure of it, whatever is compared."""
    assert Amount.from_text(text).of_answer(7, origin_status) == much
