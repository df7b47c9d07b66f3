"""The head and the body of a request as SecLang names what is in them.

Law: what ModSecurity v3 has in a variable comes first; what servers read in its place comes further.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

from edgenode.model.exchange import NO_BODY, Request
from edgenode.policy.contentfilter import arguments, xml_texts
from edgenode.rules.views import bodies, structured, uris
from edgenode.rules.views.escapes import PERCENT, unescaped
from edgenode.rules.views.pairs import Pairs
from edgenode.rules.views.view import view


def _others(values: Iterable[bytes], first: bytes) -> Pairs:
    return tuple([(b"", value) for value in dict.fromkeys(values) if value and value != first])


(_HASH,) = b"#"

# -- the head ----------------------------------------------------------------------------------------------------------


def protocol(request: Request) -> bytes:
    """``HTTP/1.1``; of HTTP/2 as nginx tells ModSecurity, ``HTTP/2.0``."""
    return b"HTTP/%d.%d" % request.version


def line(request: Request) -> bytes:
    """The request line, of HTTP/2 as it would be in HTTP/1."""
    return b"%b %b %b" % (request.method, request.target, protocol(request))


def _is_usual(target: bytes) -> bool:
    """Whether it begins with the path, and nothing in it is to be decoded or left out."""
    return target.startswith(b"/") and PERCENT not in target and _HASH not in target


def uri(request: Request) -> bytes:
    """Path and query, percent-decoded, up to a ``#``."""
    target = request.target
    return target if _is_usual(target) else unescaped(uris.raw_uri(request).partition(b"#")[0])


def filename(request: Request) -> bytes:
    """The path, likewise."""
    path = request.path
    if _is_usual(path):
        return path
    return unescaped(uris.raw_uri(request).partition(b"#")[0].partition(b"?")[0])


def basename(request: Request) -> bytes:
    """What stands behind the last slash or backslash of it."""
    name = filename(request)
    return name[max(name.rfind(b"/"), name.rfind(b"\\")) + 1 :]


def further_filenames(request: Request) -> Pairs:
    """What servers make of the path besides."""
    path = request.path
    if path == request.normalised_path and path.find(b";") < 0 and path.find(b"\\") < 0:
        return ()
    return _others(uris.path_readings(request), filename(request))


def further_uris(request: Request) -> Pairs:
    """The same with the query."""
    path = request.path
    if path == request.normalised_path and path.find(b";") < 0 and path.find(b"\\") < 0:
        return ()
    return _others(uris.uri_readings(request), uri(request))


def further_basenames(request: Request) -> Pairs:
    """What stands behind the last slash of each."""
    further = further_filenames(request)
    return _others((value.rpartition(b"/")[2] for _, value in further), basename(request)) if further else ()


def header_names(request: Request) -> Pairs:
    """The names of fields as they were received."""
    names = request.names if len(request.names) == len(request.headers) else [name for name, _ in request.headers]
    return tuple(zip(names, names, strict=True))


_AUTHORIZATION = re.compile(rb"\s*(\S+)\s*(.*)", re.DOTALL)


def authorization(request: Request) -> tuple[bytes, bytes]:
    """The scheme of ``Authorization``, and what it says."""
    found = _AUTHORIZATION.match(b" ".join(request.fields.get(b"authorization", ())[:1]))
    return (b"", b"") if found is None else (found[1], found[2])


def user(request: Request) -> bytes:
    """Who ``Basic`` names (RFC 7617)."""
    kind, said = authorization(request)
    if kind.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(said).partition(b":")[0]
    except binascii.Error:
        return b""


# -- the body ----------------------------------------------------------------------------------------------------------


def body(request: Request) -> bytes:
    """The body without its content codings."""
    if request.body is NO_BODY:
        return b""
    found = bodies.body(request)
    return b"" if found is None else found.data


def further_bodies(request: Request) -> Pairs:
    """What it says in other character sets."""
    return () if arguments.is_plain_body(request) else _others(bodies.readings(request), body(request))


def body_length(request: Request) -> bytes:
    """Its length in bytes, as it was sent."""
    found = bodies.received(request)
    return b"%d" % found.size if found is not None and found.size else b""


def combined_size(request: Request) -> bytes:
    """The bytes of all names and values of arguments, but for multipart bodies."""
    counted = [*arguments.of_query(request)]
    if request.body is not NO_BODY:
        counted += arguments.of_json(request)
        counted += arguments.of_body(request) if arguments.processor(request) == b"URLENCODED" else ()
    return b"%d" % sum([len(name) + len(value) for name, value in counted]) if counted else b""


def early_size(request: Request) -> bytes:
    """The same of the query."""
    counted = arguments.of_query(request)
    return b"%d" % sum([len(name) + len(value) for name, value in counted]) if counted else b""


_unread = structured.pairs_of(frozenset(structured.KINDS))


def unreadable(request: Request) -> bool:
    """Whether the body is JSON, XML or GraphQL, by its type or as it begins, and cannot be read."""
    if request.body is NO_BODY or arguments.is_plain_form(request):
        return False
    kind = arguments.processor(request)
    if kind == b"JSON" and arguments.json_is_read(request):
        return False
    return xml_texts.unread(request) if kind == b"XML" else _unread(request)[1]


@view
def body_error(request: Request) -> bytes:
    """Whether it cannot be read as what its type says."""
    if request.body is NO_BODY:
        return b"0"
    failed = bodies.coding_unknown(request) or (arguments.processor(request) in _STRUCTURED and unreadable(request))
    if arguments.processor(request) == b"MULTIPART":
        failed = failed or (bool(body(request)) and not bodies.parts(request))
    return b"1" if failed else b"0"


_STRUCTURED = frozenset((b"JSON", b"XML"))


def body_message(request: Request) -> bytes:
    """Why it cannot be read."""
    if body_error(request) == b"0":
        return b""
    return b"the body cannot be read as %b" % (arguments.processor(request) or b"what its content coding says")


def data_error(request: Request) -> bytes:
    """Whether there is more of it than is looked at."""
    return b"1" if request.body is not NO_BODY and bodies.truncated(request) else b"0"


_ODD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def escape_error(request: Request) -> bytes:
    """Whether a query or a form has a ``%`` that encodes nothing."""
    texts = (request.query or b"", *(() if request.body is NO_BODY else (bodies.form_text(request) or b"",)))
    return b"1" if any(_ODD_ESCAPE.search(text) for text in texts) else b"0"


@view
def full_request(request: Request) -> bytes:
    """The fields and the body in one, as ModSecurity puts them together."""
    names = request.names if len(request.names) == len(request.headers) else [name for name, _ in request.headers]
    fields = [b"%b: %b\n" % (name, value) for name, (_, value) in zip(names, request.headers, strict=True)]
    return b"".join((*fields, b"\n\n", body(request)))
