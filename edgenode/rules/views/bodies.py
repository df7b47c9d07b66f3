"""The bodies of requests as rules look at them: forms, parts, and what a body really is.

Law: a body is read by what its type can be taken for, and one without a type is a form, as Rack has it. What is
malformed or cut off gives what could be read, and what has more fields or parts than are looked at counts as cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from edgenode.model.exchange import NO_BODY, Body, Request
from edgenode.rules.views import base64_values, charsets, email_parts
from edgenode.rules.views.codings import NotDecoded, codings, decoded
from edgenode.rules.views.escapes import unescaped
from edgenode.rules.views.multipart import Part, read_parts
from edgenode.rules.views.pairs import FEWER_PAIRS, MOST_PAIRS, Pairs, Values, collected, has_more_pairs, split_pairs
from edgenode.rules.views.parameters import first_word
from edgenode.rules.views.strict_multipart import ambiguity
from edgenode.rules.views.view import view

_FORM = b"x-www-form-urlencoded"
_ENCODINGS = frozenset((b"base64", b"quoted-printable", b"uue", b"uuencode", b"x-uue", b"x-uuencode"))
_CHARSET = b"_charset_"
_CHARSET_FIELD = re.compile(
    rb"(?:\A|[&;])" + b"".join(b"(?:%c|%%(?i:%02x))" % (byte, byte) for byte in _CHARSET) + rb"=([^&;]*)"
)
_LONGEST_NAME = 64

LONGEST_RECODED = 16 * 1024
"""Bytes of a form that are looked at if it may be in further character sets: each field is read in each of them, in
each reading of the whole."""


def received(request: Request) -> Body | None:
    """The body as it was sent; ``None`` if there is one that nobody has read."""
    return NO_BODY if request.body is None and request.length == 0 else request.body


def body(request: Request) -> Body | None:
    """The same without its content codings, as far as those are known; its size is that of what was sent."""
    found = received(request)
    return _decoded(request)[0] if found is not None and found.data else found


def coding_unknown(request: Request) -> bool:
    """Whether it is in a content coding that is not known here, or not in the one that it names."""
    return _decoded(request)[1]


@view
def _decoded(request: Request) -> tuple[Body | None, bool]:
    """The body without its codings, and whether they could not be undone."""
    found = received(request)
    names = codings(request.fields.get(b"content-encoding", ()))
    if found is None or not found.data or not names:
        return found, False
    try:
        data, more = decoded(found.data, names)
    except NotDecoded:
        return found, True
    return Body(data, found.size, found.truncated or more), False


def _coded(request: Request) -> tuple[bytes, ...]:
    """The body as it was sent, if it came without its codings: most servers undo none, and the head of a gzip stream
    may have a whole form in it."""
    sent, found = received(request), body(request)
    return () if sent is None or found is None or sent.data == found.data else (sent.data,)


def truncated(request: Request) -> bool | None:
    """Whether there is more of it than rules see, or there are more fields or parts in it than they look at."""
    found = body(request)
    if found is None or found.truncated or not found.data:
        return None if found is None else found.truncated
    if len(found.data) > LONGEST_RECODED and codecs(request) and form_text(request):
        return True
    most = most_pairs(request)
    return any(has_more_pairs(text, most) for text in form_texts(request)) or _parts(request)[1]


def most_pairs(request: Request) -> int:
    """As many are looked at in a query or a form."""
    return FEWER_PAIRS if codecs(request) else MOST_PAIRS


def charset_unknown(request: Request) -> bool:
    """Whether the body, a part of it, or a field ``_charset_`` names a character set of which nobody knows what it
    makes of ASCII; or they name more than are tried."""
    types = request.fields.get(b"content-type", ())
    return (
        charsets.is_unknown(types)
        or charsets.is_unknown(_field_types(request))
        or len(_codecs(request)) > charsets.MOST
        or any(charsets.is_unknown(part.content_types) for part in _parts(request)[0])
    )


def codecs(request: Request) -> tuple[str, ...]:
    """The codecs that the fields of a form may be in besides: those of its type, and of a field ``_charset_`` (HTML,
    section 4.10.21.5)."""
    if request.body is NO_BODY:
        types = request.fields.get(b"content-type")
        return charsets.codecs(types) if types else ()
    return _codecs(request)[: charsets.MOST]


@view
def _codecs(request: Request) -> tuple[str, ...]:
    found, named = charsets.codecs(request.fields.get(b"content-type", ())), _field_types(request)
    return tuple(dict.fromkeys((*found, *charsets.codecs(named)))) if named else found


@view
def _field_types(request: Request) -> tuple[bytes, ...]:
    """What fields ``_charset_`` name, the first and the last of them, as if a type did."""
    parts = _parts(request)[0]
    if parts:
        named = [part.value for part in parts if _CHARSET in part.names]
    else:
        named = list(map(unescaped, _CHARSET_FIELD.findall(form_text(request) or b"")))
    return tuple(b"text/plain; charset=" + name.strip()[:_LONGEST_NAME] for name in (*named[:1], *named[-1:]))


@view
def readings(request: Request) -> tuple[bytes, ...]:
    """The body without its codings; and in UTF-8, if its type names a character set in which ASCII is not ASCII, or if
    readers of JSON or XML find one by its beginning."""
    found = body(request)
    if found is None or not found.data:
        return ()
    types = request.fields.get(b"content-type", ())
    names = codecs(request)
    if not names and not _is_form(types) and not _parts(request)[0]:
        return texts(request)
    data = found.data[:LONGEST_RECODED] if form_text(request) else found.data
    return (found.data, *[charsets.recoded(data, codec) for codec in names])


@view
def texts(request: Request) -> tuple[bytes, ...]:
    """The same, and what readers of JSON or XML would find that do not ask for the type."""
    found = body(request)
    if found is None or not found.data:
        return ()
    detected = charsets.detected(found.data)
    names = (*charsets.codecs(request.fields.get(b"content-type", ())), *([] if detected is None else [detected]))
    recoded = (charsets.recoded(found.data, codec) for codec in dict.fromkeys(names))
    return tuple(dict.fromkeys((found.data, *recoded)))


def raw(request: Request) -> bytes | None:
    """The body as received; behind it, each from a new line on, what it is without its content codings, what that says
    in another character set, and what a part says that is encoded by itself."""
    found = received(request)
    if found is None:
        return None
    encoded = [each for readings_of_part in values(request) for each in readings_of_part[1:]]
    return b"\n".join(dict.fromkeys((found.data, *readings(request), *encoded)))


def form_texts(request: Request) -> tuple[bytes, ...]:
    """Every reading of the body, if it is ``application/x-www-form-urlencoded``."""
    if not form_text(request):
        return ()
    found = dict.fromkeys((*readings(request), *_coded(request)))
    return tuple(each[:LONGEST_RECODED] for each in found) if codecs(request) else tuple(found)


def form_text(request: Request) -> bytes | None:
    """The body, if it is ``application/x-www-form-urlencoded``; empty if it is not."""
    found = body(request)
    if found is None:
        return None
    types = request.fields.get(b"content-type", (b"",))
    return found.data if _is_form(types) else b""


def _is_form(types: Iterable[bytes]) -> bool:
    """Whether a type can be taken for that of a form: Twisted even decodes words of RFC 2047 in it."""
    return any(_FORM in each.lower() or b"=?" in each.partition(b";")[0] or not first_word(each) for each in types)


@view
def form_pairs(request: Request) -> Pairs | None:
    """The fields of a form, not decoded."""
    text = form_text(request)
    return None if text is None else split_pairs(text)


@view
def form(request: Request) -> Values | None:
    """Every value of every field of a form, not decoded."""
    found = form_pairs(request)
    return None if found is None else collected(found)


def parts(request: Request) -> tuple[Part, ...] | None:
    """The parts of a ``multipart`` body."""
    return None if body(request) is None else _parts(request)[0]


@view
def _parts(request: Request) -> tuple[tuple[Part, ...], bool]:
    """The parts that are looked at, and whether there are more."""
    found = body(request)
    parts: tuple[Part, ...] = ()
    more = False
    for each in request.fields.get(b"content-type", ()):
        if found is not None and first_word(each).startswith(b"multipart/"):
            for data in (found.data, *_coded(request)):
                further, is_more = read_parts(each, data)
                known, more = set(parts), more or is_more
                parts += tuple(part for part in further if part not in known)
    return parts, more


@view
def ambiguous(request: Request) -> str | None:
    """Why two servers may read the parts of a body differently; of another ``multipart`` than ``multipart/form-data``
    some make arguments at all, and others none."""
    found = body(request)
    types = [each for each in request.fields.get(b"content-type", ()) if first_word(each).startswith(b"multipart/")]
    if found is None or not found.data or not types:
        return None
    if any(first_word(each) != b"multipart/form-data" for each in types):
        named = any(part.names for part in _parts(request)[0])
        return "its type is not multipart/form-data, and its parts have names" if named else None
    return "it has two types" if len(types) > 1 else ambiguity(types[0], found.data, truncated=found.truncated)


@view
def multipart(request: Request) -> Values | None:
    """Every value of every name of a part, as received."""
    found = parts(request)
    return None if found is None else collected((name, part.value) for part in found for name in part.names)


@view
def values(request: Request) -> tuple[tuple[bytes, ...], ...]:
    """Every reading of each part's content, as received first: without its encoding, and in UTF-8.

    Django and Java's servers take the character set of the whole for that of the parts.
    """
    of_all = codecs(request)
    return tuple(_values(part, of_all) for part in _parts(request)[0])


def _values(part: Part, of_all: tuple[str, ...]) -> tuple[bytes, ...]:
    contents = tuple(_contents(part))
    names = dict.fromkeys((*charsets.codecs(part.content_types), *of_all))
    return tuple(dict.fromkeys((*contents, *(charsets.recoded(each, codec) for each in contents for codec in names))))


def _contents(part: Part) -> Iterator[bytes]:
    """The content of a part as received, and decoded as its Content-Transfer-Encoding says, which some servers do."""
    yield part.value
    encodings = set(map(first_word, part.content_transfer_encodings))
    if b"base64" in encodings:
        yield base64_values.decoded(part.value)
    yield from (email_parts.decoded(each, part.value) for each in sorted(encodings & _ENCODINGS))
