"""The operators of rules compare as ModSecurity's do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import names, pcre
from edgenode.policy.contentfilter.evaluation import GEO_LOOKUP
from edgenode.policy.contentfilter.injections import suspected
from edgenode.policy.contentfilter.operators import OPERATORS

CASES = (
    # operator, argument, what matches, what does not
    ("rx", rb"^a+$", (b"aa", b"b\naa\nb"), (b"ab", b"")),
    ("rx", rb"^[0-9]*$", (b"", b"1\nx", b"\n", b"x\n\n"), (b"x\n", b"x\ny\n")),
    ("rx", rb"a.b", (b"a\nb", b"a\xffb"), (b"ab",)),
    ("rx", rb"\x5c\s\Qa.b\E", (b"\\\x0ba.b",), (b"\\ axb",)),
    ("rx", "[´x]y".encode(), (b"\xb4y", b"\xc2y", b"xy"), (b"zy",)),
    ("rx", rb"[[:alpha:]\d-]z", (b"5z", b"-z", b"Qz"), (b"/z",)),
    ("rx", rb"a++b", (b"aab",), (b"b",)),
    ("rx", rb"(?<!x|yy)z", (b"az", b"z"), (b"xz", b"yyz")),
    ("rx", rb"<\?(?!xml)", (b"<?php", b"a" * 9999 + b"<?php"), (b"<?xml", b"a" * 9999 + b"<?xml")),
    ("rx", rb"(\w+)=\1(?!0)", (b"aa=aa", b"a" * 2000 + b"=b"), (b"a=b", b"b" * 2000)),
    ("pm", b"sel|41|  Union", (b"xSELAx", b"union"), (b"sel", b"")),
    ("pmfromfile", b"# comment\nbin/sh\n\nfoo bar", (b"/BIN/SH", b"foo bar"), (b"foo", b"comment")),
    ("streq", b"a", (b"a",), (b"ab", b"")),
    ("contains", b"b", (b"abc",), (b"a",)),
    ("containsword", b"sel", (b"a sel b", b"sel1"), (b"asel", b"sela")),
    ("beginswith", b"/a", (b"/ab",), (b"b/a",)),
    ("endswith", b".php", (b"x.php",), (b"x.php5",)),
    ("within", b"GET HEAD", (b"GET", b"", b"T H"), (b"POST",)),
    ("strmatch", b"x", (b"axb",), (b"a",)),
    ("eq", b"15", (b"15", b" 15x"), (b"1", b"")),
    ("eq", b"0", (b"", b"x", b"0"), (b"1",)),
    ("ge", b"5", (b"5", b"6"), (b"4", b"-6")),
    ("gt", b"5", (b"6",), (b"5",)),
    ("le", b"5", (b"5", b"-1"), (b"6",)),
    ("lt", b"5", (b"4", b""), (b"5",)),
    ("ipmatch", b"192.0.2.0/24, 2001:db8::1", (b"192.0.2.9", b"2001:db8::1"), (b"198.51.100.1", b"x", b"")),
    ("ipmatchfromfile", b"#x\n192.0.2.1\n", (b"192.0.2.1",), (b"192.0.2.2",)),
    ("validatebyterange", b"9, 32-126", (b"\0", b"a\n"), (b"a b\t", b"")),
    ("validateurlencoding", b"", (b"%", b"%4", b"a%zz"), (b"%41", b"")),
    ("validateutf8encoding", b"", (b"\xff", b"\xc0\x80", b"\xed\xa0\x80"), ("é€😀".encode(), b"a")),
    ("verifycc", rb"\d{13,16}", (b"x 4111111111111111",), (b"12345", b"1")),
    ("verifycpf", rb"\d{11}", (b"52998224725",), (b"52998224724", b"11111111111")),
    ("verifyssn", rb"\d{9}", (b"078051120",), (b"000121234", b"666121234")),
    ("verifysvnr", rb"\d{10}", (b"1237010180",), (b"1234010180",)),
    ("unconditionalmatch", b"", (b"",), ()),
    ("nomatch", b"", (), (b"", b"a")),
)


@pytest.mark.parametrize(("name", "argument", "matching", "others"), CASES)
def test_compare(name: str, argument: bytes, matching: tuple[bytes, ...], others: tuple[bytes, ...]) -> None:
    """Each operator matches what it should, and nothing else."""
    compare = OPERATORS[name](argument)
    assert [value for value in matching if compare(value) is None] == []
    assert [value for value in others if compare(value) is not None] == []


def test_every_operator_that_is_supported_is_there() -> None:
    """The parser lets no operator pass that cannot be compiled."""
    known = {name for name, kind in names.OPERATORS.items() if not kind.unsupported}
    assert known - {GEO_LOOKUP} == set(OPERATORS)


def test_groups_are_what_is_captured() -> None:
    """A regular expression gives its groups, those that are not there too; phrases give what was found."""
    assert OPERATORS["rx"](b"(a)(x)?(b)")(b"zabz") == (b"ab", b"a", None, b"b")
    assert OPERATORS["rxglobal"](b"a(.)")(b"a1a2") == (b"a1", b"1", b"a2", b"2")
    assert OPERATORS["pm"](b"ab cd")(b"xCDx") == (b"CD",)


def test_libinjection_is_asked() -> None:
    """Injections are found by libinjection, in values that are no text either."""
    pytest.importorskip("libinjection")
    assert OPERATORS["detectsqli"](b"")(b"1' or '1'='1") == (b"s&sos",)
    assert OPERATORS["detectsqli"](b"")(b"\xff' or '1'='1") is not None
    assert OPERATORS["detectsqli"](b"")(b"1.e(ascii 1.e(substring(1.e(select a from b),1)))=70 or'1'='2") is not None
    assert OPERATORS["detectsqli"](b"")(b"blue shoes") is None
    assert OPERATORS["detectxss"](b"")(b"\xff<script>") == (b"\xff<script>",)
    assert OPERATORS["detectxss"](b"")(b"a < b") is None


_NAMES = st.sampled_from([b"json.", b"_", b".", b"1", b"0x1", b"e", b"1.e", b"order", b"select", b"or", b"keys"])


@given(st.lists(_NAMES, max_size=8).map(b"".join) | st.from_regex(rb"(json\.)?[\w.]*", fullmatch=True))
def test_libinjection_finds_nothing_where_it_is_not_asked(value: bytes) -> None:
    """Names of JSON, numbers and words are no injection, whatever keywords stand in them."""
    pytest.importorskip("libinjection")
    assert bool(suspected("detectsqli")(value)) is (OPERATORS["detectsqli"](b"")(value) is not None)


@pytest.mark.parametrize(
    ("name", "argument"),
    [("rx", b"("), ("rx", rb"\p{L}"), ("ipmatch", b"1.2.3"), ("validatebyterange", b"5-2"), ("verifycc", rb"(?=\d)")],
)
def test_what_cannot_be_compiled_is_an_error(name: str, argument: bytes) -> None:
    """An operator that cannot use its argument says so when it is made."""
    with pytest.raises(InvalidValue):
        OPERATORS[name](argument)


ATOMS = st.sampled_from([r"\s", r"[^a\]]", r"\x41", "a", "b", ".", r"\d", "^", "$", r"\b", r"[\w-]", r"[a-c\s]", r"\."])
PATTERNS = st.lists(st.tuples(ATOMS, st.sampled_from(["", "", "*?", "+", "?", "{1,2}"])), min_size=1, max_size=5)


@given(PATTERNS, st.lists(st.binary(max_size=12) | st.text("aAb \n-.]1", max_size=12).map(str.encode), max_size=9))
def test_expressions_mean_what_they_mean_to_python(parts: list[tuple[str, str]], values: list[bytes]) -> None:
    """What is translated finds the same text as it is written; a line feed at the end begins no line in PCRE."""
    pattern = "".join(atom + ("" if atom in ("^", "$", r"\b") else repeat) for atom, repeat in parts)
    ours, theirs = pcre.search(pattern), re.compile(b"(?sm)" + pattern.encode())
    for value in values:
        found = theirs.search(value)
        assert ours(value) == (None if found is None else (found[0],))


def test_an_expression_that_takes_for_ever_is_given_up() -> None:
    """It would take longer than there is; a value counts as one that matches if what RE2 reads of it does."""
    search = pcre.search(r"(?=(a+)+b)(a*)*c")
    assert search(b"aaac") is None
    assert search(b"d!c" + b"a" * 600 + b"bc") is not None
    assert search(b"d!" + b"a" * 600 + b"bb") is None
