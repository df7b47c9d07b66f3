"""One connection from a client without TLS: HTTP/1.1 is spoken on it at once.

Law: nobody has been judged on it, so it serves no server group that asks for a client's certificate: a request is
routed by its Host alone.
"""

from __future__ import annotations

from edgenode.model.exchange import Connection
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.roles import Stage


class PlainConnection(ClientConnection):
    """A connection without TLS, as the port that accepted it sees it."""

    __slots__ = ()

    def _greet(self) -> None:
        """Nothing has to be looked at."""
        self._stop_peeking()
        self._port.deadlines.forget(self)
        self.stage = Stage.HANDSHAKE
        self.transport = Transport(self._port.reactor, self._socket, Plain(self._socket), self)
        self.transport.start()

    def handshaken(self) -> None:
        """There was nothing to agree on: HTTP/1.1 is spoken."""
        context = self._port.context
        connection = Connection(self.peer, self._local, proxied=self._proxied)
        self._speak(ClientSession(connection, context.router.entry, context))
