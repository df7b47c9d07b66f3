"""What a server group believes: its trust stores joined into one, as OpenSSL sees them, and the verdict as of now.

The law: nothing stale is trusted. A client that expired, was revoked or lost its authority after its handshake does not
live on in a kept connection. A verdict says until when it holds, so that a request costs one comparison; past that, or
once the trust stores have changed, the client's chain is verified again, in full.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import cached_property

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

from edgenode.exchange import ClientIdentity
from edgenode.tls.identity import describe
from edgenode.tls.reasons import reason
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import REVOKED

NOT_YET_VALID = 9
EXPIRED = 10
CHAIN_TOO_LONG = 22

FOREVER = 2**62


def crl_flags(trust_stores: Sequence[LoadedTrustStore]) -> int:
    """How the revocation lists of trust stores are used, ``X509StoreFlags``; 0 without any list."""
    stores = [store for store in trust_stores if store.crls]
    if not stores:
        return 0
    # CRL_CHECK_ALL alone checks nothing; of several stores the strictest wins, for OpenSSL sees only one.
    everything = crypto.X509StoreFlags.CRL_CHECK_ALL if any(store.crl_check == "chain" for store in stores) else 0
    return int(crypto.X509StoreFlags.CRL_CHECK | everything)


def believe(store: crypto.X509Store, trust_stores: Sequence[LoadedTrustStore]) -> None:
    """Put authorities, revocation lists and flags into a store of OpenSSL's."""
    for trust_store in trust_stores:
        for authority in trust_store.authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
        for crl in trust_store.crls:
            store.add_crl(crl)
    flags = crl_flags(trust_stores)
    if flags:
        store.set_flags(flags)


@frozen(eq=False, slots=False)
class Trust:
    """The trust stores of a server group; the same object as long as nothing in them has changed.

    :ivar trust_stores: whom it believes.
    :ivar verify_depth: the most intermediates.
    """

    trust_stores: tuple[LoadedTrustStore, ...] = ()
    verify_depth: int = field(default=1, kw_only=True)

    @cached_property
    def _store(self) -> crypto.X509Store:
        store = crypto.X509Store()
        believe(store, self.trust_stores)
        return store

    def until(self, identity: ClientIdentity) -> int:
        """The last second, since the epoch, in which the verdict on an identity holds if nothing is reloaded.

        A verdict that is bad stays bad.
        """
        chain = (identity.leaf, *identity.chain_verified) if identity.verification.verified else (identity.leaf,)
        ends = [describe(der).not_after for der in chain]
        if identity.verification.verified:
            ends += [store.next_update for store in self.trust_stores if store.next_update is not None]
        return int(min(ends).timestamp())

    def look_again(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[ClientIdentity, int]:
        """The identity of a client with the verdict as of now, and the last second in which that holds.

        :param identity: as of the handshake, under these trust stores or their predecessors.
        :param now: the time, UTC.
        :return: the identity itself if nothing has changed, else one with the new error behind its own. What was not
            verified in the handshake is not verified now.
        """
        verdict = identity.verification
        if verdict.verified:
            error, depth, chain = self._verify(identity, now)
        else:
            # No list speaks of a certificate whose authority is unknown; its dates speak for themselves.
            (error, depth), chain = (_date_error(identity.leaf, now), 0), identity.chain_verified
        if error:
            failed = evolve(
                verdict,
                verified=False,
                revoked=verdict.revoked or error == REVOKED,
                first_error=verdict.first_error or error,
                last_error=error,
                depth=depth,
                reason=reason(error),
                errors=(*verdict.errors, error),
            )
            return evolve(identity, verification=failed, chain_verified=()), FOREVER
        if chain != identity.chain_verified:
            identity = evolve(identity, chain_verified=chain)
        return identity, self.until(identity)

    def _verify(self, identity: ClientIdentity, now: datetime.datetime) -> tuple[int, int, tuple[bytes, ...]]:
        """What OpenSSL finds wrong with a chain, 0 for nothing; at what depth; and the issuers it found."""
        leaf, *sent = (
            crypto.X509.from_cryptography(x509.load_der_x509_certificate(der))
            for der in (identity.leaf, *identity.chain_sent)
        )
        self._store.set_time(now)
        try:
            found = crypto.X509StoreContext(self._store, leaf, sent).get_verified_chain()
        except crypto.X509StoreContextError as error:
            return error.errors[0], error.errors[1], ()
        chain = tuple(each.to_cryptography().public_bytes(Encoding.DER) for each in found[1:])
        if len(chain) - 1 > self.verify_depth:
            return CHAIN_TOO_LONG, len(chain), ()
        return 0, 0, chain


def _date_error(der: bytes, now: datetime.datetime) -> int:
    certificate = describe(der)
    if now > certificate.not_after:
        return EXPIRED
    return NOT_YET_VALID if now < certificate.not_before else 0
