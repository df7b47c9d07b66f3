"""The engines that search a value for many regular expressions at once.

Law: which engine searches makes no difference to what is found, and what a value costs does not depend on how many
expressions there are. Hyperscan, where it is installed, gets the expressions that it reads as RE2 does; RE2 gets the
rest. Whatever an engine cannot search is a failure and never "nothing found". What is remembered of values is bounded,
for they are the client's to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

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

K = TypeVar("K")
T = TypeVar("T")

Patterns = Sequence[tuple[str, int]]
"""Checked expressions, each with the number that stands for it; several may have the same."""

LONGEST_REMEMBERED = 2048
"""Values longer than this, in bytes, are searched anew each time."""

MOST_REMEMBERED = 4096
"""Verdicts kept of one set; then all are forgotten."""

Start = Callable[[Callable[[], Any]], Callable[[], Any]]
"""Begins some work, and returns what waits for its end and gives what came of it."""


def at_once(work: Callable[[], Any]) -> Callable[[], Any]:
    """Do it before anything else."""
    found = work()
    return lambda: found


MOST_REMEMBERED_BYTES = 1 << 20
"""The size of the values whose verdicts are kept of one set; then all are forgotten."""


Note = Callable[[int, int, int, int, set[int]], None]
Scan = Callable[[bytes, Note, int, set[int]], object]
"""Adds the numbers of all expressions that match a value: ``scan(value, note, 0, hits)``, with the engine's own note.
So Hyperscan has it, and a function of ours between it and its caller would take as long as the search."""


class Engine(Protocol):
    """Some expressions, compiled.

    :ivar scan: see :data:`Scan`; it raises one of :data:`FAILURES` if it cannot search a value.
    :ivar note: what is called for each that matches, with its place among them.
    """

    @property
    def scan(self) -> Scan: ...

    @property
    def note(self) -> Note: ...


def _noting(numbers: Sequence[int]) -> Note:
    def note(place: int, start: int, end: int, flags: int, hits: set[int]) -> None:
        hits.add(numbers[place])

    return note


Automata = Mapping[tuple[str, tuple[str, ...]], Any]
"""What sets of expressions were compiled to, by the engine and the expressions. Such a thing knows no numbers, so a
configuration takes from the one before it whatever says the same, wherever it stands now."""


@define
class Workshop:
    """Compiles, and takes what another configuration has compiled.

    :ivar before: what that has.
    :ivar start: how many sets are begun; others may go on meanwhile, for Hyperscan leaves Python's lock to them.
    :ivar automata: all that has been asked for.
    """

    before: Automata = field(factory=dict)
    start: Start = at_once
    automata: dict[tuple[str, tuple[str, ...]], Any] = field(factory=dict, init=False)

    def automaton(self, engine: str, expressions: Sequence[str], make: Callable[[Sequence[str]], T]) -> T:
        """Some expressions, compiled by an engine."""
        key = engine, tuple(expressions)
        found: T = (
            self.automata[key] if key in self.automata else self.before[key] if key in self.before else make(key[1])
        )
        self.automata[key] = found
        return found

    def engines(self, several: Mapping[K, Patterns]) -> Callable[[K], tuple[Engine, ...]]:
        """What gives the engines that search for each of several sets, once they are compiled.

        :raises InvalidValue: if expressions are too large together; whatever is given does so too.
        """
        start = self.start if sum(map(len, several.values())) >= _MANY else at_once
        found = {key: start(partial(compiled, patterns, ENGINES, self)) for key, patterns in several.items()}
        return lambda key: found[key]()


@define
class Linear:
    """RE2: one automaton for all expressions, made as it goes. What is known of it costs little, what is new much; so
    the verdicts on values are kept, for clients repeat themselves."""

    _expressions: re2.Set
    _numbers: tuple[int, ...]
    note: Note = field(default=_noting(()), init=False)
    _verdicts: dict[bytes, tuple[int, ...]] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    @classmethod
    def take(cls, patterns: Patterns, workshop: Workshop) -> tuple[Linear, Patterns]:
        """Compile expressions: all of them.

        :returns: the engine, and what it leaves over.
        :raises InvalidValue: if they are too large together.
        """
        expressions = workshop.automaton("RE2", [pattern for pattern, _ in patterns], compile_set)
        return cls(expressions, tuple(number for _, number in patterns)), ()

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
    note: Note

    @classmethod
    def take(cls, patterns: Patterns, workshop: Workshop) -> tuple[Vectored | None, Patterns]:
        """Compile those expressions that are certain to mean the same as to RE2.

        :returns: the engine, ``None`` if there is none such, and what is left over.
        """
        translated = [(alike(pattern), pattern, number) for pattern, number in patterns]
        ours = [(text, number) for text, _, number in translated if text is not None]
        left = [(pattern, number) for text, pattern, number in translated if text is None]
        database = workshop.automaton("Hyperscan", [text for text, _ in ours], _compiled) if ours else None
        if ours and database is None:  # it does not say which one it refuses
            refused = {text for text in {text for text, _ in ours} if _compiled((text,)) is None}
            left = [each for each, (text, *_) in zip(patterns, translated, strict=True) if text in {None, *refused}]
            ours = [each for each in ours if each[0] not in refused]
            database = workshop.automaton("Hyperscan", [text for text, _ in ours], _compiled) if ours else None
        if database is None:
            return None, patterns
        return cls(database.scan, _noting([*(number for _, number in ours), _NOBODY])), left


_MANY = 64
"""Expressions from which on Hyperscan shall make no second automaton for short values."""

_UNSEEN = r"\x00[\x01\x02]*\x03"
_NOBODY = -1
r"""An expression that nobody asks for, and its number.

Of all expressions together Hyperscan makes one more automaton, for values of up to 70 bytes, in a time that grows with
the square of their number, and with many it throws the result away. It does not begin if it has to tell of any of them
where a match starts. So one is put in front that does. Without it a set takes up to six times as long to compile, and
nothing else changes; a short value is searched 50 ns faster.
"""


def _compiled(expressions: Sequence[str]) -> Any:
    """A database; ``None`` if one of the expressions is refused."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY] * len(expressions)
    written, places = [each.encode("latin-1") for each in expressions], [*range(len(expressions))]
    if len(expressions) >= _MANY:
        written.insert(0, _UNSEEN.encode("ascii"))
        flags.insert(0, hyperscan.HS_FLAG_SOM_LEFTMOST)
        places.insert(0, len(expressions))
    try:
        database.compile(expressions=written, ids=places, elements=len(written), flags=flags)
    except hyperscan.error:
        return None
    return database


Take = Callable[[Patterns, Workshop], tuple[Engine | None, Patterns]]

ENGINES: tuple[Take, ...] = (Vectored.take, Linear.take) if INSTALLED else (Linear.take,)
"""What takes expressions, in the order asked; each gets what those before it have left over, and the last takes all."""


def vectored(pattern: str) -> bool:
    """Whether a checked expression is one that Hyperscan searches here."""
    return INSTALLED and alike(pattern) is not None


def compiled(patterns: Patterns, engines: Sequence[Take], workshop: Workshop | None = None) -> tuple[Engine, ...]:
    """The engines that search for some expressions.

    :param engines: such as :data:`ENGINES`.
    :param workshop: where they are compiled; one of their own if absent.
    :raises InvalidValue: if they are too large together.
    """
    workshop, found = workshop or Workshop(), []
    for take in engines:
        if patterns:
            engine, patterns = take(patterns, workshop)
            found += [] if engine is None else [engine]
    return tuple(found)
