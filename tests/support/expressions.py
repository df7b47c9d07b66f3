"""Hypothesis strategies for expressions: typed trees of every field, operator and function, as they are parsed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.calls import Argument, call
from edgenode.rules.language.functions import FUNCTIONS, Function, Parameter
from edgenode.rules.language.nodes import (
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
)
from edgenode.rules.language.operators import COMPARING_OF, JOINING, QUANTIFIERS
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRING_LISTS, STRINGS, Type, array
from edgenode.rules.language.vocabulary import Readable
from edgenode.rules.networks import Range

_PRIMITIVES = (BOOL, INT, BYTES, IP)
_ARRAYS = (STRINGS, array(INT), array(IP))
_ANY_TYPES = {
    "len": [(BYTES,), *((of,) for of in _ARRAYS)],
    "has_key": [(STRING_LISTS, BYTES)],
    "has_value": [(of, of.of) for of in _ARRAYS],
    "concat": [(BYTES, BYTES), (STRINGS, STRINGS)],
    "coalesce": [(of, of) for of in _PRIMITIVES],
    "hash_in_range": [(INT, INT, of) for of in _PRIMITIVES],
}
"""The types of the arguments of functions that take several together."""

_QUERY = FieldValue("http.request.uri.query", BYTES)
_WORDS = (b"", b"a", b"r", b"u", b"s", b"p", b"up", b"*", b"a*b", b"${1}", b"x$$", b"(a)|b", b"a\\*", b'"', b"\xff\x00")
_REGEXES = (
    b"",
    b"^a.*z$",
    rb"\d+\.\w",
    b'["]"',
    rb"\"",
    b'"#"##',
    rb"[^\]\[\"]{2,5}x|\x41",
    rb"(?i)(?:a|b)+?[[:alpha:]]",
)
_MAPPED = range(0xFFFF << 32, 0x10000 << 32)

numbers = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 130)
texts = st.binary(max_size=5) | st.text(max_size=5).map(str.encode) | st.sampled_from(_WORDS)
addresses = st.ip_addresses().map(lambda each: (each.version, int(each))).filter(lambda each: each[1] not in _MAPPED)
networks = st.builds(
    lambda each, bits: ipaddress.ip_network((each, min(bits, each.max_prefixlen)), strict=False),
    st.ip_addresses(),
    st.integers(0, 128),
)
_wildcards = st.lists(st.sampled_from((b"*", b"a", b"?", rb"\*", rb"\\", b'"', b"\xff")), max_size=6).map(b"".join)


def _ranges() -> st.SearchStrategy[Range]:
    def of_two(first: tuple[int, int], second: tuple[int, int]) -> Range:
        assume(first[0] == second[0])
        return Range(first[0], *sorted((first[1], second[1])))

    cidr = networks.map(lambda each: Range(each.version, int(each.network_address), int(each.broadcast_address)))
    mapped = cidr.filter(lambda each: each.version == 4 or each.first not in _MAPPED or each.last not in _MAPPED)
    return st.builds(of_two, addresses, addresses) | mapped


_items: dict[Type, st.SearchStrategy[Any]] = {
    BYTES: texts,
    INT: st.builds(lambda a, b: tuple(sorted((a, b))), numbers, numbers),
    IP: _ranges(),
}
_AS_ITEMS: dict[Type, Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]]] = {
    BYTES: lambda values: values,
    INT: lambda values: st.builds(lambda a, b: tuple(sorted((a, b))), values, values),
    IP: lambda values: values.map(lambda each: Range(each[0], each[1], each[1])),
}
_literals: dict[Type, st.SearchStrategy[Any]] = {BYTES: texts, INT: numbers, IP: addresses}
_names = st.from_regex(r"[a-z0-9_]([a-z0-9_.]{0,5}[a-z0-9_])?", fullmatch=True)


class Trees:
    """Draws trees over some fields and functions.

    :param fields: the names of the fields that may occur.
    :param functions: those of the functions.
    :param known: the fields that there are.
    :param values: what literals and the keys of maps are drawn from, by their types, besides any.
    :param lists: whether named lists may occur.
    """

    def __init__(
        self,
        fields: Collection[str] = FIELDS,
        functions: Collection[str] = FUNCTIONS,
        known: Mapping[str, Readable] = FIELDS,
        values: Mapping[Type, st.SearchStrategy[Any]] | None = None,
        lists: bool = True,
    ) -> None:
        self._fields: dict[Type, list[str]] = {}
        for name in fields:
            self._fields.setdefault(known[name].type, []).append(name)
        known_functions = [FUNCTIONS[name] for name in functions if name not in QUANTIFIERS]
        self._functions = [each for each in known_functions if not each.key_of]  # else it is a value of a map
        self._lists = lists
        self._literals = _literals | {of: each | _literals[of] for of, each in (values or {}).items()}
        self._items = _items | {of: _AS_ITEMS[of](each) | _items[of] for of, each in (values or {}).items()}

    def expressions(self, depth: int = 4) -> st.SearchStrategy[Node]:
        """Whole expressions."""
        return st.composite(lambda draw: self._condition(draw, False, depth))()

    def _condition(self, draw: st.DrawFn, each: bool, depth: int) -> Node:
        """A condition; ``each``: on ``[*]``."""
        kind = draw(
            st.sampled_from(("value", "comparison", "not", "junction", "quantifier") if depth else ("comparison",))
        )
        type = array(BOOL) if each else BOOL
        if kind == "not":
            return Negation(self._condition(draw, each, depth - 1), type)
        if kind == "junction":
            count = draw(st.integers(2, 3))
            parts = tuple(self._condition(draw, each, depth - 1) for _ in range(count))
            return Junction(draw(st.sampled_from(sorted(set(JOINING.values())))), parts, type)
        if kind == "quantifier" and not each:
            inner = self._condition(draw, True, depth - 1)
            return call(FUNCTIONS[draw(st.sampled_from(QUANTIFIERS))], [Argument(inner, bare=False)], 0)
        if kind == "value":
            return self._value(draw, BOOL, depth, each)
        return self._comparison(draw, each, depth)

    def _comparison(self, draw: st.DrawFn, each: bool, depth: int) -> Node:
        of = draw(st.sampled_from((BYTES, BYTES, INT, IP)))
        value = self._value(draw, of, depth, each)
        operator = draw(st.sampled_from(COMPARING_OF[of]))
        return Comparison(value, operator, self._constant(draw, operator, of), array(BOOL) if each else BOOL)

    def _constant(self, draw: st.DrawFn, operator: str, of: Type) -> Literal | Pattern | OneOf | Listed:
        if operator == "in":
            sets = st.lists(self._items[of], max_size=3).map(lambda items: OneOf(tuple(items)))
            return draw(_names.map(Listed) | sets if self._lists else sets)
        if operator == "matches":
            return Pattern(draw(st.sampled_from(_REGEXES)))
        if "wildcard" in operator:
            return Pattern(draw(_wildcards.filter(lambda text: b"**" not in text)))
        return Literal(draw(self._literals[of]), of)

    def _value(self, draw: st.DrawFn, of: Type, depth: int, each: bool) -> Value:
        """A value of a type; ``each``: of which every element is of that type."""
        if each:
            return self._each(draw, of, depth)
        ways: list[Callable[[], Value]] = []
        if of in self._fields:
            ways.append(lambda: self._field(draw, of))
        if array(of) in self._fields or any(map.of == array(of) for map in self._fields):
            ways.append(
                lambda: Index(self._value(draw, array(of), depth, False), draw(st.integers(0, (1 << 32) - 1)), of)
            )
        maps = [map for map in self._fields if map.name == "Map" and map.of == of]
        if maps:
            ways.append(lambda: Index(self._field(draw, maps[0]), draw(self._literals[BYTES]), of))
        if depth and self._callable(of):
            ways += [lambda: self._call(draw, of, depth - 1, False)] * 2
        assume(ways)
        return draw(st.sampled_from(ways))()

    def _field(self, draw: st.DrawFn, of: Type) -> FieldValue:
        return FieldValue(draw(st.sampled_from(self._fields[of])), of)

    def _each(self, draw: st.DrawFn, of: Type, depth: int) -> Value:
        if depth and self._callable(of) and draw(st.booleans()):
            mapped = self._call(draw, of, depth - 1, True)
            return mapped if of == BOOL and draw(st.booleans()) else Each(mapped, array(of))
        assume(of != BOOL)
        if of == BYTES and STRING_LISTS in self._fields and draw(st.booleans()):
            every = Each(self._field(draw, STRING_LISTS), array(STRINGS))
            return Index(every, draw(st.integers(0, 9)), STRINGS) if draw(st.booleans()) else Each(every, STRINGS)
        return Each(self._value(draw, array(of), depth, False), array(of))

    def _callable(self, of: Type) -> list[Function]:
        return [function for function in self._functions if of in set(_returned(function))]

    def _call(self, draw: st.DrawFn, of: Type, depth: int, mapped: bool) -> Value:
        """A call that gives a type; ``mapped``: with every element of its first argument."""
        function = draw(st.sampled_from(self._callable(of)))
        arguments: list[Argument] = []
        for index, (type, parameter) in enumerate(self._parameters(draw, function, of)):
            arguments.append(self._argument(draw, function, parameter, type, depth, mapped and not index))
        try:
            return call(function, arguments, 0)
        except InvalidValue:
            assume(False)
            raise

    def _parameters(self, draw: st.DrawFn, function: Function, of: Type) -> list[tuple[Type, Parameter]]:
        fitting = [types for types in _types(function) if of == _returns(function, types)]
        assume(fitting)
        types = list(draw(st.sampled_from(fitting)))
        optional = [each.types[0] for each in function.parameters[len(types) :]]
        types += optional[: draw(st.integers(0, len(optional)))]
        if function.repeated and draw(st.booleans()):
            types.append(types[-1])
        parameters = [function.parameters[min(at, len(function.parameters) - 1)] for at in range(len(types))]
        return list(zip(types, parameters, strict=True))

    def _argument(
        self, draw: st.DrawFn, function: Function, parameter: Parameter, type: Type, depth: int, mapped: bool
    ) -> Argument:
        if function.name == "remove_query_args" and parameter.kind == "field" and not mapped:
            return Argument(_QUERY)
        literal = parameter.kind == "literal" or (parameter.kind == "any" and draw(st.booleans()))
        if literal and not mapped and type in _literals:
            check = parameter.check
            values = self._literals[type]
            values = values if check is None else values.filter(lambda value: _passes(check, value))
            return Argument(Literal(draw(values), type))
        return Argument(self._value(draw, type, depth, mapped))


def _passes(check: Callable[[Any], object], value: object) -> bool:
    try:
        check(value)
    except InvalidValue:
        return False
    return True


def _types(function: Function) -> Iterable[tuple[Type, ...]]:
    """The types that the required arguments of a function may have."""
    if function.name in _ANY_TYPES:
        return _ANY_TYPES[function.name]  # type: ignore[return-value]  # the elements of arrays have a type
    rows: list[tuple[Type, ...]] = [()]
    for parameter in function.parameters[: function.required]:
        rows = [(*row, type) for row in rows for type in parameter.types]
    return rows


def _returns(function: Function, types: tuple[Type, ...]) -> Type:
    return function.returns if isinstance(function.returns, Type) else function.returns(types)


def _returned(function: Function) -> Iterable[Type]:
    return (_returns(function, types) for types in _types(function))


expressions = Trees().expressions()
"""Whole expressions over every field and function."""
