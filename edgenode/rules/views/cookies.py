"""Cookies (RFC 6265): Cloudflare's reading of them, and every other reading that origins have.

Law: a rule on a cookie sees each form in which some server may read its value.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator

from edgenode.model.exchange import Exchange, Request
from edgenode.rules.views.escapes import PERCENT, unescaped
from edgenode.rules.views.names import ODD_NAME, UNDERSCORES, folded, readings
from edgenode.rules.views.pairs import Pairs, Values, collected
from edgenode.rules.views.view import view

_QUOTE, _COMMA, _TAB = b'",\t'
_BETWEEN = b"; "
_EMPTY = frozenset((b"", b"="))
_LOOSE = re.compile(rb'(?:\A|[\s;,])([^\s;,="]++)\s*+=\s*+("(?:[^"\\]|\\.)*+(?:"|\Z)|[^\s;,]*+)', re.DOTALL)
_BACKSLASH = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)


def whole(request: Request) -> bytes:
    """All Cookie fields as one, as RFC 9113, section 8.2.3, joins them; empty without one."""
    return b"; ".join(request.fields.get(b"cookie", ()))


@view
def cookies(request: Request) -> Values:
    """Every value of every cookie as received, by the name, percent-decoded."""
    return collected((unescaped(name), value) for name, value in _pairs(request))


@view
def cookie_readings(request: Request) -> Values:
    """Every value, by the name as received, decoded, and as PHP has it: as received, percent-decoded and without
    quotes."""
    written = whole(request)
    loose = _is_loose(written)
    if PERCENT not in written and _QUOTE not in written and not loose:  # there is but one reading of them
        plain = [part.partition(b"=")[::2] for part in written.translate(None, b" ").split(b";") if part not in _EMPTY]
        if not any(ODD_NAME.search(name) for name, _ in plain):
            return collected(plain)
    pairs = _pairs(request)
    if loose or _QUOTE in written:
        pairs = tuple(dict.fromkeys((*pairs, *_loose_pairs(request))))
    return collected(
        (name, value)
        for written, received in pairs
        for name in dict.fromkeys((*readings(written), *readings(unescaped(written))))
        for value in dict.fromkeys(_readings(received))
    )


def of_name(name: bytes) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of every value of one cookie, as :func:`cookie_readings` has them, that seldom has to read the others.

    Only percent-encoding could write the name otherwise, and PHP an ``_``; and a name that is written once has but one
    value.
    """
    begins, length, is_plain = name + b"=", len(name) + 1, name.find(b"=") < 0
    underscored = b"_" in name

    def read(exchange: Exchange) -> tuple[bytes, ...] | None:
        request = exchange.request
        if request is None:
            return None
        written = b"; ".join(request.fields.get(b"cookie", ()))
        if PERCENT not in written:
            count = written.count(name)
            if underscored and written.translate(UNDERSCORES).count(name) != count:
                return cookie_readings(request).get(name)
            if not count:
                return None
            if count == 1 and is_plain and _QUOTE not in written and not _is_loose(written):
                start = written.find(begins)
                if start == 0 or (start > 0 and written[start - 1] in _BETWEEN):
                    end = written.find(b";", start)
                    return (written[start + length :] if end < 0 else written[start + length : end],)
        return cookie_readings(request).get(name)

    return read


def in_any_case(name: bytes) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of every value of the cookies of a name in any case."""
    sought = folded(name)

    def read(exchange: Exchange) -> tuple[bytes, ...] | None:
        request = exchange.request
        if request is None or b"cookie" not in request.fields:
            return None
        found = cookie_readings(request).items()
        return tuple(value for key, values in found if folded(key) == sought for value in values) or None

    return read


def _is_loose(written: bytes) -> bool:
    """Whether a server that divides at white space and commas too would read other cookies."""
    return _COMMA in written or _TAB in written or written.count(b" ") != written.count(b"; ")


def _pairs(request: Request) -> Pairs:
    found = []
    for field in request.fields.get(b"cookie", ()):
        for part in field.split(b";"):
            name, _, value = part.partition(b"=")
            name, value = name.strip(b" \t"), value.strip(b" \t")
            if name or value:
                found.append((name, value))
    return tuple(found)


def _loose_pairs(request: Request) -> Pairs:
    """Divided at white space and commas too, but not within quotes: Python's ``http.cookies``, RFC 2109."""
    return tuple(pair for field in request.fields.get(b"cookie", ()) for pair in _LOOSE.findall(field))


def _readings(value: bytes) -> Iterator[bytes]:
    yield value
    yield unescaped(value)
    if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
        yield unescaped(value[1:-1])
        yield _BACKSLASH.sub(_character, value[1:-1])  # as Python's http.cookies, octal escapes among them
    if (written := unescaped(value)).startswith(b'j:"'):  # Express
        with contextlib.suppress(ValueError):
            yield str(json.loads(written[2:])).encode("utf-8", "surrogatepass")


def _character(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    return bytes((int(digits, 8),)) if len(digits) == 3 else digits
