"""What undoes encodings as ModSecurity does: of URLs, style sheets, scripts and HTML, hexadecimal, Base64, UTF-8.

Law: what is malformed stays as it is, or is left out, and is never an error.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache

from edgenode.policy.contentfilter.bestfit import BEST_FIT
from edgenode.rules.views import base64_values
from edgenode.rules.views.escapes import form_decoded

_CASE = 0x20

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


_ODD_PAGES = frozenset(digits[:2] for digits in BEST_FIT) | {b"ff"}
_ESCAPE_UNI = re.compile(rb"%%[uU]((?i:%b)%b{2})" % (b"|".join(sorted(_ODD_PAGES)), _HEX))
_HIGH_BYTE = re.compile(rb"(?<=%)[uU]" + _HEX + rb"{2}(?=" + _HEX + rb"{2})")
_PERCENTED = {
    digits: b"%%%02x" % ord(BEST_FIT.get(digits) or _wide(digits))
    for digits in (b"%b%02x" % (page, low) for page in _ODD_PAGES for low in range(256))
}
"""What a character is taken for, by its four digits in lower case, percent-encoded; of other pages the low byte is."""


def url_decode(value: bytes) -> bytes:
    """``+`` is a space, and percent-encoding."""
    return form_decoded(value)


def url_decode_uni(value: bytes) -> bytes:
    """The same with ``%uHHHH`` of Microsoft's servers."""
    if value.find(b"%u") >= 0 or value.find(b"%U") >= 0:
        value = _HIGH_BYTE.sub(b"", _ESCAPE_UNI.sub(lambda escape: _PERCENTED[escape[1].lower()], value))
    return form_decoded(value)


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


def hex_decode(value: bytes) -> bytes:
    """The byte that every two digits write, whatever they are."""
    value = value[: len(value) & ~1]
    try:
        return binascii.unhexlify(value)
    except ValueError:
        pairs = zip(value[::2].translate(_LOOSE), value[1::2].translate(_LOOSE), strict=True)
        return bytes((high * 16 + low) & 0xFF for high, low in pairs)


# -- Base64 ------------------------------------------------------------------------------------------------------------

_BASE64_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}+")


_LINES_OF_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/=]*+ *+\r?\n)*+[A-Za-z0-9+/=]*+ *+(?:\0|\Z)")


def base64_decode(value: bytes) -> bytes:
    """As Mbed TLS decodes it, up to a NUL; the value as it is if anything else is in it, or the padding is wrong."""
    if value.isalnum():
        return value if len(value) % 4 else binascii.a2b_base64(value)
    if _LINES_OF_BASE64.match(value) is None:
        return value
    text = value.partition(b"\0")[0]
    *lines, last = text.split(b"\n")
    text = b"".join([line.removesuffix(b"\r").rstrip(b" ") for line in lines]) + last.rstrip(b" ")
    return value if len(text) % 4 or _BASE64.fullmatch(text) is None else binascii.a2b_base64(text)


def base64_decode_ext(value: bytes) -> bytes:
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


# -- UTF-8 -------------------------------------------------------------------------------------------------------------

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


# -- what is put together of them --------------------------------------------------------------------------------------

_SQL = re.compile(rb"0[xX]((?:" + _HEX + rb"{2})+)")
_OF_CSS = re.compile(rb"\\(?:([0-9A-Fa-f]{1,6})\s?|\n|(.)|\Z)", re.DOTALL)
_OF_C = re.compile(rb"\\(?:[xX]" + _HEX + rb"{2}|[0-7]{1,3}|.)", re.DOTALL)
_OF_JAVASCRIPT = re.compile(rb"\\(?:u" + _HEX + rb"{4}|x" + _HEX + rb"{2}|[0-3][0-7]{0,2}|[4-7][0-7]?|.)", re.DOTALL)
_OF_HTML = re.compile(_ENTITY)
_OF_UTF8 = re.compile(_UTF8 + rb"|[\xc0-\xf4]")
_ALONE = re.compile(rb"[\xc0-\xf4](?![\x80-\xbf])")


def sql_hex_decode(value: bytes) -> bytes:
    """``0x414243`` is ``ABC``."""
    return _SQL.sub(lambda found: binascii.unhexlify(found[1]), value)


def css_decode(value: bytes) -> bytes:
    """Escapes of style sheets."""
    return _OF_CSS.sub(_css, value)


def escape_seq_decode(value: bytes) -> bytes:
    """Escapes of C."""
    return _OF_C.sub(lambda escape: _ESCAPES[escape[0]], value)


def js_decode(value: bytes) -> bytes:
    """Escapes of JavaScript."""
    return _OF_JAVASCRIPT.sub(_javascript, value)


def has_entity(text: bytes) -> bool:
    """Whether a reference to a character stands in a text."""
    return _OF_HTML.search(text) is not None


def html_entity_decode(value: bytes) -> bytes:
    """References to characters, by their number or one of five names."""
    return _OF_HTML.sub(_entity, value)


_NO_UTF8 = re.compile("([\udc80-\udcff]+)")


def utf8_to_unicode(value: bytes) -> bytes:
    """Characters of UTF-8 as ``%uHHHH``; what is none is left out, as NUL is, but for one at the end."""
    text = value.decode("utf-8", "surrogateescape")
    pieces = [
        _OF_UTF8.sub(_unicode, _ALONE.sub(b"", piece.encode("utf-8", "surrogateescape")))
        if place % 2
        else _written(piece)
        for place, piece in enumerate(_NO_UTF8.split(text))
    ]
    return b"".join(pieces) + value[-1:] if text.endswith("\0") else b"".join(pieces)


def _written(text: str) -> bytes:
    """Characters so, as Python escapes them; NUL, which is left out, stands in for the backslashes of the text."""
    written = text.replace("\0", "").replace("\\", "\0").encode("ascii", "backslashreplace")
    if not text.isascii():
        for escape, ours in _PYTHONS.items():
            written = written.replace(escape, ours)
    return written.replace(b"\0", b"\\")


_PYTHONS = {b"\\x": b"%u00", b"\\u": b"%u", b"\\U000": b"%u", b"\\U00": b"%u"}
"""By which escapes Python begins a character, what is written here, in this order."""
