"""A client that expired or was revoked after its handshake does not live on in a kept connection."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any, Self

import pytest
from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from edgenode.model.exchange import ClientIdentity, Verification
from edgenode.tls.names import distinguished_name
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import judge
from tests.support.certificates import CLIENT, DAY, SERVER, Issued, make, make_authority, new_key, now
from tests.support.handshakes import server_group, shake, trusted

GROUP = server_group()
SECOND = datetime.timedelta(seconds=1)


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
    return shake(GROUP, chain, trusted(root)).identity()


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


def test_who_was_revoked_stays_so_whatever_comes_on_top(root: Issued) -> None:
    """A second error does not replace the first, nor undo that the client is revoked."""
    leaf = root.issue()
    trust = Trust((trusted(root, crls=[root.crl([leaf])]),))
    revoked, _ = trust.look_again(identity(root, leaf), now())
    verdict = trust.look_again(revoked, now() + 400 * DAY)[0].verification
    assert set(verdict.errors) >= {23, 10}
    assert (verdict.revoked, verdict.first_error) == (True, 23)


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
    """A stranger of ``optional-no-ca`` is not verified by looking again, and out of date like anybody."""
    root, group = make_authority(), evolve(GROUP, mtls="optional-no-ca")
    stranger = identity(root, make_authority("Unknown").issue())
    stores = [trusted(root, crls=[root.crl(next_update=now() + DAY)])]
    for days, errors in ((0, (20, 21)), (2, (20, 21)), (400, (20, 21, 10))):
        verdict = look_again(stranger, stores, now() + days * DAY)
        assert not verdict.verified
        assert verdict.errors == errors
        assert judge(group, verdict) is None


@pytest.mark.parametrize(
    ("seconds", "errors"), [(-1, (20, 21, 9)), (0, (20, 21)), (7200, (20, 21)), (7201, (20, 21, 10))]
)
def test_a_stranger_is_in_date_from_its_first_to_its_last_second(seconds: int, errors: tuple[int, ...]) -> None:
    """Of ``optional-no-ca``; the first error stays the one of the handshake."""
    begin = now() - 3600 * SECOND
    leaf = make_authority("Unknown").issue(not_before=begin, not_after=begin + 7200 * SECOND)
    root = make_authority()
    verdict = look_again(identity(root, leaf), [trusted(root)], begin + seconds * SECOND)
    assert (verdict.errors, verdict.first_error, verdict.last_error) == (errors, 20, errors[-1])


def test_a_stranger_gets_no_tags_from_a_store_that_knows_it_since(root: Issued) -> None:
    """Who was not verified in the handshake stays so, even if it is an authority of its own by now."""
    itself = make("itself")
    stranger = identity(root, itself)
    judged, _ = Trust((trusted(itself, tags=["partner"]),)).look_again(stranger, now())
    assert (judged.verification.verified, judged.tags, judged.chain_verified) == (False, (), ())
    assert judged.verification.errors == stranger.verification.errors


def test_a_stranger_has_the_faults_that_a_new_one_would_have(root: Issued) -> None:
    """The revocation by an authority known since, a usage asked for."""
    group, other = evolve(GROUP, mtls="optional-no-ca"), make_authority("Other")
    itself, stranger, unfit = make("itself"), other.issue("stranger"), other.issue("unfit", eku=None)
    listed, known = trusted(root, crls=[root.crl()]), trusted(root, other, crls=[root.crl(), other.crl([stranger])])
    asking = evolve(group, required_eku=("clientAuth",))
    for leaf, terms, stores, error in (
        (itself, group, [trusted(root)], 0),
        (itself, group, [listed], 0),
        (stranger, asking, [listed], 0),
        (stranger, group, [known], 23),
        (unfit, group, [known], 0),
        (unfit, asking, [trusted(root)], 26),
    ):
        client = identity(root, leaf)
        judged, _ = Trust.of(terms, stores).look_again(client, now())
        assert not judged.verification.verified
        assert judged.verification.errors == client.verification.errors + ((error,) if error else ())
        assert judge(terms, judged.verification) is None


def test_a_certificate_sent_in_vain_does_not_count(root: Issued) -> None:
    """An expired certificate that the client sent but its chain does not need changes nothing."""
    old = make_authority("Old", not_before=now() - 9 * DAY, not_after=now() - DAY)
    good = identity(root, root.issue(), old)
    assert good.chain_sent == (old.der,)
    assert look_again(good, [trusted(root)], now()).verified


@pytest.mark.parametrize(("depth", "intermediates", "error"), [(0, 0, 0), (0, 1, 22), (1, 1, 0), (1, 2, 22), (2, 2, 0)])
def test_the_verify_depth_of_now_counts_on_an_open_connection(depth: int, intermediates: int, error: int) -> None:
    """A reload that lowers ``verify-depth`` refuses who has more intermediates, as a handshake of now would."""
    root = issuer = make_authority("Root")
    above: list[Issued] = []
    for number in range(intermediates):
        issuer = make_authority(f"inner {number}", issuer=issuer)
        above.insert(0, issuer)
    good = shake(server_group(verify_depth=9), [issuer.issue(), *above], trusted(root)).identity()
    judged, _ = Trust.of(server_group(verify_depth=depth), [trusted(root)]).look_again(good, now())
    assert (judged.verification.verified, judged.verification.last_error) == (error == 0, error)


@pytest.mark.parametrize("fault", ["expired", "early", "for servers only", "beyond the constraints", "deep"])
@pytest.mark.parametrize("who", ["leaf", "issuer"])
def test_what_is_revoked_is_revoked_whatever_else_is_wrong(root: Issued, fault: str, who: str) -> None:
    """In a handshake, on a connection that was open before, and in ``explain``, which has the certificate alone."""
    constraints = [x509.NameConstraints([x509.DNSName("a.test")], None)]
    issuer = make_authority("issuer", issuer=root, extensions=constraints)
    leaf = {
        "expired": lambda: issuer.issue(not_before=now() - 10 * DAY, not_after=now() - DAY),
        "early": lambda: issuer.issue(not_before=now() + DAY),
        "for servers only": lambda: issuer.issue(eku=[SERVER]),
        "beyond the constraints": lambda: issuer.issue(sans=["DNS:b.test"]),
        "deep": issuer.issue,
    }[fault]()
    group = evolve(GROUP, mtls="optional-no-ca", verify_depth=0 if fault == "deep" else 1)
    of_root, of_issuer = ([], [leaf]) if who == "leaf" else ([issuer], [])
    store = trusted(root, crls=[root.crl(of_root), issuer.crl(of_issuer)])
    before = shake(group, (leaf, issuer), trusted(root)).identity()
    assert (before.verification.verified, before.verification.revoked) == (False, False)
    trust, pair = Trust.of(group, [store]), shake(group, (leaf, issuer), store)
    new = trust.identify(pair.server, pair.record, now())
    assert new is not None
    open_before = trust.look_again(before, now())[0].verification
    explained = trust.look_again(evolve(before, verification=Verification(True, True)), now())[0].verification
    for verdict in (new.verification, open_before, explained):
        assert (verdict.verified, verdict.revoked) == (False, True)
        assert judge(group, verdict) is None
        assert fault == "deep" or set(verdict.errors) == set(new.verification.errors)


# -- trust stores that are replaced ------------------------------------------------------------------------------------


def renewed(issued: Issued, issuer: Issued | None = None, **options: Any) -> Issued:
    """Another certificate of an authority with the same name and key."""
    subject = distinguished_name(issued.certificate.subject)
    return make(subject, issuer=issuer, authority=True, key=issued.key, **options)


def signed_with(digest: hashes.HashAlgorithm, last: int, issued: Issued) -> Issued:
    """The same certificate with another kind of RSA signature; ``last`` is the last byte of its OID."""
    key = (issued.issuer or issued).key
    assert isinstance(key, rsa.RSAPrivateKey)
    sha256 = bytes.fromhex("06092A864886F70D01010B")
    wanted = sha256[:-1] + bytes([last])
    before = issued.certificate.tbs_certificate_bytes
    after = before.replace(sha256, wanted)
    signature = key.sign(after, padding.PKCS1v15(), digest)
    der = issued.der.replace(before, after).replace(sha256, wanted)[: -len(signature)] + signature
    return Issued(x509.load_der_x509_certificate(der), issued.key, issued.issuer)


@frozen
class Kinship:
    """Authorities, and a client that sends nothing but its leaf."""

    root: Issued
    inner: Issued
    leaf: Issued
    rsa: Issued
    weak: Issued

    @classmethod
    def make(cls) -> Self:
        """All of them, new."""
        root = make_authority("Root", not_after=now() + 100 * DAY)
        inner = make_authority("inner", issuer=root)
        strong, weak = make_authority("RSA", key=new_key("rsa")), make_authority("Weak", key=new_key("rsa1024"))
        return cls(root, inner, inner.issue(), strong, weak)

    def shaken(self, *authorities: Issued) -> ClientIdentity:
        """The client as of a handshake under these authorities."""
        return shake(GROUP, [self.leaf], trusted(*authorities)).identity()


@pytest.fixture(scope="module")
def kinship() -> Kinship:
    """The certificates."""
    return Kinship.make()


@pytest.mark.parametrize(("successors", "error"), [
    (lambda k: [k.root, k.inner], 0),
    (lambda k: [renewed(k.root), k.inner], 0),
    (lambda k: [k.root, renewed(k.inner, k.root)], 0),
    (lambda k: [k.rsa, renewed(k.inner, k.rsa)], 0),
    (lambda k: [k.rsa, renewed(k.inner, k.rsa, extensions=[x509.ExtendedKeyUsage([CLIENT, SERVER])])], 0),
    (lambda k: [k.root], 20),
    (lambda k: [k.inner], 2),
    (lambda k: [make_authority("Other")], 20),
    (lambda k: [make_authority("Root"), k.inner], 7),
    (lambda k: [k.root, make_authority("inner", issuer=k.root)], 7),
    (lambda k: [k.rsa, renewed(k.inner, k.rsa, extensions=[x509.ExtendedKeyUsage([SERVER])])], 26),
    (lambda k: [k.rsa, renewed(k.inner, k.rsa, not_before=now() - 2 * DAY, not_after=now() - DAY)], 10),
    (lambda k: [k.weak, renewed(k.inner, k.weak)], 67),
    (lambda k: [k.rsa, signed_with(hashes.SHA1(), 5, renewed(k.inner, k.rsa))], 68),
    (lambda k: [k.rsa, signed_with(hashes.MD5(), 4, renewed(k.inner, k.rsa))], 68),
    (lambda k: [k.rsa, signed_with(hashes.SHA224(), 14, renewed(k.inner, k.rsa))], 0),
    (lambda k: [signed_with(hashes.SHA1(), 5, k.rsa), renewed(k.inner, k.rsa)], 0),
], ids=[
    "as-before", "root-renewed", "issuer-renewed", "issuer-crossed", "for-clients", "issuer-removed", "root-removed",
    "another", "root-rekeyed", "issuer-rekeyed", "for-servers-only", "issuer-expired", "weak-key", "sha1", "md5",
    "sha224", "sha1-root",
])  # fmt: skip
def test_a_replaced_trust_store_judges_as_a_new_handshake(
    kinship: Kinship, successors: Callable[[Kinship], Sequence[Issued]], error: int
) -> None:
    """Whoever would be refused in a handshake of now is refused on an open connection, and the other way round."""
    before = kinship.shaken(kinship.root, kinship.inner)
    assert before.verification.verified
    authorities = successors(kinship)
    after, until = Trust((trusted(*authorities),)).look_again(before, now())
    handshake = kinship.shaken(*authorities)
    assert (after.verification.verified, after.verification.last_error) == (error == 0, error)
    assert handshake.verification.verified is after.verification.verified
    assert error in (*handshake.verification.errors, 0)
    assert after.chain_verified == handshake.chain_verified
    if error == 0:
        ends = [each.certificate.not_valid_after_utc for each in (kinship.leaf, *authorities)]
        assert until == min(ends).timestamp()
        assert after.chain_verified == tuple(each.der for each in reversed(authorities))


def test_a_certificate_for_servers_only_is_no_client_s(root: Issued) -> None:
    """The purpose counts when a client is looked at again, though OpenSSL asks for none outside of a handshake."""
    good = identity(root, root.issue())
    other = evolve(good, leaf=root.issue(eku=[SERVER]).der)
    assert look_again(other, [trusted(root)], now()).last_error == 26


def test_what_the_handshake_let_pass_is_not_asked_for_its_strength(kinship: Kinship) -> None:
    """The security level is that of the handshake: its own path stays good."""
    inner = renewed(kinship.inner, kinship.weak)
    before = kinship.shaken(kinship.root, kinship.inner)
    stores = (trusted(kinship.weak, inner),)
    assert Trust(stores).look_again(before, now())[0].verification.last_error == 67
    known = evolve(before, chain_verified=(inner.der, kinship.weak.der))
    assert Trust(stores).look_again(known, now())[0].verification.verified


# -- until when a verdict holds ----------------------------------------------------------------------------------------


def test_a_verdict_holds_until_something_ends(root: Issued, inner: Issued) -> None:
    """That is the end of a certificate of the chain, or of a list, or the second before a list begins."""
    soon, later = now() + DAY, now() + 2 * DAY
    leaf = inner.issue(not_after=now() + 50 * DAY)
    good = identity(root, leaf, inner)

    def until(*crls: x509.CertificateRevocationList) -> float:
        trust = Trust((trusted(root, crls=crls),))
        judged, end = trust.look_again(good, now())
        assert judged.verification.verified
        assert trust.until(judged, now()) == end
        return end

    assert until() == leaf.certificate.not_valid_after_utc.timestamp()
    assert until(root.crl(next_update=later), inner.crl(next_update=soon)) == soon.timestamp()
    next_one = inner.crl([leaf], last_update=soon, next_update=later)
    assert until(root.crl(next_update=later), inner.crl(next_update=later), next_one) == soon.timestamp() - 1


@pytest.mark.parametrize("days", [-1, 9])
def test_the_verdict_on_a_faulty_client_holds_until_a_list_may_revoke_it(root: Issued, days: int) -> None:
    """Whether it has expired or will: not every request looks again, and the one after a new list has begun does."""
    soon, leaf = now() + 5 * DAY, root.issue(not_before=now() - 9 * DAY, not_after=now() + days * DAY, eku=[SERVER])
    lists = [root.crl(next_update=now() + 20 * DAY), root.crl([leaf], last_update=soon, next_update=now() + 20 * DAY)]
    trust = Trust((trusted(root, crls=lists),))
    judged, until = trust.look_again(identity(root, leaf), now())
    assert (judged.verification.verified, judged.verification.revoked) == (False, False)
    assert until == trust.until(identity(root, leaf), now()) == soon.timestamp() - 1
    assert trust.look_again(judged, soon)[0].verification.revoked


def test_a_list_that_has_ended_does_not_end_every_verdict(root: Issued) -> None:
    """An old list of somebody else does not make every request verify its client again."""
    other = make_authority("Other")
    stores = (trusted(root, other, crls=[root.crl(), other.crl(last_update=now() - 9 * DAY, next_update=now() - DAY)]),)
    judged, until = Trust(stores).look_again(identity(root, root.issue()), now())
    assert judged.verification.verified
    assert until > now().timestamp()


@pytest.mark.parametrize("stale", ["accept", "refuse"])
def test_a_list_is_good_in_its_last_second(root: Issued, stale: str) -> None:
    """The verdict holds in the second of ``nextUpdate``; in the next one ``crl-stale`` decides."""
    end = now() + DAY
    trust = Trust((trusted(root, crls=[root.crl(next_update=end)], stale=stale),))
    good = identity(root, root.issue())
    judged, until = trust.look_again(good, end)
    assert judged.verification.verified
    assert until == end.timestamp()
    judged, until = trust.look_again(good, end + SECOND)
    assert judged.verification.verified is (stale == "accept")
    assert until > end.timestamp() + 1


def test_a_clock_that_goes_back_is_believed(root: Issued) -> None:
    """Verdicts know only the time they are asked about: before its first second a certificate is not valid yet."""
    good, trust = identity(root, root.issue()), Trust((trusted(root),))
    assert trust.look_again(good, now() + 400 * DAY)[0].verification.last_error == 10
    assert trust.look_again(good, now())[0] is good
    assert trust.look_again(good, now() - 2 * DAY)[0].verification.last_error == 9
    assert trust.look_again(good, now())[0] is good


def dates(identity: ClientIdentity) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """The dates of the list that covers a client."""
    return identity.crl_this_update, identity.crl_next_update


def test_the_dates_of_the_list_that_covers_a_client_are_known(root: Issued, inner: Issued) -> None:
    """They are those of its direct issuer's list; without a list there are none, and it stays the very identity."""
    good = identity(root, inner.issue(), inner)
    own = inner.crl(last_update=now() - 3 * DAY, next_update=now() + 4 * DAY)
    trust = Trust((trusted(root, crls=[root.crl(), own]),))
    dated = trust.dated(good, now())
    assert dates(dated) == (own.last_update_utc, own.next_update_utc)
    assert trust.dated(dated, now()) is dated
    assert Trust((trusted(root),)).dated(good, now()) is good
    assert dates(Trust((trusted(root, crls=[root.crl()]),)).dated(good, now())) == (None, None)


