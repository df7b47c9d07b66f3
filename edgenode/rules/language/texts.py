"""Functions on texts, which are bytes, and on arrays of them.

Law: each takes time in proportion to what it is given, however hostile: a text encoded a thousand times over is decoded
in one pass.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any

from edgenode.model.exchange import UNKNOWN_CLIENT
from edgenode.rules.networks import NOWHERE
from edgenode.rules.views.escapes import form_decoded

# What stands behind the % of an escape: HH, and with the option u also uHHHH; half a UTF-16 character is none.
_HEXADECIMAL = b"0123456789ABCDEFabcdef"
_BYTES = {bytes((high, low)): int(bytes((high, low)), 16) for high in _HEXADECIMAL for low in _HEXADECIMAL}
_CHARACTER = rb"[uU]((?![Dd][89A-Fa-f])[0-9A-Fa-f]{4})"
_LEADING_CHARACTER = re.compile(_CHARACTER)
_ESCAPE = re.compile(b"%%([0-9A-Fa-f]{2})|%%%b" % _CHARACTER)


def concat(*parts: bytes | Collection[Any] | None) -> bytes | tuple[Any, ...] | None:
    """All parts in one, texts or arrays; what is missing is passed over, and nothing is missing."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    if isinstance(present[0], bytes):
        return b"".join(present)  # type: ignore[arg-type]  # the checker saw to it that all are of one type
    return tuple(element for part in present for element in part)


def coalesce(*values: Any) -> Any:
    """The first value that is not missing."""
    return next((value for value in values if value is not None), None)


def has_value(collection: Collection[Any] | Mapping[bytes, Any], value: Any) -> bool:
    """Whether an array has an element, or a map a value."""
    return value in (collection.values() if isinstance(collection, Mapping) else collection)


def remove_query_args(query: bytes, *names: bytes) -> bytes:
    """A query string without the arguments of these names, as they are written in it."""
    return b"&".join(part for part in query.split(b"&") if part.partition(b"=")[0] not in names)


def to_string(value: bool | int | tuple[int, int]) -> bytes:
    """A number in decimal, ``true`` or ``false``, or an address in its shortest form."""
    if isinstance(value, tuple):
        version, number = value
        if value == NOWHERE:
            return UNKNOWN_CLIENT.encode("ascii")
        return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)).encode("ascii")
    return (str(value).lower() if isinstance(value, bool) else str(value)).encode("ascii")


def url_decode(source: bytes, options: bytes = b"") -> bytes:
    """A text with its percent-escapes decoded and ``+`` read as a space; what is no escape is left as it is."""
    unicode = b"u" in options
    if b"r" in options:
        return _decoded_wholly(source, unicode).replace(b"+", b" ")
    return _ESCAPE.sub(_meaning, source.replace(b"+", b" ")) if unicode else form_decoded(source)


def _meaning(escape: re.Match[bytes]) -> bytes:
    byte, character = escape.groups()
    return bytes((_BYTES[byte],)) if byte else chr(int(character, 16)).encode()


def _decoded_wholly(source: bytes, unicode: bool) -> bytes:
    """Decoded until nothing is left to decode, in one pass: escapes never overlap, so their order makes no odds.

    It goes from the last ``%`` to the first. What stands behind each is decoded by then, so only its own is left.
    """
    first, *behind = source.split(b"%")
    decoded = bytearray()  # backwards, for a bytearray grows at its end
    for part in reversed(behind):
        decoded += part[::-1]
        meant = b"%"
        while meant == b"%" != decoded[-1:]:
            length, meant = _leading(bytes(decoded[:-6:-1]), unicode)
            if not length:
                break
            del decoded[-length:]
        decoded += meant[::-1]
    return first + decoded[::-1]


def _leading(behind: bytes, unicode: bool) -> tuple[int, bytes]:
    """How much of what stands behind a ``%`` belongs to its escape, 0 if it is none, and what the whole means."""
    byte = _BYTES.get(behind[:2])
    if byte is not None:
        return 2, bytes((byte,))
    character = _LEADING_CHARACTER.match(behind) if unicode else None
    return (0, b"%") if character is None else (5, chr(int(character[1], 16)).encode())
