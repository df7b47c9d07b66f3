"""The balancer of an origin: as its section has it, and no more than that, for each request asks it."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from edgenode.policy.compound_keys import joined
from edgenode.proxy.origin.balancing import Balanced, Balancer, exchange_of
from edgenode.proxy.origin.methods import METHODS, Method, hashed
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.outliers import Outliers
from edgenode.proxy.origin.server import Server
from edgenode.proxy.origin.slow_start import SlowStart
from edgenode.proxy.origin.sticky import StickyCookie


def balancer_of(origin: Origin, clock: Callable[[], float], sticky: StickyCookie | None = None) -> Balancer:
    """The balancer of an origin.

    :param clock: the time, seconds.
    :param sticky: its cookie.
    """
    method = hashed(joined(origin.hash_key)) if origin.balance == "hash" else METHODS.get(origin.balance)
    outliers = None if origin.eject_errors is None else Outliers(origin)
    if method is None and outliers is None and sticky is None and not origin.slow_start:
        return Balancer(origin.servers, origin.max_fails, origin.fail_timeout)
    return FullBalancer(origin, method, outliers, sticky, clock)


class FullBalancer(Balancer):
    """One that does more than to ask the servers in turn."""

    def __init__(
        self,
        origin: Origin,
        method: Method | None,
        outliers: Outliers | None,
        sticky: StickyCookie | None,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(origin.servers, origin.max_fails, origin.fail_timeout)
        self.bound = sticky is not None or origin.balance == "hash"
        self._method = method
        self._outliers = outliers
        self._sticky = None if sticky is None else sticky.take(self.servers)
        self._slow = SlowStart(origin.slow_start, self.servers) if origin.slow_start else None
        self._clock = clock

    def replace(self, servers: Sequence[Server]) -> tuple[Balanced, ...]:
        """See :class:`Balancer`."""
        gone = super().replace(servers)
        if self._sticky is not None:
            self._sticky.take(self.servers)
        if self._slow is not None:
            self._slow.forget(gone)
        return gone

    def choose(self, now: float, tried: Container[Balanced] = (), asker: Any = None) -> Balanced | None:
        """See :class:`Balancer`."""
        if self._slow is not None:
            self._slow.weigh(self.servers, now)
        if self._sticky is not None:
            for each in self._sticky.named(exchange_of(asker)):
                if each.healthy and each.out_until <= now and each not in tried:
                    return self._chosen(each, now)
        return super().choose(now, tried, asker)

    def _pick(self, candidates: Sequence[Balanced], asker: Any) -> Balanced:
        return super()._pick(candidates, asker) if self._method is None else self._method(candidates, asker)

    def failed(self, server: Balanced, now: float) -> None:
        """See :class:`Balancer`."""
        super().failed(server, now)
        if self._outliers is not None:
            self._outliers.count(server, True, now, self.servers)

    def answered(self, server: Balanced, status: int, asker: Any) -> None:
        """See :class:`Balancer`."""
        if self._outliers is not None and server.on_trial and status >= 500:
            self._outliers.eject(server, self._clock())
        else:
            super().answered(server, status, asker)
            if self._outliers is not None:
                self._outliers.count(server, status >= 500, self._clock(), self.servers)
        if self._sticky is not None:
            cookie = self._sticky.to_set(exchange_of(asker), server)
            if cookie:
                asker.stick(cookie)
