"""The fields of HTTP/2 messages, checked (RFC 9113, sections 8.2, 8.3 and 8.5).

Law: what is accepted has one meaning, and has the same one when it is written on field lines of HTTP/1.1: a value that
could not stand on a line, a field that would frame a message, and an authority that is said twice are malformed.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import ClassVar

from edgenode.model.exchange import by_name
from edgenode.proxy.framing import NO_OPTIONS, content_length
from edgenode.proxy.http2.engine import Fields
from edgenode.proxy.streams import ResponseHead
from edgenode.rules.views.grpc import has_grpc

_VALUE_BYTES = bytes(c for c in range(256) if c == 9 or 0x20 <= c != 0x7F)
"""Every byte that may stand in a value, as on a field line of HTTP/1.1."""

_NAME_BYTES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_USUAL_NAME_BYTES = b":-0123456789abcdefghijklmnopqrstuvwxyz"
_CONNECTION_SPECIFIC = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_FRAMING = frozenset((b"connection", b"content-length", b"host", b"keep-alive", b"transfer-encoding", b"upgrade"))
"""What no field may be taken for by who reads ``content_length`` as Content-Length."""

_USUAL_NAMES = frozenset(
    b"""
    :method :scheme :authority :path :protocol accept accept-charset accept-encoding accept-language authorization
    cache-control content-encoding content-length content-type cookie date dnt expect from grpc-accept-encoding
    grpc-encoding grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since origin pragma
    priority range referer sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site
    sec-fetch-user te traceparent tracestate upgrade-insecure-requests user-agent via x-forwarded-for
    x-forwarded-proto x-request-id x-requested-with
    """.split()
)
"""Of the names of a request those of which nothing is to be looked at beside what libnghttp2 has."""

_name = itemgetter(0)
_SEPARATORS = re.compile(rb"[^a-z0-9]+")
_METHODS = frozenset((b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT"))
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS = re.compile(rb"[1-5][0-9]{2}")
_REQUEST = frozenset((b":method", b":scheme", b":path"))
_REQUEST_WITH_AUTHORITY = _REQUEST | {b":authority"}
_CONNECT = frozenset((b":method", b":authority"))
_EXTENDED_CONNECT = _REQUEST_WITH_AUTHORITY | {b":protocol"}


class MalformedFields(Exception):
    """Fields that RFC 9113 calls malformed, or that could be read in two ways."""


def check_request(fields: Fields, done: bool, connect_protocol: bool = False) -> None:
    """Check the head of a request.

    :param done: whether it has no body.
    :param connect_protocol: whether extended CONNECT was offered (RFC 8441).
    :raises MalformedFields: if it is malformed.
    """
    names, at = _checked_names(fields)
    pseudo = dict(fields[:at])
    given = pseudo.keys()
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path")
    if len(given) != at:
        raise MalformedFields("a pseudo-header field is repeated")
    if method == b"CONNECT":
        if given != _CONNECT and not (connect_protocol and given == _EXTENDED_CONNECT):
            raise MalformedFields("a CONNECT with other pseudo-header fields than its own")
    elif given != _REQUEST_WITH_AUTHORITY and given != _REQUEST:
        raise MalformedFields("a pseudo-header field is missing, is behind others, or is none of a request's")
    if method not in _METHODS and _METHOD.fullmatch(method) is None:
        raise MalformedFields("the method is no token")
    if path is not None and path[:1] != b"/" and (path != b"*" or method != b"OPTIONS"):
        raise MalformedFields("the path is none")
    if b"te" in names and any(value.lower() != b"trailers" for name, value in fields if name == b"te"):
        raise MalformedFields("a TE other than trailers")
    if b"content-length" in names and done and _length(fields):
        raise MalformedFields("no body, but a length")
    if b":authority" in given and (not pseudo[b":authority"] or b"@" in pseudo[b":authority"]):
        raise MalformedFields("the authority is empty or has a user's name")
    if b":authority" not in given and names.count(b"host") != 1:
        raise MalformedFields("neither an authority nor Host")
    check_meaning(fields)


def check_meaning(fields: Fields) -> None:
    """What libnghttp2 does not look at in the head of a request.

    :raises MalformedFields: if there is a second authority, or a name that some read as another.
    """
    if _USUAL_NAMES.issuperset(map(_name, fields)):
        return
    names = [name for name, _ in fields]
    if b"".join(names).translate(None, _USUAL_NAME_BYTES):
        _check_unusual(names)
        if any(b"_" in name for name in names) and not has_grpc(by_name(tuple(fields))):
            raise MalformedFields("a name with an underscore, which some read as a hyphen")
    if b"host" in names:
        host = fields[names.index(b"host")][1].lower()
        if any(value.lower() != host for name, value in fields if name == b":authority") or names.count(b"host") > 1:
            raise MalformedFields("Host says something else than the authority")


def check_response(fields: Fields) -> int:
    """Check the head of a response, final or interim.

    :returns: its status.
    :raises MalformedFields: if it is malformed.
    """
    names, at = _checked_names(fields)
    if at != 1 or names[0] != b":status":
        raise MalformedFields("there is not one :status, and before all others")
    status = check_status(fields[0][1])
    if b"content-length" in names:
        _length(fields)
    return status


def check_status(status: bytes) -> int:
    """Check a status: the one thing that libnghttp2 does not look at in the head of a response.

    :raises MalformedFields: if it is none, or that of switching protocols.
    """
    if _STATUS.fullmatch(status) is None or status == b"101":
        raise MalformedFields("the status is none of HTTP/2's")
    return int(status)


def check_trailers(fields: Fields) -> None:
    """Check trailers.

    :raises MalformedFields: if they are malformed.
    """
    if _checked_names(fields)[1]:
        raise MalformedFields("a pseudo-header field in trailers")


def check_outgoing(fields: Fields) -> None:
    """Check what is to be sent, in any place: names, values, and that nothing belongs to one connection.

    :raises MalformedFields: if it is malformed.
    """
    _checked_names(fields)


class Http2ResponseHead(ResponseHead):
    """The head of a response of HTTP/2."""

    version: ClassVar[bytes] = b"2.0"
    __slots__ = ()


def read_response_head(fields: Fields) -> ResponseHead:
    """The head of a response, final or interim, as everything behind the protocols knows it.

    :param fields: that :func:`check_response` has accepted.
    """
    rest = fields[1:]
    known = by_name(tuple(rest))
    lengths = known.get(b"content-length")
    return Http2ResponseHead(
        int(fields[0][1]),
        b"",
        known,
        [name for name, _ in rest],
        b"".join([b"%b: %b\r\n" % field for field in rest]),
        None if lengths is None else int(lengths[0]),
        NO_OPTIONS,
    )


def fields_of(lines: bytes, *first: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of field lines, names in lower case, without those of one connection.

    :param lines: ``name: value``, each with its line end, as :mod:`edgenode.proxy.streams` has them.
    :param first: what stands in front of them.
    :raises MalformedFields: if a byte is in them that no field line may have.
    """
    split = lines.split(b"\r\n")
    split.pop()
    if len(lines.translate(None, _VALUE_BYTES)) != 2 * len(split):
        raise MalformedFields("a control character in a field line")
    fields = [*first]
    for line in split:
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name not in _CONNECTION_SPECIFIC:
            fields.append((name, value))
    return fields


