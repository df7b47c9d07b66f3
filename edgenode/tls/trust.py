"""The trust of a server group: its trust stores as OpenSSL sees them, and the verdict on a client as of now.

The law: nothing stale is trusted. A client that expired, was revoked or lost its authority after its handshake is
refused on a connection that was kept open. A verdict says until when it holds, so that a request costs one comparison;
past that, or once the trust stores have changed, the client's chain is verified again, in full.
"""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple, Self

from attrs import evolve, field, frozen
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL._util import lib

from edgenode.model.exchange import ClientIdentity
from edgenode.tls.admission import Admission
from edgenode.tls.bounds import LARGEST_CHAIN
from edgenode.tls.crl_facts import facts
from edgenode.tls.identity import der_of, describe, identify, issuer_serial
from edgenode.tls.revocation import Revocation
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.strength import has_strong_key, has_strong_signature
from edgenode.tls.truststores import LoadedTrustStore, allow_partial_chains
from edgenode.tls.verification import Record, whose
from edgenode.tls.verify_errors import (
    AUTHORITY_KEY_TOO_WEAK,
    CHAIN_TOO_LONG,
    EXPIRED,
    LATER,
    NOT_YET_VALID,
    REVOKED,
    SIGNATURE_TOO_WEAK,
    UNKNOWN_AUTHORITY,
    UNVERIFIED,
    reason,
)

FOREVER = 2**62


class _Fault(NamedTuple):
    """Something wrong with a client: OpenSSL's number, the depth, and the sentence if it is not OpenSSL's."""

    error: int
    depth: int
    sentence: str = ""


