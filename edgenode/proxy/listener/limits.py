"""What a listener carries at a time, and how much it may: connections and requests, altogether and from each client.

Law: what is counted in is counted out under the same name, whatever a reload has made of the limits meanwhile; and
whoever comes on top costs less than whoever is served.
"""

from __future__ import annotations

import functools
import ipaddress
import math
from collections import Counter

from attrs import frozen

from edgenode.proxy.listener.listener import Listener

_SHARE = 8
"""One client has at the most this part of the connections that are accepted only to be told to come again."""


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

        :param client: the client's network.
        :return: the limit that is in the way; empty if there was room.
        """
        if self.count >= self._most:
            return f"max-{self.kind}"
        if self._by_client[client] >= self._most_per_client:
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


class Load:
    """What a listener carries.

    :ivar connections: those that are served.
    :ivar excess: those that are accepted on top, only to be told to come again.
    :ivar requests: those under way.
    :ivar retry_after: when to come again: the value of Retry-After (RFC 9110, section 10.2.3).
    """

    __slots__ = ("_prefixes", "connections", "excess", "requests", "retry_after")

    def __init__(self, listener: Listener) -> None:
        self.connections = Quota("connections")
        self.excess = Quota("excess-connections")
        self.requests = Quota("requests")
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
        """Count a connection in, among those that are served or on top of them; ``None`` if it is one too many."""
        client = self.client(address)
        exceeded = self.connections.take(client)
        if not exceeded:
            return Admitted(self.connections, client)
        return None if self.excess.take(client) else Admitted(self.excess, client, exceeded)

    def client(self, address: str) -> str:
        """Under which name a client is counted: the network that its address is in."""
        return _network(address, *self._prefixes)


@functools.lru_cache(4096)
def _network(address: str, ipv4: int, ipv6: int) -> str:
    prefix = ipv6 if ":" in address else ipv4
    return str(ipaddress.ip_network((address, prefix), strict=False))
