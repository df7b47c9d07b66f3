"""The fields of HTTP/2 responses, read strictly (RFC 9113, sections 8.2 and 8.3.2): an origin may be broken, or bought.

Law: what is read here can be written as lines of HTTP/1.1, and means the same there.
"""

from __future__ import annotations

import re
from typing import ClassVar

from edgenode.model.exchange import Headers, by_name
from edgenode.proxy.framing import NO_OPTIONS, content_length
from edgenode.proxy.http2.engine import Fields
from edgenode.proxy.streams import ResponseHead

_NAME_BYTES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_LINE_BYTES = bytes(c for c in range(256) if c == 9 or 0x20 <= c != 0x7F)
_STATUS = re.compile(rb"[1-5][0-9]{2}")
_OF_CONNECTIONS = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))


class MalformedFields(Exception):
    """Fields that HTTP/2 forbids."""


class Http2ResponseHead(ResponseHead):
    """The head of a response of HTTP/2."""

    version: ClassVar[bytes] = b"2.0"
    __slots__ = ()


def read_response_head(fields: Fields) -> ResponseHead:
    """The head of a response, or of an interim one.

    :raises MalformedFields: if it is not as RFC 9113 has it.
    """
    name, status = fields[0] if fields else (b"", b"")
    if name != b":status" or not _STATUS.fullmatch(status):
        raise MalformedFields("no status" if name != b":status" else "the status is none of HTTP's")
    pairs = tuple(fields[1:])
    names, block = _lines(pairs)
    values = by_name(pairs)
    if not _OF_CONNECTIONS.isdisjoint(values):
        raise MalformedFields("a field of the connection")
    lengths, length = values.get(b"content-length"), None
    if lengths is not None:
        length = content_length(lengths[0]) if len(lengths) == 1 else None
        if length is None:
            raise MalformedFields("a malformed Content-Length" if len(lengths) == 1 else "a repeated Content-Length")
    return Http2ResponseHead(int(status), b"", values, names, block, length, NO_OPTIONS)


def read_trailers(fields: Fields) -> Headers:
    """The trailer fields of a response.

    :raises MalformedFields: if they are not as RFC 9113 has them.
    """
    trailers = tuple(fields)
    _lines(trailers)
    return trailers


def _lines(fields: Headers) -> tuple[list[bytes], bytes]:
    """The names, and the field lines that fields are in HTTP/1.1."""
    names = [name for name, _ in fields]
    if b"" in names or b"".join(names).translate(None, _NAME_BYTES):
        raise MalformedFields("a name that is no token")
    block = b"".join([b"%b: %b\r\n" % field for field in fields])
    if len(block.translate(None, _LINE_BYTES)) != 2 * len(fields):
        raise MalformedFields("a control character")
    if (b"  " in block or b" \r\n" in block or b"\t" in block) and any(value != value.strip() for _, value in fields):
        raise MalformedFields("white space around a value")
    return names, block
