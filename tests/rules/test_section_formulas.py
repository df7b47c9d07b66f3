"""Sections as formulas: what is written means the same as it does read word by word."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from attrs import evolve
from hypothesis import given

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange, Request
from edgenode.rules.categories import category_of, entry, value_of
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import Clause, Evidence
from edgenode.rules.language.expression_formulas import subject
from edgenode.rules.language.expressions import Expression
from edgenode.rules.matching.compiling import compile_formula
from edgenode.rules.networks import network
from edgenode.rules.section_formulas import DEEPEST, SectionFormulas, formula_of
from edgenode.rules.sections import Entry, Section
from tests.support.strategies import CONNECTION, exchanges, section_trees


def matches(section: Section, exchange: Exchange, named: Mapping[str, Section] | None = None) -> Evidence | None:
    """What makes a section match, compiled."""
    return compile_formula(formula_of(section, Definitions(named or {})))(exchange)


def slow_entry(exchange: Exchange, looked: Entry) -> bool:
    """Whether an entry matches, read word by word."""
    values = list(subject(value_of(looked)).read(exchange) or ())
    match category_of(looked).match:
        case "equal":
            hit = looked.pattern in values
        case "regex":
            flags = re.DOTALL | re.IGNORECASE if looked.category == "header" else re.DOTALL
            hit = any(re.search(looked.pattern.encode(), value, flags) for value in values)
        case _:
            hit = any(inside(value, looked.pattern) for value in values)
    if looked.negated:
        return not hit and (bool(values) or looked.category == "tag")
    return hit


def slow(exchange: Exchange, section: Section, named: Mapping[str, Section]) -> tuple[Entry, ...] | None:
    """The entries that make a section match, read word by word."""
    own = [(each,) if slow_entry(exchange, each) else None for each in section.entries]
    inner = [slow(exchange, named[name], named) for name in dict.fromkeys(section.sections)]
    if section.relation == "and":
        found = [part for part in (*own, *inner) if part is not None]
        return sum(found, ()) if len(found) == len(own) + len(inner) else None
    return next((part for part in (*own, *inner) if part is not None), None)


def inside(address: tuple[int, int], pattern: str) -> bool:
    """Whether an address lies in a network of its own family."""
    found = network(pattern)
    return address[0] == found.version and int(found[0]) <= address[1] <= int(found[-1])


@given(section_trees(), exchanges)
def test_sections_match_as_they_are_written(tree: tuple[list[Section], dict[str, Section]], exchange: Exchange) -> None:
    """Nesting, negation, repeated headers and absent values: verdict and entries are those of the slow reading."""
    sections, named = tree
    for section in sections:
        assert matches(section, exchange, named) == slow(exchange, section, named)


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
    judged = _request(b"/", b"GET", (b"one", one), (b"two", two))
    found = matches(_section("and", ("first", "second")), judged, named)
    assert (found is not None) is (one in b"abc" and two in b"ijk")


def test_a_protocol_is_matched_by_its_tag() -> None:
    """There is no category for the protocol: its automatic tag is looked for."""
    assert matches(_section(tag="protocol:https"), _request()) == (entry("tag", "protocol:https"),)
    assert matches(_section(tag="protocol:http"), _request()) is None


def test_an_empty_and_matches_and_an_empty_or_does_not() -> None:
    """Nothing demanded is fulfilled; nothing offered is not."""
    assert matches(Section(), _request()) == ()
    assert matches(Section(relation="or"), _request()) is None


@pytest.mark.parametrize("value", ["^curl/", "!^curl/"])
def test_an_absent_header_matches_neither_way(value: str) -> None:
    """A request without the header does not match an entry on it, negated or not, wherever the entry stands."""
    alone = _section(header_user_agent=value)
    assert matches(alone, _request()) is None
    inner = {"inner": evolve(alone, relation="or")}
    assert matches(_section(path="^/", sections=("inner",)), _request(), inner) is None
    beside = evolve(inner["inner"], entries=(*alone.entries, entry("header.x", "!1")))
    assert matches(beside, _request(b"/", b"GET", (b"x", b"1"))) is None


def test_a_negated_entry_matches_if_no_value_does() -> None:
    """A client cannot pass ``!`` by sending one more value of the header."""
    section = _section(header_x="!^evil$")
    assert matches(section, _request(b"/", b"GET", (b"x", b"good"), (b"x", b"fine"))) is not None
    assert matches(section, _request(b"/", b"GET", (b"x", b"good"), (b"x", b"evil"))) is None


@pytest.mark.parametrize("key", ["argument.q", "cookie.q", "query", "uri"])
def test_a_line_feed_at_the_end_hides_nothing_from_a_dollar(key: str) -> None:
    """A server that matches with PCRE takes ``x.php%0A`` for ``x.php``; two line feeds, or a CR, it does not."""
    for encoded, hidden in ((b"x.php%0A", True), (b"x.php", True), (b"x.php%0A%0A", False), (b"x.php%0D", False)):
        head = Request(
            b"GET", b"https", b"a", b"/?q=" + encoded, b"/", b"q=" + encoded, b"/", ((b"cookie", b"q=" + encoded),)
        )
        exchange = Exchange(CONNECTION, head)
        for match_case in (True, False):
            section = evolve(Section(entries=(entry(key, r"\.php$"),)), match_case=match_case)
            assert bool(matches(section, exchange)) is hidden, (key, encoded)


def test_a_line_feed_at_the_end_is_no_way_past_a_rule_that_says_what_must_be() -> None:
    """``!^[a-z]+$`` is true of ``ok%0A``: what is let through is what the expression says to the last byte."""
    head = Request(b"GET", b"https", b"a", b"/?q=ok%0A", b"/", b"q=ok%0A", b"/")
    assert matches(Section(entries=(entry("argument.q", "!^[a-z]+$"),)), Exchange(CONNECTION, head))


@pytest.mark.parametrize(
    ("matched", "section"),
    [
        (False, _section(ip="0.0.0.0/0")),
        (False, _section(ip="::/0")),
        (False, _section(ip="127.0.0.0/8")),
        (True, _section(ip="!127.0.0.0/8")),
        (True, _section(ip="!::/0")),
        (False, Section(expression=Expression.from_text("ip.src in {0.0.0.0/0 ::/0}"))),
        (False, Section(expression=Expression.from_text("ip.src le ffff::"))),
        (False, Section(expression=Expression.from_text("cidr(ip.src, 8, 1) in {::/0}"))),
        (True, Section(expression=Expression.from_text("not ip.src in {127.0.0.0/8}"))),
        (True, Section(expression=Expression.from_text('to_string(ip.src) eq "unknown"'))),
    ],
)
def test_a_client_of_whom_no_address_is_known_is_in_no_network(matched: bool, section: Section) -> None:
    """Else who has his proxy report nothing would be let in with the proxy; "all but these" is true of it."""
    exchange = evolve(_request(), client=UNKNOWN_CLIENT)
    assert bool(matches(section, exchange)) is matched


@pytest.mark.parametrize(
    ("key", "value", "matched"),
    [("path", "^/ADMIN$", True), ("path", "!^/ADMIN$", False), ("header.x", "OnE", True), ("header.x", "!two", True)],
)
def test_without_match_case_entries_match_in_either_case(key: str, value: str, matched: bool) -> None:
    """As in Link11's product; without the key they do not."""
    judged = _request(b"/admin", b"GET", (b"x", b"one"))
    section = Section(entries=(entry(key, value),), match_case=False)
    assert (matches(section, judged) is not None) is matched
    assert (matches(evolve(section, match_case=True), judged) is not None) is value.startswith("!")


