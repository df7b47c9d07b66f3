"""The heads of HTTP/1.1 requests, read strictly (RFC 9112, sections 3 and 6).

Law: a head that is accepted has one meaning: its framing is given once, as is the type of its body, and there is one
authority, the target's, or else the one Host's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

import httptools
from attrs import define, evolve, frozen

from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_BODY, Headers, Request, by_name
from edgenode.proxy.http1.bodies import BodyReader, ChunkedBody, LengthBody
from edgenode.proxy.http1.fields import (
    LINE_BYTES,
    LONGEST_REMEMBERED,
    MOST_FIELDS_REMEMBERED,
    REMEMBERED,
    STRAY,
    MalformedHead,
    Seen,
    content_length,
    persistence,
    read_fields,
)
from edgenode.proxy.targets import read_authority, read_target

_FURTHER_CODINGS = re.compile(rb"(?:(?!chunked)[!#$%&'*+.^_`|~0-9a-z-]+[ \t]*,[ \t]*)+chunked")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([^ \r\n]+) HTTP/(\d)\.(\d)\r\n")


@frozen
class Limits:
    """How large a head may be.

    :ivar target: the request target, bytes.
    :ivar head: the whole head, bytes.
    :ivar headers: the number of header fields.
    """

    target: int
    head: int
    headers: int


@define(eq=False)
class Block:
    """The header block of a request: all that follows the request line. A client sends the same one again and again.

    :ivar version: of the request line before it.
    :ivar headers: the header fields, names in lower case.
    :ivar names: the same names as they were received.
    :ivar fields: every value by its lower-case name.
    :ivar authority: the Host field's value, lower case.
    :ivar length: the body's length, ``None`` for a chunked one.
    :ivar keep_alive: whether the client wants the connection to stay.
    :ivar expects_continue: whether it waits for 100 before it sends the body.
    :ivar upgrade: whether it asks for WebSocket; another protocol than this one is not asked for in vain but ignored.
    :ivar options: the header names that its Connection field nominates as hop-by-hop.
    """

    version: tuple[int, int]
    headers: Headers
    names: tuple[bytes, ...]
    fields: Mapping[bytes, tuple[bytes, ...]]
    authority: bytes
    length: int | None
    keep_alive: bool
    expects_continue: bool
    upgrade: bool
    options: frozenset[bytes]


@define(eq=False)
class RequestHead:
    """A request head.

    :ivar request: the request.
    :ivar block: its header block.
    :ivar body: the reader of its body, ``None`` if it has none.
    """

    request: Request
    block: Block
    body: BodyReader | None


def check_unfinished_request(data: bytes, limits: Limits) -> None:
    """Refuse a head that is not all there yet but can no longer become a good one.

    :raises ClientError: 400, 414 or 431.
    """
    line = data.find(b"\n")
    if line < 0:
        if len(data) > limits.target + 80:
            raise ClientError(414, "the request target is too long")
    elif line == 0 or data[line - 1] != 13:
        raise ClientError(400, "a bare LF")
    elif not _REQUEST_LINE.match(data):
        _refuse_line(data[: line - 1])
    elif len(data.translate(None, LINE_BYTES)) != 2 * data.count(b"\r\n") + data.endswith(b"\r"):
        raise ClientError(400, f"malformed head: {STRAY}")
    if len(data) > limits.head:
        raise ClientError(431, "the request head is too large")


def _refuse_line(line: bytes) -> None:
    raise ClientError(400, "HTTP/0.9 is not spoken" if line.count(b" ") == 1 else "the request line is malformed")


def read_request_head(head: bytes, limits: Limits, scheme: bytes = b"https") -> RequestHead:
    """Read a request head.

    :param head: from the request line to the empty line, both included.
    :raises ClientError: with the status to answer.
    """
    if len(head) > limits.head:
        raise ClientError(431, "the request head is too large")
    line = _REQUEST_LINE.match(head)
    if line is None:
        _refuse_line(head[: head.index(b"\r\n")])
        raise AssertionError
    method, raw_target, major, minor = line.groups()
    if major != b"1" or minor not in (b"1", b"0"):
        raise ClientError(400 if major == b"0" else 505, "the version is neither HTTP/1.1 nor HTTP/1.0")
    if len(raw_target) > limits.target:
        raise ClientError(414, "the request target is too long")
    _check_method(method)
    rest = head[line.end() :]
    short = len(rest) <= LONGEST_REMEMBERED and rest.count(b"\n") <= MOST_FIELDS_REMEMBERED
    block = (_read_block if short else _read_block.__wrapped__)(rest, minor)
    if len(block.headers) > limits.headers:
        raise ClientError(431, "too many header fields")
    target = read_target(raw_target, method)
    if target.authority is not None and target.authority != block.authority:
        block = _addressed(block, target.authority)
    length = block.length
    request = Request(
        method,
        scheme,
        block.authority,
        raw_target,
        target.path,
        target.query,
        target.normalised_path,
        block.headers,
        block.names,
        block.version,
        length,
        NO_BODY if length == 0 else None,
        block.fields,
    )
    return RequestHead(request, block, None if length == 0 else ChunkedBody() if length is None else LengthBody(length))


def _addressed(block: Block, authority: bytes) -> Block:
    """The block with the authority of an absolute target, which makes the Host field void (RFC 9112, section 3.2.2)."""
    headers = tuple([(name, authority if name == b"host" else value) for name, value in block.headers])
    return evolve(block, authority=authority, headers=headers, fields=by_name(headers))


@functools.lru_cache(256)
def _check_method(method: bytes) -> None:
    """Refuse a method that llhttp does not know, and CONNECT."""
    if method == b"CONNECT":
        raise ClientError(400, "CONNECT is not served")
    try:
        httptools.HttpRequestParser(Seen()).feed_data(b"%b / HTTP/1.1\r\n\r\n" % method)
    except httptools.HttpParserError as error:
        raise ClientError(501, "the method is unknown") from error


@functools.lru_cache(REMEMBERED)
def _read_block(rest: bytes, minor: bytes) -> Block:
    """Read a header block; what it says does not depend on the method and the target before it.

    :raises ClientError: 400, 417.
    """
    try:
        fields = read_fields(b"GET / HTTP/1.%b\r\n%b" % (minor, rest), httptools.HttpRequestParser)
    except (MalformedHead, httptools.HttpParserError) as error:
        raise ClientError(400, f"malformed head: {error}") from error
    headers = tuple([(name.lower(), value) for name, value in fields])
    values = by_name(headers)
    version = (1, int(minor))
    length = _request_length(values, version)
    if len(values.get(b"content-type", ())) > 1:
        raise ClientError(400, "the Content-Type field is repeated")
    keep_alive, options = persistence(values.get(b"connection"), version)
    return Block(
        version,
        headers,
        tuple([name for name, _ in fields]),
        values,
        _authority(values.get(b"host", ())),
        length,
        keep_alive,
        length != 0 and _expects_continue(values.get(b"expect"), version),
        version == (1, 1) and b"upgrade" in options and b"websocket" in b",".join(values.get(b"upgrade", ())).lower(),
        options,
    )


def _authority(hosts: tuple[bytes, ...]) -> bytes:
    if len(hosts) != 1:
        raise ClientError(400, "the Host field is missing" if not hosts else "the Host field is repeated")
    return read_authority(hosts[0])


def _request_length(values: Mapping[bytes, tuple[bytes, ...]], version: tuple[int, int]) -> int | None:
    """The body's length: ``None`` for chunked. Anything that a second reader could frame differently is refused."""
    lengths, codings = values.get(b"content-length"), values.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise ClientError(400, "both Content-Length and Transfer-Encoding")
        coding = codings[0].lower()
        if version == (1, 1) and len(codings) == 1 and _FURTHER_CODINGS.fullmatch(coding):
            raise ClientError(501, "a transfer coding besides chunked")
        if version != (1, 1) or len(codings) != 1 or coding != b"chunked":
            raise ClientError(400, "a Transfer-Encoding other than chunked, or in HTTP/1.0")
        return None
    if lengths is None:
        return 0
    length = content_length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise ClientError(400, "a repeated or malformed Content-Length")
    return length


def _expects_continue(fields: tuple[bytes, ...] | None, version: tuple[int, int]) -> bool:
    if fields is None:
        return False
    if len(fields) != 1 or fields[0].lower() != b"100-continue":
        raise ClientError(417, "an expectation other than 100-continue")
    return version == (1, 1)
