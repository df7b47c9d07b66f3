"""Client certificates (RFC 5280) as plain values, and the identity of the client that presented one.

The law: what a certificate says is worth nothing without the verdict, so the two travel together in a
:class:`~edgenode.model.exchange.ClientIdentity`. Text taken from a certificate breaks no line and no field of a log or
header. What depends on the DER alone is read once and remembered by the DER, in :func:`describe`, or for revocation
lists in :func:`~edgenode.tls.crl_facts.facts`, and nowhere else; no verdict is remembered with it.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import attrs
from cryptography import x509
from OpenSSL import SSL, crypto

from edgenode.model.exchange import NO_CERTIFICATE, AlternativeNames, ClientIdentity, Verification
from edgenode.tls.bounds import CROWDED, LARGEST_CHAIN, is_crowded, too_large
from edgenode.tls.der import (
    BOOLEAN,
    INTEGER,
    SEQUENCE,
    UTC_TIME,
    Element,
    Fields,
    element,
    elements,
    extension_values,
    fields,
    only,
)
from edgenode.tls.der_offsets import oid
from edgenode.tls.names import legacy_name, name_text
from edgenode.tls.verify_errors import APPLICATION_VERIFICATION

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


def _of_a_stranger(leaf: bytes) -> ClientIdentity:
    """The same for whatever a client presents.

    :raises ValueError: also if reading it would take too long.
    """
    if is_crowded(leaf):
        raise ValueError(CROWDED)
    return describe(leaf)


def _read(der: bytes) -> ClientIdentity:
    parts = fields(der)
    certificate = _parsed(der, parts)
    extensions = _extensions(certificate) or _extensions(_lenient(parts))
    ski, aki = extensions.get(x509.SubjectKeyIdentifier), extensions.get(x509.AuthorityKeyIdentifier)
    begin, end = map(_moment, elements(only(parts.validity)))
    return ClientIdentity(
        leaf=der,
        chain_sent=(),
        verification=NO_CERTIFICATE,
        subject=name_text(parts.subject),
        issuer=name_text(parts.issuer),
        serial=_serial(int.from_bytes(only(parts.serial, INTEGER), "big", signed=True)),
        fingerprint_sha256=hashlib.sha256(der).hexdigest(),
        not_before=begin,
        not_after=end,
        # None at all if any of them, or any other extension, cannot be read.
        sans=_alternative_names(extensions.get(x509.SubjectAlternativeName)),
        # Over the very bytes: what a library makes of the key might be written in another way.
        spki_sha256=hashlib.sha256(parts.key).hexdigest(),
        key_type=_named(KEY_TYPES, certificate.public_key_algorithm_oid),
        key_bits=_key_bits(certificate),
        signature_algorithm=_signature_algorithm(certificate),
        subject_legacy=legacy_name(parts.subject),
        issuer_legacy=legacy_name(parts.issuer),
        fingerprint_sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        ski=_hexadecimal(None if ski is None else ski.digest),
        issuer_ski=_hexadecimal(None if aki is None else aki.key_identifier),
        extended_key_usages=_extended_key_usages(parts),
    )


def _parsed(der: bytes, parts: Fields) -> x509.Certificate:
    """A certificate for its key, its algorithms and its extensions; everything else is read without the library."""
    try:
        return x509.load_der_x509_certificate(der)
    except Exception:
        # OpenSSL is more lenient, and it alone decides whether a certificate is good: so once more without what only
        # the library minds.
        return _lenient(parts)


def _lenient(parts: Fields) -> x509.Certificate:
    return x509.load_der_x509_certificate(_plain(parts))


def _plain(parts: Fields) -> bytes:
    """A certificate with the same key, algorithms and extensions, whose version, names and dates are beyond doubt."""
    algorithm = _without_null(parts.algorithm)
    extensions = map(_without_default, parts.extensions)
    signed = [_VERSION_3, parts.serial, algorithm, _NO_NAME, _SOME_DATES, _NO_NAME, parts.key]
    if parts.extensions:
        signed.append(element(0xA3, element(SEQUENCE, *extensions)))
    return element(SEQUENCE, element(SEQUENCE, *signed), algorithm, parts.value)


_VERSION_3 = bytes.fromhex("a003020102")
_NO_NAME = element(SEQUENCE)
_SOME_DATES = element(SEQUENCE, *[element(UTC_TIME, b"500101000000Z")] * 2)


def _without_null(algorithm: bytes) -> bytes:
    """An AlgorithmIdentifier without parameters that are NULL, unless it is RSA's, which has them (RFC 4055)."""
    kind, *parameters = elements(only(algorithm))
    unwanted = [each.der for each in parameters] == [b"\x05\x00"] and not kind.content.startswith(_PKCS_1)
    return element(SEQUENCE, kind.der) if unwanted else algorithm


_PKCS_1 = bytes.fromhex("2a864886f70d0101")


def _without_default(extension: bytes) -> bytes:
    """An extension that says whether it is critical, or an authority's, only if it is."""
    kind, *critical, value = elements(only(extension))
    plain = _NO_AUTHORITY if kind.content == _BASIC_CONSTRAINTS and value.der == _NO_AUTHORITY_IN_FULL else value.der
    return element(SEQUENCE, kind.der, *(element(BOOLEAN, b"\xff") for each in critical if any(each.content)), plain)


