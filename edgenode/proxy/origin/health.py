"""Health checks: each server of an origin is asked, again and again, whether it can serve.

Law: a server is up until its first check says otherwise; that one counts at once, and is made when the node starts.
After that ``fall`` bad checks in a row take it down, and ``rise`` good ones bring it back. A server is asked by one
check at a time. One that is still to be resolved is resolved by its check, and its addresses are asked from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import SystemRandom
from typing import Any, Protocol

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.health_check import HealthCheck
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.probing import Probe, Unhealthy
from edgenode.proxy.origin.repeated import Repeated
from edgenode.proxy.origin.server import Server
from edgenode.proxy.origin.standing import Checked

_log = Logger()

_RANDOM = SystemRandom()

_SOON = 0.1
"""Seconds within which the first check of a server begins."""

Changed = Callable[[OriginPool, Balanced, Checked], None]
"""Is told when a server goes up or down."""


class Probing(Protocol):
    """Checks one server: :class:`edgenode.proxy.origin.probing.Probe`."""

    def run(self) -> Deferred[None]:
        """Check it."""

    def stop(self) -> None:
        """End what is under way."""


MakeProbe = Callable[[OriginPool, Balanced, HealthCheck], Probing]


def probe_of(pool: OriginPool, server: Balanced, check: HealthCheck) -> Probing:
    """What checks a server as traffic would reach it."""
    known = server.server.at or not server.server.resolve or pool.reactor.sockets is not None
    return Probe(pool, server.server, check) if known else _Resolving(pool, server.server)


class _Resolving:
    """The check of a server that DNS has not been asked for: good once its addresses stand in its place."""

    def __init__(self, pool: OriginPool, server: Server) -> None:
        self._discovery = pool.discovery
        self._server = server

    def run(self) -> Deferred[None]:
        """Ask DNS for it."""
        found = Deferred[None]()
        self._discovery.find(
            self._server,
            lambda _: found.callback(None),
            lambda reason: found.errback(Unhealthy(reason)),
        )
        return found

    def stop(self) -> None:
        """What has been asked for is for requests as well."""


class OriginHealth:
    """The checks of the servers of one origin.

    :param pool: its connections: what is found is told to its balancer, and kept in its standing.
    :param check: what is asked.
    :param changed: is told when a server goes up or down.
    :param make: makes what checks a server.
    """

    def __init__(self, pool: OriginPool, check: HealthCheck, changed: Changed, make: MakeProbe = probe_of) -> None:
        self.pool = pool
        self._check = check
        self._changed = changed
        self._make = make
        self._servers: dict[Balanced, _ServerHealth] = {}
        self._running = False

    def start(self) -> None:
        """Begin at once."""
        self._running = True
        self.follow()

    def stop(self) -> None:
        """Check no more; what was found stays."""
        self._running = False
        for each in self._servers.values():
            each.stop()
        self._servers.clear()

    def renew(self, check: HealthCheck) -> None:
        """Check in another way from now on: what was found before counts until the next verdict."""
        if check != self._check:
            self.stop()
            self._check = check
            self.start()

    def forget(self) -> None:
        """Check no more, and let every server be up: nobody asks any longer."""
        self.stop()
        for server in self.pool.balancer.servers:
            server.healthy = True
        self.pool.standing.checks.clear()

    def follow(self) -> None:
        """Check the servers that the origin has now."""
        if not self._running:
            return
        now = self.pool.balancer.servers
        if len(now) == len(self._servers) and all(each in self._servers for each in now):
            return
        for gone in self._servers.keys() - set(now):
            self._servers.pop(gone).stop()
            self.pool.standing.checks.pop(gone.text, None)
        for server in now:
            if server not in self._servers:
                probe = self._make(self.pool, server, self._check)
                self._servers[server] = _ServerHealth(self, server, self._check, probe)
                self._servers[server].begin()

    def told(self, server: Balanced, checked: Checked, changed: bool) -> None:
        """A check has ended."""
        self.pool.standing.checks[server.text] = checked
        server.healthy = checked.healthy
        if changed:
            self._changed(self.pool, server, checked)
        self.follow()


class _ServerHealth:
    """The checks of one server."""

    def __init__(self, of: OriginHealth, server: Balanced, check: HealthCheck, probe: Probing) -> None:
        self._of, self._server, self._check, self._probe = of, server, check, probe
        self._row = 0  # checks in a row that say otherwise than what holds
        self._began = 0.0
        self._checks = Repeated(of.pool.reactor, self._run, self._ended)

    def begin(self) -> None:
        self._checks.after(_RANDOM.uniform(0, min(_SOON, self._check.interval)))

    def stop(self) -> None:
        self._checks.stop()
        self._probe.stop()

    def _run(self) -> Deferred[Any]:
        self._began = self._of.pool.deadlines.clock()
        return self._probe.run()

    def _ended(self, result: object) -> None:
        reason = ""
        if isinstance(result, Failure):
            if isinstance(result.value, Unhealthy):
                reason = result.value.reason
            else:
                _log.failure("a health check of {server} failed", result, server=self._server.text)
                reason = "the check itself failed; the log says why"
        check, now = self._check, time.time()
        self._checks.after(check.interval + _RANDOM.uniform(0, check.jitter))
        before = self._of.pool.standing.checks.get(self._server.text)
        good, first = not reason, before is None
        checked = before or Checked(True, now, now)
        self._row = 0 if good == checked.healthy else self._row + 1
        turned = self._row >= (1 if first else check.rise if good else check.fall)
        self._row = 0 if turned else self._row
        checked = evolve(
            checked,
            healthy=good if turned else checked.healthy,
            since=now if turned else checked.since,
            at=now,
            seconds=self._of.pool.deadlines.clock() - self._began,
            reason=reason,
            passed=checked.passed + good,
            failed=checked.failed + (not good),
        )
        self._of.told(self._server, checked, turned)
