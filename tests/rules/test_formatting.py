"""Trees as text: one spelling, which is read as the same tree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from edgenode.rules.language.formatting import format
from edgenode.rules.language.nodes import Node
from edgenode.rules.language.parsing import parse
from tests.support.expressions import expressions


@settings(max_examples=200)
@given(expressions)
def test_what_is_formatted_is_read_as_the_same_tree(tree: Node) -> None:
    """``parse(format(tree)) == tree``, whatever the tree."""
    assert parse(format(tree)) == tree


@pytest.mark.parametrize(
    ("written", "formatted"),
    [
        (r'http.host eq "\x00\x1B\xE9é\x0A\u202e"'.replace(r"\u202e", "\u202e"), r'"\x00\x1B\xE9é\x0A\xE2\x80\xAE"'),
        (r'http.host matches "a\"#[\"#]"', r'r##"a"#[\"#]"##'),
        ('http.host matches "\\"' + "#" * 255 + '["]"', '"\\"' + "#" * 255 + '["]"'),
    ],
    ids=("characters that cannot be seen", "as many marks as it takes", "more marks than there may be"),
)
def test_texts_can_be_read_again(written: str, formatted: str) -> None:
    """A text shows what can be seen and escapes the rest; a pattern is raw, unless no raw text could hold it."""
    tree = parse(written)
    assert format(tree).split(" ", 2)[2] == formatted
    assert parse(format(tree)) == tree


def test_what_would_be_another_tree_stands_in_parentheses() -> None:
    """Parentheses stand where the tree needs them, also around a value with ``[*]`` that is a condition."""
    each = 'starts_with(http.request.headers.names[*], "a")[*]'
    for text in (
        "(ssl or ssl) and ssl",
        "(ssl and ssl) and ssl",
        "not (ssl xor ssl) xor ssl",
        f"any(({each}))",
        f"any(({each} or not {each}))",
        'to_string((ssl and ssl)) eq "true"',
    ):
        assert format(parse(text)) == text
        assert parse(format(parse(text))) == parse(text)
