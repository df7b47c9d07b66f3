"""How large a document of GraphQL is (https://spec.graphql.org/October2021/): how deep its fields stand in one another,
how many of them have an alias, and whether it asks for the schema.

Law: a field that stands in a fragment stands as deep as where the fragment is spread, and a fragment that spreads
itself has no end. It takes time in proportion to the text.
"""

from __future__ import annotations

from attrs import define, field, frozen

from edgenode.rules.views.flattening import MOST_DEEP, Beyond
from edgenode.rules.views.graphql_values import tokens

_INTROSPECTION = frozenset(("__schema", "__type"))
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


@frozen
class Shape:
    """How large documents are.

    :ivar depth: in how many selections the deepest field stands.
    :ivar aliases: how many fields have one.
    :ivar introspects: whether one asks for the schema.
    """

    depth: int = 0
    aliases: int = 0
    introspects: bool = False


@define(eq=False)
class _Definition:
    """An operation or a fragment.

    :ivar is_fragment: whether it is one.
    :ivar depth: that of its deepest field.
    :ivar spreads: the deepest place at which it spreads each fragment.
    """

    is_fragment: bool = False
    depth: int = 0
    spreads: dict[str, int] = field(factory=dict)


def shape(text: str) -> Shape:
    """The shape of a document.

    :raises Unread: if there is something in it that is none of GraphQL, or a fragment has no end.
    """
    fragments: dict[str, _Definition] = {}
    operations: list[_Definition] = []
    now, depth, within, aliases, introspects = _Definition(), 0, 0, 0, False
    before, last = "", ""
    for word in tokens(text):
        if within or word in ("(", "["):  # arguments, variables and what they are have no fields
            within += (word in _OPENING) - (word in _CLOSING)
        elif word == "{":
            if not depth and not now.is_fragment:
                operations.append(now)
            depth += 1
            now.depth = max(now.depth, depth)
        elif word == "}":
            depth = max(depth - 1, 0)
            if not depth:
                now = _Definition()
        elif not depth and last == "fragment":
            now = fragments.setdefault(word, _Definition(is_fragment=True))
        elif depth and last == "..." and word not in ("on", "@"):
            now.spreads[word] = max(now.spreads.get(word, 0), depth)
        elif depth and word == ":" and before != "@":
            aliases += 1
        introspects = introspects or (depth > 0 and not within and word in _INTROSPECTION)
        before, last = last, word
    return Shape(_deepest(operations, fragments), aliases, introspects)


def _deepest(operations: list[_Definition], fragments: dict[str, _Definition]) -> int:
    """The depth of the deepest field, with fragments where they are spread."""
    reached: dict[str, int] = {}
    waiting = [(each, 0) for each in operations]
    deepest = 0
    while waiting:
        definition, base = waiting.pop()
        deepest = max(deepest, base + definition.depth)
        if deepest > MOST_DEEP:
            raise Beyond("it is too deep, or a fragment has no end")
        for name, place in definition.spreads.items():
            inner = base + place - 1
            if name in fragments and reached.get(name, -1) < inner:
                reached[name] = inner
                waiting.append((fragments[name], inner))
    return deepest
