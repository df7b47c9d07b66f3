"""What our parser accepts and what Cloudflare's own does, wirefilter: the same, but for differences that are named."""

from __future__ import annotations

import re
from typing import Any

import octorules_wirefilter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.formatting import format
from edgenode.rules.language.functions import FUNCTIONS, REFUSED
from edgenode.rules.language.nodes import (
    Call,
    Comparison,
    FieldValue,
    Index,
    Junction,
    Literal,
    Negation,
    Node,
    OneOf,
    Pattern,
    walk,
)
from edgenode.rules.language.parsing import parse
from tests.support.expressions import Trees
from tests.support.language_examples import CANONICAL, OTHERWISE, SPELLED, WRONG

WRONG_SIGNATURES = {
    "encode_base64": "it refuses a literal",
    "has_key": "it refuses a key that is computed",
    "has_value": "it refuses a value that is computed, and maps",
    "hash_in_range": "it refuses Bool",
    "is_timed_hmac_valid_v0": "it wants a field for the key, which is a literal",
    "len": "it refuses arrays",
    "lookup_json_integer": "it refuses a second step, and an index",
    "lookup_json_string": "it refuses a second step, and an index",
    "regex_replace": "it refuses a literal",
    "remove_bytes": "it refuses bytes that are computed",
    "sha256": "it refuses a literal",
    "substring": "it wants the end, and refuses indexes that are computed",
    "to_string": "it refuses Bool and Ip",
    "url_decode": "it refuses options",
}
"""Functions of which the oracle does not have the signature that is documented; among the examples they are, too."""

DIFFERENCES = {
    "true": "a whole expression may be true, as at Cloudflare",
    "nothing": "no expression is an error, not one that is always true",
    "regex": "regular expressions are RE2's; what Rust's engine reads otherwise is refused",
    "stars": "a wildcard may have more than ten stars, as in wirefilter's source",
    "line": "a text does not go over a line's end: in the file its indentation would be lost, and lines with #",
    "shorthand": "10/8 and 192.0.2.01 are no addresses: readers differ about them",
    "mapped": "a range does not run from IPv6 into the IPv4-mapped addresses, which are IPv4 here",
    "bytes": "61-62 and 61.62 are bytes, as in wirefilter's source",
    "plus": "+5 is no number in hexadecimal",
    "hexadecimal": "0x10 is a number in arguments, too",
    "keys": "the key of a map may be any bytes",
    "depth": "conditions in one another count, too, where no parentheses are between them",
    "literals": "the literals in the arguments of functions are checked",
    "here": "some functions are none here",
    "signature": "see WRONG_SIGNATURES",
}
"""What is accepted by one and refused by the other on purpose, and why."""

OURS = {
    "nothing": "an expression is missing",
    "regex": r"not a regular expression of RE2|text is matched byte by byte|^in a class, |^a class has|^write \\b for",
    "line": "this text is not closed on its line",
    "shorthand": "^expected an address or a network|^the length of the prefix",
    "mapped": "^a range runs between two addresses of one family",
    "plus": "^in a text a backslash|^expected one more byte|^expected a text",
    "depth": "stand at most 160 deep",
    "literals": r"^argument \d+ of \w+: |^there is no \$|^the second number must|^expected http.request.uri.query"
    "|do not stand inside one another",
    "here": f"^there is no function (?:{'|'.join(REFUSED)}) here",
}
"""The sentences of ours that stand for a difference."""

THEIRS = {
    "regex": "regex parse error",
    "stars": "star metacharacters",
    "bytes": "expected byte separator|while parsing with radix 16|expected 1 characters",
    "hexadecimal": "unknown identifier",
}
"""The sentences of the oracle that do."""


def oracle(text: str) -> str:
    """Why wirefilter refuses an expression, empty if it does not."""
    found: Any = octorules_wirefilter.parse_expression(text)
    return str(found.get("error", ""))


def ours(text: str) -> str:
    """Why we refuse it, likewise."""
    try:
        parse(text)
    except InvalidValue as problem:
        return problem.sentence
    return ""


def _keys(text: str) -> list[bytes]:
    return [node.key for node in walk(parse(text)) if isinstance(node, Index) and isinstance(node.key, bytes)]


