"""Comparisons of addresses as conditions of DuckDB, which knows addresses as texts.

Law: it holds of the texts that a node writes, dotted IPv4 and RFC 5952's IPv6; of any other, such as that of a client
that is not known, the condition is ``NULL``: only the event itself can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edgenode.rules.language.nodes import Comparison, Literal, OneOf
from edgenode.rules.networks import Range

_SIGNS = {"eq": "=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_FAMILIES = 4, 6


def on_address(text: str, node: Comparison) -> str:
    """A comparison of an address.

    :param text: the expression of its text.
    :returns: a condition; ``NULL`` if nobody knows, false if there is no address.
    """
    narrow, wide = _NUMBER.format(text), f"({_HEXADECIMAL.format(text)})"
    of_narrow = _condition(node, 4, lambda number: str(number), narrow)
    of_wide = _condition(node, 6, lambda number: f"'{number:032x}'", wide)
    if of_narrow == "TRUE":
        of_narrow = f"CASE WHEN {narrow} IS NOT NULL THEN TRUE END"
    return (
        f"CASE WHEN {text} IS NULL THEN FALSE WHEN contains({text}, ':') THEN "
        f"CASE WHEN regexp_full_match({text}, '[0-9a-f:]+') AND NOT starts_with({text}, '::ffff:') THEN {of_wide} END "
        f"WHEN {text} = 'unknown' THEN NULL ELSE {of_narrow} END"
    )


_NUMBER = "({})".format(
    " + ".join(f"TRY_CAST(split_part({{0}}, '.', {place}) AS UBIGINT) * {256 ** (4 - place)}" for place in (1, 2, 3, 4))
)
"""The number of an IPv4 address; ``NULL`` of what is none."""


def _groups(part: str) -> str:
    """The groups of an IPv6 address, or of a part of one, each with four digits; of nothing they are four zeros."""
    return f"array_to_string(list_transform(string_split({part}, ':'), lambda x: lpad(x, 4, '0')), '')"


_LEFT, _RIGHT = (_groups(f"split_part({{0}}, '::', {place})") for place in (1, 2))
_HEXADECIMAL = (
    f"CASE WHEN contains({{0}}, '::') THEN {_LEFT} || repeat('0', 32 - length({_LEFT}) - length({_RIGHT})) || {_RIGHT} "
    f"ELSE {_groups('{0}')} END"
)
"""An IPv6 address in 32 hexadecimal digits, which are in the order of the addresses."""


def _condition(node: Comparison, version: int, written: Callable[[int], str], value: str) -> str:
    """The condition on an address of a family."""
    match node.operator, node.constant:
        case "in", OneOf(items=items):
            return _in_ranges((each for each in items if isinstance(each, Range)), version, written, value)
        case "ne", Literal(value=(other, number)):
            return "TRUE" if other != version else f"{value} <> {written(number)}"
        case word, Literal(value=(other, number)):
            return "FALSE" if other != version else f"{value} {_SIGNS[word]} {written(number)}"
    raise AssertionError("the checker lets nothing else be compared with an address")


def _in_ranges(ranges: Iterable[Range], version: int, written: Callable[[int], str], value: str) -> str:
    conditions = [
        f"{value} BETWEEN {written(first)} AND {written(last)}" for of, first, last in ranges if of == version
    ]
    return " OR ".join(conditions) or "FALSE"