@frozen(eq=False, slots=False)
class Trust:
    """The trust stores of a server group; the same object as long as nothing in them has changed.

    :ivar trust_stores: whose authorities are trusted.
    :ivar verify_depth: the most intermediates between a client's certificate and an authority.
    :ivar admission: what is asked beyond OpenSSL's verification.
    """

    trust_stores: tuple[LoadedTrustStore, ...] = ()
    verify_depth: int = field(default=1, kw_only=True)
    admission: Admission | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, group: ServerGroup, trust_stores: Sequence[LoadedTrustStore]) -> Self:
        """That of a server group with the trust stores that it names: none, where no certificate is asked for."""
        if group.mtls == "off":
            return cls()
        admission = Admission.of(group, trust_stores)
        trust = cls(tuple(trust_stores), verify_depth=group.verify_depth, admission=admission)
        _ = trust._revocation, trust._authorities  # now, in the thread of a reload, and not in the first request
        return trust

    @cached_property
    def tags(self) -> Mapping[bytes, tuple[str, ...]]:
        """The tags of a client by the authority, DER, in which its chain ends: those of every store that has it."""
        found: dict[bytes, dict[str, None]] = {}
        for store in self.trust_stores:
            for authority in store.authorities:
                found.setdefault(authority.public_bytes(Encoding.DER), {}).update(dict.fromkeys(store.section.tags))
        return {authority: tuple(tags) for authority, tags in found.items()}

    @cached_property
    def _authorities(self) -> tuple[crypto.X509, ...]:
        authorities = (authority for store in self.trust_stores for authority in store.authorities)
        return tuple(map(crypto.X509.from_cryptography, authorities))

    @cached_property
    def _revocation(self) -> Revocation | None:
        return Revocation.of(self.trust_stores)

    def identify(self, connection: SSL.Connection, record: Record, now: datetime.datetime) -> ClientIdentity | None:
        """The identity of the client at the other end of a finished handshake with this server group.

        :param record: what the verification of this connection found.
        :param now: the time, UTC.
        :return: ``None`` if the client presented no certificate.
        """
        if record.unlisted and self._revocation is not None:
            self._ask_again(connection, record, now)
        largest = LARGEST_CHAIN if self.admission is None else self.admission.group.max_chain_size
        identity = identify(connection, record.verification(True), self.tags, record.path, largest)
        if identity is None or self._revocation is None:
            return identity
        if CHAIN_TOO_LONG in identity.verification.errors:
            return self.look_again(identity, now)[0]  # OpenSSL has not looked far enough up to ask any list
        return self.dated(identity, now)

    def _ask_again(self, connection: SSL.Connection, record: Record, now: datetime.datetime) -> None:
        """Ask the lists again, now that OpenSSL shows what the client has sent: the signer of one may be among it."""
        path, number = record.unlisted, len(record.errors)
        sent = tuple(map(der_of, connection.get_peer_cert_chain() or ()))
        assert self._revocation is not None
        if len(list(self._revocation.faults(path, now))) != number or any(
            self._revocation.faults(path, now, sent=sent)
        ):
            return  # something else is wrong as well, or still the same
        objection = None if self.admission is None else self.admission.objection(path, now)
        record.errors = [] if objection is None else [(objection.error, 0)]
        record.objection, record.leaf = objection, None
        record.complete, record.path = objection is None, path if objection is None else ()

    def until(self, identity: ClientIdentity, now: datetime.datetime) -> int:
        """The last second, since the epoch, in which the verdict on an identity holds if nothing is reloaded.

        :param identity: as this trust has judged it.
        :param now: when that was, UTC.
        """
        # Who is not verified, and past the date, can no more than be revoked.
        ended = EXPIRED in identity.verification.errors
        ends = () if ended else (identity, *map(describe, identity.chain_verified))
        moments = [int(each.not_after.timestamp()) for each in ends]
        if self._revocation is not None:
            changes = self._revocation.changes
            following = bisect_left(changes, int(now.timestamp()))
            moments += changes[following : following + 1]
        return min(moments, default=FOREVER)

    def dated(self, identity: ClientIdentity, now: datetime.datetime) -> ClientIdentity:
        """The identity with the dates of the revocation list that covers it; itself, if it has those already."""
        dates = (None, None) if self._revocation is None else self._revocation.dates(identity.issuer, now)
        if dates == (identity.crl_this_update, identity.crl_next_update):
            return identity
        return evolve(identity, crl_this_update=dates[0], crl_next_update=dates[1])

    def look_again(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[ClientIdentity, int]:
        """The identity of a client with the verdict as of now, and the last second in which that holds.

        :param identity: as of the handshake, under these trust stores or their predecessors.
        :param now: the time, UTC.
        :return: the identity itself if nothing has changed, else one with the new error behind its own. Who was not
            verified in the handshake is not verified now.
        """
        identity = self.dated(identity, now)
        verdict = identity.verification
        faults, chain = self._verify(identity, now)
        # Which authority a stranger's chain lacks is no news.
        known = verdict.errors if verdict.verified else UNKNOWN_AUTHORITY.union(verdict.errors)
        if news := [fault for fault in faults if fault.error not in known]:
            error, depth, sentence = news[-1]
            errors = (*verdict.errors, *(fault.error for fault in news))
            failed = evolve(
                verdict,
                verified=False,
                revoked=verdict.revoked or REVOKED in errors,
                first_error=verdict.first_error or errors[0],
                last_error=error,
                depth=depth,
                reason=sentence or reason(error),
                whose=whose(error, next(iter((identity.leaf, *chain)[depth : depth + 1]), b"")),
                errors=errors,
            )
            identity = evolve(identity, verification=failed, chain_verified=(), issuer_serial="", tags=())
        elif verdict.verified:
            tags = self.tags.get((identity.leaf, *chain)[-1], ())
            if (chain, tags) != (identity.chain_verified, identity.tags):
                serial = issuer_serial((identity.leaf, *chain))
                identity = evolve(identity, chain_verified=chain, issuer_serial=serial, tags=tags)
        return identity, self.until(identity, now)

    def _verify(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[list[_Fault], tuple[bytes, ...]]:
        """All that is wrong with a client, in the order of a handshake, and its issuers, DER."""
        found, chain = self._path(identity, now)
        known = UNVERIFIED.isdisjoint(fault.error for fault in found)
        if not found:
            found += self._limits(identity, chain)
        elif known:
            # OpenSSL ends at its first error outside of a handshake, and what is revoked counts whatever else is wrong.
            chain = self._issuers(identity)
        date = EXPIRED if now > identity.not_after else NOT_YET_VALID if now < identity.not_before else 0
        if date and found and all(fault.error != date for fault in found):
            found.append(_Fault(date, 0))
        if self._revocation is not None and known and chain:
            at = next((at for at, fault in enumerate(found) if fault.error in LATER), len(found))
            listed = self._revocation.faults((identity.leaf, *chain), now, sent=identity.chain_sent)
            found[at:at] = [_Fault(error, depth) for error, depth in listed]
        if self.admission is not None:
            good = identity.verification.verified and not found
            ask = self.admission
            objection = ask.objection((identity.leaf, *chain), now) if good else ask.unverified(identity.leaf)
            found += [] if objection is None else [_Fault(objection.error, 0, objection.reason)]
        return found, chain

    def _limits(self, identity: ClientIdentity, chain: Sequence[bytes]) -> Iterator[_Fault]:
        """What a handshake has against a chain that OpenSSL finds good outside of one."""
        if len(chain) - 1 > self.verify_depth:
            yield _Fault(CHAIN_TOO_LONG, len(chain))
        for depth, der in enumerate(chain, 1):
            # The handshake has checked the strength of its own chain.
            if der not in identity.chain_verified and (error := _weakness(der, is_last=depth == len(chain))):
                yield _Fault(error, depth)

    def _issuers(self, identity: ClientIdentity) -> tuple[bytes, ...]:
        """The way from a client that is not verified to an authority, DER, by names alone; empty if there is none.

        It is for the lists: signatures are not looked at, for nobody is trusted by it.
        """
        partial = any(store.section.partial_chains for store in self.trust_stores)
        way = list[bytes]()
        with suppress(ValueError, StopIteration):  # a certificate that cannot be read; no issuer
            last, others = facts(identity.leaf), [*self.tags, *identity.chain_sent]
            while not way or not (last.is_self_issued or (partial and way[-1] in self.tags)):
                way.append(next(each for each in others if each not in way and facts(each).subject == last.issuer))
                last = facts(way[-1])
        return tuple(way) if way and way[-1] in self.tags else ()

    def _path(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[list[_Fault], tuple[bytes, ...]]:
        """OpenSSL's first error, or none and the issuers it found, DER."""
        presented = (identity.leaf, *identity.chain_sent)
        leaf, *sent = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in presented)
        try:
            found = crypto.X509StoreContext(self._store(now), leaf, sent).get_verified_chain()
        except crypto.X509StoreContextError as error:
            return [_Fault(*error.errors[:2])], ()
        return [], tuple(map(der_of, found[1:]))

    def _store(self, now: datetime.datetime) -> crypto.X509Store:
        """A new store of OpenSSL's: to set the time of one a second time is of no effect, and no error."""
        store = crypto.X509Store()
        for authority in self._authorities:
            store.add_cert(authority)
        allow_partial_chains(store, self.trust_stores)
        # pyOpenSSL has no public word for it, and without it a certificate that is meant for servers only would do.
        if lib.X509_STORE_set_purpose(store._store, lib.X509_PURPOSE_SSL_CLIENT) != 1:
            raise RuntimeError("OpenSSL does not know the purpose of a TLS client")
        store.set_time(now)
        return store


def _weakness(authority: bytes, *, is_last: bool) -> int:
    """OpenSSL's error for a key or signature below its security level 2; outside of handshakes OpenSSL's is 0."""
    description = describe(authority)
    if not has_strong_key(description):
        return AUTHORITY_KEY_TOO_WEAK
    # The authority is trusted for its key; its signature does not count.
    return 0 if is_last or has_strong_signature(description) else SIGNATURE_TOO_WEAK
