"""Values looked up in JSON.

Law: a value is found wherever a usual parser would find it: of a repeated name the last counts, and a number elsewhere
in the document that is too large hides nothing. What is no JSON, or nests too deep for the parser, has no values.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

_LONGEST_NUMBER = len(str(-(1 << 63)))


def lookup_integer(source: bytes, *path: bytes | int) -> int | None:
    """The integer at a path of names and indexes; only one that is written as such and fits into 64 bits."""
    found = _lookup(source, path)
    return found if type(found) is int and -(1 << 63) <= found < 1 << 63 else None


def lookup_string(source: bytes, *path: bytes | int) -> bytes | None:
    """The string at a path of names and indexes, in UTF-8."""
    found = _lookup(source, path)
    return _encoded(found) if isinstance(found, str) else None


def _lookup(source: bytes, path: tuple[bytes | int, ...]) -> Any:
    found = _document(source)
    for step in path:
        if isinstance(step, bytes) and isinstance(found, dict):
            found = found.get(_decoded(step))
        elif isinstance(step, int) and isinstance(found, list) and 0 <= step < len(found):
            found = found[step]
        else:
            return None
    return found


# Rules look up several values in one document, one after the other.
@lru_cache(1)
def _document(source: bytes) -> Any:
    try:
        return json.loads(_decoded(source), parse_int=_integer, parse_float=_nothing, strict=False)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else None


def _nothing(_: str) -> None:
    return None


def _decoded(source: bytes) -> str:
    """Text in the encoding that parsers guess from its first bytes (RFC 4627, section 3); bytes that are wrong stay."""
    encoding = json.detect_encoding(source)
    return source.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, written \ud800
        return text.encode("utf-8", "surrogatepass")
