"""The heads of HTTP/1.1 messages, read strictly: llhttp reads them, our own rules refuse what two readers could read
differently (RFC 9112, sections 2.2, 3, 5 and 11.2).

Law: a head that is accepted has one meaning. Line ends are CRLF and nothing else, no line is folded, no control
character stands anywhere, the framing is given once, and the authority is the same wherever it is given.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import httptools
from attrs import define, frozen

from edgenode.errors import ClientError
from edgenode.exchange import Headers, Request
from edgenode.proxy.http1.bodies import BodyReader, ChunkedBody, EndlessBody, LengthBody
from edgenode.proxy.targets import read_authority, read_target

_LINE_BYTES = bytes(c for c in range(256) if c == 9 or 0x20 <= c != 0x7F)
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([^ ]+) HTTP/(\d)\.(\d)")


_Fields = list[tuple[bytes, bytes]]


class MalformedHead(Exception):
    """A head whose lines are not as the grammar has them."""


class _Seen:
    """What llhttp reports of a head."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: _Fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


def _read_fields(head: bytes, parser: Callable[[_Seen], httptools.HttpRequestParser]) -> _Fields:
    """The header fields as llhttp reads them, if the head passes our own look at its lines too.

    Bare CR, bare LF and control characters are refused here, whatever llhttp's build thinks of them; and a field for
    every line, or something was folded or skipped.

    :raises MalformedHead: if our own look finds something.
    """
    pairs = head.count(b"\r\n")
    if len(head.translate(None, _LINE_BYTES)) != 2 * pairs:
        raise MalformedHead("a control character, a bare CR or a bare LF")
    seen = _Seen()
    try:
        parser(seen).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # all of the head was read; upgrades are refused elsewhere
    if len(seen.fields) != pairs - 2:
        raise MalformedHead("a folded line")
    if b" \r" in head or b"\t\r" in head:
        return [(name, value.rstrip(b" \t")) for name, value in seen.fields]
    return seen.fields


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
class RequestHead:
    """A request, and what HTTP/1.1 says about its connection.

    :ivar request: the request.
    :ivar body: the reader of its body, ``None`` if it has none.
    :ivar keep_alive: whether the client wants the connection to stay.
    :ivar expects_continue: whether it waits for 100 before it sends the body.
    :ivar upgrade: whether it asks for another protocol.
    :ivar connection_options: the header names that its Connection field nominates as hop-by-hop.
    """

    request: Request
    body: BodyReader | None
    keep_alive: bool
    expects_continue: bool
    upgrade: bool
    connection_options: frozenset[bytes]


_NO_OPTIONS: frozenset[bytes] = frozenset()
_SPECIAL = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"))


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
    elif not _REQUEST_LINE.fullmatch(data[: line - 1]):
        _refuse_line(data[: line - 1])
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
    line = head[: head.index(b"\r\n")]
    start = _REQUEST_LINE.fullmatch(line)
    if start is None:
        _refuse_line(line)
        raise AssertionError
    method, raw_target, major, minor = start.groups()
    if (major, minor) not in ((b"1", b"1"), (b"1", b"0")):
        raise ClientError(400 if major == b"0" else 505, "the version is neither HTTP/1.1 nor HTTP/1.0")
    version = (1, int(minor))
    if len(raw_target) > limits.target:
        raise ClientError(414, "the request target is too long")
    if method == b"CONNECT":
        raise ClientError(400, "CONNECT is not served")
    try:
        fields = _read_fields(head, httptools.HttpRequestParser)
    except httptools.HttpParserInvalidMethodError as error:
        raise ClientError(501, "the method is unknown") from error
    except (MalformedHead, httptools.HttpParserError) as error:
        raise ClientError(400, f"malformed head: {error}") from error
    if len(fields) > limits.headers:
        raise ClientError(431, "too many header fields")
    target = read_target(raw_target, method)
    headers, special = _sorted_out(fields)
    authority = _authority(special.get(b"host", ()), target.authority)
    length = _request_length(special, version)
    keep_alive, options = _connection(special.get(b"connection"), version)
    request = Request(
        method,
        scheme,
        authority,
        raw_target,
        target.path,
        target.query,
        target.normalised_path,
        headers,
        tuple([name for name, _ in fields]),
        version,
        length,
    )
    body: BodyReader | None = ChunkedBody() if length is None else LengthBody(length) if length else None
    expects = b"expect" in special and _expects_continue(special[b"expect"], version)
    upgrade = b"upgrade" in special and b"upgrade" in options
    return RequestHead(request, body, keep_alive, expects and body is not None, upgrade, options)


def _sorted_out(fields: _Fields) -> tuple[Headers, dict[bytes, list[bytes]]]:
    """The fields with their names in lower case, and the values of those that the protocol itself needs."""
    headers = tuple([(name.lower(), value) for name, value in fields])
    special: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _SPECIAL:
            special.setdefault(name, []).append(value)
    return headers, special


