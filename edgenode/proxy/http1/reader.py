"""Reads HTTP/1.1 messages (RFC 9112) from bytes as they come, without sockets: requests of a client, responses of an
origin.

Law: however the bytes are cut, the same messages are read, and of a message exactly its own bytes are taken. Of a head
that comes in pieces each byte is looked at once, and not again with every further piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Headers
from edgenode.proxy.http1.bodies import BodyReader, ChunkedBody, EndlessBody, LengthBody, MalformedBody
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.request_head import check_unfinished_request, read_request_head
from edgenode.proxy.http1.response_head import FramedHead, read_response_head
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.streams import RequestHead

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_MAX_INTERIM = 16


def _to_go_on(data: bytes) -> tuple[bytes, int]:
    """The beginning of a head, and from where on it has to be looked through when there is more of it: the end may have
    begun, but no line end is cut in two.

    It is a ``bytearray``, to which ``+=`` appends without a copy, and is made ``bytes`` again with the end of the head.
    """
    looked = max(len(data) - 3, 1)
    if looked > 1 and data[looked - 1 : looked + 1] == b"\r\n":
        looked -= 1
    return cast("bytes", data if isinstance(data, bytearray) else bytearray(data)), looked


class RequestReader:
    """Reads requests one after another: bytes in by :meth:`feed`, then a head, then the pieces of its body.

    :param presumed: the authority of requests that may say none, and do: see :func:`read_request_head`.
    :param scheme: of the requests: ``https``, or ``http`` without TLS.
    :ivar limits: how large a head may be.
    :ivar body: the reader of the body that is being read; ``None`` between messages.
    :ivar buffered: the bytes that have come and belong to nothing that was read yet.
    :ivar trailers: the trailer fields of the body that has ended last.
    """

    __slots__ = ("_looked", "_presumed", "_scheme", "body", "buffered", "limits", "trailers")

    def __init__(
        self, limits: HeadLimits, presumed: Callable[[], bytes] | None = None, scheme: bytes = b"https"
    ) -> None:
        self.limits = limits
        self._presumed = presumed
        self._scheme = scheme
        self.body: BodyReader | None = None
        self.buffered = b""
        self.trailers: Headers = ()
        self._looked = 0

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        if self.buffered:
            self.buffered += data
        else:
            self.buffered = data

    def read_head(self) -> RequestHead | None:
        """The next request's head; ``None`` if it is not all there yet.

        :raises ClientError: if there is no good head, with the status to answer.
        """
        data = self.buffered
        if data[:1] == b"\r":  # RFC 9112, section 2.2: empty lines before a request line are ignored
            empty = _EMPTY_LINES.match(data)
            if empty is not None:
                data = data[empty.end() :]
                self.buffered = data or b"\r\n"  # kept, so that a trickle of empty lines has but one deadline
        end = data.find(b"\r\n\r\n", self._looked) + 4
        if end < 4:
            if data:
                check_unfinished_request(data, self.limits, self._looked)
                self.buffered, self._looked = _to_go_on(data)
            return None
        if end == len(data):
            self.buffered = b""
        else:
            self.buffered, data = data[end:], data[:end]
        if self._looked:
            self._looked = 0
            self.buffered, data = bytes(self.buffered), bytes(data)
        head = read_request_head(data, self.limits, self._scheme, self._presumed)
        length = head.length
        if length != 0:
            self.body = ChunkedBody() if length is None else LengthBody(length)
        return head

    def read_body(self) -> tuple[bytes, bool]:
        """What has come of the current request's body, and whether that is the end of it.

        :raises ClientError: 400, if the bytes do not fit its framing.
        """
        body = self.body
        assert body is not None
        try:
            piece, self.buffered = body.feed(self.buffered)
        except MalformedBody as error:
            raise ClientError(400, f"malformed body: {error}") from error
        if body.done:
            self.body = None
            self.trailers = body.trailers
            return piece, True
        return piece, False


class ResponseReader:
    """Reads the responses on an origin's connection: :meth:`expect` one, :meth:`feed`, then heads and body.

    :param max_head: the largest head, bytes.
    :ivar head: the final response's head once it has been read.
    :ivar trailers: the trailer fields of a body that has ended.
    """

    __slots__ = ("_body", "_buffered", "_interim", "_looked", "_max_head", "_method", "_upgrade", "head", "trailers")

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self._buffered = b""
        self._looked = 0
        self._body: BodyReader | None = None
        self._method = b""
        self._upgrade = False
        self._interim = 0
        self.head: FramedHead | None = None
        self.trailers: Headers = ()

    def expect(self, method: bytes, *, upgrade: bool = False) -> None:
        """A request of this method was sent.

        :param upgrade: whether it may be answered with 101.
        """
        self._method = method
        self._upgrade = upgrade
        self._interim = 0
        self.head = self._body = None
        self.trailers = ()

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        if self._buffered:
            self._buffered += data
        else:
            self._buffered = data

    def read_head(self) -> FramedHead | None:
        """The next head, of an interim response or of the final one; ``None`` if it is not all there yet.

        :raises MalformedHead: if there is no good head, or an unrequested 101, or too many interim responses.
        """
        data = self._buffered
        end = data.find(b"\r\n\r\n", self._looked) + 4
        if end < 4 or end > self._max_head:
            self._check_unfinished(data)
            if data:
                self._buffered, self._looked = _to_go_on(data)
            return None
        if end == len(data):
            self._buffered = b""
        else:
            self._buffered, data = data[end:], data[:end]
        if self._looked:
            self._looked = 0
            self._buffered, data = bytes(self._buffered), bytes(data)
        head = read_response_head(data, self._method)
        if head.status >= 200 or (head.status == 101 and self._upgrade):
            self.head = head
            self._body = head.body
            return head
        self._interim += 1
        if head.status == 101:
            raise MalformedHead("an unrequested 101")
        if self._interim > _MAX_INTERIM:
            raise MalformedHead("a flood of interim responses")
        return head

    def _check_unfinished(self, data: bytes) -> None:
        if len(data) > self._max_head:
            raise MalformedHead("the head is too large")
        line = data.find(b"\n")
        if not b"HTTP/1.".startswith(bytes(data[:7])):
            raise MalformedHead("not HTTP/1")
        if line > 0 and data[line - 1] != 13:
            raise MalformedHead("a bare LF")

    def read_body(self) -> tuple[bytes, bool]:
        """What has come of the body, and whether that is the end of it.

        :raises MalformedBody: if the bytes do not fit its framing.
        """
        body = self._body
        if body is None:
            return b"", True
        data = self._buffered
        if not data:
            return b"", False
        piece, self._buffered = body.feed(data)
        if body.done:
            self._body = None
            self.trailers = body.trailers
            return piece, True
        return piece, False

    def rest(self) -> bytes:
        """Take what has come behind the head: behind 101 it is no longer HTTP."""
        rest, self._buffered = bytes(self._buffered), b""
        return rest

    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the body being read (RFC 9112, section 6.3, item 8)."""
        return isinstance(self._body, EndlessBody)

    @property
    def begun(self) -> bool:
        """Whether any byte of a response has come since the request was sent."""
        return self.head is not None or self._interim > 0 or bool(self._buffered)

    @property
    def unfinished(self) -> bool:
        """Whether bytes of the body have come that were not read yet: see ``BodyReader.feed``."""
        return self._body is not None and bool(self._buffered)

    @property
    def excess(self) -> bool:
        """Whether bytes have come that belong to no response."""
        return bool(self._buffered)
