"""Arguments and cookies as SecLang names them, and what other servers read in their place.

Law: what ModSecurity v3 makes of a request comes first, pair by pair. Whatever else rules on arguments see
(:mod:`edgenode.rules.views.arguments`) comes further: a request that has nothing but what everybody reads alike has
nothing further, and to find that out is cheap.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from edgenode.model.exchange import NO_BODY, Request
from edgenode.model.garbage import uncollected
from edgenode.rules.views import arguments, bodies, charsets, cookies, json_values
from edgenode.rules.views.escapes import PERCENT, PLUS, unescaped
from edgenode.rules.views.flattening import Flattening, Unread, bytes_of
from edgenode.rules.views.multipart import Part
from edgenode.rules.views.names import readings
from edgenode.rules.views.pairs import MOST_PAIRS, Pairs, Values
from edgenode.rules.views.view import view

_FORM, _MULTIPART = b"application/x-www-form-urlencoded", b"multipart/form-data"
_XML = re.compile(rb"(?:application(?:/soap\+|/)|text/)xml")
_JSON = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json")

_SPACES = b" \t\n\v\f\r"


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
    if PLUS in text:
        text = text.replace(b"+", b" ")
    parts = [part.partition(b"=") for part in text.removesuffix(b"&").split(b"&", MOST_PAIRS)[:MOST_PAIRS]]
    if PERCENT in text:
        return tuple([(unescaped(name), unescaped(value)) for name, _, value in parts])
    return tuple([(name, value) for name, _, value in parts])


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


def of_json(request: Request) -> Pairs:
    """The leaves of a body of JSON: ``{"a": [{"b": 1}]}`` has ``json.a.array_0.b``."""
    return () if request.body is NO_BODY or processor(request) != b"JSON" else _json(request)[0]


@view
@uncollected()
def documents(request: Request) -> tuple[tuple[Any, ...], bool]:
    """What a body of JSON has in it, and whether all of it could be read; if not, what stands in front."""
    found = bodies.body(request)
    read: list[Any] = []
    try:
        read.extend(json_values.documents(b"" if found is None else found.data))  # and keeps those in front of an error
    except Unread:
        return tuple(read), False
    return tuple(read), True


@view
@uncollected()
def _json(request: Request) -> tuple[Pairs, bool]:
    """The leaves, and whether all of them are there."""
    found, read = documents(request)
    leaves: list[tuple[str, str]] = []
    bounds = Flattening()
    try:
        for document in found:
            bounds.expect(0, 1, 0)
            if type(document) in _STRUCTURES:
                _walk("json", document, 1, bounds, leaves.append)
            else:
                leaves.append(("json", _SAID.get(document, document)))
    except Unread:
        read = False
    try:
        return tuple([(name.encode(), value.encode()) for name, value in leaves]), read
    except UnicodeEncodeError:  # of what was no UTF-8
        return tuple([(bytes_of(name), bytes_of(value)) for name, value in leaves]), read


def _walk(name: str, structure: Any, depth: int, bounds: Flattening, add: Callable[[tuple[str, str]], None]) -> None:
    """Add the leaves in an object or an array, and in those in it."""
    bounds.expect(depth, len(structure), len(name))
    is_array = type(structure) is list
    for key, value in enumerate(structure) if is_array else structure:
        inner = f"{name}.array_{key}" if is_array else f"{name}.{key or 'empty-key'}"
        kind = type(value)
        if kind in _TEXTS:
            add((inner, value))
        elif kind in _STRUCTURES:
            _walk(inner, value, depth + 1, bounds, add)
        else:
            add((inner, _SAID[value]))


_TEXTS, _STRUCTURES = frozenset((str, json_values.Number)), frozenset((list, json_values.Members))
_SAID = {None: "", False: "false", True: "true"}


@view
def all_of_them(request: Request) -> Pairs:
    """Every argument, as ModSecurity has them: of the query, of the body."""
    return (*of_query(request), *of_body(request), *of_json(request))


def further(request: Request) -> Pairs:
    """The pairs that some server reads besides, and whose values are others."""
    return _others(aliases(request), all_of_them(request))


def further_names(request: Request) -> Pairs:
    """The names among them that are others."""
    names = dict.fromkeys(name for name, _ in further(request))
    return tuple((name, name) for name in names.keys() - {name for name, _ in all_of_them(request)}) if names else ()


def _others(pairs: Pairs, known: Pairs) -> Pairs:
    """Those with other values."""
    if not pairs:
        return ()
    values = {value for _, value in known}
    return tuple(pair for pair in pairs if pair[1] not in values)


@view
def aliases(request: Request) -> Pairs:
    """Every pair that some server reads besides: other values, and the same ones by other names."""
    if not request.application_arguments and _is_plain(request):
        return ()
    known = set(all_of_them(request))
    found = Counter((name, value) for name, values in _everything(request).items() for value in values)
    if any(map(_is_file, bodies.parts(request) or ())):
        found -= Counter(_of_files(request))
    return tuple(pair for pair in found if pair not in known)


def _is_plain(request: Request) -> bool:
    """Whether all read the same arguments in it."""
    query = request.query
    if query and (query.find(b";") >= 0 or _has_operation(query) or not _are_plain(of_query(request))):
        return False
    if request.body is not NO_BODY:
        return is_plain_body(request)
    types = request.fields.get(b"content-type")
    return types is None or not charsets.codecs(types)


@view
def is_plain_body(request: Request) -> bool:
    """Whether all read the same in the body: it is of one type, in UTF-8, and nothing in it is odd."""
    types, found = request.fields.get(b"content-type", ()), bodies.body(request)
    if found is None:
        return True
    data = found.data
    if len(types) != 1 or b"content-encoding" in request.fields or charsets.codecs(types) or _has_operation(data):
        return False
    kind = processor(request)
    if kind == b"URLENCODED":  # and no JSON that some server takes for such
        return data.find(b";") < 0 and _BEGINS_FORM.match(data) is not None and _are_plain(of_body(request))
    return _json(request)[1] if kind == b"JSON" else kind == b"XML" and data.lstrip(_SPACES).startswith(b"<")


def is_plain_form(request: Request) -> bool:
    """Whether the body is a form, and all read the same in it."""
    return processor(request) == b"URLENCODED" and is_plain_body(request)


def json_is_read(request: Request) -> bool:
    """Whether all of a body of JSON could be read."""
    return _json(request)[1]


def _has_operation(text: bytes) -> bool:
    """Whether GraphQL over HTTP may be in it."""
    text = text.lower()
    return text.find(b"query") >= 0 or text.find(b"variables") >= 0 or text.find(b"operations") >= 0


def _are_plain(pairs: Pairs) -> bool:
    """Whether all read their names alike."""
    names = b"".join([name for name, _ in pairs])
    return len(names.translate(None, _ODD)) == len(names) and names.find(b"_charset_") < 0


_ODD = b"\0[]." + _SPACES
"""What stands in a name that somebody reads otherwise: see :data:`edgenode.rules.views.names.ODD_NAME`."""

_BEGINS_FORM = re.compile(rb"[\w%.+-][^\0]{3}", re.ASCII)
_FORGIVEN, _STRICT = (arguments.with_further(frozenset(kinds)) for kinds in (("json", "graphql"), ("graphql",)))


def _everything(request: Request) -> Values:
    """All arguments; of JSON that was read only the operations of GraphQL, whose values it has in other texts."""
    return (_STRICT if processor(request) == b"JSON" and _json(request)[1] else _FORGIVEN)(request)


def _is_file(part: Part) -> bool:
    """Whether all take a part for a file; one with content, but an empty file name, is a field to Go."""
    return bool(part.filenames) and (all(part.filenames) or not part.value)


def _of_files(request: Request) -> Iterator[tuple[bytes, bytes]]:
    """What is in files, which no rule on arguments looks at."""
    codecs = bodies.codecs(request)
    for part, values in zip(bodies.parts(request) or (), bodies.values(request), strict=True):
        if _is_file(part):
            written = (
                each for name in part.names for each in (name, *(charsets.recoded(name, codec) for codec in codecs))
            )
            named = dict.fromkeys(each for name in written for each in readings(name))
            yield from ((name, value) for name in named for value in values)


# -- cookies -----------------------------------------------------------------------------------------------------------


@view
def of_cookies(request: Request) -> Pairs:
    """Every cookie, as it was received."""
    found: list[tuple[bytes, bytes]] = []
    for written in request.fields.get(b"cookie", ()):
        parts = [part.partition(b"=") for part in written.removesuffix(b";").rstrip(_SPACES).split(b";")]
        found += [(name, value) for given, _, value in parts if (name := given.lstrip(_SPACES))]
    return tuple(found)


def further_cookies(request: Request) -> Pairs:
    """The readings of cookies whose values are others."""
    return _others(cookie_aliases(request), of_cookies(request))


def further_cookie_names(request: Request) -> Pairs:
    """The names among them that are others."""
    names = dict.fromkeys(name for name, _ in cookie_aliases(request))
    return tuple((name, name) for name in names.keys() - {name for name, _ in of_cookies(request)}) if names else ()


@view
def cookie_aliases(request: Request) -> Pairs:
    """Every reading of a cookie that is another one."""
    written = request.fields.get(b"cookie", ())
    if not written or (len(written) == 1 and _is_plain_cookie(written[0]) and _are_plain(of_cookies(request))):
        return ()
    known = set(of_cookies(request))
    found = cookies.cookie_readings(request)
    return tuple((name, value) for name, values in found.items() for value in values if (name, value) not in known)


_QUOTE, _COMMA, _TAB = b'",\t'


def _is_plain_cookie(text: bytes) -> bool:
    """Whether all divide it alike, and nothing in it is encoded."""
    return (
        PERCENT not in text
        and _QUOTE not in text
        and _COMMA not in text
        and _TAB not in text
        and text.count(b" ") == text.count(b"; ")
    )
