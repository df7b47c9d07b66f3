"""What revocation lists are looked up by: the facts of one certificate, read once and remembered by its DER.

The law: what cannot be read makes no list apply that would not otherwise, and lets nobody sign one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen
from cryptography import x509

from edgenode.tls.crl import ALL_REASONS, Reasons, RevocationList, distribution_names
from edgenode.tls.der import INTEGER, fields, only
from edgenode.tls.name_keys import NameKey, name_key

_REMEMBERED, _LARGEST = 1024, 8 * 1024
"""Certificates, and the bytes of the largest: strangers cannot fill the memory with huge ones."""


@frozen(eq=False)
class Point:
    """A distribution point of a certificate (RFC 5280, section 4.2.1.13).

    :ivar names: its names, for comparing; empty for any.
    :ivar issuers: the cRLIssuer; empty for the issuer of the certificate.
    :ivar reasons: those that lists found there are about.
    """

    names: frozenset[Hashable]
    issuers: frozenset[NameKey]
    reasons: Reasons


@frozen(eq=False)
class Facts:
    """A certificate.

    :ivar subject: the subject, for comparing.
    :ivar issuer: the issuer, likewise.
    :ivar serial: the serial number.
    :ivar is_authority: what basicConstraints say; ``None`` if the extensions cannot be read.
    :ivar may_sign_lists: whether keyUsage, if there is one, lets it.
    :ivar signs_lists: whether keyUsage says that it does.
    :ivar points: its distribution points.
    :ivar freshest: whether it names delta lists.
    :ivar key: its public key; ``None`` if that cannot be read.
    :ivar spki: the same as it stands there, DER.
    """

    subject: NameKey
    issuer: NameKey
    serial: int
    is_authority: bool | None
    may_sign_lists: bool
    signs_lists: bool
    points: tuple[Point, ...]
    freshest: bool
    key: Any
    spki: bytes
    _key_identifier: bytes | None

    @property
    def is_self_issued(self) -> bool:
        """Whether issuer and subject are the same."""
        return self.subject == self.issuer

    def is_named_by(self, crl: RevocationList) -> bool:
        """Whether nothing in a list's authorityKeyIdentifier speaks against this certificate."""
        named = crl.key_identifier
        if named is None:
            return True
        if None not in (named.key_identifier, self._key_identifier) and named.key_identifier != self._key_identifier:
            return False
        if named.authority_cert_serial_number not in (None, self.serial):
            return False
        names = [each for each in named.authority_cert_issuer or () if isinstance(each, x509.DirectoryName)]
        return not names or name_key(names[0].value.public_bytes()) == self.issuer


def facts(der: bytes) -> Facts:
    """Those of a certificate, DER; remembered.

    :raises ValueError: if it is malformed.
    """
    return _remembered(der) if len(der) <= _LARGEST else _read(der)


def _read(der: bytes) -> Facts:
    parts = fields(der)
    issuer = name_key(parts.issuer)
    extensions = _extensions(der)
    values: Mapping[type, Any] = extensions or {}
    constraints, usage = values.get(x509.BasicConstraints), values.get(x509.KeyUsage)
    ski = values.get(x509.SubjectKeyIdentifier)
    return Facts(
        name_key(parts.subject),
        issuer,
        int.from_bytes(only(parts.serial, INTEGER), "big", signed=True),
        None if extensions is None else bool(constraints is not None and constraints.ca),
        extensions is not None and (usage is None or usage.crl_sign),
        usage is not None and usage.crl_sign,
        tuple(_point(each, issuer) for each in values.get(x509.CRLDistributionPoints, ())),
        x509.FreshestCRL in values,
        _key(der),
        parts.key,
        None if ski is None else ski.digest,
    )


_remembered = lru_cache(_REMEMBERED)(_read)


def _extensions(der: bytes) -> Mapping[type, Any] | None:
    try:
        return {type(each.value): each.value for each in x509.load_der_x509_certificate(der).extensions}
    except Exception:  # only a more lenient reader than ours understands them
        return None


def _key(der: bytes) -> Any:
    try:
        return x509.load_der_x509_certificate(der).public_key()
    except Exception:  # of a kind, on a curve or in an encoding that the library does not know
        return None


def _point(point: x509.DistributionPoint, issuer: NameKey) -> Point:
    names = (each.value for each in point.crl_issuer or () if isinstance(each, x509.DirectoryName))
    issuers = [name_key(each.public_bytes()) for each in names]
    reasons = ALL_REASONS if point.reasons is None else ALL_REASONS & point.reasons
    full = distribution_names(point.full_name, point.relative_name, issuers[0] if issuers else issuer)
    return Point(full, frozenset(issuers), reasons)
