"""A revocation list (CRL, RFC 5280, section 5), read and hashed once, so that whatever is asked of it later takes
microseconds, however long it is.

The law: what is not well formed is not read at all, and a signature counts only for the very bytes that were read.
Nothing here holds the interpreter for long: lists of millions of entries are read in a thread while others go on.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Hashable
from typing import Any, Self

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.x509.oid import ExtensionOID

from edgenode.tls.der import INTEGER, SEQUENCE, UTC_TIME, element, only
from edgenode.tls.der_offsets import BIT_STRING, GENERALIZED_TIME, elements, extent, within
from edgenode.tls.name_keys import NameKey, name_key, relative_key
from edgenode.tls.revoked_serials import RevokedSerials

_UNDERSTOOD = frozenset({
    ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.DELTA_CRL_INDICATOR,
})  # fmt: skip
"""The extensions of a list that may be critical."""

_REASONS = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}
Reasons = frozenset[x509.ReasonFlags]
ALL_REASONS: Reasons = _REASONS
"""The reasons for which a certificate may be revoked (``ReasonFlags``, RFC 5280, section 4.2.1.13)."""


@frozen(eq=False)
class Scope:
    """Which certificates a list is about: its issuingDistributionPoint (RFC 5280, section 5.2.5).

    :ivar names: the distribution point, each of its names; empty for any.
    :ivar reasons: for which the list says who is revoked.
    """

    only_users: bool = False
    only_authorities: bool = False
    only_attributes: bool = False
    indirect: bool = False
    reasons: Reasons = ALL_REASONS
    names: frozenset[Hashable] = frozenset()


@frozen(eq=False)
class RevocationList:
    """One list.

    :ivar der: all of it.
    :ivar digest: the SHA-256 of that.
    :ivar head: all of it but the entries; its signature is that of the whole.
    :ivar issuer_key: the name of its issuer, for comparing.
    :ivar scope: which certificates it is about.
    :ivar same_scope: equal for lists of one issuer that say the same about the same certificates, at another time.
    :ivar number: its cRLNumber, -1 without one.
    :ivar base: its BaseCRLNumber if it is a delta list, else ``None``.
    :ivar key_identifier: its authorityKeyIdentifier, if it has one.
    :ivar freshest: whether it names delta lists that add to it (RFC 5280, section 5.2.6).
    :ivar revoked: its entries.
    :ivar strange: the dotted number of a critical extension that is not understood: the list must not be used
        (RFC 5280, section 5.2); empty if there is none.
    """

    der: bytes = field(repr=False)
    digest: bytes
    head: x509.CertificateRevocationList
    issuer_key: NameKey
    scope: Scope
    same_scope: Hashable
    number: int
    base: int | None
    key_identifier: x509.AuthorityKeyIdentifier | None
    freshest: bool
    revoked: RevokedSerials = field(repr=False)
    strange: str
    _signed: tuple[int, int]
    _hash: bytes
    _signers: dict[bytes, bool] = field(factory=dict, repr=False)

    @classmethod
    def read(cls, der: bytes) -> Self:
        """A list from its DER.

        :raises Misunderstood: if it has a critical extension that is not understood.
        :raises Exception: of any kind, if it is malformed.
        """
        whole = within(der, 0, len(der))
        if extent(der, 0, len(der))[1] != len(der) or [der[at] for at, _, _ in whole] != [
            SEQUENCE,
            SEQUENCE,
            BIT_STRING,
        ]:
            raise ValueError("it is no revocation list")
        tbs, algorithm, _ = whole
        parts = list(elements(der, tbs[1], tbs[2]))
        second = bool(parts) and der[parts[0][0]] == INTEGER
        if second and der[parts[0][1] : parts[0][2]] != b"\1":
            raise ValueError("its version is neither 1 nor 2")
        rest = parts[second:]
        if len(rest) < 3:
            raise ValueError("it is cut short")
        if der[rest[0][0] : rest[0][2]] != der[algorithm[0] : algorithm[2]]:
            raise ValueError("it names two signature algorithms")
        # signature, issuer, thisUpdate, nextUpdate if there is one, revokedCertificates, crlExtensions
        index = 4 if len(rest) > 3 and der[rest[3][0]] in (UTC_TIME, GENERALIZED_TIME) else 3
        entries = rest[index : index + 1] if len(rest) > index and der[rest[index][0]] == SEQUENCE else []
        behind = bytes(der[at] for at, _, _ in rest[index + len(entries) :])
        if behind not in (b"", b"\xa0"):
            raise ValueError("something strange follows its entries")
        if behind and not second:
            raise ValueError("a list of version 1 has extensions")
        if entries and entries[0][1] == entries[0][2]:
            raise ValueError("it has an empty list of entries, which RFC 5280, section 5.1.2.6, forbids")
        kept = b"".join(der[at:end] for at, _, end in parts if [at] != [each[0] for each in entries])
        head, issuer = _Head.read(kept, der[whole[1][0] : whole[2][2]]), name_key(der[rest[1][0] : rest[1][2]])
        start, end = entries[0][1:] if entries else (0, 0)
        revoked = RevokedSerials.read(der, start, end, issuer, extensible=second)
        if revoked.names_issuers and not (head.point and head.point.indirect_crl):
            raise ValueError("it names other issuers, but is no indirect list")
        return cls(
            der,
            hashlib.sha256(der).digest(),
            head.crl,
            issuer,
            _scope(head.point, issuer),
            (issuer, head.key_identifier, head.point),
            head.number,
            head.base,
            head.key_identifier,
            head.freshest,
            revoked,
            head.strange or revoked.strange,
            (tbs[0], tbs[2]),
            # hashlib, and not the library: it lets other threads go on meanwhile.
            hashlib.new(head.hash, memoryview(der)[tbs[0] : tbs[2]]).digest() if head.hash else b"",
        )

    @property
    def issuer(self) -> x509.Name:
        """Its issuer."""
        return self.head.issuer

    @property
    def begin(self) -> datetime.datetime:
        """Its thisUpdate, UTC."""
        return self.head.last_update_utc

    @property
    def end(self) -> datetime.datetime | None:
        """Its nextUpdate, UTC, if it has one."""
        return self.head.next_update_utc

    def last_second(self, most: float) -> datetime.datetime | None:
        """The last second in which it is in date, UTC; ``None`` if it always will be.

        :param most: the seconds after its thisUpdate in which a list may be; 0 for no limit.
        """
        limit = self.begin + datetime.timedelta(seconds=int(most)) if most else None
        return min((each for each in (self.end, limit) if each is not None), default=None)

    @property
    def is_complete(self) -> bool:
        """Whether it is no delta list (RFC 5280, section 5.2.4)."""
        return self.base is None

    def is_signed_by(self, key: Any, spki: bytes) -> bool:
        """Whether it bears the signature of a public key; remembered, so that each key is tried once.

        :param key: of any type that ``cryptography`` has, or ``None``.
        :param spki: the same key as SubjectPublicKeyInfo, DER.
        """
        found = self._signers.get(spki)
        if found is None:
            found = self._verify(key)
            if len(self._signers) < _MOST_SIGNERS:
                self._signers[spki] = found
        return found

    def _verify(self, key: Any) -> bool:
        signature, head = self.head.signature, self.head
        try:
            if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
                key.verify(signature, memoryview(self.der)[slice(*self._signed)])
                return True
            digest = Prehashed(head.signature_hash_algorithm)  # type: ignore[arg-type]
            parameters = head.signature_algorithm_parameters
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, self._hash, parameters, digest)  # type: ignore[arg-type]
            elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
                key.verify(signature, self._hash, ec.ECDSA(digest))
            elif isinstance(key, dsa.DSAPublicKey):
                key.verify(signature, self._hash, digest)
            else:
                return False
        except Exception:  # a key of a kind that signs nothing, or of another than the algorithm's
            return False
        return True


_MOST_SIGNERS = 64
"""Keys that are remembered of a list."""


@frozen
class _Head:
    """A list without its entries, as the library reads it."""

    crl: x509.CertificateRevocationList
    strange: str
    key_identifier: x509.AuthorityKeyIdentifier | None
    point: x509.IssuingDistributionPoint | None
    number: int
    base: int | None
    freshest: bool
    hash: str

    @classmethod
    def read(cls, parts: bytes, signature: bytes) -> Self:
        """The head.

        :param parts: of the TBSCertList, without revokedCertificates.
        :param signature: all that follows the TBSCertList.
        :raises ValueError: if it is malformed.
        """
        try:
            crl = x509.load_der_x509_crl(element(SEQUENCE, element(SEQUENCE, parts), signature))
            values = {type(each.value): each.value for each in crl.extensions}
            strange = [each.oid for each in crl.extensions if each.critical and each.oid not in _UNDERSTOOD]
            number, delta = values.get(x509.CRLNumber), values.get(x509.DeltaCRLIndicator)
            algorithm = crl.signature_hash_algorithm
            _ = crl.issuer, crl.last_update_utc, crl.next_update_utc
            return cls(
                crl,
                strange[0].dotted_string if strange else "",
                values.get(x509.AuthorityKeyIdentifier),
                values.get(x509.IssuingDistributionPoint),
                -1 if number is None else number.crl_number,
                None if delta is None else delta.crl_number,
                x509.FreshestCRL in values,
                # None: an algorithm that hashes for itself.
                "" if algorithm is None else algorithm.name.replace("-", "_"),
            )
        except Exception as error:
            raise ValueError("its head is malformed, or its signature of an unknown kind") from error


def _scope(point: x509.IssuingDistributionPoint | None, issuer: NameKey) -> Scope:
    if point is None:
        return Scope()
    only = (point.only_contains_user_certs, point.only_contains_ca_certs, point.only_contains_attribute_certs)
    names = distribution_names(point.full_name, point.relative_name, issuer)
    reasons = ALL_REASONS if point.only_some_reasons is None else _REASONS & point.only_some_reasons
    return Scope(*only, point.indirect_crl, reasons, names)


def distribution_names(
    full: Any, relative: x509.RelativeDistinguishedName | None, issuer: NameKey
) -> frozenset[Hashable]:
    """The names of a distribution point, for comparing; empty if it has none.

    :param full: its full names, if it has some.
    :param relative: its name relative to an issuer, if it has one.
    """
    if relative is not None:
        return frozenset(((*issuer, relative_key(only(x509.Name([relative]).public_bytes()))),))
    return frozenset(map(_comparable, full or ()))


def _comparable(name: x509.GeneralName) -> Hashable:
    return name_key(name.value.public_bytes()) if isinstance(name, x509.DirectoryName) else name
