"""The heads of HTTP/1.1 responses, read strictly (RFC 9112, sections 4 and 6): an origin may be broken, or bought.

Law: a response has one length, and a connection on which that could be doubted is not used again.
"""

from __future__ import annotations

import re

from edgenode.proxy.framing import NO_OPTIONS, content_length, persistence
from edgenode.proxy.http1.bodies import BodyReader, ChunkedBody, EndlessBody, LengthBody
from edgenode.proxy.http1.fields import MalformedHead, read_field_lines
from edgenode.proxy.streams import ResponseHead

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")

_OTHER_STATUS = re.compile(rb"HTTP/1\.[01] ((?![1-5])[0-9]{3})(?: |\Z)")


class FramedHead(ResponseHead):
    """A response head with its framing.

    :ivar body: the reader of its body; ``None`` if it has none.
    :ivar keep_alive: whether the connection may be used again.
    """

    __slots__ = ("body", "keep_alive")

    body: BodyReader | None
    keep_alive: bool


def read_response_head(head: bytes, method: bytes) -> FramedHead:
    """Read a response head.

    :param head: from the status line to the empty line, both included.
    :param method: the method of the request, for a response to HEAD has no body.
    :raises MalformedHead: if it is not HTTP/1, or its framing can be read in two ways.
    """
    start = _STATUS_LINE.match(head)
    if start is None:
        raise MalformedHead(_status_line_fault(head))
    minor, code, reason = start.groups()
    status, version = int(code), (1, 1) if minor == b"1" else (1, 0)
    names, fields, lines = read_field_lines(head[start.end() : -2])
    connection = fields.get(b"connection")
    keep_alive, options = (version == (1, 1), NO_OPTIONS) if connection is None else persistence(connection, version)
    body: BodyReader | None
    length, body = _framing(fields, version)
    if method == b"HEAD" or status < 200 or status == 204 or status == 304:
        if status == 204 and not isinstance(body, EndlessBody) and length != 0:
            # The body that it announces, and cannot have, may come all the same: as an answer to the next request.
            keep_alive = False
        body = None
    elif length is None and isinstance(body, EndlessBody):
        keep_alive = False
    elif length == 0:
        body = None
    read = FramedHead(status, reason or b"", fields, names, lines, length, options)
    read.body = body
    read.keep_alive = keep_alive
    return read


def _framing(fields: dict[bytes, tuple[bytes, ...]], version: tuple[int, int]) -> tuple[int | None, BodyReader]:
    """A response's length and the reader of its body (RFC 9112, section 6.3), refusing every contradiction."""
    lengths, codings = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise MalformedHead("both Content-Length and Transfer-Encoding")
        if version != (1, 1):
            raise MalformedHead("a Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise MalformedHead("a Transfer-Encoding other than chunked")
        return None, ChunkedBody()
    if lengths is None:
        return None, EndlessBody()
    length = content_length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise MalformedHead("a malformed Content-Length" if len(lengths) == 1 else "a repeated Content-Length")
    return length, LengthBody(length)


def _status_line_fault(head: bytes) -> str:
    line = head[: head.index(b"\r\n")]
    if b"\n" in line:
        return "a bare LF"
    status = _OTHER_STATUS.match(line)
    return "the status line is malformed" if status is None else f"the status {status[1].decode()} is none of HTTP's"
