r"""The regular expressions of rules: RE2's syntax, matched in linear time, byte by byte.

Law: no request can stall a rule, and none can slip by one through an encoding. So every expression is RE2's; one
character is one byte, for an invalid UTF-8 byte would otherwise end every ``.*``; and ``.`` matches a line feed too, or
``%0A`` in a path would. Matching is case-sensitive (``(?i)`` makes it otherwise) and not anchored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import re2

from edgenode.model.errors import InvalidValue

# Bytes of memory: for one expression; for a set, RE2's default and some for each expression. Hostile values can make a
# set take all that it may, so it is not simply made large.
_SINGLE = 1 << 20
_SET = 8 << 20
_SET_EACH = 16 << 10
_LONGEST = 4096
"""Characters of an expression."""

_TRIED = 256
"""Beginnings of a wrong expression that are looked at to find where it goes wrong."""

_UNICODE_CLASS = re.compile(r"(?:[^\\]|\\[^pP])*?(\\[pP])", re.DOTALL)


def _options(max_mem: int) -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.log_errors = False  # they are raised; RE2 would print them on standard error
    options.max_mem = max_mem
    return options


_ALONE = _options(_SINGLE)


_WORD = r"(?:[A-Za-z0-9/_%=&;:,<>'\"!~@#` -]|\\[/_%=&;:,<>'\"!~@#` .*+?()\[\]{}^$\\-])+"
_WORDS = re.compile(rf"(?:\^|\\A)(?:({_WORD})|\((?:\?:)?({_WORD}(?:\|{_WORD})*)\))(?:\$|\\z)", re.ASCII)


def words(pattern: str) -> tuple[bytes, ...]:
    r"""The only texts that a checked expression matches, if it says them one by one, such as ``^(?:GET|HEAD)$``; else
    none. To look for those takes no search."""
    found = _WORDS.fullmatch(pattern)
    alternatives = "" if found is None else found[1] or found[2]
    return tuple(re.sub(r"\\(.)", r"\1", each).encode("ascii") for each in alternatives.split("|") if each)


def check_regex(pattern: str) -> None:
    """Check a regular expression.

    :raises InvalidValue: if RE2 refuses it, or if it could not mean for bytes what it says.
    """
    if len(pattern) > _LONGEST:
        raise InvalidValue(f"a regular expression has at most {_LONGEST} characters", _LONGEST)
    for column, character in enumerate(pattern):
        if not character.isascii():
            escaped = "".join(f"\\x{byte:02X}" for byte in character.encode())
            raise InvalidValue(f"text is matched byte by byte: write (?:{escaped}) for {character}", column)
    unicode_class = _UNICODE_CLASS.match(pattern)
    if unicode_class is not None:
        raise InvalidValue("text is matched byte by byte: there are no Unicode classes", unicode_class.start(1))
    refusal = _refusal(pattern)
    if refusal is not None:
        message, _, fragment = refusal.partition(": ")
        raise InvalidValue(f"not a regular expression of RE2: {refusal}", _column(pattern, fragment or message))


def _refusal(pattern: str) -> str | None:
    try:
        re2.compile(pattern.encode("ascii"), _ALONE)
    except re2.error as error:
        message = error.args[0]
        return message.decode("ascii", "backslashreplace") if isinstance(message, bytes) else str(message)
    return None


def _column(pattern: str, fragment: str) -> int:
    """Where the trouble begins: at the fragment that RE2 quotes if there is one such, else behind what can be read."""
    if fragment != pattern and pattern.count(fragment) == 1:
        return pattern.index(fragment)
    ends = range(len(pattern), max(0, len(pattern) - _TRIED), -1)
    return next((end for end in ends if _refusal(pattern[:end]) is None), 0)


_DOLLAR = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|(\$)", re.DOTALL)
"""What ``$`` may stand in without being the end of the text, and the ``$`` that is."""


def ending_as_in_pcre(pattern: str) -> str:
    r"""A checked expression in which ``$`` is also in front of a line feed that ends the text, as PCRE has it.

    A server that takes ``/x.php`` from ``x.php%0A`` by such a ``$`` must not be reached past ``\.php$``.
    """
    return _DOLLAR.sub(lambda found: r"(?:$|\n\z)" if found[1] else found[0], pattern)


def program_size(pattern: str) -> int:
    """How many instructions of RE2 a checked expression comes down to; a byte of text may be tried against each."""
    size: int = compile_regex(pattern).programsize
    return size


_COUNT = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")


def counted_size(pattern: str) -> int:
    """How many of those are copies for ``{n,m}``: of them, one value can have any number busy, in any order."""
    if not _COUNT.search(pattern):
        return 0
    return max(0, program_size(pattern) - program_size(_COUNT.sub("+", pattern)))


_PLAIN = re.compile(r"(?:\(\?i\))?\^?(?:[^\\.\[\](){}*+?|^$]|\\[^A-Za-z0-9]|\\b)*(?:\$|\(\?:\$\|\\n\\z\))?")


def is_plain(pattern: str) -> bool:
    """Whether a checked expression is one text and nothing else, so that it costs next to nothing among others."""
    return _PLAIN.fullmatch(pattern) is not None


def compile_regex(pattern: str) -> Any:
    """Compile a checked expression by itself; what it gives has Python's methods ``search`` and ``groups``."""
    return re2.compile(pattern.encode("latin-1"), _ALONE)


def compile_set(patterns: Sequence[str]) -> re2.Set:
    """Compile checked expressions into one set, whose ``Match`` gives the indexes of all that match.

    One more expression, the last, matches always: RE2 reports a set that it has no memory to search as one in which
    nothing matches, and that would silently switch every rule off. An answer without the last index is such a failure.

    :raises InvalidValue: if they are too large together.
    """
    expressions = re2.Set.SearchSet(_options(_SET + _SET_EACH * len(patterns)))
    for pattern in (*patterns, ""):
        expressions.Add(pattern.encode("latin-1"))
    try:
        expressions.Compile()
    except re2.error:
        raise InvalidValue(f"these {len(patterns)} regular expressions are too large together") from None
    return expressions
