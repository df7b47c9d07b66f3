"""Expressions as formulas: they mean what the slow interpreter reads, and what can be matched all at once is."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS
from edgenode.rules.formulas import All, AnyOf, Computed, Formula, Leaf, Not, Odd
from edgenode.rules.language import computing
from edgenode.rules.language.computing import reader
from edgenode.rules.language.expression_formulas import formula, needs, subject
from edgenode.rules.language.expressions import Expression
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
    Node,
    OneOf,
    Pattern,
    Value,
    each_count,
    element_type,
    walk,
)
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRINGS, Type, array
from edgenode.rules.lists import members
from edgenode.rules.networks import Range, address, network
from tests.support.formulas import is_true
from tests.support.interpreter import Interpreter
from tests.support.strategies import ADDRESSES, HEADERS, METHODS, PATHS, TAGS, VALUES, exchanges

LISTS = {
    "office": members("$office", "ip", ["192.0.2.0/24", "2001:db8::/32", "10.1.2.3"]),
    "words": members("$words", "string", ["GET", "curl/8.5", "one"]),
    "names": members("$names", "hostname", ["example.com", "*.example.com"]),
    "asns": members("$asns", "asn", ["3", "AS7", "443"]),
}

# -- trees, of few words, so that things do match ----------------------------------------------------------------------

_texts = st.sampled_from(
    [*METHODS, *VALUES, *HEADERS, *PATHS[:3], b"example.com", b"o", b"e", b"1", *map(str.encode, TAGS)]
)
_numbers = st.integers(-1, 12) | st.sampled_from([443, 1 << 40, -(1 << 63), (1 << 63) - 1])
_addresses = st.sampled_from([each for each in ADDRESSES if each]).map(address)


def _text(value: bytes) -> Literal:
    return Literal(value, BYTES)


def _number(value: int) -> Literal:
    return Literal(value, INT)


def _field(name: str) -> FieldValue:
    return FieldValue(name, FIELDS[name].type)


HEADERS_FIELD = _field("http.request.headers")


def _header(name: bytes) -> Index:
    return Index(HEADERS_FIELD, name, STRINGS)


def _call(name: str, *arguments: Node) -> Call:
    """A call, typed as the checker types it."""
    function = FUNCTIONS[name]
    types = tuple(
        element_type(argument) if isinstance(argument, Each | Index) else argument.type for argument in arguments
    )
    returns = function.returns if isinstance(function.returns, Type) else function.returns(types)
    mapped = name not in ("any", "all") and each_count(arguments[0])
    return Call(name, arguments, array(returns) if mapped else returns)


def _each(value: Value) -> Each:
    inner = element_type(value).of
    assert inner is not None
    return Each(value, array(inner))


_arrays = st.recursive(
    st.sampled_from([_header(name) for name in HEADERS])
    | st.sampled_from(
        [_field("http.request.headers.names"), _field("http.request.headers.values"), _field("edge.tags")]
    ),
    lambda inner: st.builds(lambda a, b: _call("concat", a, b), inner, inner),
    max_leaves=3,
)
_indexed = st.builds(lambda of, n: Index(of, n, BYTES), _arrays, st.integers(0, 2))
_bytes: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([_field("http.request.method"), _field("http.host"), _field("edge.path")]) | _indexed,
    lambda inner: (
        st.builds(lambda name, a: _call(name, a), st.sampled_from(["lower", "upper", "url_decode"]), inner)
        | st.builds(lambda a, b: _call("concat", a, _text(b)), inner, _texts)
        | st.builds(lambda a, b: _call("coalesce", a, b), inner, inner | _texts.map(_text))
        | st.builds(lambda a, n: _call("substring", a, _number(n)), inner, st.integers(-3, 3))
        | st.builds(lambda a, n: Index(_call("split", a, _text(b"e"), _number(3)), n, BYTES), inner, st.integers(0, 3))
        | st.builds(lambda a: _call("join", a, _text(b",")), _arrays)
        | st.builds(lambda a: _call("to_string", a), st.deferred(lambda: _ints | _ips | _truths))
    ),
    max_leaves=3,
)
_ints: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.just(_field("cf.edge.server_port"))
        | st.builds(lambda a: _call("len", a), _bytes | _arrays)
        | st.builds(lambda a: _call("hash_in_range", _number(0), _number(3), a), _bytes)
    )
)
_ips: st.SearchStrategy[Any] = st.sampled_from(
    [
        _field("ip.src"),
        _call("cidr", _field("ip.src"), _number(24), _number(32)),
        _call("cidr6", _field("ip.src"), _number(32)),
    ]
)
_maps = Each(HEADERS_FIELD, array(STRINGS))
_eaches: st.SearchStrategy[Any] = st.recursive(
    _arrays.map(_each) | st.sampled_from([Each(_maps, STRINGS), Index(_maps, 0, STRINGS), Index(_maps, 1, STRINGS)]),
    lambda inner: (
        inner.map(lambda a: _each(_call("lower", a)))
        | st.builds(lambda a, b: _each(_call("concat", a, b)), inner, _bytes)
        | st.builds(lambda a, b: _each(_call("coalesce", a, b)), inner, _bytes)
    ),
    max_leaves=2,
)
_each_ints = _eaches.map(lambda a: _each(_call("len", a)))
_truths: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.just(_field("ssl"))
        | st.builds(
            lambda name, a, b: _call(name, a, b),
            st.sampled_from(["starts_with", "ends_with"]),
            _bytes,
            _texts.map(_text),
        )
        | st.builds(lambda a, b: _call("starts_with", a, b), _bytes, _bytes)
        | st.builds(lambda name: _call("has_key", HEADERS_FIELD, _text(name)), st.sampled_from(HEADERS))
        | st.builds(lambda a, b: _call("has_value", a, b), _arrays, _texts.map(_text) | _bytes)
    )
)
_each_truths = st.builds(
    lambda name, a, b: _call(name, a, b),
    st.sampled_from(["starts_with", "ends_with"]),
    _eaches,
    _texts.map(_text) | _bytes,
) | st.builds(lambda b: _call("has_value", _maps, b), _texts.map(_text))

_patterns = st.sampled_from([b"", b"curl", b"^o", b"[0-9]", b"one.two", b"(?i)GET|MOZ", b"e$"]).map(Pattern)
_wildcards = st.sampled_from([b"", b"*", b"CURL*", b"*e.com", b"one*two", b"g*t", b"/a*"]).map(Pattern)
_ranges = st.tuples(_numbers, _numbers).map(sorted).map(tuple)
_blocks = st.sampled_from(["192.0.2.0/24", "10.1.2.3", "::/0", "0.0.0.0/0", "2001:db8::/33"]).map(
    lambda text: Range(network(text).version, int(network(text)[0]), int(network(text)[-1]))
)
_ORDERINGS = st.sampled_from(("eq", "ne", "lt", "le", "gt", "ge"))


def _sets(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(st.just("in"), st.lists(items, max_size=3).map(tuple).map(OneOf))


def _lists(*names: str) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(st.just("in"), st.sampled_from(names).map(Listed))


CONSTANTS = {
    BYTES: st.tuples(_ORDERINGS | st.just("contains"), _texts.map(_text))
    | st.tuples(st.just("matches"), _patterns)
    | st.tuples(st.sampled_from(("wildcard", "strict wildcard")), _wildcards)
    | _sets(_texts)
    | _lists("words", "names"),
    INT: st.tuples(_ORDERINGS | st.just("&"), _numbers.map(_number)) | _sets(_ranges) | _lists("asns"),
    IP: st.tuples(_ORDERINGS, _addresses.map(lambda value: Literal(value, IP))) | _sets(_blocks) | _lists("office"),
}


def _comparisons(values: st.SearchStrategy[Any], of: Type, type: Type) -> st.SearchStrategy[Comparison]:
    return st.builds(lambda value, pair: Comparison(value, pair[0], pair[1], type), values, CONSTANTS[of])


def _joined(parts: st.SearchStrategy[Any], type: Type) -> st.SearchStrategy[Any]:
    junctions = st.builds(
        lambda word, several: Junction(word, tuple(several), type),
        st.sampled_from(("and", "or", "xor")),
        st.lists(parts, min_size=2, max_size=3),
    )
    return junctions | parts.map(lambda part: Negation(part, type))


_BOOLS = array(BOOL)
_each_leaves = _comparisons(_eaches, BYTES, _BOOLS) | _comparisons(_each_ints, INT, _BOOLS) | _each_truths
_each_conditions = st.recursive(_each_leaves, lambda inner: _joined(inner, _BOOLS), max_leaves=3)


def _same_elements(value: Value) -> st.SearchStrategy[Any]:
    """Conditions that all look at one ``[*]``, which can be taken apart."""
    return st.recursive(_comparisons(st.just(value), BYTES, _BOOLS), lambda inner: _joined(inner, _BOOLS), max_leaves=4)


quantified = st.builds(_call, st.sampled_from(("any", "all")), _each_conditions | _eaches.flatmap(_same_elements))
conditions: st.SearchStrategy[Any] = st.recursive(
    _comparisons(_bytes, BYTES, BOOL)
    | _comparisons(_ints, INT, BOOL)
    | _comparisons(_ips, IP, BOOL)
    | _truths
    | quantified
    | st.booleans().map(lambda value: Literal(value, BOOL)),
    lambda inner: _joined(inner, BOOL),
    max_leaves=4,
)
definitions = st.booleans().map(lambda switch: Definitions(lists=LISTS, missing_not_equal=switch))


# -- meaning -----------------------------------------------------------------------------------------------------------


@settings(max_examples=400)
@given(conditions | quantified, definitions, st.lists(exchanges, min_size=1, max_size=3))
def test_a_formula_means_what_the_interpreter_reads(root: Node, defined: Definitions, judged: list[Exchange]) -> None:
    """Comparisons, sets, lists, calls, quantifiers and junctions, with either meaning of ``ne`` on what is missing."""
    made = formula(Expression(root, ""), defined)
    computed = computing.condition(root, defined)
    for exchange in judged:
        expected = Interpreter(exchange, defined).condition(root)
        assert is_true(made, exchange) is expected
        assert computed(exchange) is expected


@settings(max_examples=200)
@given(
    _bytes | _ints | _ips | _truths | _eaches | _each_ints | _each_truths, st.lists(exchanges, min_size=1, max_size=3)
)
def test_readers_and_subjects_give_the_value(value: Value, judged: list[Exchange]) -> None:
    """A reader gives the value or ``None``; a subject the value as a tuple of one, or every element."""
    read, looked_at = reader(value, Definitions()), subject(value)
    for exchange in judged:
        expected = Interpreter(exchange, Definitions()).value(value)
        found, several = read(exchange), looked_at.read(exchange)
        if isinstance(expected, list):
            assert found is not None
            assert list(found) == expected
            if looked_at.key == "edge.tags[*]":
                assert several is exchange.tags
            else:
                assert several is not None
                assert list(several) == expected
        else:
            assert found == expected
            assert several == (None if expected is None else (expected,))


@given(conditions)
def test_needs_are_those_of_all_fields(root: Node) -> None:
    """An expression needs what its fields need, and no predicate of its formula reads tags but to compare them."""
    expected = frozenset().union(*(FIELDS[each.name].needs for each in walk(root) if isinstance(each, FieldValue)))
    assert needs(root) == expected
    for part in parts(formula(Expression(root, ""), Definitions(lists=LISTS))):
        if isinstance(part, Leaf) and "tags" in part.predicate.subject.needs:
            assert part.predicate.subject.key == "edge.tags[*]"
            assert isinstance(part.predicate.sought, str)
        if isinstance(part, Computed):
            assert part.needs <= expected


def parts(made: Formula) -> list[Formula]:
    """A formula and everything in it."""
    match made:
        case All(inner) | AnyOf(inner) | Odd(inner):
            return [made, *(each for part in inner for each in parts(part))]
        case Not(inner):
            return [made, *parts(inner)]
        case _:
            return [made]
