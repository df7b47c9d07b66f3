"""A second look at a client certificate on a connection that stays open.

The law: a client that expired or was revoked after its handshake does not live on in a kept connection. The look costs
a comparison and a set lookup, so every request can afford it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from attrs import evolve

from edgenode.exchange import ClientIdentity, Verification
from edgenode.tls.identity import describe
from edgenode.tls.reasons import reason
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import REVOKED

NOT_YET_VALID = 9
EXPIRED = 10
CRL_EXPIRED = 12


def look_again(
    identity: ClientIdentity, trust_stores: Sequence[LoadedTrustStore], now: datetime.datetime
) -> Verification:
    """The verdict on a client as of now.

    :param identity: the client's identity as of the handshake.
    :param trust_stores: those of its server group as of now, which may have new revocation lists.
    :param now: the time, UTC.
    :return: the verdict of the handshake if nothing has changed, else one with the new error behind its own. What was
        not verified then is not verified now; who issued a certificate is not looked at again.
    """
    verdict = identity.verification
    if not verdict.verified:
        trust_stores = ()  # no list speaks of a certificate whose authority is unknown; its dates speak for themselves
    for depth, der in enumerate((identity.leaf, *identity.chain_verified)):
        error = _error(der, depth, trust_stores, now)
        if error:
            return evolve(
                verdict,
                verified=False,
                revoked=verdict.revoked or error == REVOKED,
                first_error=verdict.first_error or error,
                last_error=error,
                depth=depth,
                reason=reason(error),
                errors=(*verdict.errors, error),
            )
    return verdict


def _error(der: bytes, depth: int, trust_stores: Sequence[LoadedTrustStore], now: datetime.datetime) -> int:
    certificate = describe(der)
    if now > certificate.not_after:
        return EXPIRED
    if now < certificate.not_before:
        return NOT_YET_VALID
    name = (certificate.issuer_der, certificate.serial_number)
    for store in trust_stores:
        if depth and store.crl_check == "leaf":
            continue
        if name in store.revoked:
            return REVOKED
        if store.next_update is not None and now > store.next_update:
            return CRL_EXPIRED
    return 0
