"""Revocation checking with the lists of trust stores (CRL, RFC 5280, section 6.3).

The law: this only ever refuses. OpenSSL is given no lists: it would check the signature of each in every handshake, and
does not find all that a list says. What is revoked in any list that applies is revoked, and whoever is not known to be
unrevoked for every reason is refused. The handshake and every later verification of an open connection ask the same
lists, and give the same answer.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Self

from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

from edgenode.tls.bounds import is_crowded
from edgenode.tls.crl import ALL_REASONS, Reasons, RevocationList
from edgenode.tls.crl_facts import Facts, facts
from edgenode.tls.identity import der_of
from edgenode.tls.name_keys import NameKey
from edgenode.tls.names import distinguished_name
from edgenode.tls.revocation_lists import fault
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verify_errors import (
    CRL_EXPIRED,
    CRL_NOT_YET_VALID,
    CRL_PATH_VALIDATION_ERROR,
    CRL_SIGNATURE_FAILURE,
    DIFFERENT_CRL_SCOPE,
    KEYUSAGE_NO_CRL_SIGN,
    REVOKED,
    UNABLE_TO_GET_CRL,
    UNHANDLED_CRITICAL_CRL_EXTENSION,
)


def fill_store(store: crypto.X509Store | None, trust_stores: Sequence[LoadedTrustStore]) -> None:
    """Put the authorities of trust stores into a store of OpenSSL's.

    :param store: a new one, or that of a new context.
    :raises RuntimeError: if the context has none.
    """
    if store is None:
        raise RuntimeError("the context has no certificate store")
    for trust_store in trust_stores:
        for authority in trust_store.authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))


@frozen(eq=False)
class _List:
    """A revocation list of a trust store.

    :ivar crl: itself.
    :ivar begin: from when it says anything, seconds since the epoch.
    :ivar end: its last second, if it has one.
    :ivar accepted: whether it is accepted past that.
    :ivar authentic: whether someone in its trust store has signed it, and not one who is seen in clients' chains alone.
    """

    crl: RevocationList
    begin: int
    end: int | None
    accepted: bool
    authentic: bool

    def fault(self, now: int) -> int:
        """OpenSSL's number for what is wrong with its dates, 0 if nothing is."""
        if now < self.begin:
            return CRL_NOT_YET_VALID
        return CRL_EXPIRED if self.end is not None and now > self.end and not self.accepted else 0

    def is_fresh(self, now: int) -> bool:
        """Whether it is in date."""
        return self.begin <= now and (self.end is None or now <= self.end)


@frozen(eq=False)
class _Path:
    """A certificate of a chain, and who vouches for it.

    :ivar subject: the certificate.
    :ivar above: its issuers, up to the authority.
    :ivar anchor: the authority, DER.
    :ivar sent: what else came with the chain, DER.
    :ivar asking: the signers of lists whose own lists are being asked for, DER.
    """

    subject: Facts
    above: Sequence[Facts]
    anchor: bytes
    sent: Sequence[bytes] = ()
    asking: frozenset[bytes] = frozenset()


