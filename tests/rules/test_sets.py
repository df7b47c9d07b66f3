"""Sets of predicates: the same verdicts as one predicate at a time, and a memory with bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.rules import regexes
from edgenode.rules.lists import Members
from edgenode.rules.matching import engines, sets
from edgenode.rules.matching.engines import ENGINES, Engine, Linear, Vectored, Workshop, compiled
from edgenode.rules.matching.hyperscan import alike
from edgenode.rules.matching.sets import EqualSet, NetworkSet, PredicateSet, RangeSet, patterns
from edgenode.rules.networks import Networks, Range
from edgenode.rules.regexes import check_regex, compile_regex
from edgenode.rules.tags import canonical, check_tag
from tests.support.formulas import in_networks
from tests.support.growth import TIMES, grows_with_its_size

# Few numbers, so that ranges overlap, touch and contain one another.
small = st.integers(0, 9)
pairs = st.tuples(small, small).map(lambda pair: (min(pair), max(pair)))
ranges = st.tuples(st.sampled_from((4, 6)), pairs).map(lambda drawn: Range(drawn[0], *drawn[1]))


def numbered(several: Sequence[Any]) -> list[tuple[Any, int]]:
    """Each with a number of its own."""
    return [(each, 100 + index) for index, each in enumerate(several)]


def find(predicates: PredicateSet, values: Collection[Any]) -> set[int]:
    """The numbers of the predicates that are true of any of these values."""
    hits: set[int] = set()
    predicates.find(values, hits)
    return hits


def search(several: Sequence[Engine], *values: bytes) -> set[int]:
    """The numbers of the expressions that match any of these values."""
    hits: set[int] = set()
    for engine in several:
        for value in values:
            engine.scan(value, engine.note, 0, hits)
    return hits


@given(st.lists(ranges, max_size=12), st.lists(st.tuples(st.sampled_from((4, 6)), small), min_size=1, max_size=12))
def test_ranges_of_addresses_are_found_however_they_overlap(
    several: list[Range], judged: list[tuple[int, int]]
) -> None:
    """One bisection finds exactly the ranges around an address, in its own family."""
    found = NetworkSet.of(numbered(several))
    for version, number in judged:
        expected = {100 + i for i, each in enumerate(several) if each[0] == version and each[1] <= number <= each[2]}
        assert find(found, ((version, number),)) == expected


@given(
    st.lists(st.lists(ranges, max_size=5), max_size=3),
    st.tuples(st.sampled_from((4, 6)), small),
    st.sampled_from((0, 1000)),
)
def test_lists_of_addresses_are_found_small_or_large(
    lists: list[list[Range]], judged: tuple[int, int], small: int
) -> None:
    """Whether a list is taken apart or asked by itself, an address is in it or not."""
    members = [Members("$list", networks=_networks(each)) for each in lists]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "SMALL", small)
        found = NetworkSet.of(numbered(members))
    expected = {100 + i for i, each in enumerate(members) if in_networks(each.networks, judged)}
    assert find(found, (judged,)) == expected


def _networks(ranges: list[Range]) -> Networks:
    return Networks(
        f"0.0.0.{number}" if version == 4 else f"::{number:x}"
        for version, first, last in ranges
        for number in range(first, last + 1)
    )


@given(st.lists(pairs, max_size=12), st.frozensets(small, max_size=3), st.lists(st.integers(-2, 12), min_size=1))
def test_ranges_of_numbers_are_found_however_they_overlap(
    several: list[tuple[int, int]], numbers: frozenset[int], judged: list[int]
) -> None:
    """One bisection finds exactly the ranges around a number, and a look-up the lists that it is in."""
    found = RangeSet.of([*numbered(several), (Members("$list", numbers=numbers), 7)])
    expected = {100 + i for i, (low, high) in enumerate(several) for number in judged if low <= number <= high}
    assert find(found, judged) == expected | ({7} if numbers & set(judged) else set())


names = st.lists(st.sampled_from((b"a", b"b", b"com")), min_size=1, max_size=4).map(b".".join)


@given(
    st.lists(names, max_size=4),
    st.frozensets(names, max_size=3),
    st.frozensets(names.map(lambda name: b"." + name), max_size=3),
    st.lists(names, min_size=1, max_size=3),
    st.sampled_from((0, 1000)),
)
def test_words_are_found_if_equal_and_names_below_a_domain(
    words: list[bytes], listed: frozenset[bytes], suffixes: frozenset[bytes], judged: list[bytes], small: int
) -> None:
    """``*.example.com`` is every name that ends in ``.example.com``, at any depth, and not that name itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "SMALL", small)
        found = EqualSet.of([*numbered(words), (Members("$list", words=listed, suffixes=suffixes), 7)])
    expected = {100 + i for i, word in enumerate(words) if word in judged}
    in_list = any(value in listed or any(value.endswith(suffix) for suffix in suffixes) for value in judged)
    assert find(found, judged) == expected | ({7} if in_list else set())


