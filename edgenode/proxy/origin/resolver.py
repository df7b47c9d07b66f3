"""The addresses of an origin's servers, asked for in threads and remembered for a short time.

Law: there is never more than one thread for a name: a name server that does not answer would take them all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from edgenode.proxy.origin.server import is_address

_RESOLVED_FOR = 30.0
"""Seconds for which the addresses of a name are remembered."""

Found = Callable[[tuple[str, ...]], None]
Failed = Callable[[str], None]


class Resolver:
    """Resolves the names of one origin's servers.

    :param reactor: for its thread pool.
    :param clock: monotonic seconds.
    """

    def __init__(self, reactor: Any, clock: Callable[[], float]) -> None:
        self._reactor = reactor
        self._clock = clock
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._asking: dict[str, list[tuple[Found, Failed]]] = {}

    def resolve(self, host: str, found: Found, failed: Failed) -> None:
        """The addresses of a host, in the order of the system's resolver.

        :param host: a name, or an address.
        :param found: called with them, from within this call if they are known.
        :param failed: called with the reason.
        """
        if is_address(host):
            found((host,))
            return
        until, addresses = self._known.get(host, (0.0, ()))
        if until > self._clock():
            found(addresses)
            return
        asking = self._asking.setdefault(host, [])
        asking.append((found, failed))
        if len(asking) == 1:
            asked = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _addresses, host)
            asked.addCallbacks(partial(self._found, host), partial(self._failed, host))

    def _found(self, host: str, addresses: tuple[str, ...]) -> None:
        self._known[host] = self._clock() + _RESOLVED_FOR, addresses
        for found, _ in self._asking.pop(host):
            found(addresses)

    def _failed(self, host: str, failure: Failure) -> None:
        for _, failed in self._asking.pop(host):
            failed(f"{host} cannot be resolved: {getattr(failure.value, 'strerror', None) or 'the resolver failed'}")


def _addresses(host: str) -> tuple[str, ...]:
    """Ask the system for the addresses of a host; this may block."""
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM)))