@frozen(eq=False)
class Revocation:
    """What the revocation lists of trust stores say of a chain.

    :ivar changes: the last seconds, since the epoch, before a list begins or ends, in order.
    """

    changes: tuple[int, ...]
    _whole_chain: bool
    _lists: Mapping[NameKey, Sequence[_List]]
    _indirect: Sequence[_List]
    _authorities: Sequence[crypto.X509]
    _signers: Mapping[NameKey, Iterable[bytes]]
    _dates: Mapping[str, Sequence[_List]]

    @classmethod
    def of(cls, trust_stores: Sequence[LoadedTrustStore]) -> Self | None:
        """That of these trust stores; ``None`` if they have no lists. What takes long is done here, not in requests."""
        stores = [store for store in trust_stores if store.crls]
        if not stores:
            return None
        lists, dates = dict[NameKey, list[_List]](), dict[str, list[_List]]()
        for each in _lists(stores):
            lists.setdefault(each.crl.issuer_key, []).append(each)
            if each.crl.is_complete:
                dates.setdefault(_folded(distinguished_name(each.crl.issuer)), []).append(each)
        every = [each for named in lists.values() for each in named]
        changes = {each.begin - 1 for each in every} | {each.end for each in every if each.end is not None}
        # Of several stores the strictest wins.
        whole_chain = any(store.section.crl_check == "chain" for store in stores)
        indirect = [each for each in every if set(each.crl.revoked.owners) != {each.crl.issuer_key}]
        authorities = [each for store in trust_stores for each in store.authorities]
        signers = dict[NameKey, dict[bytes, None]]()
        for certificate in (*authorities, *(each for store in trust_stores for each in store.signers)):
            der = certificate.public_bytes(Encoding.DER)
            signers.setdefault(facts(der).subject, {})[der] = None
        known = tuple(map(crypto.X509.from_cryptography, authorities))
        return cls(tuple(sorted(changes)), whole_chain, lists, indirect, known, signers, dates)

    def dates(self, issuer: str, now: datetime.datetime) -> tuple[datetime.datetime | None, datetime.datetime | None]:
        """When an issuer's revocation list was issued, and when it ends, UTC; ``None`` where nothing says so.

        :param issuer: its distinguished name.
        :param now: the time, UTC; of the complete lists that have begun the latest counts.
        """
        begun = [each for each in self._dates.get(_folded(issuer), ()) if each.begin <= now.timestamp()]
        latest = max(begun, key=lambda each: each.begin, default=None)
        if latest is None:
            return None, None
        return latest.crl.begin, None if latest.end is None else datetime.datetime.fromtimestamp(
            latest.end, datetime.UTC
        )

    def faults(
        self, path: Sequence[bytes], now: datetime.datetime, *, verified: bool = True, sent: Sequence[bytes] = ()
    ) -> Iterator[tuple[int, int]]:
        """OpenSSL's numbers for what is wrong, and where: 0 is the leaf.

        :param path: DER: the leaf, the intermediates, the authority.
        :param now: the time, UTC.
        :param verified: whether the chain ends in an authority of the trust stores. Of another chain no list is known.
        :param sent: what else came with the leaf, DER: a signer of lists may be among it.
        """
        now = now.replace(microsecond=0)  # the resolution of X.509
        try:
            chain = [facts(der) for der in path]
        except ValueError:
            yield UNABLE_TO_GET_CRL, 0  # whose list that would be cannot be read
            return
        sent = tuple(filter(_is_readable, sent[:_MOST_SENT]))
        for depth, each in enumerate(chain if self._whole_chain else chain[:1]):
            if verified:
                # The authority is trusted for its own sake: no list is asked about it.
                step = _Path(each, chain[depth + 1 :], path[-1], sent)
                yield from ((error, depth) for error in (self._errors(step, now) if step.above else ()))
            elif not depth or not each.is_self_issued:
                yield CRL_SIGNATURE_FAILURE if each.issuer in self._lists else UNABLE_TO_GET_CRL, depth

    def _errors(self, path: _Path, now: datetime.datetime) -> list[int]:
        """What is wrong with one certificate."""
        subject, seconds = path.subject, int(now.timestamp())
        usable, trouble = self._usable(path, now)
        deltas = [(each, signer) for each, signer in usable if not each.crl.is_complete]
        covered, revoked, revoked_of_old = frozenset[x509.ReasonFlags](), False, False
        for best, key in _newest(usable, seconds):
            error, own = best.fault(seconds), (each for each, signer in deltas if signer == key)
            if _says(best, subject) and not any(_releases(each, best, subject, seconds) for each in own):
                revoked, revoked_of_old = revoked or not error, True
            trouble = error or trouble
            covered |= _NONE if error else _reasons(best.crl, subject)
        unknown = covered != ALL_REASONS
        revoked = revoked or (unknown and revoked_of_old) or self._is_revoked_elsewhere(path, now)
        return [trouble] * unknown + [REVOKED] * revoked

    def _usable(self, path: _Path, now: datetime.datetime) -> tuple[list[tuple[_List, bytes]], int]:
        """The lists that are about a certificate, each with the key that signed it; and why there are no more."""
        subject, found, trouble = path.subject, list[tuple[_List, bytes]](), UNABLE_TO_GET_CRL
        issuers = {subject.issuer: None} | {name: None for point in subject.points for name in point.issuers}
        for each in (each for issuer in issuers for each in self._lists.get(issuer, ())):
            if each.crl.strange:
                trouble = UNHANDLED_CRITICAL_CRL_EXTENSION
                continue
            signer, error = self._signer(each.crl, path, now)
            if signer and _reasons(each.crl, subject):
                found.append((each, signer))
            else:
                trouble = error or DIFFERENT_CRL_SCOPE
        return found, trouble

    def _signer(self, crl: RevocationList, path: _Path, now: datetime.datetime) -> tuple[bytes, int]:
        """The key that signed a list, of an issuer of the chain or one that the chain's authority vouches for."""
        error = UNABLE_TO_GET_CRL
        inside = ((issuer, None) for issuer in path.above)
        outside = ((facts(each), each) for each in (*self._signers.get(crl.issuer_key, ()), *path.sent))
        for issuer, signer in itertools.chain(inside, outside):
            if issuer.subject == crl.issuer_key and issuer.is_named_by(crl):
                if not crl.is_signed_by(issuer.key, issuer.spki):
                    error = CRL_SIGNATURE_FAILURE
                elif not issuer.may_sign_lists:
                    error = KEYUSAGE_NO_CRL_SIGN
                elif signer is None or self._is_good(signer, path, now):
                    return issuer.spki, 0
                else:
                    error = CRL_PATH_VALIDATION_ERROR
        return b"", error

    def _is_good(self, signer: bytes, path: _Path, now: datetime.datetime) -> bool:
        """Whether a signer has a path of its own to the authority of a chain (RFC 5280, section 6.3.3 f)."""
        if signer in path.asking:
            return True  # whoever is to sign the list that names itself (PKITS, 4.14.30): what it says still counts
        if not (facts(signer).is_authority or facts(signer).signs_lists):
            return False
        store = crypto.X509Store()
        store.add_cert(_x509(path.anchor))
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # that chains may end there is settled
        store.set_time(now)
        others = (*self._authorities, *map(_x509, path.sent))
        try:
            found = crypto.X509StoreContext(store, _x509(signer), others).get_verified_chain()
        except crypto.X509StoreContextError:
            return False
        chain, asking = [facts(der_of(each)) for each in found], path.asking | {signer}
        steps = (evolve(path, subject=each, above=chain[at:], asking=asking) for at, each in enumerate(chain[:-1], 1))
        return not any(self._errors(step, now) for step in steps)

    def _is_revoked_elsewhere(self, path: _Path, now: datetime.datetime) -> bool:
        """Whether a list revokes a certificate though nobody need look there: a delta list to which nothing points, or
        one of another issuer. Each counts from its ``thisUpdate`` on, however old it is."""
        subject, seconds = path.subject, int(now.timestamp())
        deltas = (each for each in self._lists.get(subject.issuer, ()) if not each.crl.is_complete)
        asked = [(each, False) for each in deltas] + [(each, True) for each in self._indirect]
        return any(
            each.begin <= seconds
            and _says(each, subject, foreign=foreign)
            and not each.crl.strange
            and (each.authentic or self._signer(each.crl, path, now)[0])
            and not self._is_superseded(each, path, now)
            for each, foreign in asked
        )

    def _is_superseded(self, delta: _List, path: _Path, now: datetime.datetime) -> bool:
        """Whether a list is a delta list, and a complete one of the same scope and key is as new."""
        if delta.crl.is_complete:
            return False
        number, scope, (key, _) = delta.crl.number, delta.crl.same_scope, self._signer(delta.crl, path, now)
        return bool(key) and any(
            each.crl.number >= number >= 0
            and each.begin <= now.timestamp()
            and not each.crl.strange
            and self._signer(each.crl, path, now)[0] == key
            for each in self._lists[delta.crl.issuer_key]
            if each.crl.is_complete and each.crl.same_scope == scope
        )


