"""Comparisons of values as conditions of DuckDB.

Law: texts are compared byte by byte, as in rules: of a text whose characters are not bytes, a comparison that counts
them is known only of ASCII. An address is its 32 hexadecimal digits, which are in the order of the addresses, with IPv4
as a part of IPv6; but addresses of two families are neither equal nor in any order.
"""

from __future__ import annotations

from edgenode.observe.journal.columns import MAPPED
from edgenode.observe.journal.field_values import Sql, literal
from edgenode.rules.language.dialect import in_re2
from edgenode.rules.language.nodes import Comparison, Literal, Node, OneOf, Pattern
from edgenode.rules.language.patterns import wildcard
from edgenode.rules.networks import Range

_SIGNS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


class Untranslatable(Exception):
    """A part of an expression has no counterpart in DuckDB."""


# -- texts -------------------------------------------------------------------------------------------------------------


def both(*conditions: str) -> str:
    """All conditions in one, without those that are empty."""
    return " AND ".join(dict.fromkeys(f"({each})" for each in conditions if each))


def latin1(text: bytes) -> str:
    """Bytes as characters, one for each."""
    return text.decode("latin-1")


def utf8(text: bytes) -> str | None:
    """Bytes as characters; ``None`` if they are none, which no text of a column can be."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return None


def as_octets(value: Sql) -> Sql:
    """A text of which a character is a byte; of other characters nothing is known."""
    if value.octets:
        return value
    return Sql(value.text, True, both(value.known, f"strlen({value.text}) = length({value.text})"))


def written_text(node: Node, octets: bool) -> str:
    """A literal text, in the characters that it is compared in."""
    assert isinstance(node, Literal), "all others are values"
    assert isinstance(node.value, bytes), "these are texts"
    return literal(latin1(node.value) if octets else utf8(node.value) or "")


def on_text(value: Sql, node: Comparison) -> tuple[str, Sql]:
    """A comparison of a text, and the value with what has to be known of it."""
    match node.operator, node.constant:
        case "in", OneOf(items=items):
            decode = latin1 if value.octets else utf8
            texts = [decode(item) for item in items if isinstance(item, bytes)]
            written = [literal(text) for text in texts if text is not None]
            return (f"{value.text} IN ({', '.join(written)})" if written else "FALSE"), value
        case "matches", Pattern(text=text):
            value, pattern = as_octets(value), in_re2(text.decode("latin-1"))
            if "\\C" in pattern:  # of a character of several bytes it would be one
                raise Untranslatable
            return _matches(value, f"(?s){pattern}"), value
        case ("wildcard" | "strict wildcard") as word, Pattern(text=text):
            value = value if text.isascii() else as_octets(value)
            return _matches(value, wildcard(text, strict=word == "strict wildcard")), value
        case word, Literal(value=bytes(sought)):
            text_of = latin1(sought) if value.octets else utf8(sought)
            if text_of is None:
                value, text_of = as_octets(value), latin1(sought)
            written_of = literal(text_of)
            return (
                f"contains({value.text}, {written_of})"
                if word == "contains"
                else f"{value.text} {_SIGNS[word]} {written_of}"
            ), value
    raise AssertionError("the checker lets nothing else be compared with a text")


def _matches(value: Sql, pattern: str) -> str:
    return f"regexp_matches({value.text}, {literal(pattern)})"


def on_number(value: str, node: Comparison) -> str:
    """A comparison of a number."""
    match node.operator, node.constant:
        case "in", OneOf(items=items):
            ranges = (item for item in items if isinstance(item, tuple))
            return " OR ".join(f"{value} BETWEEN {item[0]} AND {item[1]}" for item in ranges) or "FALSE"
        case "&", Literal(value=int(number)):
            return f"({value} & CAST({number} AS BIGINT)) <> 0"
        case word, Literal(value=int(number)):
            return f"{value} {_SIGNS[word]} {number}"
    raise AssertionError("the checker lets nothing else be compared with a number")


# -- addresses ---------------------------------------------------------------------------------------------------------


def on_address(digits: str, node: Comparison) -> str:
    """A comparison of an address.

    :param digits: the expression of :func:`edgenode.observe.journal.columns.hexadecimal`.
    """
    match node.operator, node.constant:
        case "in", OneOf(items=items):
            return " OR ".join(_within(digits, each) for each in items if isinstance(each, Range)) or "FALSE"
        case word, Literal(value=(version, number)):
            test = f"{digits} {_SIGNS[word]} {_written(version, number)}"
            return test if word in ("eq", "ne") else f"({test} AND {_of_family(digits, version)})"
    raise AssertionError("the checker lets nothing else be compared with an address")


def _within(digits: str, block: Range) -> str:
    version, first, last = block
    test = f"{digits} BETWEEN {_written(version, first)} AND {_written(version, last)}"
    return f"({test} AND {_of_family(digits, version)})"


def _of_family(digits: str, version: int) -> str:
    return f"{'' if version == 4 else 'NOT '}starts_with({digits}, '{MAPPED}')"


def _written(version: int, number: int) -> str:
    return f"'{MAPPED}{number:08x}'" if version == 4 else f"'{number:032x}'"
