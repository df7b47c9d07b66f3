"""Compiled sections against a slow and obvious reading of the same rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.errors import InvalidValue
from edgenode.exchange import Exchange, Request
from edgenode.rules.categories import CATEGORIES, entry
from edgenode.rules.compiling import DEEPEST, SectionSet, compile_section, compile_sections
from edgenode.rules.networks import network
from edgenode.rules.sections import Entry, Section
from tests.strategies import CONNECTION, TAGS, exchanges, section_trees


class Slow:
    """Sections, read word by word."""

    def __init__(
        self, sections: Sequence[Section], named: Mapping[str, Section], tags: Sequence[frozenset[str]]
    ) -> None:
        self.sections, self.named, self.tags = sections, named, tags

    def looks_for(self, section: Section) -> set[str]:
        """The tags that a section and those inside it look for."""
        inner = [self.looks_for(self.named[name]) for name in section.sections]
        return {each.pattern for each in section.entries if each.category == "tag"}.union(*inner)

    def circular(self) -> bool:
        """Whether a section waits for itself, over any number of others."""
        count = range(len(self.sections))
        waits = {(a, b) for a in count for b in count if self.looks_for(self.sections[a]) & self.tags[b]}
        for _ in count:
            waits |= {(a, d) for a, b in waits for c, d in waits if b == c}
        return any(a == b for a, b in waits)

    def carries(self, exchange: Exchange, tag: str) -> bool:
        """Whether an exchange has a tag, or a section that matches sets it."""
        given = (
            self.section(exchange, each) for each, tags in zip(self.sections, self.tags, strict=True) if tag in tags
        )
        return tag in exchange.tags or any(found is not None for found in given)

    def entry(self, exchange: Exchange, looked: Entry) -> bool:
        """Whether an entry matches."""
        category = CATEGORIES[looked.category]
        values = category.reads.read(exchange, looked.name.encode())
        if category.match == "exact":
            hit = self.carries(exchange, looked.pattern)
        elif category.match == "regex":
            hit = any(re.search(looked.pattern.encode(), value, re.DOTALL) for value in values)
        else:
            hit = any(inside(value, looked.pattern) for value in values)
        return bool(values) and not hit if looked.negated else hit

    def section(self, exchange: Exchange, section: Section) -> tuple[Entry, ...] | None:
        """The entries that make a section match."""
        own = [(each,) if self.entry(exchange, each) else None for each in section.entries]
        inner = [self.section(exchange, self.named[name]) for name in dict.fromkeys(section.sections)]
        if section.relation == "and":
            found = [part for part in (*own, *inner) if part is not None]
            return sum(found, ()) if len(found) == len(own) + len(inner) else None
        plain = [part for part, each in zip(own, section.entries, strict=True) if not each.negated]
        negated = [part for part, each in zip(own, section.entries, strict=True) if each.negated]
        return next((part for part in (*plain, *negated, *inner) if part is not None), None)

    def matching(self, exchange: Exchange) -> list[tuple[int, tuple[Entry, ...]]]:
        """As :meth:`SectionSet.matching`."""
        found = ((index, self.section(exchange, each)) for index, each in enumerate(self.sections))
        return [(index, entries) for index, entries in found if entries is not None]


def inside(address: str, pattern: str) -> bool:
    """Whether an address lies in a network of its own family, mapped addresses being IPv4."""
    one, other = network(address), network(pattern)
    return one.version == other.version and one.network_address in other


@given(section_trees(), st.data())
def test_compiled_sections_match_as_the_slow_reading_does(
    tree: tuple[list[Section], dict[str, Section]], data: st.DataObject
) -> None:
    """Nesting, negation, repeated headers, absent values and tags of others: verdict and entries are the same."""
    sections, named = tree
    tags = [data.draw(st.frozensets(st.sampled_from((*TAGS, "seen")), max_size=2)) for _ in sections]
    slow = Slow(sections, named, tags)
    if slow.circular():
        with pytest.raises(InvalidValue, match="the tags go round in a circle"):
            compile_sections(sections, named, tags)
        return
    compiled = compile_sections(sections, named, tags)
    for exchange in data.draw(st.lists(exchanges, min_size=1, max_size=5)):
        assert list(compiled.matching(exchange)) == slow.matching(exchange)


@given(section_trees(), exchanges)
def test_a_single_section_matches_as_among_others(
    tree: tuple[list[Section], dict[str, Section]], exchange: Exchange
) -> None:
    """A path map and a filter with the same entries match the same exchanges."""
    sections, named = tree
    together = dict(compile_sections(sections, named).matching(exchange))
    for index, section in enumerate(sections):
        assert compile_section(section, named)(exchange) == together.get(index)


def _request(path: bytes = b"/", method: bytes = b"GET", *headers: tuple[bytes, bytes]) -> Exchange:
    request = Request(method, b"https", b"example.com", path, path, None, path, headers)
    return Exchange(CONNECTION, request, "192.0.2.7", frozenset(("all", "protocol:https")))


def _section(relation: str = "and", sections: tuple[str, ...] = (), **entries: str) -> Section:
    found = tuple(entry(key.replace("_", "."), value) for key, values in entries.items() for value in values.split())
    return Section(relation=relation, sections=sections, entries=found)


@pytest.mark.parametrize("one", [b"a", b"b", b"c", b"x"])
@pytest.mark.parametrize("two", [b"i", b"j", b"k", b"x"])
def test_and_of_two_ors(one: bytes, two: bytes) -> None:
    """((a or b or c) and (i or j or k)), the manual's own example of a rule list."""
    named = {"first": _section("or", header_one="^a$ ^b$ ^c$"), "second": _section("or", header_two="^i$ ^j$ ^k$")}
    match = compile_section(_section("and", ("first", "second")), named)
    assert (match(_request(b"/", b"GET", (b"one", one), (b"two", two))) is not None) is (
        one in b"abc" and two in b"ijk"
    )


