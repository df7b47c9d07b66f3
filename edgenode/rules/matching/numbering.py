"""The predicates of many formulas, numbered; and each formula as a test on the numbers that hit, with its triggers.

Law: a formula cannot be true unless one of its triggers has hit, and a formula without triggers is always looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isqrt
from typing import Any

from attrs import define, field, frozen

from edgenode.rules.formulas import All, AnyOf, Computed, Evidence, Formula, Leaf, Not, Odd, Predicate, Subject, leaves
from edgenode.rules.matching import evaluators
from edgenode.rules.matching.evaluators import Test
from edgenode.rules.networks import Range
from edgenode.rules.regexes import words

_PRESENT = 60
"""How many requests in a hundred are guessed to have what a rule looks for the presence of."""

_FEW = 4
"""Parts up to which a formula within one of its own kind is taken apart."""

_PRICES: Mapping[str, int] = {"regex": 3}
"""What it costs to look for a predicate; 1 if it is found by hash or bisection."""


@frozen
class Triggers:
    """Predicates of which at least one must hit.

    :ivar weight: a guess at what it costs to have them as triggers: how often they hit, and how many formulas share
        them.
    """

    numbers: frozenset[int] = frozenset()
    weight: int = 0


@frozen
class Part:
    """A compiled formula.

    :ivar test: whether it is true.
    :ivar triggers: of which one must hit before it can be true; ``None`` if it can be true without any.
    :ivar opposite: the same of its being false.
    :ivar numbers: every predicate in it.
    :ivar tags: the tags that it looks for.
    :ivar needs: what it takes to read what it looks at.
    :ivar computes: whether it computes something of all tags.
    :ivar ways: every evidence that the test returns, the very object; what it puts together itself is not among them.
    """

    test: Test
    triggers: Triggers | None
    opposite: Triggers | None = None
    numbers: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    computes: bool = False
    ways: tuple[Evidence, ...] = ()


@define
class Numbering:
    """Gives each predicate one number, however often it is written, and compiles each formula once.

    :ivar tags: the numbers of the tags that are looked for.
    """

    tags: dict[str, int] = field(factory=dict, init=False)
    _numbers: dict[Predicate, int] = field(factory=dict, init=False)
    _predicates: list[Predicate] = field(factory=list, init=False)
    _shares: list[int] = field(factory=list, init=False)
    _parts: dict[int, tuple[Formula, Part]] = field(factory=dict, init=False)

    def count(self, formula: Formula) -> None:
        """Number the predicates of a formula that stands by itself, and note that one more has them."""
        for predicate in dict.fromkeys(leaf.predicate for leaf in leaves(formula)):
            if predicate not in self._numbers:
                self._numbers[predicate] = len(self._predicates)
                self._predicates.append(predicate)
                self._shares.append(0)
                if isinstance(predicate.sought, str) and predicate.match == "equal":
                    self.tags[predicate.sought] = self._numbers[predicate]
            self._shares[self._numbers[predicate]] += 1

    @property
    def everything(self) -> frozenset[int]:
        """All numbers."""
        return frozenset(range(len(self._predicates)))

    def subject_of(self, number: int) -> Subject:
        """What a predicate looks at."""
        return self._predicates[number].subject

    def sought(self, numbers: Iterable[int]) -> dict[Subject, dict[str, list[tuple[Any, int]]]]:
        """What some predicates look at, each once, with what they seek by the kind of match.

        Of what a request has one of, such as its method, regular expressions that are but words are looked up as such.
        """
        subjects: dict[Subject, dict[str, list[tuple[Any, int]]]] = {}
        for number in sorted(numbers):
            predicate = self._predicates[number]
            subjects.setdefault(predicate.subject, {}).setdefault(predicate.match, []).append(
                (predicate.sought, number)
            )
        for subject, by_match in subjects.items():
            patterns = [] if subject.of_request is None else by_match.get("regex", [])
            found = [(word, number) for each, number in patterns if isinstance(each, str) for word in words(each)]
            if {number for _, number in found} == {number for _, number in patterns} != set():
                by_match.setdefault("equal", []).extend(found)
                del by_match["regex"]
        return subjects

    def forget(self) -> None:
        """Free what has been compiled, one after another: no other thread runs while much is freed in one go."""
        while self._parts:
            self._parts.popitem()

    def part(self, formula: Formula) -> Part:
        """Compile a formula, once those that it is judged with have been counted too."""
        known = self._parts.get(id(formula))
        if known is None:
            known = self._parts[id(formula)] = (formula, self._compiled(formula))  # the object keeps its id taken
        return known[1]

    def _compiled(self, formula: Formula) -> Part:
        match formula:
            case Leaf():
                return self._leaf(formula)
            case Computed():
                test = evaluators.computed(formula.test, formula.evidence)
                return Part(test, None, needs=formula.needs, computes="tags" in formula.needs, ways=(formula.evidence,))
            case Not():
                part = self.part(formula.part)
                test = evaluators.negation(part.test, formula.evidence)
                return _joined((part,), test, part.opposite, part.triggers, (formula.evidence,))
        parts = tuple(map(self.part, formula.parts))
        true, false = [part.triggers for part in parts], [part.opposite for part in parts]
        match formula:
            case All():
                test, ways = self._all(formula)
                return _joined(parts, test, _narrowest(true), _union(false), ways)
            case AnyOf():
                ways = tuple(way for part in parts for way in part.ways)
                return _joined(parts, self._any(formula), _union(true), _narrowest(false), ways)
            case Odd():
                test = evaluators.odd([part.test for part in parts], formula.evidence)
                return _joined(parts, test, _union(true), None, (formula.evidence,))

    def _leaf(self, leaf: Leaf) -> Part:
        predicate = leaf.predicate
        number = self._numbers[predicate]
        triggers = Triggers(frozenset((number,)), self._weight(number))
        tags = (
            frozenset((predicate.sought,))
            if isinstance(predicate.sought, str) and predicate.match == "equal"
            else frozenset[str]()
        )
        return Part(
            evaluators.hit(number, leaf.evidence),
            triggers,
            None,
            triggers.numbers,
            tags,
            predicate.subject.needs,
            ways=(leaf.evidence,),
        )

    def _weight(self, number: int) -> int:
        predicate = self._predicates[number]
        price = _PRICES.get(predicate.match, 1)
        return max(1, _breadth(predicate)) * price * isqrt(self._shares[number])

    def _all(self, formula: All) -> tuple[Test, tuple[Evidence, ...]]:
        required: set[int] = set()
        forbidden: set[int] = set()
        pieces: list[evaluators.Piece] = []
        for part in _flat(formula):
            match part:
                case Leaf():
                    required.add(self._numbers[part.predicate])
                    pieces.append(part.evidence)
                case Not(part=Leaf(predicate=predicate)):
                    forbidden.add(self._numbers[predicate])
                    pieces.append(part.evidence)
                case _:
                    pieces.append(self.part(part).test)
        known = [piece for piece in pieces if not callable(piece)]
        if len(known) < len(pieces):
            return evaluators.long_conjunction(frozenset(required), frozenset(forbidden), pieces), ()
        evidence: Evidence = sum(known, ())
        return evaluators.conjunction(frozenset(required), frozenset(forbidden), evidence), (evidence,)

    def _any(self, formula: AnyOf) -> Test:
        plain: dict[int, evaluators.Placed] = {}
        others: list[tuple[int, Test]] = []
        for place, part in enumerate(_flat(formula)):
            if isinstance(part, Leaf):
                plain.setdefault(self._numbers[part.predicate], (place, part.evidence))
            else:
                others.append((place, self.part(part).test))
        return evaluators.disjunction(plain, others)


def _flat(formula: All | AnyOf) -> Iterator[Formula]:
    """The parts of a formula, and in place of those of its own kind their parts, which is the same formula; as a
    negated entry has. Large parts stay as they are: several formulas may share one."""
    for part in formula.parts:
        if isinstance(part, type(formula)) and len(part.parts) <= _FEW:
            yield from part.parts
        else:
            yield part


def _breadth(predicate: Predicate) -> int:
    """How many requests in a hundred are guessed to satisfy a predicate."""
    if predicate.match == "present":
        return _PRESENT
    if isinstance(predicate.sought, Range):
        _, first, last = predicate.sought
        if (last - first).bit_length() > (28 if predicate.sought.version == 4 else 112):
            return 50
    return predicate.subject.breadth


def _narrowest(several: Sequence[Triggers | None]) -> Triggers | None:
    """Of triggers that must each hit, the lightest."""
    return min((each for each in several if each is not None), key=lambda each: each.weight, default=None)


def _union(several: Sequence[Triggers | None]) -> Triggers | None:
    """The triggers of which one must hit if one of several conditions holds."""
    known = [each for each in several if each is not None]
    if len(known) < len(several):
        return None
    numbers = frozenset[int]().union(*(each.numbers for each in known))
    return Triggers(numbers, sum(each.weight for each in known))


def _joined(
    parts: Sequence[Part],
    test: Test,
    triggers: Triggers | None,
    opposite: Triggers | None,
    ways: tuple[Evidence, ...],
) -> Part:
    return Part(
        test,
        triggers,
        opposite,
        frozenset[int]().union(*(part.numbers for part in parts)),
        frozenset[str]().union(*(part.tags for part in parts)),
        frozenset[str]().union(*(part.needs for part in parts)),
        any(part.computes for part in parts),
        ways,
    )
