"""Only an intermediate is trusted: a chain ends in it, and whatever stands above it is nobody's business here."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509

from edgenode.model.exchange import Verification
from edgenode.model.settings import File
from edgenode.tls import truststores
from edgenode.tls.paths import path_warnings
from edgenode.tls.policies import check_group, client_context
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore, TrustStore
from edgenode.tls.verification import judge
from tests.support.certificates import DAY, SERVER, Issued, key_identifier, make_authority, now, write_pem
from tests.support.handshakes import Pair, server, server_certificate, server_group, shake, trusted

ROOT = make_authority("Root")
INNER = make_authority("inner", issuer=ROOT, extensions=[key_identifier(ROOT)])
LOWER = make_authority("lower", issuer=INNER, extensions=[key_identifier(INNER)])
CLIENT = INNER.issue("client", extensions=[key_identifier(INNER)])
BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def partial(*authorities: Issued, **options: Any) -> LoadedTrustStore:
    """A trust store in any of whose authorities a chain may end."""
    store = trusted(*authorities, **options)
    return evolve(store, section=evolve(store.section, partial_chains=True))


def test_what_cannot_be_examined_is_a_warning() -> None:
    """An authority that OpenSSL has read, and whose issuer stricter readers cannot: nothing else is held up by it."""
    name = b"\x0c\x04Root"
    assert INNER.der.count(name) == 1
    odd = x509.load_der_x509_certificate(INNER.der.replace(name, b"\x30" + name[1:]))
    store = partial(INNER, LOWER)
    (warning,) = path_warnings([evolve(store, authorities=(odd, *store.authorities[1:]))])
    assert warning.warning
    assert warning.sentence.startswith("CN=inner: nobody can say whether a chain through it can be verified: ")
    assert "ParseError" not in warning.sentence


@BOTH
@pytest.mark.parametrize("verification", ["openssl", "strict"])
@pytest.mark.parametrize("sent", [[CLIENT], [CLIENT, INNER], [CLIENT, INNER, ROOT]])
def test_a_chain_ends_in_the_intermediate(sent: list[Issued], verification: str, version: str) -> None:
    """Whatever the client sends: the path, its tags and its depth are those up to the one that is trusted."""
    stores = [partial(INNER, verification=verification, tags=["partner"])]
    for refusal in ("400", "handshake"):
        group = server_group("on", verify_depth=0, mtls_refusal=refusal)
        pair = shake(group, sent, *stores, version=version)
        assert pair.done, pair.record.reason
        client = Trust.of(group, stores).identify(pair.server, pair.record, now())
        assert client is not None
        assert client.verification.verified, client.verification.reason
        assert (client.chain_verified, client.tags) == ((INNER.der,), ("partner",))
        assert Trust.of(group, stores).look_again(client, now())[0] is client


def test_without_the_key_it_ends_in_a_root() -> None:
    """As in nginx; and a client who was let in is refused once a reload has taken the key away."""
    pair = shake(server_group("on"), [CLIENT, INNER], trusted(INNER))
    assert not pair.verification.verified
    inside = shake(server_group("on"), [CLIENT, INNER], partial(INNER)).identity()
    again, _ = Trust.of(server_group("on"), [trusted(INNER)]).look_again(inside, now())
    assert judge(server_group("on"), again.verification) is not None


@pytest.mark.parametrize("stranger", [
    ROOT.issue("client"), make_authority("inner").issue("client"),
    make_authority("inner", issuer=make_authority("Root")).issue("client"),
], ids=["of its root", "of a namesake", "of a namesake's"])  # fmt: skip
def test_nobody_else_is_let_in(stranger: Issued) -> None:
    """Neither other clients of its root, nor those of others who bear its name."""
    chain = [stranger, *stranger.intermediates]
    verdict = shake(server_group("on", verify_depth=3), chain, partial(INNER)).verification
    assert judge(server_group("on"), verdict) is not None
    if stranger.issuer is not None and stranger.issuer.issuer is not None:
        assert not shake(server_group("on"), [*chain, stranger.issuer.issuer], partial(INNER)).verification.verified


def test_the_client_s_own_certificate_is_no_anchor() -> None:
    """An authority that comes as a client has still to be issued by another that is trusted, or meant for clients."""
    verdict = shake(server_group("on"), [INNER], partial(INNER)).verification
    assert not verdict.verified


def test_an_anchor_that_is_past_its_date_verifies_nobody() -> None:
    """It is not looked at from above, but itself it is."""
    old = make_authority("old", issuer=ROOT, not_before=now() - 9 * DAY, not_after=now() - DAY)
    verdict = shake(server_group("on"), [old.issue("client"), old], partial(old)).verification
    assert (verdict.last_error, verdict.depth) == (10, 1)


def test_what_stands_below_it_is_counted_and_verified() -> None:
    """An intermediate below the anchor counts for ``verify-depth``, and needs a good signature."""
    chain = [LOWER.issue("client"), LOWER]
    assert shake(server_group("on", verify_depth=1), chain, partial(INNER)).verification.verified
    assert not shake(server_group("on", verify_depth=0), chain, partial(INNER)).verification.verified
    forged = make_authority("lower", issuer=make_authority("inner"), extensions=[key_identifier(INNER)])
    assert not shake(server_group("on"), [forged.issue("client"), forged], partial(INNER)).verification.verified


def test_an_origin_s_intermediate_can_be_trusted_too() -> None:
    """The trust store of an origin has the same key."""
    origin = server(INNER.issue("origin", eku=[SERVER], sans=["DNS:origin.test"]))
    assert Pair.of(origin, client_context(trust_store=partial(INNER))).client_error is None
    assert Pair.of(origin, client_context(trust_store=trusted(INNER))).client_error is not None


def test_one_group_has_one_rule() -> None:
    """Another store with an intermediate must say the same; one of roots alone need not: it changes nothing there."""
    group = server_group("on")
    other = make_authority("Other")
    mixed = check_group("g", group, [server_certificate()], [partial(INNER), trusted(ROOT, LOWER)])
    assert [problem.key for problem in mixed if not problem.warning] == ["trust-store"]
    assert "partial-chains" in mixed[0].sentence
    assert check_group("g", group, [server_certificate()], [partial(INNER), trusted(other)]) == ()
    both = [partial(INNER, tags=["a"]), trusted(other, tags=["b"])]
    assert shake(group, [CLIENT], *both).identity(Trust.of(group, both).tags).tags == ("a",)
    assert shake(group, [other.issue()], *both).identity(Trust.of(group, both).tags).tags == ("b",)


def loaded(folder: pathlib.Path, *authorities: Issued, **options: Any) -> tuple[LoadedTrustStore | None, list[str]]:
    """A trust store from files, and what loading it says."""
    path = write_pem(folder / "ca.pem", authorities)
    store, problems = truststores.load("s", TrustStore(authorities=(File(path),), **options))
    return store, [problem.sentence for problem in problems]


def test_loading_says_nothing_of_what_does_not_matter(tmp_path: pathlib.Path) -> None:
    """The issuer of an intermediate is missed without the key alone, and so is the list of whoever issued it."""
    store, sentences = loaded(tmp_path, INNER)
    assert store is not None
    assert sentences == []
    assert ["is not among the authorities" in each.sentence for each in path_warnings([store])] == [True]
    assert list(path_warnings([partial(INNER)])) == []
    assert loaded(tmp_path, INNER, partial_chains=True)[1] == []
    crl = write_pem(tmp_path / "crl.pem", [INNER.crl()])
    assert loaded(tmp_path, INNER, crl=(crl,), partial_chains=True)[1] == []
    (sentence,) = loaded(tmp_path, INNER, LOWER, crl=(crl,), partial_chains=True)[1]
    assert sentence.startswith("CN=lower has no revocation list")


WHOSE = [
    ("its issuer's", [CLIENT, INNER], [ROOT.crl()], "CN=inner", 3),
    ("its issuer's issuer's", [CLIENT, INNER], [INNER.crl()], "CN=Root", 3),
    ("an old one", [CLIENT, INNER], [INNER.crl(next_update=now() - datetime.timedelta(hours=1)), ROOT.crl()],
        "CN=inner", 12),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("what", "sent", "crls", "whose", "error"), WHOSE, ids=[each[0] for each in WHOSE])
def test_an_error_about_a_list_says_whose(
    what: str, sent: list[Issued], crls: list[x509.CertificateRevocationList], whose: str, error: int, version: str
) -> None:
    """To people; nginx's word for it, which origins get, stays OpenSSL's."""
    group, store = server_group("on"), trusted(ROOT, INNER, crls=crls)
    verdict = shake(group, sent, store, version=version).verification
    assert (verdict.last_error, verdict.whose) == (error, whose)
    refusal = judge(group, verdict)
    assert refusal is not None
    assert refusal.reason == f"client certificate: {verdict.reason}: the list of {whose}"
    assert str(verdict) == f"FAILED:{verdict.reason}"
    inside = shake(group, sent, trusted(ROOT, INNER), version=version).identity()
    again = Trust.of(group, [store]).look_again(inside, now())[0].verification
    assert (again.last_error, again.whose) == (error, whose)


def test_whose_list_it_is_breaks_no_line() -> None:
    """The name is a stranger's own, at most: printable, and bounded."""
    issuer = make_authority("CN=x\u2028\u0085,OU=" + "y" * 60 + ",O=" + "z" * 60)
    verdict = shake(server_group("on"), [issuer.issue()], trusted(issuer, ROOT, crls=[ROOT.crl()])).verification
    assert verdict.last_error == 3
    assert verdict.whose == "CN=x,OU=" + "y" * 60 + ",O=" + "z" * 29
    assert Verification(reason="r", whose="CN=a").sentence == "r: the list of CN=a"
    assert Verification(reason="r").sentence == "r"


