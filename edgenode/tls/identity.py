"""Client certificates (RFC 5280) as plain values, and the identity of the client that presented one.

The law: what a certificate says is worth nothing without the verdict, so the two travel together in a
:class:`~edgenode.model.exchange.ClientIdentity`. Text taken from a certificate breaks no line and no field of a log or
header. What depends on the DER alone is read once and remembered by the DER, in :func:`describe` and nowhere else; no
verdict is remembered with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

from attrs import evolve
from cryptography import x509
from OpenSSL import SSL, crypto

from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_CERTIFICATE, AlternativeNames, ClientIdentity, Verification
from edgenode.tls.names import distinguished_name, legacy_name

der_of = partial(crypto.dump_certificate, crypto.FILETYPE_ASN1)
"""A certificate of OpenSSL's as DER."""

REMEMBERED_CERTIFICATES = 1024
LARGEST_REMEMBERED = 8 * 1024
"""Bytes of DER; a larger certificate is read every time, so that strangers cannot fill the memory with huge ones."""


def describe(der: bytes) -> ClientIdentity:
    """What a certificate, DER, says, as an identity that nobody has verified; remembered.

    :raises ValueError: if it is malformed.
    """
    return _remembered(der) if len(der) <= LARGEST_REMEMBERED else _read(der)


