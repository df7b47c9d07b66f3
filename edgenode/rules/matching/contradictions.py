"""Formulas taken apart into conjunctions, to find those that nothing can make true.

Law: what is called a contradiction is one. Where that is not sure, or would take long to find out, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

from attrs import frozen

from edgenode.rules.formulas import All, AnyOf, Computed, Evidence, Formula, Leaf, Not, Odd, Sought, Subject, needs_of
from edgenode.rules.lists import Members
from edgenode.rules.networks import Range
from edgenode.rules.regexes import compile_regex

MOST = 256
"""Conjunctions that a formula is taken apart into at the most."""

_MOST_PAIRS = 1024
"""Pairs of values that are compared at the most to find whether two conditions exclude each other."""


_ONE = ("edge.paths[*]",)
"""Subjects that have several values only where a client hides what it asks for, and nobody writes a rule for that."""


@frozen
class Literal:
    """A condition on one subject that has to hold, or must not.

    :ivar positive: whether it has to hold.
    :ivar match: as that of a predicate.
    :ivar soughts: what is sought; one of them is enough.
    :ivar evidence: what stands for it.
    """

    positive: bool
    subject: Subject
    match: str
    soughts: tuple[Sought, ...]
    evidence: Evidence


@frozen
class Opaque:
    """A condition of which nothing is known but what it needs."""

    needs: frozenset[str]


Conjunction = tuple[Literal | Opaque, ...]


class _TooManyError(Exception):
    """There are more conjunctions than are worth while."""


def conjunctions(formula: Formula) -> tuple[Conjunction, ...] | None:
    """The conjunctions of which at least one is true if and only if the formula is; ``None`` if there are too many."""
    try:
        return tuple(_apart(formula, True))
    except _TooManyError:
        return None


def _apart(formula: Formula, positive: bool) -> list[Conjunction]:
    match formula:
        case Leaf(predicate=predicate):
            literal = Literal(positive, predicate.subject, predicate.match, (predicate.sought,), formula.evidence)
            return [(literal,)]
        case Not():
            return _apart(formula.part, not positive)
        case Computed() | Odd():
            return [(Opaque(needs_of(formula)),)]
        case All() if positive:
            return _joined([_apart(part, True) for part in formula.parts])
        case AnyOf() if not positive:
            return _joined([_apart(part, False) for part in formula.parts])
    set_literal = _one_of(formula) if positive else None
    if set_literal is not None:
        return [(set_literal,)]
    found = [each for part in formula.parts for each in _apart(part, positive)]
    if len(found) > MOST:
        raise _TooManyError
    return found


def _one_of(formula: All | AnyOf) -> Literal | None:
    """Several predicates of one kind on one subject as one condition."""
    leaves = [part for part in formula.parts if isinstance(part, Leaf)]
    kinds = {(leaf.predicate.subject, leaf.predicate.match) for leaf in leaves}
    if len(leaves) < len(formula.parts) or len(kinds) != 1:
        return None
    [(subject, match)] = kinds
    evidence = tuple(dict.fromkeys(each for leaf in leaves for each in leaf.evidence))
    return Literal(True, subject, match, tuple(leaf.predicate.sought for leaf in leaves), evidence)


def _joined(parts: list[list[Conjunction]]) -> list[Conjunction]:
    found: list[Conjunction] = [()]
    for part in parts:
        if len(found) * len(part) > MOST:
            raise _TooManyError
        found = [(*one, *two) for one in found for two in part]
    return found


# -- what excludes what ------------------------------------------------------------------------------------------------


def contradiction(conjunction: Conjunction) -> tuple[Literal, Literal] | None:
    """Two conditions of a conjunction that exclude each other, if there are such."""
    literals = [each for each in conjunction if isinstance(each, Literal)]
    return next((pair for pair in combinations(literals, 2) if exclude(*pair)), None)


def exclude(one: Literal, two: Literal) -> bool:
    """Whether two conditions certainly exclude each other."""
    if one.subject != two.subject:
        return False
    if one.positive and two.positive:
        # Of several values each may satisfy another condition.
        several = "[*]" in one.subject.key and one.subject.key not in _ONE
        return not several and not _compatible(one, two)
    if one.positive is two.positive:
        return False
    positive, negative = (one, two) if one.positive else (two, one)
    if negative.match == "present":
        return True
    return positive.match == negative.match and set(positive.soughts) <= set(negative.soughts)


def _compatible(one: Literal, two: Literal) -> bool:
    test = _TESTS.get((one.match, two.match))
    if test is None or len(one.soughts) * len(two.soughts) > _MOST_PAIRS:
        return True
    return any(isinstance(a, Members) or isinstance(b, Members) or test(a, b) for a in one.soughts for b in two.soughts)


def _overlap(one: tuple[int, int], two: tuple[int, int]) -> bool:
    return one[0] <= two[1] and two[0] <= one[1]


def _share(one: Range, two: Range) -> bool:
    return one.version == two.version and _overlap(one[1:], two[1:])


def _searches(text: bytes | str, pattern: str) -> bool:
    return isinstance(text, str) or compile_regex(pattern).search(text) is not None


BEGINNING = re.compile(r"\^((?:[A-Za-z0-9/_~-](?![?*{]))+)", re.ASCII)


def _begin_alike(one: str, two: str) -> bool:
    """Whether a text can match two expressions, as far as the letters that it has to begin with tell."""
    if "|" in one or "|" in two:
        return True
    found = BEGINNING.match(one), BEGINNING.match(two)
    first, second = ("" if each is None else each[1] for each in found)
    return first.startswith(second) or second.startswith(first)


_TESTS: Mapping[tuple[str, str], Callable[[Any, Any], bool]] = {
    ("equal", "equal"): lambda one, two: one == two,
    ("equal", "regex"): _searches,
    ("regex", "equal"): lambda one, two: _searches(two, one),
    ("regex", "regex"): _begin_alike,
    ("range", "range"): _overlap,
    ("network", "network"): _share,
}
"""Whether one value can satisfy both of two matches."""
