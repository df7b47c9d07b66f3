"""Values and conditions of the Rules language, computed from an exchange by closures that are made once.

Law: what is missing is ``None``, and a condition on it is false; a condition on each element of what is missing has no
elements. Computing never raises, except that it gives up, and the request with it, before a text that is put behind
every element of an array fills the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from operator import methodcaller, not_
from typing import Any

from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
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
from edgenode.rules.language.operators import QUANTIFIERS
from edgenode.rules.language.types import BOOL
from edgenode.rules.views.view import then

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
            constant = node.value
            return lambda _: constant
        case FieldValue():
            return definitions.vocabulary.fields[node.name].read
        case Index(value=FieldValue(name=name), key=bytes(key)) if name in definitions.vocabulary.of_key:
            return definitions.vocabulary.of_key[name](key)
        case Index():
            step = methodcaller("get", node.key) if isinstance(node.key, bytes) else _get_item(node.key)
            read = reader(node.value, definitions)
            return _selected(read, step) if each_count(node.value) else then(read, step)
        case Each():
            read = reader(node.value, definitions)
            elements = methodcaller("values") if element_type(node.value).name == "Map" else iter
            if each_count(node.value):
                return then(read, lambda found: tuple(chain.from_iterable(map(elements, found))))
            return read if elements is iter else then(read, elements)
        case Call():
            return _call(node, definitions)
        case _:
            return condition(node, definitions) if node.type == BOOL else conditions(node, definitions)


def _get_item(index: int) -> Callable[[tuple[Any, ...]], Any]:
    return lambda array: array[index] if index < len(array) else None


def _selected(read: Reader, step: Callable[[Any], Any]) -> Reader:
    """A step into every element; those for which it leads nowhere are left out."""

    return then(read, lambda found: tuple(value for value in map(step, found) if value is not None))


def _call(node: Call, definitions: Definitions) -> Reader:
    function = FUNCTIONS[node.function]
    first, *rest = [reader(argument, definitions) for argument in node.arguments]
    literal = all(isinstance(argument, Literal) for argument in node.arguments[1:])
    if node.function not in QUANTIFIERS and each_count(node.arguments[0]):  # a quantifier takes the array whole
        return _mapped(function, first, rest, literal)
    if function.takes_missing:
        return lambda exchange: function.call(first(exchange), *[read(exchange) for read in rest])
    if literal:
        constants = [argument.value for argument in node.arguments[1:] if isinstance(argument, Literal)]
        return then(first, (lambda value: function.call(value, *constants)) if constants else function.call)

    def called(exchange: Exchange) -> Any:
        values = [first(exchange), *[read(exchange) for read in rest]]
        return None if any(value is None for value in values) else function.call(*values)

    return called


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
            join, parts = _JOIN[node.operator], [condition(each, definitions) for each in node.conditions]
            return lambda exchange: join(part(exchange) for part in parts)
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
            return lambda exchange: list(map(not_, inner(exchange)))
        case Junction():
            several = [conditions(each, definitions) for each in node.conditions]
            join = _JOIN[node.operator]
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


_JOIN: Mapping[str, Callable[[Iterable[bool]], bool]] = {"and": all, "or": any, "xor": lambda bits: sum(bits) % 2 == 1}
