"""What has to stand in a text that matches a regular expression, so that a search for words says where none can match.

Law: nothing that matches is without what is asked for here. Case does not matter: words are in lower case, and are
looked for in any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import pcre
from edgenode.policy.contentfilter.texts import bare_value

Words = frozenset[bytes]
"""Words of which one at least has to stand in a text."""

MOST_WORDS = 4096
"""Words in one set; a set with more is none."""

_MOST_EXACT = 1536
"""Texts up to which it is followed what exactly a part of an expression matches."""

_LONGEST, _REPEATED = 24, 2
MOST_SETS = 3
"""Sets of one expression."""

_FLAGS = re.compile(r"\(\?[ims]+\)")
_WITH_FLAGS = re.compile(r"\(\?[ims]+(?:-[ims]+)?:")


@frozen
class _Part:
    """What is known of a part of an expression.

    :ivar exact: all that it matches; ``None`` if that is too much.
    :ivar required: sets of words of each of which one has to be in what it matches.
    """

    exact: Words | None
    required: tuple[Words, ...] = ()


_EMPTY = _Part(frozenset((b"",)))
_ANYTHING = _Part(None)


def required(pattern: str) -> tuple[Words, ...]:
    """Sets of words of each of which one has to stand in a text that matches; none if nothing has to.

    :param pattern: as in ``pcre``.
    :raises InvalidValue: if it is no regular expression.
    """
    tree = _parsed(pattern)
    if tree is None:
        return ()
    part = _sequence(tree)
    return _best((*part.required, *_as_words(part.exact)))


def _parsed(pattern: str) -> Any:
    """A tree of an expression; ``None`` if Python cannot read it.

    :raises InvalidValue: if it is no regular expression.
    """
    text = pcre.translated(pcre.bytewise(pattern))
    text = _WITH_FLAGS.sub("(?:", _FLAGS.sub("", text)).replace(r"\z", r"\Z")
    try:
        return _parser.parse(pcre.each_alone(text), re.DOTALL)
    except (re.error, OverflowError, InvalidValue):
        return None


def within_lines(pattern: str) -> bool:
    """Whether nothing that matches an expression has a line feed in it.

    :raises InvalidValue: if it is no regular expression.
    """
    tree = _parsed(pattern)
    return tree is not None and not _has_line_feed(tree)


_LINE_FEED = 10


def _has_line_feed(tree: Any) -> bool:
    """Whether a line feed may be in what matches, or beside it."""
    for kind, details in tree:
        name = str(kind)
        if name == "LITERAL":
            if details == _LINE_FEED:
                return True
        elif name == "IN":
            if _may_be_line_feed(details):
                return True
        elif name == "SUBPATTERN":
            if _has_line_feed(details[-1]):
                return True
        elif name == "BRANCH":
            if any(map(_has_line_feed, details[1])):
                return True
        elif name.endswith("REPEAT"):
            if _has_line_feed(details[2]):
                return True
        elif name != "AT":
            return True
    return False


def _may_be_line_feed(members: Sequence[tuple[Any, Any]]) -> bool:
    negated = bool(members) and str(members[0][0]) == "NEGATE"
    listed = any(
        details == _LINE_FEED
        if str(kind) == "LITERAL"
        else details[0] <= _LINE_FEED <= details[1]
        if str(kind) == "RANGE"
        else True
        for kind, details in members[negated:]
    )
    return not listed if negated and all(str(kind) in ("LITERAL", "RANGE") for kind, _ in members[1:]) else listed


SHORT = 3
"""Bytes of a word that is searched for; two, if they are not both letters or digits. Of shorter ones a single byte that
is rare is."""


def searchable(word: bytes) -> bytes:
    """A word as it stands in bare texts; of a short one the byte that ordinary values have least, or nothing."""
    found = bare_value(word)
    if len(found) >= SHORT or (len(found) == SHORT - 1 and not found.isalnum()):
        return found
    return rarest(word)


def rarest(word: bytes) -> bytes:
    """The byte of a word that ordinary values have least; empty if it has letters and digits alone."""
    rare = [byte for byte in word if not (bytes((byte,)).isalnum() or byte in _NEVER)]
    return bytes((min(rare, key=_COMMON.find),)) if rare else b""


_NEVER = b" "
_COMMON = b",&()?;-:=./"
"""Bytes that ordinary values often have, the most common last."""


def weight(words: Words) -> float:
    """How much a set says: the longer its shortest word, and the fewer there are, the more; nothing if there is one
    that cannot be searched for."""
    shortest = min(map(_says, words), default=0)
    return min(shortest, 8) - len(words) / 2000


def _says(word: bytes) -> float:
    found = searchable(word)
    return 1 - (_COMMON.find(found) + 1) / 20 if len(found) == 1 else len(found)


def _as_words(exact: Words | None) -> tuple[Words, ...]:
    return () if exact is None or b"" in exact or not exact else (exact,)


def _best(several: Iterable[Words]) -> tuple[Words, ...]:
    found = sorted(dict.fromkeys(several), key=weight, reverse=True)
    return tuple(each for each in found if len(each) <= MOST_WORDS)[:MOST_SETS]


def _sequence(tree: Iterable[Any]) -> _Part:
    exact: Words | None = frozenset((b"",))
    whole, required = True, []
    for kind, details in tree:
        part = _part(str(kind), details)
        joined = None if exact is None or part.exact is None else _product(exact, part.exact)
        if joined is None:
            whole = False
            required += [*_as_words(exact), *part.required]
            exact = part.exact if part.exact is not None else frozenset((b"",))
        else:
            exact = joined
    if whole:
        return _Part(exact, tuple(required))
    return _Part(None, _best((*required, *_as_words(exact))))


def _product(first: Words, second: Words) -> Words | None:
    if len(first) * len(second) > _MOST_EXACT:
        return None
    joined = frozenset(one + other for one in first for other in second)
    return joined if all(len(each) <= _LONGEST for each in joined) else None


def _product_of(words: Words, least: int) -> Words | None:
    """What so many of some words make, one behind the other; ``None`` if it is too much."""
    product: Words | None = words
    for _ in range(min(least, _REPEATED) - 1):
        product = None if product is None else _product(product, words)
    return product


def _part(kind: str, details: Any) -> _Part:
    if kind == "LITERAL":
        return _Part(frozenset((bytes((details,)).lower(),)))
    if kind == "IN":
        return _set(details)
    if kind in ("AT", "ASSERT", "ASSERT_NOT"):
        return _EMPTY
    if kind == "SUBPATTERN":
        return _sequence(details[-1])
    if kind == "ATOMIC_GROUP":
        return _sequence(details)
    if kind == "BRANCH":
        return _branch([_sequence(each) for each in details[1]])
    if kind.endswith("REPEAT"):
        return _repeated(details[0], details[1], _sequence(details[2]))
    return _ANYTHING


def _set(members: Sequence[tuple[Any, Any]]) -> _Part:
    found: set[bytes] = set()
    for kind, details in members:
        if str(kind) == "LITERAL":
            found.add(bytes((details,)).lower())
        elif str(kind) == "RANGE":
            found.update(bytes((byte,)).lower() for byte in range(details[0], details[1] + 1))
        else:
            return _ANYTHING
    return _Part(frozenset(found)) if len(found) <= 16 else _ANYTHING


def _branch(parts: Sequence[_Part]) -> _Part:
    exact: Words | None = frozenset()
    for part in parts:
        exact = None if exact is None or part.exact is None else exact | part.exact
    if exact is not None and len(exact) <= _MOST_EXACT:
        return _Part(exact)
    words: set[bytes] = set()
    for part in parts:
        best = _best((*part.required, *_as_words(part.exact)))
        if not best:
            return _ANYTHING
        words |= best[0]
    return _Part(None, (frozenset(words),) if len(words) <= MOST_WORDS else ())


def _repeated(least: int, most: Any, part: _Part) -> _Part:
    if least == most == 1:
        return part
    if least == 0:
        return _Part(part.exact | {b""}) if most == 1 and part.exact is not None else _ANYTHING
    if part.exact is not None and len(part.exact) == 1:
        (only,) = part.exact
        if len(only) * least <= _LONGEST:
            if isinstance(most, int) and len(only) * most <= _LONGEST:
                return _Part(frozenset(only * times for times in range(least, most + 1)))
            return _Part(None, _as_words(frozenset((only * least,))))
    if part.exact is not None and (several := _product_of(part.exact, least)) is not None:
        return _Part(None, _best((*part.required, *_as_words(part.exact), *_as_words(several))))
    return _Part(None, _best((*part.required, *_as_words(part.exact))))
