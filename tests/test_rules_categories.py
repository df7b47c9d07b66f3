"""How entries are written: what is wrong is said with its column, and what is right reads back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.errors import InvalidValue
from edgenode.rules.categories import CATEGORIES, entry, format, parse
from edgenode.rules.fields import FIELDS
from edgenode.rules.sections import Entry
from edgenode.rules.sets import SETS
from tests.strategies import entries


@pytest.mark.parametrize(
    ("key", "value", "sentence", "column"),
    [
        ("pth", "x", "there is no category pth; did you mean path?", None),
        ("zzz", "x", "there is no category zzz; there are ip, method, path, authority, header, tag", None),
        ("path.x", "x", "path takes no name: write path", None),
        ("path.", "x", "path takes no name: write path", None),
        ("header", "x", "header needs a name: header.NAME", None),
        ("header.", "x", "header needs a name: header.NAME", None),
        ("header.user agent", "x", "user agent is no name of a header (RFC 9110, section 5.6.2)", None),
        ("path", "", "a value is missing", 0),
        ("path", "!", "a value is missing", 0),
        ("path", "!!x", r"a value is negated once; for a text that begins with ! write \!", 1),
        ("path", "a\nb", "a value is a single line", 1),
        ("path", "a #b", r"a # here would begin an annotation: write \#", 2),
        ("path", "#b", r"a # here would begin an annotation: write \#", 0),
        ("ip", "10.0.0.1/8", "host bits are set: the network is 10.0.0.0/8", 9),
        ("ip", "!10.0.0.1/8", "host bits are set: the network is 10.0.0.0/8", 10),
        ("ip", "10.0.0.0/33", "the length of the prefix is a number from 0 to 32", 9),
        ("ip", "10.0.0.0/255.0.0.0", "the length of the prefix is a number from 0 to 32", 9),
        ("ip", "10.0.0.0/", "the length of the prefix is a number from 0 to 32", 9),
        ("ip", "2001:db8::/129", "the length of the prefix is a number from 0 to 128", 11),
        ("ip", "10.0.0", "expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", 0),
        ("ip", "010.0.0.1", "expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", 0),
        ("ip", "fe80::1%eth0", "an address in a rule has no zone", 7),
        ("tag", "Team DevOps", "a tag has only a-z, 0-9, colons and hyphens; this one would be team-devops", 0),
        ("tag", "ip:1.2.3.4", "a tag has only a-z, 0-9, colons and hyphens; this one would be ip:1-2-3-4", 4),
        ("path", "(", "not a regular expression of RE2: missing ): (", 0),
        ("path", "(a)(b", "not a regular expression of RE2: missing ): (a)(b", 3),
        ("path", "  (a)(b", "not a regular expression of RE2: missing ): (a)(b", 5),
        ("path", "! (a)(b", "not a regular expression of RE2: missing ): (a)(b", 5),
        ("path", "ab[z-a]", "not a regular expression of RE2: invalid character class range: z-a", 3),
        ("path", "a**", "not a regular expression of RE2: bad repetition operator: **", 1),
        ("path", r"a(?=b)", "not a regular expression of RE2: invalid perl operator: (?=", 1),
        ("path", r"(a)\1", r"not a regular expression of RE2: invalid escape sequence: \1", 3),
        ("path", "a\\", "not a regular expression of RE2: trailing \\", 1),
        ("path", "a{1001}", "not a regular expression of RE2: invalid repetition size: {1001}", 1),
        ("path", "/café", r"text is matched byte by byte: write (?:\xC3\xA9) for é", 4),
        ("path", r"a\pL", "text is matched byte by byte: there are no Unicode classes", 1),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_with_its_column(
    key: str, value: str, sentence: str, column: int | None
) -> None:
    """Every mistake has its sentence, and a column that points at it in the value as given."""
    with pytest.raises(InvalidValue) as refused:
        entry(key, value)
    assert (refused.value.sentence, refused.value.column) == (sentence, column)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("header.User-Agent", " ^curl/ ", Entry("header", "user-agent", "^curl/")),
        ("path", r"\\pL", Entry("path", "", r"\\pL")),
        ("path", r"\!x", Entry("path", "", r"\!x")),
        ("path", r"a \#b", Entry("path", "", r"a \#b")),
        ("path", "a#b", Entry("path", "", "a#b")),
        ("ip", "10.0.0.1", Entry("ip", "", "10.0.0.1")),
        ("ip", "! 2001:db8::/32", Entry("ip", "", "! 2001:db8::/32")),
        ("tag", "protocol:https", Entry("tag", "", "protocol:https")),
    ],
)
def test_an_entry_keeps_its_value_as_written(key: str, value: str, expected: Entry) -> None:
    """A name is put into lower case, white space around a value goes, and nothing else changes."""
    assert entry(key, value) == expected


@pytest.mark.parametrize(
    ("value", "negated", "pattern"), [("x", False, "x"), ("!x", True, "x"), ("! x", True, "x"), (r"\!x", False, r"\!x")]
)
def test_an_exclamation_mark_in_front_negates(value: str, negated: bool, pattern: str) -> None:
    """What is looked for is the value without its negation."""
    found = entry("path", value)
    assert (found.negated, found.pattern) == (negated, pattern)


@given(entries())
def test_an_entry_reads_back_as_it_is_written(written: Entry) -> None:
    """``parse(*format(entry)) == entry``."""
    assert parse(*format(written)) == written


@given(st.sampled_from(("path", "ip", "tag", "header.x")), st.text(), st.text())
def test_whatever_is_accepted_reads_back_as_it_was(key: str, value: str, annotation: str) -> None:
    """Of any text at all, an entry either comes to be that reads back, or its mistake is named with a column in it."""
    column: int | None = None
    try:
        found = entry(key, value, annotation)
    except InvalidValue as refused:
        column = refused.column
    else:
        assert parse(*format(found)) == found
    assert column is None or 0 <= column <= len(value)


def test_an_annotation_begins_at_the_first_hash_behind_white_space() -> None:
    """The value may have a ``#`` of its own, and the annotation too."""
    assert parse("path", "^/a#b  # the # label ") == Entry("path", "", "^/a#b", "the # label")


def test_the_tables_name_what_exists() -> None:
    """Every category reads a field that exists, with a kind of match that there is a set for."""
    for name, category in CATEGORIES.items():
        assert (name, category.reads) == (category.name, FIELDS[category.field])
        assert category.match in SETS
        assert category.help
