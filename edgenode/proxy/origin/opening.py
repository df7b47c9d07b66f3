"""One connection to an origin being opened: resolved, connected, shaken hands, verified.

The one place on the origin's side that knows which protocol is spoken.
"""

from __future__ import annotations

import socket
from typing import ClassVar

from attrs import evolve
from OpenSSL import SSL
from twisted.internet.error import DNSLookupError, TimeoutError

from edgenode.model.errors import OriginError
from edgenode.net.connecting import Connecting
from edgenode.net.deadlines import NEVER
from edgenode.net.errors import alert_in, describe
from edgenode.net.handshaking import SteppedConnection
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.causes import NOT_VERIFIED, connecting, losing, misnamed
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.queue import Borrower
from edgenode.proxy.origin.refusals import refusal
from edgenode.proxy.origin.resolver import is_address
from edgenode.tls.presenting import OriginRecord


class TLSOpening:
    """One connection being opened: resolved, connected, shaken hands, verified.

    :ivar deadline: for all of it, or while there are further addresses to try, for a fair part of it.
    """

    waits: ClassVar[bool] = False

    def __init__(self, pool: OriginPool, server: Balanced, borrower: Borrower) -> None:
        self._pool = pool
        self._server = server
        self._borrower: Borrower | None = borrower
        self._connecting: Connecting | None = None
        self._transport: Transport | None = None
        self._addresses: list[str] = []
        self._until = NEVER
        self._connection: SSL.Connection | None = None
        self._record = OriginRecord()
        self.deadline = NEVER

    def begin(self) -> None:
        """Start."""
        self.deadline = self._until = self._pool.deadlines.clock() + self._pool.origin.connect_timeout
        self._pool.deadlines.watch(self)
        server = self._server.server
        if server.is_socket or self._pool.reactor.sockets is not None:
            self._resolved((server.host,))
        else:
            self._pool.resolver.resolve(server.host, self._resolved, self._unresolved)

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self._borrower = None
        self._end()

    def fail(self, error: OriginError) -> None:
        """Give up, and tell who wants it."""
        borrower, self._borrower = self._borrower, None
        self._end()
        if self._connection is not None and error.presented is None:
            error = evolve(error, presented=self._record.presentation(self._connection, done=False))
        if borrower is not None:
            borrower.not_lent(self._server, error)

    def expired(self, now: float) -> None:
        """It took too long: the next address, if a connection to this one was still to come and there is a next."""
        if self._connecting is not None and self._addresses:
            self._connecting.cancel()
            self._try_next("timed out")
            return
        reason = f"no connection to {self._server} in time"
        self.fail(OriginError(504, "timeout", reason, cause=TimeoutError(string=reason)))

    def _resolved(self, addresses: tuple[str, ...]) -> None:
        self._addresses = list(addresses)
        self._try_next("no address")

    def _try_next(self, reason: str, number: int = 0) -> None:
        self._connecting = None
        if self._borrower is None:
            return
        if not self._addresses:
            self._unreachable(reason, connecting(number, f"no connection to {self._server}"))
            return
        address = self._addresses.pop(0)
        now = self._pool.deadlines.clock()
        self.deadline = now + (self._until - now) / (len(self._addresses) + 1)
        sockets = self._pool.reactor.sockets
        self._connecting = (Connecting if sockets is None else sockets.connecting)(
            self._pool.reactor, address, self._server.server.port, self._connected, self._try_next
        )

    def _unresolved(self, reason: str) -> None:
        self._unreachable(reason, DNSLookupError(reason))

    def _unreachable(self, reason: str, cause: Exception) -> None:
        self.fail(OriginError(502, "connect", f"no connection to {self._server}: {reason}", cause=cause))

    def _connected(self, sock: socket.socket) -> None:
        self._connecting = None
        self.deadline = self._until
        try:
            connection = self._tls(sock) if self._server.server.tls else Plain(sock)
        except (SSL.Error, UnicodeError) as error:
            sock.close()
            reason = str(error) if isinstance(error, UnicodeError) else describe(error)
            reason = f"no TLS with {self._server} as {self._name}: {reason}"
            self.fail(OriginError(502, "handshake", reason, cause=error.with_traceback(None)))
            return
        self._transport = Transport(self._pool.reactor, sock, connection, self)
        self._transport.start()

    def _tls(self, sock: socket.socket) -> SSL.Connection:
        assert self._pool.context is not None
        sockets = self._pool.reactor.sockets
        connection: SSL.Connection = (SteppedConnection if sockets is None else sockets.tls)(self._pool.context, sock)
        if not is_address(self._name):
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        connection.set_app_data(self._record)
        connection.set_connect_state()
        self._connection = connection
        return connection

    @property
    def _name(self) -> str:
        return self._pool.origin.server_name or self._server.server.name

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
                self.fail(evolve(error, cause=misnamed(self._name)))
                return
        pool = self._pool
        presented = None
        if self._connection is not None:
            presented = self._record.presentation(self._connection, done=True)
            transport.wary = True
        connection = OriginConnection(pool, self._server, pool.origin, transport, pool.deadlines, presented)
        transport.receiver = connection
        self._transport = None
        self._borrower = None
        self._pool.deadlines.forget(self)
        self._pool.opened(self, connection)
        borrower.lent(connection, self._server, False)

    def received(self, data: bytes) -> None:
        """Nothing is received before the handshake is done."""

    def drained(self) -> None:
        """Nothing is written before."""

    def ended(self) -> None:
        """The server has closed before the handshake was done."""
        if self._transport is not None:
            self._transport.abort("")

    def lost(self, reason: str, clean: bool) -> None:
        """The handshake failed."""
        self._transport = None
        alert = alert_in(reason)
        if self._record.errors:
            reason = f"the certificate of {self._server}: {self._record.reason}"
            error = OriginError(502, "certificate", reason, cause=SSL.Error(NOT_VERIFIED))
        elif alert and self._connection is not None:
            error = refusal(alert, self._record.presentation(self._connection, done=False), sent=False)
        else:
            cause = losing(reason, clean)
            error = OriginError(502, "handshake", f"no TLS with {self._server}: {reason or 'closed'}", cause=cause)
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