_NONE: Reasons = frozenset()


def _says(each: _List, subject: Facts, *, foreign: bool = False) -> bool | None:
    return each.crl.revoked.find(subject.issuer, subject.serial, foreign=foreign)


def _reasons(crl: RevocationList, subject: Facts) -> Reasons:
    """The reasons for which a list says whether a certificate is revoked (RFC 5280, section 6.3.3 b, d)."""
    scope, own = crl.scope, crl.issuer_key == subject.issuer
    if (
        scope.only_attributes
        or (scope.only_users and subject.is_authority is not False)
        or (scope.only_authorities and subject.is_authority is not True)
        or not (own or scope.indirect)
    ):
        return _NONE
    for point in subject.points:
        named = crl.issuer_key in point.issuers if point.issuers else own
        if named and (not scope.names or not point.names or scope.names & point.names):
            return scope.reasons & point.reasons
    return scope.reasons if own and not scope.names else _NONE


def _newest(usable: Sequence[tuple[_List, bytes]], now: int) -> Iterator[tuple[_List, bytes]]:
    """Of the complete lists of one scope and key the newest in date; without any in date the newest."""
    kinds = dict[tuple[Hashable, bytes], list[_List]]()
    for each, signer in usable:
        if each.crl.is_complete:
            kinds.setdefault((each.crl.same_scope, signer), []).append(each)
    for (_, signer), lists in kinds.items():
        yield max([each for each in lists if each.is_fresh(now)] or lists, key=lambda each: each.begin), signer


