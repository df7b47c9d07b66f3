"""The header fields of HTTP/1.1, read strictly: llhttp reads them, our own rules refuse what two readers could read
differently (RFC 9112, sections 2.2, 5 and 11.2).

Law: a head that is accepted has one meaning. Line ends are CRLF and nothing else, no line is folded, and no control
character stands anywhere.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import httptools

REMEMBERED = 512
LONGEST_REMEMBERED, MOST_FIELDS_REMEMBERED = 4096, 64
"""Header blocks and response heads repeat, so the last ones are remembered with what was read from them: at the most so
many, and only short ones. What was read is frozen, and depends on nothing but the bytes."""

LINE_BYTES = bytes(c for c in range(256) if c == 9 or 0x20 <= c != 0x7F)
"""Every byte that may stand in a line of a head."""

STRAY = "a control character, a bare CR or a bare LF"
_TRAILING_SPACE = re.compile(rb"([^ \t\r\n])[ \t]+\r\n")

Fields = list[tuple[bytes, bytes]]


class MalformedHead(Exception):
    """A head whose lines are not as the grammar has them."""


class Seen:
    """What llhttp reports of a head.

    :ivar fields: the header fields, as they stand there.
    """

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: Fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more."""
        self.fields.append((name, value))


_Parser = type[httptools.HttpRequestParser] | type[httptools.HttpResponseParser]


def read_fields(
    head: bytes, parser: Callable[[Seen], httptools.HttpRequestParser | httptools.HttpResponseParser]
) -> Fields:
    """The header fields as llhttp reads them, if the head passes our own look at its lines too.

    Bare CR, bare LF and control characters are refused here, whatever llhttp's build thinks of them; and a field for
    every line, or something was folded or skipped.

    :raises MalformedHead: if our own look finds something.
    """
    pairs = head.count(b"\r\n")
    if len(head.translate(None, LINE_BYTES)) != 2 * pairs:
        raise MalformedHead(STRAY)
    if b" \r" in head or b"\t\r" in head:
        head = _TRAILING_SPACE.sub(rb"\1\r\n", head)  # llhttp would read it as part of the value
    seen = Seen()
    try:
        parser(seen).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # all of the head was read; upgrades are refused elsewhere
    if len(seen.fields) != pairs - 2:
        raise MalformedHead("a folded line")
    return seen.fields


END_TO_END = frozenset(
    b"""accept accept-encoding accept-language authorization cache-control content-encoding content-length content-type
    cookie date etag expires host if-match if-modified-since if-none-match last-modified location origin pragma range
    referer server set-cookie user-agent vary www-authenticate""".split()
)
"""Fields that Connection cannot nominate (RFC 9110, section 7.6.1): rules have judged them, so they are passed on."""

_NO_OPTIONS: frozenset[bytes] = frozenset()


def persistence(fields: tuple[bytes, ...] | None, version: tuple[int, int]) -> tuple[bool, frozenset[bytes]]:
    """Whether a connection stays open after a message (RFC 9112, section 9.3), and what its Connection field nominates.

    :param fields: the values of the Connection field, if there is one.
    """
    if fields is None:
        return version == (1, 1), _NO_OPTIONS
    value = b",".join(fields)
    options = (_options if len(value) <= 256 else _options.__wrapped__)(value) - END_TO_END
    if version == (1, 1):
        return b"close" not in options, options
    return b"keep-alive" in options and b"close" not in options, options


@functools.lru_cache(256)
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(option.strip(b" \t") for option in value.lower().split(b","))


def content_length(digits: bytes) -> int | None:
    """A Content-Length; ``None`` if it is none, or one with more digits than any body has bytes."""
    return int(digits) if digits.isdigit() and len(digits) <= 18 else None
