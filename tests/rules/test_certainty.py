"""Certainty: what a formula comes to when not everything that it looks at is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import Address, Connection, Exchange
from edgenode.rules.formulas import All, AnyOf, Computed, Formula, Leaf, Not, Odd, Predicate, Subject
from edgenode.rules.language.types import BYTES
from edgenode.rules.matching.certainty import Certainty, NotKnown
from edgenode.rules.matching.explaining import trace

KEYS = ("a", "b", "c")
NOWHERE = Exchange(Connection(Address("192.0.2.1", 1), Address("192.0.2.2", 2)))


def _leaf(key: str, values: dict[str, bool | None]) -> Leaf:
    def read(exchange: Exchange) -> tuple[bytes, ...]:
        value = values[key]
        if value is None:
            raise NotKnown(key)
        return (b"x",) if value else ()

    return Leaf(Predicate(Subject(key, BYTES, read), "present"), ())


def _computed(key: str, values: dict[str, bool | None]) -> Computed:
    leaf = _leaf(key, values)
    return Computed(lambda exchange: bool(leaf.predicate.subject.read(exchange)), frozenset(), ())


def formulas(values: dict[str, bool | None]) -> st.SearchStrategy[Formula]:
    """Formulas over three things, some of them not known."""
    keys = st.sampled_from(KEYS)
    leaves: st.SearchStrategy[Formula] = keys.map(lambda key: _leaf(key, values)) | keys.map(
        lambda key: _computed(key, values)
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda parts: All(tuple(parts)))
            | st.lists(inner, max_size=3).map(lambda parts: AnyOf(tuple(parts)))
            | st.lists(inner, max_size=3).map(lambda parts: Odd(tuple(parts), ()))
            | inner.map(lambda part: Not(part, ()))
        ),
        max_leaves=8,
    )


@given(st.data(), st.fixed_dictionaries({key: st.sampled_from((None, False, True)) for key in KEYS}))
def test_a_certain_answer_holds_whatever_the_unknown_was(data: st.DataObject, known: dict[str, bool | None]) -> None:
    """In every world that what is known allows; and what an uncertain one depends on is not known indeed."""
    values = dict(known)
    formula = data.draw(formulas(values))
    answer = Certainty(NOWHERE).of(formula)
    if isinstance(answer, frozenset):
        assert answer
        assert all(known[key] is None for key in answer)
        return
    for number in range(1 << len(KEYS)):
        world = {key: bool(number >> place & 1) for place, key in enumerate(KEYS)}
        if all(known[key] in (None, world[key]) for key in KEYS):
            values.update(world)
            assert trace(formula, NOWHERE).holds is answer
