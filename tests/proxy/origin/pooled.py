"""A pool on a clock of the test's own, whose openings and connections do as the test says."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import Factory, define

from edgenode.model.errors import OriginError
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.queue import Borrower
from edgenode.proxy.origin.server import Server
from edgenode.proxy.streams import OriginStream
from tests.support.loop import Loop


class FakeTransport:
    """In place of a transport: it is aborted, and its connection gone."""

    wary = True

    def __init__(self, connection: FakeConnection) -> None:
        self._connection = connection

    def abort(self, reason: str = "") -> None:
        """End."""
        self._connection.end("aborted")


class FakeConnection:
    """In place of a connection to a server.

    :ivar protocol: that of HTTP/1.1.
    :ivar shares: that it carries one request at a time.
    :ivar ended: how it has ended, once it has.
    :ivar fresh: whether it is still usable when it is looked at.
    """

    protocol: ClassVar[str] = ""
    shares: ClassVar[bool] = False

    def __init__(self, pool: OriginPool, server: Balanced) -> None:
        self._pool = pool
        self.server = server
        self.transport = FakeTransport(self)
        self.deadline = float("inf")
        self.ended = ""
        self.released = 0
        self.fresh = True
        self.presented = None

    def usable(self, look: bool) -> bool:
        """Whether it may be lent."""
        if not self.fresh:
            self.end("stale")
        return self.fresh

    def close(self) -> None:
        """End it properly."""
        self.end("closed")

    def end(self, how: str) -> None:
        """It is over."""
        if not self.ended:
            self.ended = how
            self._pool.gone(self)  # type: ignore[arg-type]

    def expired(self, now: float) -> None:
        """Idle for too long."""
        self.close()


@define(eq=False)
class FakeOpening:
    """In place of what opens connections: the test says what comes of it."""

    pool: OriginPool
    server: Balanced
    borrower: Borrower
    begun: bool = False
    cancelled: bool = False
    waits: ClassVar[bool] = False

    def begin(self) -> None:
        """Wait for the test."""
        self.begun = True

    def cancel(self) -> None:
        """Nobody wants it."""
        self.cancelled = True
        self.pool.unopened(self)

    def fail(self, error: OriginError) -> None:
        """Give up."""
        self.pool.unopened(self)
        self.borrower.not_lent(self.server, error)

    def succeed(self) -> FakeConnection:
        """It is there."""
        connection = FakeConnection(self.pool, self.server)
        self.pool.opened(self, connection)  # type: ignore[arg-type]
        self.borrower.lent(connection, self.server, False)  # type: ignore[arg-type]
        return connection


@define(eq=False)
class Borrowing:
    """Who borrows.

    :ivar got: the connections, each with whether it had served before.
    :ivar errors: why there was none.
    :ivar place: what stands for it while it waits.
    """

    got: list[tuple[Any, bool]] = Factory(list)
    errors: list[OriginError] = Factory(list)
    pool: Any = None
    place: Any = None
    alone: bool = False
    client: object = None

    def lent(self, stream: OriginStream, server: Balanced, reused: bool) -> None:
        """Here it is."""
        self.got.append((stream, reused))

    def not_lent(self, server: Balanced | None, error: OriginError) -> None:
        """There is none."""
        self.errors.append(error)

    def turn(self, fresh: bool) -> None:
        """It has waited."""
        self.pool.borrow(self, fresh=fresh, turn=True)


class Pooled:
    """The pool, and all its openings.

    :param servers: how many servers it has.
    """

    def __init__(self, servers: int = 1, **settings: Any) -> None:
        self.loop = Loop()
        self.openings: list[FakeOpening] = []
        origin = Origin(servers=tuple(Server(False, f"s{number}", 80) for number in range(servers)), **settings)
        deadlines = Deadlines(self.loop, self.loop.seconds)
        self.pool = OriginPool("origin", origin, None, None, self.loop, deadlines, self._open)

    def _open(self, pool: OriginPool, server: Balanced, borrower: Borrower) -> FakeOpening:
        self.openings.append(FakeOpening(pool, server, borrower))
        return self.openings[-1]

    def borrow(self, *, fresh: bool = False) -> Borrowing:
        """Borrow; what has to be opened is open at once."""
        borrowing, before = Borrowing(pool=self.pool), len(self.openings)
        self.pool.borrow(borrowing, fresh=fresh)
        for opening in self.openings[before:]:
            opening.succeed()
        return borrowing

    def take(self, *, fresh: bool = False) -> FakeConnection:
        """Borrow a connection that there has to be."""
        ((connection, _),) = self.borrow(fresh=fresh).got
        assert isinstance(connection, FakeConnection)
        return connection
