"""Which rules may match a request: one search for words over all that they look at, and what else takes little.

Law: a rule that is left out cannot match; one that is not may still not. It makes no difference to what is found.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import product
from operator import or_

from attrs import field, frozen

from edgenode.policy.contentfilter.digits import alike, zeroed
from edgenode.policy.contentfilter.directives import Rule
from edgenode.policy.contentfilter.evaluation import SLICE, Run
from edgenode.policy.contentfilter.factors import MOST_SETS
from edgenode.policy.contentfilter.known import Known
from edgenode.policy.contentfilter.texts import Chains, Texts
from edgenode.policy.contentfilter.wanted import GROUP, GROUPS, HEADER, Wanted, best
from edgenode.policy.contentfilter.words import Search, searching

_OF_TEXTS = 8
"""How much more it takes to make a text than to search it once."""

_MANY, _AT_ONCE = 16 << 10, 1024
"""Bytes of values from which on libinjection is asked of so many at a time."""

_LINE_FEED = 10
_FEW = 8
"""Values, and rules that may match them, of which it is found out which may match which."""


@frozen(eq=False)
class _Group:
    """The rules that look at variables of one group.

    :ivar reads: the variables, each with the rules that look at it.
    :ivar rules: by number, what each wants.
    :ivar places: by number, those of its chains.
    :ivar numbers: those rules, as bits.
    :ivar of_digits: whether it matters to them which digits there are.
    :ivar known: of values, the rules that may match them.
    """

    reads: tuple[tuple[str, int], ...]
    rules: Mapping[int, Wanted]
    places: Mapping[int, tuple[int, ...]]
    chains: Chains
    numbers: int
    of_digits: bool
    known: Known[int] = field(factory=Known)


@frozen(eq=False)
class Prefilter:
    """The search for what rules want.

    Each word stands for bits: those of the rules that ask for it, once for each set of words that it is in; a rule has
    all that it wants if its bits of all sets are there.

    :ivar left: the numbers of the rules that cannot be searched for.
    """

    left: tuple[int, ...]
    _groups: tuple[_Group, ...]
    _search: Search
    _asking: tuple[int, ...] = field(repr=False)
    _bytes: Mapping[int, int] = field(repr=False)
    _others: bytes = field(repr=False)
    _without: int = field(repr=False)
    _width: int

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Prefilter:
        """Of rules by their numbers."""
        found, width = [best(rule) for rule in rules], len(rules)
        asking: dict[bytes, int] = {}
        without = 0
        for number, each in enumerate(found):
            wanted_words = () if each is None else each.words
            for place, several in enumerate(wanted_words):
                for word in several:
                    asking[word] = asking.get(word, 0) | 1 << place * width + number
            without |= _bits(place * width + number for place in range(len(wanted_words), MOST_SETS))
        words = [word for word in asking if len(word) > 1]
        single = {word[0]: several for word, several in asking.items() if len(word) == 1}
        return cls(
            tuple(number for number, each in enumerate(found) if each is None),
            tuple(_grouped(found)),
            searching(words),
            tuple(asking[word] for word in words),
            single,
            bytes(byte for byte in range(256) if byte not in single),
            without,
            width,
        )

    def find(self, run: Run, candidates: set[int]) -> Iterator[None]:
        """Add the numbers of the rules that may match, of those that are searched for; it yields whenever others
        should have their turn."""
        found = 0
        for group in self._groups:
            said = group.known.said
            unknown: dict[bytes, int] = {}
            for name, readers in group.reads:
                for value in _values(name, run):
                    rules = said.get(value)
                    if rules is None and not group.of_digits:
                        value = alike(value)
                        rules = said.get(value)
                    if rules is None:
                        unknown[value] = unknown.get(value, 0) | readers
                    else:
                        found |= rules & readers
            unknown.pop(b"", None)
            if unknown:
                found |= yield from self._unknown(group, unknown, run)
        candidates.update(_numbers(found))

    def _unknown(self, group: _Group, values: Mapping[bytes, int], run: Run) -> Generator[None, None, int]:
        """The rules that may match values, each of which is looked at by some rules."""
        note = group.known.note
        rules = yield from self._add(group, [*values], run)
        if not rules or len(values) == 1:
            for value in values:
                note(value, rules)
        elif len(values) <= _FEW and rules.bit_count() <= _FEW:  # which of them it is will be known the next time
            found = 0
            for value, readers in values.items():
                one = yield from self._add(group, (value,), run)
                note(value, one)
                found |= one & readers
            return found
        return rules & reduce(or_, values.values())

    def _texts(self, group: _Group, values: Sequence[bytes], run: Run) -> Generator[None, None, Texts]:
        making = group.chains.texts(values)
        while True:
            try:
                run.work += _OF_TEXTS * next(making)
            except StopIteration as end:
                made: Texts = end.value
                return made
            if run.work > SLICE:
                run.work = 0
                yield

    def _add(self, group: _Group, values: Sequence[bytes], run: Run) -> Generator[None, None, int]:
        texts = yield from self._texts(group, values, run)
        hits: set[int] = set()
        single: set[int] = set()
        search, others = self._search, self._others
        for text in texts.all:
            search(zeroed(text), hits)
            single.update(text.translate(None, others))
            run.work += _OF_TEXTS * len(text)
            if run.work > SLICE:
                run.work = 0
                yield
        if texts.lines:  # there it stands between values, and in none
            single.discard(_LINE_FEED)
        asking, of_bytes, width = self._asking, self._bytes, self._width
        bits = self._without
        for hit in hits:
            bits |= asking[hit]
        for byte in single:
            bits |= of_bytes[byte]
        for _ in range(1, MOST_SETS):
            bits &= bits >> width
        rules, made, first = group.rules, texts.made, texts.first
        candidates = 0
        for number in _numbers(bits & group.numbers):
            wanted = rules[number]
            confirm = wanted.confirm
            if confirm is None or (wanted.by_value and not texts.lines):
                candidates |= 1 << number
                continue
            for text in {
                id(text): text for place in group.places[number] for text in (made.get(place, first),)
            }.values():
                run.work += len(text)
                if run.work > SLICE:
                    run.work = 0
                    yield
                if wanted.by_value and len(text) > _MANY:  # libinjection takes its time for each value
                    lines_of = text.split(b"\n")
                    for start in range(0, len(lines_of), _AT_ONCE):
                        if confirm(b"\n".join(lines_of[start : start + _AT_ONCE])):
                            candidates |= 1 << number
                            break
                        yield
                    continue
                if confirm(text) and (not texts.lines or any(map(confirm, text.split(b"\n")))):
                    candidates |= 1 << number
                    break
        return candidates


def _values(name: str, run: Run) -> Iterable[bytes]:
    """The values of a variable."""
    if name.startswith(HEADER):
        request = run.exchange.request
        return () if request is None else request.fields.get(name.removeprefix(HEADER).encode("ascii"), ())
    return [value for _, value in run.read(name)]


def _bits(places: Iterable[int]) -> int:
    return reduce(or_, (1 << place for place in places), 0)


def _numbers(bits: int) -> Iterator[int]:
    """The places of the bits that are set."""
    while bits:
        least = bits & -bits
        yield least.bit_length() - 1
        bits ^= least


def _grouped(found: Sequence[Wanted | None]) -> Iterator[_Group]:
    searched = {number: each for number, each in enumerate(found) if each is not None}
    for (place, names), of_digits in product(enumerate(GROUPS), (False, True)):
        here = {number: each for number, each in searched.items() if each.of_digits is of_digits}
        wanting = {number: each for number, each in here.items() if not each.variables.isdisjoint(names)}
        if not wanting:
            continue
        reads: dict[str, int] = {}
        for number, each in wanting.items():
            for name in sorted(each.variables):
                if GROUP[name] == place:
                    reads[name] = reads.get(name, 0) | 1 << number
        chains = Chains.of(chain for each in wanting.values() for chain in each.chains)
        numbered = {chain: number for number, chain in enumerate(chains.chains)}
        places = {number: tuple(numbered[chain] for chain in each.chains) for number, each in wanting.items()}
        yield _Group(tuple(reads.items()), wanting, places, chains, _bits(wanting), of_digits)
