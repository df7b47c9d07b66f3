"""The heads of HTTP/1.1 messages, read strictly: llhttp reads them, our own rules refuse what two readers could read
differently (RFC 9112, sections 2.2, 3, 5 and 11.2).

Law: a head that is accepted has one meaning. Line ends are CRLF and nothing else, no line is folded, no control
character stands anywhere, the framing is given once, and there is one authority: the target's, or else the one Host's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping

import httptools
from attrs import define, evolve, frozen

from edgenode.errors import ClientError
from edgenode.exchange import Headers, Request, by_name
from edgenode.proxy.http1.bodies import BodyReader, ChunkedBody, EndlessBody, LengthBody
from edgenode.proxy.targets import read_authority, read_target

_REMEMBERED = 512
_LONGEST_REMEMBERED, _MOST_FIELDS_REMEMBERED = 4096, 64
"""Header blocks and response heads repeat, so the last ones are remembered with what was read from them: at the most so
many, and only short ones. What was read is frozen, and depends on nothing but the bytes."""

_LINE_BYTES = bytes(c for c in range(256) if c == 9 or 0x20 <= c != 0x7F)
_FURTHER_CODINGS = re.compile(rb"(?:(?!chunked)[!#$%&'*+.^_`|~0-9a-z-]+[ \t]*,[ \t]*)+chunked")
_TRAILING_SPACE = re.compile(rb"([^ \t\r\n])[ \t]+\r\n")
_STRAY = "a control character, a bare CR or a bare LF"
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([^ \r\n]+) HTTP/(\d)\.(\d)\r\n")


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


_Parser = type[httptools.HttpRequestParser] | type[httptools.HttpResponseParser]


def _read_fields(
    head: bytes, parser: Callable[[_Seen], httptools.HttpRequestParser | httptools.HttpResponseParser]
) -> _Fields:
    """The header fields as llhttp reads them, if the head passes our own look at its lines too.

    Bare CR, bare LF and control characters are refused here, whatever llhttp's build thinks of them; and a field for
    every line, or something was folded or skipped.

    :raises MalformedHead: if our own look finds something.
    """
    pairs = head.count(b"\r\n")
    if len(head.translate(None, _LINE_BYTES)) != 2 * pairs:
        raise MalformedHead(_STRAY)
    if b" \r" in head or b"\t\r" in head:
        head = _TRAILING_SPACE.sub(rb"\1\r\n", head)  # llhttp would read it as part of the value
    seen = _Seen()
    try:
        parser(seen).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # all of the head was read; upgrades are refused elsewhere
    if len(seen.fields) != pairs - 2:
        raise MalformedHead("a folded line")
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


END_TO_END = frozenset(
    b"""accept accept-encoding accept-language authorization cache-control content-encoding content-length content-type
    cookie date etag expires host if-match if-modified-since if-none-match last-modified location origin pragma range
    referer server set-cookie user-agent vary www-authenticate""".split()
)
"""Fields that Connection cannot nominate (RFC 9110, section 7.6.1): rules have judged them, so they are passed on."""

_NO_OPTIONS: frozenset[bytes] = frozenset()


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
    elif len(data.translate(None, _LINE_BYTES)) != 2 * data.count(b"\r\n") + data.endswith(b"\r"):
        raise ClientError(400, f"malformed head: {_STRAY}")
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
    short = len(rest) <= _LONGEST_REMEMBERED and rest.count(b"\n") <= _MOST_FIELDS_REMEMBERED
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
        httptools.HttpRequestParser(_Seen()).feed_data(b"%b / HTTP/1.1\r\n\r\n" % method)
    except httptools.HttpParserError as error:
        raise ClientError(501, "the method is unknown") from error


@functools.lru_cache(_REMEMBERED)
def _read_block(rest: bytes, minor: bytes) -> Block:
    """Read a header block; what it says does not depend on the method and the target before it.

    :raises ClientError: 400, 417.
    """
    try:
        fields = _read_fields(b"GET / HTTP/1.%b\r\n%b" % (minor, rest), httptools.HttpRequestParser)
    except (MalformedHead, httptools.HttpParserError) as error:
        raise ClientError(400, f"malformed head: {error}") from error
    headers = tuple([(name.lower(), value) for name, value in fields])
    values = by_name(headers)
    version = (1, int(minor))
    length = _request_length(values, version)
    keep_alive, options = _connection(values.get(b"connection"), version)
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
    length = _length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise ClientError(400, "a repeated or malformed Content-Length")
    return length


def _connection(fields: tuple[bytes, ...] | None, version: tuple[int, int]) -> tuple[bool, frozenset[bytes]]:
    if fields is None:
        return version == (1, 1), _NO_OPTIONS
    value = b",".join(fields)
    options = (_options if len(value) <= 256 else _options.__wrapped__)(value) - END_TO_END
    if version == (1, 1):
        return b"close" not in options, options
    return b"keep-alive" in options and b"close" not in options, options


@functools.lru_cache(256)
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(option.strip(b" \t") for option in value.lower().split(b","))


def _expects_continue(fields: tuple[bytes, ...] | None, version: tuple[int, int]) -> bool:
    if fields is None:
        return False
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
    short = len(head) <= _LONGEST_REMEMBERED and head.count(b"\n") <= _MOST_FIELDS_REMEMBERED
    read = _read_response if short else _read_response.__wrapped__
    return read(head, method == b"HEAD")


@functools.lru_cache(_REMEMBERED)
def _read_response(head: bytes, bodiless: bool) -> ResponseHead:
    end = head.index(b"\r\n")
    start = _STATUS_LINE.fullmatch(head, 0, end)
    if start is None:
        raise MalformedHead("the status line is malformed")
    minor, code, reason = start.groups()
    status, version = int(code), (1, int(minor))
    try:
        fields = _read_fields(head, httptools.HttpResponseParser)
    except httptools.HttpParserError as error:
        raise MalformedHead(str(error)) from error
    headers = tuple([(name.lower(), value) for name, value in fields])
    values = by_name(headers)
    keep_alive, options = _connection(values.get(b"connection"), version)
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
    length = _length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise MalformedHead("a repeated or malformed Content-Length")
    return length, functools.partial(LengthBody, length) if length else None


def _length(digits: bytes) -> int | None:
    """A Content-Length; ``None`` if it is none, or one with more digits than any body has bytes."""
    return int(digits) if digits.isdigit() and len(digits) <= 18 else None