def searching(predicates: Sequence[Any], chosen: tuple[engines.Take, ...] = ENGINES) -> tuple[Engine, ...]:
    """What searches for expressions, or lists of them, each with its number."""
    return compiled(patterns(predicates), chosen, Workshop())


def test_a_name_of_nothing_but_dots_costs_no_more_than_the_longest_suffix() -> None:
    """What a client sends is looked at only as far as suffixes reach."""
    found = EqualSet.of([(Members("$list", suffixes=frozenset((b".example.com",))), 7)])
    assert list(found._below(b"." * 100_000)) == []
    assert find(found, (b"." * 100_000 + b".example.com",)) == {7}


_PATTERNS = (
    "a",
    "^a",
    "b$",
    "a.b",
    "[^a]",
    "^$",
    "(?i)A",
    "a|b",
    "\\x00",
    "",
    "a*",
    "(^|/)b",
    "a^b",
    r"\bA\b",
    "[[:alpha:]]",
)
_values = st.lists(st.text("abA\n\x00\xff/", max_size=5).map(lambda text: text.encode("latin-1")), max_size=4)


@given(st.sampled_from((ENGINES, (Linear.take,))), st.lists(st.sampled_from(_PATTERNS), max_size=6), _values)
def test_a_set_of_regexes_matches_as_each_one_by_itself(
    chosen: tuple[engines.Take, ...], expressions: list[str], values: list[bytes]
) -> None:
    """Every value is searched for every expression, byte by byte, with ``.`` matching any byte."""
    found = searching([*numbered(expressions), (Members("$list", regexes=("^a", "B$")), 7)], chosen)
    listed = any(value.startswith(b"a") or value.endswith(b"B") for value in values)
    expected = {
        100 + index
        for index, pattern in enumerate(expressions)
        for value in values
        if compile_regex(pattern).search(value)
    }
    for _ in range(2):  # searched, then remembered
        assert search(found, *values) == expected | ({7} if listed else set())


_PIECES = (
    r"a A b k s . \. \x41 \xE9 \xC9 \xff \d \D \w \W \s [^a] [a-k] [^a-k\xE9] [\s] [\d.] [A-Z] \b \B ^ $ \A \z "
    r"| ( (?: (?i) (?i: (?s) ) * + ? {2} {1,3} {0,} *? - { ] é /"
)
_pieces = st.sampled_from(_PIECES.split(" "))
_bytes = st.lists(
    st.sampled_from(
        [b"a", b"A", b"b", b"k", b"K", b"s", b"0", b".", b" ", b"\n", b"\v", b"\x0c", b"/", b"\xe9", b"\xc9", b"\xff"]
    ),
    max_size=6,
).map(b"".join)


@pytest.mark.skipif(not engines.INSTALLED, reason="the extra hyperscan is not installed")
@settings(max_examples=300)
@given(st.lists(_pieces, min_size=1, max_size=6).map("".join), st.lists(_bytes, min_size=1, max_size=6))
@example("b$", [b"ab\n"])
@example(r"\s", [b"\v"])
@example(r"(?i)\xE9", [b"\xc9"])
@example("", [b""])
def test_hyperscan_finds_what_re2_finds(pattern: str, values: list[bytes]) -> None:
    """Whatever is translated for it matches the same values, though the two read other things differently."""
    try:
        check_regex(pattern)
    except InvalidValue:
        return
    engine, left = Vectored.take([(pattern, 1)], Workshop())
    assert bool(engine) is not bool(left)
    if engine is not None:
        assert alike(pattern) is not None
        alone = compile_regex(pattern).search
        assert [search([engine], value) for value in values] == [{1} if alone(value) else set() for value in values]


