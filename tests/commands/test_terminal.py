"""What a terminal is shown: no text of others steers it, and tables stay as wide as they may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.commands.terminal import cut, harmless, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CN=Müller, O=Łódź", "CN=Müller, O=Łódź"),
        ("a\x1b[2J\r\nb", r"a\x1b[2J\r\nb"),
        ("א", r"\u05d0"),  # from right to left
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("日", r"\u65e5"),  # two columns
        ("e\u0301", r"e\u0301"),  # none
        ("\x9b31m", r"\x9b31m"),
        ("\ud800\u2028", r"\ud800\u2028"),
    ],
)
def test_what_takes_another_room_than_a_column_is_escaped(text: str, shown: str) -> None:
    """Letters of other scripts stay what they are."""
    assert harmless(text) == shown


@given(st.lists(st.lists(st.text(max_size=40), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(30, 120))
def test_a_table_is_no_wider_than_it_may_be(rows: list[list[str]], width: int) -> None:
    """Each row is one line, and every column begins where it begins in the first."""
    lines = table(rows, width)
    assert len(lines) == len(rows)
    assert all(len(line) <= width and line.isprintable() for line in lines)


@given(st.text(max_size=20), st.integers(0, 20))
def test_what_is_cut_says_so(text: str, width: int) -> None:
    """With dots, if there is room for them."""
    found = cut(text, width)
    assert len(found) <= width
    assert found == text or found.endswith("..."[:width])
