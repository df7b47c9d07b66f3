"""The facts of a connection that somebody else accepted: read from any of Twisted's transports.

Law: nobody is verified by accident. Whether a listener of Twisted's refuses bad certificates cannot be seen from its
connections: OpenSSL forgets what a callback forgives, and a context may have been exchanged in the middle of the
handshake. So a certificate counts as presented and no more, unless the caller vouches for the listener.
"""

from __future__ import annotations

import datetime
import math
import weakref
from typing import Any

from attrs import evolve, frozen
from OpenSSL import SSL
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import ISSLTransport, ITransport

from edgenode.model.exchange import UNKNOWN_CLIENT, Address, ClientIdentity, Connection, Verification
from edgenode.tls.identity import describe, identify
from edgenode.tls.verify_errors import APPLICATION_VERIFICATION, EXPIRED, NOT_YET_VALID, reason

UNKNOWN_TLS = "TLS"
"""The version of TLS where the transport does not tell it."""


def connection_of(transport: ITransport, *, verifies: bool = False) -> Connection:
    """The facts of a connection, once its handshake is done.

    Of a Unix socket the addresses are :data:`~edgenode.model.exchange.UNKNOWN_CLIENT`. Of a transport with TLS, but
    without an OpenSSL connection, as in ``treq.testing``, no more is known than that there is TLS.

    :param transport: of a listener of ours, which says itself what it knows, verdict included; or one of Twisted's,
        with TLS or without.
    :param verifies: the caller vouches that the listener behind a TLS transport of Twisted's asks for certificates and
        ends every handshake with one that OpenSSL does not verify, as ``CertificateOptions(trustRoot=...)`` does
        without ``contextForServerName``. Dates are looked at again here; revocation is not.
    :raises ClientError: 495, if there is a certificate that cannot be read.
    :raises ValueError: if it is no connection over IP, nor over a Unix socket.
    """
    ours = getattr(transport, "connection", None)
    return ours if isinstance(ours, Connection) else _read(transport, verifies).connection


@frozen
class _Facts:
    """Facts, and from when and until when they hold, seconds since the epoch: both included."""

    connection: Connection
    since: float = -math.inf
    until: float = math.inf


class KnownConnections:
    """The facts of connections that are open, read once of each, and again when a certificate's dates say so.

    :param verifies: see :func:`connection_of`.
    """

    def __init__(self, *, verifies: bool = False) -> None:
        self._verifies = verifies
        self._known: weakref.WeakKeyDictionary[Any, _Facts] = weakref.WeakKeyDictionary()

    def facts(self, transport: ITransport, now: float) -> Connection:
        """The facts of a connection: see :func:`connection_of`; the same object as long as they are the same.

        :param now: seconds since the epoch.
        """
        ours = getattr(transport, "connection", None)
        if isinstance(ours, Connection):
            return ours
        facts = self._known.get(transport)
        if facts is None or not facts.since <= now <= facts.until:
            facts = self._known[transport] = _read(transport, self._verifies)
        return facts.connection


def _read(transport: ITransport, verifies: bool) -> _Facts:
    peer, local = _address(transport.getPeer()), _address(transport.getHost())
    if not ISSLTransport.providedBy(transport):
        return _Facts(Connection(peer, local))
    tls = getattr(transport, "getHandle", lambda: None)()
    if not isinstance(tls, SSL.Connection):
        return _Facts(Connection(peer, local, tls_version=UNKNOWN_TLS))
    name = tls.get_servername()
    client, *dates = _client(tls, verifies and bool(tls.get_verify_mode() & SSL.VERIFY_PEER))
    connection = Connection(
        peer,
        local,
        None if name is None else name.decode("ascii", "replace").lower(),
        tls.get_alpn_proto_negotiated().decode("latin-1"),
        tls.get_protocol_version_name(),
        tls.get_cipher_name() or "",
        client=client,
    )
    return _Facts(connection, *dates)


def _client(tls: SSL.Connection, verified: bool) -> tuple[ClientIdentity | None, float, float]:
    """The client, and from when and until when that holds."""
    verdict = Verification(True, True) if verified else _failed(APPLICATION_VERIFICATION, _UNKNOWN)
    identity = identify(tls, verdict)
    if identity is None or not identity.verification.verified:
        return identity, -math.inf, math.inf
    now = datetime.datetime.now(datetime.UTC)
    certificates = list(map(describe, (identity.leaf, *identity.chain_verified)))
    since = max(each.not_before for each in certificates)
    until = min(each.not_after for each in certificates)
    for depth, certificate in enumerate(certificates):
        if not certificate.not_before <= now <= certificate.not_after:
            error = EXPIRED if now > certificate.not_after else NOT_YET_VALID
            failed = _failed(error, reason(error), depth)
            # Not known for longer than for this request: another date may pass while it is looked at.
            return evolve(identity, verification=failed, chain_verified=(), issuer_serial=""), 1.0, 0.0
    return identity, since.timestamp(), until.timestamp()


_UNKNOWN = "whether it was verified is not known"


def _failed(error: int, why: str, depth: int = 0) -> Verification:
    return Verification(True, False, False, error, error, depth, why, (error,))


def _address(address: object) -> Address:
    if isinstance(address, UNIXAddress):
        return Address(UNKNOWN_CLIENT, 0)
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if not isinstance(host, str) or not isinstance(port, int):
        raise ValueError(f"not an address of a TCP connection: {address}")
    return Address.of(host, port)
