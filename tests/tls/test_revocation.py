"""What a handshake says of a client's revocation is what every later look at it says, and nothing revoked is let in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, frozen
from cryptography import x509
from OpenSSL import crypto

from edgenode.model.exchange import ClientIdentity, Verification
from edgenode.tls.identity import identity_of
from edgenode.tls.policies import client_context
from edgenode.tls.revocation import Revocation
from edgenode.tls.revocation_lists import subject
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import judge
from tests.support.certificates import DAY, SERVER, Issued, entry, key_identifier, make_authority, now
from tests.support.handshakes import Pair, listed, server, server_group, shake, trusted

Lists = Sequence[x509.CertificateRevocationList]

GROUP = server_group()
OLD: Mapping[str, Any] = {"last_update": now() - 9 * DAY, "next_update": now() - DAY}
EARLY: Mapping[str, Any] = {"last_update": now() + DAY, "next_update": now() + 9 * DAY}
YESTERDAY: Mapping[str, Any] = {"last_update": now() - 2 * DAY, "next_update": now() - DAY}
INDIRECT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
HOLD = x509.CRLReason(x509.ReasonFlags.certificate_hold)
RELEASE = x509.CRLReason(x509.ReasonFlags.remove_from_crl)


@frozen
class Scene:
    """A client by way of an intermediate, and their authorities."""

    root: Issued
    inner: Issued
    leaf: Issued
    expired: Issued
    server: Issued

    @classmethod
    def make(cls) -> Scene:
        """All of them, new."""
        root = make_authority("Root")
        inner = make_authority("Inner", issuer=root)
        expired = inner.issue("expired", not_before=now() - 9 * DAY, not_after=now() - DAY)
        return cls(root, inner, inner.issue(), expired, root.issue("server", eku=[SERVER]))

    def store(self, crls: Lists, stale: str = "accept", check: str = "chain") -> LoadedTrustStore:
        """A trust store with these lists."""
        return trusted(self.root, crls=crls, check=check, stale=stale)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """The certificates."""
    return Scene.make()


def shaken(scene: Scene, stores: Sequence[LoadedTrustStore], version: str, leaf: Issued) -> Pair:
    """A handshake with a group of these stores; whatever is wrong is refused over HTTP."""
    return shake(GROUP, (leaf, scene.inner), *stores, version=version)


def before(scene: Scene, leaf: Issued) -> ClientIdentity:
    """The client as of a handshake that found nothing."""
    identity = identity_of(crypto.X509.from_cryptography(leaf.certificate), Verification(presented=True, verified=True))
    return evolve(identity, chain_sent=(scene.inner.der,), chain_verified=(scene.inner.der, scene.root.der))


@frozen
class Case:
    """Trust stores, and what becomes of the client under them.

    :ivar error: the last error; 0 if the client is let in.
    """

    name: str
    stores: Callable[[Scene], Sequence[LoadedTrustStore]]
    error: int
    expired: bool = False

    def __str__(self) -> str:
        return self.name


def _delta(authority: Issued, revoked: Sequence[Issued | x509.RevokedCertificate], number: int = 2) -> Lists:
    """A complete list with the number 1, and a delta list to it."""
    return (
        authority.crl(extensions=[x509.CRLNumber(1)]),
        authority.crl(revoked, critical=[x509.DeltaCRLIndicator(1)], extensions=[x509.CRLNumber(number)]),
    )


CASES = (
    Case("in date", lambda s: [s.store([s.root.crl(), s.inner.crl()])], 0),
    Case("old, refused", lambda s: [s.store([s.root.crl(), s.inner.crl(**OLD)], "refuse")], 12),
    Case("old, of the leaf's issuer", lambda s: [s.store([s.root.crl(), s.inner.crl(**OLD)])], 0),
    Case("old, of the root", lambda s: [s.store([s.root.crl(**OLD), s.inner.crl()])], 0),
    Case("all old", lambda s: [s.store([s.root.crl(**OLD), s.inner.crl(**OLD)])], 0),
    Case("old, leaf alone", lambda s: [s.store([s.inner.crl(**OLD)], check="leaf")], 0),
    Case("old, but revoked in it", lambda s: [s.store([s.root.crl(), s.inner.crl([s.leaf], **OLD)])], 23),
    Case("old, but it revokes the issuer", lambda s: [s.store([s.root.crl([s.inner], **OLD), s.inner.crl()])], 23),
    Case("old, but revoked elsewhere", lambda s: [s.store([s.root.crl(**OLD), s.inner.crl([s.leaf])])], 23),
    Case("old, and one is missing", lambda s: [s.store([s.inner.crl(**OLD)])], 3),
    Case("none for the leaf", lambda s: [s.store([s.root.crl()])], 3),
    Case("none for the leaf, an old one", lambda s: [s.store([s.root.crl(**OLD)])], 3),
    Case("not valid yet", lambda s: [s.store([s.root.crl(), s.inner.crl(**EARLY)])], 11),
    Case("not valid yet, beside an old one", lambda s: [s.store([s.root.crl(**OLD), s.inner.crl(**EARLY)])], 11),
    Case("not valid yet, behind an old one", lambda s: [s.store([s.root.crl(**EARLY), s.inner.crl(**OLD)])], 11),
    Case("old and forged", lambda s: [s.store([s.root.crl(), s.inner.crl(**OLD, key=s.root.key)])], 8),
    Case("old, of an expired client", lambda s: [s.store([s.root.crl(), s.inner.crl(**OLD)])], 10, expired=True),
    Case(
        "old, in a store that refuses it beside one that would not",
        lambda s: [s.store([s.root.crl()]), s.store([s.inner.crl(**OLD)], "refuse")],
        12,
    ),
    Case(
        "old, in a store that accepts it beside one that would not",
        lambda s: [s.store([s.root.crl()], "refuse"), s.store([s.inner.crl(**OLD)])],
        0,
    ),
    Case(
        "old, in two stores that disagree",
        lambda s: [s.store([s.root.crl(), s.inner.crl(**OLD)], each) for each in ("accept", "refuse")],
        12,
    ),
    Case(
        "a new list revokes, an old one did not",
        lambda s: [s.store([s.root.crl(**OLD), s.inner.crl(**OLD), s.inner.crl([s.leaf])])],
        23,
    ),
    Case(
        "a new list has it no more",
        lambda s: [s.store([s.root.crl(**OLD), s.inner.crl([s.leaf], **OLD), s.inner.crl()])],
        0,
    ),
    Case("an old list that is newer takes nothing back", lambda s: [
        s.store([s.root.crl([s.inner], last_update=now() - 9 * DAY), s.root.crl(**YESTERDAY), s.inner.crl(**OLD)])
    ], 23),
    Case("a list of tomorrow takes nothing back", lambda s: [
        s.store([s.root.crl([s.inner]), s.root.crl(**EARLY), s.inner.crl(**OLD)])
    ], 23),
    Case("a delta list", lambda s: [s.store([s.root.crl(), *_delta(s.inner, [])], "refuse")], 0),
    Case("revoked in a delta list", lambda s: [s.store([s.root.crl(), *_delta(s.inner, [s.leaf])], "refuse")], 23),
    Case("released in a delta list", lambda s: [
        s.store([s.root.crl(), *_delta(s.inner, [entry(s.leaf, extensions=[RELEASE])])], "refuse")
    ], 0),
    Case("a delta list as old as the complete one", lambda s: [
        s.store([s.root.crl(), *_delta(s.inner, [s.leaf], 1)], "refuse")
    ], 0),
    Case("the issuer revoked in a delta list", lambda s: [
        s.store([*_delta(s.root, [s.inner]), s.inner.crl()], "refuse")
    ], 23),
    Case("the issuer revoked in a delta list, leaf alone", lambda s: [
        s.store([*_delta(s.root, [s.inner]), s.inner.crl()], "refuse", "leaf")
    ], 0),
    Case("a delta list alone", lambda s: [s.store([s.root.crl(), _delta(s.inner, [])[1]], "refuse")], 3),
    Case("an indirect list of its own", lambda s: [
        s.store([s.root.crl(), s.inner.crl(critical=[INDIRECT])], "refuse")
    ], 0),
    Case("revoked in an indirect list of another", lambda s: [
        s.store([s.root.crl([entry(s.leaf, issuer=s.inner)], critical=[INDIRECT]), s.inner.crl()], "refuse")
    ], 23),
    Case("revoked in an indirect list with a number", lambda s: [s.store([
        s.root.crl([entry(s.leaf, issuer=s.inner)], critical=[INDIRECT], extensions=[x509.CRLNumber(7)]),
        s.inner.crl(),
    ], "refuse")], 23),
    Case("revoked in a delta list without a number", lambda s: [s.store([
        s.root.crl(), s.inner.crl(), s.inner.crl([s.leaf], critical=[x509.DeltaCRLIndicator(1)])
    ], "refuse")], 23),
    Case("revoked in two delta lists, of which one is tomorrow's", lambda s: [s.store([
        s.root.crl(),
        *_delta(s.inner, [s.leaf]),
        s.inner.crl(
            [s.leaf], critical=[x509.DeltaCRLIndicator(1)], extensions=[x509.CRLNumber(3)],
            last_update=now() + DAY, next_update=now() + 9 * DAY,
        ),
    ], "refuse")], 23),
    Case("a delta list in date beside an old complete one", lambda s: [s.store([
        s.root.crl(),
        s.inner.crl(extensions=[x509.CRLNumber(1)], last_update=now() - 9 * DAY, next_update=now() - DAY),
        _delta(s.inner, [])[1],
    ])], 0),
    Case("nothing but an indirect list of another", lambda s: [
        s.store([s.root.crl(critical=[INDIRECT])], "refuse")
    ], 3),
)  # fmt: skip


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_handshake_and_every_later_look_agree(scene: Scene, case: Case, version: str) -> None:
    """Let in or refused by the one is let in or refused by the other, and for the same reason."""
    leaf = scene.expired if case.expired else scene.leaf
    stores = case.stores(scene)
    pair = shaken(scene, stores, version, leaf)
    assert pair.done
    first = pair.verification
    assert (first.verified, first.last_error) == (case.error == 0, case.error)
    assert first.revoked is (case.error == 23)
    assert (judge(GROUP, first) is None) is first.verified
    later = Trust(tuple(stores)).look_again(before(scene, leaf), now())[0].verification
    assert (later.verified, later.last_error, later.revoked) == (case.error == 0, case.error, case.error == 23)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_old_list_is_accepted_or_refused_in_the_handshake(scene: Scene, version: str) -> None:
    """With ``mtls-refusal = handshake`` the same holds, by alerts."""
    group = evolve(GROUP, mtls_refusal="handshake")
    for stale, revoked, alerts in (
        ("accept", [], []),
        ("accept", [scene.leaf], ["certificate_revoked"]),
        ("refuse", [], ["certificate_expired"]),
    ):
        store = scene.store([scene.root.crl(), scene.inner.crl(revoked, **OLD)], stale)
        pair = shake(group, (scene.leaf, scene.inner), store, version=version)
        assert (pair.alerts, pair.verification.verified) == (alerts, not alerts)


@pytest.mark.parametrize("stale", ["accept", "refuse"])
def test_an_old_list_verifies_no_unknown_authority(scene: Scene, stale: str) -> None:
    """That a list past its date is accepted makes nobody verified."""
    stranger = make_authority("Root")
    store = trusted(make_authority("Other"), crls=[stranger.crl(**OLD)], stale=stale)
    pair = shake(GROUP, (stranger.issue(), stranger), store)
    assert set(pair.verification.errors) == {8, 19}, "the stranger has not signed it"
    assert not pair.verification.verified
    refused = shake(evolve(GROUP, mtls_refusal="handshake"), (stranger.issue(), stranger), store)
    assert refused.alerts, "in the handshake, too"


def test_the_issuer_of_an_entry_holds_for_those_after_it(scene: Scene) -> None:
    """In an indirect list an entry that names no issuer has that of the one before (RFC 5280, section 5.3.3)."""
    mine, theirs, after, neither = (scene.root.issue(), *(scene.inner.issue() for _ in range(3)))
    crl = listed(scene.root.crl([mine, entry(theirs, issuer=scene.inner), after], critical=[INDIRECT]))
    said = [
        [
            crl.revoked.find(subject(issuer.certificate), each.certificate.serial_number)
            for issuer in (scene.root, scene.inner)
        ]
        for each in (mine, theirs, after, neither)
    ]
    assert said == [[True, None], [None, True], [None, True], [None, None]]


def test_the_name_of_an_issuer_is_compared_as_rfc_5280_says(scene: Scene) -> None:
    """Neither case nor white space hides a revocation."""
    for own, written in (("Inner", "INNER"), ("An inner one", "an  Inner one"), ("An  inner", "an inner")):
        inner = make_authority(own, issuer=scene.root)
        leaf = inner.issue()
        crl = scene.root.crl([entry(leaf, issuer=make_authority(written))], critical=[INDIRECT])
        store = scene.store([crl, inner.crl()], "refuse")
        assert shake(GROUP, [leaf, inner], store).verification.revoked


def test_a_list_counts_from_its_own_date_on(scene: Scene) -> None:
    """What a delta list of tomorrow revokes is not revoked today."""
    complete = scene.inner.crl(extensions=[x509.CRLNumber(1)])
    delta = scene.inner.crl([scene.leaf], critical=[x509.DeltaCRLIndicator(1)], extensions=[x509.CRLNumber(2)], **EARLY)
    trust = Trust((scene.store([scene.root.crl(), complete, delta], "refuse"),))
    today, until = trust.look_again(before(scene, scene.leaf), now())
    assert today.verification.verified
    assert until == delta.last_update_utc.timestamp() - 1
    assert trust.look_again(before(scene, scene.leaf), now() + 2 * DAY)[0].verification.revoked


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_stores_the_strictest_crl_check_wins(scene: Scene, order: int) -> None:
    """If only one of two stores says ``crl-check = chain``, a revoked intermediate is refused, then and later."""
    other = make_authority("Other")
    stores = [
        scene.store([scene.root.crl([scene.inner]), scene.inner.crl()], "refuse", "leaf"),
        trusted(other, crls=[other.crl()], check="chain"),
    ][::order]
    assert shaken(scene, stores, "1.3", scene.leaf).verification.errors == (23,)
    assert Trust(tuple(stores)).look_again(before(scene, scene.leaf), now())[0].verification.revoked
    lax = [evolve(store, section=evolve(store.section, crl_check="leaf")) for store in stores]
    assert shaken(scene, lax, "1.3", scene.leaf).verification.verified


def test_a_release_counts_only_where_a_delta_list_is_pointed_to(scene: Scene) -> None:
    """What a delta list takes back stays revoked, unless certificate or complete list name it as the freshest one."""
    freshest = x509.FreshestCRL(
        [x509.DistributionPoint([x509.UniformResourceIdentifier("http://x/")], None, None, None)]
    )
    pointing, plain = scene.root.issue("pointing", extensions=[freshest]), scene.root.issue("plain")
    for leaf, extensions, revoked in ((pointing, [], False), (plain, [], True), (plain, [freshest], False)):
        complete = scene.root.crl([entry(leaf, extensions=[HOLD])], extensions=[x509.CRLNumber(1), *extensions])
        delta = scene.root.crl(
            [entry(leaf, extensions=[RELEASE])], critical=[x509.DeltaCRLIndicator(1)], extensions=[x509.CRLNumber(2)]
        )
        store = scene.store([complete, delta], "refuse")
        assert shake(GROUP, [leaf], store).verification.revoked is revoked


def test_the_latest_complete_list_that_has_begun_gives_the_dates(scene: Scene) -> None:
    """Of an issuer's lists neither the first nor the one of the future, nor a delta list, nor another issuer's."""
    lists = [scene.inner.crl(last_update=now() - days * DAY, next_update=now() + days * DAY) for days in (5, 2, 9)]
    delta = scene.inner.crl(last_update=now() - DAY / 2, critical=[x509.DeltaCRLIndicator(1)])
    revocation = Revocation.of([scene.store([*lists, scene.inner.crl(**EARLY), delta, scene.root.crl()])])
    assert revocation is not None
    assert revocation.dates("CN=Inner", now()) == (lists[1].last_update_utc, lists[1].next_update_utc)
    assert revocation.dates("cn=INNER", now()) == revocation.dates("CN=Inner", now())
    assert revocation.dates("CN=Other", now()) == (None, None)


def test_a_group_without_lists_asks_nothing(scene: Scene) -> None:
    """There is nothing to ask then."""
    assert Revocation.of([scene.store([])]) is None
    assert Revocation.of([]) is None


@pytest.mark.parametrize(("stale", "revoked", "done"), [
    ("accept", False, True), ("accept", True, False), ("refuse", False, False),
])  # fmt: skip
def test_an_origin_is_judged_alike(scene: Scene, stale: str, revoked: bool, done: bool) -> None:
    """``crl-stale`` belongs to the trust store, whoever is judged by it."""
    store = trusted(scene.root, crls=[scene.root.crl([scene.server] if revoked else [], **OLD)], stale=stale)
    pair = Pair.of(server(scene.server), client_context(trust_store=store))
    assert pair.done is done


def test_an_origin_revoked_in_a_delta_list_is_refused(scene: Scene) -> None:
    """What OpenSSL does not look at counts for origins, too."""
    store = trusted(scene.root, crls=_delta(scene.root, [scene.server]))
    assert not Pair.of(server(scene.server), client_context(trust_store=store)).done


def test_a_list_is_good_in_the_whole_of_its_last_second(scene: Scene) -> None:
    """A list that is refused when it is old is not old before OpenSSL says so, while another one is."""
    end = now() + DAY
    revocation = Revocation.of([
        scene.store([scene.root.crl(**OLD)]),
        scene.store([scene.inner.crl(next_update=end)], "refuse"),
    ])  # fmt: skip
    assert revocation is not None
    chain = (scene.leaf.der, scene.inner.der, scene.root.der)
    assert list(revocation.faults(chain, end + timedelta(seconds=0.9))) == []
    assert list(revocation.faults(chain, end + timedelta(seconds=1))) == [(12, 0)]


def revoked_by(scene: Scene, *lists: x509.CertificateRevocationList) -> bool:
    """Whether lists revoke the certificate of the intermediate."""
    revocation = Revocation.of([scene.store(lists)])
    assert revocation is not None
    return (23, 0) in revocation.faults((scene.inner.der, scene.root.der), now())


@pytest.mark.parametrize(("own", "other", "superseded"), [
    ("", "", True), ("key", "key", True), ("key", "", False), ("", "key", False), ("", "other key", False),
    ("", "point", False), ("point", "point", True),
])  # fmt: skip
def test_a_newer_complete_list_of_the_same_scope_supersedes_a_delta_list(
    scene: Scene, own: str, other: str, superseded: bool
) -> None:
    """The scope is the issuer, its key and the distribution point (RFC 5280, section 5.2.4); another's does not."""
    said: Mapping[str, list[x509.ExtensionType]] = {
        "": [], "point": [INDIRECT], "key": [key_identifier(scene.root)],
        "other key": [x509.AuthorityKeyIdentifier(b"b", None, None)],
    }  # fmt: skip
    number = [x509.CRLNumber(2), *said[own]]
    delta = scene.root.crl([scene.inner], critical=[x509.DeltaCRLIndicator(1)], extensions=number)
    complete = scene.root.crl(extensions=[x509.CRLNumber(5), *said[other]])
    assert revoked_by(scene, delta, complete) is not superseded
    assert revoked_by(scene, delta)


@pytest.mark.parametrize(("number", "other", "superseded"), [
    (0, 0, True), (0, 1, True), (1, 0, False), (1, 1, True), (None, 1, False), (1, None, False), (None, None, False),
])  # fmt: skip
def test_a_list_is_as_new_as_its_number(scene: Scene, number: int | None, other: int | None, superseded: bool) -> None:
    """Numbers count from 0; of a list without one nobody knows how new it is, so a delta list goes on counting."""
    numbers = [[] if each is None else [x509.CRLNumber(each)] for each in (number, other)]
    delta = scene.root.crl([scene.inner], critical=[x509.DeltaCRLIndicator(1)], extensions=numbers[0])
    complete = scene.root.crl(extensions=numbers[1])
    assert revoked_by(scene, delta, complete) is not superseded
