"""The servers of an origin as DNS has them now: each address of a name is a server, asked for anew as its TTL says.

Law: what is known is used until something else is known: when name servers fail, or say that there is nothing, the last
answer stays in use. Nothing under way is cut because an address has gone. No answer is asked for more often than once a
second, nor believed for longer than an hour. Nothing is asked before the first connection, or health check, is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.proxy.origin.names import Names, Place, Places, Unresolved
from edgenode.proxy.origin.server import Server

_SHORTEST, _LONGEST = 1.0, 3600.0
"""Seconds between two questions."""

_RETRY = 5.0
"""Seconds until a question is asked again that had no answer; twice as long each time, up to a minute."""

_log = Logger()

Found = Callable[[Sequence[Server]], None]
Failed = Callable[[str], None]


class Discovery:
    """Keeps the servers of an origin.

    :param origin: its name, for the log.
    :param servers: as the configuration has them, those too that are not to be resolved.
    :param replace: takes the servers whenever they are others.
    """

    def __init__(
        self,
        origin: str,
        servers: Sequence[Server],
        names: Names,
        deadlines: Deadlines,
        replace: Callable[[Sequence[Server]], None],
    ) -> None:
        self._resolved = {
            each: Resolved(origin, each, names, deadlines, self._changed) for each in servers if each.resolve
        }
        self._servers = tuple(servers)
        self._replace = replace

    def find(self, server: Server, found: Found, failed: Failed) -> None:
        """Where a server is that has not been resolved yet.

        :param found: called with it at each of its addresses.
        :param failed: called with the reason.
        """
        self._resolved[server].find(found, failed)

    def resume(self) -> None:
        """Go on, after :meth:`stop`: what has been asked for is asked for again."""
        for each in self._resolved.values():
            if each.servers:
                each.ask()

    def stop(self) -> None:
        """Ask no more."""
        for each in self._resolved.values():
            each.stop()

    def _changed(self) -> None:
        current = dict[str, Server]()
        for server in self._servers:
            resolved = self._resolved.get(server)
            for each in (resolved and resolved.servers) or (server,):
                current.setdefault(str(each), each)
        self._replace(tuple(current.values()))


class Resolved:
    """One server of the configuration, and where it is.

    :ivar servers: it at each of its addresses; nothing if none is known yet.
    :ivar deadline: when it is to be asked for again.
    """

    def __init__(
        self, origin: str, server: Server, names: Names, deadlines: Deadlines, changed: Callable[[], None]
    ) -> None:
        self._origin = origin
        self._server = server
        self._names = names
        self._deadlines = deadlines
        self._changed = changed
        self._asking: Deferred[None] | None = None
        self._waiting: list[tuple[Found, Failed]] = []
        self._failures = 0
        self._reason = ""
        self.servers: tuple[Server, ...] = ()
        self.deadline = NEVER

    def find(self, found: Found, failed: Failed) -> None:
        """See :meth:`Discovery.find`."""
        if self.servers:
            found(self.servers)
            return
        self._waiting.append((found, failed))
        self.ask()

    def ask(self) -> None:
        """Ask now, unless that is under way."""
        if self._asking is None:
            self.deadline = NEVER
            self._asking = Deferred.fromCoroutine(self._ask())
            self._asking.addErrback(self._failed)

    def expired(self, now: float) -> None:
        """The answer is no longer good."""
        self.ask()

    def stop(self) -> None:
        """Ask no more."""
        self._deadlines.forget(self)
        self.deadline = NEVER
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    async def _ask(self) -> None:
        server = self._server
        try:
            if server.service:
                places = await self._names.service(server.service, server.host)
            else:
                places = await self._names.addresses(server.host)
        except Unresolved as problem:
            self._kept(str(problem))
        else:
            self._found(places)
        self._asking = None
        self._deadlines.watch(self)
        waiting, self._waiting = self._waiting, []
        for found, failed in waiting:
            if self.servers:
                found(self.servers)
            else:
                failed(self._reason)

    def _found(self, places: Places) -> None:
        if places.missing and self.servers:  # some of what is known may be there still
            self._kept(places.missing, [_at(self._server, each) for each in places.places])
            return
        self._failures = 0
        self._next(places.ttl)
        self._take([_at(self._server, each) for each in places.places])

    def _kept(self, reason: str, more: Sequence[Server] = ()) -> None:
        """Go on with what is known, and with what has come in spite of it."""
        self._failures += 1
        self._reason = reason
        self._next(min(_RETRY * 2.0 ** min(self._failures - 1, 8), 60.0))
        if self._failures == 1:
            what = "its last addresses stay in use" if self.servers else "it has none"
            _log.error(
                "origin {origin}: {server} cannot be resolved: {reason}; {what}",
                origin=self._origin, server=str(self._server), reason=reason, what=what,
            )  # fmt: skip
        if more:
            new = {str(each): each for each in more}
            self._take([*(each for each in self.servers if str(each) not in new), *more])

    def _take(self, servers: Sequence[Server]) -> None:
        """Use these servers, in an order that does not depend on that of the answer, which changes each time."""
        ordered = tuple(sorted({str(each): each for each in servers}.values(), key=str))
        if ordered == self.servers:
            return
        self.servers = ordered
        _log.info(
            "origin {origin}: {server} is at {addresses}",
            origin=self._origin, server=str(self._server), addresses=", ".join(each.address for each in ordered),
        )  # fmt: skip
        self._changed()

    def _next(self, seconds: float) -> None:
        self.deadline = self._deadlines.clock() + min(max(seconds, _SHORTEST), _LONGEST)

    def _failed(self, failure: Failure) -> None:
        """It was stopped; or a defect, after which it is asked again all the same: what is known grows old."""
        waiting, self._waiting = self._waiting, []
        self._asking = None
        stopped = failure.check(CancelledError)
        if not stopped:
            _log.failure("origin {origin}: a name could not be asked for", failure=failure, origin=self._origin)
            self._next(_RETRY)
            self._deadlines.watch(self)
        for _, failed in waiting:
            failed("the node stops" if stopped else "the log says why")


def _at(server: Server, place: Place) -> Server:
    """A server at one of its places; of a service the weights count among each other."""
    return evolve(
        server,
        at=place.address,
        port=place.port or server.port,
        weight=place.weight if server.service else server.weight,
        backup=server.backup or place.backup,
    )
