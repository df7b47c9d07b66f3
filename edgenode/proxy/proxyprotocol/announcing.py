"""What a server is told, in a PROXY header, of the connection that is opened to it.

Law: a connection with a header belongs to the client that it names, and carries nothing of anybody else's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from types import MappingProxyType

from edgenode.model.exchange import UNKNOWN_CLIENT, Address, Exchange
from edgenode.proxy.proxyprotocol.writing import local2, vectors_of, version1, version2

_UNKNOWN = b"PROXY UNKNOWN\r\n"


def _line(exchange: Exchange | None, sock: socket.socket) -> bytes:
    ends = _ends(exchange) if exchange is not None else _own(sock)
    return _UNKNOWN if ends is None else version1(*ends)


def _binary(exchange: Exchange | None, sock: socket.socket) -> bytes:
    ends = None if exchange is None else _ends(exchange)
    if exchange is None or ends is None:
        return local2()
    return version2(*ends, vectors_of(exchange.connection, exchange.identifier), checksum=True)


HEADERS: Mapping[str, Callable[[Exchange | None, socket.socket], bytes]] = MappingProxyType(
    {"v1": _line, "v2": _binary}
)
"""What makes the header, for each value of ``proxy-protocol``; without an exchange the connection is the node's own."""


def _ends(exchange: Exchange) -> tuple[Address, Address] | None:
    """The client's address, and that to which it has connected; ``None`` if nobody knows the client.

    Of a client that a trusted proxy reports no port is known: it is 0.
    """
    connection, client = exchange.connection, exchange.client
    if client == UNKNOWN_CLIENT:
        return None
    source = connection.peer if client in ("", connection.peer.host) else Address(client, 0)
    return source, connection.local


def _own(sock: socket.socket) -> tuple[Address, Address] | None:
    """Those of a connection of the node's own; ``None`` if it is none of TCP."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return Address.of(*sock.getsockname()[:2]), Address.of(*sock.getpeername()[:2])
