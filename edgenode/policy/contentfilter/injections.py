"""Whether libinjection may find something in values; it is asked of as few as can be.

Law: where it is not asked, it would find nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from edgenode.policy.contentfilter.known import Known
from edgenode.policy.contentfilter.operators import OPERATORS

Test = Callable[[bytes], object]


def _remembering(ask: Test) -> Test:
    known: Known[bool] = Known()
    said = known.said

    def test(value: bytes) -> bool:
        found = said.get(value)
        if found is None:
            found = ask(value) is not None
            known.note(value, found)
        return found

    return test


def _with_markup(test: Test) -> Test:
    """Cross-site scripting is found only where a tag begins, or an attribute has a value."""
    return lambda value: (b"<" in value or b"=" in value) and test(value)


def _not_one_word(test: Test) -> Test:
    """A word, or a number, is one token, and that alone is no injection."""
    return lambda value: not (value.isalnum() and (value[:1].isalpha() or value.isdigit())) and test(value)


_ONLY_IF: dict[str, Callable[[Test], Test]] = {"detectxss": _with_markup, "detectsqli": _not_one_word}


def suspected(operator: str) -> Test:
    """Whether an operator of libinjection's finds something in a value.

    :raises InvalidValue: if that is not installed.
    """
    return _ONLY_IF[operator](_remembering(OPERATORS[operator](b"")))


def of_lines(operator: str) -> Test:
    """The same of a text that is values joined by line feeds."""
    test = suspected(operator)

    def found(text: bytes) -> bool:
        return any(test(value) for value in text.split(b"\n"))

    return found
