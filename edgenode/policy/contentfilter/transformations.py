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
from functools import lru_cache
from types import MappingProxyType

from attrs import frozen

from edgenode.policy.contentfilter.bestfit import BEST_FIT
from edgenode.policy.contentfilter.paths import normalised_path, normalised_windows_path
from edgenode.rules.views import base64_values

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
_BACKSLASH, _AMPERSAND, _PERCENT, _PLUS, _NUL, _SLASH, _HASH = b"\\&%+\0/#"
_CASE = 0x20


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


# -- hexadecimal, and what is written with it --------------------------------------------------------------------------

_HEX = rb"[0-9A-Fa-f]"
_DIGITS = b"0123456789abcdefABCDEF"
_BYTE = {bytes((a, b)): bytes.fromhex(f"{a:c}{b:c}") for a in _DIGITS for b in _DIGITS}
"""The byte that two hexadecimal digits write, in any case."""

_LOOSE = bytes(((byte & 0xDF) - 55 if byte >= 0x41 else byte - 0x30) & 0xFF for byte in range(256))
"""What ModSecurity takes any byte for, as a hexadecimal digit."""


def _wide(digits: bytes) -> bytes:
    """The low byte of a character that is written in four digits: of a wide Latin one (U+FF01 to U+FF5E) the narrow."""
    low = _BYTE[digits[-2:]]
    if digits[-4:-2] in (b"ff", b"FF", b"fF", b"Ff") and b"\0" < low < b"\x5f":
        return bytes((low[0] + _CASE,))
    return low


_PERCENTED = {b"%" + digits: byte for digits, byte in _BYTE.items()}
_URI_ESCAPE = re.compile(rb"%" + _HEX + rb"{2}")
_URI_ESCAPE_UNI = re.compile(rb"%(?:" + _HEX + rb"{2}|[uU]" + _HEX + rb"{4})")


def _url_decode(value: bytes) -> bytes:
    return _URI_ESCAPE.sub(lambda escape: _PERCENTED[escape[0]], value.replace(b"+", b" "))


def _url_decode_uni(value: bytes) -> bytes:
    return _URI_ESCAPE_UNI.sub(_character, value.replace(b"+", b" "))


def _character(escape: re.Match[bytes]) -> bytes:
    written = escape[0]
    if len(written) == len(b"%41"):
        return _PERCENTED[written]
    return BEST_FIT.get(written[2:].lower()) or _wide(written[2:])


def _octal(text: bytes) -> bytes:
    return bytes((int(text, 8) & 0xFF,))


_C = {b"\\" + bytes((letter,)): bytes((byte,)) for letter, byte in zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True)}
_OCTALS = [f"{number:0{length}o}".encode() for length in (1, 2, 3) for number in range(8**length)]
_ESCAPES = {
    **{b"\\" + bytes((byte,)): bytes((byte,)) for byte in range(256)},
    **_C,
    **{b"\\" + x + digits: byte for x in (b"x", b"X") for digits, byte in _BYTE.items()},
    **{b"\\" + digits: _octal(digits) for digits in _OCTALS},
}
"""What a backslash with what follows stands for, in JavaScript and in C; one before anything else is left out."""


def _javascript(escape: re.Match[bytes]) -> bytes:
    written = escape[0]
    return _wide(written[2:]) if len(written) == 6 else _ESCAPES[written]


_CSS = {
    **{b"%c" % digit: bytes((int(chr(digit), 16),)) for digit in _DIGITS},
    **_BYTE,
    **{b"%c%b" % (digit, two): byte for digit in _DIGITS for two, byte in _BYTE.items()},
}


def _css(escape: re.Match[bytes]) -> bytes:
    digits = escape[1]
    if digits is None:
        return escape[2] or b""
    if len(digits) < 4:
        return _CSS[digits]
    return _wide(digits) if digits[:-4] in (b"", b"0", b"00") else _BYTE[digits[-2:]]


_ENTITIES = {b"quot": b'"', b"amp": b"&", b"lt": b"<", b"gt": b">", b"nbsp": b"\xa0"}
_ENTITY = rb"&(?:#(?:[xX]([0-9A-Fa-f]++)|([0-9]++))|((?i:quot|amp|lt|gt|nbsp))[A-Za-z0-9]*+);?"


_LONG, _DIGITS_OF_LONG = 2**63 - 1, 20
"""The largest number that C reads, and from how many digits on it is one of those that are taken for it."""


def _entity(entity: re.Match[bytes]) -> bytes:
    hexadecimal, decimal, word = entity.groups()
    if word is not None:
        return _ENTITIES[word.lower()]
    digits, base = (decimal, 10) if decimal else (hexadecimal, 16)
    digits = digits.lstrip(b"0")
    number = int(digits or b"0", base) if len(digits) < _DIGITS_OF_LONG else _LONG
    return bytes((min(number, _LONG) & 0xFF,))


