"""The heads of HTTP/1.1 requests, read strictly (RFC 9112, sections 3 and 6).

Law: a head that is accepted has one form; what it means is the business of :mod:`edgenode.proxy.request_meaning`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from edgenode.model.errors import ClientError
from edgenode.proxy.http1.fields import LINE_BYTES, MalformedHead, known_field_lines, read_field_lines, stray
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.request_meaning import meant
from edgenode.proxy.streams import RequestHead

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \r\n]+) HTTP/(\d)\.(\d)\r\n")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
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
    if scheme == b"http" and target[:6].lower() == b"https:":
        raise ClientError(421, "the target is of https, and the connection has no TLS")  # RFC 9110, section 7.4
    try:
        names, fields, lines = read_field_lines(head[line.end() : -2])
    except MalformedHead as error:
        raise ClientError(400, f"malformed head: {error}") from error
    return meant(method, target, (1, 1) if minor == b"1" else (1, 0), names, fields, lines, scheme, presumed)


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
    return meant(method, target, _VERSIONS[version], names, fields, lines, scheme, presumed)
