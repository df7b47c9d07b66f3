"""Which server of an origin is next.

Law: over any run of as many requests as the weights add up to, every healthy server gets its weight's share (smooth
weighted round robin). With ``max-fails`` failures within ``fail-timeout`` a server is passed over for ``fail-timeout``;
then one request tries it again, and only that one's success brings it back. If all are being passed over they are all
tried, for a guess is better than a certain 502 (nginx, ``ngx_http_upstream_module``).
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from edgenode.proxy.origin.origin import Server


class Balanced:
    """A server with what is remembered of it.

    :ivar server: the server.
    :ivar text: it as text.
    :ivar current: its current weight in the round robin.
    :ivar fails: failures counted in the current ``fail-timeout``.
    :ivar counted_from: when that count began, seconds.
    :ivar out_until: until when it is passed over, seconds.
    :ivar on_trial: whether it was passed over, and its next success brings it back.
    """

    __slots__ = ("counted_from", "current", "fails", "on_trial", "out_until", "server", "text")

    def __init__(self, server: Server) -> None:
        self.server = server
        self.text = server.address
        self.current = 0
        self.fails = 0
        self.counted_from = 0.0
        self.out_until = 0.0
        self.on_trial = False

    def __str__(self) -> str:
        return self.text

    @property
    def up(self) -> bool:
        """Whether it has answered since it last failed too often."""
        return not self.out_until

    @property
    def authority(self) -> str:
        """The server as a Host field names it: without the port if that is its scheme's own."""
        server = self.server
        if server.is_socket:
            return server.name
        return self.text.rpartition(":")[0] if server.port == (443 if server.tls else 80) else self.text


class Balancer:
    """The servers of one origin.

    :param servers: at least one.
    :param max_fails: failures after which a server is passed over; 0 never.
    :param fail_timeout: seconds.
    """

    def __init__(self, servers: Sequence[Server], max_fails: int, fail_timeout: float) -> None:
        self.servers = tuple(map(Balanced, servers))
        self._max_fails = max_fails
        self._fail_timeout = fail_timeout

    def choose(self, now: float, tried: Container[Balanced] = ()) -> Balanced | None:
        """The next server, ``None`` if all have been tried."""
        if len(self.servers) == 1:
            only = self.servers[0]
            if only.out_until:
                only.on_trial = True
            return None if only in tried else only
        untried = [each for each in self.servers if each not in tried]
        candidates = [each for each in untried if each.out_until <= now] or untried
        if not candidates:
            return None
        for each in candidates:
            each.current += each.server.weight
        best = max(candidates, key=lambda each: each.current)
        best.current -= sum(each.server.weight for each in candidates)
        if best.out_until:
            best.on_trial = True
            best.out_until = now + self._fail_timeout
        return best

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

    def succeeded(self, server: Balanced) -> None:
        """An attempt succeeded. It takes back no failure, unless the server was on trial."""
        if server.on_trial:
            server.on_trial = False
            server.fails, server.out_until = 0, 0.0
