"""Values and conditions of the Rules language, computed from an exchange by closures that are made once.

Law: what is missing is ``None``, and a condition on it is false; a condition on each element of what is missing has no
elements. Computing never raises, except that it gives up, and the request with it, before a text that is put behind
every element of an array fills the memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Any

from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS, OF_KEY
from edgenode.rules.language.comparing import test
from edgenode.rules.language.functions import FUNCTIONS, Function
from edgenode.rules.language.nodes import (
    Call,
    Comparison,
    Each,
    FieldValue,
    Index,
    Junction,
    Literal,
    Negation,
    Node,
    each_count,
    element_type,
)
from edgenode.rules.language.types import BOOL

Reader = Callable[[Exchange], Any]
"""Computes a value, ``None`` if it is missing."""

LARGEST_MAPPED = 64 << 20
"""Bytes that a function mapped over an array may make and look at in all, with other values put to each element."""


# -- values ------------------------------------------------------------------------------------------------------------


def reader(node: Node, definitions: Definitions) -> Reader:
    """How to compute a value, or a condition as a value.

    :raises InvalidValue: if it names a list that there is not.
    """
    match node:
        case Literal():
            return _constant(node.value)
        case FieldValue():
            return FIELDS[node.name].read
        case Index(value=FieldValue(name=name), key=bytes(key)) if name in OF_KEY:
            return OF_KEY[name](key)
        case Index():
            step = _get_key(node.key) if isinstance(node.key, bytes) else _get_item(node.key)
            read = reader(node.value, definitions)
            return _selected(read, step) if each_count(node.value) else _then(read, step)
        case Each():
            read = reader(node.value, definitions)
            elements = _values if element_type(node.value).name == "Map" else None
            if each_count(node.value):
                return _flattened(read, elements)
            return read if elements is None else _then(read, elements)
        case Call():
            return _call(node, definitions)
        case _:
            return condition(node, definitions) if node.type == BOOL else conditions(node, definitions)


def _constant(value: Any) -> Reader:
    return lambda _: value


def _values(map: Mapping[bytes, Any]) -> Collection[Any]:
    return map.values()


def _get_key(key: bytes) -> Callable[[Mapping[bytes, Any]], Any]:
    return lambda map: map.get(key)


def _get_item(index: int) -> Callable[[tuple[Any, ...]], Any]:
    return lambda array: array[index] if index < len(array) else None


def _then(read: Reader, step: Callable[[Any], Any]) -> Reader:
    def value(exchange: Exchange) -> Any:
        found = read(exchange)
        return None if found is None else step(found)

    return value


def _selected(read: Reader, step: Callable[[Any], Any]) -> Reader:
    """A step into every element; those for which it leads nowhere are left out."""

    def values(exchange: Exchange) -> tuple[Any, ...] | None:
        found = read(exchange)
        return None if found is None else tuple(value for value in map(step, found) if value is not None)

    return values


def _flattened(read: Reader, elements: Callable[[Any], Iterable[Any]] | None) -> Reader:
    def values(exchange: Exchange) -> tuple[Any, ...] | None:
        found = read(exchange)
        if found is None:
            return None
        return tuple(chain.from_iterable(found if elements is None else map(elements, found)))

    return values


def _call(node: Call, definitions: Definitions) -> Reader:
    function = FUNCTIONS[node.function]
    first, *rest = [reader(argument, definitions) for argument in node.arguments]
    literal = all(isinstance(argument, Literal) for argument in node.arguments[1:])
    if is_mapped(node):
        return _mapped(function, first, rest, literal)
    if function.takes_missing:
        return lambda exchange: function.call(first(exchange), *[read(exchange) for read in rest])
    if literal:
        constants = [argument.value for argument in node.arguments[1:] if isinstance(argument, Literal)]
        return _then(first, partial(_applied, function.call, constants) if constants else function.call)

    def called(exchange: Exchange) -> Any:
        values = [first(exchange), *[read(exchange) for read in rest]]
        return None if any(value is None for value in values) else function.call(*values)

    return called


def _applied(call: Callable[..., Any], constants: list[Any], value: Any) -> Any:
    return call(value, *constants)


def is_mapped(call: Call) -> bool:
    """Whether a function is called with every element of its first argument; a quantifier takes the array whole."""
    return call.function not in ("any", "all") and each_count(call.arguments[0]) > 0


def _mapped(function: Function, first: Reader, rest: list[Reader], literal: bool) -> Reader:
    """A function called with every element; those for which it gives nothing are left out."""

    def values(exchange: Exchange) -> tuple[Any, ...] | None:
        elements = first(exchange)
        if elements is None:
            return None
        others = [read(exchange) for read in rest]
        if not function.takes_missing and any(value is None for value in others):
            return ()
        made = (function.call(element, *others) for element in elements)
        return tuple(value for value in (made if literal else _measured(made, others)) if value is not None)

    return values


def _measured(values: Iterable[Any], others: Iterable[Any]) -> Iterable[Any]:
    """The client may send both many short elements and a long text to put behind each of them, or to look at for it."""
    size, looked_at = 0, sum(len(other) for other in others if isinstance(other, bytes))
    for value in values:
        size += looked_at + (len(value) if isinstance(value, bytes) else 0)
        if size > LARGEST_MAPPED:
            raise RuntimeError("a function mapped over an array makes too much of this request")
        yield value


# -- conditions --------------------------------------------------------------------------------------------------------


def condition(node: Node, definitions: Definitions) -> Callable[[Exchange], bool]:
    """How to compute a condition of type ``Bool``.

    :raises InvalidValue: as :func:`reader`.
    """
    match node:
        case Comparison():
            return _comparison(node, definitions)
        case Negation():
            inner = condition(node.condition, definitions)
            return lambda exchange: not inner(exchange)
        case Junction():
            return _JUNCTIONS[node.operator]([condition(each, definitions) for each in node.conditions])
        case _:
            read = reader(node, definitions)
            return lambda exchange: bool(read(exchange))


def conditions(node: Node, definitions: Definitions) -> Callable[[Exchange], Collection[bool]]:
    """How to compute a condition on ``[*]``, element by element; several joined are as long as the shortest of them.

    :raises InvalidValue: as :func:`reader`.
    """
    match node:
        case Comparison():
            read = reader(node.value, definitions)
            holds = test(node, definitions)
            return lambda exchange: [holds(value) for value in read(exchange) or ()]
        case Negation():
            inner = conditions(node.condition, definitions)
            return lambda exchange: list(map(operator.not_, inner(exchange)))
        case Junction():
            several = [conditions(each, definitions) for each in node.conditions]
            join = _ELEMENTWISE[node.operator]
            return lambda exchange: list(map(join, zip(*[each(exchange) for each in several], strict=False)))
        case _:
            read = reader(node, definitions)
            return lambda exchange: read(exchange) or ()


def _comparison(node: Comparison, definitions: Definitions) -> Callable[[Exchange], bool]:
    read = reader(node.value, definitions)
    holds = test(node, definitions)
    if_missing = node.operator == "ne" and definitions.missing_not_equal

    def compared(exchange: Exchange) -> bool:
        value = read(exchange)
        return if_missing if value is None else holds(value)

    return compared


Conditions = list[Callable[[Exchange], bool]]


def _and(parts: Conditions) -> Callable[[Exchange], bool]:
    return lambda exchange: all(part(exchange) for part in parts)


def _or(parts: Conditions) -> Callable[[Exchange], bool]:
    return lambda exchange: any(part(exchange) for part in parts)


def _xor(parts: Conditions) -> Callable[[Exchange], bool]:
    return lambda exchange: sum(part(exchange) for part in parts) % 2 == 1


def _odd(bits: Iterable[bool]) -> bool:
    return sum(bits) % 2 == 1


_JUNCTIONS = MappingProxyType({"and": _and, "or": _or, "xor": _xor})
_ELEMENTWISE: Mapping[str, Callable[[Iterable[bool]], bool]] = MappingProxyType({"and": all, "or": any, "xor": _odd})
