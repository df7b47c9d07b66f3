"""Odd certificates and lists for tests, byte by byte, beside those of :mod:`edgenode.testing.certificates`."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgenode.testing.certificates import (
    CLIENT,
    DAY,
    SERVER,
    Issued,
    Key,
    entry,
    general_name,
    make,
    make_authority,
    name,
    new_key,
    now,
    write_pem,
)  # fmt: skip

__all__ = [
    "CLIENT", "DAY", "SERVER", "Issued", "Key", "constrained_to_an_address", "elements", "entry", "general_name",
    "key_identifier", "list_of_version_3", "make", "make_authority", "name", "new_key", "now", "pem", "sequence",
    "write_pem",
]  # fmt: skip


def sequence(content: bytes) -> bytes:
    """A SEQUENCE in DER, whatever its length."""
    length = len(content).to_bytes(4, "big").lstrip(b"\0") or b"\0"
    return b"\x30" + (length if len(content) < 128 else bytes([0x80 | len(length)]) + length) + content


def pem(label: str, der: bytes) -> bytes:
    """A block of PEM, whatever it holds."""
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n".encode()


def list_of_version_3(issuer: Issued) -> bytes:
    """A revocation list in DER, rightly signed, of a version that there is not."""
    tbs, algorithm, _ = elements(issuer.crl().public_bytes(serialization.Encoding.DER))
    version, *rest = elements(tbs)
    assert version == bytes.fromhex("020101")
    tbs = sequence(bytes.fromhex("020102") + b"".join(rest))
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = b"\0" + issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return sequence(tbs + algorithm + bytes([3, len(signature)]) + signature)


def constrained_to_an_address() -> Issued:
    """An authority whose name constraint is an address of 4 bytes where address and mask must be (RFC 5280, section
    4.2.1.10)."""
    constraint = bytes.fromhex("300aa008300687040a000000")
    oid = x509.NameConstraints.oid
    return make_authority("Constrained", extensions=[x509.UnrecognizedExtension(oid, constraint)])


def elements(der: bytes) -> Iterator[bytes]:
    """The elements of a SEQUENCE in DER, each with its tag and length."""
    at, end = _extent(der, 0)
    while at < end:
        following = _extent(der, at)[1]
        yield der[at:following]
        at = following


def _extent(der: bytes, at: int) -> tuple[int, int]:
    start = at + 2
    length = der[at + 1]
    if length >= 0x80:
        start += length - 0x80
        length = int.from_bytes(der[at + 2 : start], "big")
    return start, start + length


def key_identifier(issuer: Issued) -> x509.AuthorityKeyIdentifier:
    """The extension that names an issuer's key, without which RFC 5280 knows only self-signed certificates."""
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
