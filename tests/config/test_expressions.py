"""Expressions in the file: over several lines, with # in their texts, and every fault at its place."""

from __future__ import annotations

import pathlib

import pytest

from edgenode.config import ini, schema
from edgenode.config.load import Configuration
from edgenode.config.notation import notation
from edgenode.config.value_readers import Scope
from edgenode.model.errors import ConfigurationError
from edgenode.rules.language.expressions import Expression
from edgenode.rules.sections import Section

SCOPE = Scope(pathlib.Path(), names={"list": ("office", "bots")})


def read(text: str) -> tuple[str | None, list[str]]:
    """The canonical text of the expression in these lines, and the problems as they are printed."""
    sections, problems = ini.read(f"[section x]\n{text}", ("section",))
    assert problems == []
    value, problems = schema.read(sections[0], Section, SCOPE)
    return None if value is None else str(value.expression), list(map(str, problems))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ('expression = http.host == "a"', 'http.host eq "a"'),
        ('expression = http.host eq " # a" and http.host ne "#"', 'http.host eq " # a" and http.host ne "#"'),
        ('expression = http.host eq r#"a" # "b"# or ssl', r'http.host eq "a\" # \"b" or ssl'),
        ("expression =\n  ssl\n  # why\n\n  and not ssl\n", "ssl and not ssl"),
        ("expression = ssl and\n  ip.src == 192.0.2.1\n  or ssl", "ssl and ip.src eq 192.0.2.1 or ssl"),
    ],
    ids=("with =", "with #", "raw", "comments", "a line like a key"),
)  # fmt: skip
def test_an_expression_is_read_as_it_is_written(text: str, canonical: str) -> None:
    """Comments and blank lines may stand between its lines; ``#`` in a text and ``==`` are part of it."""
    assert read(text) == (canonical, [])


FAULTS = {
    "on one line": (
        "expression = http.host eq true",
        '[section x] expression: expected a text (Bytes): "...", r"...", or bytes in hexadecimal such as 61:62\n'
        "    http.host eq true\n"
        "                 ^",
    ),
    "on one of several": (
        'expression =\n    ssl\n    and http.hots eq "a"\n    and ssl',
        "[section x] expression: there is no field http.hots; did you mean http.host? (line 3 of the value, column 5)\n"
        '    and http.hots eq "a"\n'
        "        ^",
    ),
    "a pattern": (
        'expression = ssl and\n  http.host matches "a\\"(b"',
        '[section x] expression: not a regular expression of RE2: missing ): a"(b (line 2 of the value, column 23)\n'
        '    http.host matches "a\\"(b"\n'
        "                          ^",
    ),
    "a text that goes on": (
        'expression = http.host in {"a\n  b"}',
        '[section x] expression: this text is not closed on its line: " is missing, or a line feed is not \\x0A '
        "(line 1 of the value, column 15)\n"
        '    http.host in {"a\n'
        "                  ^",
    ),
    "an unknown list": (
        "expression = ip.src in $office\n  or ip.src in $ofice",
        '[section x] expression: there is no [list ofice]; did you mean "office"? (line 2 of the value, column 14)\n'
        "    or ip.src in $ofice\n"
        "                 ^",
    ),
    "a comment behind it": (
        "expression = ssl # always",
        "[section x] expression: a comment stands on a line of its own, and begins it\n    ssl # always\n        ^",
    ),
    "nothing": ("expression =", "[section x] expression: an expression is missing"),
    "a key below it": (
        "expression = ssl\n  relation = or",
        "[section x] expression: the key relation may not be indented deeper than the key above it "
        "(line 2 of the value, column 1)\n    relation = or\n    ^",
    ),
    "too long": (
        f'expression = http.host eq "{"a" * 4096}"',
        "[section x] expression: an expression has at most 4096 characters; this has 4111\n"
        f'    http.host eq "{"a" * 4096}"\n    {" " * 4096}^',
    ),
}


@pytest.mark.parametrize(("text", "printed"), FAULTS.values(), ids=FAULTS)
def test_every_fault_is_printed_with_its_place(text: str, printed: str) -> None:
    """A fault names section and key, and shows the line with a caret; of several lines it says which."""
    assert read(text) == (None, [printed])


def test_an_expression_is_written_as_it_is_read() -> None:
    """What the notation writes is read as the same value, with the white space in its texts."""
    known = notation(Expression | None)
    value = Expression.from_text('http.host eq "a  #b"')
    assert known.parse(known.write(value), SCOPE) == (value, [])


def test_a_list_that_cannot_be_read_is_reported_once(tmp_path: pathlib.Path) -> None:
    """An expression may name a list whose section is wrong: only the section is reported."""
    text = "[list office]\ntype = apes\nitems = 1\n[global-filter x]\ntags = x\nexpression = ip.src in $office\n"
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_text(text, tmp_path, {})
    assert {problem.section for problem in caught.value.problems} == {"", "list office"}
