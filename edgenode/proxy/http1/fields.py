"""The field lines of HTTP/1.1 (RFC 9112, section 5), read strictly and in one pass.

Law: a head that is accepted has one meaning. Line ends are CRLF and nothing else, no line is folded, no space stands
before a colon, and no control character stands anywhere.
"""

from __future__ import annotations

import re

LINE_BYTES = bytes(c for c in range(256) if c == 9 or 0x20 <= c != 0x7F)
"""Every byte that may stand in a line of a head."""

STRAY = "a control character, a bare CR or a bare LF"
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""RFC 9110, section 5.6.2."""

_FIELD = re.compile(rb"(?m)^(%b):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)\r\n" % TOKEN)
_TRAILING_SPACE = re.compile(rb"[ \t]+\r\n")

class MalformedHead(Exception):
    """A head whose lines are not as the grammar has them."""


def read_field_lines(block: bytes) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Read the field lines of a head.

    :param block: from the first field line to the empty line, both included.
    :returns: name and value of each, and the lines as received without their ends.
    :raises MalformedHead: if a line is no field line.
    """
    if b" \r" in block or b"\t\r" in block:
        block = _TRAILING_SPACE.sub(b"\r\n", block)
    lines = block.split(b"\r\n")
    del lines[-2:]
    found = _FIELD.findall(block)
    # Each match is one whole line if every LF ends a line: a bare one would let a match begin in the middle of a line.
    if len(found) != len(lines) or block.count(b"\n") != len(lines) + 1:
        raise MalformedHead(_fault(block))
    return found, lines


def _fault(block: bytes) -> str:
    if len(block.translate(None, LINE_BYTES)) != 2 * block.count(b"\r\n"):
        return STRAY
    return "a folded line" if b"\n " in block or b"\n\t" in block else "a line that is no field"


END_TO_END = frozenset(
    b"""accept accept-encoding accept-language authorization cache-control content-encoding content-length content-type
    cookie date etag expires host if-match if-modified-since if-none-match last-modified location origin pragma range
    referer server set-cookie user-agent vary www-authenticate""".split()
)
"""Fields that Connection cannot nominate (RFC 9110, section 7.6.1): rules have judged them, so they are passed on."""

NO_OPTIONS: frozenset[bytes] = frozenset()
_KEEP_ALIVE = frozenset((b"keep-alive",))


def persistence(fields: tuple[bytes, ...] | None, version: tuple[int, int]) -> tuple[bool, frozenset[bytes]]:
    """Whether a connection stays open after a message (RFC 9112, section 9.3), and what its Connection field nominates.

    :param fields: the values of the Connection field, if there is one.
    """
    if fields is None:
        return version == (1, 1), NO_OPTIONS
    value = b",".join(fields).lower()
    if value == b"keep-alive":
        return True, _KEEP_ALIVE
    options = frozenset([option.strip(b" \t") for option in value.split(b",")]) - END_TO_END
    if version == (1, 1):
        return b"close" not in options, options
    return b"keep-alive" in options and b"close" not in options, options


def content_length(digits: bytes) -> int | None:
    """A Content-Length; ``None`` if it is none, or one with more digits than any body has bytes."""
    return int(digits) if digits.isdigit() and len(digits) <= 18 else None
