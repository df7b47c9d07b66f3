r"""Regular expressions of Rust's engine, which is Cloudflare's, as RE2 is to read them.

Law: an expression that was written for Cloudflare means the same here or is refused; but ``.`` is a line feed, too, as
in every rule. Most of what only one of the engines knows is refused by RE2; this is the rest: what RE2 would read as
something else, and ``\s``, which for RE2 is no vertical tab, so that ``%0B`` would be a way past.
"""

from __future__ import annotations

import re

from edgenode.model.errors import InvalidValue
from edgenode.rules.regexes import check_regex

_CLASS = re.compile(r"\[\^?\]?")
_NAMED_CLASS = re.compile(r"\[:\^?[a-z]+:\]")
_REPETITION = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_ESCAPE = re.compile(r"\\(?:x\{[^}]*\}|.)", re.DOTALL)
_SET_OPERATOR = re.compile(r"&&|--|~~")

_SPACES = {r"\s": r"[\x09-\x0D\x20]", r"\S": r"[^\x09-\x0D\x20]"}
_SPACES_IN_CLASS = {r"\s": "[:space:]", r"\S": "[:^space:]"}
_REFUSED = {
    r"\<": r"write \b for the end of a word, or < for the character itself",
    r"\>": r"write \b for the end of a word, or > for the character itself",
    r"\Q": r"there is no \Q in Cloudflare's regular expressions: write \ before each character",
}


def checked(pattern: str) -> str:
    """A regular expression, checked, as RE2 is to read it.

    :raises InvalidValue: as :func:`in_re2`, and if RE2 refuses it.
    """
    check_regex(pattern)
    return in_re2(pattern)


def in_re2(pattern: str) -> str:
    """A regular expression that both engines can read, as RE2 is to read it.

    :raises InvalidValue: if RE2 would read it otherwise, with its column.
    """
    at, in_class, written = 0, False, list[str]()
    while at < len(pattern):
        word = _in_class(pattern, at) if in_class else _outside(pattern, at)
        at += len(word)
        spaces = _SPACES_IN_CLASS if in_class else _SPACES
        written.append(spaces.get(word, word))
        in_class = word != "]" if in_class else word.startswith("[")
    return "".join(written)


def _outside(pattern: str, at: int) -> str:
    """What stands at a column, outside of classes."""
    match pattern[at]:
        case "\\":
            return _escape(pattern, at)
        case "[":
            return _match(_CLASS, pattern, at)
        case "{":
            repetition = _match(_REPETITION, pattern, at)
            if not repetition:
                raise InvalidValue(r"a { that begins no repetition, such as {2,5}, is written \{", at)
            return repetition
        case character:
            return character


def _in_class(pattern: str, at: int) -> str:
    """What stands at a column in a class."""
    operator = _match(_SET_OPERATOR, pattern, at)
    if operator:
        sentence = rf"in a class, {operator} joins classes at Cloudflare, and RE2 cannot: write \{operator[0]}"
        raise InvalidValue(sentence, at)
    if pattern[at] == "\\":
        return _escape(pattern, at)
    if pattern[at] == "[":
        named = _match(_NAMED_CLASS, pattern, at)
        if not named:
            raise InvalidValue(r"a class has no classes in it: for the character write \[", at)
        return named
    return pattern[at]


def _escape(pattern: str, at: int) -> str:
    escape = _match(_ESCAPE, pattern, at) or pattern[at:]
    if escape in _REFUSED:
        raise InvalidValue(_REFUSED[escape], at)
    return escape


def _match(expression: re.Pattern[str], pattern: str, at: int) -> str:
    """What matches at a column, empty if nothing does."""
    match = expression.match(pattern, at)
    return match[0] if match is not None else ""