@pytest.mark.parametrize(("match_case", "found"), [(None, {"header.x"}), (True, set()), (False, None)])
def test_without_a_word_on_case_the_values_of_headers_have_none(
    match_case: bool | None, found: set[str] | None
) -> None:
    """ "Most Rule criteria are case sensitive. The exception is Header": Link11's manual, and the default here."""
    query = Request(b"GET", b"https", b"a.test", b"/ad?d=one", b"/ad", b"d=one", b"/ad", ((b"x", b"one"),
                    (b"cookie", b"c=one")))  # fmt: skip
    judged = Exchange(CONNECTION, query, "192.0.2.7")
    values = {"header.x": "^ONE$", "argument.d": "^ONE$", "cookie.c": "^ONE$", "path": "^/AD$", "method": "^get$",
              "authority": r"^A\.", "query": "^D", "uri": "^/AD"}  # fmt: skip
    matched = {
        key
        for key, value in values.items()
        if matches(Section(entries=(entry(key, value),), match_case=match_case), judged) is not None
    }
    assert matched == (set(values) if found is None else found)


def test_match_case_is_of_a_section_and_not_of_those_that_it_names() -> None:
    """Each section says for itself how its entries are compared."""
    inner = {"inner": _section(path="^/ADMIN$")}
    outer = evolve(_section("or", ("inner",), path="^/OTHER$"), match_case=False)
    assert matches(outer, _request(b"/admin"), inner) is None
    assert matches(outer, _request(b"/other"), inner) is not None


