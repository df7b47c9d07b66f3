"""The body of an answer as a whole, and no more of it than was agreed.

Law: a body is whole or it is an error: one that ends with its connection could have been cut anywhere.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone


class TooLarge(Exception):
    """A body has more bytes than were agreed."""


class Incomplete(Exception):
    """The connection has ended before the body."""


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
            self._end(TooLarge(f"more than {self._most} bytes"))
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
