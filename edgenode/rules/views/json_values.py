"""JSON (RFC 8259) as names and values: those of the leaves, named by the way that leads to them.

Law: what two readers of JSON take differently is read in both ways, or is refused: a repeated name keeps all its
values, ``1e2`` is ``100`` as well, and NaN, comments and single quotes are no JSON. It takes time in proportion to the
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from edgenode.rules.views.flattening import MOST_VALUES, Beyond, Flattening, Unread, bytes_of

_BETWEEN = " \t\n\r\x1e"
"""White space, and what stands between the texts of a sequence (RFC 7464)."""

_ANY_BETWEEN = re.compile(f"[{_BETWEEN}]+")

_LARGEST = 10**21
"""From here on JavaScript writes a number with an exponent."""

_EXACT, _LONGEST = 16, 400
"""Digits that a number of IEEE 754 holds all of, and characters from which on readers differ anyway."""


class Members(tuple[tuple[str, Any], ...]):
    """An object, with every member as often as it is written."""


class Number(str):
    """A number as it is written."""

    __slots__ = ()


def _refuse(constant: str) -> NoReturn:
    raise Unread(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=Members, parse_float=Number, parse_int=Number, parse_constant=_refuse, strict=True
)


def documents(text: bytes) -> Iterator[Any]:
    """The values of a text, one behind another: as a rule one, and in JSON lines or a sequence several.

    Some readers stop behind the first, whatever comes then, and others take them all.

    :raises Unread: behind those in front of what is not well-formed, or stands too deep.
    """
    written = text.decode("utf-8", "surrogateescape").lstrip("\ufeff").strip(_BETWEEN)
    found = place = 0
    try:
        while place < len(written):
            document, place = _DECODER.raw_decode(written, place)
            found += 1
            yield document
            if found > MOST_VALUES:
                raise Beyond("there are too many texts")
            between = _ANY_BETWEEN.match(written, place)
            place = place if between is None else between.end()
    except RecursionError as error:
        raise Beyond(str(error)) from None
    except ValueError as error:
        raise Unread(str(error)) from None


def flatten(document: Any, into: Flattening, name: str = "") -> None:
    """Add the leaves of a document: ``{"a": {"b": [1, "x"]}}`` has ``a_b_0`` and ``a_b_1``, and without their indices
    both are ``a_b``. A single value without a name is ``JSON_ROOT``.

    :param name: what it stands under.
    :raises Unread: if there are too many, or one stands too deep.
    """
    waiting = [(name, name, document, 0)]
    while waiting:
        full, bare, value, depth = waiting.pop()
        if isinstance(value, Members):
            into.expect(depth + 1, len(value), len(full) + len(bare))
            inner = [(_joined(full, key), _joined(bare, key), each, depth + 1) for key, each in value]
        elif isinstance(value, list):
            into.expect(depth + 1, len(value), len(full) + len(bare))
            inner = [(_joined(full, str(index)), bare, each, depth + 1) for index, each in enumerate(value)]
        else:
            names = dict.fromkeys((full, bare)) if full else ("JSON_ROOT",)
            into.add([bytes_of(each) for each in names if each], _readings(value))
            continue
        waiting += reversed(inner)


def members(document: Any) -> Iterator[tuple[str, Any]]:
    """The members of an object, or of each object in an array; none of anything else."""
    for each in document if isinstance(document, list) else (document,):
        if isinstance(each, Members):
            yield from each


def _joined(before: str, name: str) -> str:
    return f"{before}_{name}" if before else name


def _readings(value: Any) -> tuple[bytes, ...]:
    """A leaf as a text, as the vendor's product writes it; a number also as JavaScript and Python write it."""
    if not isinstance(value, str):
        return (b"null" if value is None else b"true" if value else b"false",)
    written = bytes_of(value)
    if isinstance(value, Number) and len(value) < _LONGEST and not (value.isdigit() and len(value) < _EXACT):
        number = float(value)
        whole = number.is_integer() and abs(number) < _LARGEST
        return tuple(dict.fromkeys((written, (str(int(number)) if whole else repr(number)).encode())))
    return (written,)
