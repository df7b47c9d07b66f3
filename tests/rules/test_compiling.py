"""Compiled formulas against the slow and obvious reading of the same formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Request
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import (
    ALWAYS,
    NEVER,
    All,
    AnyOf,
    Clause,
    Computed,
    Evidence,
    Formula,
    Leaf,
    Not,
    Odd,
    Predicate,
    Sought,
    Subject,
)
from edgenode.rules.language.expression_formulas import TAGS as ALL_TAGS
from edgenode.rules.language.expression_formulas import subject
from edgenode.rules.language.nodes import Each, FieldValue, Index
from edgenode.rules.language.types import BYTES, INT, IP, STRING_LISTS, STRINGS
from edgenode.rules.lists import Members
from edgenode.rules.matching import sets
from edgenode.rules.matching.compiling import FormulaSet, compile_formula, compile_formulas
from edgenode.rules.networks import Networks, Range
from edgenode.rules.section_formulas import formula_of
from edgenode.rules.sections import Section
from tests.support.formulas import found
from tests.support.strategies import CONNECTION, TAGS, exchanges

USER_AGENT = Each(Index(FieldValue("http.request.headers", STRING_LISTS), b"user-agent", STRINGS), STRINGS)
LIST = Members(
    "$all",
    networks=Networks(["192.0.2.0/28", "2001:db8::/32", "10.0.0.0/8"]),
    words=frozenset((b"curl/8.5", b"example.com")),
    suffixes=frozenset((b".example.com", b".com")),
    numbers=frozenset((443, 8443)),
    regexes=("^curl", "one.two"),
)
SOUGHT: tuple[tuple[Subject, str, tuple[Sought, ...]], ...] = (
    (subject(FieldValue("ip.src", IP)), "present", (None,)),
    (
        subject(FieldValue("ip.src", IP)),
        "network",
        (Range(4, 0xC0000200, 0xC00002FF), Range(4, 0, (1 << 32) - 1), Range(4, 0xC0000207, 0xC0000207), LIST),
    ),
    (subject(FieldValue("cf.edge.server_port", INT)), "range", ((443, 443), (1, 442), (0, 500), (400, 9000), LIST)),
    (subject(FieldValue("http.host", BYTES)), "equal", (b"example.com", b"admin.example.com", b"", LIST)),
    (subject(FieldValue("edge.path", BYTES)), "regex", ("^/api", "login$", "^/$", ".")),
    (subject(USER_AGENT), "present", (None,)),
    (subject(USER_AGENT), "regex", ("^curl/", "(?i)MOZ", LIST)),
    (subject(USER_AGENT), "equal", (b"mozilla", b"", LIST)),
    (subject(ALL_TAGS), "equal", TAGS),
)
predicates = st.sampled_from(
    [Predicate(looked_at, match, sought) for looked_at, match, soughts in SOUGHT for sought in soughts]
)
evidence = st.sampled_from("abcdefgh").map(lambda letter: (Clause(letter),))


def _carries(tag: str) -> Callable[[Exchange], bool]:
    return lambda exchange: tag in exchange.tags


computed = st.one_of(
    evidence.map(lambda shown: Computed(lambda exchange: exchange.client > "2", frozenset(), shown)),
    st.builds(lambda tag, shown: Computed(_carries(tag), frozenset(("tags",)), shown), st.sampled_from(TAGS), evidence),
)
leaves = st.builds(Leaf, predicates, evidence)


def _joined(parts: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    several = st.lists(parts, max_size=3).map(tuple)
    return st.one_of(
        st.builds(All, several),
        st.builds(AnyOf, several),
        st.builds(Odd, several, evidence),
        st.builds(Not, parts, evidence),
    )


formulas: st.SearchStrategy[Formula] = st.recursive(leaves | leaves | computed, _joined, max_leaves=6)


class Circle(Exception):
    """Formulas wait for one another's tags."""


class Slow:
    """Formulas that set tags, read one by one: a tag is there if it was before, or if any that sets it is true."""

    def __init__(self, several: Sequence[Formula], tags: Sequence[frozenset[str]], exchange: Exchange) -> None:
        self.several, self.tags, self.exchange = several, tags, exchange

    def found(self, index: int, path: tuple[int, ...] = ()) -> Evidence | None:
        """The evidence of one formula."""
        if index in path:
            raise Circle
        reads, computes = _reads(self.several[index])
        given: set[str] = set()
        for other, tags in enumerate(self.tags):
            if tags & reads or (computes and tags and other != index):
                true = self.found(other, (*path, index)) is not None
                given |= tags if true else set()
        return found(self.several[index], self.exchange.tagged(given))

    def matching(self) -> list[tuple[int, Evidence]]:
        """As :meth:`FormulaSet.matching`."""
        several = ((index, self.found(index)) for index in range(len(self.several)))
        return [(index, evidence) for index, evidence in several if evidence is not None]


