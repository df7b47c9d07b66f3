"""The facts of a connection that somebody else accepted: read from any of Twisted's transports.

Law: nobody is verified by accident. Whether a listener of Twisted's refuses bad certificates cannot be seen from its
connections: OpenSSL forgets what a callback forgives, and a context may have been exchanged in the middle of the
handshake. So a certificate counts as presented and no more, unless the caller vouches for the listener.
"""

from __future__ import annotations

import datetime

from attrs import evolve
from OpenSSL import SSL
from twisted.internet.interfaces import ISSLTransport, ITransport

from edgenode.model.exchange import Address, ClientIdentity, Connection, Verification
from edgenode.tls.identity import describe, identify
from edgenode.tls.verify_errors import APPLICATION_VERIFICATION, EXPIRED, NOT_YET_VALID, reason


def connection_of(transport: ITransport, *, verifies: bool = False) -> Connection:
    """The facts of a connection, once its handshake is done.

    :param transport: of a listener of ours, which says itself what it knows, verdict included; or one of Twisted's,
        with TLS or without.
    :param verifies: the caller vouches that the listener behind a TLS transport of Twisted's asks for certificates and
        ends every handshake with one that OpenSSL does not verify, as ``CertificateOptions(trustRoot=...)`` does
        without ``contextForServerName``. Dates are looked at again here; revocation is not.
    :raises ClientError: 495, if there is a certificate that cannot be read.
    :raises ValueError: if it is not a connection over IP.
    """
    ours = getattr(transport, "connection", None)
    if isinstance(ours, Connection):
        return ours
    peer, local = _address(transport.getPeer()), _address(transport.getHost())
    if not ISSLTransport.providedBy(transport):
        return Connection(peer, local)
    tls = getattr(transport, "getHandle", lambda: None)()
    if not isinstance(tls, SSL.Connection):
        raise ValueError("a TLS transport without an OpenSSL connection")
    name = tls.get_servername()
    return Connection(
        peer,
        local,
        None if name is None else name.decode("ascii", "replace").lower(),
        tls.get_alpn_proto_negotiated().decode("latin-1"),
        tls.get_protocol_version_name(),
        tls.get_cipher_name() or "",
        client=_client(tls, verifies and bool(tls.get_verify_mode() & SSL.VERIFY_PEER)),
    )


def _client(tls: SSL.Connection, verified: bool) -> ClientIdentity | None:
    verdict = Verification(True, True) if verified else _failed(APPLICATION_VERIFICATION, _UNKNOWN)
    identity = identify(tls, verdict)
    if identity is None or not identity.verification.verified:
        return identity
    now = datetime.datetime.now(datetime.UTC)
    for depth, certificate in enumerate(map(describe, (identity.leaf, *identity.chain_verified))):
        if not certificate.not_before <= now <= certificate.not_after:
            error = EXPIRED if now > certificate.not_after else NOT_YET_VALID
            failed = _failed(error, reason(error), depth)
            return evolve(identity, verification=failed, chain_verified=(), issuer_serial="")
    return identity


_UNKNOWN = "whether it was verified is not known"


def _failed(error: int, why: str, depth: int = 0) -> Verification:
    return Verification(True, False, False, error, error, depth, why, (error,))


def _address(address: object) -> Address:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if not isinstance(host, str) or not isinstance(port, int):
        raise ValueError(f"not an address of a TCP connection: {address}")
    return Address.of(host, port)
