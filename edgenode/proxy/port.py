"""A listening TLS port: accepts, looks at the ClientHello, and gives each connection to its server group.

Law: the server group, and with it the whole TLS policy, is chosen before an SSL object exists; so no setting of one
group can be left over in a connection to another. Whoever is too slow, too many or no TLS client is turned away
cheaply.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import Counter
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.exchange import Address
from edgenode.proxy.arrival import Arrival
from edgenode.proxy.deadlines import Deadlines
from edgenode.proxy.forwarding import Surroundings
from edgenode.proxy.http1.heads import Limits
from edgenode.proxy.http1.hosting import Timeouts
from edgenode.proxy.listeners import Listener

_ACCEPTS = 16
"""How many connections are accepted before the reactor gets its turn."""

_BREATHER = 0.25
"""Seconds without accepting after the process has run out of descriptors or memory for sockets."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PASSING = (errno.EINTR, errno.ECONNABORTED, errno.EPROTO, errno.EPERM)

_log = Logger()


@implementer(IListeningPort, IReadDescriptor)
class Port:
    """The listening socket of a listener.

    :param listener: its section.
    :param surroundings: what its exchanges share; replaced as a whole by a reload.
    :ivar arrivals: every open connection.
    """

    def __init__(self, listener: Listener, surroundings: Surroundings, reactor: Any, deadlines: Deadlines) -> None:
        self.listener = listener
        self.surroundings = surroundings
        self.reactor = reactor
        self.deadlines = deadlines
        self.limits = Limits(listener.max_target_size, listener.max_header_size, listener.max_headers)
        self.timeouts = Timeouts(
            header=listener.header_timeout,
            body=listener.body_timeout,
            send=listener.send_timeout,
            keepalive=listener.keepalive_timeout,
            handshake=listener.handshake_timeout,
        )
        self.arrivals: set[Arrival] = set()
        self._per_client: Counter[str] = Counter()
        self._socket: socket.socket | None = None
        self._accepting = False
        self._empty: Deferred[None] | None = None

    # -- listening ---------------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Bind and listen, without accepting yet: this may need root, the rest does not.

        :raises CannotListenError: if the address cannot be had.
        """
        endpoint = self.listener.endpoint
        family = socket.AF_INET6 if ":" in endpoint.interface else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by every accepted socket: without it Nagle and delayed acknowledgements add 40 ms to a request.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.bind((endpoint.interface, endpoint.port))
            sock.listen(endpoint.backlog)
        except OSError as error:
            sock.close()
            raise CannotListenError(endpoint.interface, endpoint.port, error) from error
        self._socket = sock

    def startListening(self) -> None:
        """Accept connections, binding first if that has not been done.

        :raises CannotListenError: if the address cannot be had.
        """
        if self._socket is None:
            self.bind()
        self._accept_again()

    def stopListening(self) -> Deferred[None]:
        """Accept no more; the Deferred fires when the last connection is over."""
        if self._socket is not None:
            self._pause_accepting()
            self._socket.close()
            self._socket = None
        if self._empty is None:
            self._empty = Deferred()
            if not self.arrivals:
                self._empty.callback(None)
        return self._empty

    def drain(self) -> None:
        """Let every connection end after the request it is at; idle ones now."""
        for arrival in tuple(self.arrivals):
            arrival.drain()

    def abort(self) -> None:
        """Cut every connection."""
        for arrival in tuple(self.arrivals):
            arrival.abort()

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address it listens on."""
        if self._socket is None:
            raise ValueError("the port is not listening")
        host, port = self._socket.getsockname()[:2]
        return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)

    # -- accepting ---------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "port"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the listening socket up."""
        _log.error("the listening socket failed: {reason}", reason=reason.getErrorMessage())

    def doRead(self) -> None:
        """Connections wait to be accepted."""
        for _ in range(_ACCEPTS):
            if self._socket is None or not self._accepting:
                return
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    _log.error("no more connections for now: {reason}", reason=error.strerror)
                    self._pause_accepting()
                    self.reactor.callLater(_BREATHER, self._accept_again)
                elif error.errno not in _PASSING:
                    _log.error("accept failed: {reason}", reason=error.strerror)
                return
            self._arrived(sock, address)

    def _arrived(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        peer = _address(address)
        client = _client(peer.host)
        if self._per_client[client] >= self.listener.max_connections_per_client:
            sock.close()
            return
        try:
            sock.setblocking(False)
            arrival = Arrival(self, sock, peer, _address(sock.getsockname()))
        except OSError:
            sock.close()  # gone already
            return
        self._per_client[client] += 1
        self.arrivals.add(arrival)
        if len(self.arrivals) >= self.listener.max_connections:
            self._pause_accepting()
        arrival.greet()

    def departed(self, arrival: Arrival) -> None:
        """A connection is over."""
        if arrival not in self.arrivals:
            return
        self.arrivals.discard(arrival)
        client = _client(arrival.peer.host)
        self._per_client[client] -= 1
        if not self._per_client[client]:
            del self._per_client[client]
        if self._empty is not None and not self.arrivals and not self._empty.called:
            self._empty.callback(None)
        elif not self._accepting and len(self.arrivals) < self.listener.max_connections:
            self._accept_again()

    def _accept_again(self) -> None:
        if self._socket is not None and not self._accepting:
            self._accepting = True
            self.reactor.addReader(self)

    def _pause_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            self.reactor.removeReader(self)


def _client(host: str) -> str:
    """Whose connections are counted together: an IPv4 address, or the /64 that an IPv6 customer has to himself."""
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(host)) >> 64 << 64)) if ":" in host else host


def _address(address: tuple[Any, ...]) -> Address:
    host = str(address[0]).partition("%")[0]
    if host.startswith("::ffff:"):
        mapped = ipaddress.IPv6Address(host).ipv4_mapped
        host = host if mapped is None else str(mapped)
    return Address(host, int(address[1]))
