"""What the checker accepts never raises: expressions of every field and function, over whatever a client may send."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import (
    Address,
    Body,
    ClientIdentity,
    Connection,
    Exchange,
    Geography,
    Request,
    Verification,
)
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS
from edgenode.rules.language import comparing, computing
from edgenode.rules.language.expression_formulas import formula
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.formatting import format
from edgenode.rules.language.functions import FUNCTIONS, Function, Parameter
from edgenode.rules.language.nodes import Literal, listed
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRINGS, Type, array, map_of
from edgenode.rules.lists import members
from tests.support.formulas import is_true
from tests.support.interpreter import Interpreter

LISTS = {
    "office": members("$office", "ip", ["192.0.2.0/24", "2001:db8::/32"]),
    "words": members("$words", "string", ["a", "b"]),
    "names": members("$names", "hostname", ["a", "*.a"]),
    "numbers": members("$numbers", "asn", ["1", "2"]),
}

# -- every way to a value ----------------------------------------------------------------------------------------------

PATHS: dict[Type, list[str]] = {}
"""Fields and what is in them, by type."""
EACH: dict[Type, list[str]] = {}
"""The same with ``[*]``, by the type of each element."""


def _paths() -> None:
    waiting = [(field.name, field.type, 0) for field in FIELDS.values()]
    for text, of, each in waiting:
        (EACH if each else PATHS).setdefault(of, []).append(text)
        if of.of is not None:
            steps = ("[0]", "[1]") if of.name == "Array" else ('["a"]', '["content-type"]')
            waiting += [(text + step, of.of, each) for step in steps]
            waiting.append((f"{text}[*]", of.of, each + 1))


_paths()
PRIMITIVES = (BOOL, INT, BYTES, IP)
ANY = (*PRIMITIVES, STRINGS, array(INT), array(STRINGS), map_of(STRINGS))
BY_TYPE: dict[Type, list[Function]] = {of: [] for of in PRIMITIVES}
for _function in FUNCTIONS.values():
    for _of in PRIMITIVES:
        _returns = {_of, STRINGS} if _of == BYTES else {_of}
        if _function.name not in ("any", "all") and (callable(_function.returns) or _function.returns in _returns):
            BY_TYPE[_of].append(_function)

USUAL = {
    "concat": (BYTES, STRINGS),
    "has_key": (map_of(STRINGS),),
    "has_value": (STRINGS, array(INT)),
    "len": (BYTES, STRINGS, array(STRINGS)),
}
"""What functions that take arguments of several types are mostly given."""

# -- texts of expressions ----------------------------------------------------------------------------------------------

_bytes = st.sampled_from(
    [b"", b"a", b"b", b"=", b"&", b".", b"(.)", b"${1}", b"s", b"u", b"r", b"%41", b"a*"]
) | st.binary(max_size=3)
LITERALS = {
    BYTES: _bytes.map(lambda value: format(Literal(value, BYTES))),
    INT: st.sampled_from([-(1 << 63), (1 << 63) - 1, 64]).map(str) | st.integers(-1, 40).map(str),
    IP: st.sampled_from(["192.0.2.7", "::", "::ffff:10.0.0.1", "255.255.255.255"]),
}
ORDERINGS = ("eq", "ne", "lt", "le", "gt", "ge")
CONSTANTS = {
    BYTES: st.builds("{} {}".format, st.sampled_from((*ORDERINGS, "contains")), LITERALS[BYTES])
    | st.sampled_from(
        [
            'matches "a|%"',
            'wildcard "*a*"',
            'strict wildcard "a*"',
            'in {"a" "" "b"}',
            "in {}",
            "in $words",
            "in $names",
        ]
    ),
    INT: st.builds("{} {}".format, st.sampled_from((*ORDERINGS, "&")), LITERALS[INT])
    | st.sampled_from(["in {1 0..3}", "in {}", "in $numbers"]),
    IP: st.builds("{} {}".format, st.sampled_from(ORDERINGS), LITERALS[IP])
    | st.sampled_from(["in {10.0.0.0/8 ::/0}", "in {}", "in $office"]),
}


@st.composite
def values(draw: st.DrawFn, of: Type, depth: int = 2) -> str:
    """The text of a value of a type."""
    if of not in BY_TYPE or not depth or draw(st.booleans()):
        return draw(st.sampled_from(PATHS[of]))
    return draw(calls(of, draw(st.sampled_from(BY_TYPE[of])), depth, each=False))


@st.composite
def eaches(draw: st.DrawFn, of: Type, depth: int = 2) -> str:
    """The text of a value with ``[*]`` whose elements are of a type."""
    if of not in BY_TYPE or not depth or (of in EACH and draw(st.booleans())):
        return draw(st.sampled_from(EACH[of]))
    return draw(calls(of, draw(st.sampled_from(BY_TYPE[of])), depth, each=True)) + "[*]"


@st.composite
def calls(draw: st.DrawFn, of: Type, function: Function, depth: int, *, each: bool) -> str:
    """The text of a call; its array is indexed, if it gives one."""
    usual = draw(st.sampled_from(USUAL.get(function.name, (of,))))
    most = len(function.parameters) + 2 * function.repeated
    count = draw(st.integers(function.required, most))
    written = []
    for index in range(count):
        parameter = function.parameters[min(index, len(function.parameters) - 1)]
        if parameter.types in ((), PRIMITIVES):
            of = usual.of if function.name == "has_value" and index and usual.of else usual
        written.append(draw(arguments(parameter, of, depth - 1, each=each and not index)))
    text = f"{function.name}({', '.join(written)})"
    return f"{text}[{draw(st.integers(0, 1))}]" if function.returns == STRINGS and not each else text


@st.composite
def arguments(draw: st.DrawFn, parameter: Parameter, of: Type, depth: int, *, each: bool) -> str:
    """The text of an argument."""
    many = parameter.types in ((), PRIMITIVES) and draw(st.integers(0, 9))
    type = of if many else draw(st.sampled_from(parameter.types or ANY))
    if parameter.kind == "literal" or (
        parameter.kind == "any" and type in LITERALS and draw(st.booleans()) and not each
    ):
        return draw(LITERALS[type]) if type in LITERALS else "1"
    if each and type in EACH:
        return draw(eaches(type, depth))
    return draw(values(type, depth))


@st.composite
def conditions(draw: st.DrawFn) -> str:
    """The text of a condition."""
    of = draw(st.sampled_from(PRIMITIVES))
    if draw(st.booleans()):
        value = draw(values(of))
        return value if of == BOOL else f"{value} {draw(CONSTANTS[of])}"
    value = draw(eaches(of)) if of in EACH or of in BY_TYPE else ""
    word = draw(st.sampled_from(("any", "all")))
    if of == BOOL:
        return f"{word}({value.removesuffix('[*]')})"
    return f"{word}({value} {draw(CONSTANTS[of])})"


# -- whatever a client may send ----------------------------------------------------------------------------------------

_pieces = st.sampled_from(
    [b"%", b"%41", b"%zz", b"+", b"&", b"=", b";", b"/", b"/..", b"?", b'"', b"a", b"b", b"\xff", b"\xc3\xa4", b"\r\n",
     b"--b", b"boundary=b", b'{"a":[1,"b"]}', b"multipart/form-data", b"application/x-www-form-urlencoded", b"YQ"]
) | st.binary(max_size=3)  # fmt: skip
_texts = st.lists(_pieces, max_size=6).map(b"".join)
_requests = st.builds(
    lambda target, query, headers, body: Request(
        b"POST", b"https", target, target, target, query, target, tuple(headers), (), (1, 1), 5, body
    ),
    _texts,
    st.none() | _texts,
    st.lists(st.tuples(st.sampled_from([b"a", b"cookie", b"content-type"]), _texts), max_size=4),
    st.none() | st.builds(Body, _texts, st.integers(0, 9), st.booleans()),
)
_when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_CLIENT = ClientIdentity(b"x", (b"y",), "CN=a", "CN=b", "01", "ff", _when, _when, Verification(True, errors=(10, 20)))
_HERE = Address("192.0.2.7", 443)
exchanges = st.builds(
    lambda request, client, identity, geography, tags: Exchange(
        Connection(_HERE, _HERE, "a", "h2", "TLSv1.3", "x", "t13d", identity), request, client, tags,
        geography=geography, time=1e9,
    ),
    st.none() | _requests,
    st.sampled_from(["192.0.2.7", "2001:db8::7", ""]),
    st.none() | st.just(_CLIENT),
    st.none() | st.just(Geography("DE", asn=2)),
    st.frozensets(st.sampled_from(["a", "b"])),
)  # fmt: skip
definitions = st.booleans().map(lambda switch: Definitions(lists=LISTS, missing_not_equal=switch))


@pytest.mark.parametrize(
    "text", ["len(edge.path) in $words", "ip.src in $numbers", "http.host in $office", "http.host in $no"]
)
def test_a_list_of_other_values_is_refused_before_any_request(text: str) -> None:
    """It is known where the name stands as soon as the lists are, and nothing is made of the expression."""
    defined = Definitions(lists=LISTS)
    with pytest.raises(InvalidValue) as refused:
        formula(Expression.from_text(text), defined)
    with pytest.raises(InvalidValue) as again:
        computing.condition(Expression.from_text(text).root, defined)
    assert str(refused.value) == str(again.value)
    assert refused.value.column == again.value.column == text.index("$")


@settings(max_examples=600)
@given(conditions(), definitions, exchanges)
def test_what_is_accepted_never_raises(text: str, defined: Definitions, judged: Exchange) -> None:
    """Formula, computing and interpreter give one verdict, and none of them raises.

    Accepted is what is read, and names lists of what is looked for in them: those are known only with the lists.
    """
    try:
        expression = Expression.from_text(text)
        for name, of in listed(expression.root):
            comparing.members(name, of, defined)
    except InvalidValue:
        return
    expected = Interpreter(judged, defined).condition(expression.root)
    assert isinstance(expected, bool)
    assert computing.condition(expression.root, defined)(judged) is expected
    assert is_true(formula(expression, defined), judged) is expected
