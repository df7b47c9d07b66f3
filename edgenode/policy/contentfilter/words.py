"""A search for many words at once, whatever their case."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import re2

from edgenode.model.errors import InvalidValue

try:
    import hyperscan
except ImportError:  # it is an extra
    INSTALLED = False
else:
    INSTALLED = True

Search = Callable[[bytes, set[int]], object]
"""Adds the places of all words that stand in a text."""


def searching(words: Sequence[bytes]) -> Search:
    """What searches for words.

    :raises InvalidValue: if they are too many.
    """
    if not words:
        return lambda text, found: None
    return _vectored(words) if INSTALLED else _linear(words)


def _vectored(words: Sequence[bytes]) -> Search:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH] * len(words)
    written = ["".join(f"\\x{byte:02x}" for byte in word).encode("ascii") for word in words]
    database.compile(expressions=written, ids=[*range(len(words))], elements=len(words), flags=flags)
    scan: Callable[..., object] = database.scan

    def note(place: int, start: int, end: int, flags: int, found: set[int]) -> None:
        found.add(place)

    return lambda text, found: scan(text, note, 0, found)


def _options(memory: int) -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl, options.log_errors, options.max_mem = True, False, memory
    return options


def _linear(words: Sequence[bytes]) -> Search:
    match = _set([f"(?i){re.escape(word.decode('latin-1'))}" for word in words], 64 << 20)
    always = len(words)

    def search(text: bytes, found: set[int]) -> None:
        matching = match(text)
        found.update(matching if always in matching else range(always))
        found.discard(always)

    return search


def _set(expressions: Sequence[str], memory: int) -> Callable[[bytes], list[int]]:
    """What gives the places of those of some expressions that match, and of one more behind them, which always does:
    where it is missing, RE2 had not enough memory to know."""
    made = re2.Set.SearchSet(_options(memory))
    for each in (*expressions, ""):
        made.Add(each.encode("latin-1"))
    try:
        made.Compile()
    except re2.error:
        raise InvalidValue("these regular expressions are too large together") from None
    match: Callable[[bytes], list[int]] = made.Match
    return match


def together(expressions: Sequence[str]) -> Callable[[bytes], Iterable[int]]:
    """The places of those expressions, which RE2 reads, that match a text; all of them if that cannot be said.

    :raises InvalidValue: if they are too large.
    """
    match, always = _set(expressions, 64 << 20), len(expressions)

    def matching(text: bytes) -> Iterable[int]:
        found = match(text)
        if len(found) == 1 and found[0] == always:
            return ()
        return [place for place in found if place != always] if always in found else range(always)

    return matching


def alone(expression: str) -> Callable[[bytes], bool]:
    """Whether an expression that RE2 reads matches a text; true if that cannot be said.

    :raises InvalidValue: if it is too large.
    """
    match, only = _set((expression,), 8 << 20), [1]
    return lambda text: match(text) != only
