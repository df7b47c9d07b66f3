"""A request head that is accepted is read the same by the reader written from the grammar; so is what is forwarded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgenode.model.errors import ClientError
from edgenode.proxy.headers import header_lines
from edgenode.proxy.http1.reader import RequestReader
from edgenode.proxy.http1.request_head import check_unfinished_request, read_request_head
from edgenode.proxy.http1.writer import request_head
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.streams import RequestHead
from tests.support import rfc9112
from tests.support.hostile_requests import FAMILIES

_LIMITS = HeadLimits(1024, 8192, 64)


def check(data: bytes) -> None:
    """Read the bytes up to the first empty line."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        _check_unfinished(data)
        return
    head = data[:end]
    try:
        read = read_request_head(head, _LIMITS)
    except ClientError:
        return
    _check_same(read, head)
    _check_forwarded(read)
    for size in (1, len(head) // 3, len(head) - 3, len(head) - 1):
        check_unfinished_request(head[:size], _LIMITS)  # what is good in the end was not bad before


def _check_unfinished(data: bytes) -> None:
    _check_in_pieces(data)
    try:
        check_unfinished_request(data, _LIMITS)
    except ClientError:
        for rest in (b"\r\n\r\n", b"\n\r\n"):
            _check_refused(data + rest)  # what is bad already does not become good


def _check_in_pieces(data: bytes) -> None:
    """What comes byte by byte, and is looked at once, is refused if and only if some beginning of it is."""
    reader, refused = RequestReader(_LIMITS), False
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
        try:
            assert reader.read_head() is None
        except ClientError:
            refused = True
            break
    data = re.sub(rb"\A(?:\r\n)+", b"", data[: at + 1] if refused else data)
    try:
        check_unfinished_request(data, _LIMITS)
    except ClientError:
        assert refused
    else:
        assert not refused


def _check_refused(head: bytes) -> None:
    try:
        read_request_head(head, _LIMITS)
    except ClientError:
        return
    raise AssertionError("refused too early")


def _check_same(read: RequestHead, head: bytes) -> None:
    parsed, rest = rfc9112.read_request_head(head)
    request = read
    assert not rest
    assert parsed.start == (request.method, request.target, b"HTTP/%d.%d" % request.version)
    assert tuple(each for each in parsed.fields if each[0] != b"host") == tuple(
        each for each in request.headers if each[0] != b"host"
    )
    assert request.fields[b"host"] == tuple(parsed.values(b"host")) or request.target.startswith((b"h", b"H"))
    assert parsed.length == request.length


def _check_forwarded(read: RequestHead) -> None:
    request = read
    framing = (b"host", b"content-length", b"transfer-encoding")
    kept = tuple(each for each in request.headers if each[0] not in framing)
    head = request_head(read.method, read.origin_target, read.authority, header_lines(kept), read.length)
    parsed, rest = rfc9112.read_request_head(head)
    query = b"" if request.query is None else b"?" + request.query
    assert not rest
    assert parsed.start == (request.method, request.path + query, b"HTTP/1.1")
    assert tuple(each for each in parsed.fields if each[0] not in framing) == kept
    assert parsed.values(b"host") == [request.authority]
    assert parsed.length == request.length


def seeds() -> Iterator[bytes]:
    """The corpus of hostile requests."""
    return (case.data for cases in FAMILIES.values() for case in cases if len(case.data) < 2000)
