"""What would have been right: the sentences for what the parser of expressions did not expect.

Law: a sentence says what to write, and a guess is said as a question.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.calls import described
from edgenode.rules.language.formatting import format
from edgenode.rules.language.functions import FUNCTIONS, REFUSED
from edgenode.rules.language.lexing import Scanner
from edgenode.rules.language.nodes import Value, each_count, element_type
from edgenode.rules.language.operators import COMPARING, PRECEDENCE, QUANTIFIERS
from edgenode.rules.language.vocabulary import Vocabulary

_OPERATORS = tuple(dict.fromkeys(COMPARING.values()))
_WORDS = (*_OPERATORS, *PRECEDENCE, "not")
_SIGNS = ("=", "!=", "<", ">", "~")
_CHARACTERS = {
    "#": "a comment stands on a line of its own, and begins it",
    "\t": "a tab is no white space in expressions: write a space",
    "'": 'a text stands in double quotation marks: "..."',
    "=": "equal is written eq or ==",
    "|": "or is written or or ||",
    "$": "a list stands behind in: http.host in $name",
    "{": "a set stands behind in: http.host in {...}",
}
_ALIKE = 0.88
"""How alike the names of fields are of which one is offered for the other: a slip of the pen, and no other meaning."""

_AT_AN_OPERATOR = {
    "not in": "not stands before the whole comparison: not {} in ...",
    "starts with": "this is a function: starts_with({}, ...)",
    "ends with": "this is a function: ends_with({}, ...)",
    "starts_with": "this is a function: starts_with({}, ...)",
    "ends_with": "this is a function: ends_with({}, ...)",
    "strict": "strict wildcard is written with one space between",
}


def unexpected(words: Scanner, expected: str) -> InvalidValue:
    """The problem that something else stands where the scanner is.

    :param expected: what may stand there.
    """
    if words.name() in _OPERATORS or words.sees(*_SIGNS):
        sentence = "what stands before this is true or false by itself: write it alone, or not before it"
        return InvalidValue(sentence, words.at)
    character = words.text[words.at : words.at + 1]
    sentence = f"expected {expected}{_guess(words.name(), _WORDS)}"
    return InvalidValue(_shouted(words) or _CHARACTERS.get(character) or sentence, words.at)


def unknown(
    words: Scanner, column: int, name: str, known: Vocabulary, expected: str = "a field, a function, not or ("
) -> InvalidValue:
    """The problem that a condition or an argument begins with what is neither a field nor a function.

    :param known: the fields that there are.
    :param expected: what it may begin with.
    """
    words.at = column
    if not name:
        if words.sees_text():
            return InvalidValue("a comparison begins with what is looked at: http.host eq ...", column)
        hint = _CHARACTERS.get(words.text[column : column + 1])
        return InvalidValue(hint or f"expected {expected}", column)
    if name in QUANTIFIERS:
        return InvalidValue(f"{name} is written {name}(...)", column)
    if name in ("true", "false"):
        return InvalidValue(f"{name} is no value: a condition stands alone, or behind not", column)
    if name in _WORDS:
        return InvalidValue(f"expected {expected} before {name}", column)
    words.at += len(name)
    words.skip()
    is_call = words.sees("(")
    words.at = column
    if is_call and name in REFUSED:
        return InvalidValue(f"there is no function {name} here: {REFUSED[name]}", column)
    reason = "" if is_call else known.why_not(name)
    if reason:
        return InvalidValue(f"there is no field {name} here: {reason}", column)
    guess = _guess(name, FUNCTIONS) if is_call else _guess(name, known.fields, _ALIKE)
    return InvalidValue(_shouted(words) or f"there is no {'function' if is_call else 'field'} {name}{guess}", column)


def no_operator(words: Scanner, value: Value, operators: Sequence[str], found: str | None) -> InvalidValue:
    """The problem that no operator stands behind a value, or none for its type.

    :param operators: those for its type.
    :param found: what stands there, if it is an operator for another type.
    """
    type, written = element_type(value), format(value)
    if not operators:
        index = '["..."]' if type.name == "Map" else "[0]"
        all_of_them = f"any({written}[*] ...)"
        return InvalidValue(f"{written} is {described(type)}: look at {written}{index} or {all_of_them}", value.column)
    what = f"each element of {written}" if each_count(value) else written
    there_are = f"{what} is {described(type)}: expected {', '.join(operators[:-1])} or {operators[-1]}"
    if found is None:
        for begins, sentence in _AT_AN_OPERATOR.items():
            if words.sees(begins):
                return InvalidValue(sentence.format(written), words.at)
        character = words.text[words.at : words.at + 1]
        sentence = f"{there_are}{_guess(words.name(), operators)}"
        return InvalidValue(_shouted(words) or _CHARACTERS.get(character) or sentence, words.at)
    return InvalidValue(there_are, words.at)


def _shouted(words: Scanner) -> str | None:
    """What to say of an operator in upper case."""
    name = words.name()
    return f"operators are written in lower case: {name.lower()}" if name.lower() in _WORDS and name.isupper() else None


def _guess(name: str, known: Iterable[str], alike: float = 0.6) -> str:
    close = difflib.get_close_matches(name.lower(), known, 1, alike)
    return f"; did you mean {close[0]}?" if close else ""
