"""The tree of an expression in Cloudflare's Rules language (wirefilter's grammar), as frozen values.

Law: a tree says what is meant and nothing of how it was spelled, so ``parse(format(tree)) == tree``. Only trees that
have been checked exist: :func:`edgenode.rules.language.parsing.parse` makes them, and raises where a type does not
fit. The ``column`` of a node is its offset in the text, from 0; it is for errors, and not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from attrs import field, frozen

from edgenode.rules.language.types import BOOL, Type
from edgenode.rules.networks import Range


@frozen
class _Placed:
    """:ivar column: where it stands in the text."""

    column: int = field(default=0, kw_only=True, eq=False, repr=False)


# -- values ------------------------------------------------------------------------------------------------------------


@frozen(cache_hash=True)
class FieldValue(_Placed):
    """A field: ``http.host``."""

    name: str
    type: Type


@frozen(cache_hash=True)
class Index(_Placed):
    """An element of an array, or the value of a key of a map: ``value[0]``, ``value["key"]``; missing if not there."""

    value: Value
    key: int | bytes
    type: Type


@frozen(cache_hash=True)
class Each(_Placed):
    """Every element of an array or value of a map: ``value[*]``; its type is ``Array(element)``."""

    value: Value
    type: Type


@frozen(cache_hash=True)
class Literal(_Placed):
    """A literal: ``bytes``, ``int``, ``bool``, or an address as (version, number)."""

    value: bytes | int | tuple[int, int]
    type: Type


@frozen(cache_hash=True)
class Call(_Placed):
    """A function's call, ``any`` and ``all`` among them; its first argument may be mapped over with ``[*]``."""

    function: str
    arguments: tuple[Node, ...]
    type: Type


Value = Union[FieldValue, Index, Each, Literal, Call]  # noqa: UP007  # the names are defined below and above


# -- what a value is compared with -------------------------------------------------------------------------------------


@frozen(cache_hash=True)
class Pattern:
    """The right side of ``matches``, ``wildcard`` and ``strict wildcard``, as its engine is to read it."""

    text: bytes


@frozen(cache_hash=True)
class OneOf:
    """An inline set: of ``bytes``, or of pairs (lowest, highest) of ``int``, or of address ranges; as written."""

    items: tuple[bytes | tuple[int, int] | Range, ...]


@frozen(cache_hash=True)
class Listed(_Placed):
    """A named list, ``$name``."""

    name: str


# -- conditions --------------------------------------------------------------------------------------------------------


@frozen(cache_hash=True)
class Comparison(_Placed):
    """A value compared with a constant; ``Bool``, or ``Array(Bool)`` if the value has a ``[*]`` in it.

    :ivar operator: one of the values of :data:`edgenode.rules.language.operators.COMPARING`.
    """

    value: Value
    operator: str
    constant: Literal | Pattern | OneOf | Listed
    type: Type = BOOL


@frozen(cache_hash=True)
class Negation(_Placed):
    """``not condition``."""

    condition: Node
    type: Type = BOOL


@frozen(cache_hash=True)
class Junction(_Placed):
    """Conditions joined by one operator: ``and``, ``xor`` or ``or``; at least two, none of them the same junction
    unless it stood in parentheses."""

    operator: str
    conditions: tuple[Node, ...]
    type: Type = BOOL


Node = Union[Value, Comparison, Negation, Junction]  # noqa: UP007


def walk(node: Node) -> Iterator[Node]:
    """A node and everything in it."""
    yield node
    for part in parts(node):
        yield from walk(part)


def parts(node: Node) -> tuple[Node, ...]:
    """What a node is directly made of."""
    match node:
        case Index() | Each() | Comparison():
            return (node.value,)
        case Call():
            return node.arguments
        case Negation():
            return (node.condition,)
        case Junction():
            return node.conditions
        case _:
            return ()


def each_count(value: Node) -> int:
    """How many ``[*]`` a value has; those in the arguments of a call are the call's own."""
    match value:
        case Each():
            return 1 + each_count(value.value)
        case Index():
            return each_count(value.value)
        case _:
            return 0


def element_type(value: Node) -> Type:
    """The type of a value, or, where it has ``[*]``, of one of its elements."""
    if isinstance(value, Index | Each):
        inner = element_type(value.value)
        assert inner.of is not None, "the checker lets indexes stand only behind arrays and maps"
        return inner.of
    return value.type


def listed(node: Node) -> Iterator[tuple[Listed, Type]]:
    """Every list that a tree names, and the type of the values that are looked for in it."""
    for each in walk(node):
        if isinstance(each, Comparison) and isinstance(each.constant, Listed):
            yield each.constant, element_type(each.value)
