"""Sections, compiled: every pattern is put into the set of its field, and a section becomes a test on pattern numbers.

Law: what an exchange costs depends on the fields that are looked at and on what matches, not on how many sections
there are. So each section hangs on patterns of which at least one must match before it can match, and is looked at only
if one has. A field is read only if a section looks at it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from attrs import define, field, frozen

from edgenode.errors import InvalidValue
from edgenode.exchange import Exchange
from edgenode.rules.categories import CATEGORIES
from edgenode.rules.fields import Reader
from edgenode.rules.ordering import by_tags
from edgenode.rules.sections import Entry, Section
from edgenode.rules.sets import SETS, Numbers

DEEPEST = 32
"""How many sections may stand inside one another."""

Entries = tuple[Entry, ...]
Test = Callable[[set[int]], Entries | None]
"""The entries that make a section match, given the numbers of all that hit; ``None`` if it does not match."""

_PRESENT = 100


@frozen
class _Node:
    """A compiled section.

    :ivar test: whether it matches.
    :ivar triggers: numbers of which at least one must hit before it can match; ``None`` if it can match without any.
    :ivar breadth: how many requests in a hundred are guessed to hit a trigger.
    :ivar tags: the tags that it looks for, with the sections inside it.
    :ivar height: how many sections stand inside one another, itself included.
    """

    test: Test
    triggers: frozenset[int] | None
    breadth: int
    tags: frozenset[str]
    height: int


class _Look(NamedTuple):
    """One field to read, how its patterns are found, and the number that says that it has a value, if any."""

    read: Reader
    name: bytes
    find: Callable[[Collection[Any]], Numbers]
    present: int | None


@frozen
class _Judged:
    """A section in the order of judging: its place in the file, its test, and the numbers of the tags that it sets."""

    index: int
    test: Test
    gives: frozenset[int]


@frozen(eq=False)
class SectionSet:
    """Many sections, judged together."""

    _looks: tuple[_Look, ...]
    _judged: tuple[_Judged, ...]
    _hanging: Mapping[int, tuple[int, ...]]
    _always: tuple[int, ...]

    def matching(self, exchange: Exchange) -> Sequence[tuple[int, Entries]]:
        """The index of each section that matches, with the entries that made it match, in the order of the file.

        An ``or`` names the first that matched of its plain entries, else of its negated ones, else of its sections.

        :raises ValueError: if the client's address is none.
        :raises RuntimeError: if a value cannot be searched for want of memory.
        """
        hits: set[int] = set()
        for read, name, find, present in self._looks:
            values = read(exchange, name)
            if values:
                if present is not None:
                    hits.add(present)
                found = find(values)
                if found:
                    hits.update(found)
        if not hits and not self._always:
            return ()
        waiting = set(self._always)
        for hit in hits:
            waiting.update(self._hanging.get(hit, ()))
        return self._judge(waiting, hits) if waiting else ()

    def _judge(self, waiting: set[int], hits: set[int]) -> Sequence[tuple[int, Entries]]:
        matching: list[tuple[int, Entries]] = []
        heap = sorted(waiting)
        while heap:
            judged = self._judged[heapq.heappop(heap)]
            entries = judged.test(hits)
            if entries is None:
                continue
            matching.append((judged.index, entries))
            for tag in judged.gives - hits:  # whoever looks for it is judged later: see rules.ordering
                hits.add(tag)
                for later in self._hanging.get(tag, ()):
                    if later not in waiting:
                        waiting.add(later)
                        heapq.heappush(heap, later)
        matching.sort()
        return matching


def compile_sections(
    sections: Sequence[Section],
    named: Mapping[str, Section],
    tags: Sequence[Collection[str]] = (),
    names: Sequence[str] = (),
) -> SectionSet:
    """Compile sections that are judged together.

    :param sections: the sections; their entries have been checked by :func:`edgenode.rules.categories.entry`.
    :param named: the sections that they name, and those name in turn.
    :param tags: the tags that each section sets when it matches, which others see; none if left out.
    :param names: the sections' names, for errors.
    :raises InvalidValue: if sections stand inside one another in a circle or more than 32 deep, if one is named that
        does not exist, if tags are set and looked for in a circle, or if the regular expressions are too large.
    """
    tags = tags or ((),) * len(sections)
    names = names or tuple(f"section {number}" for number in range(1, len(sections) + 1))
    compiler = _Compiler(named)
    nodes = [compiler.node(section, (name,)) for section, name in zip(sections, names, strict=True)]
    order = by_tags(names, [node.tags for node in nodes], tags)
    hanging: dict[int, list[int]] = {}
    for rank, index in enumerate(order):
        for trigger in nodes[index].triggers or ():
            hanging.setdefault(trigger, []).append(rank)
    return SectionSet(
        compiler.looks(),
        tuple(_Judged(index, nodes[index].test, compiler.gives(tags[index])) for index in order),
        {trigger: tuple(ranks) for trigger, ranks in hanging.items()},
        tuple(rank for rank, index in enumerate(order) if nodes[index].triggers is None),
    )


def compile_section(section: Section, named: Mapping[str, Section]) -> Callable[[Exchange], Entries | None]:
    """Compile a single section into a function: the entries that make it match, or ``None`` if it does not.

    :raises InvalidValue: as :func:`compile_sections`.
    """
    matching = compile_sections((section,), named).matching

    def match(exchange: Exchange) -> Entries | None:
        found = matching(exchange)
        return found[0][1] if found else None

    return match


@define
class _Compiler:
    """Numbers the patterns, each once however often it is written, and compiles each named section once."""

    _named: Mapping[str, Section]
    _nodes: dict[str, _Node] = field(factory=dict, init=False)
    _patterns: dict[tuple[str, str], dict[str, int]] = field(factory=dict, init=False)
    _present: dict[tuple[str, str], int] = field(factory=dict, init=False)
    _count: int = field(default=0, init=False)

    def node(self, section: Section, path: tuple[str, ...]) -> _Node:
        """Compile a section that is reached by a path of names."""
        inner = [self._inner(name, path) for name in dict.fromkeys(section.sections)]
        height = 1 + max((node.height for node in inner), default=0)
        if height > DEEPEST:
            raise InvalidValue(f"sections stand inside one another more than {DEEPEST} deep")
        compiled = self._all if section.relation == "and" else self._any
        test, triggers, breadth = compiled(section.entries, inner)
        read = frozenset(entry.pattern for entry in section.entries if entry.category == "tag")
        return _Node(test, triggers, breadth, read.union(*(node.tags for node in inner)), height)

    def looks(self) -> tuple[_Look, ...]:
        """What has to be read, and the sets of patterns for it."""
        looks = []
        for (word, name), patterns in self._patterns.items():
            category = CATEGORIES[word]
            find = SETS[category.match].of(tuple(patterns.items())).find
            looks.append(_Look(category.reads.read, name.encode("ascii"), find, self._present.get((word, name))))
        return tuple(looks)

    def gives(self, tags: Iterable[str]) -> frozenset[int]:
        """The numbers of these tags, as far as anything looks for them."""
        numbers = self._patterns.get(("tag", ""), {})
        return frozenset(numbers[tag] for tag in tags if tag in numbers)

    def _inner(self, name: str, path: tuple[str, ...]) -> _Node:
        if name in path[1:]:
            raise InvalidValue(f"sections stand inside one another in a circle: {' → '.join((*path, name))}")
        if len(path) >= DEEPEST:
            raise InvalidValue(f"sections stand inside one another more than {DEEPEST} deep: {' → '.join(path)}")
        if name not in self._named:
            raise InvalidValue(f"there is no section {name}")
        if name not in self._nodes:
            self._nodes[name] = self.node(self._named[name], (*path, name))
        return self._nodes[name]

    def _number(self, entry: Entry) -> int:
        patterns = self._patterns.setdefault((entry.category, entry.name), {})
        if entry.pattern not in patterns:
            patterns[entry.pattern] = self._next()
        return patterns[entry.pattern]

    def _presence(self, entry: Entry) -> int:
        key = (entry.category, entry.name)
        if key not in self._present:
            self._present[key] = self._next()
        return self._present[key]

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _all(self, entries: Entries, inner: Sequence[_Node]) -> tuple[Test, frozenset[int] | None, int]:
        required: set[int] = set()
        forbidden: set[int] = set()
        narrowest: tuple[int, frozenset[int] | None] = (_PRESENT + 1, None)
        for entry in entries:
            number = self._number(entry)
            (forbidden if entry.negated else required).add(number)
            trigger = self._presence(entry) if entry.negated else number
            required.add(trigger)
            breadth = _PRESENT if entry.negated else CATEGORIES[entry.category].breadth
            narrowest = min(narrowest, (breadth, frozenset((trigger,))), key=_breadth)
        for node in inner:
            if node.triggers is not None:
                narrowest = min(narrowest, (node.breadth, node.triggers), key=_breadth)
        tests = tuple(node.test for node in inner)
        return _conjunction(entries, frozenset(required), frozenset(forbidden), tests), narrowest[1], narrowest[0]

    def _any(self, entries: Entries, inner: Sequence[_Node]) -> tuple[Test, frozenset[int] | None, int]:
        plain: dict[int, tuple[int, Entry]] = {}
        negated: list[tuple[int, int, Entry]] = []
        triggers: set[int] = set()
        breadth = 0
        for place, entry in enumerate(entries):
            number = self._number(entry)
            if entry.negated:
                present = self._presence(entry)
                negated.append((present, number, entry))
                triggers.add(present)
                breadth += _PRESENT
            else:
                plain.setdefault(number, (place, entry))
                triggers.add(number)
                breadth += CATEGORIES[entry.category].breadth
        test = _disjunction(plain, tuple(negated), tuple(node.test for node in inner))
        if any(node.triggers is None for node in inner):
            return test, None, _PRESENT
        triggers.update(*(node.triggers or () for node in inner))
        return test, frozenset(triggers), min(_PRESENT, breadth + sum(node.breadth for node in inner))


def _breadth(part: tuple[int, frozenset[int] | None]) -> int:
    return part[0]


def _conjunction(
    entries: Entries, required: frozenset[int], forbidden: frozenset[int], inner: tuple[Test, ...]
) -> Test:
    def test(hits: set[int]) -> Entries | None:
        if not required <= hits or not forbidden.isdisjoint(hits):
            return None
        found = entries
        for part in inner:
            more = part(hits)
            if more is None:
                return None
            found += more
        return found

    return test


def _disjunction(
    plain: Mapping[int, tuple[int, Entry]], negated: tuple[tuple[int, int, Entry], ...], inner: tuple[Test, ...]
) -> Test:
    def test(hits: set[int]) -> Entries | None:
        common = plain.keys() & hits
        if common:
            return (min(plain[number] for number in common)[1],)
        for present, number, entry in negated:
            if present in hits and number not in hits:
                return (entry,)
        for part in inner:
            found = part(hits)
            if found is not None:
                return found
        return None

    return test
