"""Who may sign a revocation list: an issuer of the chain, or one for whom its authority vouches; nobody else."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Sequence

import pytest
from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from edgenode.model.exchange import Verification
from edgenode.model.settings import File, Seconds
from edgenode.tls.revocation import Revocation
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore, TrustStore, load
from tests.support.certificates import DAY, Issued, entry, make, make_authority, new_key, now, write_pem
from tests.support.handshakes import listed, server_group, shake, trusted

GROUP = server_group()


def signing(
    subject: str, issuer: Issued | None, *, signs: bool = True, days: int = 9, ca: bool | None = None
) -> Issued:
    """A certificate that signs lists, if it may, and nothing else; without basicConstraints unless ``ca`` is given."""
    key, name = new_key(), x509.Name.from_rfc4514_string(f"CN={subject}")
    usage = dict.fromkeys((
        "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
        "encipher_only", "decipher_only",
    ), False)  # fmt: skip
    builder = x509.CertificateBuilder().subject_name(name).serial_number(x509.random_serial_number())
    builder = builder.issuer_name(issuer.certificate.subject if issuer else name).public_key(key.public_key())
    builder = builder.not_valid_before(now() - 9 * DAY).not_valid_after(now() + days * DAY)
    builder = builder.add_extension(x509.KeyUsage(digital_signature=True, crl_sign=signs, **usage), critical=True)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    return Issued(builder.sign((issuer.key if issuer else key), hashes.SHA256()), key, issuer)


@frozen
class Scene:
    """A root, an intermediate and its client."""

    root: Issued
    inner: Issued
    leaf: Issued

    def store(self, *signers: Issued, crls: Sequence[x509.CertificateRevocationList]) -> LoadedTrustStore:
        """A trust store of the root, signers of lists, and lists."""
        found = tuple(each.certificate for each in signers)
        return evolve(trusted(self.root), signers=found, crls=tuple(map(listed, crls)))

    def verdicts(
        self, *signers: Issued, crls: Sequence[x509.CertificateRevocationList], sent: Sequence[Issued] = ()
    ) -> set[bool]:
        """Whether the client is let in: over HTTP after its handshake, and when it is looked at again."""
        store = self.store(*signers, crls=crls)
        pair = shake(GROUP, [self.leaf, self.inner, *sent], store)
        trust = Trust.of(GROUP, [store])
        identity = trust.identify(pair.server, pair.record, now())
        assert identity is not None
        fresh = evolve(identity, verification=Verification(presented=True, verified=True))
        return {identity.verification.verified, trust.look_again(fresh, now())[0].verification.verified}


@pytest.fixture(scope="module")
def scene() -> Scene:
    """It."""
    root = make_authority("Root")
    inner = make_authority("Inner", issuer=root)
    return Scene(root, inner, inner.issue())


def list_of(signer: Issued, revoked: Sequence[Issued] = ()) -> x509.CertificateRevocationList:
    """A list of the intermediate, signed by someone of its name."""
    return signer.crl(revoked)


def test_a_list_signed_with_another_key_of_the_authority_counts(scene: Scene) -> None:
    """The certificate of that key is among the authorities, or comes with the client."""
    signer = signing("Inner", scene.root)
    for revoked, let_in in (((), {True}), ((scene.leaf,), {False})):
        crls = [scene.root.crl(), list_of(signer, revoked)]
        assert scene.verdicts(signer, crls=crls) == let_in
        assert scene.verdicts(crls=crls, sent=[signer]) == let_in
        assert scene.verdicts(crls=crls) == {False}


@pytest.mark.parametrize("where", ["among the authorities", "sent"])
@pytest.mark.parametrize(
    "flaw", ["revoked", "expired", "another authority's", "another name", "no right", "issued by a client", "its own"]
)
def test_a_list_of_nobody_whom_the_authority_vouches_for_does_not(scene: Scene, flaw: str, where: str) -> None:
    """A signer that is revoked, expired, unable, of another authority, or that a client has issued for itself."""
    signer = {
        "revoked": lambda: signing("Inner", scene.root),
        "expired": lambda: signing("Inner", scene.root, days=-1),
        "another authority's": lambda: signing("Inner", make_authority("Root")),
        "another name": lambda: signing("Outer", scene.root),
        "no right": lambda: signing("Inner", scene.root, signs=False),
        "issued by a client": lambda: signing("Inner", scene.leaf),
        "its own": lambda: signing("Inner", None, ca=True),
    }[flaw]()
    crls = [scene.root.crl([signer] if flaw == "revoked" else []), list_of(signer)]
    signers, sent = ([signer], []) if where == "among the authorities" else ([], [signer])
    assert scene.verdicts(*signers, crls=crls, sent=sent) == {False}


def test_what_another_key_s_list_revokes_is_revoked(scene: Scene) -> None:
    """Each list counts: the issuer's own does not say that what a second key has revoked is good, however new it is."""
    signer = signing("Inner", scene.root)
    older = signer.crl([scene.leaf], last_update=now() - 5 * DAY)
    for crls in ([scene.root.crl(), scene.inner.crl(), older], [scene.root.crl(), older, scene.inner.crl()]):
        assert scene.verdicts(signer, crls=crls) == {False}


