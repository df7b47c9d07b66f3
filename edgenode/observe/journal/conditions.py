"""An expression on events as one condition of DuckDB over the columns of the journal.

Law: where the condition is true the expression matches the event, where it is false it does not; and where it is
``NULL``, only :meth:`edgenode.observe.event_expressions.EventExpression.matches` can tell. So ``AND``, ``OR`` and
``NOT`` are SQL's own, whose three-valued logic is just this; what is missing is false at each comparison. A literal is
quoted, whatever is in it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import field, frozen

from edgenode.observe.journal.comparisons import (
    Untranslatable,
    as_octets,
    both,
    latin1,
    on_address,
    on_number,
    on_text,
    utf8,
    written_text,
)
from edgenode.observe.journal.field_values import FIELD_VALUES, Sql, each, header, literal, those
from edgenode.observe.recorded_fields import HEADERS
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
    OneOf,
    each_count,
    element_type,
)
from edgenode.rules.language.operators import QUANTIFIERS
from edgenode.rules.language.types import BYTES, INT, IP

UNKNOWN = "CAST(NULL AS BOOLEAN)"
"""The condition of which only the event itself can tell whether it is true."""

_JOINED = {"and": "AND", "or": "OR", "xor": "<>"}
_UPPER, _LOWER = "'ABCDEFGHIJKLMNOPQRSTUVWXYZ'", "'abcdefghijklmnopqrstuvwxyz'"


@frozen
class Condition:
    """A condition of DuckDB.

    :ivar text: it.
    :ivar exact: whether it is never ``NULL``.
    """

    text: str
    exact: bool


def condition_of(root: Node) -> Condition:
    """The condition that the tree of an expression is."""
    translation = _Translation()
    text = translation.condition(root)
    return Condition(text, not translation.doubts)


@frozen
class _Translation:
    """:ivar elements: what stands for the elements of lists, by the node that means every one of them; not empty within
        a condition on elements.
    :ivar doubts: the conditions on which it depends that the translation is right.
    """

    elements: Mapping[Node, Sql] = field(factory=dict)
    doubts: list[str] = field(factory=list)

    # -- conditions ---------------------------------------------------------------------------------------------------

    def condition(self, node: Node) -> str:
        """A condition of type ``Bool``; within elements one on each of them."""
        match node:
            case Negation():
                return f"(NOT {self.condition(node.condition)})"
            case Junction():
                parts = [self.condition(part) for part in node.conditions]
                return functools.reduce(lambda one, other: f"({one} {_JOINED[node.operator]} {other})", parts)
            case Literal():
                return "TRUE" if node.value else "FALSE"
        if self.elements:
            return self._simple(node)
        try:
            return self._simple(node)
        except Untranslatable:
            self.doubts.append(UNKNOWN)
            return UNKNOWN

    def _simple(self, node: Node) -> str:
        if isinstance(node, Call) and node.function in QUANTIFIERS:
            return self._quantified(node)
        if isinstance(node, Comparison):
            return self._comparison(node)
        found = self._value(node)
        return self._told(found.text, found)

    def _told(self, test: str, *values: Sql) -> str:
        """A test of values: false if they are missing, and unknown if they are."""
        known = both(*(value.known for value in values))
        if known:
            self.doubts.append(known)
        if known and not self.elements:
            return f"CASE WHEN coalesce({known}, TRUE) THEN coalesce({test}, FALSE) END"
        return f"coalesce({test}, FALSE)"

    def _quantified(self, node: Call) -> str:
        """``any`` or ``all`` of a condition on every element of one list."""
        (inner,) = node.arguments
        of_each = set(_elements(inner))
        if len(of_each) != 1:
            raise Untranslatable
        (every,) = of_each
        listed = self._value(every.value)
        found = _contained(inner, listed) if node.function == "any" else None
        if found is not None:
            return self._told(found, listed)
        within = _Translation({every: Sql("x", listed.octets)})
        condition = within.condition(inner)
        if within.doubts:
            unknown = those(listed.text, f"NOT coalesce({both(*within.doubts)}, TRUE)")
            listed = Sql(listed.text, listed.octets, both(listed.known, f"len({unknown}) = 0"))
        if node.function == "any":
            return self._told(f"len({those(listed.text, condition)}) > 0", listed)
        of_none = "FALSE" if isinstance(inner, Call) else "TRUE"
        return self._told(f"coalesce(len({those(listed.text, f'NOT {condition}')}) = 0, {of_none})", listed)

    # -- comparisons --------------------------------------------------------------------------------------------------

    def _comparison(self, node: Comparison) -> str:
        found, kind = self._value(node.value), element_type(node.value)
        if kind == BYTES:
            return self._told(*on_text(found, node))
        if kind == IP:
            return self._told(on_address(found.text, node), found)
        return self._told(on_number(found.text, node), found)

    # -- values -------------------------------------------------------------------------------------------------------

    def _value(self, node: Node) -> Sql:
        """A value, or a list of them.

        :raises Untranslatable: if DuckDB cannot compute it.
        """
        if node in self.elements:
            return self.elements[node]
        match node:
            case FieldValue(name=name) if name in FIELD_VALUES:
                return FIELD_VALUES[name]
            case Index(value=FieldValue(name=name), key=bytes(key)) if name == HEADERS:
                return Sql(header(key.decode("latin-1")), True)
            case Index(value=value, key=int(key)) if not each_count(value):
                found = self._value(value)
                return Sql(f"{found.text}[{key + 1}]", found.octets, found.known)
            case Call(arguments=(Each() as first, *rest)) if node.function not in QUANTIFIERS:
                return self._mapped(node, first, rest)
            case Call() if node.function in _FUNCTIONS:
                return _FUNCTIONS[node.function](self, node.arguments)
        raise Untranslatable

    def _mapped(self, node: Call, first: Each, rest: Sequence[Node]) -> Sql:
        """A function called with every element of a list."""
        if first in self.elements:
            return _FUNCTIONS[node.function](self, node.arguments)
        if not all(isinstance(each, Literal) for each in rest) or node.function not in _FUNCTIONS:
            raise Untranslatable
        listed = self._value(first.value)
        made = _FUNCTIONS[node.function](_Translation({first: Sql("x", listed.octets)}), node.arguments)
        if made.known:
            unknown = those(listed.text, f"NOT coalesce({made.known}, TRUE)")
            listed = Sql(listed.text, listed.octets, both(listed.known, f"len({unknown}) = 0"))
        return Sql(those(each(listed.text, made.text), "x IS NOT NULL"), made.octets, listed.known)

    def _texts(self, nodes: Sequence[Node]) -> list[Sql]:
        """Texts that can be put together and compared: all of bytes, or all of characters."""
        found = [None if isinstance(node, Literal) else self._value(node) for node in nodes]
        octets = any(value is not None and value.octets for value in found)
        written = [utf8(node.value) for node in nodes if isinstance(node, Literal) and isinstance(node.value, bytes)]
        if octets or None in written:
            found, octets = [None if value is None else as_octets(value) for value in found], True
        return [
            Sql(written_text(node, octets), octets) if value is None else value
            for node, value in zip(nodes, found, strict=True)
        ]


def _elements(node: Node) -> Iterator[Each]:
    """The nodes that stand for every element, of what a condition compares element by element.

    :raises Untranslatable: if it is not that simple.
    """
    match node:
        case Negation():
            yield from _elements(node.condition)
        case Junction():
            for part in node.conditions:
                yield from _elements(part)
        case Comparison(value=Each() as every) if each_count(every) == 1:
            yield every
        case Call(arguments=(Each() as every, *rest)) if each_count(every) == 1:
            if not all(isinstance(each, Literal) for each in rest):
                raise Untranslatable
            yield every
        case _:
            raise Untranslatable


def _contained(node: Node, listed: Sql) -> str | None:
    """Whether one of a few constants is in a list, if that is the condition."""
    match node:
        case Comparison(operator="eq", constant=Literal(value=bytes(sought))):
            constants: tuple[object, ...] = (sought,)
        case Comparison(operator="in", constant=OneOf(items=items)) if element_type(node.value) == BYTES:
            constants = items
        case _:
            return None
    decode = latin1 if listed.octets else utf8
    texts = [decode(each) for each in constants if isinstance(each, bytes)]
    written = [literal(text) for text in texts if text is not None]
    if len(written) == 1:  # by far the quicker
        return f"list_contains({listed.text}, {written[0]})"
    return f"list_has_any({listed.text}, [{', '.join(written)}])" if written else "FALSE"


# -- functions ---------------------------------------------------------------------------------------------------------

_Arguments = Sequence[Node]
_Made = Callable[[_Translation, _Arguments], Sql]


def _test_of(name: str) -> _Made:
    def made(translation: _Translation, arguments: _Arguments) -> Sql:
        one, other = translation._texts(arguments)
        return Sql(f"{name}({one.text}, {other.text})", known=both(one.known, other.known))

    return made


def _translated(before: str, behind: str) -> _Made:
    def made(translation: _Translation, arguments: _Arguments) -> Sql:
        (found,) = translation._texts(arguments)
        return Sql(f"translate({found.text}, {before}, {behind})", found.octets, found.known)

    return made


def _length(translation: _Translation, arguments: _Arguments) -> Sql:
    found, name = translation._value(arguments[0]), "len"
    if _type(arguments[0]) == BYTES:
        name = "length" if found.octets else "strlen"
    return Sql(f"{name}({found.text})", known=found.known)


def _concatenated(translation: _Translation, arguments: _Arguments) -> Sql:
    if _type(arguments[0]) != BYTES:
        raise Untranslatable
    found = translation._texts(arguments)
    several = ", ".join(each.text for each in found)
    text = f"CASE WHEN coalesce({several}) IS NOT NULL THEN concat({several}) END"
    return Sql(text, found[0].octets, both(*(each.known for each in found)))


def _first(translation: _Translation, arguments: _Arguments) -> Sql:
    if _type(arguments[0]) != BYTES:
        raise Untranslatable
    found = translation._texts(arguments)
    several = ", ".join(each.text for each in found)
    return Sql(f"coalesce({several})", found[0].octets, both(*(each.known for each in found)))


def _part(translation: _Translation, arguments: _Arguments) -> Sql:
    found = as_octets(translation._value(arguments[0]))
    match arguments[1:]:
        case (Literal(value=int(start)),) if start >= 0:
            return Sql(f"substr({found.text}, {start + 1})", True, found.known)
        case (Literal(value=int(start)), Literal(value=int(end))) if start >= 0 and end >= 0:
            return Sql(f"substr({found.text}, {start + 1}, {max(0, end - start)})", True, found.known)
    raise Untranslatable


def _has_value(translation: _Translation, arguments: _Arguments) -> Sql:
    listed, sought = translation._value(arguments[0]), arguments[1]
    if not isinstance(sought, Literal) or sought.type not in (BYTES, INT):
        raise Untranslatable
    written: str | None = str(sought.value)
    if isinstance(sought.value, bytes):
        text = latin1(sought.value) if listed.octets else utf8(sought.value)
        written = None if text is None else literal(text)
    test = "FALSE" if written is None else f"list_contains({listed.text}, {written})"
    return Sql(test, known=listed.known)


def _has_key(translation: _Translation, arguments: _Arguments) -> Sql:
    match arguments:
        case (FieldValue(name=name), Literal(value=bytes(key))) if name == HEADERS:
            return Sql(f"{header(key.decode('latin-1'))} IS NOT NULL")
    raise Untranslatable


_FUNCTIONS: Mapping[str, _Made] = {
    "starts_with": _test_of("starts_with"),
    "ends_with": _test_of("ends_with"),
    "lower": _translated(_UPPER, _LOWER),
    "upper": _translated(_LOWER, _UPPER),
    "len": _length,
    "concat": _concatenated,
    "coalesce": _first,
    "substring": _part,
    "has_value": _has_value,
    "has_key": _has_key,
}
"""The functions that DuckDB has as well; all others only the event itself can answer."""


def _type(node: Node) -> object:
    return element_type(node) if isinstance(node, Each) else node.type
