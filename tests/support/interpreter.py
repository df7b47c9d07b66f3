"""Expressions read slowly and obviously, node by node, as the language is documented."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS
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
)
from edgenode.rules.language.types import BOOL
from edgenode.rules.networks import Range
from edgenode.rules.regexes import compile_regex
from tests.support.formulas import in_networks


@frozen
class Interpreter:
    """Reads nodes over one exchange."""

    exchange: Exchange
    definitions: Definitions

    def value(self, node: Node) -> Any:
        """The value of a node, ``None`` if it is missing; of one with ``[*]`` the list of its elements."""
        match node:
            case Literal(value):
                return value
            case FieldValue(name):
                return FIELDS[name].read(self.exchange)
            case Index(of, key):
                inner = self.value(of)
                if inner is None:
                    return None
                if not _has_each(of):
                    return _at(inner, key)
                return [found for found in (_at(element, key) for element in inner) if found is not None]
            case Each(of):
                inner = self.value(of)
                if inner is None:
                    return None
                return [one for each in inner for one in _elements(each)] if _has_each(of) else _elements(inner)
            case Call():
                return self.call(node)
            case _:
                return self.condition(node)

    def call(self, node: Call) -> Any:
        """The value of a call."""
        first, *rest = [self.value(argument) for argument in node.arguments]
        if node.function in ("any", "all") or not _has_each(node.arguments[0]):
            return _called(node.function, [first, *rest])
        if first is None:
            return None
        several = [_called(node.function, [element, *rest]) for element in first]
        return [value for value in several if value is not None]

    def condition(self, node: Node) -> Any:
        """Whether a condition is true; the list of that if it has ``[*]``."""
        several = node.type != BOOL
        match node:
            case Comparison(value, word, constant):
                found = self.value(value)
                if several:
                    return [self.compare(element, word, constant) for element in ([] if found is None else found)]
                if found is None:
                    return word == "ne" and self.definitions.missing_not_equal
                return self.compare(found, word, constant)
            case Negation(inner):
                found = self.condition(inner)
                return [not element for element in found] if several else not found
            case Junction(word, parts):
                found = [self.condition(part) for part in parts]
                if not several:
                    return _joined(word, found)
                shortest = min(map(len, found))
                return [_joined(word, [each[n] for each in found]) for n in range(shortest)]
            case _:
                found = self.value(node)
                if found is None:
                    return [] if several else False
                return list(found) if several else found

    def compare(self, value: Any, word: str, constant: Any) -> bool:
        """Whether a value that is there compares in this way with a constant."""
        match constant:
            case Literal(sought):
                return _compared(value, word, sought)
            case Pattern(text) if word == "matches":
                return compile_regex(text.decode("ascii")).search(value) is not None
            case Pattern(text):
                return _wild(text, value) if word == "strict wildcard" else _wild(text.lower(), value.lower())
            case OneOf(items):
                return any(_in_item(value, item) for item in items)
            case Listed(name):
                listed = self.definitions.lists[name]
                if isinstance(value, bytes):
                    return value in listed.words or any(value.endswith(suffix) for suffix in listed.suffixes)
                return in_networks(listed.networks, value) if isinstance(value, tuple) else value in listed.numbers
        raise AssertionError(constant)


def _has_each(node: Node) -> bool:
    while isinstance(node, Index | Each):
        if isinstance(node, Each):
            return True
        node = node.value
    return False


def _at(container: Any, key: int | bytes) -> Any:
    if isinstance(key, bytes):
        return container.get(key)
    return list(container)[key] if key < len(container) else None


def _elements(container: Any) -> list[Any]:
    return [container[key] for key in container] if hasattr(container, "keys") else list(container)


def _called(name: str, arguments: list[Any]) -> Any:
    function = FUNCTIONS[name]
    if not function.takes_missing and any(argument is None for argument in arguments):
        return None
    return function.call(*arguments)


def _joined(word: str, found: list[bool]) -> bool:
    return {"and": all(found), "or": any(found), "xor": sum(found) % 2 == 1}[word]


def _compared(value: Any, word: str, sought: Any) -> bool:
    comparable = not isinstance(value, tuple) or value[0] == sought[0]
    match word:
        case "eq":
            return bool(value == sought)
        case "ne":
            return bool(value != sought)
        case "lt":
            return bool(comparable and value < sought)
        case "le":
            return bool(comparable and value <= sought)
        case "gt":
            return bool(comparable and value > sought)
        case "ge":
            return bool(comparable and value >= sought)
        case "&":
            return bool(value & sought)
    assert word == "contains"
    return sought in value


def _in_item(value: Any, item: Any) -> bool:
    if isinstance(item, bytes):
        return bool(value == item)
    if isinstance(item, Range):
        return bool(value[0] == item.version and item.first <= value[1] <= item.last)
    return bool(item[0] <= value <= item[1])


def _wild(pattern: bytes, value: bytes) -> bool:
    r"""Whether a value matches a wildcard; ``\*`` and ``\\`` are themselves."""
    if not pattern:
        return not value
    if pattern[:1] == b"*":
        return any(_wild(pattern[1:], value[n:]) for n in range(len(value) + 1))
    wanted = pattern[1:2] if pattern[:1] == b"\\" else pattern[:1]
    return value[:1] == wanted and _wild(pattern[2 if pattern[:1] == b"\\" else 1 :], value[1:])
