"""Content codings (RFC 9110, section 8.4.1) of a request's body, undone so that rules see what the origin will.

Law: what comes out is bounded, however much a few bytes could become; what cannot be undone is said to be so.
"""

from __future__ import annotations

import contextlib
import zlib

MOST_DECODED = 128 * 1024
"""Bytes that come out at the most; what is more counts as cut off."""

_MOST_CODINGS = 4
_MOST_MEMBERS = 64
_GZIP, _ZLIB, _RAW = 31, 15, -15
_MAGIC = b"\x1f\x8b"
_WINDOWS = {b"gzip": (_GZIP,), b"x-gzip": (_GZIP,), b"deflate": (_ZLIB, _RAW)}
"""By its name, the formats that readers take a coding for: some know ``deflate`` without the frame of RFC 1950."""


class NotDecoded(Exception):
    """A coding that is not known here, or content that is not in it."""


def codings(values: tuple[bytes, ...]) -> list[bytes]:
    """The codings that Content-Encoding names, the first applied first; without those that change nothing."""
    names = [name.strip(b" \t").lower() for value in values for name in value.split(b",")]
    return [name for name in names if name not in (b"", b"identity")]


def decoded(data: bytes, names: list[bytes], most: int = MOST_DECODED) -> tuple[bytes, bool]:
    """Content without its codings, and whether there is more of it.

    :param data: the content, or its beginning.
    :param names: the codings, the last applied last.
    :param most: bytes that come out at the most.
    :raises NotDecoded: if it is in one that is not known, or not in what it says.
    """
    if len(names) > _MOST_CODINGS:
        raise NotDecoded
    more = False
    for name in reversed(names):
        data, further = _inflated(data, _WINDOWS.get(name, ()), most)
        more = more or further
    return data, more


def _inflated(data: bytes, windows: tuple[int, ...], most: int) -> tuple[bytes, bool]:
    found = []
    for window in windows:
        with contextlib.suppress(zlib.error):
            found.append(_members(data, window, most))
    if len(found) != 1:  # it is nothing of what it says, or two things to two readers
        raise NotDecoded
    return found[0]


def _members(data: bytes, window: int, most: int) -> tuple[bytes, bool]:
    """What is in a stream; of gzip in all members (RFC 1952, section 2.2), and not in what is no further one."""
    parts, room = [], most + 1
    for number in range(_MOST_MEMBERS):
        reader = zlib.decompressobj(window)
        try:
            part = reader.decompress(data, room)
        except zlib.error:
            if not number or data.startswith(_MAGIC):
                raise
            break
        parts.append(part)
        room -= len(part)
        data = reader.unused_data.lstrip(b"\0")  # Python's gzip, and gzip(1), read on behind them
        if not data or room <= 0 or window != _GZIP:
            break
    found = b"".join(parts)
    return found[:most], len(found) > most or bool(data and number == _MOST_MEMBERS - 1)
