"""Numbers of rules, and ranges of them."""

from __future__ import annotations

from typing import Final

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter.syntax import Word

Range = tuple[int, int]
"""The first and the last number."""

_LARGEST: Final = 2**31 - 1


def is_number(text: str) -> bool:
    """Whether it is a whole number, not negative."""
    return text.isascii() and text.isdigit()


def numbers(word: Word) -> Range:
    """``942100`` or ``942000-942999``.

    :raises InvalidValue: if it is neither.
    """
    first, dash, last = (each.strip() for each in word.text.partition("-"))
    last = last if dash else first
    if not is_number(first) or not is_number(last) or len(last) > 10 or not 0 < int(first) <= int(last) <= _LARGEST:
        raise InvalidValue(f"this is no number of a rule, and no range such as 942000-942999: {word.text}", word.at)
    return int(first), int(last)