_BASIC_CONSTRAINTS, _EXTENDED_KEY_USAGE = b"\x55\x1d\x13", b"\x55\x1d\x25"
_NO_AUTHORITY, _NO_AUTHORITY_IN_FULL = bytes.fromhex("04023000"), bytes.fromhex("04053003010100")


def _moment(time: Element) -> datetime.datetime:
    """A date of a certificate (RFC 5280, section 4.1.2.5), UTC; the beginning of time if it is none, or in the year 0.

    OpenSSL refuses whoever has a date that is none, so what such a date is does not count; nobody lives by it.
    """
    text = time.content.decode("latin-1")
    if time.tag == UTC_TIME:
        text = ("19" if text >= "50" else "20") + text  # the years 1950 to 2049
    try:
        return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return _BEGINNING


_BEGINNING = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_END = datetime.datetime.max.replace(microsecond=0, tzinfo=datetime.UTC)


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


def _extended_key_usages(certificate: Fields) -> tuple[str, ...]:
    """Read by themselves: who may not be told by its names, for another extension cannot be read, has a usage still."""
    try:
        values = extension_values(certificate, _EXTENDED_KEY_USAGE)
        return tuple(oid(each.content) for value in values for each in elements(only(value)))
    except ValueError:
        return ()


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


def _key_bits(certificate: x509.Certificate) -> int:
    try:
        key = certificate.public_key()
    except Exception:  # of a kind, on a curve or in an encoding that the library does not know
        return 0
    return int(getattr(key, "key_size", _EDWARDS.get(certificate.public_key_algorithm_oid.dotted_string, 0)))


def _signature_algorithm(certificate: x509.Certificate) -> str:
    algorithm = certificate.signature_algorithm_oid
    if algorithm != x509.SignatureAlgorithmOID.RSASSA_PSS:
        return _named(SIGNATURE_ALGORITHMS, algorithm)
    try:
        digest = certificate.signature_hash_algorithm
    except Exception:  # parameters that the library does not know
        digest = None
    return algorithm.dotted_string if digest is None else f"rsa-pss-{digest.name}"


def _named(names: Mapping[str, str], kind: x509.ObjectIdentifier) -> str:
    return names.get(kind.dotted_string, kind.dotted_string)


def identify(
    connection: SSL.Connection,
    verification: Verification,
    tags: Mapping[bytes, tuple[str, ...]] = MappingProxyType({}),
    path: tuple[bytes, ...] = (),
    largest: int = LARGEST_CHAIN,
) -> ClientIdentity | None:
    """The identity of the client at the other end of a finished handshake.

    :param verification: the verdict, from the connection's own record.
    :param tags: those of the trust stores, by authority (DER).
    :param path: the client's chain as it was verified, DER: the leaf, the intermediates, the authority; without it,
        OpenSSL is asked.
    :param largest: bytes of the certificates that a client may send.
    :return: ``None`` if the client presented no certificate. One that cannot be read, for OpenSSL's parser is more
        lenient than ours, or sends too much, is not verified, and its verdict has error 50.
    """
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
    # On the server's side this excludes the leaf.
    sent = tuple(map(der_of, connection.get_peer_cert_chain() or ()))
    size = sum(map(len, sent), len(leaf))
    if size > largest:
        return _refused(leaf, verification, too_large(size, largest))
    try:
        return _with(
            _of_a_stranger(leaf),
            verification=verification,
            chain_sent=sent,
            chain_verified=path[1:],
            issuer_serial=issuer_serial(path),
            tags=tags.get(path[-1], ()) if path else (),
        )
    except Exception:
        return _refused(leaf, verification, UNREADABLE)


UNREADABLE = "it cannot be examined: a certificate of its chain is not written as RFC 5280, section 4, demands"


def _refused(leaf: bytes, verdict: Verification, why: str) -> ClientIdentity:
    """A client that is not verified, whatever OpenSSL says, and of whose certificate nothing is known if need be."""
    if APPLICATION_VERIFICATION not in verdict.errors:
        first, errors = verdict.first_error or APPLICATION_VERIFICATION, (*verdict.errors, APPLICATION_VERIFICATION)
        verdict = Verification(True, False, verdict.revoked, first, APPLICATION_VERIFICATION, 0, why, errors)
    try:
        return _with(_of_a_stranger(leaf), verification=verdict)
    except Exception:
        sha256, sha1 = hashlib.sha256(leaf).hexdigest(), hashlib.sha1(leaf, usedforsecurity=False).hexdigest()
        return ClientIdentity(leaf, (), "", "", "", sha256, _BEGINNING, _END, verdict, fingerprint_sha1=sha1)


def issuer_serial(chain: Sequence[bytes]) -> str:
    """The serial number of who issued the first of a verified chain, DER: its own, if it is alone; empty of none."""
    return describe(chain[:2][-1]).serial if chain else ""


def identity_of(certificate: crypto.X509, verification: Verification) -> ClientIdentity:
    """The identity that a leaf certificate gives, with the verdict on it and without the chain it came with.

    :raises ValueError: if it is malformed.
    """
    return _with(_of_a_stranger(der_of(certificate)), verification=verification)


_NAMES = tuple(each.name for each in attrs.fields(ClientIdentity))
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_values = attrgetter(*_NAMES)


def _with(identity: ClientIdentity, **changes: Any) -> ClientIdentity:
    """What ``attrs.evolve`` does, for every new connection, in half of its time."""
    values = [*_values(identity)]
    for name, value in changes.items():
        values[_PLACES[name]] = value
    return ClientIdentity(*values)


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