def _releases(delta: _List, base: _List, subject: Facts, now: int) -> bool:
    """Whether a delta list takes back what a complete one says (RFC 5280, sections 5.2.4 and 5.2.6)."""
    crl = delta.crl
    return (
        (subject.freshest or base.crl.freshest)
        and delta.is_fresh(now)
        and crl.same_scope == base.crl.same_scope
        and crl.base is not None
        and crl.base <= base.crl.number < crl.number
        and _says(delta, subject) is False
    )


def _lists(stores: Sequence[LoadedTrustStore]) -> Iterator[_List]:
    # Of several stores that have lists of one issuer the strictest wins.
    strict, ages = set[NameKey](), dict[NameKey, float]()
    for store in stores:
        for issuer in {crl.issuer_key for crl in store.crls}:
            strict |= {issuer} if store.section.crl_stale != "accept" else set()
            if store.section.crl_max_age:
                ages[issuer] = min(ages.get(issuer, store.section.crl_max_age), store.section.crl_max_age)
    for store in stores:
        for crl in store.crls:
            last = crl.last_second(ages.get(crl.issuer_key, 0))
            end = None if last is None else int(last.timestamp())
            authentic = not fault(crl, (*store.authorities, *store.signers))
            yield _List(crl, int(crl.begin.timestamp()), end, crl.issuer_key not in strict, authentic)


def _is_readable(der: bytes) -> bool:
    try:
        return not is_crowded(der) and bool(facts(der))
    except ValueError:
        return False


def _x509(der: bytes) -> crypto.X509:
    return crypto.load_certificate(crypto.FILETYPE_ASN1, der)


_MOST_SENT = 8
"""Certificates that are looked at, of those that a client sends besides its chain: each may cost signatures."""


def _folded(name: str) -> str:
    """A distinguished name as text, for comparing."""
    return " ".join(name.split()).casefold()