def _reads(formula: Formula) -> tuple[set[str], bool]:
    """The tags that a formula looks for, and whether it computes something of all of them."""
    match formula:
        case Leaf(Predicate(sought=str(tag), match="equal")):
            return {tag}, False
        case Computed(needs=needs):
            return set(), "tags" in needs
        case Not(part):
            return _reads(part)
        case All(parts) | AnyOf(parts) | Odd(parts):
            inner = [_reads(part) for part in parts]
            return set().union(*(tags for tags, _ in inner)), any(computes for _, computes in inner)
        case _:
            return set(), False


@settings(max_examples=300)
@given(
    st.lists(st.tuples(formulas, st.frozensets(st.sampled_from((*TAGS, "seen")), max_size=2)), min_size=1, max_size=5),
    st.lists(exchanges, min_size=1, max_size=3),
)
def test_compiled_formulas_are_true_as_the_slow_reading_says(
    rules: list[tuple[Formula, frozenset[str]]], judged: list[Exchange]
) -> None:
    """Of every exchange the same formulas are true, with the same evidence; and what goes in circles is refused."""
    several, tags = [formula for formula, _ in rules], [tags for _, tags in rules]
    try:
        expected = [Slow(several, tags, exchange).matching() for exchange in judged]
    except Circle:
        with pytest.raises(InvalidValue, match="the tags go round in a circle"):
            compile_formulas(several, tags)
        return
    compiled = compile_formulas(several, tags)
    assert [list(compiled.matching(exchange)) for exchange in judged] == expected


@given(st.lists(formulas, min_size=1, max_size=5), st.randoms(), exchanges)
def test_the_order_of_formulas_makes_no_difference(several: list[Formula], random: object, exchange: Exchange) -> None:
    """Each is true or not whatever stands before it, and by itself as among others."""
    shuffled = list(range(len(several)))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = dict(compile_formulas(several).matching(exchange))
    other = dict(compile_formulas([several[index] for index in shuffled]).matching(exchange))
    assert {shuffled[place]: evidence for place, evidence in other.items()} == one
    for index, formula in enumerate(several):
        assert compile_formula(formula)(exchange) == one.get(index)


def _request(path: bytes = b"/", method: bytes = b"GET", *headers: tuple[bytes, bytes]) -> Exchange:
    request = Request(method, b"https", b"example.com", path, path, None, path, headers)
    return Exchange(CONNECTION, request, "192.0.2.7", frozenset(("all", "protocol:https")))


def _rule(**entries: str) -> Formula:
    found = tuple(entry(key.replace("_", "."), value) for key, values in entries.items() for value in values.split())
    return formula_of(Section(entries=found), Definitions())


def test_a_tag_is_seen_wherever_its_filter_stands() -> None:
    """A formula that looks for a tag sees it though the one that sets it comes later, over several steps."""
    several = (_rule(tag="two"), _rule(tag="one"), _rule(path="^/"), _rule(tag="!one"))
    found = compile_formulas(several, (("three",), ("two",), ("one",), ())).matching(_request())
    assert [index for index, _ in found] == [0, 1, 2]


def test_a_formula_that_waits_for_a_tag_is_judged_after_all_that_set_it() -> None:
    """Though it could be judged at once, and what sets the tag is found only while others are judged."""
    several = (_rule(path="^/", tag="!two"), _rule(tag="one"), _rule(path="^/"), _rule(path="^/", tag="!three"))
    found = compile_formulas(several, ((), ("two", "three"), ("one",), ())).matching(_request())
    assert [index for index, _ in found] == [1, 2]


