"""The heads of HTTP/1.1 responses, read strictly (RFC 9112, sections 4 and 6): an origin may be broken, or bought.

Law: a response has one length, and a connection on which that could be doubted is not used again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping

import httptools
from attrs import define

from edgenode.model.exchange import Headers, by_name
from edgenode.proxy.http1.bodies import BodyReader, ChunkedBody, EndlessBody, LengthBody
from edgenode.proxy.http1.fields import (
    LONGEST_REMEMBERED,
    MOST_FIELDS_REMEMBERED,
    REMEMBERED,
    MalformedHead,
    content_length,
    persistence,
    read_fields,
)


@define(eq=False)
class ResponseHead:
    """The head of an origin's response.

    :ivar status: the status code.
    :ivar reason: the reason phrase.
    :ivar headers: the header fields, names in lower case.
    :ivar names: the same names as they were received, index by index.
    :ivar length: the body's length, ``None`` if it is not known in advance.
    :ivar framing: makes the reader of its body; ``None`` if it has none.
    :ivar keep_alive: whether the connection may be used again.
    :ivar options: the header names that its Connection field nominates as hop-by-hop.
    :ivar lines: the header fields as they are passed on, once they have been: for which Via, and whether Date is there.
    """

    status: int
    reason: bytes
    headers: Headers
    names: tuple[bytes, ...]
    length: int | None
    framing: Callable[[], BodyReader] | None
    keep_alive: bool
    options: frozenset[bytes]
    lines: tuple[bytes, bytes, bool] | None = None


_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")


def read_response_head(head: bytes, method: bytes) -> ResponseHead:
    """Read a response head.

    :param head: from the status line to the empty line, both included.
    :param method: the method of the request, for a response to HEAD has no body.
    :raises MalformedHead: if it is not HTTP/1, or its framing can be read in two ways.
    """
    short = len(head) <= LONGEST_REMEMBERED and head.count(b"\n") <= MOST_FIELDS_REMEMBERED
    read = _read_response if short else _read_response.__wrapped__
    return read(head, method == b"HEAD")


@functools.lru_cache(REMEMBERED)
def _read_response(head: bytes, bodiless: bool) -> ResponseHead:
    end = head.index(b"\r\n")
    start = _STATUS_LINE.fullmatch(head, 0, end)
    if start is None:
        raise MalformedHead("the status line is malformed")
    minor, code, reason = start.groups()
    status, version = int(code), (1, int(minor))
    try:
        fields = read_fields(head, httptools.HttpResponseParser)
    except httptools.HttpParserError as error:
        raise MalformedHead(str(error)) from error
    headers = tuple([(name.lower(), value) for name, value in fields])
    values = by_name(headers)
    keep_alive, options = persistence(values.get(b"connection"), version)
    length, framing = _response_framing(values, version)
    if bodiless or status < 200 or status in (204, 304):
        if status == 204 and framing is not None and framing is not EndlessBody:
            # The body that it announces, and cannot have, may come all the same: as an answer to the next request.
            keep_alive = False
        framing = None
    elif framing is EndlessBody:
        keep_alive = False
    return ResponseHead(
        status, reason or b"", headers, tuple([name for name, _ in fields]), length, framing, keep_alive, options
    )


def _response_framing(
    values: Mapping[bytes, tuple[bytes, ...]], version: tuple[int, int]
) -> tuple[int | None, Callable[[], BodyReader] | None]:
    """A response's length and the kind of its body (RFC 9112, section 6.3), refusing every contradiction."""
    lengths, codings = values.get(b"content-length"), values.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None or version != (1, 1) or len(codings) != 1 or codings[0].lower() != b"chunked":
            raise MalformedHead("a Transfer-Encoding other than chunked, beside Content-Length, or in HTTP/1.0")
        return None, ChunkedBody
    if lengths is None:
        return None, EndlessBody
    length = content_length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise MalformedHead("a repeated or malformed Content-Length")
    return length, functools.partial(LengthBody, length) if length else None
