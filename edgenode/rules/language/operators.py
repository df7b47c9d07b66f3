"""The operators of the Rules language: how they are spelled, what they compare, and how tightly they bind."""

from __future__ import annotations

from collections.abc import Mapping

from edgenode.rules.language.types import BYTES, INT, IP, Type

COMPARING: Mapping[str, str] = {
    "in": "in",
    "eq": "eq", "==": "eq", "ne": "ne", "!=": "ne", "ge": "ge", ">=": "ge", "le": "le", "<=": "le",
    "gt": "gt", ">": "gt", "lt": "lt", "<": "lt",
    "&": "&", "bitwise_and": "&",
    "contains": "contains", "~": "matches", "matches": "matches",
    "wildcard": "wildcard", "strict wildcard": "strict wildcard",
}  # fmt: skip
"""The operators between a value and a constant, by each spelling; the first spelling that fits is read."""

_ORDERINGS = ("eq", "ne", "lt", "le", "gt", "ge")

COMPARING_OF: Mapping[Type, tuple[str, ...]] = {
    BYTES: (*_ORDERINGS, "contains", "wildcard", "strict wildcard", "matches", "in"),
    INT: (*_ORDERINGS, "&", "in"),
    IP: (*_ORDERINGS, "in"),
}
"""The operators for the values of each type that can be compared."""

JOINING: Mapping[str, str] = {"or": "or", "||": "or", "xor": "xor", "^^": "xor", "and": "and", "&&": "and"}
"""The operators between conditions, by each spelling."""

PRECEDENCE: Mapping[str, int] = {"or": 1, "xor": 2, "and": 3}
"""How tightly those bind; the higher, the tighter."""

NOT = ("not", "!")
QUANTIFIERS = ("any", "all")
