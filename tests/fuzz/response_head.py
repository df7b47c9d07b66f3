"""A response head that is accepted is read the same by the reader written from the grammar."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.proxy.http1.bodies import ChunkedBody, EndlessBody
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.response_head import FramedHead, read_response_head
from tests.support import rfc9112
from tests.support.misbehaviours import MISBEHAVIOURS


def check(data: bytes) -> None:
    """The first byte says whether it answers HEAD; the rest is read up to the first empty line."""
    method, data = b"HEAD" if data[:1] == b"H" else b"GET", data[1:]
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return
    try:
        read = read_response_head(data[:end], method)
    except MalformedHead:
        return
    parsed, rest = rfc9112.read_response_head(data[:end])
    assert not rest
    assert parsed.start == (parsed.start[0], b"%d" % read.status, read.reason)
    assert parsed.fields == read.headers
    assert len(read.field_lines) == len(read.headers)
    assert read.length == (None if parsed.length == -1 else parsed.length)
    _check_framing(read, method, parsed.length)


def _check_framing(read: FramedHead, method: bytes, length: int | None) -> None:
    """RFC 9112, section 6.3."""
    reader = read.body
    if method == b"HEAD" or read.status < 200 or read.status in (204, 304) or length == 0:
        assert reader is None
    elif length is None:
        assert isinstance(reader, ChunkedBody)
    elif length == -1:
        assert isinstance(reader, EndlessBody)
        assert not read.keep_alive
    else:
        assert reader is not None
        assert not reader.done


def seeds() -> Iterator[bytes]:
    """What misbehaving origins begin with."""
    return (b"%c%b" % (b"GH"[number % 2], b"".join(each.pieces)) for number, each in enumerate(MISBEHAVIOURS.values()))