def _is_utf8(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def difference(text: str) -> str:
    """The name of the difference that an expression shows; empty if both agree, ``?`` if none is known."""
    we, they = ours(text), oracle(text)
    if bool(we) == bool(they):
        return ""
    if text.strip() == "true":
        return "true"
    if they and not all(map(_is_utf8, _keys(text))):
        return "keys"
    sentence, names = (we, OURS) if we else (they, THEIRS)
    found = [name for name, pattern in names.items() if re.search(pattern, sentence)]
    if "plus" in found and not re.search(r"\\x\+|\+[0-9a-fA-F][:.-]|[:.-]\+[0-9a-fA-F]", text):
        found.remove("plus")
    return found[0] if found else "?"


def read_by_the_oracle(text: str) -> tuple[Any, ...]:
    """What the oracle finds in an expression: fields, functions, operators, texts, patterns and numbers, each once."""
    found: Any = octorules_wirefilter.parse_expression(text)
    names = ("fields", "functions", "operators", "string_literals", "regex_literals", "int_literals")
    return tuple(set(found[name]) for name in names)


def read_by_us(text: str) -> tuple[Any, ...]:
    """The same of ours, with its names for operators."""
    nodes = list(walk(parse(text)))
    compared = [node for node in nodes if isinstance(node, Comparison)]
    sets = [item for node in compared if isinstance(node.constant, OneOf) for item in node.constant.items]
    literals = [node.value for node in (*nodes, *(each.constant for each in compared)) if isinstance(node, Literal)]
    patterns = [(node.operator, node.constant.text) for node in compared if isinstance(node.constant, Pattern)]
    texts = [each for each in (*literals, *sets) if isinstance(each, bytes)]
    operators = {_OPERATORS.get(node.operator, node.operator) for node in compared}
    operators |= {node.operator for node in nodes if isinstance(node, Junction)}
    return (
        {node.name for node in nodes if isinstance(node, FieldValue)},
        {node.function for node in nodes if isinstance(node, Call)},
        operators | {"not" for node in nodes if isinstance(node, Negation)},
        {each.decode(errors="replace") for each in (*texts, *(text for word, text in patterns if word != "matches"))},
        {text.decode() for word, text in patterns if word == "matches"},
        {each for each in literals if isinstance(each, int)}.union(*filter(_is_numbers, sets)),
    )


_OPERATORS = {"&": "bitwise_and", "strict wildcard": "strict_wildcard"}


def _is_numbers(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2


COMMON = [name for name in FIELDS if "unknown identifier" not in oracle(name)]
TREES = Trees(COMMON, [name for name in FUNCTIONS if name not in WRONG_SIGNATURES])

SPELLINGS = (
    (" eq ", "=="), (" ne ", " != "), (" lt ", "<"), (" le ", "<= "), (" gt ", " >"), (" ge ", ">="), (" and ", "&&"),
    (" or ", " || "), (" xor ", "^^"), ("not ", "!"), (" & ", " bitwise_and "), (" matches ", "~"), (", ", ","),
    (" ", "\n"), (" ", "  "), ("(", "( "), (")", " )"), ("[", "[ "), ("{", "{ "), ('"a"', "61:62"), ('"a"', 'r"a"'),
    (" in {", " in{"), ('"', ""), (")", ""), ("]", ""), ("}", ""), ("[*]", ""), ("[*]", "[0]"), ("any(", "all ("),
    ("eq", "contains"), ("eq", "in"), ("in ", "eq "), ("and", "xor"), (".", ".."), ("0", "08"), ("1", "-1"),
)  # fmt: skip
"""Other spellings, right and wrong."""

PIECES = (
    "(", ")", "[", "]", "[*]", "[0]", '["a"]', "{", "}", "$", "$a", '"', 'r"', "r#", "#", "\\", "\\x", "\\0", "*", ",",
    "/", "..", ".", ":", "-", "0", "0x", "7", "a", "f", " ", "\n", "\t", "not", "and", "or", "xor", "eq", "==", "!=",
    "in", "any(", "lower(", "ssl", "http.host", "ip.src", "1.1.1.1", "::1", "/8", "é", "=", "&", "|", "!", "~", "true",
)  # fmt: skip
"""What is put in."""

edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(PIECES)), max_size=3)
respellings = st.lists(st.tuples(st.sampled_from(SPELLINGS), st.integers(0, 3)), max_size=4)


def respelled(text: str, old: str, new: str, number: int) -> str:
    """A text with one occurrence of something replaced."""
    parts = text.split(old)
    if len(parts) < 2:
        return text
    at = 1 + number % (len(parts) - 1)
    return old.join(parts[:at]) + new + old.join(parts[at:])


@pytest.mark.parametrize("text", [*CANONICAL, *SPELLED, *WRONG])
def test_the_examples_are_accepted_or_refused_by_both(text: str) -> None:
    """Each expression by hand is accepted by both or refused by both, or shows the difference it is there for."""
    found, expected = difference(text), OTHERWISE.get(text, "")
    assert found == ("?" if expected == "signature" else expected)
    assert not expected or expected in DIFFERENCES
    if not ours(text) and not oracle(text) and len(text) < 200:  # it does not look into what is very deep
        assert read_by_us(text) == read_by_the_oracle(text)


def respelled_as_drawn(text: str, respellings: list[Any], edits: list[tuple[float, int, str]]) -> str:
    """A text spelled otherwise, and changed."""
    for (old, new), number in respellings:
        text = respelled(text, old, new, number)
    for where, count, piece in edits:
        at = round(where * len(text))
        text = text[:at] + piece + text[at + count :]
    return text


@settings(max_examples=150)
@given(TREES.expressions())
def test_what_we_accept_is_accepted(tree: Node) -> None:
    """Every tree over the fields and functions that both know is accepted by both."""
    text = format(tree)
    assert difference(text) in ("", "stars", "keys")
    if not oracle(text):
        assert read_by_us(text) == read_by_the_oracle(text)


@settings(max_examples=300)
@given(TREES.expressions(3), respellings, edits)
def test_what_is_spelled_otherwise_is_read_alike(
    tree: Node, respellings: list[Any], edits: list[tuple[float, int, str]]
) -> None:
    """Spelled otherwise, or with something changed, it is accepted by both or by none, and both find the same in it."""
    text = respelled_as_drawn(format(tree), respellings, edits)
    assert difference(text) != "?", (text, ours(text), oracle(text))
    if not ours(text) and not oracle(text):
        assert read_by_us(text) == read_by_the_oracle(text)
