"""One connection to an origin being opened: resolved, connected, shaken hands, verified.

The one place on the origin's side that knows which protocol is spoken. Law: one of HTTP/2 is lent once its server has
said its SETTINGS. Only then is it known to speak HTTP/2 at all, and how many streams it takes; in TLS 1.3 it has
accepted our certificate; and a request that was not sent can go to any other server.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from attrs import evolve
from OpenSSL import SSL
from twisted.internet.error import DNSLookupError, TimeoutError

from edgenode.model.errors import OriginError, without_frames
from edgenode.model.presentation import Presentation
from edgenode.net.connecting import Connecting
from edgenode.net.deadlines import NEVER
from edgenode.net.errors import alert_in, describe
from edgenode.net.handshaking import SteppedConnection
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.http2.client import MultiplexedConnection
from edgenode.proxy.http2.engine import Engine
from edgenode.proxy.http2.engine import Receiver as EngineReceiver
from edgenode.proxy.http2.engines import engine
from edgenode.proxy.http2.limits import EngineLimits, Rate
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.causes import NOT_VERIFIED, connecting, losing, misnamed
from edgenode.proxy.origin.origin import OFFERED, Origin
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.queue import Borrower
from edgenode.proxy.origin.refusals import refusal
from edgenode.proxy.origin.server import Server, is_address
from edgenode.proxy.proxyprotocol.announcing import HEADERS
from edgenode.proxy.streams import OriginStream
from edgenode.tls.presenting import OriginRecord

_STREAM_WINDOW = 256 * 1024
"""Bytes of a response that an origin may send before the client has taken any."""


_FIELDS = 1000
"""The most fields of a response."""

_GLITCHES = Rate(10_000, 1_000)
"""Servers of gRPC measure the bandwidth of an upload by PINGs, and some give windows back byte by byte."""


def client_engine(origin: Origin) -> Callable[[EngineReceiver], Engine]:
    """What makes the engine of a connection; no stream can keep another from sending, however slow its client is."""
    limits = EngineLimits(
        max_header_list_size=origin.max_header_size + 32 * _FIELDS,  # as RFC 9113, section 10.5.1, counts
        max_headers=_FIELDS,
        max_continuations=8 + origin.max_header_size // 16384,
        glitches=_GLITCHES,
        stream_window=_STREAM_WINDOW,
        connection_window=min(_STREAM_WINDOW * origin.max_streams, 2**31 - 1),
    )
    return lambda receiver: engine(False, receiver, limits)


class TLSOpening:
    """One connection being opened: resolved, connected, shaken hands, verified.

    :ivar pool: whose connection it will be.
    :ivar server: the server.
    :ivar deadline: for all of it, or while there are further addresses to try, for a fair part of it.
    """

    waits: ClassVar[bool] = False

    def __init__(self, pool: OriginPool, server: Balanced, borrower: Borrower) -> None:
        self.pool = pool
        self.server = server
        self._borrower: Borrower | None = borrower
        self._announce = HEADERS.get(pool.origin.proxy_protocol)
        self._connecting: Connecting | None = None
        self._transport: Transport | None = None
        self._addresses: list[tuple[str, int]] = []
        self._until = NEVER
        self._connection: SSL.Connection | None = None
        self._record = OriginRecord()
        self._greeted: MultiplexedConnection | None = None
        self.deadline = NEVER

    def begin(self) -> None:
        """Start."""
        self.deadline = self._until = self.pool.deadlines.clock() + self.pool.origin.connect_timeout
        self.pool.deadlines.watch(self)
        server = self.server.server
        if server.is_socket or server.at or self.pool.reactor.sockets is not None:
            self._resolved((server.at or server.host,))
        elif server.resolve:
            self.pool.discovery.find(server, self._found, self._unresolved)
        else:
            self.pool.resolver.resolve(server.host, self._resolved, self._unresolved)

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self._borrower = None
        self.end()

    def fail(self, error: OriginError) -> None:
        """Give up, and tell who wants it."""
        borrower, self._borrower = self._borrower, None
        self.end()
        if self._connection is not None:
            if error.presented is None:
                error = evolve(error, presented=self._record.presentation(self._connection, done=False))
            assert error.presented is not None
            self.pool.standing.shaken(self.server.text, self._connection, error.presented, error.reason)
        if borrower is not None:
            borrower.not_lent(self.server, error)

    def expired(self, now: float) -> None:
        """It took too long: the next address, if a connection to this one was still to come and there is a next."""
        if self._connecting is not None and self._addresses:
            self._connecting.cancel()
            self._try_next("timed out")
            return
        what = "connection to" if self._greeted is None else "SETTINGS of"
        reason = f"no {what} {self.server} in time"
        self.fail(OriginError(504, "timeout", reason, cause=TimeoutError(string=reason)))

    def _resolved(self, addresses: tuple[str, ...]) -> None:
        self._addresses = [(each, self.server.server.port) for each in addresses]
        self._try_next("no address")

    def _found(self, servers: Sequence[Server]) -> None:
        self._addresses = [(each.at, each.port) for each in servers]
        self._try_next("no address")

    def _try_next(self, reason: str, number: int = 0) -> None:
        self._connecting = None
        if self._borrower is None:
            return
        if not self._addresses:
            self._unreachable(reason, connecting(number, f"no connection to {self.server}"))
            return
        address, port = self._addresses.pop(0)
        now = self.pool.deadlines.clock()
        self.deadline = now + (self._until - now) / (len(self._addresses) + 1)
        sockets = self.pool.reactor.sockets
        self._connecting = (Connecting if sockets is None else sockets.connecting)(
            self.pool.reactor, address, port, self.connected, self._try_next
        )

    def _unresolved(self, reason: str) -> None:
        self._unreachable(reason, DNSLookupError(reason))

    def _unreachable(self, reason: str, cause: Exception) -> None:
        self.fail(OriginError(502, "connect", f"no connection to {self.server}: {reason}", cause=cause))

    def reached(self) -> None:
        """An address has answered: the others are not tried."""
        self._connecting = None
        self.deadline = self._until

    def connected(self, sock: socket.socket) -> None:
        """There is a connection: begin TLS on it, if the server speaks it."""
        self.reached()
        if self._announce is not None and not self._announced(sock, self._announce):
            return
        try:
            connection = self._tls(sock) if self.server.server.tls else Plain(sock)
        except (SSL.Error, UnicodeError) as error:
            sock.close()
            reason = str(error) if isinstance(error, UnicodeError) else describe(error)
            reason = f"no TLS with {self.server} as {self._name}: {reason}"
            self.fail(OriginError(502, "handshake", reason, cause=without_frames(error)))
            return
        self._transport = Transport(self.pool.reactor, sock, connection, self)
        self._transport.start()

    def _announced(self, sock: socket.socket, header_of: Callable[[Any, socket.socket], bytes]) -> bool:
        """Say first whose connection it is: nothing has been sent before, so there is room for all of it."""
        try:
            header = header_of(getattr(self._borrower, "exchange", None), sock)  # the node's own requests have none
            whole = sock.send(header) == len(header)
        except OSError:
            whole = False
        if not whole:
            sock.close()
            self.fail(OriginError(502, "connect", f"no PROXY header could be sent to {self.server}"))
        return whole

    def _tls(self, sock: socket.socket) -> SSL.Connection:
        assert self.pool.context is not None
        sockets = self.pool.reactor.sockets
        connection: SSL.Connection = (SteppedConnection if sockets is None else sockets.tls)(self.pool.context, sock)
        if not is_address(self._name):
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        if self._borrower is not None and self._borrower.alone:
            connection.set_alpn_protos([*OFFERED["http/1.1"]])
        connection.set_app_data(self._record)
        connection.set_connect_state()
        self._connection = connection
        return connection

    @property
    def _name(self) -> str:
        return self.pool.origin.server_name or self.server.server.name

    def handshaken(self) -> None:
        """The TLS handshake is done: verify whom we talk to, and hand the connection over."""
        transport, borrower = self._transport, self._borrower
        assert transport is not None
        if borrower is None:
            return
        if self.pool.verify is not None and isinstance(transport.connection, SSL.Connection):
            try:
                self.pool.verify(transport.connection, self._name)
            except OriginError as error:
                self.fail(evolve(error, cause=misnamed(self._name)))
                return
        presented = None
        if self._connection is not None:
            presented = self._record.presentation(self._connection, done=True)
            self.pool.standing.shaken(self.server.text, self._connection, presented)
            transport.wary = True
        self.speak(transport, presented)

    def speak(self, transport: Transport, presented: Presentation | None) -> None:
        """It is known whom we talk to: speak HTTP on it.

        :param presented: what is known of our certificate; ``None`` without TLS.
        """
        pool, server = self.pool, self.server
        if self._multiplexed(transport):
            self._greeted = MultiplexedConnection(
                pool, server, pool.origin, transport, pool.deadlines, presented, client_engine(pool.origin)
            )
            self._greeted.handshaken()
        elif pool.origin.protocol == "h2":
            self.fail(OriginError(502, "handshake", f"{server} does not speak HTTP/2: it has not chosen it by ALPN"))
        else:
            self.hand_over(OriginConnection(pool, server, pool.origin, transport, pool.deadlines, presented))

    def _multiplexed(self, transport: Transport) -> bool:
        """Whether HTTP/2 is spoken: as the server has chosen, or without TLS, as the section says."""
        protocol = self.pool.origin.protocol
        if self._connection is None:
            return protocol == "h2"
        return protocol != "http/1.1" and self._connection.get_alpn_proto_negotiated() == b"h2"

    def hand_over(self, connection: Any) -> None:
        """Lend it: what a pool keeps, and the receiver of its transport."""
        borrower, pool = self._borrower, self.pool
        assert borrower is not None
        connection.transport.receiver = connection
        self._transport = None
        self._borrower = None
        pool.deadlines.forget(self)
        pool.opened(self, connection)
        borrower.lent(cast(OriginStream, connection), self.server, False)

    def received(self, data: bytes) -> None:
        """Nothing is received before the handshake is done, and then of HTTP/2 alone."""
        connection = self._greeted
        if connection is None or self._transport is None:
            return
        connection.received(data)
        if connection.room > 0 and self._borrower is not None:
            if connection.presented is not None:
                connection.presented = connection.presented.answered()
                self.pool.standing.answered(self.server.text, connection.presented)
            self.hand_over(connection)

    def drained(self) -> None:
        """Nothing is written before."""
        if self._greeted is not None:
            self._greeted.drained()

    def ended(self) -> None:
        """The server has closed before it could be lent."""
        if self._transport is not None:
            self._transport.abort("")

    def lost(self, reason: str, clean: bool) -> None:
        """The handshake failed."""
        self._transport = None
        alert = alert_in(reason)
        if self._record.errors:
            reason = f"the certificate of {self.server}: {self._record.reason}"
            error = OriginError(502, "certificate", reason, cause=SSL.Error(NOT_VERIFIED))
        elif alert and self._connection is not None:
            error = refusal(alert, self._record.presentation(self._connection, done=False), sent=False)
        else:
            cause = losing(reason, clean)
            what = "TLS" if self._greeted is None else "HTTP/2"
            error = OriginError(502, "handshake", f"no {what} with {self.server}: {reason or 'closed'}", cause=cause)
        self.fail(error)

    def end(self) -> None:
        """Close what is open; nobody is told."""
        self.pool.deadlines.forget(self)
        self.pool.unopened(self)
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.abort("given up")
