"""The engines that search a value for many regular expressions at once.

Law: which engine searches makes no difference to what is found. Hyperscan, where it is installed, gets the expressions
that it reads as RE2 does; RE2 gets the rest. Whatever an engine cannot search is a failure and never "nothing found".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import re2
from attrs import define

from edgenode.rules.matching.hyperscan import alike
from edgenode.rules.regexes import compile_set

try:
    import hyperscan
except ImportError:  # it is an extra
    INSTALLED = False
else:
    INSTALLED = True

Patterns = Sequence[tuple[str, int]]
"""Checked expressions, each with the number that stands for it."""


class Engine(Protocol):
    """Some expressions, compiled."""

    def search(self, value: bytes) -> tuple[int, ...]:
        """The numbers of all that match."""
        ...


@define
class Linear:
    """RE2: one automaton for all expressions, made as it goes. What is known of it costs little, what is new much."""

    _expressions: re2.Set
    _numbers: tuple[int, ...]

    @classmethod
    def take(cls, patterns: Patterns) -> tuple[Linear, Patterns]:
        """Compile expressions: all of them.

        :returns: the engine, and what it leaves over.
        :raises InvalidValue: if they are too large together.
        """
        return cls(compile_set([pattern for pattern, _ in patterns]), tuple(number for _, number in patterns)), ()

    def search(self, value: bytes) -> tuple[int, ...]:
        """The numbers of all that match.

        :raises RuntimeError: if RE2 has not enough memory to know.
        """
        matching = self._expressions.Match(value)
        always = len(self._numbers)
        if not matching or always not in matching:
            raise RuntimeError("RE2 had not enough memory to search a value")
        numbers = self._numbers
        return tuple([numbers[index] for index in matching if index != always]) if len(matching) > 1 else ()


@define
class Vectored:
    """Hyperscan: automata that are made beforehand, so no value costs much more than another. One thread at a time."""

    _scan: Callable[..., object]
    _numbers: tuple[int, ...]

    @classmethod
    def take(cls, patterns: Patterns) -> tuple[Vectored | None, Patterns]:
        """Compile those expressions that are certain to mean the same as to RE2.

        :returns: the engine, ``None`` if there is none such, and what is left over.
        """
        translated = [(alike(pattern), pattern, number) for pattern, number in patterns]
        ours = [(text, pattern, number) for text, pattern, number in translated if text is not None]
        database = _compiled([text for text, _, _ in ours]) if ours else None
        if ours and database is None:  # it does not say which one it refuses
            ours = [each for each in ours if _compiled([each[0]]) is not None]
            database = _compiled([text for text, _, _ in ours]) if ours else None
        if database is None:
            return None, patterns
        taken = {(pattern, number) for _, pattern, number in ours}
        left = [each for each in patterns if each not in taken]
        return cls(database.scan, tuple(number for _, _, number in ours)), left

    def search(self, value: bytes) -> tuple[int, ...]:
        """The numbers of all that match.

        :raises RuntimeError: if the engine is searching already.
        """
        found: list[int] = []
        try:
            self._scan(value, _note, 0, found)
        except hyperscan.error as error:
            raise RuntimeError(f"Hyperscan could not search a value: {error}") from None
        return tuple([self._numbers[index] for index in found]) if found else ()


def _note(index: int, start: int, end: int, flags: int, found: list[int]) -> None:
    found.append(index)


def _compiled(patterns: Sequence[str]) -> Any:
    """A database; ``None`` if one of the expressions is refused."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY
    try:
        database.compile(
            expressions=[pattern.encode("latin-1") for pattern in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[flags] * len(patterns),
        )
    except hyperscan.error:
        return None
    return database


Take = Callable[[Patterns], tuple[Engine | None, Patterns]]

ENGINES: tuple[Take, ...] = (Vectored.take, Linear.take) if INSTALLED else (Linear.take,)
"""What takes expressions, in the order asked; each gets what those before it have left over, and the last takes all."""


def vectored(pattern: str) -> bool:
    """Whether a checked expression is one that Hyperscan searches here."""
    return INSTALLED and alike(pattern) is not None


def compiled(patterns: Patterns, engines: Sequence[Take]) -> tuple[Engine, ...]:
    """The engines that search for some expressions.

    :param engines: such as :data:`ENGINES`.
    :raises InvalidValue: if they are too large together.
    """
    found = []
    for take in engines:
        if patterns:
            engine, patterns = take(patterns)
            found += [] if engine is None else [engine]
    return tuple(found)
