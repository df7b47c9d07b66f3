"""Revocation checking with the lists of trust stores (CRL, RFC 5280, section 6.3): OpenSSL's, and what it lacks.

The law: this only ever refuses. OpenSSL knows one time for all lists and no policy on old ones, so lists past their
``nextUpdate`` are checked again here; and what a list revokes where OpenSSL does not look for it is revoked all the
same. The handshake and every later verification of an open connection give the same answer.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from attrs import frozen
from cryptography import x509
from OpenSSL import crypto
from OpenSSL._util import lib

from edgenode.tls.identity import describe
from edgenode.tls.names import distinguished_name
from edgenode.tls.revocation_lists import RevokedSince, is_complete, issuer_key, same_kind
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verify_errors import CRL_EXPIRED, REVOKED

EXTENDED_CRL_SUPPORT = 0x1000
"""``X509_V_FLAG_EXTENDED_CRL_SUPPORT``, which pyOpenSSL does not name: lists that are indirect, that have only some
reasons, or that another key of the issuer has signed. Always on: where there is no such list it changes nothing."""

USE_DELTAS = 0x2000
"""``X509_V_FLAG_USE_DELTAS``: delta lists. Always on: a revocation that was loaded must count."""

NO_CHECK_TIME = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME``: no dates are checked, neither those of lists nor those of certificates."""


def crl_flags(trust_stores: Sequence[LoadedTrustStore]) -> int:
    """The ``X509StoreFlags`` for the revocation lists of trust stores; 0 without any list."""
    checks = {store.section.crl_check for store in trust_stores if store.crls}
    if not checks:
        return 0
    # CRL_CHECK_ALL alone checks nothing; of several stores the strictest wins, for OpenSSL sees only one.
    everything = crypto.X509StoreFlags.CRL_CHECK_ALL if "chain" in checks else 0
    return int(crypto.X509StoreFlags.CRL_CHECK | everything | EXTENDED_CRL_SUPPORT | USE_DELTAS)


def fill_store(store: crypto.X509Store | None, trust_stores: Sequence[LoadedTrustStore]) -> None:
    """Put the authorities, revocation lists and flags of trust stores into a store of OpenSSL's.

    :param store: a new one, or that of a new context.
    :raises RuntimeError: if the context has none, or OpenSSL refuses a list.
    """
    if store is None:
        raise RuntimeError("the context has no certificate store")
    for trust_store in trust_stores:
        for authority in trust_store.authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
        _add(store, trust_store.parsed_crls)
    flags = crl_flags(trust_stores)
    if flags:
        store.set_flags(flags)


def _add(store: crypto.X509Store, parsed: Iterable[Any]) -> None:
    for crl in parsed:
        if lib.X509_STORE_add_crl(store._store, crl) != 1:
            raise RuntimeError("OpenSSL does not take a revocation list")


@frozen(eq=False)
class _List:
    """A revocation list, also as OpenSSL's ``X509_CRL``.

    :ivar accepted: whether it is accepted past its ``nextUpdate``.
    :ivar issuer: the key of its issuer; empty of a delta list.
    """

    crl: x509.CertificateRevocationList
    parsed: Any
    accepted: bool
    issuer: str

    def has_begun(self, now: datetime.datetime) -> bool:
        return self.crl.last_update_utc <= now

    def is_fresh(self, now: datetime.datetime) -> bool:
        return self.has_begun(now) and (self.crl.next_update_utc is None or now <= self.crl.next_update_utc)


