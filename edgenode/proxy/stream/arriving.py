"""Connections for streams whose TLS, if there is any, is not ours: plain ones, and those that pass with their TLS.

Law: no byte is consumed before it is known whose connection it is; what was peeked at is relayed with the rest.
"""

from __future__ import annotations

from attrs import evolve

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Connection
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from edgenode.proxy.listener.client_connection import UNRECOGNIZED_NAME, ClientConnection, alert
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.roles import Stage
from edgenode.proxy.routing import ServedGroup
from edgenode.tls.clienthello import ClientHello


class PassedConnection(ClientConnection):
    """A connection whose TLS passes as it is: its ClientHello alone is looked at. A client that speaks something else,
    such as SSH, is the default server group's."""

    __slots__ = ()

    def _choose_group(self, hello: ClientHello) -> None:
        group = self._port.context.router.named(hello.server_name, self._local.host)
        if group is None:
            error = ClientError(421, f"no server group for the server name: {hello.server_name or 'none'}")
            self._turn_away(error, alert(UNRECOGNIZED_NAME))
        else:
            self._pass(group)

    def _not_tls(self) -> None:
        group = self._port.context.router.default
        if group is None:
            self._turn_away(ClientError(497, "no TLS, and there is no default-server-group"))
        else:
            self._pass(group)

    def _pass(self, group: ServedGroup) -> None:
        """It is known whose it is: nothing more is looked at."""
        self._stop_peeking()
        self._first.end()
        self._group = group
        self.stage = Stage.HANDSHAKE
        self.transport = Transport(self._port.reactor, self._socket, Plain(self._socket), self)
        self.transport.start()

    def handshaken(self) -> None:
        """There is no handshake of ours: the facts are those of the ClientHello, or of the addresses alone."""
        group, hello = self._group, self._hello
        assert group is not None
        facts = Connection(self.peer, self._local, proxied=self._proxied)
        if hello is not None:
            offered = hello.alpn[0].decode("latin-1") if hello.alpn else ""
            facts = evolve(facts, server_name=hello.server_name, alpn=offered, fingerprint=hello.fingerprint)
        self._group = self._hello = None
        self._speak(ClientSession(facts, group, self._port.context))


class PlainStreamConnection(PassedConnection):
    """A connection at which nothing is looked: it is the server group's that has the address, or the default's."""

    __slots__ = ()

    def _greet(self) -> None:
        group = self._port.context.router.named(None, self._local.host)
        if group is None:
            self._turn_away(ClientError(421, f"no server group for the address {self._local.host}"))
        else:
            self._pass(group)
