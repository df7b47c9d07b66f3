"""What a client is held to, and how much a listener carries at a time, altogether and from each client.

Law: what is counted in is counted out under the same name, whatever a reload has made of the limits meanwhile; and
whoever comes on top costs less than whoever is served.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from typing import Protocol

from attrs import astuple, frozen

from edgenode.model.exchange import UNKNOWN_CLIENT
from edgenode.proxy.http2.limits import DEFAULT_LIMITS, EngineLimits, Rate
from edgenode.proxy.listener.listener import Listener

_HURRIED = 5.0
"""Seconds at the most for each step of a connection that is accepted only to be told to come again."""

_LARGEST_WINDOW = 2**31 - 1
"""Of flow control (RFC 9113, section 6.9.1)."""

_SHARE = 8
"""One client has at the most this part of the connections that are accepted only to be told to come again."""


@frozen
class HeadLimits:
    """How large a request head may be.

    :ivar target: the request target, bytes.
    :ivar head: the whole head, bytes.
    :ivar headers: the number of field lines.
    """

    target: int
    head: int
    headers: int


@frozen
class Timeouts:
    """How long a client may take, seconds.

    :ivar header: for a request head, from its first byte.
    :ivar body: for a request body.
    :ivar send: for taking anything at all of what is being sent.
    :ivar keepalive: between two requests.
    :ivar handshake: for the ClientHello and the TLS handshake.
    """

    header: float
    body: float
    send: float
    keepalive: float
    handshake: float

    def hurried(self) -> Timeouts:
        """Those of a client that is only to be told to come again: none longer than five seconds."""
        return Timeouts(*(min(each, _HURRIED) for each in astuple(self)))


@frozen
class ClientLimits:
    """What a client's connection is held to.

    :ivar head: the size of request heads.
    :ivar timeouts: how long it may take.
    :ivar keepalive_requests: the number of requests.
    :ivar http2: what else it may do on HTTP/2.
    """

    head: HeadLimits
    timeouts: Timeouts
    keepalive_requests: int
    http2: EngineLimits = DEFAULT_LIMITS

    @classmethod
    def of(cls, listener: Listener) -> ClientLimits:
        """Those of a listener's section."""
        return cls(
            HeadLimits(listener.max_target_size, listener.max_header_size, listener.max_headers),
            Timeouts(
                header=listener.header_timeout,
                body=listener.body_timeout,
                send=listener.send_timeout,
                keepalive=listener.keepalive_timeout,
                handshake=listener.handshake_timeout,
            ),
            listener.keepalive_requests,
            EngineLimits(
                max_concurrent_streams=listener.max_streams,
                # Counted with 32 bytes a field; and cookies, which may come in many fields, are joined behind it.
                max_header_list_size=listener.max_header_size + 64 * listener.max_headers,
                max_headers=2 * listener.max_headers + 8,
                max_continuations=listener.max_continuations,
                stream_window=listener.stream_window,
                # So that bodies that no origin takes hold up no other.
                connection_window=min(listener.max_streams * listener.stream_window, _LARGEST_WINDOW),
                resets=Rate(listener.max_resets, -(-listener.max_resets // 10)),
                glitches=Rate(listener.max_glitches, -(-listener.max_glitches // 10)),
                connect_protocol=True,
            ),
        )

    def hurried(self) -> ClientLimits:
        """Those of a connection on top of the limits: one request, and little time."""
        return ClientLimits(self.head, self.timeouts.hurried(), 1, self.http2)


class Quota:
    """How many of one kind there are at a time, and how many there may be.

    :ivar kind: ``connections``, ``requests``: the word in the names of its limits.
    :ivar count: how many there are.
    :ivar limited: whether there is any limit.
    """

    __slots__ = ("_by_client", "_most", "_most_per_client", "count", "kind", "limited")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.count = 0
        self._by_client: Counter[str] = Counter()
        self.limit(None, None)

    def limit(self, most: int | None, most_per_client: int | None) -> None:
        """Set the limits, ``None`` for none; what is over them already stays."""
        self._most = math.inf if most is None else most
        self._most_per_client = math.inf if most_per_client is None else most_per_client
        self.limited = most is not None or most_per_client is not None

    @property
    def full(self) -> bool:
        """Whether there is no room for anybody."""
        return self.count >= self._most

    def take(self, client: str) -> str:
        """Count one more in, if there is room.

        :param client: the client's network; empty if it is nobody's: no limit for one client holds for it.
        :return: the limit that is in the way; empty if there was room.
        """
        if self.count >= self._most:
            return f"max-{self.kind}"
        if client and self._by_client[client] >= self._most_per_client:
            return f"max-{self.kind}-per-client"
        self.count += 1
        self._by_client[client] += 1
        return ""

    def give_back(self, client: str) -> None:
        """Count one out that was counted in under this name."""
        self.count -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]


@frozen
class Admitted:
    """A connection as it was counted in.

    :ivar quota: where it counts.
    :ivar client: as whose.
    :ivar exceeded: the limit that it is on top of; empty if it is served.
    """

    quota: Quota
    client: str
    exceeded: str = ""

    def leave(self) -> None:
        """Count it out; once."""
        self.quota.give_back(self.client)


class Relayed(Protocol):
    """A WebSocket that a listener carries."""

    def renew(self) -> None:
        """There was a reload."""

    def leave(self) -> None:
        """The node stops: say so to both sides."""


class Leaving(Protocol):
    """A stream that a listener carries."""

    def leave(self) -> None:
        """The node stops."""


class Load:
    """What a listener carries.

    :ivar connections: those that are served.
    :ivar excess: those that are accepted on top, only to be told to come again.
    :ivar requests: those under way.
    :ivar relays: its WebSockets.
    :ivar streams: its streams that are no HTTP.
    :ivar retry_after: when to come again: the value of Retry-After (RFC 9110, section 10.2.3).
    """

    __slots__ = ("_prefixes", "connections", "excess", "relays", "requests", "retry_after", "streams")

    def __init__(self, listener: Listener) -> None:
        self.connections = Quota("connections")
        self.excess = Quota("excess-connections")
        self.requests = Quota("requests")
        self.relays: set[Relayed] = set()
        self.streams: set[Leaving] = set()
        self.renew(listener)

    def renew(self, listener: Listener) -> None:
        """Be held to the limits of this section from now on."""
        most = listener.max_excess_connections
        self.connections.limit(listener.max_connections, listener.max_connections_per_client)
        self.excess.limit(most, -(-most // _SHARE))
        self.requests.limit(listener.max_requests, listener.max_requests_per_client)
        self._prefixes = listener.client_prefix_ipv4, listener.client_prefix_ipv6
        self.retry_after = b"%d" % math.ceil(listener.retry_after)

    @property
    def full(self) -> bool:
        """Whether nobody can be accepted, not even to be told so."""
        return self.connections.full and self.excess.full

    def admit(self, address: str) -> Admitted | None:
        """Count a connection in, among those that are served or on top of them; ``None`` if it is one too many.

        :param address: the client's; empty as long as nobody has said whose it is.
        """
        client = self.client(address)
        exceeded = self.connections.take(client)
        if not exceeded:
            return Admitted(self.connections, client)
        return None if self.excess.take(client) else Admitted(self.excess, client, exceeded)

    def uncounted(self) -> Admitted:
        """What counts nowhere: for a connection that is counted out already, and not yet closed."""
        nowhere = Quota("connections")
        nowhere.take("")
        return Admitted(nowhere, "")

    def client(self, address: str) -> str:
        """Under which name a client is counted: the network that its address is in."""
        return _network(address, *self._prefixes)


def _network(address: str, ipv4: int, ipv6: int) -> str:
    if not address or address == UNKNOWN_CLIENT:
        return address
    prefix = ipv6 if ":" in address else ipv4
    if prefix == 32 and ":" not in address:
        return f"{address}/32"
    return str(ipaddress.ip_network((address, prefix), strict=False))