def test_of_several_lists_the_latest_that_has_begun_counts(root: Issued) -> None:
    """A list of the future does not cover anybody yet, and a delta list is no complete one."""
    lists = [root.crl(last_update=now() + days * DAY, next_update=now() + 30 * DAY) for days in (-3, -2, 1)]
    delta = root.crl(last_update=now() - DAY, critical=[x509.DeltaCRLIndicator(1)])
    trust = Trust((trusted(root, crls=[*lists, delta]),))
    assert dates(trust.dated(identity(root, root.issue()), now()))[0] == lists[1].last_update_utc
    assert dates(trust.dated(identity(root, root.issue()), now() + 2 * DAY))[0] == lists[2].last_update_utc


def test_looking_again_finds_the_dates_of_a_newer_list(root: Issued) -> None:
    """After a reload the dates are the new list's; of one that it revokes as well."""
    leaf, other = root.issue(), root.issue()
    older, newer = root.crl(last_update=now() - 3 * DAY), root.crl([other], last_update=now() - 2 * DAY)
    for who in (identity(root, leaf), identity(root, other)):
        judged, _ = Trust((trusted(root, crls=[older]),)).look_again(who, now())
        assert dates(judged)[0] == older.last_update_utc
        judged, _ = Trust((trusted(root, crls=[newer]),)).look_again(judged, now())
        assert dates(judged)[0] == newer.last_update_utc


def test_who_is_not_verified_any_more_has_no_issuer_s_serial(root: Issued, inner: Issued) -> None:
    """The serial number of the issuer goes with the chain that was verified."""
    good = identity(root, inner.issue(), inner)
    assert int(good.issuer_serial, 16) == inner.certificate.serial_number
    judged, _ = Trust((trusted(root),)).look_again(good, now() + 400 * DAY)
    assert (judged.chain_verified, judged.issuer_serial) == ((), "")
