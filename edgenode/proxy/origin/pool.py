"""The connections to one origin: opened with its one identity, verified, kept alive, lent to requests.

Law: one origin, one identity, one pool. A connection is lent only when the certificate and the name of the server at
its other end have been verified; no byte of a request is written before. One of HTTP/1.1 is lent to one request at a
time. One of HTTP/2 is lent to as many as it takes, before another is opened: it counts as one connection, and as idle
while it carries none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from typing import Any, cast

from OpenSSL import SSL

from edgenode.model.errors import OriginError
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.maintenance import Maintenance
from edgenode.proxy.origin.balancers import balancer_of
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.bursts import Bursts
from edgenode.proxy.origin.circuit import RetryBudget
from edgenode.proxy.origin.discovery import Discovery
from edgenode.proxy.origin.gathering import Gatherings
from edgenode.proxy.origin.lending import Opening, PooledConnection, ServerOpening, SharedConnection, quiet
from edgenode.proxy.origin.names import Names
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.queue import Borrower, Queue
from edgenode.proxy.origin.resolver import Resolver
from edgenode.proxy.origin.server import Server
from edgenode.proxy.origin.standing import Standing
from edgenode.proxy.origin.sticky import StickyCookie
from edgenode.tls.certificates import LoadedCertificate

Verify = Callable[[SSL.Connection, str], None]
"""Checks an origin's certificate against a name; raises :class:`OriginError`."""


Open = Callable[["OriginPool", Balanced, Borrower], ServerOpening]
"""Makes what opens a connection to a server for a borrower."""


