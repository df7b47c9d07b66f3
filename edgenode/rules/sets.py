"""All patterns on one field as one set: its values go in, the numbers of the patterns that match any come out.

Law: what a value costs does not depend on how many patterns there are, and what is remembered of values is bounded,
for they are the client's to choose.
"""

from __future__ import annotations

import bisect
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, TypeVar

import re2
from attrs import define, field

from edgenode.rules.networks import IPNetwork, address, network
from edgenode.rules.regexes import compile_set

Numbers = tuple[int, ...]
Numbered = Sequence[tuple[str, int]]
"""Checked patterns, each with the number that stands for it."""

LONGEST_REMEMBERED = 2048
"""Values longer than this, in bytes, are searched anew each time."""

MOST_REMEMBERED = 4096
"""Verdicts kept of one set; then all are forgotten."""

MOST_REMEMBERED_BYTES = 1 << 20
"""The size of the values whose verdicts are kept of one set; then all are forgotten."""

Value = TypeVar("Value", bytes, str)


@define
class _Remembering(ABC, Generic[Value]):
    """Keeps the verdicts on values, for clients repeat themselves."""

    _verdicts: dict[Value, Numbers] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    def find(self, values: Collection[Value]) -> Numbers:
        """The numbers of all patterns that match any of these values."""
        found: Numbers = ()
        for value in values:
            verdict = self._verdicts.get(value)
            if verdict is None:
                verdict = self._search(value)
                if len(value) <= LONGEST_REMEMBERED:
                    self._remember(value, verdict)
            if verdict:
                found += verdict
        return found

    def _remember(self, value: Value, verdict: Numbers) -> None:
        self._size += len(value)
        if len(self._verdicts) >= MOST_REMEMBERED or self._size > MOST_REMEMBERED_BYTES:
            self._verdicts.clear()
            self._size = len(value)
        self._verdicts[value] = verdict

    @abstractmethod
    def _search(self, value: Value) -> Numbers:
        """The numbers of the patterns that match a value."""


@define
class RegexSet(_Remembering[bytes]):
    """Regular expressions on bytes."""

    _expressions: re2.Set
    _numbers: Numbers

    @classmethod
    def of(cls, patterns: Numbered) -> RegexSet:
        """Compile a set.

        :raises InvalidValue: if the expressions are too large together.
        """
        return cls(compile_set([pattern for pattern, _ in patterns]), tuple(number for _, number in patterns))

    def _search(self, value: bytes) -> Numbers:
        matching = self._expressions.Match(value)
        always = len(self._numbers)
        if not matching or always not in matching:
            raise RuntimeError("RE2 had not enough memory to search a value")
        return tuple(self._numbers[index] for index in sorted(matching) if index != always)


@define
class NetworkSet(_Remembering[str]):
    """Networks of both families, on addresses in text.

    Networks contain one another or are disjoint, so each family is a line cut at every network's ends; each piece
    knows all networks around it, and one bisection finds the piece.
    """

    _lines: Mapping[int, tuple[list[int], list[Numbers]]]

    @classmethod
    def of(cls, patterns: Numbered) -> NetworkSet:
        """Compile a set."""
        families: dict[int, dict[IPNetwork, Numbers]] = {4: {}, 6: {}}
        for text, number in patterns:
            found = network(text)
            family = families[found.version]
            family[found] = (*family.get(found, ()), number)
        return cls({version: _cut(networks) for version, networks in families.items()})

    def _search(self, value: str) -> Numbers:
        version, number = address(value)
        starts, pieces = self._lines[version]
        return pieces[bisect.bisect_right(starts, number) - 1]


def _cut(networks: Mapping[IPNetwork, Numbers]) -> tuple[list[int], list[Numbers]]:
    """Where each piece of a family's line starts, and the networks around it."""
    starts: list[int] = [0]
    pieces: list[Numbers] = [()]

    def cut(start: int, around: Numbers) -> None:
        if starts[-1] == start:
            pieces[-1] = around
        else:
            starts.append(start)
            pieces.append(around)

    open_until: list[tuple[int, Numbers]] = [(-1, ())]  # outermost: nothing around, never closed
    for inner in sorted(networks, key=lambda found: (int(found.network_address), found.prefixlen)):
        first = int(inner.network_address)
        while len(open_until) > 1 and open_until[-1][0] < first:
            ended, _ = open_until.pop()
            cut(ended + 1, open_until[-1][1])
        around = open_until[-1][1] + networks[inner]
        cut(first, around)
        open_until.append((first + inner.num_addresses - 1, around))
    while len(open_until) > 1:
        ended, _ = open_until.pop()
        cut(ended + 1, open_until[-1][1])
    return starts, pieces


@define
class ExactSet:
    """Words, equal or not."""

    _words: Mapping[str, Numbers]

    @classmethod
    def of(cls, patterns: Numbered) -> ExactSet:
        """Compile a set."""
        words: dict[str, Numbers] = {}
        for word, number in patterns:
            words[word] = (*words.get(word, ()), number)
        return cls(words)

    def find(self, values: Collection[str]) -> Numbers:
        """The numbers of all patterns that match any of these values."""
        common = self._words.keys() & values
        return tuple(number for word in common for number in self._words[word]) if common else ()


SETS: Mapping[str, type[RegexSet] | type[NetworkSet] | type[ExactSet]] = MappingProxyType(
    {"regex": RegexSet, "network": NetworkSet, "exact": ExactSet}
)
"""The set for each kind of match."""
