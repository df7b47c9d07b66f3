"""A new client certificate for an origin, by the origin's verdict: it is tried beside the one in use, which stays so
until the servers accept the new one.

Law: no request is made with a certificate that has not been accepted yet. The new one is taken once it was accepted
``rise`` times in a row by some server, and refused by none of those that can be asked: behind one address there may be
several, and one that is being reloaded is two for a moment. A server that refuses what it would refuse of the
certificate in use, too, or that cannot be asked, says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.exchange import ClientIdentity
from edgenode.model.settings import Seconds
from edgenode.policy.responses import Statuses
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.health_check import HealthCheck
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.probing import Probe, Unhealthy
from edgenode.proxy.origin.repeated import Repeated
from edgenode.proxy.origin.standing import Standing, Trial
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.identity import describe

_log = Logger()

_AGAIN = Seconds(10.0)
"""The interval of an origin without health checks."""

_ONCE_MORE = 1.0
"""Seconds, at the most, from one acceptance to the next try."""

_NOT_OF_THE_CERTIFICATE = tuple(
    Statuses(first, last) for first, last in ((100, 399), (402, 402), (404, 494), (497, 599))
)
"""What says nothing against a certificate: nginx's ``ssl_verify_client`` completes the handshake, and answers 400."""


@frozen
class Candidate:
    """A certificate that an origin shall be presented.

    :ivar certificate: it.
    :ivar context: the TLS context with it.
    """

    certificate: LoadedCertificate
    context: SSL.Context

    @property
    def identity(self) -> ClientIdentity:
        """Whom it names."""
        return describe(self.certificate.leaf.public_bytes(Encoding.DER))


Told = Callable[[OriginPool, Candidate, str], None]
"""Is told of a verdict: why the certificate was refused; empty if it was accepted, and is in use."""

MakeProbe = Callable[[Balanced, SSL.Context | None], Any]
"""Makes what asks a server: with a context, or as traffic does."""


Verdicts = Mapping[Balanced, tuple[bool | None, str]]
"""Of each server whether it accepts a certificate, ``None`` if that cannot be known; and why not."""


class Rotation:
    """One new certificate on its way into use.

    :param pool: the connections to the origin.
    :param candidate: the certificate.
    :param check: the origin's health check; ``None`` if it has none.
    :param told: is told of the verdict, of a refusal once for each that is another.
    :param make: makes what asks a server.
    """

    def __init__(
        self,
        pool: OriginPool,
        candidate: Candidate,
        check: HealthCheck | None,
        told: Told,
        make: MakeProbe | None = None,
    ) -> None:
        self.pool, self.candidate, self.check = pool, candidate, check
        self._told = told
        http = HealthCheck(status=_NOT_OF_THE_CERTIFICATE, timeout=Seconds(5.0), interval=_AGAIN)
        self._asked = check or (evolve(http, type="tcp") if pool.origin.stream else http)
        self._make = make or self._probe
        self._standing = Standing()
        self._tries = Repeated(pool.reactor, lambda: Deferred.fromCoroutine(self._verdict()), self._ended)
        self._refused = ""
        self._accepted = 0  # times in a row

    def _probe(self, server: Balanced, context: SSL.Context | None) -> Probe:
        return Probe(self.pool, server.server, self._asked, context, self._standing)

    def start(self) -> None:
        """Try it at once."""
        identity = self.candidate.identity
        self.pool.standing.trial = Trial(identity.subject, identity.serial, time.time())
        self._tries.now()

    def stop(self) -> None:
        """Try it no more."""
        self.pool.standing.trial = None
        self._tries.stop()

    def _ended(self, found: Verdicts | Failure) -> None:
        if isinstance(found, Failure):
            _log.failure("a new certificate for [origin {name}] could not be tried", found, name=self.pool.name)
            self._accepted = 0
            self._later({}, "the log says why")
        else:
            self._take(found)

    async def _verdict(self) -> Verdicts:
        servers = self.pool.balancer.servers
        asking = [Deferred.fromCoroutine(self._of(each)) for each in servers]
        running: Deferred[Any] = Deferred(lambda _: _cancel(asking))
        gathered = DeferredList(asking, fireOnOneErrback=True, consumeErrors=True)
        gathered.chainDeferred(running)
        return {server: verdict for server, (_, verdict) in zip(servers, await running, strict=True)}

    async def _of(self, server: Balanced) -> tuple[bool | None, str]:
        """Whether a server accepts it; ``None`` if that cannot be known; and why not."""
        try:
            await self._make(server, self.candidate.context).run()
        except Unhealthy as error:
            if error.refused:
                return False, error.reason
            if error.error is not None or error.late:
                return None, error.reason
            try:
                await self._make(server, None).run()
            except Unhealthy as now:
                # Without a health check all that counts is that it makes no difference.
                same = self.check is None and now.reason == error.reason
                return (True if same else None), error.reason
            return False, f"{error.reason}, which it does not to the certificate in use"
        return True, ""

    def _take(self, found: Verdicts) -> None:
        refusals = {server.text: why for server, (verdict, why) in found.items() if verdict is False}
        accepted = not refusals and any(verdict for verdict, _ in found.values())
        self._accepted = self._accepted + 1 if accepted else 0
        if self._accepted >= self._asked.rise:
            self.pool.standing.trial = None
            self.pool.present(self.candidate.certificate, self.candidate.context)
            self._told(self.pool, self.candidate, "")
            return
        self._later(refusals, next((why for verdict, why in found.values() if verdict is None), ""))

    def _later(self, refusals: dict[str, str], problem: str) -> None:
        trial = self.pool.standing.trial
        if trial is not None:
            self.pool.standing.trial = evolve(trial, tries=trial.tries + 1, refusals=refusals, problem=problem)
        interval = self._asked.interval
        self._tries.after(min(interval, _ONCE_MORE) if self._accepted else interval)
        refused = "; ".join(f"{server}: {why}" for server, why in refusals.items())
        if refused and refused != self._refused:
            self._told(self.pool, self.candidate, refused)
        self._refused = refused or self._refused


def _cancel(those: Sequence[Deferred[Any]]) -> None:
    """Cancel several."""
    for each in those:
        each.cancel()