@pytest.mark.parametrize("chosen", [ENGINES, (Linear.take,)])
def test_many_expressions_find_what_each_by_itself_finds(chosen: tuple[engines.Take, ...]) -> None:
    """Hyperscan is told to compile large sets otherwise, and what it is told with is found nowhere."""
    several = [f"^/{number}/" for number in range(100)] + [f"{number}.*(x|y)$" for number in range(100)] + ["$^"]
    values = [b"/7/", b"/7", b"7 x", b"77\n-y", b"77 x\n", b"", b"x" * 100 + b"9y", b"\x00\x01\x02\x03"]
    found = searching(numbered(several), chosen)
    for value in values:
        expected = {100 + place for place, pattern in enumerate(several) if compile_regex(pattern).search(value)}
        assert search(found, value) - {-1} == expected


def test_what_was_compiled_before_is_not_compiled_again() -> None:
    """Whatever says the same, wherever it stands now; and nothing is kept that nobody has asked for again."""
    first = Workshop()
    first.engines({"path": [("a", 1), ("[[:alpha:]]", 2)], "query": [("q", 3)]})
    second = Workshop(first.automata)
    engines_of = second.engines({"path": [("a", 8), ("[[:alpha:]]", 9)], "query": [("r", 1)]})
    assert search(engines_of("path"), b"a") == {8, 9}
    assert search(engines_of("query"), b"r") == {1}
    for (engine, expressions), automaton in second.automata.items():
        assert (first.automata.get((engine, expressions)) is automaton) is ("r" not in expressions)
    assert not any("q" in expressions for _, expressions in second.automata)