def test_a_protocol_is_matched_by_its_tag() -> None:
    """There is no category for the protocol: its automatic tag is looked for."""
    match = compile_section(_section(tag="protocol:https"), {})
    assert match(_request()) == (entry("tag", "protocol:https"),)
    assert compile_section(_section(tag="protocol:http"), {})(_request()) is None


def test_an_empty_and_matches_and_an_empty_or_does_not() -> None:
    """Nothing demanded is fulfilled; nothing offered is not."""
    found = compile_sections((Section(), Section(relation="or")), {}).matching(_request())
    assert list(found) == [(0, ())]


@pytest.mark.parametrize("value", ["^curl/", "!^curl/"])
def test_an_absent_header_matches_neither_way(value: str) -> None:
    """A request without the header does not match an entry on it, negated or not, wherever the entry stands."""
    alone = _section(header_user_agent=value)
    assert compile_section(alone, {})(_request()) is None
    inner = {"inner": evolve(alone, relation="or")}
    assert compile_section(_section(path="^/", sections=("inner",)), inner)(_request()) is None
    beside = evolve(inner["inner"], entries=(*alone.entries, entry("header.x", "!1")))
    assert compile_section(beside, {})(_request(b"/", b"GET", (b"x", b"1"))) is None


def test_a_negated_entry_matches_if_no_value_does() -> None:
    """A client cannot pass ``!`` by sending one more value of the header."""
    match = compile_section(_section(header_x="!^evil$"), {})
    assert match(_request(b"/", b"GET", (b"x", b"good"), (b"x", b"fine"))) is not None
    assert match(_request(b"/", b"GET", (b"x", b"good"), (b"x", b"evil"))) is None


def test_a_tag_is_seen_wherever_its_filter_stands() -> None:
    """A section that looks for a tag sees it though the section that sets it comes later, over several steps."""
    sections = (_section(tag="two"), _section(tag="one"), _section(path="^/"), _section(tag="!one"))
    found = compile_sections(sections, {}, (("three",), ("two",), ("one",), ())).matching(_request())
    assert [index for index, _ in found] == [0, 1, 2]


def test_tags_in_a_circle_are_refused_by_name() -> None:
    """Sections that wait for one another's tags have no order, and the circle is named."""
    with pytest.raises(InvalidValue) as refused:
        compile_sections((_section(tag="b"), _section(tag="!a")), {}, (("a",), ("b",)), ("first", "second"))
    assert refused.value.sentence in (
        "the tags go round in a circle: first → (a) → second → (b) → first",
        "the tags go round in a circle: second → (b) → first → (a) → second",
    )


def test_sections_in_a_circle_are_refused_by_name() -> None:
    """A section inside itself is named with the way there."""
    named = {"a": Section(sections=("b",)), "b": Section(sections=("a",))}
    with pytest.raises(InvalidValue) as refused:
        compile_sections((Section(sections=("a",)),), named, names=("filter",))
    assert refused.value.sentence == "sections stand inside one another in a circle: filter → a → b → a"


@pytest.mark.parametrize("order", [1, -1])
def test_sections_too_deep_inside_one_another_are_refused(order: int) -> None:
    """32 deep is accepted and 33 is not, whichever of them is compiled first."""
    named = {f"s{level}": Section(sections=(f"s{level + 1}",)) for level in range(1, DEEPEST)}
    named[f"s{DEEPEST}"] = Section()
    several = [Section(sections=(f"s{level}",)) for level in (2, 10, 20)][::order]
    assert len(compile_sections(several, named).matching(_request())) == 3
    with pytest.raises(InvalidValue, match="more than 32 deep"):
        compile_sections([*several, Section(sections=("s1",))][::order], named)


def test_a_section_that_does_not_exist_is_refused() -> None:
    """A name that leads nowhere is an error, not an empty section."""
    with pytest.raises(InvalidValue, match="there is no section nowhere"):
        compile_section(Section(sections=("nowhere",)), {})


def test_no_section_is_judged_unless_a_pattern_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand sections cost nothing if none of their narrowest patterns hits, though a broad one does."""

    def judge(self: SectionSet, waiting: set[int], hits: set[int]) -> None:
        raise AssertionError(f"{len(waiting)} sections were judged")

    compiled = compile_sections([_section(method="GET", path=f"^/path-{number}$") for number in range(1000)], {})
    monkeypatch.setattr(SectionSet, "_judge", judge)
    assert compiled.matching(_request(b"/other")) == ()
    with pytest.raises(AssertionError, match="1 sections"):
        compiled.matching(_request(b"/path-500"))


def test_a_request_cannot_stall_a_rule() -> None:
    """An expression that ruins a backtracking engine takes linear time."""
    match = compile_section(_section(path="^(a+)+$"), {})
    assert match(_request(b"a" * 20_000 + b"!")) is None