class OriginPool:
    """The connections to the servers of an origin.

    :param name: the origin's name.
    :param origin: its section.
    :param context: the TLS context with our certificate and our trust; ``None`` if its servers speak no TLS.
    :param verify: checks the name in a server's certificate after the handshake; ``None`` if that is switched off.
    :param open: opens connections: :class:`edgenode.proxy.origin.opening.TLSOpening`.
    :param sticky: the cookie by which clients come back to a server; ``None`` if there is none.
    :param certificate: our certificate in that context.
    :ivar balancer: its servers.
    :ivar retries: how many may be sent to a further server.
    :ivar maintenance: what is answered instead, while a file exists; ``None`` if none is named.
    :ivar resolver: their addresses.
    :ivar discovery: keeps those that are resolved again and again.
    :ivar standing: how the origin stands.
    """

    def __init__(
        self,
        name: str,
        origin: Origin,
        context: SSL.Context | None,
        verify: Verify | None,
        reactor: Any,
        deadlines: Deadlines,
        open: Open,
        sticky: StickyCookie | None = None,
        certificate: LoadedCertificate | None = None,
    ) -> None:
        self.name = name
        self.origin = origin
        self.balancer = balancer_of(origin, deadlines.clock, sticky)
        self.resolver = Resolver(reactor, deadlines.clock)
        self.discovery = Discovery(name, origin.servers, Names(reactor, origin.resolver), deadlines, self.replace)
        self.reactor = reactor
        self.deadlines = deadlines
        self.context = context
        self.verify = verify
        self.certificate = certificate
        self.standing = Standing()
        self._open = open
        self._idle_count = 0
        # A connection that was said to be one client's is nobody else's.
        self._most_idle = origin.max_idle if origin.proxy_protocol == "off" else 0
        self._shared: dict[Balanced, dict[SharedConnection, None]] = {}  # those in use that have room
        self._gatherings = None if origin.protocol == "http/1.1" else Gatherings(self, origin.max_streams)
        self._queue = Queue(origin, deadlines)
        self._woken = False
        self._connections: set[PooledConnection] = set()
        self._opening: dict[ServerOpening, object] = {}  # and for whom
        self._bursts = Bursts(origin, deadlines)
        self._closed = False
        self._aborted = ""
        self._most_requests = origin.max_requests
        self.retries = RetryBudget(origin)
        self.maintenance = Maintenance.of(origin.maintenance, origin.maintenance_retry)
        self._base = (origin.base_path or "").rstrip("/").encode("ascii")
        self._outdated: set[object] = set()  # what presents a certificate that is used no more

    def open_to(self, server: Balanced, borrower: Borrower) -> ServerOpening:
        """What opens a connection, not begun."""
        return self._open(self, server, borrower)

    @property
    def open(self) -> int:
        """How many connections there are: idle, busy and being opened."""
        return len(self._connections) + len(self._opening)

    @property
    def active(self) -> int:
        """How many requests are under way, those included for which a connection is being opened."""
        shared: int = sum(each.active - 1 for server in self.balancer.servers for each in server.shared if each.active)
        return self.open - self._idle_count + shared + (self._gatherings.further if self._gatherings else 0)

    @property
    def connections(self) -> Collection[PooledConnection]:
        """Those that are established, idle and busy."""
        return self._connections

    @property
    def opening(self) -> int:
        """How many are being opened."""
        return len(self._opening)

    def idle(self, server: Balanced) -> int:
        """How many connections to a server carry nothing."""
        return len(server.idle)

    @property
    def queued(self) -> int:
        """How many wait for one."""
        return len(self._queue) + len(self._bursts)

    def borrow(
        self, borrower: Borrower, tried: Container[Balanced] = (), *, fresh: bool = False, turn: bool = False
    ) -> Opening | None:
        """Get a connection: one with room at once, or a new one, or another's, later; always through ``borrower``.

        :param tried: servers that shall not be asked again.
        :param fresh: whether only a new connection will do, because an idle one has just turned out to be stale.
        :param turn: whether it has waited, and its turn has come.
        :returns: what opens a new one, or the place in the queue, if that has begun.
        """
        if self._aborted:
            borrower.not_lent(None, _stopped(self._aborted))
            return None
        if not turn and (self._queue or (self._most_requests is not None and self.active >= self._most_requests)):
            return self._queue.join(borrower, tried, fresh)
        now = self.deadlines.clock()
        server = self._released(now, tried) if turn and not fresh else None
        server = server or self.balancer.choose(now, tried, borrower)
        if server is None:
            borrower.not_lent(None, OriginError(502, "unavailable", "no server is left to try"))
            return None
        alone = borrower.alone
        if self._shared and server in self._shared and not alone:
            self.lend(next(iter(self._shared[server])), borrower, True)
            return None
        idle, heard = server.idle, self.reactor.heard
        while idle and not (fresh or alone):
            connection: Any = idle.pop() if idle[-1].released < heard else quiet(idle, heard)
            self._idle_count -= 1
            if connection.usable(connection.released >= heard):
                if connection.shares:
                    self.lend(connection, borrower, True)
                else:
                    borrower.lent(connection, server, True)
                return None
        gatherings = None if alone else self._gatherings
        if gatherings is not None and (place := gatherings.join(server, borrower)) is not None:
            return place
        if self._bursts.full(borrower.client):
            return self._bursts.join(borrower.client, borrower, tried, fresh)
        if self.open >= self.origin.max_connections and not self._close_idle():
            return self._queue.join(borrower, tried, fresh)
        if gatherings is not None:
            return gatherings.begin(server, borrower)
        opening = self.open_to(server, borrower)
        return opening if self.begin(opening, borrower.client) else None

    def begin(self, opening: ServerOpening, client: object = None) -> bool:
        """Open a connection for a client; whether that takes time."""
        self._opening[opening] = client
        opening.server.open += 1
        self._bursts.began(client)
        opening.begin()
        return opening in self._opening

    def lend(self, connection: SharedConnection, borrower: Borrower, reused: bool) -> None:
        """Lend a stream on a connection that has room.

        :param reused: whether the connection was opened for another request.
        """
        stream = connection.stream()
        self._share(connection)
        borrower.lent(stream, connection.server, reused)

    def _share(self, connection: SharedConnection) -> None:
        """Note whether a connection that is in use has room."""
        server = connection.server
        if connection.active and connection.room > 0 and connection not in self._outdated:
            self._shared.setdefault(server, {})[connection] = None
        elif server in self._shared:
            self._shared[server].pop(connection, None)
            if not self._shared[server]:
                del self._shared[server]

    def changed(self, connection: SharedConnection) -> None:
        """A shared connection carries fewer requests than before, or its room is another."""
        self._share(connection)
        if not connection.active:
            self.release(connection)
        elif self._queue and connection.room > 0:
            self._wake()

    def _released(self, now: float, tried: Container[Balanced]) -> Balanced | None:
        """A server that has a connection to spare, and may be asked: under load none is closed for a server's share."""
        if self.balancer.bound:
            return None
        for server in self.balancer.servers:
            has_room = server.idle or server in self._shared
            if has_room and server.regular and server.out_until <= now and server not in tried:
                return server
        return None

    def _close_idle(self) -> bool:
        """Make room by closing an unused connection, if there is one: the longest unused of some server."""
        connection = next((each.idle[0] for each in self.balancer.servers if each.idle), None)
        if connection is None and self._idle_count:  # to a server that the origin has no more
            connection = next(each for each in self._connections if each in each.server.idle)
        if connection is not None:
            connection.close()
        return connection is not None

    def _wake(self) -> None:
        """Let those who wait have what has come free: not at once, for it may be in the middle of something."""
        if not self._woken:
            self._woken = True
            self.reactor.again(self)

    def doAgain(self) -> None:
        """Serve those who wait, as many as there is room for."""
        self._woken = False
        while (
            self._queue
            and (self._most_requests is None or self.active < self._most_requests)
            and (
                self._idle_count
                or self.open < self.origin.max_connections
                or (self._shared and self._released(self.deadlines.clock(), self._queue.first.tried))
            )
        ):
            self._queue.serve()
        self._bursts.serve()

    def release(self, connection: PooledConnection) -> None:
        """Take a connection back."""
        if self._closed or self._idle_count >= self._most_idle or connection in self._outdated:
            connection.close()
            return
        connection.transport.wary = False
        connection.server.idle.append(connection)
        self._idle_count += 1
        connection.released = self.reactor.polls
        connection.deadline = self.deadlines.clock() + self.origin.idle_timeout
        if self._queue:
            self._wake()

    def gone(self, connection: PooledConnection) -> None:
        """A connection is over."""
        server = connection.server
        if connection in self._connections:
            self._connections.remove(connection)
            self._outdated.discard(connection)
            server.open -= 1
        if connection.shares:
            server.shared.discard(connection)
            self._share(cast(SharedConnection, connection))
        idle = server.idle
        if connection in idle:
            idle.remove(connection)
            self._idle_count -= 1
        if self._queue:
            self._wake()

    def opened(self, opening: ServerOpening, connection: PooledConnection) -> None:
        """A connection is established and verified."""
        if opening in self._outdated:
            self._outdated.add(connection)
        self._over(opening)
        self._connections.add(connection)
        connection.server.open += 1
        if connection.shares:
            connection.server.shared.add(connection)
        self.deadlines.watch(connection)

    def unopened(self, opening: ServerOpening) -> None:
        """A connection could not be established, or is no longer wanted."""
        self._over(opening)
        if self._queue:
            self._wake()

    def _over(self, opening: ServerOpening) -> None:
        """A connection is being opened no longer."""
        if opening in self._opening:
            self._outdated.discard(opening)
            opening.server.open -= 1
            if self._bursts.over(self._opening.pop(opening)):
                self._wake()

    def close(self) -> None:
        """Close what is idle now, and what is busy as soon as it is released."""
        self._closed = True
        self.discovery.stop()
        self.close_idle()

    def present(self, certificate: LoadedCertificate | None, context: SSL.Context) -> None:
        """Present another certificate of ours from now on.

        What is under way on a connection with the one before is finished, and the connection then closed.

        :param context: the TLS context with it.
        """
        self.certificate, self.context = certificate, context
        self.close_idle()
        self._outdated |= self._connections | self._opening.keys()
        self._shared.clear()

    def replace(self, servers: Sequence[Server]) -> None:
        """Have other servers from now on: see :meth:`edgenode.proxy.origin.balancing.Balancer.replace`.

        What is under way to one that is not among them is finished.
        """
        for gone in self.balancer.replace(servers):
            for connection in tuple(gone.idle):
                connection.close()

    def close_idle(self) -> None:
        """Close what is idle."""
        for connection in [each for each in self._connections if each in each.server.idle]:
            connection.close()

    def abort(self, reason: str = "the node stops") -> None:
        """End every connection at once, and lend no more.

        :param reason: what is told to those who have, or want, one.
        """
        self._aborted = reason
        self.close()
        self._queue.fail(_stopped(self._aborted))
        self._bursts.fail(_stopped(self._aborted))
        for opening in tuple(self._opening):
            opening.fail(_stopped(self._aborted))
        for connection in tuple(self._connections):
            connection.transport.abort(reason)

    def reopen(self) -> None:
        """Lend again, after :meth:`abort`."""
        self._closed = False
        self._aborted = ""
        self.discovery.resume()

    def target(self, target: bytes) -> bytes:
        """The target of a request as the origin is asked for it."""
        return target if not self._base or target == b"*" else self._base + target

    def host(self, server: Balanced) -> bytes:
        """The Host field of requests to a server, where it is not the client's: what is written, or its name."""
        if self.origin.host != "server":
            return self.origin.host.encode("ascii")
        return (self.origin.server_name or server.authority).encode("ascii")


def _stopped(reason: str) -> OriginError:
    return OriginError(502, "unavailable", reason)
