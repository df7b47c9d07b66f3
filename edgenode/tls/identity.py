"""Who is at the other end: a client certificate read into plain values.

The law: what a certificate says is worth nothing without the verdict, so the two travel together; and text taken from a
certificate can break no line and no field of a log or header. Whatever depends on the DER alone is read once per
certificate, for the same machines connect all day.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL._util import lib

from edgenode.model.errors import ClientError
from edgenode.model.exchange import AlternativeNames, ClientIdentity, Verification
from edgenode.tls.names import distinguished_name, one_line

CACHED_CERTIFICATES = 1024
LARGEST_CACHED = 8 * 1024
"""Bytes of DER; a larger certificate is read every time, lest strangers fill the cache with huge ones."""

_T = TypeVar("_T")
_E = TypeVar("_E", bound=x509.ExtensionType)


@frozen
class Description:
    """What a certificate says.

    :ivar subject: the subject's distinguished name, see :func:`~edgenode.tls.names.distinguished_name`.
    :ivar issuer: the issuer's, likewise.
    :ivar issuer_der: the issuer's distinguished name, DER.
    :ivar serial_number: the serial number.
    :ivar fingerprint_sha256: of the DER, lower-case hexadecimal.
    :ivar not_before: start of validity, UTC.
    :ivar not_after: end of validity, UTC.
    :ivar sans: the subject alternative names; none at all if any of them, or any other extension, cannot be read.
    :ivar spki_sha256: of the SubjectPublicKeyInfo as it stands in the certificate, lower-case hexadecimal.
    :ivar key_type: see :data:`KEY_TYPES`.
    :ivar key_bits: the size of the key; 0 if it cannot be read.
    :ivar signature_algorithm: see :data:`SIGNATURE_ALGORITHMS`.
    :ivar subject_legacy: the subject, see :func:`~edgenode.tls.names.one_line`.
    :ivar issuer_legacy: the issuer, likewise.
    :ivar fingerprint_sha1: of the DER, lower-case hexadecimal.
    :ivar ski: the subject key identifier, upper-case hexadecimal; empty if there is none that can be read.
    :ivar issuer_ski: the authority key identifier, likewise.
    :ivar extended_key_usages: dotted numbers in order; none if they cannot be read.
    """

    subject: str
    issuer: str
    issuer_der: bytes
    serial_number: int
    fingerprint_sha256: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    sans: AlternativeNames
    spki_sha256: str
    key_type: str
    key_bits: int
    signature_algorithm: str
    subject_legacy: str
    issuer_legacy: str
    fingerprint_sha1: str
    ski: str
    issuer_ski: str
    extended_key_usages: tuple[str, ...]

    @property
    def serial(self) -> str:
        """The serial number as nginx's ``$ssl_client_serial``: upper-case hexadecimal, whole bytes."""
        digits = f"{abs(self.serial_number):X}"
        return "-" * (self.serial_number < 0) + digits.zfill(len(digits) + len(digits) % 2)


def _remembered(read: Callable[[bytes], _T]) -> Callable[[bytes], _T]:
    cached = lru_cache(maxsize=CACHED_CERTIFICATES)(read)
    return lambda der: cached(der) if len(der) <= LARGEST_CACHED else read(der)


