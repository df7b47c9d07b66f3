"""The protocols that are spoken on client connections: the one place on the listener's side that knows them."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping

from OpenSSL import SSL

from edgenode.net.deadlines import Deadlines
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from edgenode.proxy.http1.request_head import known_request_head as known_request_head
from edgenode.proxy.http1.request_head import read_request_head as read_request_head
from edgenode.proxy.http1.server import ServerConnection as HTTP1
from edgenode.proxy.http2.server import ServerConnection as HTTP2
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.limits import ClientLimits
from edgenode.proxy.listener.plain_connection import PlainConnection
from edgenode.proxy.listener.roles import Speaker
from edgenode.proxy.stream.arriving import PassedConnection, PlainStreamConnection
from edgenode.proxy.stream.connection import StreamConnection

SPEAKERS: dict[str, Callable[[ClientConnection, Transport, Deadlines, ClientLimits], Speaker]] = {
    "": HTTP1,
    "http/1.0": HTTP1,
    "http/1.1": HTTP1,
    "h2": HTTP2,
}
"""The speaker for each protocol that ALPN may have agreed on; empty if the client has offered none."""


def speak(connection: ClientConnection) -> Speaker:
    """The speaker of a connection whose handshake is done."""
    assert connection.session is not None
    tls = connection.transport.connection
    if isinstance(tls, SSL.Connection):
        # A client that closes its sending side without close_notify is answered all the same, as by nginx: whether a
        # request is whole can be seen from its framing.
        tls.set_options(SSL.OP_IGNORE_UNEXPECTED_EOF)
    elif isinstance(tls, Plain):
        return HTTP1(connection, connection.transport, connection.deadlines, connection.limits, b"http")
    kind = SPEAKERS[connection.session.connection.alpn]
    return kind(connection, connection.transport, connection.deadlines, connection.limits)


SPEAK: Mapping[str, Callable[[ClientConnection], Speaker]] = types.MappingProxyType(
    {"http": speak, "stream": StreamConnection}
)
"""What makes the speaker of a connection, for each ``protocol`` of a listener."""

CONNECTIONS: Mapping[tuple[str, str], type[ClientConnection]] = types.MappingProxyType({
    ("http", "yes"): ClientConnection,
    ("http", "no"): PlainConnection,
    ("stream", "yes"): ClientConnection,
    ("stream", "no"): PlainStreamConnection,
    ("stream", "passthrough"): PassedConnection,
})  # fmt: skip
"""How a connection begins, for each ``protocol`` and ``tls``."""
