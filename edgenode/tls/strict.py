"""A second opinion on a chain that OpenSSL is content with: what RFC 5280 forbids and OpenSSL lets pass.

The law: it opens no door, for nobody is let in by it. Most of it is the path validation of ``cryptography``, which was
written anew and shares no code with OpenSSL; the rest is a table of what that lets pass as well. Its one indulgence is
RFC 5280's own: a certificate that has a subject needs no alternative name.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

_POLICIES = (
    ExtensionPolicy.webpki_defaults_ca(),
    # For subjects that are empty the table below demands it.
    ExtensionPolicy.webpki_defaults_ee().may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None),
)
_PREFIXES = re.compile(r"(?:(?:validation failed|candidates exhausted|fatal error): )+")
_QUOTED = re.compile(r" \(encountered processing .*", re.DOTALL)

_DNS_NAME = re.compile(r"(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*(?!\d+\Z)[A-Za-z0-9-]{1,63}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_MAILBOX = re.compile(r"[!-?A-~]+@[A-Za-z0-9.\[\]:-]+")

_E = TypeVar("_E", bound=x509.ExtensionType)


def path_fault(chain: Sequence[x509.Certificate], now: datetime.datetime) -> str:
    """What is wrong with a chain.

    :param chain: the leaf, the intermediates, and the authority that is believed.
    :param now: the time, UTC.
    :return: a sentence, which may quote a certificate; empty if nothing is.
    :raises Exception: of any kind, if a certificate cannot be read: to be taken for a no.
    """
    leaf, *issuers = chain
    for fault, forbidden in _FORBIDDEN:
        for depth, certificate in enumerate(chain):
            if forbidden(certificate, depth, len(issuers)):
                return fault
    anchor = chain[-1]
    # Of the authorities only the one that OpenSSL found: both are to judge the same path.
    builder = PolicyBuilder().store(Store([anchor])).time(now.astimezone(datetime.UTC).replace(tzinfo=None))
    builder = builder.max_chain_depth(len(issuers)).extension_policies(ca_policy=_POLICIES[0], ee_policy=_POLICIES[1])
    try:
        builder.build_client_verifier().verify(leaf, list(issuers[:-1]))
    except VerificationError as error:
        return _PREFIXES.sub("", _QUOTED.sub("", str(error))) or "the path is not valid"
    return ""


def _extension(certificate: x509.Certificate, kind: type[_E]) -> x509.Extension[_E] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _is_old(certificate: x509.Certificate, depth: int, last: int) -> bool:
    return certificate.version is not x509.Version.v3


def _has_no_serial_number(certificate: x509.Certificate, depth: int, last: int) -> bool:
    # Authorities of old have the number 0, and nobody looks it up.
    return certificate.serial_number <= 0 and depth < last


def _has_no_key_identifier(certificate: x509.Certificate, depth: int, last: int) -> bool:
    return depth > 0 and _extension(certificate, x509.SubjectKeyIdentifier) is None


def _has_no_issuer_key_identifier(certificate: x509.Certificate, depth: int, last: int) -> bool:
    if certificate.issuer == certificate.subject and depth == last:
        return False
    extension = _extension(certificate, x509.AuthorityKeyIdentifier)
    return extension is None or extension.value.key_identifier is None


def _constrains_in_vain(certificate: x509.Certificate, depth: int, last: int) -> bool:
    kinds = (x509.NameConstraints, x509.PolicyConstraints, x509.InhibitAnyPolicy)
    return any(not extension.critical for extension in certificate.extensions if isinstance(extension.value, kinds))


def _is_nobody(certificate: x509.Certificate, depth: int, last: int) -> bool:
    if certificate.subject.rdns:
        return False
    extension = _extension(certificate, x509.SubjectAlternativeName)
    return extension is None or not extension.critical


def _is_misnamed(certificate: x509.Certificate, depth: int, last: int) -> bool:
    extension = _extension(certificate, x509.SubjectAlternativeName)
    return extension is not None and not all(map(_is_well_formed, extension.value))


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


def _has_an_odd_key(certificate: x509.Certificate, depth: int, last: int) -> bool:
    key = certificate.public_key()
    return isinstance(key, rsa.RSAPublicKey) and key.key_size % 8 != 0


_FORBIDDEN: tuple[tuple[str, Callable[[x509.Certificate, int, int], bool]], ...] = (
    ("a certificate without extensions, of version 1 (RFC 5280, section 4.1.2.1)", _is_old),
    ("a serial number that is not positive (RFC 5280, section 4.1.2.2)", _has_no_serial_number),
    ("an authority without subject key identifier (RFC 5280, section 4.2.1.2)", _has_no_key_identifier),
    ("no authority key identifier (RFC 5280, section 4.2.1.1)", _has_no_issuer_key_identifier),
    ("constraints that are not critical (RFC 5280, sections 4.2.1.10, 4.2.1.11, 4.2.1.14)", _constrains_in_vain),
    ("neither a subject nor a critical alternative name (RFC 5280, section 4.2.1.6)", _is_nobody),
    ("a malformed alternative name (RFC 5280, section 4.2.1.6)", _is_misnamed),
    ("an RSA key that is not a whole number of bytes", _has_an_odd_key),
)
"""What both libraries let pass: the fault, and whether a certificate at a depth, of so many, has it."""
