"""The target of a request as rules look at it: as received, in RFC 3986's normal form, and decoded.

Law: the normal form is one of the same resource. It is percent-encoded as RFC 3986, section 6.2.2, says, slashes are
merged and dot segments resolved; only the form for matching is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from edgenode.model.exchange import Request
from edgenode.rules.views.escapes import PERCENT, PLUS, form_decoded, normalised
from edgenode.rules.views.view import view

_BEFORE_THE_PATH = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_SLASHES = re.compile(rb"/{2,}")
_PARAMETERS = re.compile(rb";[^/]*")


def normal_path(path: bytes) -> bytes:
    """A path in normal form; what is no path, such as ``*``, stays as it is."""
    if PERCENT not in path and path.find(b"//") < 0 and path.find(b"/.") < 0:
        return path
    path = _SLASHES.sub(b"/", normalised(path))
    return _resolved(path) if b"/." in path and path.startswith(b"/") else path


def _resolved(path: bytes) -> bytes:
    """RFC 3986, section 5.2.4."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def extension(path: bytes) -> bytes:
    """What stands behind the last dot of the last segment, in lower case; a dot in front makes no extension."""
    stem, dot, found = path.rpartition(b"/")[2].rpartition(b".")
    return found.lower() if dot and stem else b""


def path(request: Request) -> bytes:
    """The path in normal form; to find it in normal form takes less than to remember it."""
    return normal_path(request.path)


def uri(request: Request) -> bytes:
    """Path in normal form and query."""
    return path(request) + _queried(request)


def absolute(read: Callable[[Request], bytes]) -> Callable[[Request], bytes]:
    """A reader of scheme, authority and what follows them."""
    return lambda request: b"%b://%b%b" % (request.scheme, request.authority, read(request))


@view
def raw_uri(request: Request) -> bytes:
    """The target as received, without the scheme and authority of an absolute one: no rule is passed by writing it."""
    found = _BEFORE_THE_PATH.match(request.target)
    if found is None:
        return request.target
    rest = request.target[found.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def raw_path(request: Request) -> bytes:
    """The path as received."""
    return raw_uri(request).partition(b"?")[0]


def path_readings(request: Request) -> tuple[bytes, ...]:
    """The decoded path, and what servers make of it that drop parameters (``/a;x=1/b``) or take ``\\`` for ``/``.

    No reading has dot segments that another has not: where one would, the request is refused.
    """
    path = request.normalised_path
    if path.find(b";") < 0 and path.find(b"\\") < 0:
        return (path,)
    slashes = path.replace(b"\\", b"/")
    bare = _PARAMETERS.sub(b"", path)
    readings = (path, bare, slashes, _PARAMETERS.sub(b"", slashes), bare.replace(b"\\", b"/"))
    return tuple(dict.fromkeys(_SLASHES.sub(b"/", reading) for reading in readings))


def query_readings(request: Request) -> tuple[bytes, ...]:
    """The query as received and decoded; none without one."""
    query = request.query
    if query is None:
        return ()
    if PERCENT not in query and PLUS not in query:
        return (query,)
    decoded = form_decoded(query)
    return (query,) if decoded == query else (query, decoded)


@view
def uri_readings(request: Request) -> tuple[bytes, ...]:
    """Path and query: as received, in normal form, and decoded; the decoded path in all its readings."""
    query = form_decoded(_queried(request))
    decoded = [path + query for path in path_readings(request)]
    return tuple(dict.fromkeys((raw_uri(request), uri(request), *decoded)))


def _queried(request: Request) -> bytes:
    return b"" if request.query is None else b"?" + request.query
