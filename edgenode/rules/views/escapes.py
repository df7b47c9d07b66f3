"""Percent-encoding (RFC 3986, section 2.1), and the form encoding made of it.

Law: what is malformed stays as it is and is never an error, as in every server: ``%zz`` is three characters.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from urllib.parse import quote_from_bytes

PERCENT, PLUS = b"%+"
"""As numbers: Python asks whether bytes are in bytes by way of an exception, which takes fifteen times as long."""

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_MALFORMED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NORMAL = {
    b"%02X" % byte: bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte for byte in range(256)
}  # fmt: skip


def unescaped(text: bytes) -> bytes:
    """The text with every percent-encoded byte decoded, once."""
    return _decoded(text) if PERCENT in text else text


def form_decoded(text: bytes) -> bytes:
    """The text as HTML forms encode it: ``+`` is a space, and then percent-encoding."""
    if PLUS in text:
        text = text.replace(b"+", b" ")
    return _decoded(text) if PERCENT in text else text


def _decoded(text: bytes) -> bytes:
    """The same by what decodes quoted-printable (RFC 2045), whose escapes differ in their first character: in C, where
    a megabyte of them takes no longer than a few. It is given none that is malformed, and no ``=`` of the text."""
    if text.find(b"%%") >= 0:  # of each two the first encodes nothing; of three the second is found the second time
        text = text.replace(b"%%", b"%25%").replace(b"%%", b"%25%")
    written = b"%25".join(_MALFORMED.split(text))
    return a2b_qp(written.replace(b"=", b"%3D").replace(b"%", b"="))


def normalised(text: bytes) -> bytes:
    """The same text in RFC 3986's normal form: ``%61`` is ``a``, ``%2f`` is ``%2F`` (sections 6.2.2.1 and 6.2.2.2)."""
    return _ESCAPE.sub(lambda escape: _NORMAL[escape[0][1:].upper()], text) if PERCENT in text else text


def escaped(text: bytes, safe: str = "") -> str:
    """The text with every byte percent-encoded but unreserved ones and those of ``safe``."""
    return quote_from_bytes(text, safe)
