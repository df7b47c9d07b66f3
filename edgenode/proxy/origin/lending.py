"""What a pool knows of a connection, of one that is being opened, and of who opens it."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import ClassVar, Protocol

from edgenode.model.errors import OriginError
from edgenode.net.transport import Transport
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.streams import OriginStream


class Opening(Protocol):
    """A connection that is being opened for a borrower, or its place among those who wait.

    :ivar waits: whether it is the latter, so that no server was asked.
    """

    @property
    def waits(self) -> bool:
        """See above."""
        ...

    def begin(self) -> None:
        """Start."""

    def cancel(self) -> None:
        """Nobody wants it any more."""

    def fail(self, error: OriginError) -> None:
        """Give up, and tell the borrower."""


class ServerOpening(Opening, Protocol):
    """What opens a connection.

    :ivar server: to whom.
    """

    @property
    def server(self) -> Balanced:
        """See above."""
        ...


class PooledConnection(Protocol):
    """A connection as its pool keeps it. One that does not share itself is an :class:`OriginStream` too.

    :ivar shares: whether it carries several requests at a time: see :class:`SharedConnection`.
    :ivar server: the server at its other end.
    :ivar transport: the transport below.
    :ivar deadline: when to lose patience with it.
    :ivar released: after which poll of the poller it was given back.
    """

    shares: ClassVar[bool]
    server: Balanced
    transport: Transport
    deadline: float
    released: int

    def usable(self, look: bool) -> bool:
        """Whether it may serve another request; asked right before it does. If not, it is ended.

        :param look: whether bytes may have come of which the poller has not told yet.
        """
        ...

    def close(self) -> None:
        """Close it, unused."""

    def expired(self, now: float) -> None:
        """The deadline has passed."""


class SharedConnection(PooledConnection, Protocol):
    """A connection that carries several requests at a time.

    :ivar active: how many it carries now.
    """

    active: int

    @property
    def room(self) -> int:
        """How many more it can carry now."""
        ...

    def stream(self) -> OriginStream:
        """A stream for one more."""
        ...


_released = attrgetter("released")


def quiet(idle: list[PooledConnection], heard: int) -> PooledConnection:
    """Take the last used of those of whom a later poll had nothing to tell, for nobody need look at them; else the
    last. They are in the order in which they were released."""
    return idle.pop(bisect_left(idle, heard, key=_released) - 1)
