"""Transformations: what a rule makes of a value before its operator looks at it, byte for byte as ModSecurity v3 does.

Law: nothing is ever an error, and each takes time in proportion to the value. The manual:
https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x). Two differences are meant: of a single
byte ``hexDecode`` makes nothing, where ModSecurity reads on behind it; and ``normalizePathWin`` knows every backslash,
where ModSecurity leaves some that follow others or ``./``, so that what follows would hide behind it.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import frozen

from edgenode.policy.contentfilter import decoding
from edgenode.policy.contentfilter.paths import normalised_path, normalised_windows_path

Change = Callable[[bytes], bytes]
Look = Callable[[bytes], object]


@frozen
class Transformation:
    """One of them.

    :ivar name: as the manual writes it.
    :ivar apply: makes the new value of a value.
    :ivar changes: whether it can change a value, or any of several values that are joined by line feeds; it is never
        wrong where it says no, but for line feeds in the values themselves (``folds_lines``). ``None`` where most are
        changed.
    :ivar whole: whether values that are joined by line feeds can be changed at once, with the same outcome.
    :ivar folds_lines: whether it may change a line feed, which ``changes`` does not look for.
    """

    name: str
    apply: Change
    changes: Look | None = None
    whole: bool = False
    folds_lines: bool = False


_SPACES = b" \t\n\v\f\r"
_TABS = b"\t\v\f\r"
_SPACE_FOR_BLANKS = bytes.maketrans(_TABS, b"    ")
_SPACE_FOR_ALL = bytes.maketrans(_SPACES, b"      ")

_QUOTES = b"\"'\\^"
_BACKSLASH, _PERCENT, _PLUS, _NUL = b"\\%+\0"


def _has(*bytes_of: int) -> Look:
    """Whether one of some bytes is in a text; as numbers they are found by ``memchr``."""
    if len(bytes_of) == 1:
        (only,) = bytes_of
        return lambda text: only in text
    first, second = bytes_of
    return lambda text: first in text or second in text


def _found(pattern: bytes) -> Look:
    return re.compile(pattern, re.DOTALL | re.MULTILINE).search


def _deleting(bytes_of: bytes) -> Change:
    return lambda value: value.translate(None, bytes_of)


def _substituting(pattern: bytes, by: bytes | Callable[[re.Match[bytes]], bytes]) -> Change:
    substitute = re.compile(pattern, re.DOTALL).sub
    return lambda value: substitute(by, value)


# -- paths, comments, white space --------------------------------------------------------------------------------------

_SPACED = bytes.maketrans(b",;\t\r\n", b"     ")


def _command_line(value: bytes) -> bytes:
    value = value.translate(_SPACED, _QUOTES).lower()
    if b" " not in value:
        return value
    return _one_space(value).replace(b" /", b"/").replace(b" (", b"(")


_one_space = _substituting(rb"  ++", b" ")


def _comment(comment: re.Match[bytes]) -> bytes:
    """ModSecurity takes the byte behind a comment as it is, even if it begins another, and NUL for none."""
    if comment[1] is None:
        return b"" if comment[0][0] in b"-#" else b" "
    return comment[1] or b"\0"


def _parity(even: bool) -> bytes:
    return bytes(b | 0x80 if (b.bit_count() & 1) == even else b & 0x7F for b in range(256))


_EVEN, _ODD, _ZERO = _parity(True), _parity(False), bytes(byte & 0x7F for byte in range(256))
_UNRESERVED = b"*0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_URL = [b"+" if b == 0x20 else b"%c" % b if b in _UNRESERVED else b"%%%02x" % b for b in range(256)]


def _compress(value: bytes) -> bytes:
    return _one_space(value.translate(_SPACE_FOR_ALL))


def _is_padded(text: bytes) -> bool:
    return _is_indented(text) or _is_trailed(text)


def _is_indented(text: bytes) -> bool:
    text = text.translate(_SPACE_FOR_BLANKS)
    return text.startswith(b" ") or text.find(b"\n ") >= 0


def _is_trailed(text: bytes) -> bool:
    text = text.translate(_SPACE_FOR_BLANKS)
    return text.endswith(b" ") or text.find(b" \n") >= 0


def _has_wide_space(text: bytes) -> bool:
    return text.find(b"  ") >= 0 or text.translate(None, _TABS) != text


def _not_ascii(text: bytes) -> bool:
    return not text.isascii()


_dot = _found(rb"\.(?:/|$)")


def _climbs(text: bytes) -> bool:
    return text.find(b"//") >= 0 or _dot(text) is not None


_OF_COMMENTS = _found(rb"/\*|\*/|--|#")

_ALL = (
    Transformation("base64Decode", decoding.base64_decode),
    Transformation("base64DecodeExt", decoding.base64_decode_ext),
    Transformation("base64Encode", lambda value: binascii.b2a_base64(value, newline=False)),
    Transformation("cmdLine", _command_line, _found(rb"[\"'\\^A-Z,;\t\r]|  | [/(]"), folds_lines=True),
    Transformation(
        "compressWhitespace",
        lambda value: _one_space(value.translate(_SPACE_FOR_ALL)),
        _has_wide_space,
        folds_lines=True,
    ),
    Transformation("cssDecode", decoding.css_decode, _has(_BACKSLASH)),
    Transformation(
        "escapeSeqDecode",
        decoding.escape_seq_decode,
        _has(_BACKSLASH),
    ),
    Transformation("hexDecode", decoding.hex_decode),
    Transformation("hexEncode", lambda value: value.hex().encode()),
    Transformation("htmlEntityDecode", decoding.html_entity_decode, decoding.has_entity, whole=True),
    Transformation(
        "jsDecode",
        decoding.js_decode,
        _has(_BACKSLASH),
    ),
    Transformation("length", lambda value: b"%d" % len(value)),
    Transformation("lowercase", bytes.lower, whole=True),
    Transformation("md5", lambda value: hashlib.md5(value, usedforsecurity=False).digest()),
    Transformation("none", lambda value: value, lambda text: False, whole=True),
    Transformation("normalizePath", normalised_path, _climbs),
    Transformation("normalizePathWin", normalised_windows_path, lambda text: _BACKSLASH in text or _climbs(text)),
    Transformation("parityEven7bit", lambda value: value.translate(_EVEN)),
    Transformation("parityOdd7bit", lambda value: value.translate(_ODD)),
    Transformation("parityZero7bit", lambda value: value.translate(_ZERO), _not_ascii, whole=True),
    Transformation(
        "removeComments",
        _substituting(rb"(?:/\*|<!--).*?(?:\*/|-->)(.?)|(?:/\*|<!--|--|#).*+", _comment),
        _OF_COMMENTS,
    ),
    Transformation("removeCommentsChar", _substituting(rb"/\*|\*/|<!--|-->|--|#", b""), _OF_COMMENTS, whole=True),
    Transformation("removeNulls", _deleting(b"\0"), _has(_NUL), whole=True),
    Transformation(
        "removeWhitespace", _deleting(_SPACES + b"\xa0\xc2"), _found(rb"[ \t\v\f\r\xa0\xc2]"), folds_lines=True
    ),
    Transformation("replaceComments", _substituting(rb"/\*.*?(?:\*/|\Z)", b" "), lambda text: text.find(b"/*") >= 0),
    Transformation("replaceNulls", lambda value: value.replace(b"\0", b" "), _has(_NUL), whole=True),
    Transformation("sha1", lambda value: hashlib.sha1(value, usedforsecurity=False).digest()),
    Transformation(
        "sqlHexDecode",
        decoding.sql_hex_decode,
        _found(rb"0[xX]"),
        whole=True,
    ),
    Transformation(
        "trim",
        lambda value: value.strip(_SPACES),
        _is_padded,
        folds_lines=True,
    ),
    Transformation("trimLeft", lambda value: value.lstrip(_SPACES), _is_indented, folds_lines=True),
    Transformation("trimRight", lambda value: value.rstrip(_SPACES), _is_trailed, folds_lines=True),
    Transformation("uppercase", bytes.upper, whole=True),
    Transformation("urlDecode", decoding.url_decode, _has(_PERCENT, _PLUS), whole=True),
    Transformation("urlDecodeUni", decoding.url_decode_uni, _has(_PERCENT, _PLUS), whole=True),
    Transformation("urlEncode", lambda value: b"".join(map(_URL.__getitem__, value))),
    Transformation(
        "utf8toUnicode",
        decoding.utf8_to_unicode,
        lambda text: _NUL in text or not text.isascii(),
    ),
)

_ALSO = {"normalisePath": "normalizePath", "normalisePathWin": "normalizePathWin"}

TRANSFORMATIONS: Mapping[str, Transformation] = MappingProxyType(
    {each.name: each for each in _ALL}
    | {also: next(each for each in _ALL if each.name == name) for also, name in _ALSO.items()}
)
"""All that there are, by the manual's name."""

_BY_NAME = {name.lower(): each for name, each in TRANSFORMATIONS.items()}


def of_name(name: str) -> Transformation | None:
    """The one of a name in any case; ``None`` if there is no such."""
    return _BY_NAME.get(name.lower())
