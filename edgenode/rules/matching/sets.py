"""All predicates of one kind on one subject as one set: its values go in, the numbers of those that are true come out.

Law: what a value costs does not depend on how many predicates there are. Only a list of more than :data:`SMALL` members
is asked by itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, Self

from attrs import define, field, frozen

from edgenode.rules.lists import Members
from edgenode.rules.matching.engines import Patterns
from edgenode.rules.networks import Range

Numbers = tuple[int, ...]
Numbered = Sequence[tuple[Any, int]]
"""What is sought, each with the number that stands for it: see :class:`edgenode.rules.formulas.Predicate`."""

Find = Callable[[Collection[Any], set[int]], object]
"""Given the values of a subject, of which there is at least one, adds the numbers of all predicates that are true of
any of them."""

SMALL = 16_384
"""Up to so many members a list is taken apart, and looked up together with everything else."""


class PredicateSet(Protocol):
    """Predicates of one kind on one subject."""

    @classmethod
    def of(cls, predicates: Numbered) -> Self:
        """Compile a set."""
        ...

    def find(self, values: Collection[Any], hits: set[int]) -> None:
        """As :data:`Find`."""
        ...


@frozen
class PresenceSet:
    """Whether there is a value."""

    _numbers: Numbers

    @classmethod
    def of(cls, predicates: Numbered) -> Self:
        return cls(tuple(number for _, number in predicates))

    def find(self, values: Collection[Any], hits: set[int]) -> None:
        """Add all of them: there is one."""
        hits.update(self._numbers)


@frozen
class TruthSet:
    """Whether a value is true."""

    _numbers: Numbers

    @classmethod
    def of(cls, predicates: Numbered) -> Self:
        return cls(tuple(number for _, number in predicates))

    def find(self, values: Collection[bool], hits: set[int]) -> None:
        """Add all of them, if one is true."""
        if True in values:
            hits.update(self._numbers)


@frozen
class EqualSet:
    """Texts, equal or not; and the names below a domain.

    :ivar words: the numbers of each text.
    """

    words: Mapping[bytes | str, Numbers]
    _large: tuple[tuple[Members, int], ...]
    _suffixes: Mapping[bytes, Numbers]
    _longest: int

    @classmethod
    def of(cls, predicates: Numbered) -> Self:
        words, suffixes = _Gathering(), _Gathering()
        large = []
        for sought, number in predicates:
            if not isinstance(sought, Members):
                words.add((sought,), number)
                continue
            suffixes.add(sought.suffixes, number)
            if len(sought.words) > SMALL:
                large.append((sought, number))
            else:
                words.add(sought.words, number)
        return cls(words.found, tuple(large), suffixes.found, max(map(len, suffixes.found), default=0))

    @property
    def plain(self) -> bool:
        """Whether :attr:`words` are all that there is."""
        return not self._large and not self._suffixes

    def find(self, values: Collection[Any], hits: set[int]) -> None:
        """Add the numbers of all that are equal to a value, or that a value is below."""
        words = self.words
        for word in values if len(values) == 1 else words.keys() & values:
            if word in words:
                hits.update(words[word])
        for members, number in self._large:
            if not members.words.isdisjoint(values):
                hits.add(number)
        if self._suffixes:
            for value in values:
                hits.update(self._below(value))

    def _below(self, name: bytes) -> Iterable[int]:
        """The numbers of the suffixes of a name: what begins at a dot."""
        dot = name.find(b".", max(0, len(name) - self._longest))
        while dot >= 0:
            yield from self._suffixes.get(name[dot:], ())
            dot = name.find(b".", dot + 1)


Line = tuple[Sequence[int], Sequence[Numbers]]
"""All numbers, cut at the ends of all ranges: where each piece starts, and of each, from the one before the first start
on, the numbers that stand for the ranges around it."""


def cut(ranges: Iterable[tuple[int, int, int]]) -> Line:
    """Cut a line.

    :param ranges: the first and the last number of each, itself included, and the number that stands for it.
    """
    opening: dict[int, list[int]] = {}
    closing: dict[int, list[int]] = {}
    for first, last, number in ranges:
        opening.setdefault(first, []).append(number)
        closing.setdefault(last + 1, []).append(number)
    starts: list[int] = []
    pieces: list[Numbers] = [()]
    around: dict[int, int] = {}
    for start in sorted(opening.keys() | closing.keys()):
        for number in closing.get(start, ()):
            around[number] -= 1
            if not around[number]:
                del around[number]
        for number in opening.get(start, ()):
            around[number] = around.get(number, 0) + 1
        starts.append(start)
        pieces.append(tuple(around))
    return starts, pieces


@frozen
class RangeSet:
    """Ranges of integers."""

    _line: Line
    _members: Mapping[int, Numbers]

    @classmethod
    def of(cls, predicates: Numbered) -> Self:
        members = _Gathering()
        ranges = []
        for sought, number in predicates:
            if isinstance(sought, Members):
                members.add(sought.numbers, number)
            else:
                ranges.append((*sought, number))
        return cls(cut(ranges), members.found)

    def find(self, values: Collection[int], hits: set[int]) -> None:
        """Add the numbers of all ranges that a value is in."""
        starts, pieces = self._line
        for value in values:
            hits.update(pieces[bisect_right(starts, value)], self._members.get(value, ()))


@frozen
class NetworkSet:
    """Ranges of addresses of both families."""

    _lines: Mapping[int, Line]
    _large: tuple[tuple[Members, int], ...]

    @classmethod
    def of(cls, predicates: Numbered) -> Self:
        families: dict[int, list[tuple[int, int, int]]] = {4: [], 6: []}
        large = []
        for sought, number in predicates:
            if isinstance(sought, Range):
                families[sought.version].append((sought.first, sought.last, number))
            elif len(sought.networks) > SMALL:
                large.append((sought, number))
            else:
                for version, first, last in sought.networks.ranges():
                    families[version].append((first, last, number))
        return cls({version: cut(ranges) for version, ranges in families.items()}, tuple(large))

    def find(self, values: Collection[tuple[int, int]], hits: set[int]) -> None:
        """Add the numbers of all ranges that a value is in."""
        for value in values:
            version, address = value
            starts, pieces = self._lines[version]
            hits.update(pieces[bisect_right(starts, address)])
            for members, number in self._large:
                if value in members.networks:
                    hits.add(number)


@define
class _Gathering:
    """The numbers that stand for each of many things."""

    found: dict[Any, Numbers] = field(factory=dict)

    def add(self, things: Iterable[Any], number: int) -> None:
        for thing in things:
            self.found[thing] = (*self.found.get(thing, ()), number)


SETS: Mapping[str, type[PredicateSet]] = {
    "present": PresenceSet,
    "true": TruthSet,
    "equal": EqualSet,
    "network": NetworkSet,
    "range": RangeSet,
}
"""The set for each kind of match but ``regex``, for which there are engines."""


def patterns(predicates: Numbered) -> Patterns:
    """The expressions that are sought, each with its number.

    :param predicates: checked expressions, or lists of them.
    """
    return [
        (pattern, number)
        for sought, number in predicates
        for pattern in (sought.regexes if isinstance(sought, Members) else (sought,))
    ]
