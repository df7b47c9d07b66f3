"""Who waits for a connection that is being opened, and that will carry them all: with HTTP/2.

Law: while one is being opened to a server, no other is for those whom it can carry. If it fails, all of them have asked
that server; if it turns out to carry fewer, or speaks HTTP/1.1, the others begin anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from twisted.logger import Logger

from edgenode.model.errors import OriginError
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.lending import Opening, PooledConnection, ServerOpening, SharedConnection
from edgenode.proxy.origin.queue import Borrower
from edgenode.proxy.streams import OriginStream

_log = Logger()


class Opener(Protocol):
    """The pool, which opens connections."""

    def open_to(self, server: Balanced, borrower: Borrower) -> ServerOpening:
        """What opens a connection, not begun."""
        ...

    def begin(self, opening: ServerOpening, client: object = None) -> bool:
        """Begin for a client; whether that takes time."""
        ...

    def lend(self, connection: SharedConnection, borrower: Borrower, reused: bool) -> None:
        """Lend a stream."""


class Gatherings:
    """The connections that are being opened, and how many requests each server's are thought to carry.

    :param pool: whose they are.
    :param most: how many requests a connection carries at most.
    :ivar capacity: how many the last one to a server took when it was there; 1 if it spoke HTTP/1.1.
    :ivar open: by their servers, the last ones that have been begun.
    """

    def __init__(self, pool: Opener, most: int) -> None:
        self.pool = pool
        self._most = most
        self.capacity: dict[Balanced, int] = {}
        self.open: dict[Balanced, Gathering] = {}

    @property
    def further(self) -> int:
        """How many requests wait besides the first for each of them."""
        return sum(len(each.places) - 1 for each in self.open.values() if each.places)

    def join(self, server: Balanced, borrower: Borrower) -> Opening | None:
        """Wait for a connection that is being opened; ``None`` if there is none with room."""
        gathering = self.open.get(server)
        if gathering is None or len(gathering.places) >= self.capacity.get(server, self._most):
            return None
        return gathering.join(borrower, waits=True)

    def begin(self, server: Balanced, borrower: Borrower) -> Opening | None:
        """Open a connection, for this one and for who comes until it is there."""
        gathering = self.open[server] = Gathering(self, server)
        place = gathering.join(borrower, waits=False)
        return place if self.pool.begin(gathering.opening, borrower.client) else None


class Gathering:
    """Those who wait for one connection; to what opens it they are one borrower.

    :ivar places: of those who wait, in the order in which they came.
    :ivar opening: what opens it.
    """

    alone = False
    client = None

    def __init__(self, gatherings: Gatherings, server: Balanced) -> None:
        self._gatherings = gatherings
        self._server = server
        self.places: dict[Place, None] = {}
        self.opening = gatherings.pool.open_to(server, self)

    def join(self, borrower: Borrower, *, waits: bool) -> Place:
        """Wait.

        :param waits: whether it was begun for another.
        """
        place = Place(self, borrower, waits)
        self.places[place] = None
        return place

    def leave(self, place: Place) -> bool:
        """Wait no longer; false if it does not wait."""
        if place not in self.places:
            return False
        del self.places[place]
        if not self.places and self._gatherings.open.get(self._server) is self:
            self._close()
            self.opening.cancel()
        return True

    def lent(self, stream: OriginStream, server: Balanced, reused: bool) -> None:
        """The connection is there."""
        self._close()
        gatherings, connection = self._gatherings, cast(PooledConnection, stream)
        if connection.shares:
            shared = cast(SharedConnection, connection)
            gatherings.capacity[server] = shared.room
            while self.places and shared.room > 0:
                place = self._next()
                self._tell(gatherings.pool.lend, shared, place.borrower, place.waits)
        else:
            gatherings.capacity[server] = 1
            self._tell(self._next().borrower.lent, stream, server, False)
        while self.places:
            self._tell(self._next().borrower.turn, False)

    def not_lent(self, server: Balanced | None, error: OriginError) -> None:
        """There is none."""
        self._close()
        while self.places:
            self._tell(self._next().borrower.not_lent, server, error)

    def turn(self, fresh: bool) -> None:
        """It waits in no queue."""

    def _close(self) -> None:
        if self._gatherings.open.get(self._server) is self:
            del self._gatherings.open[self._server]

    def _next(self) -> Place:
        place = next(iter(self.places))
        del self.places[place]
        return place

    def _tell(self, told: Callable[..., None], *arguments: object) -> None:
        with _log.failuresHandled("a request that had waited for a connection failed"):
            told(*arguments)


class Place:
    """The place of one who waits; for its borrower it stands where an opening would.

    :ivar borrower: who it is.
    :ivar waits: whether the connection was begun for another, so that its server was not asked for this one.
    """

    __slots__ = ("_gathering", "borrower", "waits")

    def __init__(self, gathering: Gathering, borrower: Borrower, waits: bool) -> None:
        self._gathering = gathering
        self.borrower = borrower
        self.waits = waits

    def begin(self) -> None:
        """It has begun by being there."""

    def cancel(self) -> None:
        """Nobody wants a connection any more."""
        self._gathering.leave(self)

    def fail(self, error: OriginError) -> None:
        """There will be none."""
        if self._gathering.leave(self):
            self.borrower.not_lent(None, error)
