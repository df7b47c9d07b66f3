"""The bodies of requests as rules look at them: forms, parts, and what a body really is.

Law: a body is read by what its type can be taken for; what is malformed or cut off gives what could be read.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator

from edgenode.exchange import NO_BODY, Body, Request
from edgenode.rules.views.contents import media_type
from edgenode.rules.views.multipart import Part, read_parts
from edgenode.rules.views.pairs import Pairs, Values, collected, names_of, split_pairs, values_of
from edgenode.rules.views.parameters import first_word
from edgenode.rules.views.view import view

_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def body(request: Request) -> Body | None:
    """The body; ``None`` if there is one that nobody has read."""
    return NO_BODY if request.body is None and request.length == 0 else request.body


def raw(request: Request) -> bytes | None:
    """The body as received, or its beginning."""
    found = body(request)
    return None if found is None else found.data


def size(request: Request) -> int | None:
    """The size in bytes."""
    found = body(request)
    return None if found is None else found.size


def truncated(request: Request) -> bool | None:
    """Whether there is more of it than rules see."""
    found = body(request)
    return None if found is None else found.truncated


def mime(request: Request) -> bytes | None:
    """What the body is by its first bytes, whatever its header says."""
    found = body(request)
    return None if found is None else media_type(found.data)


@view
def form_pairs(request: Request) -> Pairs | None:
    """The fields of an ``application/x-www-form-urlencoded`` body, not decoded."""
    found = body(request)
    if found is None:
        return None
    types = map(first_word, request.fields.get(b"content-type", ()))
    return split_pairs(found.data) if b"application/x-www-form-urlencoded" in types else ()


@view
def form(request: Request) -> Values | None:
    """Every value of every field of a form, not decoded."""
    pairs = form_pairs(request)
    return None if pairs is None else collected(pairs)


def form_names(request: Request) -> tuple[bytes, ...] | None:
    """The name of each field, not decoded."""
    pairs = form_pairs(request)
    return None if pairs is None else names_of(pairs)


def form_values(request: Request) -> tuple[bytes, ...] | None:
    """The value of each field, not decoded."""
    pairs = form_pairs(request)
    return None if pairs is None else values_of(pairs)


@view
def parts(request: Request) -> tuple[Part, ...] | None:
    """The parts of a ``multipart`` body."""
    found = body(request)
    if found is None:
        return None
    types = request.fields.get(b"content-type", ())
    return tuple(
        part for each in types if first_word(each).startswith(b"multipart/") for part in read_parts(each, found.data)
    )


@view
def multipart(request: Request) -> Values | None:
    """Every value of every name of a part, as received."""
    found = parts(request)
    return None if found is None else collected((name, part.value) for part in found for name in part.names)


def of_parts(attribute: str) -> Callable[[Request], tuple[tuple[bytes, ...], ...] | None]:
    """A reader of one thing of each part."""

    def read(request: Request) -> tuple[tuple[bytes, ...], ...] | None:
        found = parts(request)
        return None if found is None else tuple(getattr(part, attribute) for part in found)

    return read


def part_values(request: Request) -> tuple[bytes, ...] | None:
    """The content of each part."""
    found = parts(request)
    return None if found is None else tuple(part.value for part in found)


def contents(part: Part) -> Iterator[bytes]:
    """The content of a part as received, and decoded as its Content-Transfer-Encoding says, which some servers do."""
    yield part.value
    for encoding in part.content_transfer_encodings:
        match first_word(encoding):
            case b"base64":
                digits = _BASE64.sub(b"", part.value)
                yield binascii.a2b_base64(digits[: len(digits) // 4 * 4] + _padded(digits))
            case b"quoted-printable":
                yield binascii.a2b_qp(part.value)


def _padded(digits: bytes) -> bytes:
    """The last digits with padding; a single one is no byte."""
    rest = digits[len(digits) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
