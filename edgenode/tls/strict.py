"""Strict verification: a chain that OpenSSL has verified, checked for what RFC 5280 forbids and OpenSSL lets pass.

The law: it only ever refuses. Most of it is the path validation of ``cryptography``, which shares no code with
OpenSSL; the rest is a table of what that lets pass as well. It is laxer than the Web PKI profile in some points, with
RFC 5280: a certificate that has a subject needs no alternative name, an issuer no key usage, and the name constraints
of an intermediate count whether they are critical or not.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from edgenode.tls.certificates import extension


def _may_sign(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key usage of an issuer lacks keyCertSign")


_OF_ISSUERS = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    .may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, None)
)
# The table below demands it of certificates without a subject.
_OF_LEAVES = ExtensionPolicy.webpki_defaults_ee().may_be_present(
    x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
)

_NOBODY = ec.generate_private_key(ec.SECP256R1())
"""What signs a copy of an authority whose signature nobody looks at."""

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
    for fault, forbidden in _FORBIDDEN:
        for depth, certificate in enumerate(chain):
            if forbidden(certificate, depth, len(chain) - 1):
                return fault
    if _is_too_long(chain):
        return "more intermediates than an issuer's path length allows (RFC 5280, section 4.2.1.9)"
    # OpenSSL has found the path; here each certificate is validated with its own issuer as the authority. As a whole
    # the library would not take it: it counts self-issued certificates, and knows no constraints on directory names.
    builder = PolicyBuilder().time(now.astimezone(datetime.UTC).replace(tzinfo=None)).max_chain_depth(0)
    for depth, certificate in enumerate(chain[:-1]):
        policy = builder.extension_policies(ca_policy=_OF_ISSUERS, ee_policy=_OF_ISSUERS if depth else _OF_LEAVES)
        for issuer in _issuers(chain, depth):
            try:
                policy.store(Store([issuer])).build_client_verifier().verify(certificate, [])
            except VerificationError as error:
                return _TYPES.sub("", _PREFIXES.sub("", _QUOTED.sub("", str(error)))) or "the path is not valid"
    return ""


def _is_self_issued(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


def _is_too_long(chain: Sequence[x509.Certificate]) -> bool:
    below = 0
    for certificate in chain[1:]:
        constraints = extension(certificate, x509.BasicConstraints)
        if constraints is not None and constraints.path_length is not None and below > constraints.path_length:
            return True
        below += not _is_self_issued(certificate)
    return False


def _issuers(chain: Sequence[x509.Certificate], depth: int) -> Iterator[x509.Certificate]:
    """The issuer of a certificate of the chain: itself, or once for each of the name constraints above, with them."""
    issuer = chain[depth + 1]
    constraints = [extension(above, x509.NameConstraints) for above in chain[depth + 1 :]]
    if not any(constraints):
        yield issuer
    elif depth and _is_self_issued(chain[depth]):
        yield _constrained(issuer, None)  # RFC 5280, section 6.1.3 b
    else:
        yield from (_constrained(issuer, each) for each in constraints if each is not None)


def _constrained(issuer: x509.Certificate, constraints: x509.NameConstraints | None) -> x509.Certificate:
    """A copy of an issuer with other name constraints, those on directory names left out: OpenSSL compares them."""
    builder = x509.CertificateBuilder(
        issuer.issuer, issuer.subject, issuer.public_key(), issuer.serial_number,
        issuer.not_valid_before_utc, issuer.not_valid_after_utc,
        [each for each in issuer.extensions if not isinstance(each.value, x509.NameConstraints)],
    )  # fmt: skip
    if constraints is not None:
        subtrees = [
            [each for each in names or () if not isinstance(each, x509.DirectoryName)] or None
            for names in (constraints.permitted_subtrees, constraints.excluded_subtrees)
        ]
        if any(subtrees):
            builder = builder.add_extension(x509.NameConstraints(*subtrees), critical=True)
    return builder.sign(_NOBODY, hashes.SHA256())


def _has_no_issuer_key_identifier(certificate: x509.Certificate, depth: int, last: int) -> bool:
    if certificate.issuer == certificate.subject and depth == last:
        return False
    identifier = extension(certificate, x509.AuthorityKeyIdentifier)
    return identifier is None or identifier.key_identifier is None


def _has_lax_constraints(certificate: x509.Certificate, depth: int, last: int) -> bool:
    kinds: tuple[type[x509.ExtensionType], ...] = (x509.PolicyConstraints, x509.InhibitAnyPolicy)
    if depth == last and _is_self_issued(certificate):
        kinds += (x509.NameConstraints,)  # an authority that was chosen; an intermediate only came along
    return any(not each.critical for each in certificate.extensions if isinstance(each.value, kinds))


def _has_odd_usages(certificate: x509.Certificate, depth: int, last: int) -> bool:
    usages = extension(certificate, x509.ExtendedKeyUsage) or ()
    if depth == last and _is_self_issued(certificate):
        return bool(usages)
    return depth == 0 and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


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
    (
        "a root with extended key usages, or a client with any (CA/Browser Forum, sections 7.1.2.1.2, 7.1.2.7.10)",
        _has_odd_usages,
    ),
    ("neither a subject nor a critical alternative name (RFC 5280, section 4.2.1.6)", _has_no_name),
    ("a malformed alternative name (RFC 5280, section 4.2.1.6)", _has_malformed_names),
    ("an RSA key that is not a whole number of bytes", _has_odd_rsa_key),
    ("a DSA key", lambda certificate, depth, last: isinstance(certificate.public_key(), dsa.DSAPublicKey)),
)
"""What both libraries let pass: the fault, and whether a certificate at a depth, with the last at another, has it."""
