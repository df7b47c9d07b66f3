"""The heads of HTTP/1.1 requests, read strictly (RFC 9112, sections 3 and 6).

Law: a head that is accepted has one meaning: its framing is given once, as is the type of its body, and there is one
authority, the target's, or else the one Host's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from edgenode.model.errors import ClientError
from edgenode.proxy.http1.fields import (
    LINE_BYTES,
    NO_OPTIONS,
    Fields,
    MalformedHead,
    content_length,
    known_field_lines,
    persistence,
    read_field_lines,
    stray,
)
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.streams import RequestHead
from edgenode.proxy.targets import read_authority, read_target

_FURTHER_CODINGS = re.compile(rb"(?:(?!chunked)[!#$%&'*+.^_`|~0-9a-z-]+[ \t]*,[ \t]*)+chunked")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \r\n]+) HTTP/(\d)\.(\d)\r\n")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LONGEST_METHOD = 64
_VERSIONS = {b"HTTP/1.1": (1, 1), b"HTTP/1.0": (1, 0)}
_OTHER_VERSION = "the version is neither HTTP/1.1 nor HTTP/1.0"
_BETWEEN = len(b"  HTTP/1.1\r\n\r\n")
"""Bytes of a head besides its method, its target and its field lines."""


def check_unfinished_request(data: bytes, limits: HeadLimits, looked: int = 0) -> None:
    """Refuse a head that is not all there yet but can no longer become a good one.

    :param looked: the bytes in front that were found good before, and end in the middle of no line end.
    :raises ClientError: 400, 414 or 431.
    """
    line = data.find(b"\n")
    if line < 0:
        if len(data) > limits.target + 80:
            raise ClientError(414, "the request target is too long")
    elif line >= looked and not _REQUEST_LINE.match(data):
        raise _no_request_line(data[: line - 1])
    else:
        new = data[looked:] if line < looked else data
        if len(new.translate(None, LINE_BYTES)) != 2 * new.count(b"\r\n") + new.endswith(b"\r"):
            raise ClientError(400, "malformed head: " + stray(new.removesuffix(b"\r")))
    if len(data) > limits.head:
        raise ClientError(431, "the request head is too large")


def _no_request_line(line: bytes) -> ClientError:
    return ClientError(400, "HTTP/0.9 is not spoken" if line.count(b" ") == 1 else "the request line is malformed")


def read_request_head(
    head: bytes, limits: HeadLimits, scheme: bytes = b"https", presumed: Callable[[], bytes] | None = None
) -> RequestHead:
    """Read a request head.

    :param head: from the request line to the empty line, both included.
    :param presumed: the authority of a request of HTTP/1.0 that says none (RFC 9112, section 3.3): it is read as though
        it had said this one. Without it such a request is refused.
    :raises ClientError: with the status to answer.
    """
    if len(head) > limits.head:
        raise ClientError(431, "the request head is too large")
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise _no_request_line(head[: head.index(b"\r\n")])
    method, target, major, minor = line.groups()
    if major != b"1" or minor not in (b"1", b"0"):
        raise ClientError(400 if major == b"0" else 505, _OTHER_VERSION)
    if len(target) > limits.target:
        raise ClientError(414, "the request target is too long")
    if head.count(b"\n") > limits.headers + 2:
        raise ClientError(431, "too many header fields")
    try:
        names, fields, lines = read_field_lines(head[line.end() : -2])
    except MalformedHead as error:
        raise ClientError(400, f"malformed head: {error}") from error
    return _read(method, target, (1, 1) if minor == b"1" else (1, 0), names, fields, lines, scheme, presumed)


def known_request_head(
    method: bytes,
    target: bytes,
    version: bytes,
    headers: Iterable[tuple[bytes, Sequence[bytes]]],
    limits: HeadLimits,
    scheme: bytes,
    presumed: Callable[[], bytes],
) -> RequestHead:
    """The same of a head of which somebody else has read the request line, and the header fields.

    :param version: as in a request line.
    :param headers: as :func:`edgenode.proxy.http1.fields.known_field_lines` takes them.
    :raises ClientError: if the head that is made of them would be read otherwise, or refused.
    """
    try:
        names, fields, lines = known_field_lines(headers)
    except MalformedHead as error:
        raise ClientError(400, f"malformed head: {error}") from error
    if version not in _VERSIONS:
        raise ClientError(400 if version.startswith(b"HTTP/0") else 505, _OTHER_VERSION)
    if not _METHOD.fullmatch(method):  # whether the target is one is seen when it is read
        raise ClientError(400, "the request line is malformed")
    if len(method) + len(target) + len(lines) > limits.head - _BETWEEN:
        raise ClientError(431, "the request head is too large")
    if len(target) > limits.target:
        raise ClientError(414, "the request target is too long")
    if len(names) > limits.headers:
        raise ClientError(431, "too many header fields")
    return _read(method, target, _VERSIONS[version], names, fields, lines, scheme, presumed)


def _read(
    method: bytes,
    target: bytes,
    version: tuple[int, int],
    names: list[bytes],
    fields: Fields,
    lines: bytes,
    scheme: bytes,
    presumed: Callable[[], bytes] | None,
) -> RequestHead:
    """What is meant by a head that is well-formed."""
    if method == b"CONNECT":
        raise ClientError(400, "CONNECT is not served")
    if len(method) > _LONGEST_METHOD:
        raise ClientError(501, "the method is longer than any")  # RFC 9112, section 3
    if b"content-type" in fields and len(fields[b"content-type"]) > 1:
        raise ClientError(400, "the Content-Type field is repeated")
    authority, path, query, normalised = read_target(target, method)
    hosts = fields.get(b"host", ())
    if len(hosts) == 1:
        host = read_authority(hosts[0])
    elif hosts or version == (1, 1) or presumed is None:
        raise ClientError(400, "the Host field is repeated" if hosts else "the Host field is missing")
    else:  # it is read as though it had one
        host = read_authority(presumed()) if authority is None else authority
        names, fields[b"host"], lines = [b"host", *names], (host,), b"Host: %b\r\n%b" % (host, lines)
    if authority is None:
        authority = host
    else:
        fields[b"host"] = (authority,)  # it makes the Host field void (RFC 9112, section 3.2.2)
    origin_target = target
    if len(target) != len(path) + (0 if query is None else len(query) + 1):  # it is absolute, or had dot segments
        origin_target = path if query is None else b"%b?%b" % (path, query)
    has_body = b"content-length" in fields or b"transfer-encoding" in fields
    length = _body_length(fields, version) if has_body else 0
    connection = fields.get(b"connection")
    keep_alive, options = (version == (1, 1), NO_OPTIONS) if connection is None else persistence(connection, version)
    upgrade = b"upgrade" in options and version == (1, 1) and _asks_for_websocket(fields)
    expects_continue = b"expect" in fields and length != 0 and _expects_continue(fields[b"expect"], version)
    return RequestHead(
        method, scheme, authority, target, path, query, normalised, version, length, fields,
        origin_target, names, lines, options, keep_alive, expects_continue, upgrade,
    )  # fmt: skip


def _body_length(fields: dict[bytes, tuple[bytes, ...]], version: tuple[int, int]) -> int | None:
    """The body's length: ``None`` for chunked. Anything that a second reader could frame differently is refused."""
    lengths, codings = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise ClientError(400, "both Content-Length and Transfer-Encoding")
        coding = codings[0].lower()
        if version == (1, 1) and len(codings) == 1 and _FURTHER_CODINGS.fullmatch(coding):
            raise ClientError(501, "a transfer coding besides chunked")
        if version != (1, 1):
            raise ClientError(400, "a Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or coding != b"chunked":
            raise ClientError(400, "a Transfer-Encoding other than chunked")
        return None
    if lengths is None:
        return 0
    length = content_length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise ClientError(400, "a malformed Content-Length" if len(lengths) == 1 else "a repeated Content-Length")
    return length


def _asks_for_websocket(fields: dict[bytes, tuple[bytes, ...]]) -> bool:
    """Whether it asks for WebSocket; an upgrade to another protocol is ignored (RFC 9110, section 7.8)."""
    return b"websocket" in b",".join(fields.get(b"upgrade", ())).lower()


def _expects_continue(fields: tuple[bytes, ...], version: tuple[int, int]) -> bool:
    if len(fields) != 1 or fields[0].lower() != b"100-continue":
        raise ClientError(417, "an expectation other than 100-continue")
    return version == (1, 1)
