"""Arguments and cookies as SecLang names them, and what other servers read in their place.

Law: what ModSecurity v3 makes of a request comes first, pair by pair. Whatever else rules on arguments see
(:mod:`edgenode.rules.views.arguments`) comes further: a request that has nothing but what everybody reads alike has
nothing further, and to find that out is cheap.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from edgenode.model.exchange import NO_BODY, Request
from edgenode.rules.views import arguments, bodies, cookies, json_values
from edgenode.rules.views.charsets import recoded
from edgenode.rules.views.escapes import PERCENT, PLUS, form_decoded
from edgenode.rules.views.flattening import Flattening, Unread, bytes_of
from edgenode.rules.views.names import ODD_NAME, readings
from edgenode.rules.views.pairs import MOST_PAIRS, Pairs
from edgenode.rules.views.view import view

_FORM, _MULTIPART = b"application/x-www-form-urlencoded", b"multipart/form-data"
_XML = re.compile(rb"(?:application(?:/soap\+|/)|text/)xml")
_JSON = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json")

_OPERATIONS = re.compile(rb"query|variables|operations", re.IGNORECASE)
"""What arguments of GraphQL over HTTP are called."""

_FURTHER = frozenset(("json", "graphql"))
"""What bodies are looked for in whatever their type says; XML stands in a collection of its own."""


@view
def processor(request: Request) -> bytes:
    """What reads the body: ``URLENCODED``, ``MULTIPART``, ``XML``, ``JSON`` or nothing. By the type only, as
    ``modsecurity.conf-recommended`` has it."""
    found = b""
    for each in request.fields.get(b"content-type", ()):
        written = each.lower()
        if written.startswith(_FORM):
            found = b"URLENCODED"
        elif written.startswith(_MULTIPART):
            found = b"MULTIPART"
        elif _XML.match(written):
            found = b"XML"
        elif _JSON.match(written):
            found = b"JSON"
    return found


def _divided(text: bytes) -> Pairs:
    """The pairs of a query or a form; both decoded once."""
    parts = [part.partition(b"=")[::2] for part in text.split(b"&", MOST_PAIRS)[:MOST_PAIRS] if part]
    if PERCENT in text or PLUS in text:
        return tuple([(form_decoded(name), form_decoded(value)) for name, value in parts])
    return tuple(parts)


@view
def of_query(request: Request) -> Pairs:
    """The arguments of the query."""
    query = request.query
    return _divided(query) if query else ()


@view
def of_body(request: Request) -> Pairs:
    """The fields of a form, and the parts of a multipart body that are no files."""
    if request.body is NO_BODY:
        return ()
    kind = processor(request)
    if kind == b"URLENCODED":
        return _divided(bodies.form_text(request) or b"")
    if kind == b"MULTIPART":
        parts = bodies.parts(request) or ()
        return tuple((part.names[0], part.value) for part in parts if part.names and not part.filenames)
    return ()


@view
def of_json(request: Request) -> Pairs:
    """The leaves of a body of JSON: ``{"a": [{"b": 1}]}`` has ``json.a.array_0.b``."""
    if request.body is NO_BODY or processor(request) != b"JSON":
        return ()
    found = bodies.body(request)
    into = Flattening()
    try:
        for document in json_values.documents(b"" if found is None else found.data):
            _flatten(document, into)
    except Unread:
        pass  # what stands in front is looked at, and the request is refused where something looks
    return tuple(into.pairs)


def _flatten(document: Any, into: Flattening) -> None:
    waiting: list[tuple[str, Any, int]] = [("json", document, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        inner: list[tuple[str, Any, int]]
        if isinstance(value, list):
            into.expect(depth + 1, len(value), len(name))
            inner = [(f"{name}.array_{index}", each, depth + 1) for index, each in enumerate(value)]
        elif isinstance(value, tuple):
            into.expect(depth + 1, len(value), len(name))
            inner = [(f"{name}.{key or 'empty-key'}", each, depth + 1) for key, each in value]
        else:
            written = value if isinstance(value, str) else "" if value is None else "true" if value else "false"
            into.add((bytes_of(name),), (bytes_of(written),))
            continue
        waiting += reversed(inner)


@view
def all_of_them(request: Request) -> Pairs:
    """Every argument, as ModSecurity has them: of the query, of the body."""
    found = of_query(request)
    return found if request.body is NO_BODY else (*found, *of_body(request), *of_json(request))


@view
def further(request: Request) -> Pairs:
    """Every pair that some server reads besides."""
    query = request.query
    if (
        request.body is NO_BODY
        and not request.application_arguments
        and (not query or _is_plain(request, query))
        and b"content-type" not in request.fields
    ):
        return ()
    known = set(all_of_them(request))
    found = Counter((name, value) for name, values in _everything(request).items() for value in values)
    if any(part.filenames for part in bodies.parts(request) or ()):
        found -= Counter(_of_files(request))
    return tuple(pair for pair in found if pair not in known)


_everything = arguments.with_further(_FURTHER)


def _of_files(request: Request) -> Iterator[tuple[bytes, bytes]]:
    """What is in files, which no rule on arguments looks at."""
    codecs = bodies.codecs(request)
    for part, values in zip(bodies.parts(request) or (), bodies.values(request), strict=True):
        if part.filenames:
            written = (each for name in part.names for each in (name, *(recoded(name, codec) for codec in codecs)))
            named = dict.fromkeys(each for name in written for each in readings(name))
            yield from ((name, value) for name in named for value in values)


def _is_plain(request: Request, query: bytes) -> bool:
    """Whether all read the same in it: without ``;``, odd names, and GraphQL."""
    if query.find(b";") >= 0 or _OPERATIONS.search(query) is not None:
        return False
    return all(ODD_NAME.search(name) is None for name, _ in of_query(request))


# -- cookies -----------------------------------------------------------------------------------------------------------

_SPACES = b" \t\n\v\f\r"


@view
def of_cookies(request: Request) -> Pairs:
    """Every cookie, as it was received."""
    return tuple([pair for field in request.fields.get(b"cookie", ()) for pair in _cookies(field)])


def _cookies(field: bytes) -> Iterator[tuple[bytes, bytes]]:
    for part in field.rstrip(_SPACES).split(b";"):
        name, _, value = part.partition(b"=")
        name = name.lstrip(_SPACES)
        if name:
            yield name, value


@view
def further_cookies(request: Request) -> Pairs:
    """Every reading of a cookie that is another one."""
    if b"cookie" not in request.fields:
        return ()
    known = set(of_cookies(request))
    found = cookies.cookie_readings(request)
    return tuple((name, value) for name, values in found.items() for value in values if (name, value) not in known)