def _read(der: bytes) -> ClientIdentity:
    certificate = x509.load_der_x509_certificate(der)
    # TBSCertificate (RFC 5280, section 4.1): [0] version if it is not 1, serial number, signature, issuer, validity,
    # subject, subjectPublicKeyInfo.
    fields = list(_elements(next(_elements(der))))
    issuer_name, _, subject_name, public_key_info = fields[3:7] if fields[0][0] == 0xA0 else fields[2:6]
    extensions = _extensions(certificate)
    ski, aki = extensions.get(x509.SubjectKeyIdentifier), extensions.get(x509.AuthorityKeyIdentifier)
    return ClientIdentity(
        leaf=der,
        chain_sent=(),
        verification=NO_CERTIFICATE,
        subject=distinguished_name(certificate.subject),
        issuer=distinguished_name(certificate.issuer),
        serial=_serial(certificate.serial_number),
        fingerprint_sha256=hashlib.sha256(der).hexdigest(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        # None at all if any of them, or any other extension, cannot be read.
        sans=_alternative_names(extensions.get(x509.SubjectAlternativeName)),
        # Over the very bytes: what a library makes of the key might be written in another way.
        spki_sha256=hashlib.sha256(public_key_info).hexdigest(),
        key_type=_named(KEY_TYPES, certificate.public_key_algorithm_oid),
        key_bits=_key_bits(certificate),
        signature_algorithm=_signature_algorithm(certificate),
        subject_legacy=legacy_name(subject_name),
        issuer_legacy=legacy_name(issuer_name),
        fingerprint_sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        ski=_hexadecimal(None if ski is None else ski.digest),
        issuer_ski=_hexadecimal(None if aki is None else aki.key_identifier),
        extended_key_usages=tuple(usage.dotted_string for usage in extensions.get(x509.ExtendedKeyUsage, ())),
    )


_remembered = lru_cache(REMEMBERED_CERTIFICATES)(_read)


def _serial(number: int) -> str:
    digits = f"{abs(number):X}"
    return "-" * (number < 0) + digits.zfill(len(digits) + len(digits) % 2)


def _extensions(certificate: x509.Certificate) -> Mapping[type, Any]:
    """The extensions by their class; none at all if only a more lenient reader than ours understands them."""
    try:
        return {type(extension.value): extension.value for extension in certificate.extensions}
    except Exception:
        return {}


def _hexadecimal(data: bytes | None) -> str:
    return (data or b"").hex().upper()


def _alternative_names(names: x509.SubjectAlternativeName | None) -> AlternativeNames:
    if names is None:
        return AlternativeNames()
    found = AlternativeNames(
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        uri=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        email=tuple(names.get_values_for_type(x509.RFC822Name)),
        ip=tuple(map(str, names.get_values_for_type(x509.IPAddress))),
    )
    # IA5String is ASCII; beyond it even lower case is a trap: that of the Kelvin sign is the letter k.
    return found if all(map(str.isascii, (*found.dns, *found.uri, *found.email))) else AlternativeNames()


def _elements(sequence: bytes) -> Iterator[bytes]:
    """The elements of a SEQUENCE, DER, each with its own tag and length."""
    start, end = _extent(sequence, 0)
    while start < end:
        following = _extent(sequence, start)[1]
        yield sequence[start:following]
        start = following


def _extent(der: bytes, start: int) -> tuple[int, int]:
    """Where the content of an element begins and ends."""
    length, content = der[start + 1], start + 2
    if length & 0x80:
        content += length & 0x7F
        length = int.from_bytes(der[start + 2 : content], "big")
    return content, content + length


def _key_bits(certificate: x509.Certificate) -> int:
    try:
        key = certificate.public_key()
    except Exception:  # of a kind, on a curve or in an encoding that the library does not know
        return 0
    return int(getattr(key, "key_size", _EDWARDS.get(certificate.public_key_algorithm_oid.dotted_string, 0)))


def _signature_algorithm(certificate: x509.Certificate) -> str:
    oid = certificate.signature_algorithm_oid
    if oid != x509.SignatureAlgorithmOID.RSASSA_PSS:
        return _named(SIGNATURE_ALGORITHMS, oid)
    try:
        digest = certificate.signature_hash_algorithm
    except Exception:  # parameters that the library does not know
        digest = None
    return oid.dotted_string if digest is None else f"rsa-pss-{digest.name}"


def _named(names: Mapping[str, str], oid: x509.ObjectIdentifier) -> str:
    return names.get(oid.dotted_string, oid.dotted_string)


def identify(
    connection: SSL.Connection,
    verification: Verification,
    tags: Mapping[bytes, tuple[str, ...]] = MappingProxyType({}),
    path: tuple[bytes, ...] = (),
) -> ClientIdentity | None:
    """The identity of the client at the other end of a finished handshake.

    :param verification: the verdict, from the connection's own record.
    :param tags: those of the trust stores, by authority (DER).
    :param path: the client's chain as it was verified, DER: the leaf, the intermediates, the authority; without it,
        OpenSSL is asked.
    :return: ``None`` if the client presented no certificate.
    :raises ClientError: 495, if the certificate cannot be read: OpenSSL's parser is more lenient than ours.
    """
    try:
        if not verification.verified:
            # OpenSSL shows a verified chain for untrusted certificates too: it is no proof of anything.
            path = ()
        elif not path:
            path = tuple(map(der_of, connection.get_verified_chain() or ()))
        if path:
            leaf = path[0]
        else:
            certificate = connection.get_peer_certificate()
            if certificate is None:
                return None
            leaf = der_of(certificate)
        return evolve(
            describe(leaf),
            verification=verification,
            # On the server's side this excludes the leaf.
            chain_sent=tuple(map(der_of, connection.get_peer_cert_chain() or ())),
            chain_verified=path[1:],
            issuer_serial=issuer_serial(path),
            tags=tags.get(path[-1], ()) if path else (),
        )
    except Exception as error:
        raise ClientError(495, f"client certificate: it cannot be read: {error}") from error


def issuer_serial(chain: Sequence[bytes]) -> str:
    """The serial number of who issued the first of a verified chain, DER: its own, if it is alone; empty of none."""
    return describe(chain[:2][-1]).serial if chain else ""


def identity_of(certificate: crypto.X509, verification: Verification) -> ClientIdentity:
    """The identity that a leaf certificate gives, with the verdict on it and without the chain it came with.

    :raises ValueError: if it is malformed.
    """
    return evolve(describe(der_of(certificate)), verification=verification)


KEY_TYPES = {
    "1.2.840.113549.1.1.1": "RSA",
    "1.2.840.113549.1.1.10": "RSA",
    "1.2.840.10045.2.1": "ECDSA",
    "1.2.840.10040.4.1": "DSA",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
}
"""The kinds of public keys; any other is called by its dotted number."""

_EDWARDS = {"1.3.101.112": 256, "1.3.101.113": 456}

SIGNATURE_ALGORITHMS = {
    "1.2.840.113549.1.1.4": "rsa-md5",
    "1.2.840.113549.1.1.5": "rsa-sha1",
    "1.2.840.113549.1.1.14": "rsa-sha224",
    "1.2.840.113549.1.1.11": "rsa-sha256",
    "1.2.840.113549.1.1.12": "rsa-sha384",
    "1.2.840.113549.1.1.13": "rsa-sha512",
    "1.2.840.10045.4.1": "ecdsa-sha1",
    "1.2.840.10045.4.3.1": "ecdsa-sha224",
    "1.2.840.10045.4.3.2": "ecdsa-sha256",
    "1.2.840.10045.4.3.3": "ecdsa-sha384",
    "1.2.840.10045.4.3.4": "ecdsa-sha512",
    "1.3.101.112": "ed25519",
    "1.3.101.113": "ed448",
}
"""How certificates are signed; ``rsa-pss-`` and its hash besides, and any other is called by its dotted number."""
