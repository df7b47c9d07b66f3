"""Expressions from text: the grammar and the types, and for every fault a sentence and a column."""

from __future__ import annotations

import inspect
import sys

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.computing import condition
from edgenode.rules.language.expression_formulas import formula
from edgenode.rules.language.expressions import MAX_LENGTH, Expression
from edgenode.rules.language.formatting import format
from edgenode.rules.language.functions import FUNCTIONS
from edgenode.rules.language.nodes import (
    Call,
    Comparison,
    Each,
    FieldValue,
    Index,
    Junction,
    Listed,
    Literal,
    Negation,
    OneOf,
    Pattern,
    listed,
    walk,
)
from edgenode.rules.language.operators import COMPARING_OF
from edgenode.rules.language.parsing import parse
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRING_LISTS, STRINGS, array
from edgenode.rules.matching.compiling import compile_formula
from edgenode.rules.networks import Range
from tests.support.language_examples import CANONICAL, SPELLED, WRONG
from tests.support.strategies import CONNECTION

SSL = FieldValue("ssl", BOOL)
HOST = FieldValue("http.host", BYTES)
NAMES = FieldValue("http.request.headers.names", STRINGS)
HEADERS = FieldValue("http.request.headers", STRING_LISTS)
CONDITIONS = array(BOOL)
EXCHANGE = Exchange(CONNECTION, None, "192.0.2.1", frozenset())


def fault(text: str) -> InvalidValue:
    """What is wrong with an expression."""
    with pytest.raises(InvalidValue) as caught:
        parse(text)
    return caught.value


def _problem(text: str) -> InvalidValue | None:
    try:
        parse(text)
    except InvalidValue as problem:
        return problem
    return None


@pytest.mark.parametrize("text", CANONICAL)
def test_what_is_canonical_stays_as_it_is(text: str) -> None:
    """A text in canonical spelling is read, and formatted as it was written."""
    assert format(parse(text)) == text


@pytest.mark.parametrize(("text", "canonical"), SPELLED.items())
def test_other_spellings_mean_the_same(text: str, canonical: str) -> None:
    """A text in another spelling gives the tree of its canonical text."""
    assert format(parse(text)) == canonical
    assert parse(text) == parse(canonical)


@pytest.mark.parametrize(("text", "told"), WRONG.items())
def test_what_is_wrong_has_a_sentence_and_a_column(text: str, told: tuple[int, str]) -> None:
    """A fault is told at its column, with what would be right."""
    found = fault(text)
    assert found.column == told[0]
    assert found.sentence.startswith(told[1])


@given(st.text(max_size=40))
@example("\ud800")
def test_any_text_is_read_or_refused_within_it(text: str) -> None:
    """Whatever the text, it is an expression, or it has a fault inside it."""
    found = _problem(text)
    if found is not None:
        assert found.sentence
        assert found.column is not None
        assert 0 <= found.column <= len(text)


def test_operators_bind_in_their_order() -> None:
    """Not binds closest, then and, xor, or; one operator several times is one junction."""
    tree = parse("ssl or ssl xor not ssl and ssl or ssl")
    conjunction = Junction("and", (Negation(SSL), SSL))
    assert tree == Junction("or", (SSL, Junction("xor", (SSL, conjunction)), SSL))


def test_values_have_their_types() -> None:
    """What has ``[*]`` is an array of its elements, however many it has, and a condition on it one of conditions."""
    every = Each(HEADERS, array(STRINGS))
    assert parse('any(http.request.headers[*][*] eq "a")') == Call(
        "any", (Comparison(Each(every, STRINGS), "eq", Literal(b"a", BYTES), CONDITIONS),), BOOL
    )
    assert parse('any(http.request.headers[*][0] eq "a")') == Call(
        "any", (Comparison(Index(every, 0, STRINGS), "eq", Literal(b"a", BYTES), CONDITIONS),), BOOL
    )
    lowered = Call("lower", (Each(NAMES, STRINGS),), STRINGS)
    assert parse('lower(http.request.headers.names[*])[0] eq "a"') == Comparison(
        Index(lowered, 0, BYTES), "eq", Literal(b"a", BYTES)
    )


def test_sets_are_kept_as_written() -> None:
    """The items of a set keep their order, and addresses, networks and ranges are all ranges."""
    tree = parse("ip.src in {192.0.2.9 10.0.0.0/8 ::1..::2}")
    assert isinstance(tree, Comparison)
    assert tree.constant == OneOf(
        (Range(4, 0xC0000209, 0xC0000209), Range(4, 0x0A000000, 0x0AFFFFFF), Range(6, 1, 2)),
    )


