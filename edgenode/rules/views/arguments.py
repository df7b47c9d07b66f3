"""Arguments: what a query says, as Cloudflare reads it, and with the fields of forms, decoded, as applications do.

Law: an argument is looked for wherever an application would find one; it does not help to send it in the body, in
another case of the type, percent-encoded, behind ``;`` as Rack 2 has it, or by a name that PHP, Rack or qs read as the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from edgenode.model.exchange import NO_BODY, Exchange, Request
from edgenode.model.garbage import uncollected
from edgenode.rules.views import bodies, structured
from edgenode.rules.views.base64_values import base64_readings
from edgenode.rules.views.charsets import recoded
from edgenode.rules.views.escapes import PERCENT, PLUS, form_decoded
from edgenode.rules.views.flattening import MOST_VALUES
from edgenode.rules.views.names import folded, readings
from edgenode.rules.views.pairs import Pairs, Values, collected, split_pairs
from edgenode.rules.views.view import kept, view

(_SEMICOLON,) = b";"

FURTHER = (*structured.KINDS, "base64", "any-case")
"""How arguments can be read besides: the values in such bodies, what is encoded, and names without case."""

READ_ANEW = frozenset((*structured.KINDS, "base64"))
"""Those of them in which there may be more than is looked at."""

NOTHING = frozenset[str]()

MOST_DECODED = 4 * MOST_VALUES
"""As many pairs are looked at that Base64 says: of a value two, and up to twelve if it can be read in many ways."""


@view
def pairs(request: Request) -> Pairs:
    """The arguments of the query, not decoded."""
    return split_pairs(request.query) if request.query else ()


@view
def arguments(request: Request) -> Values:
    """Every value of every argument of the query, not decoded."""
    return collected(pairs(request))


@view
def all_arguments(request: Request) -> Values:
    """Every value of every argument, decoded: of the query, of a form and of the parts of a ``multipart`` body."""
    return collected(_decoded(request))


def of_name(name: bytes, further: frozenset[str] = NOTHING) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of every value of one argument, as :func:`all_arguments` has them.

    Where the name is not even written in the query of a request without a body and its type, nothing is divided: only
    an encoding could write it otherwise, and PHP an ``_``.

    :param further: of :data:`FURTHER`, how they are read besides.
    """
    underscored, read_all = b"_" in name, with_further(further)
    name = folded(name) if "any-case" in further else name

    def read(exchange: Exchange) -> tuple[bytes, ...] | None:
        request = exchange.request
        if request is None:
            return None
        if request.body is NO_BODY and b"content-type" not in request.fields:
            query = request.query
            if not query or (
                not further and query.find(name) < 0 and PERCENT not in query and PLUS not in query and not underscored
            ):
                return None
        return read_all(request).get(name)

    return read


def with_further(further: frozenset[str]) -> Callable[[Request], Values]:
    """A reader of :func:`all_arguments`, and of what they are read as besides."""
    if not further:
        return all_arguments
    read_all = _pairs_of(further & READ_ANEW)

    @uncollected()
    def compute(request: Request) -> Values:
        found = read_all(request)[0]
        return collected([(folded(name), value) for name, value in found] if "any-case" in further else found)

    return kept(f"{__name__} {' '.join(sorted(further))}", compute)


def unread(further: frozenset[str]) -> Callable[[Request], bool]:
    """A reader of whether a body, or an argument of GraphQL, is of some kinds and cannot be read; or there is more in
    Base64 than is looked at.

    :param further: of :data:`READ_ANEW`.
    """
    read = _pairs_of(further)
    return lambda request: read(request)[1]


def _pairs_of(further: frozenset[str]) -> Callable[[Request], tuple[Pairs, bool]]:
    """A reader of all arguments with what they are read as besides, and of whether there is something unread."""
    kinds = further.intersection(structured.KINDS)
    readers = [structured.pairs_of(kinds)] if kinds else []
    readers += [_graphql] if "graphql" in kinds else []

    @uncollected()
    def compute(request: Request) -> tuple[Pairs, bool]:
        found, is_unread = _decoded(request), False
        for each in readers:
            pairs, failed = each(request)
            found, is_unread = found + pairs, is_unread or failed
        if "base64" in further:
            decoded = tuple(islice(_from_base64(found), MOST_DECODED + 1))
            found, is_unread = found + decoded, is_unread or len(decoded) > MOST_DECODED
        return found, is_unread

    return kept(f"{__name__} pairs {' '.join(sorted(further))}", compute)


@view
def _graphql(request: Request) -> tuple[Pairs, bool]:
    return structured.of_arguments(_decoded(request))


def _from_base64(pairs: Pairs) -> Iterator[tuple[bytes, bytes]]:
    """What values say in Base64, by the same name, and as the vendor's product calls it."""
    known: dict[bytes, tuple[bytes, ...]] = {}
    for name, value in dict.fromkeys(pairs):
        if value not in known:
            known[value] = base64_readings(value)
        for decoded in known[value]:
            yield name, decoded
            yield name + b":decoded", decoded


@view
def _decoded(request: Request) -> Pairs:
    found = tuple(_as_applications_do(request))
    read = request.application_arguments
    if not read:
        return found
    known = set(found)
    theirs = ((name, value) for name, values in read.items() for value in values)
    # Twisted has no bytes for a part that has parts itself.
    return (*found, *[pair for pair in theirs if pair not in known and isinstance(pair[1], bytes)])


def _as_applications_do(request: Request) -> Iterator[tuple[bytes, bytes]]:
    codecs = bodies.codecs(request)
    most = bodies.most_pairs(request)
    texts = (request.query, *bodies.form_texts(request))
    for name, value in (pair for text in texts if text for pair in _divided(text, most)):
        name, value = form_decoded(name), form_decoded(value)
        yield from ((each, value) for each in readings(name))
        yield from ((recoded(name, codec), recoded(value, codec)) for codec in codecs)
    parts = bodies.parts(request)
    for part, values in zip(parts, bodies.values(request), strict=True) if parts else ():
        written = (each for name in part.names for each in (name, *(recoded(name, codec) for codec in codecs)))
        names = dict.fromkeys(each for name in written for each in readings(name))
        yield from ((name, value) for name in names for value in values)


def _divided(text: bytes, most: int) -> Pairs:
    """The pairs of a text, and those that it has if ``;`` divides them too."""
    found = split_pairs(text, most)
    if _SEMICOLON not in text:
        return found
    known = set(found)
    return (*found, *[pair for pair in split_pairs(text.replace(b";", b"&"), most) if pair not in known])
