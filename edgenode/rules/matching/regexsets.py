"""All regular expressions on one subject as one set.

Law: what a value costs does not depend on how many expressions there are, and what is remembered of values is bounded,
for they are the client's to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Self

from attrs import define, field

from edgenode.rules.lists import Members
from edgenode.rules.matching import engines

Numbers = tuple[int, ...]

LONGEST_REMEMBERED = 2048
"""Values longer than this, in bytes, are searched anew each time."""

MOST_REMEMBERED = 4096
"""Verdicts kept of one set; then all are forgotten."""

MOST_REMEMBERED_BYTES = 1 << 20
"""The size of the values whose verdicts are kept of one set; then all are forgotten."""


@define
class RegexSet:
    """Regular expressions on bytes. It keeps the verdicts on values, for clients repeat themselves."""

    _searches: tuple[Callable[[bytes], Numbers], ...]
    _verdicts: dict[bytes, Numbers] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    @classmethod
    def of(cls, predicates: Sequence[tuple[Any, int]]) -> Self:
        """Compile a set.

        :param predicates: checked expressions, or lists of them, each with the number that stands for it.
        :raises InvalidValue: if the expressions are too large together.
        """
        pairs = [
            (pattern, number)
            for sought, number in predicates
            for pattern in (sought.regexes if isinstance(sought, Members) else (sought,))
        ]
        return cls(tuple(engine.search for engine in engines.compiled(pairs, engines.ENGINES)))

    def find(self, values: Collection[bytes]) -> Numbers:
        """The numbers of all expressions that match any of these values.

        :raises RuntimeError: if a value cannot be searched.
        """
        found: Numbers = ()
        verdicts = self._verdicts
        for value in values:
            verdict = verdicts.get(value)
            if verdict is None:
                verdict = ()
                for search in self._searches:
                    verdict += search(value)
                if len(value) <= LONGEST_REMEMBERED:
                    self._size += len(value)
                    if len(verdicts) >= MOST_REMEMBERED or self._size > MOST_REMEMBERED_BYTES:
                        verdicts.clear()
                        self._size = len(value)
                    verdicts[value] = verdict
            if verdict:
                found += verdict
        return found
