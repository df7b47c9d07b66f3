"""Who waits for a connection to an origin, while as many are open as ``max-connections`` allows.

Law: first come, first served; nobody waits longer than ``queue-timeout``, and no more than ``max-queued`` wait at a
time: nginx's ``queue``, HAProxy's ``timeout queue``, Envoy's ``max_pending_requests``. Who gives up leaves at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from typing import ClassVar, Protocol

from twisted.logger import Logger

from edgenode.model.errors import OriginError
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.streams import OriginStream

_log = Logger()


class Borrower(Protocol):
    """What a pool tells who wants a connection.

    :ivar alone: whether only a connection of HTTP/1.1 will do that serves nobody else: for WebSocket, which few servers
        of HTTP/2 take.
    :ivar client: on whose behalf, if that may ask for many at once: a connection of HTTP/2. Else ``None``.
    """

    @property
    def alone(self) -> bool:
        """See above."""
        ...

    @property
    def client(self) -> object:
        """See above."""
        ...

    def lent(self, stream: OriginStream, server: Balanced, reused: bool) -> None:
        """Here it is."""

    def not_lent(self, server: Balanced | None, error: OriginError) -> None:
        """None could be had."""

    def turn(self, fresh: bool) -> None:
        """It has waited, and its turn has come: borrow again, and say so.

        :param fresh: as it was borrowed.
        """


class Queue:
    """Those who wait, in the order in which they came.

    :param origin: how many may, and how long.
    """

    def __init__(self, origin: Origin, deadlines: Deadlines) -> None:
        self._origin = origin
        self.deadlines = deadlines
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, borrower: Borrower, tried: Container[Balanced], fresh: bool) -> Waiting | None:
        """Wait behind all others; or be told that there is no room."""
        if len(self._waiting) >= self._origin.max_queued:
            reason = "all connections to the origin are in use"
            if self._origin.max_queued:
                reason += f", and {self._origin.max_queued} requests wait for one: max-queued"
            borrower.not_lent(None, OriginError(503, "unavailable", reason))
            return None
        waiting = Waiting(self, borrower, tried, fresh, self.deadlines.clock() + self._origin.queue_timeout)
        self._waiting[waiting] = None
        self.deadlines.watch(waiting)
        return waiting

    @property
    def first(self) -> Waiting:
        """Who has waited longest."""
        return next(iter(self._waiting))

    def serve(self) -> None:
        """Take out who has waited longest, and give it its turn."""
        waiting = self._next()
        with _log.failuresHandled("a request that had waited for a connection failed"):
            waiting.borrower.turn(waiting.fresh)

    def _next(self) -> Waiting:
        waiting, _ = self._waiting.popitem(last=False)
        self.deadlines.forget(waiting)
        return waiting

    def leave(self, waiting: Waiting) -> bool:
        """Take one out; false if it is not in."""
        self.deadlines.forget(waiting)
        return self._waiting.pop(waiting, self) is None

    def late(self) -> OriginError:
        """The error of one whose time is over."""
        seconds = self._origin.queue_timeout
        reason = f"no connection to the origin came free within {seconds:g} s: queue-timeout"
        return OriginError(503, "unavailable", reason)

    def fail(self, error: OriginError) -> None:
        """Tell all of them that there will be no connection."""
        while self._waiting:
            self._next().borrower.not_lent(None, error)


class Waiting:
    """One who waits; for its borrower it stands where a connection that is being opened would.

    :ivar tried: the servers that it has asked.
    :ivar fresh: whether only a new connection will do.
    :ivar deadline: until when it waits.
    """

    __slots__ = ("_queue", "borrower", "deadline", "fresh", "tried")
    waits: ClassVar[bool] = True

    def __init__(
        self, queue: Queue, borrower: Borrower, tried: Container[Balanced], fresh: bool, deadline: float
    ) -> None:
        self._queue = queue
        self.borrower = borrower
        self.tried = tried
        self.fresh = fresh
        self.deadline = deadline

    def begin(self) -> None:
        """It has begun by being there."""

    def cancel(self) -> None:
        """Nobody wants a connection any more."""
        self._queue.leave(self)

    def fail(self, error: OriginError) -> None:
        """There will be none."""
        if self._queue.leave(self):
            self.borrower.not_lent(None, error)

    def expired(self, now: float) -> None:
        """It has waited long enough."""
        self.fail(self._queue.late())