def test_names_of_arguments_are_exact() -> None:
    """``match-case = no`` is about values: ``Debug`` is another argument than ``debug``."""
    query = Request(b"GET", b"https", b"example.com", b"/?Debug=1", b"/", b"Debug=1", b"/")
    judged = Exchange(CONNECTION, query, "192.0.2.7")
    section = Section(entries=(entry("argument.Debug", "^1$"),), match_case=False)
    assert matches(section, judged) is not None
    assert matches(evolve(section, entries=(entry("argument.debug", "^1$"),)), judged) is None


def test_an_expression_is_one_more_entry() -> None:
    """It is joined by the same relation, and what stands in it and in entries is one predicate."""
    expression = Expression.from_text('http.request.method eq "GET"')
    both = evolve(_section(path="^/api"), expression=expression)
    assert matches(both, _request(b"/api")) == (entry("path", "^/api"), Clause('http.request.method eq "GET"'))
    assert matches(both, _request(b"/")) is None
    assert matches(both, _request(b"/api", b"POST")) is None
    assert matches(evolve(both, relation="or"), _request(b"/")) == (Clause('http.request.method eq "GET"'),)


def test_sections_in_a_circle_are_refused_by_name() -> None:
    """A section inside itself is named with the way round, from the first of the file, wherever one comes in."""
    named = {"a": Section(sections=("b",)), "b": Section(sections=("a",))}
    with pytest.raises(InvalidValue) as refused:
        formula_of(Section(sections=("b",)), Definitions(named), "filter")
    assert refused.value.sentence == "sections stand inside one another in a circle: a → b → a"


@pytest.mark.parametrize("order", [1, -1])
def test_sections_too_deep_inside_one_another_are_refused(order: int) -> None:
    """32 deep is accepted and 33 is not, whichever way is gone first."""
    named = {f"s{level}": Section(sections=(f"s{level + 1}",)) for level in range(1, DEEPEST)}
    named[f"s{DEEPEST}"] = Section()
    several = ("s2", "s10", "s20")[::order]
    assert matches(Section(sections=several), _request(), named) == ()
    with pytest.raises(InvalidValue, match="more than 32 deep"):
        formula_of(Section(sections=(*several, "s1")[::order]), Definitions(named))


def test_a_section_that_does_not_exist_is_refused() -> None:
    """A name that leads nowhere is an error, not an empty section."""
    with pytest.raises(InvalidValue, match="there is no section nowhere"):
        formula_of(Section(sections=("nowhere",)), Definitions())


def test_a_section_that_is_named_many_times_is_read_once() -> None:
    """Thirty levels that each name the next two are sixty sections, and not a thousand million."""
    named = {
        f"s{level}{side}": Section(sections=(f"s{level + 1}a", f"s{level + 1}b"))
        for level in range(30)
        for side in "ab"
    }
    named |= {"s30a": _section(path="^/nowhere$"), "s30b": _section(path="^/nowhere$")}
    assert matches(Section(sections=("s0a", "s0b")), _request(), named) is None


def test_a_section_becomes_a_formula_once() -> None:
    """Whoever asks for the formula of a section after another gets the same: loading asks several times for each."""
    formulas, section = SectionFormulas(Definitions()), Section(entries=(entry("path", "^/a"),))
    assert formulas.formula(section, "one") is formulas.formula(section, "other")
    assert formulas.formula(Section(entries=(entry("path", "^/b"),)), "one") != formulas.formula(section, "one")