def _authority(hosts: list[bytes] | tuple[()], absolute: bytes | None) -> bytes:
    if len(hosts) != 1:
        raise ClientError(400, "the Host field is missing" if not hosts else "the Host field is repeated")
    authority: bytes = read_authority(hosts[0])
    if absolute is not None and absolute != authority:
        raise ClientError(400, "the absolute target disagrees with the Host field")
    return authority


def _request_length(special: dict[bytes, list[bytes]], version: tuple[int, int]) -> int | None:
    """The body's length: ``None`` for chunked. Anything that a second reader could frame differently is refused."""
    lengths, codings = special.get(b"content-length"), special.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise ClientError(400, "both Content-Length and Transfer-Encoding")
        if version != (1, 1) or len(codings) != 1 or codings[0].lower() != b"chunked":
            raise ClientError(400, "a Transfer-Encoding other than chunked, or in HTTP/1.0")
        return None
    if lengths is None:
        return 0
    length = _length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise ClientError(400, "a repeated or malformed Content-Length")
    return length


def _connection(fields: list[bytes] | None, version: tuple[int, int]) -> tuple[bool, frozenset[bytes]]:
    if fields is None:
        return version == (1, 1), _NO_OPTIONS
    options = _options(fields[0] if len(fields) == 1 else b",".join(fields))
    if version == (1, 1):
        return b"close" not in options, options
    return b"keep-alive" in options and b"close" not in options, options


@functools.lru_cache(256)
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(option.strip(b" \t") for option in value.lower().split(b","))


def _expects_continue(fields: list[bytes], version: tuple[int, int]) -> bool:
    if len(fields) != 1 or fields[0].lower() != b"100-continue":
        raise ClientError(417, "an expectation other than 100-continue")
    return version == (1, 1)


@define(eq=False)
class ResponseHead:
    """The head of an origin's response.

    :ivar status: the status code.
    :ivar reason: the reason phrase.
    :ivar headers: the header fields, names in lower case.
    :ivar names: the same names as they were received, index by index.
    :ivar length: the body's length, ``None`` if it is not known in advance.
    :ivar body: the reader of its body, ``None`` if it has none.
    :ivar keep_alive: whether the connection may be used again.
    :ivar connection_options: the header names that its Connection field nominates as hop-by-hop.
    """

    status: int
    reason: bytes
    headers: Headers
    names: tuple[bytes, ...]
    length: int | None
    body: BodyReader | None
    keep_alive: bool
    connection_options: frozenset[bytes]


_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")


def read_response_head(head: bytes, method: bytes) -> ResponseHead:
    """Read a response head.

    :param head: from the status line to the empty line, both included.
    :param method: the method of the request, for a response to HEAD has no body.
    :raises MalformedHead: if it is not HTTP/1, or its framing can be read in two ways.
    """
    end = head.index(b"\r\n")
    start = _STATUS_LINE.fullmatch(head, 0, end)
    if start is None:
        raise MalformedHead("the status line is malformed")
    minor, code, reason = start.groups()
    status = int(code)
    try:
        fields = _read_fields(head, httptools.HttpResponseParser)
    except httptools.HttpParserError as error:
        raise MalformedHead(str(error)) from error
    headers, special = _sorted_out(fields)
    keep_alive, options = _connection(special.get(b"connection"), (1, int(minor)))
    length, body = _response_body(special, status, method, (1, int(minor)))
    if isinstance(body, EndlessBody):
        keep_alive = False
    return ResponseHead(
        status, reason or b"", headers, tuple([name for name, _ in fields]), length, body, keep_alive, options
    )


def _response_body(
    special: dict[bytes, list[bytes]], status: int, method: bytes, version: tuple[int, int]
) -> tuple[int | None, BodyReader | None]:
    """A response's length and body reader (RFC 9112, section 6.3), refusing every contradiction."""
    lengths, codings = special.get(b"content-length"), special.get(b"transfer-encoding")
    length: int | None = None
    if lengths is not None:
        length = _length(lengths[0])
        # The same length twice is common, and section 6.3 lets a recipient take it for one.
        if length is None or lengths.count(lengths[0]) != len(lengths):
            raise MalformedHead("contradictory or malformed Content-Length")
    if codings is not None and (
        lengths is not None or version != (1, 1) or len(codings) != 1 or codings[0].lower() != b"chunked"
    ):
        raise MalformedHead("a Transfer-Encoding other than chunked, beside Content-Length, or in HTTP/1.0")
    if status < 200 or status in (204, 304) or method == b"HEAD":
        return length, None
    if codings is not None:
        return None, ChunkedBody()
    if length is None:
        return None, EndlessBody()
    return length, LengthBody(length) if length else None


def _length(digits: bytes) -> int | None:
    """A Content-Length; ``None`` if it is none, or one with more digits than any body has bytes."""
    return int(digits) if digits.isdigit() and len(digits) <= 18 else None
