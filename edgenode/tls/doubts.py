"""What becomes of the clients of each authority, told when a trust store is loaded and not in a client's handshake.

This is what can be said of it by itself; what stands above it is looked at by :mod:`edgenode.tls.paths`.

The law: both judges themselves are asked, OpenSSL and the strict verification, so that nothing is said of an authority
but what its clients would meet; and this refuses nobody.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from edgenode.model.exchange import ClientIdentity
from edgenode.tls.certificates import extension, validity_fault
from edgenode.tls.identity import describe
from edgenode.tls.name_keys import NameKey, name_key
from edgenode.tls.names import distinguished_name
from edgenode.tls.strength import LEAST_BITS, has_strong_key, has_strong_signature
from edgenode.tls.strict import path_fault

_DAY = datetime.timedelta(days=1)


def doubts(
    authorities: Sequence[x509.Certificate], verification: str, now: datetime.datetime, *, partial: bool = False
) -> Iterator[str]:
    """Warnings about authorities of a trust store that can verify nobody, or not everybody whom they have issued.

    :param authorities: in the order of their files.
    :param verification: ``openssl`` or ``strict``.
    :param now: the time, UTC.
    :param partial: whether chains may end in any of them.
    """
    for authority in authorities:
        if fault := validity_fault(authority, now):
            yield f"{fault}; nothing that it issued is accepted"
        description = describe(authority.public_bytes(Encoding.DER))
        sentence = (
            _weak_key(authority, description)
            # The signature of one in which a chain ends does not count.
            or ("" if partial else _weak_signature(authority, description))
            or (_strictness(authority, now) if verification == "strict" else "")
        )
        if sentence:
            yield sentence
    yield from namesakes(authorities, now)


def namesakes(authorities: Sequence[x509.Certificate], now: datetime.datetime) -> Iterator[str]:
    """Warnings about authorities of one name that no key identifier tells apart.

    OpenSSL takes the first valid one of the name whose subjectKeyIdentifier does not contradict the client's
    authorityKeyIdentifier (RFC 5280, section 4.2.1.1), and tries no other when the signature turns out to be another's.

    :param authorities: in the order in which OpenSSL gets them.
    """
    met: dict[NameKey, list[x509.Certificate]] = {}
    for authority in authorities:
        if validity_fault(authority, now) is None:
            met.setdefault(name_key(authority.subject.public_bytes()), []).append(authority)
    for others in met.values():
        first = others[0]
        keys = {_key(each) for each in others}
        told_apart = all(map(key_identifier, others)) and len(set(map(key_identifier, others))) == len(keys)
        if len(keys) > 1 and not told_apart:
            yield (
                f"authorities of different keys are called {distinguished_name(first.subject)}, and no subject key "
                f"identifiers tell them apart: what the first has issued is accepted, and what the others have is "
                f"refused; let trust stores and server groups of their own trust them"
            )


def _key(certificate: x509.Certificate) -> str:
    return describe(certificate.public_bytes(Encoding.DER)).spki_sha256


def key_identifier(certificate: x509.Certificate) -> bytes:
    """Its subject key identifier; empty if it has none, or none that can be read."""
    try:
        identifier = extension(certificate, x509.SubjectKeyIdentifier)
    except Exception:  # extensions that cannot be read are told as such
        return b""
    return b"" if identifier is None else identifier.digest


def _weak_key(authority: x509.Certificate, description: ClientIdentity) -> str:
    """Whether the key is too small for the security level of OpenSSL, whose own reckoning is laxer by some bits."""
    if has_strong_key(description):
        return ""
    try:
        SSL.Context(SSL.TLS_METHOD).use_certificate(authority)
    except SSL.Error:
        kind, bits = description.key_type, description.key_bits
        if not bits:
            sentence = f"the key of {description.subject} is of a kind or on a curve that is not known"
            return f"{sentence}; nothing that it issued is accepted"
        least = f"; {LEAST_BITS[kind]} would do" if kind in LEAST_BITS else ""
        sentence = f"the key of {description.subject}, {kind} of {bits} bits, is too weak{least}"
        return f"{sentence}; nothing that it issued is accepted"
    return ""


def is_self_signed(certificate: x509.Certificate) -> bool:
    """As OpenSSL sees it: by its names and key identifiers. The signature of a trusted one is not looked at."""
    said = describe(certificate.public_bytes(Encoding.DER))
    return certificate.subject == certificate.issuer and said.issuer_ski in ("", said.ski)


def _weak_signature(authority: x509.Certificate, description: ClientIdentity) -> str:
    """The signature of who signed himself does not count: he is trusted for his key."""
    if is_self_signed(authority) or has_strong_signature(description):
        return ""
    algorithm = description.signature_algorithm
    return f"{description.subject} is signed with {algorithm}, which is too weak; nothing that it issued is accepted"


def _strictness(authority: x509.Certificate, now: datetime.datetime) -> str:
    """What strict verification has against an authority: it is shown a client with whom nothing is wrong."""
    at = min(
        max(now, authority.not_valid_before_utc), authority.not_valid_after_utc
    )  # its dates are told by themselves
    try:
        fault = path_fault([stand_in(authority, at)[0], authority], at)
    except Exception:
        fault = "it cannot be examined"
    if not fault or fault.endswith("signature does not match"):  # for it is ours: all else has been found in order
        return ""
    if "public key algorithm" in fault:
        fault = (
            f"its key is {describe(authority.public_bytes(Encoding.DER)).key_type}, on a curve or of a kind not allowed"
        )
    return f"{distinguished_name(authority.subject)}: verification = strict refuses whatever it issued: {fault}"


@cache
def _our_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def stand_in(
    issuer: x509.Certificate | None, now: datetime.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A client or server with whom nothing is wrong but that the issuer that is named has not signed the certificate.

    :param issuer: ``None`` for one that names nobody of ours.
    :param now: when it is valid, UTC.
    :return: the certificate and its key.
    """
    key, subject = _our_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    builder = x509.CertificateBuilder().issuer_name(subject if issuer is None else issuer.subject)
    builder = builder.subject_name(subject).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - _DAY).not_valid_after(now + _DAY)
    identifier = b"" if issuer is None else key_identifier(issuer)
    for value in (
        x509.AuthorityKeyIdentifier(identifier or b"none", None, None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
    ):
        builder = builder.add_extension(value, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()), key
