"""How many connections are opened at a time for one client that sends many requests at once.

Law: no more than :data:`AT_ONCE`. Its further requests wait, in the order in which they came, until one of these is
there or has failed, and then take what is free. A client of HTTP/2 may send a hundred requests in one record: as many
handshakes at once would keep the origin, and everybody else who needs a connection to it, busy for long.
"""

from __future__ import annotations

from collections.abc import Container

from edgenode.model.errors import OriginError
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.queue import Borrower, Queue, Waiting

AT_ONCE = 16
"""Connections that are being opened for one client: more than browsers open to a server of HTTP/1.1."""


class _Burst(Queue):
    """The requests of one client that wait.

    :ivar opening: how many connections are being opened for it.
    """

    opening = 0


class Bursts:
    """The clients for which an origin's connections are being opened.

    :param origin: how many of their requests may wait, and how long; if none may, nothing is bounded here.
    """

    def __init__(self, origin: Origin, deadlines: Deadlines) -> None:
        self._origin = origin
        self._deadlines = deadlines
        self._bursts: dict[object, _Burst] = {}
        self._served: dict[object, None] = {}

    def __len__(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._bursts.values()))

    def full(self, client: object) -> bool:
        """Whether a further connection for a client has to wait."""
        burst = self._bursts.get(client)
        return burst is not None and burst.opening >= AT_ONCE and self._origin.max_queued > 0

    def join(self, client: object, borrower: Borrower, tried: Container[Balanced], fresh: bool) -> Waiting | None:
        """Wait; or be told that there is no room."""
        return self._bursts[client].join(borrower, tried, fresh)

    def began(self, client: object) -> None:
        """A connection is being opened for a client; ``None`` is nobody."""
        if client is not None:
            if client not in self._bursts:
                self._bursts[client] = _Burst(self._origin, self._deadlines)
            self._bursts[client].opening += 1

    def over(self, client: object) -> bool:
        """It is there, or has failed: whether :meth:`serve` has something to do."""
        if client is None:
            return False
        burst = self._bursts[client]
        burst.opening -= 1
        if burst:
            self._served[client] = None
        elif not burst.opening:
            del self._bursts[client]
        return bool(burst)

    def serve(self) -> None:
        """Let those who wait have what is free, or have it opened."""
        served, self._served = self._served, {}
        for client in served:
            # It may be gone: who waited has left meanwhile, or what was opened last has failed at once.
            while (burst := self._bursts.get(client)) and burst.opening < AT_ONCE:
                burst.serve()
            if burst is not None and not burst.opening:
                del self._bursts[client]

    def fail(self, error: OriginError) -> None:
        """Tell all of them that there will be no connection."""
        for burst in tuple(self._bursts.values()):
            burst.fail(error)
