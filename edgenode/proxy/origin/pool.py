"""The connections to one origin: opened with its one identity, verified, kept alive, lent to one exchange at a time.

Law: one origin, one identity, one pool. A connection is handed out only when the certificate and the name of the server
at its other end have been verified; no byte of a request is written before.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Container
from functools import partial
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from edgenode.model.errors import OriginError
from edgenode.net.connecting import Connecting
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.origin.balancing import Balanced, Balancer
from edgenode.proxy.origin.origin import Origin
from edgenode.tls.verification import Record

_RESOLVED_FOR = 30.0
"""Seconds for which the addresses of a name are remembered."""

Verify = Callable[[SSL.Connection, str], None]
"""Checks an origin's certificate against a name; raises :class:`OriginError`."""


class Borrower(Protocol):
    """Who wants a connection."""

    def connected(self, connection: OriginConnection) -> None:
        """Here it is."""

    def unconnected(self, server: Balanced | None, error: OriginError) -> None:
        """None could be had."""


class OriginPool:
    """The connections to the servers of an origin.

    :param origin: its section.
    :param context: the TLS context with our certificate and our trust; ``None`` if its servers speak no TLS.
    :param verify: checks the name in a server's certificate after the handshake; ``None`` if that is switched off.
    :ivar balancer: its servers.
    """

    def __init__(
        self,
        name: str,
        origin: Origin,
        context: SSL.Context | None,
        verify: Verify | None,
        reactor: Any,
        deadlines: Deadlines,
    ) -> None:
        self.name = name
        self.origin = origin
        self.balancer = Balancer(origin.servers, origin.max_fails, origin.fail_timeout)
        self.reactor = reactor
        self.deadlines = deadlines
        self.context = context
        self.verify = verify
        self._idle: dict[Balanced, list[OriginConnection]] = {each: [] for each in self.balancer.servers}
        self._idle_count = 0
        self._connections: set[OriginConnection] = set()
        self._opening: set[Opening] = set()
        self._addresses: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._asking: dict[str, list[tuple[Callable[[tuple[str, ...]], None], Callable[[str], None]]]] = {}
        self._closed = False
        self._aborted = False

    @property
    def open(self) -> int:
        """How many connections there are, idle and busy and being opened."""
        return len(self._connections) + len(self._opening)

    def borrow(
        self, borrower: Borrower, tried: Container[Balanced] = (), *, fresh: bool = False
    ) -> OriginConnection | Opening | None:
        """Get a connection: an idle one at once as the return value, or a new one through ``borrower``.

        :param tried: servers that shall not be asked again.
        :param fresh: whether only a new connection will do, because an idle one has just turned out to be stale.
        """
        if self._aborted:
            borrower.unconnected(None, _stopped())
            return None
        server = self.balancer.choose(self.deadlines.clock(), tried)
        if server is None:
            borrower.unconnected(None, OriginError(502, "unavailable", "no server is left to try"))
            return None
        idle = self._idle[server]
        while idle and not fresh:
            connection = idle.pop()
            self._idle_count -= 1
            if connection.usable():
                return connection
        if self.open >= self.origin.max_connections and not self._close_idle():
            borrower.unconnected(None, OriginError(503, "unavailable", "all connections to the origin are in use"))
            return None
        opening = Opening(self, server, borrower)
        self._opening.add(opening)
        opening.begin()
        return opening

    def _close_idle(self) -> bool:
        """Make room by closing an unused connection, if there is one: the longest unused of some server."""
        connection = next((idle[0] for idle in self._idle.values() if idle), None)
        if connection is not None:
            connection.close()
        return connection is not None

    def release(self, connection: OriginConnection) -> None:
        """Take a connection back."""
        idle = self._idle[connection.server]
        if self._closed or self._idle_count >= self.origin.max_idle:
            connection.close()
            return
        idle.append(connection)
        self._idle_count += 1
        connection.deadline = self.deadlines.clock() + self.origin.idle_timeout

    def gone(self, connection: OriginConnection) -> None:
        """A connection is over."""
        self._connections.discard(connection)
        idle = self._idle[connection.server]
        if connection in idle:
            idle.remove(connection)
            self._idle_count -= 1

    def opened(self, opening: Opening, connection: OriginConnection) -> None:
        """A connection is established and verified."""
        self._opening.discard(opening)
        self._connections.add(connection)
        self.deadlines.watch(connection)

    def unopened(self, opening: Opening) -> None:
        """A connection could not be established, or is no longer wanted."""
        self._opening.discard(opening)

    def close(self) -> None:
        """Close what is idle now, and what is busy as soon as it is released."""
        self._closed = True
        for idle in self._idle.values():
            for connection in tuple(idle):
                connection.close()

    def abort(self) -> None:
        """End every connection at once, and lend no more."""
        self._aborted = True
        self.close()
        for opening in tuple(self._opening):
            opening.fail(_stopped())
        for connection in tuple(self._connections):
            connection.transport.abort("the node stops")

    def host(self, server: Balanced) -> bytes:
        """The Host field of requests to a server, where it is not the client's: what is written, or its name."""
        if self.origin.host != "server":
            return self.origin.host.encode("ascii")
        return (self.origin.server_name or server.authority).encode("ascii")

    def resolve(self, host: str, found: Callable[[tuple[str, ...]], None], failed: Callable[[str], None]) -> None:
        """The addresses of a host, asked for in a thread by one at a time and remembered for half a minute."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            found((host,))
            return
        until, addresses = self._addresses.get(host, (0.0, ()))
        if until > self.deadlines.clock():
            found(addresses)
            return
        asking = self._asking.setdefault(host, [])
        asking.append((found, failed))
        if len(asking) == 1:
            # Never more than one thread for a name: a name server that does not answer would take them all.
            asked = deferToThreadPool(self.reactor, self.reactor.getThreadPool(), _addresses, host)
            asked.addCallbacks(partial(self._resolved, host), partial(self._unresolved, host))

    def _resolved(self, host: str, addresses: tuple[str, ...]) -> None:
        self._addresses[host] = self.deadlines.clock() + _RESOLVED_FOR, addresses
        for found, _ in self._asking.pop(host):
            found(addresses)

    def _unresolved(self, host: str, failure: Failure) -> None:
        for _, failed in self._asking.pop(host):
            failed(f"{host} cannot be resolved: {failure.getErrorMessage()}")


def _stopped() -> OriginError:
    return OriginError(502, "unavailable", "the node stops")


def _addresses(host: str) -> tuple[str, ...]:
    """Ask the system for the addresses of a host; this may block."""
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM)))


class Opening:
    """One connection being opened: resolved, connected, shaken hands, verified.

    :ivar deadline: for all of it, or while there are further addresses to try, for a fair part of it.
    """

    def __init__(self, pool: OriginPool, server: Balanced, borrower: Borrower) -> None:
        self._pool = pool
        self._server = server
        self._borrower: Borrower | None = borrower
        self._connecting: Connecting | None = None
        self._transport: Transport | None = None
        self._addresses: list[str] = []
        self._until = NEVER
        self._record = Record()
        self.deadline = NEVER

    def begin(self) -> None:
        """Start."""
        self.deadline = self._until = self._pool.deadlines.clock() + self._pool.origin.connect_timeout
        self._pool.deadlines.watch(self)
        self._pool.resolve(self._server.server.host, self._resolved, self._unreachable)

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self._borrower = None
        self._end()

    def fail(self, error: OriginError) -> None:
        """Give up, and tell who wants it."""
        borrower, self._borrower = self._borrower, None
        self._end()
        if borrower is not None:
            borrower.unconnected(self._server, error)

    def expired(self, now: float) -> None:
        """It took too long: the next address, if a connection to this one was still to come and there is a next."""
        if self._connecting is not None and self._addresses:
            self._connecting.cancel()
            self._try_next("timed out")
            return
        self.fail(OriginError(504, "timeout", f"no connection to {self._server} in time"))

    def _resolved(self, addresses: tuple[str, ...]) -> None:
        self._addresses = list(addresses)
        self._try_next("no address")

    def _try_next(self, reason: str) -> None:
        self._connecting = None
        if self._borrower is None:
            return
        if not self._addresses:
            self._unreachable(reason)
            return
        address = self._addresses.pop(0)
        now = self._pool.deadlines.clock()
        self.deadline = now + (self._until - now) / (len(self._addresses) + 1)
        self._connecting = Connecting(
            self._pool.reactor, address, self._server.server.port, self._connected, self._try_next
        )

    def _unreachable(self, reason: str) -> None:
        self.fail(OriginError(502, "connect", f"no connection to {self._server}: {reason}"))

    def _connected(self, sock: socket.socket) -> None:
        self._connecting = None
        self.deadline = self._until
        try:
            connection = self._tls(sock) if self._server.server.tls else Plain(sock)
        except (SSL.Error, UnicodeError) as error:
            sock.close()
            self.fail(OriginError(502, "handshake", f"no TLS with {self._server} as {self._name}: {error}"))
            return
        self._transport = Transport(self._pool.reactor, sock, connection, self)
        self._transport.start()

    def _tls(self, sock: socket.socket) -> SSL.Connection:
        assert self._pool.context is not None
        connection = SSL.Connection(self._pool.context, sock)
        if not _is_address(self._name):
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        connection.set_app_data(self._record)
        connection.set_connect_state()
        return connection

    @property
    def _name(self) -> str:
        return self._pool.origin.server_name or self._server.server.host

    def handshaken(self) -> None:
        """The TLS handshake is done: verify whom we talk to, and hand the connection over."""
        transport, borrower = self._transport, self._borrower
        assert transport is not None
        if borrower is None:
            return
        if self._pool.verify is not None and isinstance(transport.connection, SSL.Connection):
            try:
                self._pool.verify(transport.connection, self._name)
            except OriginError as error:
                self.fail(error)
                return
        origin = self._pool.origin
        connection = OriginConnection(
            self._pool,
            self._server,
            self._pool.deadlines,
            read_timeout=origin.read_timeout,
            send_timeout=origin.send_timeout,
            max_head=origin.max_header_size,
        )
        connection.transport = transport
        transport.receiver = connection
        self._transport = None
        self._borrower = None
        self._pool.deadlines.forget(self)
        self._pool.opened(self, connection)
        borrower.connected(connection)

    def received(self, data: bytes) -> None:
        """Nothing is received before the handshake is done."""

    def drained(self) -> None:
        """Nothing is written before."""

    def ended(self) -> None:
        """Nothing is read before."""

    def lost(self, reason: str, clean: bool) -> None:
        """The handshake failed."""
        self._transport = None
        if self._record.errors:
            error = OriginError(502, "certificate", f"the certificate of {self._server}: {self._record.reason}")
        else:
            error = OriginError(502, "handshake", f"no TLS with {self._server}: {reason or 'closed'}")
        self.fail(error)

    def _end(self) -> None:
        self._pool.deadlines.forget(self)
        self._pool.unopened(self)
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.abort("given up")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
