"""A client that expired or was revoked after its handshake does not live on in a kept connection."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import pytest
from attrs import evolve

from edgenode.exchange import ClientIdentity, Verification
from edgenode.tls.identity import identify
from edgenode.tls.policies import server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import judge
from tests.certificates import DAY, SERVER, Issued, make, make_authority, now
from tests.handshakes import Pair, client, loaded, trusted

GROUP = ServerGroup(certificate=("server",), mtls="on", trust_store=("store",), security_policy="all")


@pytest.fixture(scope="module")
def root() -> Issued:
    """An authority."""
    return make_authority("Root")


@pytest.fixture(scope="module")
def inner(root: Issued) -> Issued:
    """An intermediate."""
    return make_authority("inner", issuer=root, not_after=now() + 100 * DAY)


def identity(root: Issued, *chain: Issued) -> ClientIdentity:
    """A client's identity as of its handshake."""
    server = loaded("server", root.issue("server", eku=[SERVER]))
    pair = Pair.of(server_context(GROUP, [server], [trusted(root)]), client(chain=chain))
    identity = identify(pair.server, pair.verification)
    assert identity is not None
    return identity


def look_again(identity: ClientIdentity, stores: Sequence[LoadedTrustStore], now: datetime.datetime) -> Verification:
    """The verdict on a client as of a time."""
    judged, until = Trust(tuple(stores)).look_again(identity, now)
    assert until >= now.timestamp() - 1
    return judged.verification


def test_nothing_changed_is_the_same_verdict(root: Issued, inner: Issued) -> None:
    """A client that is still good keeps the verdict of its handshake, the very object."""
    good = identity(root, inner.issue(), inner)
    assert good.verification.verified
    assert look_again(good, [trusted(root, crls=[root.crl(), inner.crl()])], now()) is good.verification


@pytest.mark.parametrize(("days", "error", "depth"), [(400, 10, 2), (200, 10, 1), (-2, 9, 2)])
def test_an_expired_client_does_not_live_on(root: Issued, inner: Issued, days: int, error: int, depth: int) -> None:
    """Once anything in its chain is out of date the verdict says so, the root first, as OpenSSL; and it is refused."""
    verdict = look_again(identity(root, inner.issue(), inner), [trusted(root)], now() + days * DAY)
    assert (verdict.verified, verdict.last_error, verdict.depth) == (False, error, depth)
    refusal = judge(GROUP, verdict)
    assert refusal is not None
    assert refusal.status == 495


def test_a_client_revoked_since_does_not_live_on(root: Issued) -> None:
    """With a new revocation list the client is revoked, and the reason is OpenSSL's."""
    leaf = root.issue()
    verdict = look_again(identity(root, leaf), [trusted(root, crls=[root.crl([leaf])])], now())
    assert verdict.revoked
    assert str(verdict) == "FAILED:certificate revoked"
    assert judge(GROUP, verdict) is not None


def test_the_same_serial_of_another_authority_is_not_revoked(root: Issued) -> None:
    """A revocation list speaks of its own authority's certificates only."""
    leaf, other = root.issue(), make_authority("Other")
    good = identity(root, leaf)
    assert look_again(good, [trusted(root, other, crls=[root.crl(), other.crl([leaf])])], now()).verified


@pytest.mark.parametrize(("check", "revoked"), [("chain", True), ("leaf", False)])
def test_a_revoked_issuer_counts_if_the_chain_does(root: Issued, inner: Issued, check: str, revoked: bool) -> None:
    """``crl-check`` means the same here as in the handshake."""
    store = trusted(root, crls=[root.crl([inner]), inner.crl()], check=check)
    assert look_again(identity(root, inner.issue(), inner), [store], now()).revoked is revoked


def test_a_list_out_of_date_refuses_everyone(root: Issued) -> None:
    """When a revocation list expires nobody is known to be unrevoked: error 12, as in a new handshake."""
    store = trusted(root, crls=[root.crl(next_update=now() + DAY)])
    good = identity(root, root.issue())
    assert look_again(good, [store], now()).verified
    assert look_again(good, [store], now() + 2 * DAY).last_error == 12


def test_what_was_not_verified_stays_so() -> None:
    """A stranger of ``optional-no-ca`` is not verified by looking again, and is refused once out of date, as if new."""
    root, group = make_authority(), evolve(GROUP, mtls="optional-no-ca")
    stranger = identity(root, make("stranger"))
    stores = [trusted(root, crls=[root.crl(next_update=now() + DAY)])]
    for days, errors in ((0, (18,)), (2, (18,)), (400, (18, 10))):
        verdict = look_again(stranger, stores, now() + days * DAY)
        assert not verdict.verified
        assert verdict.errors == errors
        assert (judge(group, verdict) is None) is (errors == (18,))


def test_a_certificate_sent_in_vain_does_not_count(root: Issued) -> None:
    """An expired certificate that the client sent but its chain does not need changes nothing."""
    old = make_authority("Old", not_before=now() - 9 * DAY, not_after=now() - DAY)
    good = identity(root, root.issue(), old)
    assert good.chain_sent == (old.der,)
    assert look_again(good, [trusted(root)], now()).verified