@pytest.mark.parametrize(
    ("method", "path", "true"), [(b"GET", b"/a", True), (b"POST", b"/a", False), (b"GET", b"/", False)]
)
def test_a_conjunction_with_a_disjunction_in_it_may_forbid_as_well(method: bytes, path: bytes, true: bool) -> None:
    """What must not hit is not forgotten where the evidence is put together."""
    post = Leaf(Predicate(subject(FieldValue("http.request.method", BYTES)), "equal", b"POST"), ())
    parts = (Not(post, (Clause("no"),)), AnyOf((_rule(path="^/b"), _rule(path="^/a"))), _rule(ip="192.0.2.7"))
    found = compile_formula(All(parts))(_request(path, method))
    assert found == ((Clause("no"), entry("path", "^/a"), entry("ip", "192.0.2.7")) if true else None)


def test_of_a_disjunction_the_first_true_part_is_the_evidence() -> None:
    """A part that takes more than one look counts where it is written, and what is written twice where it is first."""
    path, method = _rule(path="^/"), _rule(method="GET")
    (leaf,) = path.parts if isinstance(path, All) else ()
    assert isinstance(leaf, Leaf)
    again = Leaf(leaf.predicate, (Clause("again"),))
    for parts, evidence in (
        ((All((path, method)), again), (entry("path", "^/"), entry("method", "GET"))),
        ((again, All((path, method))), again.evidence),
        ((_rule(path="^/nowhere"), All((method, path)), again), (entry("method", "GET"), entry("path", "^/"))),
        ((leaf, again), leaf.evidence),
        ((again, leaf), again.evidence),
    ):
        assert compile_formula(AnyOf(parts))(_request()) == evidence


