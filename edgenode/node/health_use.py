"""The health checks of a node's origins, and the certificates that they have yet to accept: they follow its reloads.

Law: what is known of an origin that is the same after a reload stays known; what happens is an event, and in the log.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink
from edgenode.node import identities
from edgenode.node.observation import Running
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.health import OriginHealth
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.rotation import Candidate, Rotation
from edgenode.proxy.origin.standing import Checked
from edgenode.state.interface import Happened

_log = Logger()


class HealthUse:
    """Checks the origins of a node.

    :param node: the node.
    :param reactor: its reactor.
    """

    def __init__(self, node: Running, reactor: Any) -> None:
        self.sink: IEventSink | None = None
        self._node = node
        self._health: dict[str, OriginHealth] = {}
        self._rotations: dict[str, Rotation] = {}
        self._started = False

    def renew(self, configuration: Configuration) -> None:
        """Follow a configuration."""
        if self._started:
            self._follow(configuration)

    def tell(self, happened: Happened) -> None:
        """What happens to the state is nothing to it."""

    def start(self) -> None:
        """Begin at once."""
        self._started = True
        self._follow(self._node.configuration)

    def stop(self) -> None:
        """Ask no more."""
        self._started = False
        for health in self._health.values():
            health.stop()
        for rotation in self._rotations.values():
            rotation.stop()
        self._health.clear()
        self._rotations.clear()

    def _follow(self, configuration: Configuration) -> None:
        pools = self._node.pools
        for name in [name for name, each in self._health.items() if each.pool is not pools.get(name)]:
            self._health.pop(name).stop()
        for name in [name for name, each in self._rotations.items() if each.pool is not pools.get(name)]:
            self._rotations.pop(name).stop()
        for name, pool in pools.items():
            self._check(configuration, name, pool)
            self._rotate(configuration, name, pool)

    def _check(self, configuration: Configuration, name: str, pool: OriginPool) -> None:
        named = configuration.origins[name].health_check
        if named is None:
            if name in self._health:
                self._health.pop(name).forget()
            return
        check = configuration.health_checks[named]
        if name in self._health:
            self._health[name].renew(check)
        else:
            self._health[name] = OriginHealth(pool, check, self._changed)
            self._health[name].start()

    def _rotate(self, configuration: Configuration, name: str, pool: OriginPool) -> None:
        named = configuration.origins[name].health_check
        check = None if named is None else configuration.health_checks[named]
        candidate, before = identities.candidate(configuration, pool), self._rotations.get(name)
        if before is not None:
            tried = before.candidate.certificate
            if candidate is not None and before.check == check and identities.same(tried, candidate.certificate):
                return
            self._rotations.pop(name).stop()
        if candidate is not None:
            identity = candidate.identity
            _log.info(
                "origin {name}: the certificate {subject} ({serial}) is tried; the one before stays in use until it is "
                "accepted", name=name, subject=identity.subject, serial=identity.serial,
            )  # fmt: skip
            self._rotations[name] = Rotation(pool, candidate, check, self._told)
            self._rotations[name].start()

    # -- what happens ------------------------------------------------------------------------------------------------

    def _changed(self, pool: OriginPool, server: Balanced, checked: Checked) -> None:
        what = f"{server.text} of [origin {pool.name}]"
        if checked.healthy:
            _log.info("{what} is up", what=what)
            self._node.tell(Happened("server-up", what))
        else:
            _log.error("{what} is down: {reason}", what=what, reason=checked.reason)
            self._node.tell(Happened("server-down", f"{what}: {checked.reason}"))

    def _told(self, pool: OriginPool, candidate: Candidate, refusal: str) -> None:
        identity = candidate.identity
        what = f"[origin {pool.name}]: the certificate {identity.subject} ({identity.serial})"
        if refusal:
            sentence = f"{what} is refused, and the one before stays in use: {refusal}"
            _log.error("{sentence}", sentence=sentence)
            self._node.tell(Happened("certificate-refused", sentence))
        else:
            self._rotations.pop(pool.name, None)
            sentence = f"{what} is accepted, and in use"
            _log.info("{sentence}", sentence=sentence)
            self._node.tell(Happened("certificate-accepted", sentence))
