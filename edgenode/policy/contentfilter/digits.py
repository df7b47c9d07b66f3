r"""Values that differ in digits alone, such as numbers of pages and orders, are one value to most rules.

Law: what is asked without regard to which digits there are matches whatever it would match with regard to them. A value
in which a digit may be part of an encoding, such as ``%41``, ``\x41``, ``&#65;``, stays as it is.
"""

from __future__ import annotations

import re

DIGITS = frozenset(b"0123456789")

_ZEROES = bytes.maketrans(b"123456789", b"000000000")
_MAY_BE_ENCODED = re.compile(rb"[%\\#\0\x80-\xff]").search

REGARDLESS = frozenset(
    (
        *("cmdLine", "compressWhitespace", "cssDecode", "escapeSeqDecode", "htmlEntityDecode", "jsDecode", "lowercase"),
        *("none", "normalizePath", "normalizePathWin", "removeComments", "removeCommentsChar", "removeNulls"),
        *("removeWhitespace", "replaceComments", "replaceNulls", "trim", "trimLeft", "trimRight", "uppercase"),
        *("urlDecode", "urlDecodeUni", "utf8toUnicode"),
    )
)
"""Transformations that do the same to such values, whatever their digits, if none is encoded."""


def zeroed(text: bytes) -> bytes:
    """A text of which each digit is 0."""
    return text.translate(_ZEROES)


def alike(value: bytes) -> bytes:
    """The value that stands for all those that differ from this one in digits alone; itself if one may be encoded."""
    return value if _MAY_BE_ENCODED(value) else value.translate(_ZEROES)


_PIECE = re.compile(
    r"\\x(?P<byte>[0-9a-f]{2})|\\.|(?P<set>\[[^\]]*\])|\(\?P<\w+>|\{[0-9,]*\}|(?P<digit>[0-9])|.", re.DOTALL
)


def regardless(text: str) -> str:
    """An expression that matches what another does, and all that differs from that in digits alone.

    :param text: as ``pcre.translated`` writes it, without references.
    """
    return _PIECE.sub(_any_digit, text)


def _any_digit(piece: re.Match[str]) -> str:
    if piece["digit"] or (piece["byte"] and int(piece["byte"], 16) in DIGITS):
        return "[0-9]"
    if not piece["set"]:
        return piece[0]
    matches = re.compile(piece[0].encode("latin-1"), re.DOTALL).match
    members = {byte for byte in range(256) if matches(bytes((byte,)))}
    if members.isdisjoint(DIGITS) or members >= DIGITS:
        return piece[0]
    return f"[{''.join(rf'{chr(92)}x{byte:02x}' for byte in sorted(members | DIGITS))}]"
