"""Functions that encode, hash and authenticate texts.

Law: two texts that must agree for a token to be valid are compared in a time that does not tell where they differ.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from uuid import UUID

from edgenode.rules.views.escapes import unescaped

_TOKEN = re.compile(rb"(.+)([0-9]{10})-(.{43,})", re.DOTALL)
_ALPHABETS = bytes.maketrans(b"-_", b"+/")


def decode_base64(source: bytes) -> bytes | None:
    """The bytes that a text in Base64 means, missing if it cannot be any.

    As most decoders do, it reads both alphabets, with padding or without, and passes over every other character: an
    origin would read as much.
    """
    try:
        return binascii.a2b_base64(source.translate(_ALPHABETS) + b"==")
    except binascii.Error:
        return None


def encode_base64(source: bytes, flags: bytes = b"") -> bytes:
    """A text in Base64; with ``u`` in the alphabet that is safe in URLs, with ``p`` padded."""
    encoded = urlsafe_b64encode(source) if b"u" in flags else b64encode(source)
    return encoded if b"p" in flags else encoded.rstrip(b"=")


def sha256(source: bytes) -> bytes:
    """The SHA-256 of a text, 32 bytes."""
    return hashlib.sha256(source).digest()


def uuidv4(source: bytes) -> bytes:
    """A UUID of version 4 (RFC 9562, section 5.4) whose bits come from a text, so the same text gives the same one."""
    return str(UUID(bytes=sha256(source)[:16], version=4)).encode("ascii")


def hash_in_range(lowest: int, end: int, *values: Any) -> int:
    """A number from ``lowest`` up to ``end``, the latter excluded, that depends on nothing but the values."""
    hashed = hashlib.sha256()
    for value in values:
        written = value if isinstance(value, bytes) else repr(value).encode("ascii")
        hashed.update(b"%d:" % len(written))  # else ("ab", "c") and ("a", "bc") would be one
        hashed.update(written)
    return lowest + int.from_bytes(hashed.digest()[:16], "big") % (end - lowest)


def is_timed_hmac_valid(
    key: bytes, token: bytes, lifetime: int, now: int, separator: int = 0, flags: bytes = b""
) -> bool:
    """Whether a token, message, separator, time and code in one text, is authentic and has not expired.

    The code is the HMAC-SHA256 of message and time in Base64: percent-encoded, or, with the flag ``s``, in the alphabet
    that is safe in URLs and without padding.

    :param lifetime: seconds from the time in the token.
    :param now: seconds since the epoch.
    :param separator: the length of what stands between message and time, in bytes.
    """
    found = _TOKEN.fullmatch(token)
    if found is None or len(found[1]) <= separator:
        return False
    message, issued, given = found[1][: len(found[1]) - separator], found[2], found[3]
    code = hmac.digest(key, message + issued, "sha256")
    expected = urlsafe_b64encode(code).rstrip(b"=") if b"s" in flags else b64encode(code)
    if b"s" not in flags:
        given = unescaped(given)
    return hmac.compare_digest(expected, given) and now < int(issued) + lifetime