LISTED = [
    ("the anchor's own list", [CLIENT, INNER], [INNER.crl()], 0, ""),
    ("no list of the anchor", [LOWER.issue("client"), LOWER], [LOWER.crl()], 3, "CN=inner"),
    ("no list of what stands below", [LOWER.issue("client"), LOWER], [INNER.crl()], 3, "CN=lower"),
    ("all lists below", [LOWER.issue("client"), LOWER], [INNER.crl(), LOWER.crl()], 0, ""),
    ("a revoked client", [CLIENT, INNER], [INNER.crl([CLIENT])], 23, ""),
    ("a revoked intermediate", [LOWER.issue("client"), LOWER], [INNER.crl([LOWER]), LOWER.crl()], 23, ""),
]


@BOTH
@pytest.mark.parametrize(("what", "sent", "crls", "error", "whose"), LISTED, ids=[each[0] for each in LISTED])
def test_lists_are_needed_up_to_the_anchor(
    what: str, sent: list[Issued], crls: list[x509.CertificateRevocationList], error: int, whose: str, version: str
) -> None:
    """The list of its issuer is not, for nobody asks whether it is revoked itself."""

    group, store = server_group("on", verify_depth=1), partial(INNER, crls=crls)
    verdict = shake(group, sent, store, version=version).verification
    assert (verdict.last_error, verdict.whose) == (error, whose)
    inside = shake(group, sent, partial(INNER), version=version).identity()
    again = Trust.of(group, [store]).look_again(inside, now())[0].verification
    assert (again.last_error, again.whose) == (error, whose)


@BOTH
def test_a_list_may_be_signed_by_another_key_of_the_anchor(version: str) -> None:
    """Its path ends in the same intermediate."""
    names = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "encipher_only", "decipher_only"), False)  # fmt: skip
    usage = x509.KeyUsage(crl_sign=True, **names)
    signer = INNER.issue("inner", eku=None, extensions=[usage, key_identifier(INNER)])
    for revoked, error in (((), 0), ((CLIENT,), 23)):
        store = evolve(partial(INNER, crls=[INNER.crl(revoked, key=signer.key)]), signers=(signer.certificate,))
        verdict = shake(server_group("on"), [CLIENT, INNER], store, version=version).verification
        assert verdict.last_error == error
