"""What is strong enough for OpenSSL's security level 2, the default: 112 bits (``SSL_CTX_set_security_level(3)``)."""

from __future__ import annotations

from types import MappingProxyType

from edgenode.model.exchange import ClientIdentity

LEAST_BITS = MappingProxyType({"RSA": 2048, "DSA": 2048, "ECDSA": 224, "Ed25519": 256, "Ed448": 456})
"""The smallest keys of 112 bits of security; a kind that is not here is not strong."""

STRONG_SIGNATURES = ("sha224", "sha256", "sha384", "sha512", "ed25519", "ed448")
"""How signatures of 112 bits of security end in :data:`~edgenode.tls.identity.SIGNATURE_ALGORITHMS`."""


def has_strong_key(certificate: ClientIdentity) -> bool:
    """Whether the key of a certificate is strong enough."""
    least = LEAST_BITS.get(certificate.key_type)
    return least is not None and certificate.key_bits >= least


def has_strong_signature(certificate: ClientIdentity) -> bool:
    """Whether a certificate is signed strongly enough."""
    return certificate.signature_algorithm.endswith(STRONG_SIGNATURES)