@pytest.mark.parametrize("small", [0, 1000])
@pytest.mark.parametrize(
    ("host", "member"), [(b"example.com", True), (b"a.example.com", True), (b"example.org", False)]
)
def test_lists_of_any_size_are_looked_up_in_what_has_one_value(
    small: int, host: bytes, member: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large list, and one with names below a domain, is found in the host as elsewhere."""
    monkeypatch.setattr(sets, "SMALL", small)
    for members in (LIST, evolve(LIST, words=frozenset((b"x", b"y"))), evolve(LIST, suffixes=frozenset())):
        match = compile_formula(Leaf(Predicate(subject(FieldValue("http.host", BYTES)), "equal", members), ()))
        request = Request(b"GET", b"https", host, b"/", b"/", None, b"/")
        expected = host in members.words or any(host.endswith(suffix) for suffix in members.suffixes)
        assert (match(Exchange(CONNECTION, request)) is not None) is expected
        assert members is not LIST or expected is member


def test_tags_in_a_circle_are_refused_by_name() -> None:
    """Formulas that wait for one another's tags have no order, and the circle is named."""
    with pytest.raises(InvalidValue) as refused:
        compile_formulas((_rule(tag="b"), _rule(tag="!a")), (("a",), ("b",)), ("first", "second"))
    assert refused.value.sentence in (
        "the tags go round in a circle: first → (a) → second → (b) → first",
        "the tags go round in a circle: second → (b) → first → (a) → second",
    )


def test_what_computes_something_of_all_tags_sees_those_of_all_others() -> None:
    """It is judged last, and its own tags are none that it waits for; two such that set tags wait for one another."""
    bots = Computed(lambda exchange: any(tag.startswith("bot") for tag in exchange.tags), frozenset(("tags",)), ())
    several = (bots, _rule(path="^/"))
    found = compile_formulas(several, (("robots",), ("bot-7",))).matching(_request())
    assert [index for index, _ in found] == [0, 1]
    assert compile_formulas(several, (("bots",), ())).matching(_request()) == [(1, (entry("path", "^/"),))]
    with pytest.raises(InvalidValue, match=r"the tags go round in a circle: (one → two → one|two → one → two)"):
        compile_formulas((bots, bots), (("a",), ("b",)), ("one", "two"))
    with pytest.raises(InvalidValue, match=r"the tags go round in a circle: .*\(every tag\)"):
        compile_formulas((bots, _rule(tag="robots")), (("robots",), ("b",)), ("one", "two"))


def test_no_formula_is_judged_unless_its_narrowest_predicate_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand formulas cost nothing if none of their narrowest predicates hits, though a broad one does."""

    def judge(self: FormulaSet, exchange: Exchange, waiting: set[int], hits: set[int]) -> None:
        raise AssertionError(f"{len(waiting)} formulas were judged")

    compiled = compile_formulas([_rule(method="GET", path=f"^/path-{number}$") for number in range(1000)])
    monkeypatch.setattr(FormulaSet, "_judge", judge)
    assert compiled.matching(_request(b"/other")) == ()
    with pytest.raises(AssertionError, match="1 formulas"):
        compiled.matching(_request(b"/path-500"))


def test_of_two_predicates_formulas_hang_on_the_one_that_fewer_share() -> None:
    """What stands in all of them says little, however narrow it is by itself."""
    compiled = compile_formulas([_rule(ip="192.0.2.0/24", path=f"^/path-{number}$") for number in range(1000)])
    assert {len(ranks) for ranks in compiled._by_trigger.values()} == {1}


def test_words_in_what_is_looked_up_anyway_are_looked_up_with_the_others() -> None:
    """The method is read once for a filter that hangs on it and for another that hangs on its path."""
    both = _rule(path="^/upload$", method="^(GET|HEAD)$")
    compiled = compile_formulas([_rule(method="^TRACE$"), both])
    assert not compiled._later
    assert [index for index, _ in compiled.matching(_request(b"/upload"))] == [1]
    assert compiled.matching(_request(b"/other")) == ()


def test_what_is_only_looked_at_later_is_not_read_before() -> None:
    """A body is not taken apart for a request that nothing else about a filter matches."""
    read: list[Exchange] = []

    def body(exchange: Exchange) -> tuple[bytes, ...]:
        read.append(exchange)
        return (b"x",)

    looked_at = Subject("body", BYTES, body, frozenset(("body",)), 50)
    rule = All((_rule(path="^/upload$"), Leaf(Predicate(looked_at, "regex", "x"), (Clause("body"),))))
    compiled = compile_formulas([rule])
    assert frozenset().union(*compiled.each_needs) == {"body"}
    assert compiled.matching(_request(b"/other")) == ()
    assert read == []
    assert compiled.matching(_request(b"/upload")) == [(0, (entry("path", "^/upload$"), Clause("body")))]
    assert len(read) == 1


@pytest.mark.parametrize(("formula", "always"), [(ALWAYS, 1), (NEVER, 0), (Not(ALWAYS, ()), 0), (Not(NEVER, ()), 1)])
def test_what_is_always_or_never_true(formula: Formula, always: int) -> None:
    """Formulas without any predicate."""
    assert len(compile_formulas([formula]).matching(_request())) == always


def test_an_evidence_that_is_known_beforehand_is_always_the_same_object() -> None:
    """So what is made of it can be made beforehand; a disjunction has one for each part, a negated entry its own."""
    formulas = (
        _rule(path="^/", method="GET"),
        AnyOf((_rule(path="^/nowhere"), _rule(path="^/"))),
        _rule(path="!^/nowhere", method="GET"),
        Odd((_rule(path="^/"),), (Clause("odd"),)),
        Not(NEVER, (Clause("not"),)),
    )
    compiled = compile_formulas(formulas)
    assert [len(ways) for ways in compiled.ways] == [1, 2, 1, 1, 1]
    found = compiled.matching(_request())
    assert [index for index, _ in found] == [0, 1, 2, 3, 4]
    for index, evidence in found:
        assert any(evidence is way for way in compiled.ways[index])


def test_what_is_put_together_while_it_is_judged_is_not_known_beforehand() -> None:
    """A conjunction with a disjunction in it has as many evidences as that."""
    compiled = compile_formulas((All((_rule(path="^/"), AnyOf((_rule(method="POST"), _rule(method="GET"))))),))
    assert compiled.ways == ((),)
    assert compiled.matching(_request()) == [(0, (entry("path", "^/"), entry("method", "GET")))]


def test_sections_that_share_sections_are_compiled_once() -> None:
    """Thirty levels of two sections that each name both of the next are sixty formulas."""
    one, two = _rule(path="^/"), _rule(method="GET")
    for _ in range(30):
        one, two = All((one, two)), All((two, one))
    assert compile_formula(All((one, two)))(_request(method=b"POST")) is None


def test_a_formula_that_stands_in_itself_many_times_is_compiled_once() -> None:
    """Thirty levels that each name the next twice are thirty formulas, and not a thousand million."""
    formula = _rule(path="^/")
    for _ in range(30):
        formula = All((formula, Not(Not(formula, ()), ())))
    assert compile_formulas([evolve(formula)]).matching(_request(b"x")) == ()


def test_a_request_cannot_stall_a_rule() -> None:
    """An expression that ruins a backtracking engine takes linear time."""
    match = compile_formula(_rule(path="^(a+)+$"))
    assert match(_request(b"a" * 20_000 + b"!")) is None