def _describe(der: bytes) -> Description:
    certificate = x509.load_der_x509_certificate(der)
    parsed = crypto.X509.from_cryptography(certificate)
    ski = _extension(certificate, x509.SubjectKeyIdentifier)
    aki = _extension(certificate, x509.AuthorityKeyIdentifier)
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    return Description(
        subject=distinguished_name(certificate.subject),
        issuer=distinguished_name(certificate.issuer),
        issuer_der=certificate.issuer.public_bytes(),
        serial_number=certificate.serial_number,
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        sans=_alternative_names(certificate),
        spki_sha256=hashlib.sha256(_public_key_info(certificate)).hexdigest(),
        key_type=_named(KEY_TYPES, certificate.public_key_algorithm_oid),
        key_bits=_key_bits(certificate),
        signature_algorithm=_signature_algorithm(certificate),
        subject_legacy=one_line(lib.X509_get_subject_name(parsed._x509)),
        issuer_legacy=one_line(lib.X509_get_issuer_name(parsed._x509)),
        fingerprint_sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        ski=_hexadecimal(None if ski is None else ski.digest),
        issuer_ski=_hexadecimal(None if aki is None else aki.key_identifier),
        extended_key_usages=tuple(usage.dotted_string for usage in usages or ()),
    )


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    """An extension; ``None`` if there is none, or if only a more lenient reader understands all extensions."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except Exception:
        return None


def _hexadecimal(data: bytes | None) -> str:
    return (data or b"").hex().upper()


def _alternative_names(certificate: x509.Certificate) -> AlternativeNames:
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:  # perhaps one that only a more lenient reader understands: then no names rather than some
        return AlternativeNames()
    found = AlternativeNames(
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        uri=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        email=tuple(names.get_values_for_type(x509.RFC822Name)),
        ip=tuple(map(str, names.get_values_for_type(x509.IPAddress))),
    )
    # IA5String is ASCII; beyond it even lower case is a trap: that of the Kelvin sign is the letter k.
    return found if all(map(str.isascii, (*found.dns, *found.uri, *found.email))) else AlternativeNames()


def _public_key_info(certificate: x509.Certificate) -> bytes:
    """The SubjectPublicKeyInfo byte by byte; what a library makes of the key might be written in another way."""
    fields = list(_elements(certificate.tbs_certificate_bytes))
    # TBSCertificate (RFC 5280, section 4.1): [0] version if it is not 1, serial number, signature, issuer, validity,
    # subject, subjectPublicKeyInfo.
    return fields[6 if fields[0][0] == 0xA0 else 5]


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


def _extended_key_usages(der: bytes) -> frozenset[str]:
    try:
        extension = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(usage.dotted_string for usage in extension.value)


describe = _remembered(_describe)
"""Read a certificate, DER, into a :class:`Description`; raises ``ValueError`` if it is malformed."""

extended_key_usages = _remembered(_extended_key_usages)
"""The extended key usages that a certificate, DER, names, as dotted numbers; ``ValueError`` if it is malformed."""


def identify(
    connection: SSL.Connection, verification: Verification, tags: Mapping[bytes, tuple[str, ...]] = MappingProxyType({})
) -> ClientIdentity | None:
    """The identity of the client at the other end of a finished handshake.

    :param verification: the verdict, from the connection's own record.
    :param tags: those of the trust stores, by authority (DER).
    :return: ``None`` if the client presented no certificate.
    :raises ClientError: 495, if the certificate cannot be read: OpenSSL's parser is more lenient than ours.
    """
    certificate = connection.get_peer_certificate()
    if certificate is None:
        return None
    try:
        # On the server's side the chain sent excludes the leaf. The verified chain is no proof of anything: OpenSSL
        # fills it for untrusted certificates too, so it is taken only once the record says verified.
        sent = connection.get_peer_cert_chain(as_cryptography=True) or ()
        chain = connection.get_verified_chain(as_cryptography=True) if verification.verified else None
        verified = tuple(each.public_bytes(Encoding.DER) for each in chain or ())
        return evolve(
            identity_of(certificate, verification),
            chain_sent=tuple(issuer.public_bytes(Encoding.DER) for issuer in sent),
            chain_verified=verified[1:],
            issuer_serial=issuer_serial(verified),
            tags=tags.get(verified[-1], ()) if verified else (),
        )
    except Exception as error:
        raise ClientError(495, f"client certificate: it cannot be read: {error}") from error


def issuer_serial(chain: Sequence[bytes]) -> str:
    """The serial number of who issued the first of a verified chain, DER: its own, if it is alone; empty of none."""
    return describe(chain[:2][-1]).serial if chain else ""


def identity_of(certificate: crypto.X509, verification: Verification) -> ClientIdentity:
    """The identity that a leaf certificate gives, without the chain it came with.

    :raises ValueError: if it is malformed.
    """
    leaf = certificate.to_cryptography().public_bytes(Encoding.DER)
    description = describe(leaf)
    return ClientIdentity(
        leaf=leaf,
        chain_sent=(),
        subject=description.subject,
        issuer=description.issuer,
        serial=description.serial,
        fingerprint_sha256=description.fingerprint_sha256,
        not_before=description.not_before,
        not_after=description.not_after,
        verification=verification,
        sans=description.sans,
        spki_sha256=description.spki_sha256,
        key_type=description.key_type,
        key_bits=description.key_bits,
        signature_algorithm=description.signature_algorithm,
        subject_legacy=description.subject_legacy,
        issuer_legacy=description.issuer_legacy,
        fingerprint_sha1=description.fingerprint_sha1,
        ski=description.ski,
        issuer_ski=description.issuer_ski,
        extended_key_usages=description.extended_key_usages,
    )


KEY_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.113549.1.1.1": "RSA",
        "1.2.840.113549.1.1.10": "RSA",
        "1.2.840.10045.2.1": "ECDSA",
        "1.2.840.10040.4.1": "DSA",
        "1.3.101.112": "Ed25519",
        "1.3.101.113": "Ed448",
    }
)
"""The kinds of public keys; any other is called by its dotted number."""

_EDWARDS: Mapping[str, int] = MappingProxyType({"1.3.101.112": 256, "1.3.101.113": 456})

SIGNATURE_ALGORITHMS: Mapping[str, str] = MappingProxyType(
    {
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
)
"""How certificates are signed; ``rsa-pss-`` and its hash besides, and any other is called by its dotted number."""
