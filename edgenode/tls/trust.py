"""The trust of a server group: its trust stores as OpenSSL sees them, and the verdict on a client as of now.

The law: nothing stale is trusted. A client that expired, was revoked or lost its authority after its handshake is
refused on a connection that was kept open. A verdict says until when it holds, so that a request costs one comparison;
past that, or once the trust stores have changed, the client's chain is verified again, in full.
"""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Self

from attrs import evolve, field, frozen
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL._util import lib

from edgenode.model.exchange import ClientIdentity
from edgenode.tls.admission import Admission
from edgenode.tls.bounds import LARGEST_CHAIN
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
    NOT_YET_VALID,
    REVOKED,
    SELF_SIGNED_LEAF,
    SIGNATURE_TOO_WEAK,
    UNKNOWN_AUTHORITY,
    reason,
)

FOREVER = 2**62


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
        return identity if identity is None or self._revocation is None else self.dated(identity, now)

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

        :param identity: as this trust has verified it.
        :param now: when that was, UTC.
        """
        ends = [identity.not_after, *(describe(der).not_after for der in identity.chain_verified)]
        end = int(min(ends).timestamp())
        if self._revocation is None or not identity.verification.verified:
            return end
        changes = self._revocation.changes
        following = bisect_left(changes, int(now.timestamp()))
        return min((end, *changes[following : following + 1]))

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
        if verdict.verified:
            error, depth, chain = self._verify(identity, now)
            why = reason(error)
            if not error and self.admission is not None:
                objection = self.admission.objection((identity.leaf, *chain), now)
                if objection is not None:
                    error, why = objection.error, objection.reason
        else:
            error, depth, why = self._doubt(identity, now)
            chain = identity.chain_verified
        if error in verdict.errors:
            return identity, FOREVER  # nothing that was not known in the handshake
        if error:
            failed = evolve(
                verdict,
                verified=False,
                revoked=verdict.revoked or error == REVOKED,
                first_error=verdict.first_error or error,
                last_error=error,
                depth=depth,
                reason=why,
                whose=whose(error, next(iter((identity.leaf, *identity.chain_verified)[depth : depth + 1]), b"")),
                errors=(*verdict.errors, error),
            )
            return evolve(identity, verification=failed, chain_verified=(), issuer_serial="", tags=()), FOREVER
        tags = self.tags.get((identity.leaf, *chain)[-1], ()) if verdict.verified else ()
        if (chain, tags) != (identity.chain_verified, identity.tags):
            serial = issuer_serial((identity.leaf, *chain)) if verdict.verified else ""
            identity = evolve(identity, chain_verified=chain, issuer_serial=serial, tags=tags)
        return identity, self.until(identity, now)

    def _doubt(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[int, int, str]:
        """What is wrong with a client that was not verified, its authority left aside: error, depth and reason."""
        error = EXPIRED if now > identity.not_after else NOT_YET_VALID if now < identity.not_before else 0
        if error:
            return error, 0, reason(error)
        objection = self.admission.unverified(identity.leaf) if self.admission is not None else None
        if objection is not None:
            return objection.error, 0, objection.reason
        # Trust stores that were replaced may hold its authority by now, and a list that revokes it.
        error, depth, _ = self._verify(identity, now)
        if error == SELF_SIGNED_LEAF and self._revocation is not None:
            error, depth = next(self._revocation.faults((identity.leaf,), now, verified=False))
        return (0, 0, "") if error in UNKNOWN_AUTHORITY else (error, depth, reason(error))

    def _verify(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[int, int, tuple[bytes, ...]]:
        """What a handshake would find wrong with a chain: error, 0 for none; depth; and its issuers, DER."""
        error, depth, chain = self._path(identity, now)
        if error:
            return error, depth, ()
        if len(chain) - 1 > self.verify_depth:
            return CHAIN_TOO_LONG, len(chain), ()
        for depth, der in enumerate(chain, 1):
            # The handshake has checked the strength of its own chain.
            if der not in identity.chain_verified:
                error = _weakness(der, is_last=depth == len(chain))
                if error:
                    return error, depth, ()
        if self._revocation is not None:
            path = (identity.leaf, *chain)
            error, depth = next(self._revocation.faults(path, now, sent=identity.chain_sent), (0, 0))
        return error, depth, () if error else chain

    def _path(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[int, int, tuple[bytes, ...]]:
        """OpenSSL's first error and its depth, or the issuers it found, DER."""
        presented = (identity.leaf, *identity.chain_sent)
        leaf, *sent = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in presented)
        try:
            found = crypto.X509StoreContext(self._store(now), leaf, sent).get_verified_chain()
        except crypto.X509StoreContextError as error:
            return error.errors[0], error.errors[1], ()
        return 0, 0, tuple(map(der_of, found[1:]))

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
