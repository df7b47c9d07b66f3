"""The engines that search a value for many regular expressions at once.

Law: which engine searches makes no difference to what is found, and what a value costs does not depend on how many
expressions there are. Hyperscan, where it is installed, gets the expressions that it reads as RE2 does; RE2 gets the
rest. Whatever an engine cannot search is a failure and never "nothing found". What is remembered of values is bounded,
for they are the client's to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import re2
from attrs import define, field

from edgenode.rules.matching.hyperscan import alike
from edgenode.rules.regexes import compile_set

try:
    import hyperscan
except ImportError:  # it is an extra
    INSTALLED = False
    FAILURES: tuple[type[Exception], ...] = (RuntimeError,)
else:
    INSTALLED = True
    FAILURES = (RuntimeError, hyperscan.error)

Patterns = Sequence[tuple[str, int]]
"""Checked expressions, each with the number that stands for it; several may have the same."""

LONGEST_REMEMBERED = 2048
"""Values longer than this, in bytes, are searched anew each time."""

MOST_REMEMBERED = 4096
"""Verdicts kept of one set; then all are forgotten."""

MOST_REMEMBERED_BYTES = 1 << 20
"""The size of the values whose verdicts are kept of one set; then all are forgotten."""


Note = Callable[[int, int, int, int, set[int]], None]
Scan = Callable[[bytes, Note, int, set[int]], object]
"""Adds the numbers of all expressions that match a value: ``scan(value, note, 0, hits)``, with :func:`note`. So
Hyperscan has it, and a function of ours between it and its caller would take as long as the search."""


def note(number: int, start: int, end: int, flags: int, hits: set[int]) -> None:
    """Add the number of an expression that matches."""
    hits.add(number)


class Engine(Protocol):
    """Some expressions, compiled.

    :ivar scan: see :data:`Scan`; it raises one of :data:`FAILURES` if it cannot search a value.
    """

    @property
    def scan(self) -> Scan: ...


@define
class Linear:
    """RE2: one automaton for all expressions, made as it goes. What is known of it costs little, what is new much; so
    the verdicts on values are kept, for clients repeat themselves."""

    _expressions: re2.Set
    _numbers: tuple[int, ...]
    _verdicts: dict[bytes, tuple[int, ...]] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    @classmethod
    def take(cls, patterns: Patterns) -> tuple[Linear, Patterns]:
        """Compile expressions: all of them.

        :returns: the engine, and what it leaves over.
        :raises InvalidValue: if they are too large together.
        """
        return cls(compile_set([pattern for pattern, _ in patterns]), tuple(number for _, number in patterns)), ()

    def scan(self, value: bytes, note: Note, flags: int, hits: set[int]) -> None:
        """Add the numbers of all that match a value; ``note`` and ``flags`` mean nothing here.

        :raises RuntimeError: if RE2 has not enough memory to know.
        """
        verdict = self._verdicts.get(value)
        if verdict is None:
            verdict = self._searched(value)
            self._remember(value, verdict)
        if verdict:
            hits.update(verdict)

    def _searched(self, value: bytes) -> tuple[int, ...]:
        matching = self._expressions.Match(value)
        always = len(self._numbers)
        if not matching or always not in matching:
            raise RuntimeError("RE2 had not enough memory to search a value")
        return tuple([self._numbers[index] for index in matching if index != always])

    def _remember(self, value: bytes, verdict: tuple[int, ...]) -> None:
        if len(value) > LONGEST_REMEMBERED:
            return
        self._size += len(value)
        if len(self._verdicts) >= MOST_REMEMBERED or self._size > MOST_REMEMBERED_BYTES:
            self._verdicts.clear()
            self._size = len(value)
        self._verdicts[value] = verdict


@define
class Vectored:
    """Hyperscan: automata that are made beforehand, so no value costs much more than another, and to remember a verdict
    costs as much as to find it. One thread at a time."""

    scan: Scan

    @classmethod
    def take(cls, patterns: Patterns) -> tuple[Vectored | None, Patterns]:
        """Compile those expressions that are certain to mean the same as to RE2.

        :returns: the engine, ``None`` if there is none such, and what is left over.
        """
        translated = [(alike(pattern), pattern, number) for pattern, number in patterns]
        ours = [(text, pattern, number) for text, pattern, number in translated if text is not None]
        database = _compiled([(text, number) for text, _, number in ours]) if ours else None
        if ours and database is None:  # it does not say which one it refuses
            ours = [each for each in ours if _compiled([(each[0], 0)]) is not None]
            database = _compiled([(text, number) for text, _, number in ours]) if ours else None
        if database is None:
            return None, patterns
        taken = {(pattern, number) for _, pattern, number in ours}
        left = [each for each in patterns if each not in taken]
        return cls(database.scan), left


def _compiled(patterns: Patterns) -> Any:
    """A database; ``None`` if one of the expressions is refused."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY
    try:
        database.compile(
            expressions=[pattern.encode("latin-1") for pattern, _ in patterns],
            ids=[number for _, number in patterns],
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
