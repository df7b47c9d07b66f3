"""How a server that has come up gets its share: little by little.

Law: within ``slow-start`` of when it was first seen to be up its weight grows evenly, from a tenth: Envoy's and
HAProxy's slow start. The servers that an origin begins with have their weight at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from edgenode.proxy.origin.balancing import Balanced

_LEAST = 0.1


class SlowStart:
    """Since when the servers of an origin are up.

    :param seconds: for which their weight grows.
    :param servers: those that it begins with.
    """

    def __init__(self, seconds: float, servers: Iterable[Balanced]) -> None:
        self._seconds = seconds
        self._since = dict.fromkeys(servers, -inf)

    def weigh(self, servers: Iterable[Balanced], now: float) -> None:
        """Give each server the weight that it has now."""
        for each in servers:
            if each.up and not each.draining:
                grown = (now - self._since.setdefault(each, now)) / self._seconds
                each.weight = each.server.weight * min(max(grown, _LEAST), 1)
            else:
                self._since.pop(each, None)

    def forget(self, servers: Iterable[Balanced]) -> None:
        """Servers are gone."""
        for each in servers:
            self._since.pop(each, None)
