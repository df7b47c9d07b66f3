"""The tests that formulas become: functions of the numbers of the predicates that hit.

Law: of a disjunction the first true part in the order written is the evidence, however it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgenode.model.exchange import Exchange
from edgenode.rules.formulas import Evidence

Test = Callable[[set[int], Exchange], Evidence | None]
"""The evidence if a formula is true, given the numbers of all predicates that hit; else ``None``."""

Piece = Evidence | Test
"""A part of a conjunction: the evidence of one that is known to be true, or a test."""

Placed = tuple[int, Evidence]
"""Evidence with its place in the order written."""


def hit(number: int, evidence: Evidence) -> Test:
    """Whether a predicate hit."""
    return lambda hits, exchange: evidence if number in hits else None


def negation(part: Test, evidence: Evidence) -> Test:
    """Whether a part is false."""
    return lambda hits, exchange: evidence if part(hits, exchange) is None else None


def odd(parts: Sequence[Test], evidence: Evidence) -> Test:
    """Whether an odd number of parts is true."""

    def test(hits: set[int], exchange: Exchange) -> Evidence | None:
        return evidence if sum(part(hits, exchange) is not None for part in parts) % 2 else None

    return test


def computed(compute: Callable[[Exchange], bool], evidence: Evidence) -> Test:
    """Whether something is computed to be true."""
    return lambda hits, exchange: evidence if compute(exchange) else None


def conjunction(required: frozenset[int], forbidden: frozenset[int], evidence: Evidence) -> Test:
    """Whether all of some predicates hit, and none of others."""
    if not forbidden:
        return lambda hits, exchange: evidence if required <= hits else None
    return lambda hits, exchange: evidence if required <= hits and forbidden.isdisjoint(hits) else None


def long_conjunction(required: frozenset[int], forbidden: frozenset[int], pieces: Sequence[Piece]) -> Test:
    """The same, and every test among the pieces is true; the evidence is that of all pieces in order."""

    def test(hits: set[int], exchange: Exchange) -> Evidence | None:
        if not required <= hits or not forbidden.isdisjoint(hits):
            return None
        found: Evidence = ()
        for piece in pieces:
            more = piece(hits, exchange) if callable(piece) else piece
            if more is None:
                return None
            found += more
        return found

    return test


def disjunction(plain: Mapping[int, Placed], others: Sequence[tuple[int, Test]]) -> Test:
    """Whether one of some predicates hit, or one of other tests, each with its place, is true."""

    def test(hits: set[int], exchange: Exchange) -> Evidence | None:
        first: Placed | None = None
        for number in plain.keys() & hits:
            placed = plain[number]
            if first is None or placed[0] < first[0]:
                first = placed
        for place, part in others:
            if first is not None and first[0] < place:
                break
            found = part(hits, exchange)
            if found is not None:
                return found
        return None if first is None else first[1]

    return test
