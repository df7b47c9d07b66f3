"""Expressions as formulas, and values as subjects of predicates.

Law: a formula is true of an exchange if and only if its expression is, as the expression is written and computed by
:mod:`edgenode.rules.language.computing`. Whatever can be a predicate is one, for only predicates are matched all at
once.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from attrs import frozen

from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS
from edgenode.rules.formulas import (
    ALWAYS,
    NEVER,
    All,
    AnyOf,
    Clause,
    Computed,
    Evidence,
    Formula,
    Leaf,
    Not,
    Odd,
    Predicate,
    Sought,
    Subject,
)
from edgenode.rules.language.comparing import members
from edgenode.rules.language.computing import Reader, condition, reader
from edgenode.rules.language.dialect import in_re2
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.formatting import format
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
    each_count,
    element_type,
    walk,
)
from edgenode.rules.language.patterns import quote, wildcard
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRINGS, array
from edgenode.rules.networks import Range

TAGS = Each(FieldValue("edge.tags", STRINGS), STRINGS)
"""What entries and expressions look at for tags."""

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_LAST_ADDRESS = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
_ENDS = {"starts_with": ("\\A", ""), "ends_with": ("", "\\z")}


def needs(node: Node) -> frozenset[str]:
    """What it takes to compute a value or a condition: see :class:`edgenode.rules.fields.Field`."""
    return frozenset().union(*(FIELDS[each.name].needs for each in walk(node) if isinstance(each, FieldValue)))


def subject(value: Node, definitions: Definitions | None = None) -> Subject:
    """A value as what predicates look at; with the same definitions it is the same object.

    :raises InvalidValue: if it names a list that there is not.
    """
    definitions = definitions or Definitions()
    if value not in definitions.subjects:
        definitions.subjects[value] = _subject(value, definitions)
    found: Subject = definitions.subjects[value]
    return found


def _subject(value: Node, definitions: Definitions) -> Subject:
    if value == TAGS:
        return Subject(format(value), BYTES, attrgetter("tags"), needs(value), FIELDS["edge.tags"].breadth)
    type, read = element_type(value), reader(value, definitions)
    if type.name == "Array":  # a condition for each element, such as starts_with(value[*], "a")
        assert type.of is not None
        type = type.of
    elif not each_count(value):
        read = _single(read)
    breadths = [FIELDS[each.name].breadth for each in walk(value) if isinstance(each, FieldValue)]
    breadth, of_request = min(breadths, default=100), None
    if isinstance(value, FieldValue) and value.type.of is None:
        of_request = FIELDS[value.name].of_request
    return Subject(format(value), type, read, needs(value), breadth, _header(value), of_request)


def formula(expression: Expression, definitions: Definitions) -> Formula:
    """What an expression comes down to.

    :raises InvalidValue: if it names a list that there is not, with its column.
    """
    return _Translation(definitions).formula(expression.root)


def _single(read: Reader) -> Reader:
    def values(exchange: Exchange) -> tuple[object, ...] | None:
        value = read(exchange)
        return None if value is None else (value,)

    return values


def _header(value: Node) -> bytes | None:
    """The name of the header whose values a value is."""
    match value:
        case Each(value=Index(value=FieldValue(name="http.request.headers"), key=bytes(name))):
            return name
    return None


def _evidence(node: Node) -> Evidence:
    return (Clause(format(node)),)


@frozen
class _Translation:
    """Makes formulas of conditions."""

    definitions: Definitions

    def formula(self, node: Node) -> Formula:
        """The formula of a condition of type ``Bool``."""
        match node:
            case Literal():
                return ALWAYS if node.value else NEVER
            case Negation():
                return Not(self.formula(node.condition), _evidence(node))
            case Junction():
                parts = tuple(map(self.formula, node.conditions))
                if node.operator == "xor":
                    return Odd(parts, _evidence(node))
                return (All if node.operator == "and" else AnyOf)(parts)
            case Comparison():
                return self._comparison(node)
            case Call(function="any"):
                return self._any(node.arguments[0], True) or self._computed(node)
            case Call(function="all"):
                counterexample = self._any(node.arguments[0], False)
                return self._computed(node) if counterexample is None else Not(counterexample, _evidence(node))
            case _:
                return self._truth(node, node) or self._computed(node)

    def _computed(self, node: Node) -> Formula:
        return Computed(condition(node, self.definitions), needs(node), _evidence(node))

    def _comparison(self, node: Comparison) -> Formula:
        if node.operator != "ne":
            return self._compared(node, True, node) or self._computed(node)
        equal = self._compared(node, False, node)
        if equal is None:
            return self._computed(node)
        differs = Not(equal, _evidence(node))
        if self.definitions.missing_not_equal:
            return differs
        return All((Leaf(Predicate(subject(node.value, self.definitions), "present"), ()), differs))

    def _any(self, node: Node, wanted: bool) -> Formula | None:
        """Whether a condition is as wanted of any element; ``None`` if that has to be computed."""
        match node:
            case Comparison():
                return self._compared(node, wanted, Call("any", (node,), BOOL))
            case Negation():
                return self._any(node.condition, not wanted)
            case Junction(operator="or" | "and"):
                # Elements are looked at one by one, so only what looks at the same ones can be taken apart.
                if (node.operator == "or") is not wanted or len(_looked_at(node)) != 1:
                    return None
                parts = [self._any(each, wanted) for each in node.conditions]
                return None if None in parts else AnyOf(tuple(part for part in parts if part is not None))
            case Junction() | Literal():
                return None
            case _:
                return self._truth(node, Call("any", (node,), BOOL)) if wanted else None

    def _truth(self, value: Node, shown: Node) -> Formula | None:
        """Whether a value of type ``Bool``, or any element of one of type ``Array(Bool)``, is true."""
        match value:
            case Call(function="starts_with" | "ends_with", arguments=(first, Literal(value=bytes(text)))):
                before, behind = _ENDS[value.function]
                return self._leaves(first, "regex", (before + quote(text) + behind,), shown)
            case Call(
                function="has_value",
                arguments=(FieldValue() | Index() | Each() | Call() as first, Literal() as sought),
            ):
                each = Each(first, array(sought.type))
                return self._compared(Comparison(each, "eq", sought), True, shown)
            case _:
                return self._leaves(value, "true", (None,), shown)

    def _compared(self, node: Comparison, wanted: bool, shown: Node) -> Formula | None:
        """Whether a comparison is as wanted of any element; ``None`` if that has to be computed."""
        value, constant = node.value, node.constant
        if isinstance(constant, Listed):
            listed = members(constant, element_type(value), self.definitions)
            match = {BYTES: "equal", INT: "range", IP: "network"}[element_type(value)]
            return self._leaves(value, match, (listed,), shown) if wanted and value != TAGS else None
        match element_type(value):
            case type if type == INT:
                numbers = _numbers(node, wanted)
                return None if numbers is None else self._leaves(value, "range", numbers, shown)
            case type if type == IP:
                return self._leaves(value, "network", _addresses(node, wanted), shown)
            case type if type == BYTES:
                texts = _texts(node, wanted)
                return None if texts is None else self._leaves(value, *texts, shown)
            case _:
                return None

    def _leaves(self, value: Node, match: str, soughts: Iterable[Sought], shown: Node) -> Formula | None:
        if "tags" in needs(value):
            if value != TAGS or match != "equal":
                return None  # tags grow while rules are judged: what is made of them is computed once all are known
            soughts = [sought.decode("utf-8", "surrogateescape") for sought in soughts if isinstance(sought, bytes)]
        looked_at, evidence = subject(value, self.definitions), _evidence(shown)
        leaves = tuple(Leaf(Predicate(looked_at, match, sought), evidence) for sought in dict.fromkeys(soughts))
        return leaves[0] if len(leaves) == 1 else AnyOf(leaves)


def _looked_at(node: Node) -> set[Node]:
    """The values that a condition compares, element by element."""
    match node:
        case Comparison():
            return {node.value}
        case Negation():
            return _looked_at(node.condition)
        case Junction():
            return set().union(*map(_looked_at, node.conditions))
        case _:
            return {node}


def _texts(node: Comparison, wanted: bool) -> tuple[str, tuple[bytes | str, ...]] | None:
    """The match of texts that a comparison is, and what is sought; ``None`` if it is none."""
    match node.operator, node.constant:
        case ("eq", Literal(value=bytes(text))) if wanted:
            return "equal", (text,)
        case ("ne", Literal(value=bytes(text))) if not wanted:
            return "equal", (text,)
        case "in", OneOf(items=items) if wanted:
            return "equal", tuple(item for item in items if isinstance(item, bytes))
        case "contains", Literal(value=bytes(text)) if wanted:
            return "regex", (quote(text),)
        case "matches", Pattern(text=text) if wanted:
            return "regex", (in_re2(text.decode("latin-1")),)
        case ("wildcard" | "strict wildcard") as word, Pattern(text=text) if wanted:
            return "regex", (wildcard(text, strict=word == "strict wildcard"),)
        case _:
            return None


def _numbers(node: Comparison, wanted: bool) -> tuple[tuple[int, int], ...] | None:
    """The ranges of numbers of which a comparison is as wanted; ``None`` for ``&``."""
    match node.operator, node.constant:
        case "in", OneOf(items=items):
            ranges = [item for item in items if isinstance(item, tuple) and not isinstance(item, Range)]
        case "&", _:
            return None
        case word, Literal(value=int(number)):
            ranges = _ordered(word, number, _LOWEST, _HIGHEST)
    return tuple(ranges if wanted else _others(ranges, _LOWEST, _HIGHEST))


def _addresses(node: Comparison, wanted: bool) -> tuple[Range, ...]:
    """The ranges of addresses of which a comparison is as wanted."""
    match node.operator, node.constant:
        case "in", OneOf(items=items):
            ranges = [item for item in items if isinstance(item, Range)]
        case "ne", Literal(value=(version, number)):
            ranges = _ranges_but(Range(version, number, number))
        case word, Literal(value=(version, number)):
            ranges = [Range(version, *each) for each in _ordered(word, number, 0, _LAST_ADDRESS[version])]
    return tuple(ranges if wanted else _ranges_but(*ranges))


def _ranges_but(*ranges: Range) -> list[Range]:
    """All addresses of both families but these."""
    return [
        Range(version, *others)
        for version, last in _LAST_ADDRESS.items()
        for others in _others([(r.first, r.last) for r in ranges if r.version == version], 0, last)
    ]


def _ordered(word: str, number: int, lowest: int, highest: int) -> list[tuple[int, int]]:
    """The ranges of numbers that compare with a number in this way."""
    below, above = (lowest, number - 1), (number + 1, highest)
    ranges = {
        "eq": [(number, number)],
        "ne": [below, above],
        "lt": [below],
        "le": [(lowest, number)],
        "gt": [above],
        "ge": [(number, highest)],
    }[word]
    return [(first, last) for first, last in ranges if first <= last]


def _others(ranges: Iterable[tuple[int, int]], lowest: int, highest: int) -> list[tuple[int, int]]:
    """The ranges of numbers that are in none of these."""
    found = []
    for first, last in sorted(ranges):
        if lowest < first:
            found.append((lowest, first - 1))
        lowest = max(lowest, last + 1)
    return [*found, (lowest, highest)] if lowest <= highest else found
