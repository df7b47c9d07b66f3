"""The parts of a multipart body (RFC 7578) as SecLang names them: files, heads, and what is odd about the whole.

Law: every reading of a part is looked at, in whatever way its delimiters are taken; the first name and the first file
name of each are those that ModSecurity has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from edgenode.model.exchange import NO_BODY, Request
from edgenode.rules.views import bodies
from edgenode.rules.views.multipart import Part
from edgenode.rules.views.pairs import Pairs
from edgenode.rules.views.view import view


@view
def _parts(request: Request) -> tuple[Part, ...]:
    return () if request.body is NO_BODY else bodies.parts(request) or ()


def _files(request: Request) -> list[Part]:
    return [part for part in _parts(request) if part.filenames]


def _name(part: Part) -> bytes:
    return part.names[0] if part.names else b""


def files(request: Request) -> Pairs:
    """The name of each file, by that of its field."""
    return tuple([(_name(part), part.filenames[0]) for part in _files(request)])


def further_files(request: Request) -> Pairs:
    """Other readings of the names of files."""
    return tuple([(_name(part), name) for part in _files(request) for name in part.filenames[1:]])


def file_fields(request: Request) -> Pairs:
    """The name of each field that has a file."""
    return tuple([(_name(part), _name(part)) for part in _files(request)])


def further_file_fields(request: Request) -> Pairs:
    """Other readings of the same."""
    return tuple([(name, name) for part in _files(request) for name in part.names[1:]])


def file_sizes(request: Request) -> Pairs:
    """The bytes of each file."""
    return tuple([(_name(part), b"%d" % len(part.value)) for part in _files(request)])


def file_contents(request: Request) -> Pairs:
    """What is in each file."""
    return tuple([(_name(part), part.value) for part in _files(request)])


def combined_size(request: Request) -> bytes:
    """The bytes of all files."""
    found = _files(request)
    return b"%d" % sum(len(part.value) for part in found) if found else b""


def names(request: Request) -> Pairs:
    """The name of each part."""
    return tuple([(part.names[0], part.names[0]) for part in _parts(request) if part.names])


def further_names(request: Request) -> Pairs:
    """Other readings of the same."""
    return tuple([(name, name) for part in _parts(request) for name in part.names[1:]])


def filenames(request: Request) -> Pairs:
    """The name of each file, by itself."""
    return tuple([(part.filenames[0], part.filenames[0]) for part in _files(request)])


def headers(request: Request) -> Pairs:
    """Every line of the head of each part, by the part's name."""
    return tuple([(_name(part), line) for part in _parts(request) for line in part.lines])


# -- what is odd -------------------------------------------------------------------------------------------------------


def _flag(said: Callable[[Request], object]) -> Callable[[Request], bytes]:
    """A reader of 1 or 0; of nothing where the body is not multipart."""

    def read(request: Request) -> bytes:
        if request.body is NO_BODY or not _is_multipart(request):
            return b""
        return b"1" if said(request) else b"0"

    return read


def _is_multipart(request: Request) -> bool:
    return any(each.lower().startswith(b"multipart/form-data") for each in request.fields.get(b"content-type", ()))


def _type_has(*what: bytes) -> Callable[[Request], bool]:
    return lambda request: any(each in value for value in request.fields.get(b"content-type", ()) for each in what)


def _reason_has(*words: str) -> Callable[[Request], bool]:
    def read(request: Request) -> bool:
        reason = bodies.ambiguous(request) or ""
        return any(word in reason for word in words)

    return read


_lone_line_feeds = _reason_has("between CR LF", "an empty line does not end")

FLAGS: Mapping[str, Callable[[Request], bytes]] = MappingProxyType(
    {
        "MULTIPART_BOUNDARY_QUOTED": _flag(_type_has(b'boundary="')),
        "MULTIPART_BOUNDARY_WHITESPACE": _flag(_type_has(b"boundary =", b"boundary= ")),
        "MULTIPART_CRLF_LF_LINES": _flag(_lone_line_feeds),
        "MULTIPART_DATA_AFTER": _flag(_reason_has("does not end with its boundary")),
        "MULTIPART_DATA_BEFORE": _flag(_reason_has("does not begin with its boundary")),
        "MULTIPART_FILE_LIMIT_EXCEEDED": _flag(bodies.truncated),
        "MULTIPART_HEADER_FOLDING": _flag(_reason_has("is no field")),
        "MULTIPART_INVALID_HEADER_FOLDING": _flag(_reason_has("is no field")),
        "MULTIPART_INVALID_PART": _flag(_reason_has("an empty line does not end")),
        "MULTIPART_INVALID_QUOTING": _flag(_reason_has("is not named in the one way")),
        "MULTIPART_LF_LINE": _flag(_lone_line_feeds),
        "MULTIPART_MISSING_SEMICOLON": _flag(_reason_has("does not name one boundary")),
        "MULTIPART_SEMICOLON_MISSING": _flag(_reason_has("does not name one boundary")),
        "MULTIPART_STRICT_ERROR": _flag(bodies.ambiguous),
        "MULTIPART_UNMATCHED_BOUNDARY": _flag(
            _reason_has("its boundary stands where", "does not end with its boundary")
        ),
    }
)
"""What is odd about the whole, each 1 or 0: told by why two servers may read it differently."""
