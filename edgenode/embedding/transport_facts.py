"""What a protocol can ask of its transport: who is at the other end, in our words and in Twisted's.

Law: the verdict on the client is always as of now. A certificate may have expired or been revoked since the handshake.
"""

from __future__ import annotations

import contextlib
import socket
from socket import socket as Socket
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.protocols.tls import TLSMemoryBIOProtocol

from edgenode.model.exchange import Address, ClientIdentity, Connection, Request
from edgenode.net.transport import Transport
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.routing import ServedGroup


class TransportFacts:
    """The facts of a connection, and the methods of Twisted's transports that tell them.

    :param client: the client connection.
    """

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self.transport: Transport = client.transport

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """For ``isinstance`` a TLS transport of Twisted's as well: autobahn asks for that, and for no interface."""
        return _LikeTwisteds

    # -- in our words ------------------------------------------------------------------------------------------------

    @property
    def _session(self) -> ClientSession:
        session = self._client.session
        assert session is not None
        session.follow(self._client.context)
        return session

    @property
    def connection(self) -> Connection:
        """The facts of the connection, with the verdict on its client as of now."""
        session = self._session
        return session.as_of_now(session.handshake_group)

    @property
    def client(self) -> ClientIdentity | None:
        """The client's identity as of now; ``None`` if it presented no certificate."""
        return self.connection.client

    @property
    def server_group(self) -> str:
        """The name of the server group that the client was judged for."""
        return self._session.handshake_group.name

    def route(self, request: Request) -> ServedGroup:
        """The server group of an HTTP request on this connection.

        :raises ClientError: 421, if its authority belongs to a group that judges clients differently, or to none.
        """
        session = self._session
        return session.context.router.route(session.handshake_group, request.authority)

    def admit(self) -> None:
        """Judge the client as of now.

        :raises ClientError: 495 or 496 for its certificate, 503 if the connection is one too many.
        """
        self._client.admit()

    # -- in Twisted's ------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the connection is there."""
        return not self.transport.lost

    @property
    def disconnected(self) -> bool:
        """Whether the connection is over."""
        return self.transport.lost

    @property
    def socket(self) -> Socket:
        """The socket; what is read and written there is TLS."""
        return self.transport.sock

    @property
    def hostname(self) -> str:
        """The client's address, as text."""
        return self._session.connection.peer.host

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The client's address."""
        return _address(self._session.connection.peer)

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address that the connection came in on."""
        return _address(self._session.connection.local)

    def getHandle(self) -> SSL.Connection:
        """The TLS connection."""
        tls = self.transport.connection
        assert isinstance(tls, SSL.Connection)
        return tls

    def getPeerCertificate(self) -> crypto.X509 | None:
        """The client's certificate, if it sent one: what :attr:`connection` says of it is the verdict."""
        return self.getHandle().get_peer_certificate()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that was agreed on by ALPN, if one was."""
        return self._session.connection.alpn.encode("latin-1") or None

    def getTcpNoDelay(self) -> bool:
        """Whether small writes are sent at once."""
        return bool(self.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small writes at once, which is so from the beginning, or gather them."""
        self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel asks a silent client if it is still there."""
        return bool(self.transport.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Let the kernel ask a silent client if it is still there."""
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _set_option(self, level: int, option: int, enabled: bool) -> None:
        with contextlib.suppress(OSError):  # the client may be gone already
            self.transport.sock.setsockopt(level, option, enabled)


class _LikeTwisteds(TransportFacts, TLSMemoryBIOProtocol):  # type: ignore[misc]
    """What a transport says that it is; there are none of it."""


def _address(address: Address) -> IPv4Address | IPv6Address:
    kind = IPv6Address if ":" in address.host else IPv4Address
    return kind("TCP", address.host, address.port)