def test_an_indirect_or_a_delta_list_of_nobody_revokes_nobody(scene: Scene) -> None:
    """What is looked for in every list needs the signature of one whom the trust store, or the chain, knows, too."""
    stranger, indirect = (
        make_authority("Other"),
        x509.IssuingDistributionPoint(None, None, False, False, None, True, False),
    )
    wide = stranger.crl([entry(scene.leaf, issuer=scene.inner)], critical=[indirect])
    delta = scene.inner.crl([scene.leaf], critical=[x509.DeltaCRLIndicator(1)], key=stranger.key)
    crls = [scene.root.crl(), scene.inner.crl(), wide, delta]
    assert scene.verdicts(crls=crls) == {True}
    assert scene.verdicts(crls=crls, sent=[stranger]) == {True}


def test_no_chain_ends_in_a_signer_of_lists(scene: Scene) -> None:
    """OpenSSL is not given it."""
    itself = signing("itself", None)
    pair = shake(GROUP, [itself], scene.store(itself, crls=[scene.root.crl()]))
    assert not pair.verification.verified
    issued = make("client", issuer=itself)
    assert not shake(GROUP, [issued, itself], scene.store(itself, crls=[scene.root.crl()])).verification.verified


# -- trust stores ------------------------------------------------------------------------------------------------------


def loaded(
    folder: pathlib.Path, authorities: Sequence[Issued], crls: Sequence[x509.CertificateRevocationList]
) -> tuple[LoadedTrustStore | None, list[tuple[str, bool]]]:
    """A trust store of files, and the sentences without their paths, each with whether it is a warning."""
    section = TrustStore(
        authorities=(File(write_pem(folder / "ca.pem", authorities)),), crl=(File(write_pem(folder / "crl.pem", crls)),)
    )
    store, problems = load("store", section)
    return store, [(each.sentence.rpartition(".pem: ")[2], each.warning) for each in problems]


def test_a_signer_of_lists_stands_among_the_authorities(scene: Scene, tmp_path: pathlib.Path) -> None:
    """It is no authority; alone it makes no trust store."""
    signer = signing("Inner", scene.root)
    crls = [scene.root.crl(), list_of(signer)]
    store, problems = loaded(tmp_path, [scene.root, scene.inner, signer], crls)
    assert problems == []
    assert store is not None
    assert store.authorities == (scene.root.certificate, scene.inner.certificate)
    assert store.signers == (signer.certificate,)
    store, problems = loaded(tmp_path, [signer], [list_of(signer)])
    assert store is None
    sentence = "there is no authority, but only certificates that sign revocation lists: CN=Inner; an authority has "
    assert [(each.startswith(sentence), warning) for each, warning in problems] == [(True, False)]
    section = TrustStore(authorities=(File(write_pem(tmp_path / "ca.pem", [scene.root, signer])),))
    (problem,) = load("store", section)[1]
    assert (problem.warning, problem.sentence.partition(" but ")[0]) == (True, "CN=Inner is no authority")


