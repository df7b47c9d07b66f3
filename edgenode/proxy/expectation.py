"""A client that waits to be told to send its body, while the origin is asked whether it wants it (RFC 9110, section
10.1.1)."""

from __future__ import annotations

from edgenode.net.deadlines import Deadlines
from edgenode.proxy.streams import ClientStream


class Expectation:
    """Lasts until the origin or the client has done something about it; after a while it is answered here.

    :param client: who waits.
    :param deadlines: watch it.
    :param timeout: how long the origin may take, seconds.
    :ivar lasts: whether the client still waits.
    :ivar deadline: when the time is over, on the clock of ``deadlines``.
    """

    __slots__ = ("_client", "_deadlines", "deadline", "lasts")

    def __init__(self, client: ClientStream, deadlines: Deadlines, timeout: float) -> None:
        self._client = client
        self._deadlines = deadlines
        self.lasts = True
        self.deadline = deadlines.clock() + timeout
        deadlines.watch(self)

    def accept(self) -> None:
        """The body is wanted."""
        if self.lasts:
            self.over()
            self._client.accept_body()

    def expired(self, now: float) -> None:
        """The origin says nothing."""
        self.accept()

    def over(self) -> None:
        """The client waits no more."""
        self.lasts = False
        self._deadlines.forget(self)
