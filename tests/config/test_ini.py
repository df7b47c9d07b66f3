"""The notation of the INI file: what is a section, a key and a value, and how every fault of it is reported."""

from __future__ import annotations

import configparser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.config import ini

KINDS = ("edge", "origin", "listener")


def read(text: str) -> tuple[list[ini.IniSection], list[str]]:
    """The sections of a text and its problems as they are printed."""
    sections, problems = ini.read(text, KINDS)
    return sections, list(map(str, problems))


def test_sections_keep_order_case_and_lines() -> None:
    """Sections and keys stay in order and keep their case; an indented line continues a value."""
    sections, problems = read("[origin Shop]\nb = 1\n  2\n\n  # a comment\n  3\nA = x = y # z\n[edge]\n")
    assert problems == []
    assert [section.header for section in sections] == ["origin Shop", "edge"]
    assert list(sections[0].values.items()) == [("b", "1\n2\n\n3"), ("A", "x = y # z")]


def test_percent_signs_and_default_sections_mean_nothing() -> None:
    """There is no interpolation, and ``[DEFAULT]`` is a section like any other."""
    sections, problems = read("[DEFAULT]\na = 1\n[edge]\nb = %(a)s ${a}\n")
    assert problems == []
    assert [(section.header, dict(section.values)) for section in sections] == [
        ("DEFAULT", {"a": "1"}),
        ("edge", {"b": "%(a)s ${a}"}),
    ]


FAULTS = {
    "garbage before the first section": (
        "hello\nname = 1\n[edge]\n",
        ["line 1: expected [kind name] or, below such a header, key = value\n    hello\n    ^"],
    ),
    "a line without =": (
        "[edge]\nname\n",
        ["line 2: expected [kind name] or, below such a header, key = value\n    name\n    ^"],
    ),
    "an empty key": (
        "[edge]\n = 1\n",
        ["line 2: expected [kind name] or, below such a header, key = value\n     = 1\n     ^"],
    ),
    "an unfinished header": (
        "[edge]\nname = 1\n[origin x\nname = 1\n",
        ["line 3: expected [kind name] or, below such a header, key = value\n    [origin x\n    ^"],
    ),
    "text behind a header": (
        "[edge] hello\nname = 1\n",
        ["line 1: expected [kind name] or, below such a header, key = value\n    [edge] hello\n    ^"],
    ),
    "a key behind a header": (
        "[edge]\n[origin a] name = 1\n",
        ["line 2: expected [kind name] or, below such a header, key = value\n    [origin a] name = 1\n    ^"],
    ),
    "a key written twice": (
        "[edge]\nname = 1\nname = 2\n  3\nname = 4\n",
        ["[edge] name: line 3: the key is written twice", "[edge] name: line 5: the key is written twice"],
    ),
    "a section written twice": (
        "[edge]\nname = 1\n[edge]\nname = 2\n",
        ["[edge]: line 3: the section is written twice"],
    ),
    "a section written twice with other spaces": (
        "[origin a]\nname = 1\n[ origin  a ]\nname = 2\n",
        ["[origin a]: the section is written twice"],
    ),
    "a header of three words": (
        "[origin a b]\n",
        ["[origin a b]: a header is [kind name], and a name is a single word"],
    ),
    "a name that cannot be listed": (
        "[origin a,b]\n",
        ["[origin a,b]: a name consists of ASCII letters, digits, '.', '_' and '-', and begins with a letter or digit"],
    ),
    "an indented header": (
        "[edge]\nname =\n  x\n  [origin a]\n",
        ["line 4: a section's header may not be indented\n      [origin a]\n      ^"],
    ),
    "a control character": (
        "[edge]\nname = a\x00b\n",
        ["line 2: the control character U+0000 is not allowed\n    name = a\ufffdb\n            ^"],
    ),
    "a carriage return within a line": (
        "[edge]\nname = a\rname = b\r\n",
        ["line 2: the control character U+000D is not allowed\n    name = a\ufffdname = b\n            ^"],
    ),
    "a line that reads backwards": (
        "[edge]\n# \u202ereversed\n",
        ["line 2: the control character U+202E is not allowed\n    # \ufffdreversed\n      ^"],
    ),
}


@pytest.mark.parametrize(("text", "printed"), FAULTS.values(), ids=FAULTS)
def test_every_fault_is_reported_with_its_line(text: str, printed: list[str]) -> None:
    """Each fault of the notation is one problem, and it points at the place."""
    assert read(text)[1] == printed


def test_all_faults_are_reported_at_once() -> None:
    """A fault does not hide the next one."""
    text = "x\n[edge]\na = 1\na = 2\nnonsense\n[edge]\n[origin]\nb\x07 = 1\n[origin a b]\n"
    assert len(read(text)[1]) == 6


def test_bytes_that_are_not_utf_8_are_reported_with_their_line() -> None:
    """Every line that is not UTF-8 is a problem; the others are read all the same."""
    text, problems = ini.decode(b"\xef\xbb\xbf[edge]\r\n# M\xfcnchen\r\nname = \xc3\xbc\n# \xff\n")
    assert text == "[edge]\r\n# M\ufffdnchen\r\nname = ü\n# \ufffd\n"
    assert list(map(str, problems)) == [
        "line 2: not UTF-8\n    # M\ufffdnchen\n       ^",
        "line 4: not UTF-8\n    # \ufffd\n      ^",
    ]


LINES = st.sampled_from(
    ["[edge]", "[origin a]", "[origin b]", "a = 1", "b = 2", "  c = 3", "  x", "# y", "  # z", "", "d ="]
)


@given(st.lists(LINES))
def test_what_has_no_problems_is_read_as_configparser_reads_it(lines: list[str]) -> None:
    """A text without problems means what Python's ``configparser`` says it means."""
    text = "\n".join(["[edge]", *lines])
    sections, problems = ini.read(text, ())
    theirs = configparser.RawConfigParser(
        delimiters=("=",), comment_prefixes=("#",), interpolation=None, empty_lines_in_values=True
    )
    theirs.optionxform = str  # type: ignore[method-assign, assignment]
    try:
        theirs.read_string(text)
    except configparser.Error:
        assert problems
    else:
        assert not problems
        assert {section.header: dict(section.values) for section in sections} == {
            header: dict(theirs.items(header)) for header in theirs.sections()
        }


@given(st.text(alphabet=st.sampled_from("[]=# \n\tab\x00\r\u2028")) | st.text())
def test_any_text_is_read_or_has_problems(text: str) -> None:
    """Reading never raises, whatever the text."""
    ini.read(text, KINDS)


@given(st.binary())
def test_any_bytes_are_decoded_or_have_problems(data: bytes) -> None:
    """Decoding never raises, and what it returns without a problem is exactly the text."""
    text, problems = ini.decode(data)
    assert problems or text.encode() == data.removeprefix(b"\xef\xbb\xbf")