@pytest.mark.parametrize(("count", "begun"), [(10, 0), (100, 2)])
def test_many_expressions_are_begun_as_the_caller_says(count: int, begun: int) -> None:
    """One piece of work for each set, whose end is waited for when it is asked for; a few are compiled at once."""
    started: list[Callable[[], object]] = []

    def start(work: Callable[[], object]) -> Callable[[], object]:
        started.append(work)
        return work

    sets = {name: [(f"{name}{number}$", number) for number in range(count // 2)] for name in ("a", "b")}
    workshop = Workshop(start=start)
    engines_of = workshop.engines(sets)
    assert (len(started), bool(workshop.automata)) == (begun, not begun)
    assert [search(engines_of(name), f"{name}3".encode()) for name in sets] == [{3}, {3}]


@pytest.mark.skipif(not engines.INSTALLED, reason="the extra hyperscan is not installed")
def test_what_hyperscan_refuses_is_left_to_re2() -> None:
    """One expression that it does not take leaves it the others."""
    engine, left = Vectored.take([("a", 1), ("a^b", 2), ("(a{200}){200}", 3), ("[[:alpha:]]", 4), ("b", 5)], Workshop())
    assert engine is not None
    assert search([engine], b"ab") == {1, 5}
    assert [number for _, number in left] == [2, 3, 4]


@pytest.mark.parametrize("pattern", [r"a\Qb\E", "(?P<n>a)", "(?m)^a$", "[[:alpha:]]", "(?-s:.)", r"(?i)\xC9", r"\C"])
def test_what_is_not_known_to_be_read_alike_is_not_translated(pattern: str) -> None:
    """Only what is listed reaches Hyperscan."""
    assert alike(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("^/admin.*secret", b"/admin\xff\xfesecret"),
        ("^/admin.*secret", b"/admin\nsecret"),
        ("^/admin[^/]*$", b"/admin\x80"),
        (r"(?:\xC3\xA9)", "/café".encode()),
    ],
)
def test_no_byte_ends_a_match(pattern: str, value: bytes) -> None:
    """Invalid UTF-8 or a line feed in a value does not slip by a rule."""
    assert search(searching([(pattern, 1)]), value) == {1}


def test_a_dollar_does_not_stand_before_a_final_line_feed() -> None:
    """``$`` is the end of the value, not of its last line."""
    assert search(searching([("b$", 1)]), b"ab\n") == set()


def test_a_set_that_cannot_be_searched_is_a_failure_and_no_mismatch() -> None:
    """RE2 says "nothing matches" when it is out of memory; that must not switch rules off."""

    class Exhausted:
        def __init__(self, matching: list[int] | None) -> None:
            self.Match = lambda value: matching

    for matching in (None, [], [0]):  # the last index, 1, stands for what matches always
        with pytest.raises(RuntimeError, match="not enough memory"):
            search([Linear(Exhausted(matching), (7,))], b"x")
    assert search([Linear(Exhausted([0, 1]), (7,))], b"x") == {7}


def test_regexes_that_are_too_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set that RE2 does not compile is an error of the configuration."""
    monkeypatch.setattr(regexes, "_SET", 1 << 10)
    monkeypatch.setattr(regexes, "_SET_EACH", 0)
    with pytest.raises(InvalidValue, match="these 2 regular expressions are too large together"):
        Linear.take([("a{1000}", 1), ("b{1000}", 2)], Workshop())


def test_ten_thousand_regexes_are_one_set() -> None:
    """The memory that a set is given grows with it."""
    several = [(f"^/path-{number}/([0-9a-f]{{8}}-){{8}}(new|old)$", number) for number in range(10_000)]
    found, _ = Linear.take(several, Workshop())
    assert search([found], b"/path-4711/" + b"0123abcd-" * 8 + b"old") == {4711}


def test_re2_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A refused expression is one exception, not a line on standard error as well."""
    with pytest.raises(InvalidValue):
        regexes.check_regex("(((")
    assert capfd.readouterr() == ("", "")


def test_the_memory_of_verdicts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never repeats itself fills no more than the bounds, in number and in size."""
    monkeypatch.setattr(engines, "MOST_REMEMBERED", 10)
    monkeypatch.setattr(engines, "MOST_REMEMBERED_BYTES", 500)
    monkeypatch.setattr(engines, "LONGEST_REMEMBERED", 100)
    found, _ = Linear.take([("x$", 1)], Workshop())
    for number in range(200):
        value = b"%d" % number * (number % 60) + b"x"
        assert search([found], value) == {1}
        remembered = found._verdicts
        assert len(remembered) <= 10
        assert sum(map(len, remembered)) <= 500
        assert all(len(key) <= 100 for key in remembered)
    assert found._verdicts


@given(st.text())
def test_the_canonical_form_is_canonical(text: str) -> None:
    """What comes out is a tag, and stays as it is."""
    form = canonical(text)
    check_tag(form)
    assert canonical(form) == form
    assert re.fullmatch("[a-z0-9:-]*", form)


@pytest.mark.parametrize("pattern", ["a" * 4097, "(" * 8000, "a" * 4000 + "(" * 90, "(?:" + "ab|" * 1360])
def test_a_wrong_expression_is_soon_refused(pattern: str) -> None:
    """However long it is; nobody tries all its beginnings."""

    def refused(pattern: str) -> None:
        with pytest.raises(InvalidValue):
            check_regex(pattern)

    short = len(pattern) // TIMES
    assert grows_with_its_size(lambda parts: lambda: refused(pattern[-short * parts :] + "("), 1)


@pytest.mark.skipif(not engines.INSTALLED, reason="needs Hyperscan")
@pytest.mark.parametrize("pattern", ["a.{0,300}c", "^a{1000}$", "a.{256,}c", "(?:ab){500}"])
def test_long_repetitions_are_for_hyperscan(pattern: str) -> None:
    """RE2 would take seconds for a hostile body; both find the same."""
    check_regex(pattern)
    engine, left = Vectored.take([(pattern, 0)], Workshop())
    assert engine is not None
    assert not left
    for value in (
        b"a" * 1000,
        b"a" * 999,
        b"a" * 301 + b"c",
        b"a" + b"b" * 301 + b"c",
        b"ab" * 500,
        b"ab" * 499 + b"c",
    ):
        assert (search([engine], value) == {0}) == (compile_regex(pattern).search(value) is not None)
