"""Filters that are not certain: those that depend on what is not known of an exchange, directly or through a tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from edgenode.model.exchange import Exchange, Request
from edgenode.model.settings import Word
from edgenode.policy.explaining import Filters
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.uncertainty import UncertainFilters
from edgenode.rules.definitions import Definitions
from edgenode.rules.language.expressions import Expression
from edgenode.rules.matching.certainty import NotKnown
from tests.support.strategies import CONNECTION

HEADER = "header x-lost"


class Fields(Mapping[bytes, tuple[bytes, ...]]):
    """Header fields of which one is not known."""

    def __getitem__(self, name: bytes) -> tuple[bytes, ...]:
        if name == b"x-lost":
            raise NotKnown(HEADER)
        raise KeyError(name)

    def __iter__(self) -> Iterator[bytes]:
        raise NotKnown("all headers")

    def __len__(self) -> int:
        raise NotKnown("all headers")


EXCHANGE = Exchange(CONNECTION, Request(b"GET", b"https", b"a", b"/", b"/", None, b"/", fields=Fields()))
LOST = 'any(http.request.headers["x-lost"][*] eq "a")'
TAGGED_ONE, ANY_TAG = 'any(edge.tags[*] eq "one")', 'any(starts_with(edge.tags[*], "o"))'
GET, POST = 'http.request.method eq "GET"', 'http.request.method eq "POST"'


def depending(matched: str, **filters: str) -> dict[str, set[str]]:
    """The filters that are not certain, and why.

    :param matched: the names of those that the engine found.
    :param filters: by name the tag that a filter sets, or none, a colon, and its expression.
    """
    several = {}
    for name, text in filters.items():
        tag, _, expression = text.partition(":")
        several[name] = GlobalFilter(expression=Expression.from_text(expression), tags=tuple(map(Word, tag.split())))
    uncertain = UncertainFilters(Filters.of(several, Definitions(), {}))
    found = uncertain.depending(EXCHANGE, matched.split())
    assert uncertain.depending(EXCHANGE, matched.split()) == found
    return {name: set(why) for name, why in found.items()}


@pytest.mark.parametrize(
    ("expression", "uncertain"),
    [
        (LOST, True),
        (f"not {LOST}", True),
        (f"{GET} and {LOST}", True),
        (f"{POST} and {LOST}", False),
        (f"{GET} or {LOST}", False),
        (GET, False),
        ('len(http.request.headers["x-lost"][0]) > 3', True),
    ],
)
def test_a_filter_that_comes_out_the_same_either_way_is_certain(expression: str, uncertain: bool) -> None:
    """It takes more than to look at what is not known."""
    assert depending("", one=f":{expression}") == ({"one": {HEADER}} if uncertain else {})


@pytest.mark.parametrize("reader", [TAGGED_ONE, ANY_TAG, f"not {TAGGED_ONE}"])
def test_who_looks_for_a_tag_of_an_uncertain_filter_is_uncertain(reader: str) -> None:
    """Over several steps, and whether it looks for the tag or computes something of all of them."""
    last = 'any(edge.tags[*] eq "two")'
    found = depending("", a=f"one:{LOST}", b=f"two:{reader}", c=f":{last}", d=f":{GET}")
    assert found == {"a": {HEADER}, "b": {HEADER}, "c": {HEADER}}


@pytest.mark.parametrize("reader", [TAGGED_ONE, ANY_TAG])
def test_a_tag_that_is_certain_depends_on_nothing(reader: str) -> None:
    """Another filter sets it for sure, so it makes no odds that this one may as well."""
    assert depending("b c", a=f"one:{LOST}", b=f"one:{GET}", c=f":{reader}") == {"a": {HEADER}}


def test_a_filter_that_is_certain_after_all_sets_its_tags() -> None:
    """It looks at what is not known and is true all the same, and who looks for its tag sees that."""
    either, both = f"{GET} or {LOST}", f"{TAGGED_ONE} and {LOST}"
    assert depending("a", a=f"one:{either}", b=f":{both}", c=f":{POST} and {TAGGED_ONE}") == {"b": {HEADER}}
