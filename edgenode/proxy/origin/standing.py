"""How an origin stands: what handshakes with its servers have shown, what health checks have found, and which new
certificate it is still asked to accept.

Law: these are values of one moment, kept for whoever looks; nothing here is asked on the way of a request. Of the
handshakes of a server with traffic one a second is looked at closely, and each that fails.
"""

from __future__ import annotations

import time

from attrs import define, evolve, field, frozen
from OpenSSL import SSL

from edgenode.model.presentation import Presentation
from edgenode.tls.names import distinguished_name

MOST_NAMES = 100
"""Names of authorities that are kept of a request for a certificate."""

_OFTEN = 1.0
"""Seconds within which a server's handshakes are taken to be alike."""


@frozen
class Handshake:
    """The last TLS handshake with a server.

    :ivar at: when, seconds since 1970.
    :ivar version: the version of TLS; empty if it did not come so far.
    :ivar cipher: the cipher suite, likewise.
    :ivar alpn: what was chosen by ALPN; empty for nothing.
    :ivar certificate: the subject of the server's certificate; empty if none came.
    :ivar not_after: when that expires, seconds since 1970; ``None`` likewise.
    :ivar asked: whether the server asked for a certificate of ours.
    :ivar authorities: whom it accepts as issuers of that: their names, a hundred at the most; none for any.
    :ivar presented: the subject of the certificate that it was sent; ``None`` if none.
    :ivar serial: the serial number of that, likewise.
    :ivar accepted: whether it accepted what it got; ``None`` while that is not known, or if it did not ask.
    :ivar alert: the alert with which it refused; ``None`` for none.
    :ivar problem: why there is no connection; empty if there is.
    """

    at: float
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    certificate: str = ""
    not_after: float | None = None
    asked: bool = False
    authorities: tuple[str, ...] = ()
    presented: str | None = None
    serial: str | None = None
    accepted: bool | None = None
    alert: str | None = None
    problem: str = ""


@frozen
class Checked:
    """What health checks have found of a server.

    :ivar healthy: whether it gets requests.
    :ivar since: since when that is so, seconds since 1970.
    :ivar at: when the last check ended, likewise.
    :ivar seconds: how long that took.
    :ivar reason: why it failed; empty if it did not.
    :ivar passed: how many did not fail, since the origin is there.
    :ivar failed: how many did.
    """

    healthy: bool
    since: float
    at: float
    seconds: float = 0.0
    reason: str = ""
    passed: int = 0
    failed: int = 0


@frozen
class Trial:
    """A new certificate that the origin has not accepted yet; the one before stays in use.

    :ivar certificate: the subject of the new one.
    :ivar serial: its serial number.
    :ivar since: since when it is tried, seconds since 1970.
    :ivar tries: how often it was.
    :ivar refusals: why a server refused it, by its address.
    :ivar problem: why it could not be tried, the last time; empty if it could.
    """

    certificate: str
    serial: str
    since: float
    tries: int = 0
    refusals: dict[str, str] = field(factory=dict)
    problem: str = ""


@define(eq=False)
class Standing:
    """How an origin stands.

    :ivar handshakes: the last with each server, by its address.
    :ivar checks: what health checks have found of each, likewise.
    :ivar trial: the certificate that is tried; ``None`` if there is none.
    """

    handshakes: dict[str, Handshake] = field(factory=dict)
    checks: dict[str, Checked] = field(factory=dict)
    trial: Trial | None = None

    def shaken(self, server: str, connection: SSL.Connection, presentation: Presentation, problem: str = "") -> None:
        """There was a handshake, or no more than its beginning.

        :param server: the server's address.
        :param problem: why there is no connection; empty if there is.
        """
        now, before = time.time(), self.handshakes.get(server)
        if before is None or problem or before.problem or not 0 <= now - before.at < _OFTEN:
            self.handshakes[server] = _with(_shaken(now, connection, problem), presentation)

    def answered(self, server: str, presentation: Presentation) -> None:
        """What the server makes of our certificate is known."""
        before = self.handshakes.get(server)
        if before is not None and before.accepted != presentation.accepted:
            self.handshakes[server] = _with(before, presentation)

    def refused(self, server: str, presentation: Presentation, problem: str) -> None:
        """The server has ended a connection by an alert, after our side took the handshake for done."""
        before = self.handshakes.get(server) or Handshake(0.0)
        self.handshakes[server] = _with(evolve(before, at=time.time(), problem=problem), presentation)


def _with(handshake: Handshake, presentation: Presentation) -> Handshake:
    return evolve(
        handshake,
        asked=presentation.asked,
        presented=presentation.subject,
        serial=presentation.serial,
        accepted=presentation.accepted,
        alert=presentation.alert,
    )


def _shaken(now: float, connection: SSL.Connection, problem: str) -> Handshake:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    cipher = connection.get_cipher_name()
    return Handshake(
        now,
        connection.get_protocol_version_name() if cipher else "",
        cipher or "",
        connection.get_alpn_proto_negotiated().decode("ascii", "replace"),
        "" if certificate is None else distinguished_name(certificate.subject),
        None if certificate is None else certificate.not_valid_after_utc.timestamp(),
        authorities=_authorities(connection),
        problem=problem,
    )


def _authorities(connection: SSL.Connection) -> tuple[str, ...]:
    """The names in a request for a certificate; what cannot be read of another's bytes is left out."""
    try:
        names = connection.get_client_ca_list(as_cryptography=True)
        return tuple(map(distinguished_name, names[:MOST_NAMES]))
    except ValueError:
        return ()
