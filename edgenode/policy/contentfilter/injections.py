"""Whether libinjection may find something in values; it is asked of as few as can be.

Law: where it is not asked, it would find nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from edgenode.policy.contentfilter.operators import OPERATORS

Test = Callable[[bytes], object]


def _with_markup(test: Test) -> Test:
    """Cross-site scripting is found only where a tag begins, or an attribute has a value."""
    return lambda value: (b"<" in value or b"=" in value) and test(value)


_BETWEEN_WORDS = b"_."
_OF_JSON = b"json."


def _more_than_words(test: Test) -> Test:
    """Letters, digits and low lines are a word behind numbers at the most, and such is no injection; nor is a number
    with a point, or the name of an argument of JSON: a word up to its end, for no keyword begins so."""

    def asked(value: bytes) -> object:
        if value.isalnum():
            return False
        rest = value.translate(None, _BETWEEN_WORDS)
        if rest.isalnum() and (value.startswith(_OF_JSON) or rest.isdigit() or value.find(b".") < 0):
            return False
        return test(value)

    return asked


INJECTIONS = ("detectsqli", "detectxss")
"""Operators of libinjection's."""

_ONLY_IF: dict[str, Callable[[Test], Test]] = {"detectxss": _with_markup, "detectsqli": _more_than_words}


def suspected(operator: str) -> Test:
    """Whether an operator of libinjection's finds something in a value.

    :raises InvalidValue: if that is not installed.
    """
    ask = OPERATORS[operator](b"")
    return _ONLY_IF[operator](lambda value: ask(value) is not None)


def of_lines(operator: str) -> Test:
    """The same of a text that is values joined by line feeds."""
    test = suspected(operator)

    def found(text: bytes) -> bool:
        return any(test(value) for value in text.split(b"\n"))

    return found
