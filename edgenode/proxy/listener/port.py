"""A listening TLS port: accepts, looks at the ClientHello, and gives each connection to its server group.

Law: the server group, and with it the whole TLS policy, is chosen before an SSL object exists; so no setting of one
group can be left over in a connection to another. Whoever is too slow, too many or no TLS client is turned away
cheaply.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.model.complaints import Complaints
from edgenode.model.exchange import Address
from edgenode.net.deadlines import Deadlines
from edgenode.net.descriptors import DESCRIPTORS
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.listener.binding import listening_socket
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.listener.handshake_counts import HandshakeCounts
from edgenode.proxy.listener.limits import Admitted, ClientLimits, Load
from edgenode.proxy.listener.listener import Listener
from edgenode.proxy.listener.redirecting import RedirectExchange
from edgenode.proxy.listener.roles import Speaker
from edgenode.proxy.listener.speakers import CONNECTIONS, SPEAK
from edgenode.proxy.streams import ClientStream, RequestHead
from edgenode.proxy.traced_exchange import TracedExchange
from edgenode.proxy.trusted_proxies import TrustedProxies

_ACCEPTS = 16
"""How many connections are accepted before the reactor gets its turn."""

_BREATHER = 0.25
"""Seconds without accepting after the process has run short of descriptors, or of memory for sockets."""

_PASSING = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM)
"""What says something of one connection only: its client has gone, or a firewall forbids it."""

_log = Logger()


@implementer(IListeningPort, IReadDescriptor)
class Port:
    """The listening socket of a listener.

    :param listener: its section.
    :param context: what its exchanges share; replaced as a whole by a reload.
    :param speak: makes the speaker of a connection whose handshake is done; ``None`` for what the section says.
    :param handshakes: where handshakes are counted; ports may share it.
    :ivar connections: every open connection.
    :ivar load: what it carries.
    """

    def __init__(
        self,
        listener: Listener,
        context: ListenerContext,
        reactor: Any,
        deadlines: Deadlines,
        speak: Callable[[ClientConnection], Speaker] | None = None,
        handshakes: HandshakeCounts | None = None,
    ) -> None:
        self._speak = speak
        self.handshakes = HandshakeCounts() if handshakes is None else handshakes
        self.reactor = reactor
        self.deadlines = deadlines
        self.load = Load(listener)
        self._take(listener, context)
        self.connections: set[ClientConnection] = set()
        self._breather: Any = None
        self._complaints = Complaints(deadlines.clock)
        self._socket: socket.socket | None = None
        self._accepting = False
        self._empty: Deferred[None] | None = None

    def _take(self, listener: Listener, context: ListenerContext) -> None:
        self.listener = listener
        self.context = context
        self.speak = self._speak or SPEAK[listener.protocol]
        self._connect = CONNECTIONS[listener.protocol, listener.tls]
        self.proxies = TrustedProxies(listener.proxy_protocol) if listener.proxy_protocol else None
        tracing, redirect = context.tracing, listener.redirect_to_https
        self.exchange: Callable[[ClientSession, Load, ClientStream, RequestHead], ProxyExchange] = (
            ProxyExchange if tracing is None else partial(TracedExchange, tracing)
        )
        if redirect is not None:
            self.exchange = partial(RedirectExchange, redirect)
        self._limits = ClientLimits.of(listener)
        self._rejection_limits = self._limits.hurried()

    def limits(self, admitted: Admitted) -> ClientLimits:
        """What a connection is held to."""
        return self._rejection_limits if admitted.exceeded else self._limits

    def renew(self, listener: Listener, context: ListenerContext) -> None:
        """Go on with another section of the same endpoint, and another context, for open connections too."""
        backlog = listener.endpoint.backlog
        if self._socket is not None and backlog != self.listener.endpoint.backlog:
            self._socket.listen(backlog)
        self._take(listener, context)
        self.load.renew(listener)
        for connection in self.connections:
            connection.renew()
        for relay in self.load.relays:
            relay.renew()
        self._accept_again()

    # -- listening ---------------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Bind and listen, unless that has been done, without accepting yet: this may need root, the rest does not.

        :raises CannotListenError: if the address cannot be had.
        """
        if self._socket is not None:
            return
        self._socket = listening_socket(self.listener.endpoint, self.reactor)

    def startListening(self) -> None:
        """Accept connections, binding first if that has not been done.

        :raises CannotListenError: if the address cannot be had.
        """
        self.bind()
        if self.listener.max_connections > DESCRIPTORS.most:
            _log.warn(
                "{listener}: at most {most} connections at a time, for want of descriptors",
                listener=self.context.listener,
                most=DESCRIPTORS.most,
            )
        self._accept_again()

    def stopListening(self) -> Deferred[None]:
        """Accept no more; the Deferred fires when the last connection is over."""
        if self._socket is not None:
            self._pause_accepting()
            self._socket.close()
            self._socket = None
        if self._empty is None:
            self._empty = Deferred()
            if not self.connections:
                self._empty.callback(None)
        return self._empty

    def drain(self) -> None:
        """Let every connection end after the request it is at; idle ones now."""
        for connection in tuple(self.connections):
            connection.drain()

    def abort(self) -> None:
        """Cut every connection; a WebSocket is told."""
        for stream in tuple(self.load.streams):
            stream.leave()
        relays = tuple(self.load.relays)
        for relay in relays:
            relay.leave()
        if relays:  # in HTTP/2 that is only written in the reactor's next turn
            self.reactor.callLater(0, self._cut)
        else:
            self._cut()

    def _cut(self) -> None:
        for connection in tuple(self.connections):
            connection.abort()

    @property
    def listening(self) -> bool:
        """Whether its socket is open."""
        return self._socket is not None

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address it listens on."""
        if self._socket is None:
            raise ValueError("the port is not listening")
        host, port = self._socket.getsockname()[:2]
        return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)

    @property
    def address(self) -> str:
        """The address it listens on, as text; empty if it does not."""
        if self._socket is None:
            return ""
        host = self.getHost()
        return str(Address(host.host, host.port))

    # -- accepting ---------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "port"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the listening socket up."""
        said = getattr(reason.value, "strerror", None) or "the reactor has given it up"
        _log.error("the listening socket failed: {reason}", reason=said)

    def doRead(self) -> None:
        """Connections wait to be accepted."""
        for _ in range(_ACCEPTS):
            if self._socket is None or not self._accepting:
                return
            if self.load.full:
                self._pause_accepting()
                return
            if not DESCRIPTORS.room(self.fileno()):
                self._catch_breath("all descriptors are in use or kept for connections to origins")
                return
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _PASSING:
                    self._catch_breath(error.strerror or "")
                return
            self._arrived(sock, address)

    def _arrived(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Serve a connection, or tell it that it is one too many, or not even that."""
        peer = _address(sock, address)
        proxies = self.proxies
        # Whose a balancer's connection is its header says: until then it counts as no client's.
        nobody = proxies is not None and proxies.contains(peer.host)
        admitted = self.load.admit("" if nobody else peer.host)
        if admitted is None:
            self.handshakes.turn_away(self.context.listener)
            sock.close()
            return
        try:
            sock.setblocking(False)
            connection = self._connect(self, sock, peer, _address(sock, sock.getsockname()), admitted)
        except OSError:
            admitted.leave()
            sock.close()  # gone already
            return
        DESCRIPTORS.clients += 1
        self.connections.add(connection)
        connection.begin()

    def readmitted(self, connection: ClientConnection) -> Admitted | None:
        """As what a connection counts of which it is known now whose it is; ``None`` if it is one too many."""
        connection.admitted.leave()
        admitted = self.load.admit(connection.peer.host)
        if admitted is None:
            self.handshakes.turn_away(self.context.listener)
            connection.admitted = self.load.uncounted()
        return admitted

    def departed(self, connection: ClientConnection) -> None:
        """A connection is over."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        DESCRIPTORS.clients -= 1
        connection.admitted.leave()
        if self._empty is not None and not self.connections and not self._empty.called:
            self._empty.callback(None)
        else:
            self._accept_again()

    def _accept_again(self) -> None:
        """Look for connections from now on; whether there is room for them is looked at when they come."""
        self._stop_waiting()
        if self._socket is not None and not self._accepting:
            self._accepting = True
            self.reactor.addReader(self)

    def _pause_accepting(self) -> None:
        self._stop_waiting()
        if self._accepting:
            self._accepting = False
            self.reactor.removeReader(self)

    def _catch_breath(self, reason: str) -> None:
        """Accept no more until somebody departs, here or elsewhere in the process."""
        if self._complaints.due():
            _log.error(
                "{listener}: no more connections for now: {reason}", listener=self.context.listener, reason=reason
            )
        self._pause_accepting()
        self._breather = self.reactor.callLater(_BREATHER, self._breathed)

    def _breathed(self) -> None:
        self._breather = None
        self._accept_again()

    def _stop_waiting(self) -> None:
        if self._breather is not None:
            self._breather.cancel()
            self._breather = None


def _address(sock: socket.socket, address: tuple[Any, ...]) -> Address:
    """The kernel's own text of an IPv4 address is what :meth:`Address.of` would make of it, at ten times the cost."""
    return (Address if sock.family == socket.AF_INET else Address.of)(*address[:2])
