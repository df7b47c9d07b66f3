"""Strict verification: a chain that OpenSSL has verified, checked for what RFC 5280 forbids and OpenSSL lets pass.

The law: it only ever refuses. Most of it is the path validation of ``cryptography``, which shares no code with
OpenSSL; the rest is a table of what that lets pass as well. It is laxer than the Web PKI profile in one point, with
RFC 5280: a certificate that has a subject needs no alternative name.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from edgenode.tls.certificates import extension

_POLICIES = (
    ExtensionPolicy.webpki_defaults_ca(),
    # The table below demands it of certificates without a subject.
    ExtensionPolicy.webpki_defaults_ee().may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None),
)
_PREFIXES = re.compile(r"(?:(?:validation failed|candidates exhausted|fatal error): )+")
_TYPES = re.compile(r":? *\b[A-Z]\w* \{.*", re.DOTALL)
"""A value as Rust writes it."""

_QUOTED = re.compile(r" \(encountered processing .*", re.DOTALL)

_DNS_NAME = re.compile(r"(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*(?!\d+\Z)[A-Za-z0-9-]{1,63}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_MAILBOX = re.compile(r"[!-?A-~]+@[A-Za-z0-9.\[\]:-]+")


def path_fault(chain: Sequence[x509.Certificate], now: datetime.datetime) -> str:
    """What is wrong with a chain.

    :param chain: the leaf, the intermediates, and the authority of the trust store.
    :param now: the time, UTC.
    :return: a sentence, which may quote a certificate; empty if nothing is wrong.
    :raises Exception: of any kind, if a certificate cannot be read: the caller must refuse then.
    """
    leaf, *issuers = chain
    for fault, forbidden in _FORBIDDEN:
        for depth, certificate in enumerate(chain):
            if forbidden(certificate, depth, len(issuers)):
                return fault
    anchor = chain[-1]
    # Of the authorities only the one that OpenSSL found: both must validate the same path.
    builder = PolicyBuilder().store(Store([anchor])).time(now.astimezone(datetime.UTC).replace(tzinfo=None))
    builder = builder.max_chain_depth(len(issuers)).extension_policies(ca_policy=_POLICIES[0], ee_policy=_POLICIES[1])
    try:
        builder.build_client_verifier().verify(leaf, list(issuers[:-1]))
    except VerificationError as error:
        return _TYPES.sub("", _PREFIXES.sub("", _QUOTED.sub("", str(error)))) or "the path is not valid"
    return ""


def _has_no_issuer_key_identifier(certificate: x509.Certificate, depth: int, last: int) -> bool:
    if certificate.issuer == certificate.subject and depth == last:
        return False
    identifier = extension(certificate, x509.AuthorityKeyIdentifier)
    return identifier is None or identifier.key_identifier is None


def _has_lax_constraints(certificate: x509.Certificate, depth: int, last: int) -> bool:
    kinds = (x509.NameConstraints, x509.PolicyConstraints, x509.InhibitAnyPolicy)
    return any(not each.critical for each in certificate.extensions if isinstance(each.value, kinds))


def _has_no_name(certificate: x509.Certificate, depth: int, last: int) -> bool:
    critical = (each.value for each in certificate.extensions if each.critical)
    return not certificate.subject.rdns and not any(isinstance(each, x509.SubjectAlternativeName) for each in critical)


def _has_malformed_names(certificate: x509.Certificate, depth: int, last: int) -> bool:
    return not all(map(_is_well_formed, extension(certificate, x509.SubjectAlternativeName) or ()))


def _is_well_formed(name: x509.GeneralName) -> bool:
    if isinstance(name, x509.DNSName):
        return len(name.value) <= 253 and _DNS_NAME.fullmatch(name.value) is not None
    if isinstance(name, x509.UniformResourceIdentifier):
        return _URI.fullmatch(name.value) is not None
    if isinstance(name, x509.RFC822Name):
        return _MAILBOX.fullmatch(name.value) is not None
    if isinstance(name, x509.IPAddress):
        return isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
    return True


def _has_odd_rsa_key(certificate: x509.Certificate, depth: int, last: int) -> bool:
    key = certificate.public_key()
    return isinstance(key, rsa.RSAPublicKey) and key.key_size % 8 != 0


_FORBIDDEN: tuple[tuple[str, Callable[[x509.Certificate, int, int], bool]], ...] = (
    (
        "a certificate without extensions, of version 1 (RFC 5280, section 4.1.2.1)",
        lambda certificate, depth, last: certificate.version is not x509.Version.v3,
    ),
    (
        "a serial number that is not positive (RFC 5280, section 4.1.2.2)",
        # Old root authorities have the serial number 0, and no revocation list is looked up for them.
        lambda certificate, depth, last: certificate.serial_number <= 0 and depth < last,
    ),
    (
        "an authority without subject key identifier (RFC 5280, section 4.2.1.2)",
        lambda certificate, depth, last: depth > 0 and extension(certificate, x509.SubjectKeyIdentifier) is None,
    ),
    ("no authority key identifier (RFC 5280, section 4.2.1.1)", _has_no_issuer_key_identifier),
    (
        "constraints that are not critical (RFC 5280, sections 4.2.1.10, 4.2.1.11, 4.2.1.14)",
        _has_lax_constraints,
    ),
    ("neither a subject nor a critical alternative name (RFC 5280, section 4.2.1.6)", _has_no_name),
    ("a malformed alternative name (RFC 5280, section 4.2.1.6)", _has_malformed_names),
    ("an RSA key that is not a whole number of bytes", _has_odd_rsa_key),
)
"""What both libraries let pass: the fault, and whether a certificate at a depth, with the last at another, has it."""