def test_a_root_alone_with_the_lists_of_its_intermediates(scene: Scene, tmp_path: pathlib.Path) -> None:
    """Those count for clients that send them; until then they have nobody's signature, which is said."""
    store, problems = loaded(tmp_path, [scene.root], [scene.root.crl(), scene.inner.crl([scene.leaf])])
    assert problems == [(
        "the revocation list of CN=Inner is not issued by any of the authorities; it counts only for clients that send "
        "its issuer's certificate", True,
    )]  # fmt: skip
    assert store is not None
    assert shake(GROUP, [scene.leaf, scene.inner], store).verification.errors == (23,)
    assert shake(GROUP, [scene.inner.issue(), scene.inner], store).verification.verified
    forged = scene.inner.crl(key=scene.root.key)
    store, _ = loaded(tmp_path, [scene.root], [scene.root.crl(), forged])
    assert store is not None
    assert shake(GROUP, [scene.leaf, scene.inner], store).verification.errors == (8,)


STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


@pytest.mark.parametrize("flaw", ["forged", "strange"])
def test_a_list_that_cannot_be_used_is_left_aside_for_one_that_can(
    scene: Scene, tmp_path: pathlib.Path, flaw: str
) -> None:
    """That is a warning, and it says nothing; alone it is an error."""
    root = scene.root
    key = make_authority("Root").key if flaw == "forged" else None
    unusable = root.crl([scene.inner], key=key, critical=[] if key else [STRANGE], last_update=now() - DAY / 2)
    store, problems = loaded(tmp_path, [root, scene.inner], [unusable, root.crl(), scene.inner.crl()])
    assert [
        (words.endswith("; it is left aside, for another one is there"), warning) for words, warning in problems
    ] == [(True, True)]
    assert store is not None
    assert shake(GROUP, [scene.leaf, scene.inner], store).verification.verified
    store, problems = loaded(tmp_path, [root, scene.inner], [unusable, scene.inner.crl()])
    assert store is None
    assert [warning for _, warning in problems] == [False]
    # Even if one got into a trust store, it would say nothing.
    store = scene.store(crls=[unusable, scene.inner.crl()])
    assert shake(GROUP, [scene.leaf, scene.inner], store).verification.errors in ((8,), (36,))


# -- the greatest age --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "end", "seconds", "error"), [
    (7, 30, 0, 0), (7, 30, 1, 12), (7, None, 0, 0), (7, None, 1, 12), (7, 3, -3 * 86400, 12), (0, None, 10**8, 0),
])  # fmt: skip
def test_a_list_has_a_greatest_age(scene: Scene, days: int, end: int | None, seconds: int, error: int) -> None:
    """``crl-max-age`` ends a list to the second, whether or not it says an end itself; 0 ends none."""
    begin = now() - DAY
    builder = x509.CertificateRevocationListBuilder().issuer_name(scene.root.certificate.subject).last_update(begin)
    builder = builder.next_update(begin + (end or 9000) * DAY)
    store = trusted(scene.root, crls=[builder.sign(scene.root.key, hashes.SHA256())])
    store = evolve(store, section=evolve(store.section, crl_max_age=Seconds(days * 86400.0)))
    revocation = Revocation.of([store])
    assert revocation is not None
    when = begin + 7 * DAY + datetime.timedelta(seconds=seconds)
    assert list(revocation.faults((scene.inner.der, scene.root.der), when)) == ([(error, 0)] if error else [])
    if days and end != 3:
        assert revocation.changes == (int(begin.timestamp()) - 1, int((begin + days * DAY).timestamp()))
        assert revocation.dates("CN=Root", when) == (begin, begin + days * DAY)


def test_the_least_of_the_greatest_ages_counts(scene: Scene) -> None:
    """Of two trust stores with lists of one authority; and ``crl-stale = accept`` goes on with them, revoked or not."""
    crl = scene.root.crl([entry(scene.leaf)], last_update=now() - 5 * DAY)
    stores = [trusted(scene.root, crls=[crl], stale="accept") for _ in range(2)]
    aged = [evolve(each, section=evolve(each.section, crl_max_age=Seconds(days * 86400.0)))
            for each, days in zip(stores, (9, 2), strict=True)]  # fmt: skip
    chain = (scene.inner.der, scene.root.der)
    accepting, refusing = (
        Revocation.of(aged),
        Revocation.of([evolve(each, section=evolve(each.section, crl_stale="refuse")) for each in aged]),
    )
    assert accepting is not None
    assert refusing is not None
    assert list(accepting.faults(chain, now())) == []
    assert list(refusing.faults(chain, now())) == [(12, 0)]
