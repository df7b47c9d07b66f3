"""The body of an answer as a whole, and no more of it than was agreed.

Law: a body is whole or it is an error: one that ends with its connection could have been cut anywhere. Of a packed one
no more is unpacked than was agreed.
"""

from __future__ import annotations

import zlib
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

_MOST_MEMBERS = 1000
"""Parts of a gzip; each costs some time, however small it is."""

_PIECE = 1 << 16
"""Bytes that are unpacked in one go: of what stands behind a member a copy is made."""


class NoAnswer(Exception):
    """There is no answer, or none that counts; the text says why."""


class TooLarge(NoAnswer):
    """A body has more bytes than were agreed.

    :ivar unpacked: whether it was not too large as it came.
    """

    def __init__(self, most: int, unpacked: bool = False) -> None:
        super().__init__(f"more than {most} bytes{' unpacked' if unpacked else ''}")
        self.unpacked = unpacked


class Incomplete(NoAnswer):
    """The connection has ended before the body."""


class Damaged(NoAnswer):
    """A packed body cannot be unpacked."""


class BoundedBody(Protocol):
    """Collects a body, for ``response.deliverBody``.

    :param most: bytes; more are an error.
    :ivar done: fires with it, or fails with :class:`TooLarge` or :class:`Incomplete`; cancelling it closes the
        connection.
    """

    transport: Any

    def __init__(self, most: int) -> None:
        self._most = most
        self._data = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self.transport.abortConnection())

    def dataReceived(self, data: bytes) -> None:
        """More of it."""
        self._data += data
        if len(self._data) > self._most:
            self._end(TooLarge(self._most))
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Its end, or that of the connection."""
        if reason is not None and reason.check(ResponseDone):
            self._end(None)
        else:  # PotentialDataLoss too
            self._end(Incomplete("the connection ended before the body"))

    def _end(self, error: Exception | None) -> None:
        if self.done.called:
            return
        if error is None:
            self.done.callback(bytes(self._data))
        else:
            self.done.errback(error)


def unpack(data: bytes, most: int) -> bytes:
    """Unpack gzip (RFC 1952), of several members too.

    :param most: bytes that may come out.
    :raises TooLarge: if there are more.
    :raises Damaged: if it is damaged.
    """
    unpacked = bytearray()
    at = members = 0
    try:
        while at < len(data):
            members += 1
            if members > _MOST_MEMBERS:
                raise Damaged(f"its gzip has more than {_MOST_MEMBERS} members")
            member = zlib.decompressobj(31)
            while not member.eof:
                piece = data[at : at + _PIECE]
                if not piece:
                    raise Damaged("its gzip ends too early")
                unpacked += member.decompress(piece, most + 1 - len(unpacked))
                if len(unpacked) > most:
                    raise TooLarge(most, unpacked=True)
                at += len(piece) - len(member.unused_data)
    except zlib.error:
        raise Damaged("its gzip is damaged") from None
    return bytes(unpacked)
