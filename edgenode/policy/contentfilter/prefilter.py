"""Which rules may match a request: a search for words over all that they look at, and what else takes little.

Law: a rule that is left out cannot match; one that is not may still not. It makes no difference to what is found. What
it takes does not depend on what was searched before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_

from attrs import field, frozen

from edgenode.model.exchange import NO_BODY
from edgenode.policy.contentfilter.directives import Rule
from edgenode.policy.contentfilter.evaluation import SLICE, Run
from edgenode.policy.contentfilter.factors import MOST_SETS
from edgenode.policy.contentfilter.texts import Chain, Chains, Texts, searched
from edgenode.policy.contentfilter.wanted import GROUPS, OF_BODIES, SOME_HEADERS, Test, Wanted, best
from edgenode.policy.contentfilter.words import Search, searching, together

_OF_TEXTS = 8
"""How much more it takes to make a text, or to search it, than to look at it once."""

_MANY, _AT_ONCE = 16 << 10, 1024
"""Bytes of a text of which it takes a while to make another; and how many values libinjection is asked of at a time."""


@frozen(eq=False)
class _Group:
    """The rules that look at some variables.

    :ivar reads: the variables.
    :ivar without_body: those of them that there are without a body.
    :ivar fields: the header fields that are looked at, where they are not all of a variable.
    :ivar rules: by number, what each wants.
    :ivar chains: what is made of the values, with the rules.
    :ivar wordless: the rules that want no words: a search for the expressions of some, with their numbers and what is
        searched.
    """

    reads: tuple[str, ...]
    without_body: tuple[str, ...]
    fields: tuple[bytes, ...]
    rules: Mapping[int, Wanted]
    chains: Chains
    wordless: tuple[tuple[Callable[[bytes], Iterable[int]], tuple[int, ...], Chain], ...]

    @classmethod
    def of(cls, names: Sequence[str], rules: Mapping[int, Wanted]) -> _Group:
        """Of those rules that look at some of the variables."""
        wanting = {number: each for number, each in rules.items() if not each.variables.isdisjoint(names)}
        reads = tuple(name for name in names if any(name in each.variables for each in wanting.values()))
        fields = dict.fromkeys(name for each in wanting.values() for name in sorted(each.fields))
        several: dict[Chain, list[int]] = {}
        for number, each in wanting.items():
            if each.expression and not each.words:
                several.setdefault(each.chains[0], []).append(number)
        return cls(
            reads,
            tuple(name for name in reads if name not in OF_BODIES),
            tuple(fields) if SOME_HEADERS in names else (),
            wanting,
            Chains.of((searched(chain), 1 << number) for number, each in wanting.items() for chain in each.chains),
            tuple(
                (together([wanting[number].expression for number in numbers]), tuple(numbers), chain)
                for chain, numbers in several.items()
            ),
        )

    def values(self, run: Run) -> list[bytes]:
        """What they look at, each once."""
        request = run.exchange.request
        if self.fields:
            fields = {} if request is None else request.fields
            return [value for name in self.fields if name in fields for value in fields[name] if value]
        reads = self.reads if request is None or request.body is not NO_BODY else self.without_body
        values = {value: None for name in reads for _, value in run.read(name)}
        values.pop(b"", None)
        return [*values]


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
            if each is None or each.words or not each.expression:
                without |= _bits(place * width + number for place in range(len(wanted_words), MOST_SETS))
        words = [word for word in asking if len(word) > 1]
        single = {word[0]: several for word, several in asking.items() if len(word) == 1}
        wanting = {number: each for number, each in enumerate(found) if each is not None}
        groups = [_Group.of(names, wanting) for names in GROUPS]
        return cls(
            tuple(number for number, each in enumerate(found) if each is None),
            tuple(group for group in groups if group.rules),
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
        for group in self._groups:
            values = group.values(run)
            if values:
                texts = Texts(values)
                bits = yield from self._searched(group, texts, run)
                if bits:
                    yield from self._confirmed(group, bits, texts, run, candidates)

    def _searched(self, group: _Group, texts: Texts, run: Run) -> Generator[None, None, int]:
        """The rules all of whose words are there, as bits."""
        rules = 0
        for text, bare, numbers in group.chains.texts(texts.values):
            hits: set[int] = set()
            self._search(bare, hits)
            single = set(text.translate(None, self._others))
            bits, width = self._without, self._width
            for hit in hits:
                bits |= self._asking[hit]
            for byte in single:
                bits |= self._bytes[byte]
            for _ in range(1, MOST_SETS):
                bits &= bits >> width
            rules |= bits & numbers
            run.work += _OF_TEXTS * len(text)
            if run.work > SLICE:
                run.work = 0
                yield
        for match, several, chain in group.wordless:
            if len(texts.first) > _MANY:
                yield from _made(texts, chain, run)
            for place in match(texts.of(chain)[0]):
                rules |= 1 << several[place]
        return rules

    def _confirmed(
        self, group: _Group, bits: int, texts: Texts, run: Run, candidates: set[int]
    ) -> Generator[None, None, None]:
        """Add those of the rules, which bits stand for, that may match."""
        large = len(texts.first) > _MANY
        for number in _numbers(bits):
            if number in candidates:
                continue
            wanted = group.rules[number]
            said: set[bytes] = set()
            for chain in wanted.chains:
                if large:
                    yield from _made(texts, chain, run)
                text, values = texts.of(chain)
                if text in said:
                    continue
                run.work += len(text)
                if wanted.confirm is None or (wanted.by_value and values is not None):
                    found = True
                elif wanted.by_value:
                    found = yield from _confirmed_by_value(wanted.confirm, text, said)
                else:
                    found = _confirmed(wanted, wanted.confirm, text, values is None)
                if found:
                    candidates.add(number)
                    break
                said.add(text)
                if run.work > SLICE:
                    run.work = 0
                    yield


def _made(texts: Texts, chain: Chain, run: Run) -> Iterator[None]:
    """Make a large text step by step; it yields whenever others should have their turn."""
    for length in range(1, len(chain) + 1):
        texts.of(chain[:length])
        run.work += _OF_TEXTS * len(texts.first)
        if run.work > SLICE:
            run.work = 0
            yield


def _confirmed(wanted: Wanted, confirm: Test, text: bytes, lines: bool) -> bool:
    """Whether a text may match.

    :param lines: whether each line is a value.
    """
    if not confirm(text):
        return False
    if wanted.within_lines or not lines:
        return True
    least = wanted.bytes_of
    values = text.split(b"\n")
    return any(confirm(value) for value in values if not least or len(value.translate(None, least)) < len(value))


def _confirmed_by_value(confirm: Test, text: bytes, said: set[bytes]) -> Generator[None, None, bool]:
    """The same where each value takes its time.

    :param said: values that do not match; those of the text are added.
    """
    if len(text) > _MANY:
        values = text.split(b"\n")
        for start in range(0, len(values), _AT_ONCE):
            if confirm(b"\n".join(values[start : start + _AT_ONCE])):
                return True
            yield
        return False
    values = [value for value in text.split(b"\n") if value not in said]
    said.update(values)
    return bool(confirm(b"\n".join(values)))


def _bits(places: Iterable[int]) -> int:
    return reduce(or_, (1 << place for place in places), 0)


def _numbers(bits: int) -> Iterator[int]:
    """The places of the bits that are set."""
    while bits:
        least = bits & -bits
        yield least.bit_length() - 1
        bits ^= least
