"""What a text says in Base64 (RFC 4648), as decoders read it that pass over what they do not know.

Law: nothing is an error; what says nothing has no reading.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator

_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NO_DIGITS = bytes(set(range(256)) - set(_DIGITS))
_SAFE = bytes.maketrans(b"-_", b"+/")


def decoded(text: bytes) -> bytes:
    """What its digits say, whatever stands between them; with padding or without."""
    digits = text.translate(None, _NO_DIGITS)
    rest = len(digits) % 4
    if rest == 1:  # a single one is no byte
        return binascii.a2b_base64(digits[:-1])
    return binascii.a2b_base64(digits + b"=" * (-rest % 4))


def base64_readings(text: bytes) -> tuple[bytes, ...]:
    """What a text says: in the standard alphabet, and in the one that is safe in URLs; with ``+`` for spaces, which a
    form has decoded; in a data URL; and what several padded texts say one behind another."""
    return tuple(dict.fromkeys(filter(None, _readings(text)))) if len(text) > 1 else ()


def _readings(text: bytes) -> Iterator[bytes]:
    if text[:5].lower() == b"data:":
        text = text.partition(b",")[2]
    safe = text.translate(_SAFE)
    for each in dict.fromkeys((text, safe, safe.replace(b" ", b"+"))):
        yield decoded(each)
        if b"=" in each.rstrip(b"= \r\n"):
            yield b"".join(map(decoded, each.split(b"=")))
