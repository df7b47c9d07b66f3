"""What ``$`` is in rules on text that a client has encoded: what it is to PCRE, and so to many servers. And which
expressions are but words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.rules.regexes import check_regex, compile_regex, ending_as_in_pcre, words

PIECES = ("a", "b", r"\$", "[$a]", r"[\]$b]", "[^$]", "(?:^|b)", "a*", ".", r"\n", "[]$]", "[^]a]")
ENDS = ("$", "(?:a|$)", "(?:b$|a)", "(a$)?", "$$", "")


@given(st.lists(st.sampled_from(PIECES), max_size=4), st.sampled_from(ENDS), st.text("ab$]\n", max_size=5))
def test_a_dollar_matches_where_it_does_for_python_which_has_it_as_pcre_does(
    pieces: list[str], end: str, text: str
) -> None:
    """At the end, and in front of a last line feed; within a class or behind a backslash it is a character.

    RE2 cannot look ahead: what an expression has behind its ``$``, which nobody writes, would have to match behind the
    line feed.
    """
    pattern, value = "".join((*pieces, end)), text.encode()
    found = compile_regex(ending_as_in_pcre(pattern)).search(value)
    assert (found is not None) == (re.search(pattern.encode(), value, re.DOTALL) is not None)


@pytest.mark.parametrize("pattern", [r"\Qa$\E", r"\Qa$", r"[[:alpha:]$]x", "[$]", r"\\\$", "a"])
def test_what_is_no_end_of_the_text_stays_as_it_is(pattern: str) -> None:
    """RE2's quotations and classes too, which Python does not have."""
    assert ending_as_in_pcre(pattern) == pattern


def test_at_the_ends_of_lines_a_dollar_goes_on_to_match() -> None:
    """``(?m)`` has a ``$`` in front of every line feed."""
    assert compile_regex(ending_as_in_pcre("(?m)a$")).search(b"a\nb") is not None


PARTS = ("(", "(?:", ")", "|", "GET", "a", r"\.", ".", "-", r"\d", "(?i)", r"\|", "*", "^", "$")
BEGINNINGS, ENDINGS = ("^", r"\A", "^(", "", "(?m)^"), ("$", r"\z", ")$", "", "$$")


@settings(max_examples=500)
@given(
    st.sampled_from(BEGINNINGS),
    st.lists(st.sampled_from(PARTS), max_size=4),
    st.sampled_from(ENDINGS),
    st.text("GETa.-|1\n", max_size=5),
)
def test_words_are_all_that_an_expression_matches(beginning: str, parts: list[str], ending: str, text: str) -> None:
    """An expression with words matches each of them, and nothing else."""
    pattern = "".join((beginning, *parts, ending))
    found = words(pattern)
    if not found:
        return
    check_regex(pattern)
    compiled = compile_regex(pattern)
    others = (other for word in found for other in (b"x" + word, word + b"\n", word[1:], word.lower()))
    for value in (text.encode(), *found, *others):
        assert (compiled.search(value) is not None) == (value in found), value


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("^GET$", (b"GET",)),
        ("^(TRACE|TRACK)$", (b"TRACE", b"TRACK")),
        (r"\A(?:www|api)\.example\.com\z", ()),
        (r"^www\.example\.com$", (b"www.example.com",)),
        ("^GET|HEAD$", ()),
        ("(?i)^GET$", ()),
        ("^(GET|)$", ()),
        ("GET$", ()),
    ],
)
def test_the_words_of_an_expression(pattern: str, expected: tuple[bytes, ...]) -> None:
    """Whole texts in a fixed case are words; what can be anything, or part of a text, is none."""
    assert words(pattern) == expected
