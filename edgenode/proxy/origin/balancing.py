"""Which server of an origin is next.

Law: over any run of as many requests as the weights add up to, every healthy server gets its weight's share (smooth
weighted round robin). With ``max-fails`` failures within ``fail-timeout`` a server is passed over for ``fail-timeout``;
then one request tries it again, and only that one's success brings it back. If all are being passed over they are all
tried, for a guess is better than a certain 502 (nginx, ``ngx_http_upstream_module``).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from edgenode.model.exchange import Exchange
from edgenode.proxy.origin.server import Server


class Balanced:
    """A server with what is remembered of it.

    :ivar server: the server.
    :ivar text: it as text.
    :ivar weight: what its share is reckoned by: its weight, or less.
    :ivar current: its current weight in the round robin.
    :ivar fails: failures counted in the current ``fail-timeout``.
    :ivar counted_from: when that count began, seconds.
    :ivar out_until: until when it is passed over, seconds.
    :ivar on_trial: whether it was passed over, and its next success brings it back.
    :ivar regular: whether it has its share of the requests, unless it is passed over: it is healthy, not being drained,
        and no backup.
    :ivar open: how many connections to it there are, or are being opened.
    :ivar idle: those that carry nothing, in the order in which they were released.
    :ivar shared: those that carry several requests at a time.
    :ivar tally: its answers of late, where they are counted.
    """

    __slots__ = (
        "_draining",
        "_healthy",
        "counted_from",
        "current",
        "fails",
        "idle",
        "on_trial",
        "open",
        "out_until",
        "regular",
        "server",
        "shared",
        "tally",
        "text",
        "weight",
    )

    def __init__(self, server: Server) -> None:
        self._draining, self._healthy = False, True
        self.take(server)
        self.current: float = 0
        self.fails = 0
        self.counted_from = 0.0
        self.out_until = 0.0
        self.on_trial = False
        self.open = 0
        self.idle: list[Any] = []
        self.shared: set[Any] = set()
        self.tally: Any = None

    def take(self, server: Server) -> None:
        """Be this server, which is the same with other parameters."""
        self.server = server
        self.text = server.address
        self.weight: float = server.weight
        self._sort()

    def _sort(self) -> None:
        self.regular = self._healthy and not self._draining and not self.server.backup

    def __str__(self) -> str:
        return self.text

    @property
    def healthy(self) -> bool:
        """Whether its health checks find it so, or it has none."""
        return self._healthy

    @healthy.setter
    def healthy(self, healthy: bool) -> None:
        self._healthy = healthy
        self._sort()

    @property
    def draining(self) -> bool:
        """Whether it shall get no new requests, and only finish what it has."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        self._sort()

    @property
    def active(self) -> int:
        """How many requests are under way on it; a connection that is being opened counts as one."""
        shared: int = sum(each.active - 1 for each in self.shared if each.active)
        return self.open - len(self.idle) + shared

    @property
    def up(self) -> bool:
        """Whether it is healthy, and has answered since it last failed too often."""
        return self._healthy and not self.out_until

    @property
    def authority(self) -> str:
        """The server as a Host field names it: without the port if that is its scheme's own."""
        server = self.server
        if server.is_socket:
            return server.name
        host = f"[{server.host}]" if ":" in server.host else server.host
        return host if server.port == (443 if server.tls else 80) else f"{host}:{server.port}"


def exchange_of(asker: Any) -> Exchange | None:
    """The exchange that somebody asks for, as its ``judged``; ``None`` for what the node asks for itself."""
    found: Exchange | None = getattr(asker, "judged", None)
    return found


def round_robin(candidates: Sequence[Balanced]) -> Balanced:
    """One of some servers: by smooth weighted round robin."""
    best, total = candidates[0], 0.0
    for each in candidates:
        weight = each.weight
        each.current += weight
        total += weight
        if each.current > best.current:
            best = each
    best.current -= total
    return best


class Balancer:
    """The servers of one origin.

    :param servers: at least one.
    :param max_fails: failures after which a server is passed over; 0 never.
    :param fail_timeout: seconds.
    :ivar servers: them.
    :cvar bound: whether it counts for whom a server is chosen, so that none is as good as another.
    """

    bound = False

    def __init__(self, servers: Sequence[Server], max_fails: int, fail_timeout: float) -> None:
        self.servers = tuple(map(Balanced, servers))
        self._max_fails = max_fails
        self._fail_timeout = fail_timeout

    def replace(self, servers: Sequence[Server]) -> tuple[Balanced, ...]:
        """Have other servers; of those that it has already all is remembered, whatever their parameters are now.

        :param servers: at least one.
        :returns: those that it has no more.
        """
        known = {str(each.server): each for each in self.servers}
        kept = list[Balanced]()
        for server in servers:
            balanced = known.pop(str(server), None)
            if balanced is None:
                balanced = Balanced(server)
            else:
                balanced.take(server)
            kept.append(balanced)
        self.servers = tuple(kept)
        return tuple(known.values())

    def inherit(self, before: Balancer) -> None:
        """Take over from the balancer of the same origin before a reload which servers are being drained."""
        draining = {str(each.server) for each in before.servers if each.draining}
        for each in self.servers:
            each.draining = str(each.server) in draining

    def choose(self, now: float, tried: Container[Balanced] = (), asker: Any = None) -> Balanced | None:
        """The next server, ``None`` if there is none that has not been tried.

        :param asker: for whom: see :func:`exchange_of`.
        """
        servers = self.servers
        if len(servers) == 1:
            only = servers[0]
            if only.out_until:
                only.on_trial = True
            return None if only in tried or not (only.regular or not only.draining) else only
        candidates = [each for each in servers if each.regular and each.out_until <= now and each not in tried]
        candidates = candidates or self._others(now, tried)
        if not candidates:
            return None
        best = self._pick(candidates, asker)
        return self._chosen(best, now) if best.out_until else best

    def _chosen(self, server: Balanced, now: float) -> Balanced:
        """A server was chosen: if it was passed over, it is on trial."""
        if server.out_until:
            server.on_trial = True
            server.out_until = now + self._fail_timeout
        return server

    def _others(self, now: float, tried: Container[Balanced]) -> list[Balanced]:
        """Who may be asked if no regular server can be: a backup, or else whoever is left."""
        left = [each for each in self.servers if not each.draining and each not in tried]
        return [each for each in left if each.healthy and each.out_until <= now] or left

    def _pick(self, candidates: Sequence[Balanced], asker: Any) -> Balanced:
        """One of some servers: by smooth weighted round robin."""
        return round_robin(candidates)

    def failed(self, server: Balanced, now: float) -> None:
        """An attempt on this server failed."""
        if not self._max_fails:
            return
        if now - server.counted_from > self._fail_timeout:
            server.fails, server.counted_from = 0, now
        server.fails += 1
        if server.on_trial or server.fails >= self._max_fails:
            server.out_until = now + self._fail_timeout
            server.fails = 0
            server.on_trial = False

    def answered(self, server: Balanced, status: int, asker: Any) -> None:
        """An attempt succeeded. It takes back no failure, unless the server was on trial.

        :param status: of the answer.
        :param asker: who was answered: see :class:`edgenode.proxy.origin.attempts.Attempts`.
        """
        if server.on_trial:
            server.on_trial = False
            server.fails, server.out_until = 0, 0.0

    def succeeded(self, server: Balanced) -> None:
        """The same where no HTTP is spoken."""
        self.answered(server, 200, None)