@pytest.mark.parametrize("part", ["(ssl)", "not ssl", 'any(http.request.headers.names[*] eq "a")', "(not (ssl))"])
@pytest.mark.parametrize("word", ["or", "and", "xor"])
def test_any_number_of_groups_stands_side_by_side(part: str, word: str) -> None:
    """Only what stands inside one another is bounded; what has been closed counts no more, and is judged as well."""
    count = min(300, MAX_LENGTH // (len(part) + 5))
    text = f" {word} ".join([part] * count)
    assert count > 80
    assert len(Expression.from_text(text).root.conditions) == count  # type: ignore[union-attr]
    match = compile_formula(formula(Expression.from_text(text), Definitions()))
    encrypted = Exchange(evolve(CONNECTION, tls_version="TLSv1.3"))
    for exchange in (encrypted, Exchange(CONNECTION)):
        true = match(exchange) is not None
        single = compile_formula(formula(Expression.from_text(part), Definitions()))(exchange) is not None
        assert true is (single and count % 2 == 1 if word == "xor" else single)


def test_patterns_are_left_to_their_engines() -> None:
    r"""Under ``matches`` only ``\"`` is an escape of the language; a wildcard is read as a text first."""
    assert parse(r'http.host matches "\x41\"\\"') == Comparison(HOST, "matches", Pattern(rb"\x41" + b'"' + rb"\\"))
    assert parse(r'http.host wildcard "\x41\\*"') == Comparison(HOST, "wildcard", Pattern(rb"A\*"))


def test_every_operator_is_there_for_its_types_only() -> None:
    """A value is compared with the operators of its type, and every other names those."""
    constants = {
        "contains": '"a"', "wildcard": '"a"', "strict wildcard": '"a"', "matches": 'r"a"', "&": "1", "in": "$a",
    }  # fmt: skip
    equal = {BYTES: '"a"', INT: "1", IP: "::1"}
    fields = {BYTES: "http.host", INT: "cf.edge.server_port", IP: "ip.src"}
    words = sorted({word for operators in COMPARING_OF.values() for word in operators})
    for type, name in fields.items():
        for word in words:
            text = f"{name} {word} {constants.get(word, equal[type])}"
            if word in COMPARING_OF[type]:
                assert format(parse(text)) == text
            else:
                assert f"expected {COMPARING_OF[type][0]}, " in fault(text).sentence


def test_every_field_and_function_is_known() -> None:
    """Each field can be looked at by its name, and each function is one."""
    for name, field in FIELDS.items():
        text = f"coalesce({name}, {name}) eq 1" if field.type.of is None else f"any({name}[*])"
        found = _problem(text)
        assert found is None or "there is no" not in found.sentence
    for name in FUNCTIONS:
        assert "for " + name in fault(f"{name}()").sentence


def test_columns_count_characters() -> None:
    """A fault behind a text of several bytes a character is told at its character, in texts and patterns too."""
    assert fault('http.host eq "é€" and http.hots eq "a"').column == 22
    assert fault(r'http.host wildcard "é€\\q"').column == 22
    assert fault(r'http.host wildcard r"é€\q"').column == 23
    assert fault('http.host matches "é"').column == 19
    assert fault('url_decode(http.host, "é") eq ""').column == 23


def test_nodes_know_where_they_stand() -> None:
    """The values, conditions and lists of a tree have the column at which they begin."""
    text = 'ssl and not any(lower(http.request.headers["a"][*])[*] in $office)'
    found = {(type(node).__name__, text[node.column :].split("(")[0].split("[")[0]) for node in walk(parse(text))}
    assert found == {
        ("Junction", "ssl and not any"), ("FieldValue", "ssl and not any"), ("Negation", "not any"), ("Call", "any"),
        ("Comparison", "lower"), ("Each", "lower"), ("Call", "lower"), ("Each", "http.request.headers"),
        ("Index", "http.request.headers"), ("FieldValue", "http.request.headers"),
    }  # fmt: skip
    assert [(each.name, text[each.column :], type) for each, type in listed(parse(text))] == [
        ("office", "$office)", BYTES)
    ]


def test_lists_are_found_with_what_is_looked_for_in_them() -> None:
    """Each list that is named is told, with the type of the values, those of elements too."""
    tree = parse("ip.src in $a and (cf.edge.server_port in $b or any(http.request.headers.names[*] in $c))")
    assert list(listed(tree)) == [(Listed("a"), IP), (Listed("b"), INT), (Listed("c"), BYTES)]


def test_an_expression_has_4096_characters() -> None:
    """An expression has at most 4,096 characters, however many bytes they are."""
    text = 'http.host eq ""'
    longest = text[:-1] + "é" * (MAX_LENGTH - len(text)) + '"'
    assert Expression.from_text(longest).text == longest
    with pytest.raises(InvalidValue) as caught:
        Expression.from_text(longest + " ")
    assert caught.value.sentence == "an expression has at most 4096 characters; this has 4097"
    assert caught.value.column == MAX_LENGTH


def test_an_expression_is_printed_in_one_line() -> None:
    """A whole expression is its canonical text, in which what stands in texts is kept."""
    assert str(Expression.from_text('ssl  and\n  http.host == "a  b"')) == 'ssl and http.host eq "a  b"'


DEEPEST = {
    "junctions": "ssl or ssl xor not ssl and (" * 52 + "ssl" + ")" * 52,
    "nots": "not " * 128 + "ssl",
    "junctions and nots": "not (ssl and " * 64 + "ssl" + ")" * 64,
    "calls": "lower(" * 128 + "http.host" + ")" * 128 + ' eq ""',
    "mapped calls": "any(" + "lower(" * 60 + "http.request.headers.names[*]" + ")[*]" * 60 + ' eq "a")',
}


@pytest.mark.parametrize("text", DEEPEST.values(), ids=DEEPEST)
def test_the_deepest_expressions_can_be_read_and_judged(text: str) -> None:
    """Nothing that is done with a tree needs more of Python's stack than there is."""
    limit, frames = sys.getrecursionlimit(), len(inspect.stack(0))
    sys.setrecursionlimit(frames + 600)
    try:
        root = Expression.from_text(text).root
        assert parse(format(root)) == root
        judge = compile_formula(formula(Expression(root, text), Definitions()))
        compute = condition(root, Definitions())
        for exchange in (EXCHANGE, evolve(EXCHANGE, connection=evolve(CONNECTION, tls_version="TLSv1.3"))):
            assert (judge(exchange) is not None) == compute(exchange)
    finally:
        sys.setrecursionlimit(limit)
