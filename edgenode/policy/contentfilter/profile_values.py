"""The headers, cookies and arguments of a request as a profile counts, measures and reads them.

Law: an ordinary request, without a body and with a plain query, costs little; whatever is not plain is read in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from edgenode.model.exchange import NO_BODY, Request
from edgenode.rules.views import arguments, bodies, cookies, structured
from edgenode.rules.views.escapes import form_decoded
from edgenode.rules.views.names import folded
from edgenode.rules.views.pairs import split_pairs
from edgenode.rules.views.view import view

Pair = tuple[bytes, bytes]
Readings = Mapping[bytes, Iterable[bytes]]

_EVERY_READING = arguments.with_further(frozenset((*structured.KINDS, "any-case")))
_STRUCTURED = structured.pairs_of(frozenset(structured.KINDS))
_PLAIN = re.compile(rb"[A-Za-z0-9_~=&:,@!$'()*/?.-]*")
"""A query of which there is one reading, unless a name has a dot."""


def at_most(request: Request, kind: str) -> tuple[int, int] | None:
    """How many pairs there are at most, and how long anything in them is; ``None`` if that takes reading them.

    :param kind: ``header``, ``cookie`` or ``argument``.
    """
    if kind == "header":
        fields = request.fields
        count = sum(map(len, fields.values())) - len(fields.get(b"cookie", ()))
        values = [len(each) for name, several in fields.items() if name != b"cookie" for each in several]
        return count, max(*values, *map(len, fields), 0, 0)
    if kind == "cookie":
        written = cookies.whole(request)
        return (written.count(b";") + 1, len(written)) if written else (0, 0)
    plain = _plain(request)
    if plain is None:
        return None
    return len(plain), len(request.query or b"")


def pairs_of(request: Request, kind: str) -> Sequence[Pair]:
    """Every name and value once, decoded; without the Cookie field among the headers."""
    return _PAIRS[kind](request)


def readings_of(request: Request, kind: str) -> Readings:
    """Every reading of every value, by the name without case."""
    return _READINGS[kind](request)


def _headers(request: Request) -> Sequence[Pair]:
    return [(name, value) for name, values in request.fields.items() if name != b"cookie" for value in values]


def _cookies(request: Request) -> Sequence[Pair]:
    return [(name, value) for name, values in cookies.cookies(request).items() for value in values]


@view
def _plain(request: Request) -> Sequence[Pair] | None:
    """The arguments of a request without a body, of which there is but one reading; ``None`` if it is another one."""
    query = request.query
    if request.body is not NO_BODY or b"content-type" in request.fields or request.application_arguments:
        return None
    if not query:
        return ()
    if _PLAIN.fullmatch(query) is None:
        return None
    found = split_pairs(query)
    return None if b"." in query and any(b"." in name for name, _ in found) else found


def _arguments(request: Request) -> Sequence[Pair]:
    plain = _plain(request)
    if plain is not None:
        return plain
    found = [pair for text in (request.query, *bodies.form_texts(request)) if text for pair in split_pairs(text)]
    pairs = [(form_decoded(name), form_decoded(value)) for name, value in found]
    parts = bodies.parts(request)
    for part, values in zip(parts, bodies.values(request), strict=True) if parts else ():
        pairs += [(part.names[0] if part.names else b"", value) for value in values]
    return [*pairs, *_STRUCTURED(request)[0]]


def divided_arguments(request: Request) -> Sequence[Pair]:
    """Those that there are where ``;`` divides them too."""
    if _plain(request) is not None:
        return ()
    several = [text for text in (request.query, *bodies.form_texts(request)) if text and b";" in text]
    found = [pair for text in several for pair in split_pairs(text.replace(b";", b"&"))]
    return [(form_decoded(name), form_decoded(value)) for name, value in found]


def _readings_of_arguments(request: Request) -> Readings:
    plain = _plain(request)
    if plain is None:
        return _EVERY_READING(request)
    found: dict[bytes, list[bytes]] = {}
    for name, value in plain:
        found.setdefault(folded(name), []).append(value)
    return found


def _readings_of_cookies(request: Request) -> Readings:
    found: dict[bytes, list[bytes]] = {}
    for name, several in cookies.cookie_readings(request).items():
        found.setdefault(folded(name), []).extend(several)
    return found


_PAIRS: Mapping[str, Callable[[Request], Sequence[Pair]]] = {
    "header": _headers,
    "cookie": _cookies,
    "argument": _arguments,
}

_READINGS: Mapping[str, Callable[[Request], Readings]] = {
    "header": lambda request: request.fields,
    "cookie": _readings_of_cookies,
    "argument": _readings_of_arguments,
}
