"""Paths as ``normalizePath`` and ``normalizePathWin`` have them, byte for byte as ModSecurity v3 does.

It knows a segment by its last characters: one that only ends with ``..`` goes, too. Of a path that does not begin with
a slash, it leaves ``..`` once it has come to its beginning, until a segment follows that is longer than a character or
stands behind another.
"""

from __future__ import annotations

_BARE = 3
"""Up to so many bytes from the beginning there is nothing to go back over."""


def normalised_path(value: bytes) -> bytes:
    """A path without empty segments, ``.`` and ``..``; with a slash behind it only if it has one."""
    if not value:
        return value
    segments = value.split(b"/")
    kept = _absolute(segments) if value.startswith(b"/") else _relative(segments)
    path = b"/".join(kept)
    if kept and kept[0]:  # of one that begins with a slash an empty segment is the first
        return path + b"/" if value.endswith(b"/") else path
    if value.endswith(b"/"):
        return path + b"/" if kept else b""
    return path


def normalised_windows_path(value: bytes) -> bytes:
    """The same with ``\\`` for ``/`` as well."""
    return normalised_path(value.replace(b"\\", b"/"))


def _absolute(segments: list[bytes]) -> list[bytes]:
    kept = [b""]
    for segment in segments:
        if not segment or segment == b".":
            continue
        if not segment.endswith(b".."):
            kept.append(segment)
        elif segment == b".." and len(kept) > 1:
            kept.pop()
    return kept


def _relative(segments: list[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    start, at_root = 0, False  # where the segment begins in what is kept; whether the beginning was come to
    for segment in segments:
        if not segment or segment == b".":
            continue
        length = len(segment)
        if not segment.endswith(b".."):
            if not segment.endswith(b".") and (start or length > 1):
                at_root = False
        elif at_root or start + length <= _BARE:
            at_root = True
        else:
            if segment == b"..":
                start -= len(kept.pop()) + 1
            at_root = at_root or not start
            continue
        kept.append(segment)
        start += length + 1
    return kept
