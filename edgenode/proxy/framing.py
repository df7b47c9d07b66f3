"""What a message says of its own length, and of the connection that it came on, in fields (RFC 9110, sections 7.6.1 and
8.6)."""

from __future__ import annotations

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
