"""Any text is an expression, or refused within it; what is one is formatted, and read again as the same tree."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.formatting import format
from edgenode.rules.language.parsing import parse
from tests.support.language_examples import CANONICAL, SPELLED, WRONG


def check(data: bytes) -> None:
    """Read it as an expression of the file is read."""
    text = data.decode(errors="replace")
    try:
        found = Expression.from_text(text)
    except InvalidValue as problem:
        _check_within(problem, text)
        return
    canonical = format(found.root)
    assert "\n" not in canonical
    again = parse(canonical)
    assert again == found.root
    assert hash(again) == hash(found.root)
    assert format(again) == canonical


def _check_within(problem: InvalidValue, text: str) -> None:
    assert problem.sentence
    assert problem.column is not None
    assert 0 <= problem.column <= len(text)


def seeds() -> Iterator[bytes]:
    """The examples by hand, right and wrong."""
    return (text.encode() for text in (*CANONICAL, *SPELLED, *WRONG))