def _checked_names(fields: Fields) -> tuple[list[bytes], int]:
    """The names, if all of them and all values are of the bytes that they may have, and how many have a colon."""
    names = [name for name, _ in fields]
    values = b"\n".join([b"", *[value for _, value in fields], b""])
    if len(values.translate(None, _VALUE_BYTES)) != len(names) + 1:
        raise MalformedFields("a control character in a value")
    if b"\n " in values or b" \n" in values or b"\n\t" in values or b"\t\n" in values:
        raise MalformedFields("white space around a value")
    if not _CONNECTION_SPECIFIC.isdisjoint(names):
        raise MalformedFields("a field of one connection")
    joined = b"".join(names)
    if b"" in names or joined.translate(None, _USUAL_NAME_BYTES):
        _check_unusual(names)
    return names, joined.count(b":")


def _check_unusual(names: list[bytes]) -> None:
    """Look at names one by one: some have other bytes than the usual ones."""
    for name in names:
        token = name[1:] if name[:1] == b":" else name
        if token.translate(None, _NAME_BYTES) or not token:
            raise MalformedFields("a name that is no token in lower case")
        if name not in _FRAMING and _SEPARATORS.sub(b"-", token).strip(b"-") in _FRAMING:
            raise MalformedFields("a name that some read as one of framing")


def _length(fields: Fields) -> int:
    """What Content-Length says."""
    lengths = [value for name, value in fields if name == b"content-length"]
    length = content_length(lengths[0])
    if length is None or len(lengths) > 1:
        raise MalformedFields("a repeated Content-Length" if len(lengths) > 1 else "a malformed Content-Length")
    return length
