"""Regular expressions written for Rust's engine: RE2 reads them as they were meant, or they are refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.dialect import in_re2
from edgenode.rules.regexes import check_regex, compile_regex

SPACES = b"\t\n\x0b\x0c\r "
"""What Rust's engine calls white space, on bytes."""


def matched(pattern: str) -> bytes:
    """All bytes that an expression for one byte matches."""
    expression = compile_regex(in_re2(pattern))
    return bytes(byte for byte in range(256) if expression.fullmatch(bytes([byte])) is not None)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"\s", SPACES), (r"[\s]", SPACES), (r"[\sa]", SPACES + b"a"), (r"[]\s]", SPACES + b"]"),
        (r"[\s-]", SPACES + b"-"), (r"[a\s-]", SPACES + b"-a"), (r"[^\S]", SPACES), (r"[\\s]", b"\\s"), (r"\\", b"\\"),
        (r"[[:space:]]", SPACES), (r"(?i)[x\s]", SPACES + b"Xx"),
    ],
)  # fmt: skip
def test_white_space_is_a_vertical_tab_too(pattern: str, expected: bytes) -> None:
    r"""``\s`` means what it means at Cloudflare, in classes and outside of them, or ``%0B`` would be a way past."""
    assert matched(pattern) == bytes(sorted(expected))


@pytest.mark.parametrize("pattern", [r"\S", r"[^\s]", r"[\S]", r"[^[:space:]]"])
def test_all_else_is_no_white_space(pattern: str) -> None:
    r"""And ``\S`` is every other byte."""
    assert matched(pattern) == bytes(byte for byte in range(256) if byte not in SPACES)


@pytest.mark.parametrize(
    ("pattern", "column"),
    [
        (r"a[a-z&&[^b]]", 5), (r"[a-z--c]", 4), (r"[a~~b]", 2), (r"[a[b]]", 2), (r"[]&&]", 2), (r"[^]&&]", 3),
        (r"\<a", 0), (r"a\>", 1), (r"a\Qb\E", 1), (r"a{,5}", 1), (r"a{", 1), (r"{", 0), (r"\b{start}", 2),
        (r"a{2}{x}", 4),
    ],
)  # fmt: skip
def test_what_re2_would_read_otherwise_is_refused(pattern: str, column: int) -> None:
    """What RE2 accepts and Rust's engine reads as something else, or not at all, is an error at its column."""
    check_regex(pattern)
    with pytest.raises(InvalidValue) as caught:
        in_re2(pattern)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "pattern",
    [r"a{2,5}b{3}c{1,}", r"[&-][~-]", r"[]a]", r"[^]a]", r"\[\{\}", r"[\[{]", r"\x{41}\x41", "a\\", r"[[:alpha:]_&~-]"],
)
def test_everything_else_stays_as_it_is(pattern: str) -> None:
    """What both read alike is not touched."""
    assert in_re2(pattern) == pattern


@given(st.from_regex(re.compile(r"(?:[a-c\[\]^\\{},&~<>QsS:-]|\\s|\[:space:\]){0,12}"), fullmatch=True))
def test_what_re2_accepts_it_accepts_translated(pattern: str) -> None:
    """An expression of RE2 is refused as Rust's, or still one of RE2."""
    try:
        check_regex(pattern)
        translated = in_re2(pattern)
    except InvalidValue:
        return
    check_regex(translated)