@frozen(eq=False)
class Revocation:
    """What the revocation lists of trust stores say of a chain in which OpenSSL found no error, or only error 12.

    :ivar accepts_stale: whether any list past its date may be accepted; if so, error 12 is for :meth:`error` to judge.
    :ivar changes: the last seconds, since the epoch, before a list begins or ends, in order.
    """

    accepts_stale: bool
    changes: tuple[int, ...]
    _flags: int
    _lists: tuple[_List, ...]
    _elsewhere: tuple[RevokedSince, ...]

    @classmethod
    def of(cls, trust_stores: Sequence[LoadedTrustStore]) -> Self | None:
        """That of these trust stores; ``None`` if they have no lists. What takes long is done here, not in requests."""
        flags = crl_flags(trust_stores)
        if not flags:
            return None
        # Of several stores the strictest wins.
        strict = {crl.issuer for store in trust_stores for crl in store.crls if store.section.crl_stale != "accept"}
        lists = tuple(
            _List(
                crl,
                parsed,
                crl.issuer not in strict,
                issuer_key(distinguished_name(crl.issuer)) if is_complete(crl) else "",
            )
            for store in trust_stores
            for crl, parsed in zip(store.crls, store.parsed_crls, strict=True)
        )
        begins = {int(each.crl.last_update_utc.timestamp()) - 1 for each in lists}
        ends = {int(each.crl.next_update_utc.timestamp()) for each in lists if each.crl.next_update_utc is not None}
        return cls(
            any(each.accepted for each in lists),
            tuple(sorted(begins | ends)),
            flags,
            lists,
            tuple(store.revoked_elsewhere for store in trust_stores),
        )

    def error(self, chain: Sequence[bytes], now: datetime.datetime, *, stale: bool) -> int:
        """OpenSSL's number for what is wrong, 0 if nothing is.

        :param chain: DER: the leaf, the intermediates, the authority.
        :param now: the time, UTC.
        :param stale: whether OpenSSL found lists past their date on the way.
        """
        now = now.replace(microsecond=0)  # the resolution of X.509
        checked = chain if self._flags & crypto.X509StoreFlags.CRL_CHECK_ALL else chain[:1]
        if any(self._is_revoked_elsewhere(certificate, now) for certificate in checked):
            return REVOKED
        return self._regardless_of_dates(chain, now) if stale else 0

    def dates(self, issuer: str, now: datetime.datetime) -> tuple[datetime.datetime | None, datetime.datetime | None]:
        """``thisUpdate`` and ``nextUpdate`` of an issuer's revocation list, UTC; ``None`` if there is none.

        :param issuer: its distinguished name.
        :param now: the time, UTC; of the complete lists that have begun the latest counts.
        """
        key = issuer_key(issuer)
        begun = (each.crl for each in self._lists if key and each.issuer == key and each.has_begun(now))
        latest = max(begun, key=lambda crl: crl.last_update_utc, default=None)
        return (None, None) if latest is None else (latest.last_update_utc, latest.next_update_utc)

    def add_to(self, store: crypto.X509Store) -> None:
        """Put the lists and their flags into a new store of OpenSSL's.

        :raises RuntimeError: if OpenSSL refuses a list.
        """
        _add(store, (each.parsed for each in self._lists))
        store.set_flags(self._flags)

    def _is_revoked_elsewhere(self, certificate: bytes, now: datetime.datetime) -> bool:
        found = describe(certificate)
        key = issuer_key(found.issuer), int(found.serial, 16)
        return any(key in moments and moments[key] <= now for moments in self._elsewhere)

    def _regardless_of_dates(self, chain: Sequence[bytes], now: datetime.datetime) -> int:
        """Verify the chain once more, with the lists that count as of now, and without looking at dates."""
        *below, authority = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in chain)
        leaf, *intermediates = below or [authority]
        store = crypto.X509Store()
        store.add_cert(authority)
        _add(store, (each.parsed for each in self._counting(now)))
        store.set_flags(self._flags | NO_CHECK_TIME)
        try:
            crypto.X509StoreContext(store, leaf, intermediates).verify_certificate()
        except crypto.X509StoreContextError as error:
            # A list that does not count is missing from this store; what was wrong with it is its date.
            return REVOKED if error.errors[0] == REVOKED else CRL_EXPIRED
        return 0

    def _counting(self, now: datetime.datetime) -> Iterator[_List]:
        """The lists in date, and where there is none of a kind the old ones that are accepted."""
        kinds = {same_kind(each.crl) for each in self._lists if each.is_fresh(now)}
        for each in self._lists:
            if each.is_fresh(now) or (each.accepted and each.has_begun(now) and same_kind(each.crl) not in kinds):
                yield each
