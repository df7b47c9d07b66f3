"""Comparisons of one value that is there with a constant.

Law: bytes are compared byte by byte, and addresses of two families are neither equal nor in any order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from edgenode.model.errors import InvalidValue
from edgenode.rules.definitions import Definitions
from edgenode.rules.language.dialect import in_re2
from edgenode.rules.language.nodes import Comparison, Listed, Literal, OneOf, Pattern, element_type
from edgenode.rules.language.patterns import wildcard
from edgenode.rules.language.types import Type
from edgenode.rules.lists import TYPES, Members
from edgenode.rules.networks import Range
from edgenode.rules.regexes import compile_regex

Test = Callable[[Any], bool]

_ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}


def test(node: Comparison, definitions: Definitions) -> Test:
    """How to compare one value that is there.

    :raises InvalidValue: if it names a list that there is not, with its column.
    """
    constant = node.constant
    match constant:
        case Literal():
            return _with_literal(node.operator, constant.value)
        case Pattern():
            return _with_pattern(node.operator, constant.text)
        case OneOf():
            return _in_set(constant)
        case Listed():
            return _in_list(members(constant, element_type(node.value), definitions))


def _with_literal(word: str, sought: Any) -> Test:
    if word == "contains":
        return lambda value: sought in value
    if word == "&":
        return lambda value: value & sought != 0
    compare = _ORDERINGS[word]
    if isinstance(sought, tuple) and word not in ("eq", "ne"):  # addresses of two families stand in no order
        version, number = sought
        return lambda value: value[0] == version and compare(value[1], number)
    return lambda value: compare(value, sought)


def _with_pattern(word: str, text: bytes) -> Test:
    written = in_re2(text.decode("latin-1")) if word == "matches" else wildcard(text, strict=word == "strict wildcard")
    search = compile_regex(written).search
    return lambda value: search(value) is not None


def _in_set(constant: OneOf) -> Test:
    blocks = [item for item in constant.items if isinstance(item, Range)]
    ranges = [item for item in constant.items if isinstance(item, tuple) and not isinstance(item, Range)]
    if blocks:
        return lambda value: any(
            value[0] == block.version and block.first <= value[1] <= block.last for block in blocks
        )
    if ranges:
        return lambda value: any(lowest <= value <= highest for lowest, highest in ranges)
    return frozenset(constant.items).__contains__


def _in_list(listed: Members) -> Test:
    lengths = sorted({len(suffix) for suffix in listed.suffixes})

    def is_member(value: Any) -> bool:
        if isinstance(value, bytes):
            return value in listed.words or any(value[-length:] in listed.suffixes for length in lengths)
        return value in (listed.networks if isinstance(value, tuple) else listed.numbers)

    return is_member


def members(listed: Listed, type: Type, definitions: Definitions) -> Members:
    """The members of a list that an expression names.

    :param type: of the values that are looked for in it.
    :raises InvalidValue: if there is no such list, or it is one of other values, with its column.
    """
    found = definitions.lists.get(listed.name)
    if found is None:
        raise InvalidValue(f"there is no [list {listed.name}]", listed.column)
    if found.type and TYPES[found.type].of != type:
        sentence = f"[list {listed.name}] is of type {found.type}, and cannot be compared with what is {type}"
        raise InvalidValue(sentence, listed.column)
    return found
