"""A transport's socket and TLS on one side, and the test on the other, in one thread."""

from __future__ import annotations

import functools
import socket
from typing import Any

from OpenSSL import SSL

from edgenode.net.plain import Plain
from tests.support.certificates import SERVER, Issued, make_authority
from tests.support.handshakes import client, server
from tests.support.loop import Loop, pair
from tests.support.transports import PlainPeer


@functools.cache
def server_certificate() -> Issued:
    """Whatever a server presents here."""
    return make_authority().issue("server", eku=[SERVER])


class Peer:
    """The test's end.

    :ivar sock: its socket.
    """

    def __init__(self, loop: Loop, sock: socket.socket, connection: Any) -> None:
        self._loop = loop
        self.sock = sock
        self._connection = connection

    def send(self, data: bytes) -> int:
        """Send what is taken; how much that was."""
        sent = 0
        while sent < len(data):
            try:
                sent += self._connection.send(data[sent : sent + 16384])
            except (SSL.WantWriteError, SSL.WantReadError):
                if not self._loop.turn():
                    break
            except SSL.Error:
                break
        self._loop.settle()
        return sent

    def read(self, most: int = 0) -> bytes:
        """All that has come, or so much; ``EOF`` stands for a proper end, ``CUT`` for another."""
        received = b""
        while not most or len(received) < most:
            self._loop.settle()
            try:
                received += self._connection.recv(most - len(received) if most else 1 << 20)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                return received + b"EOF"
            except SSL.Error:
                return received + b"CUT"
        return received

    def finish(self) -> None:
        """Send no more, in the words of the protocol."""
        self._connection.shutdown()
        self._loop.settle()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()
        self._loop.settle()


def wire(loop: Loop, *, tls: bool = False, accepting: bool = True) -> tuple[socket.socket, Any, Peer]:
    """The socket and the connection of a transport, and the peer; in TLS the handshake is still to come.

    :param accepting: whether the transport's side is the server.
    """
    ours, theirs = pair()
    if not tls:
        return ours, Plain(ours), Peer(loop, theirs, PlainPeer(theirs))
    contexts = server(server_certificate()), client()
    if not accepting:
        contexts = contexts[::-1]
    mine, other = (SSL.Connection(context, sock) for context, sock in zip(contexts, (ours, theirs), strict=True))
    (mine.set_accept_state if accepting else mine.set_connect_state)()
    (other.set_connect_state if accepting else other.set_accept_state)()
    return ours, mine, Peer(loop, theirs, other)
