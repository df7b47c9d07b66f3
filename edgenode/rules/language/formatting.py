"""Trees of expressions as text, in one spelling.

Law: ``parse(format(tree)) == tree``, and equal trees have one text.
"""

from __future__ import annotations

import ipaddress
import re
from itertools import repeat

from edgenode.rules.language.functions import SPELLINGS
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
)
from edgenode.rules.language.operators import PRECEDENCE, QUANTIFIERS
from edgenode.rules.language.types import IP
from edgenode.rules.networks import Range

_MOST_MARKS = 255
_MARKS = re.compile('"(#*)')
_BEYOND_CLASSES = re.compile(r'\\.|\[(?:\\.|[^\]\\])*\]|(")', re.DOTALL)
_FAMILIES = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}
_BITS = {4: 32, 6: 128}


def format(node: Node) -> str:
    """The canonical text of a tree, or of a part of one."""
    match node:
        case FieldValue():
            return node.name
        case Index(value=FieldValue(name=name), key=bytes(spelt)) if name in SPELLINGS:
            return f"{SPELLINGS[name]}({text(spelt)})"
        case Index():
            key = text(node.key) if isinstance(node.key, bytes) else str(node.key)
            return f"{format(node.value)}[{key}]"
        case Each():
            return f"{format(node.value)}[*]"
        case Literal():
            return _literal(node)
        case Call():
            argument = _condition if node.function in QUANTIFIERS else _argument
            return f"{node.function}({', '.join(map(argument, node.arguments))})"
        case Comparison():
            return f"{format(node.value)} {node.operator} {_constant(node.operator, node.constant)}"
        case Negation():
            return f"not {_within(node.condition, max(PRECEDENCE.values()) + 1)}"
        case Junction():
            binding = PRECEDENCE[node.operator] + 1
            return f" {node.operator} ".join(map(_within, node.conditions, repeat(binding)))


def text(value: bytes) -> str:
    r"""A string literal: UTF-8 as it is, all that cannot be seen as ``\xHH``."""
    return '"' + "".join(map(_character, value.decode("utf-8", "surrogateescape"))) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def _regex(value: str) -> str:
    """A regular expression as a raw string, with as many ``#`` as it takes; as no other if there cannot be so many."""
    ends = _MARKS.findall(value)
    count = 1 + max(map(len, ends)) if ends else 0
    if count > _MOST_MARKS:  # then it was not written as one, and has no \" outside of classes
        return '"' + _BEYOND_CLASSES.sub(lambda match: '\\"' if match[1] else match[0], value) + '"'
    marks = "#" * count
    return f'r{marks}"{value}"{marks}'


def _within(condition: Node, binding: int) -> str:
    """A condition inside another, in parentheses if it binds less tightly."""
    if isinstance(condition, Junction) and PRECEDENCE[condition.operator] < binding:
        return f"({format(condition)})"
    return format(condition)


def _argument(argument: Node) -> str:
    """An argument may be a value or one comparison; anything more stands in parentheses."""
    return f"({format(argument)})" if isinstance(argument, Junction | Negation) else format(argument)


def _condition(argument: Node) -> str:
    """The argument of a quantifier: a condition, so a value with ``[*]`` is none without parentheses."""
    return (
        f"({format(argument)})" if isinstance(argument, Each | Index) and each_count(argument) else _argument(argument)
    )


def _literal(literal: Literal) -> str:
    value = literal.value
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if literal.type == IP and isinstance(value, tuple):
        return _address(*value)
    return str(value)


def _constant(operator: str, constant: Literal | Pattern | OneOf | Listed) -> str:
    match constant:
        case Literal():
            return _literal(constant)
        case Pattern():
            return _regex(constant.text.decode("utf-8")) if operator == "matches" else text(constant.text)
        case OneOf():
            return f"{{{' '.join(map(_item, constant.items))}}}"
        case Listed():
            return f"${constant.name}"


def _item(item: bytes | tuple[int, int] | Range) -> str:
    if isinstance(item, bytes):
        return text(item)
    if isinstance(item, Range):
        return address_range(item)
    lowest, highest = item
    return str(lowest) if lowest == highest else f"{lowest}..{highest}"


def address_range(found: Range) -> str:
    """An address, a network in CIDR notation, or ``first..last``."""
    first, size = _address(found.version, found.first), found.last - found.first + 1
    if size == 1:
        return first
    if size & (size - 1) == 0 and found.first % size == 0:
        return f"{first}/{_BITS[found.version] - size.bit_length() + 1}"
    return f"{first}..{_address(found.version, found.last)}"


def _address(version: int, number: int) -> str:
    return str(_FAMILIES[version](number))