def _hex_decode(value: bytes) -> bytes:
    value = value[: len(value) & ~1]
    try:
        return binascii.unhexlify(value)
    except ValueError:
        pairs = zip(value[::2].translate(_LOOSE), value[1::2].translate(_LOOSE), strict=True)
        return bytes((high * 16 + low) & 0xFF for high, low in pairs)


# -- Base64 ------------------------------------------------------------------------------------------------------------

_BASE64_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}+")


def _base64_decode(value: bytes) -> bytes:
    """As Mbed TLS decodes it, up to a NUL; the value as it is if anything else is in it, or the padding is wrong."""
    text = value.partition(b"\0")[0]
    if text.translate(None, _BASE64_DIGITS + b"= \r\n"):
        return value
    *lines, last = text.split(b"\n")
    text = b"".join([line.removesuffix(b"\r").rstrip(b" ") for line in lines]) + last.rstrip(b" ")
    return value if len(text) % 4 or _BASE64.fullmatch(text) is None else binascii.a2b_base64(text)


def _base64_decode_ext(value: bytes) -> bytes:
    """What its digits say, whatever stands between them; nothing if a single one stands before the padding, for which
    ModSecurity also takes a ``9`` at the end."""
    parts = value.split(b"=")
    if not value.endswith((b"=", b"9")):
        parts.pop()
    digits = 0
    for number, part in enumerate(parts, 1):
        digits += len(part) - len(part.translate(None, _BASE64_DIGITS))
        if digits % 4 == 1 and (number == len(parts) or parts[number]):
            return b""
    return base64_values.decoded(value)


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


_UTF8 = rb"[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}"
_LARGEST = 0xF5
_LEAD = {2: 0x1F, 3: 0x0F, 4: 0x07}
_SMALLEST = {2: 0x80, 3: 0x800, 4: 0x10000}


def _unicode(sequence: re.Match[bytes]) -> bytes:
    return _code_point(sequence[0])


@lru_cache(4096)
def _code_point(text: bytes) -> bytes:
    """One character as ``%uHHHH``; with its first byte behind it if it is none of UTF-8, and in front if too large."""
    first, length = text[:1], len(text)
    large = first if text[0] >= _LARGEST else b""
    if length == 1:
        return large
    number = text[0] & _LEAD[length]
    for byte in text[1:]:
        number = number << 6 | byte & 0x3F
    odd = number < _SMALLEST[length] or 0xD800 <= number <= 0xDFFF
    return b"%b%%u%04x%b" % (large, number, first if odd else b"")


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
    Transformation("base64Decode", _base64_decode),
    Transformation("base64DecodeExt", _base64_decode_ext),
    Transformation("base64Encode", lambda value: binascii.b2a_base64(value, newline=False)),
    Transformation("cmdLine", _command_line, _found(rb"[\"'\\^A-Z,;\t\r]|  | [/(]"), folds_lines=True),
    Transformation(
        "compressWhitespace",
        lambda value: _one_space(value.translate(_SPACE_FOR_ALL)),
        _has_wide_space,
        folds_lines=True,
    ),
    Transformation("cssDecode", _substituting(rb"\\(?:([0-9A-Fa-f]{1,6})\s?|\n|(.)|\Z)", _css), _has(_BACKSLASH)),
    Transformation(
        "escapeSeqDecode",
        _substituting(rb"\\(?:[xX]" + _HEX + rb"{2}|[0-7]{1,3}|.)", lambda escape: _ESCAPES[escape[0]]),
        _has(_BACKSLASH),
    ),
    Transformation("hexDecode", _hex_decode),
    Transformation("hexEncode", lambda value: value.hex().encode()),
    Transformation("htmlEntityDecode", _substituting(_ENTITY, _entity), _has(_AMPERSAND), whole=True),
    Transformation(
        "jsDecode",
        _substituting(rb"\\(?:u" + _HEX + rb"{4}|x" + _HEX + rb"{2}|[0-3][0-7]{0,2}|[4-7][0-7]?|.)", _javascript),
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
        _substituting(rb"0[xX]((?:" + _HEX + rb"{2})+)", lambda found: binascii.unhexlify(found[1])),
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
    Transformation("urlDecode", _url_decode, _has(_PERCENT, _PLUS), whole=True),
    Transformation("urlDecodeUni", _url_decode_uni, _has(_PERCENT, _PLUS), whole=True),
    Transformation("urlEncode", lambda value: b"".join(map(_URL.__getitem__, value))),
    Transformation(
        "utf8toUnicode",
        _substituting(_UTF8 + rb"|[\xc0-\xf7]|\0(?!\Z)", _unicode),
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
