"""Nothing enters a trust store but authorities and revocation lists that they signed."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding

from edgenode.model.settings import File
from edgenode.tls.crl import RevocationList
from edgenode.tls.truststores import LoadedTrustStore, TrustStore, load
from tests.support.certificates import DAY, Issued, entry, make, make_authority, now, write_pem

Part = x509.Certificate | x509.CertificateRevocationList | Issued
Write = Callable[..., TrustStore]

INDIRECT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)


@pytest.fixture(scope="module")
def root() -> Issued:
    """An authority."""
    return make_authority("Root")


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Write:
    """Writes ``ca.pem`` and ``crl.pem`` and returns the section."""

    def write(authorities: Sequence[Part], crls: Sequence[Part] = (), **options: Any) -> TrustStore:
        crl = (File(write_pem(tmp_path / "crl.pem", crls)),) if crls else ()
        return TrustStore(authorities=(File(write_pem(tmp_path / "ca.pem", authorities)),), crl=crl, **options)

    return write


def good(store: TrustStore) -> LoadedTrustStore:
    """The trust store, which must be without a problem."""
    loaded, problems = load("store", store)
    assert problems == ()
    assert loaded is not None
    return loaded


def error(store: TrustStore) -> tuple[str, str]:
    """The key and sentence of the one error; the store must not be loaded."""
    loaded, problems = load("store", store)
    assert loaded is None
    (problem,) = (problem for problem in problems if not problem.warning)
    assert problem.section == "trust-store store"
    return problem.key, problem.sentence


def warnings(store: TrustStore) -> list[str]:
    """The sentences of the warnings of a store that can be used."""
    loaded, problems = load("store", store)
    assert loaded is not None
    assert all(problem.warning for problem in problems)
    return [problem.sentence for problem in problems]


def revokes(crl: RevocationList, leaf: Issued) -> bool | None:
    """What a list says of a certificate."""
    return crl.revoked.find(crl.issuer_key, leaf.certificate.serial_number)


def test_several_authorities_a_file_and_several_files(root: Issued, tmp_path: pathlib.Path) -> None:
    """All authorities of all files are believed, each once."""
    others = [make_authority(f"CA {number}") for number in range(3)]
    one = File(write_pem(tmp_path / "one.pem", [root, others[0]]))
    two = File(write_pem(tmp_path / "two.pem", [others[1], others[2], root]))
    loaded = good(TrustStore(authorities=(one, two)))
    assert loaded.authorities == tuple(issued.certificate for issued in (root, *others))


def test_what_the_section_says_is_loaded(write: Write, root: Issued) -> None:
    """Every key of the section arrives in the trust store, and the defaults are nginx's."""
    options = {"crl_check": "leaf", "crl_stale": "accept", "advertise": False, "verification": "strict"}
    loaded = good(write([root], [root.crl()], **options, tags=("partner",)))
    assert {key: getattr(loaded.section, key) for key in options} == options
    assert loaded.section.tags == ("partner",)
    assert (loaded.section.authorities, loaded.section.crl) == ((), ())
    plain = good(write([root], [root.crl()]))
    assert [getattr(plain.section, key) for key in options] == ["chain", "refuse", True, "openssl"]
    assert plain.section.tags == ()


def test_pem_and_der_revocation_lists(root: Issued, tmp_path: pathlib.Path) -> None:
    """Several lists in a PEM file and one in DER are read, and name what they revoke."""
    other, third = make_authority("Other"), make_authority("Third")
    leaves = [authority.issue() for authority in (root, other, third)]
    authorities = File(write_pem(tmp_path / "ca.pem", [root, other, third]))
    pem = File(write_pem(tmp_path / "crl.pem", [root.crl([leaves[0]]), other.crl([leaves[1]])]))
    der = File(tmp_path / "crl.der")
    der.write_bytes(third.crl([leaves[2]]).public_bytes(Encoding.DER))
    loaded = good(TrustStore(authorities=(authorities,), crl=(pem, der)))
    assert [[leaf for leaf in leaves if revokes(crl, leaf)] for crl in loaded.crls] == [[leaf] for leaf in leaves]


@pytest.mark.parametrize(("issued", "words"), [
    (make("leaf"), "CN=leaf is no certificate authority: its basicConstraints say CA:FALSE"),
    (make_authority("weak", key_usage=False), "CN=weak may not sign certificates: its keyUsage lacks keyCertSign"),
])  # fmt: skip
def test_what_is_no_authority_is_an_error(write: Write, issued: Issued, words: str) -> None:
    """A leaf, or a certificate that may not sign others, is no authority, though OpenSSL would take it."""
    store = write([issued])
    assert error(store) == ("authorities", f"{store.authorities[0]}: {words}")


def test_a_certificate_without_basic_constraints_is_no_authority(write: Write, root: Issued) -> None:
    """A version 1 style certificate is not believed as an authority."""
    builder = x509.CertificateBuilder().subject_name(root.certificate.subject).issuer_name(root.certificate.subject)
    builder = builder.public_key(root.key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now() - DAY).not_valid_after(now() + DAY)
    certificate = builder.sign(root.key, hashes.SHA256())
    assert "it has no basicConstraints" in error(write([certificate]))[1]


@pytest.mark.parametrize("end", [b"-----END CERTIFICATE-----", b"-----END X509 CRLS-----"])
def test_a_list_that_ends_as_something_else_is_no_less_a_list(write: Write, root: Issued, end: bytes) -> None:
    """A file of which one list is read and another is not does not pass for one with a single list."""
    store = write([root])
    lists = root.crl().public_bytes(Encoding.PEM)
    path = store.authorities[0].with_name("lists")
    path.write_bytes(lists + lists.replace(b"-----END X509 CRL-----", end))
    loaded, problems = load("store", evolve(store, crl=(File(path),)))
    assert loaded is None
    assert [problem.sentence for problem in problems] == [f"{path}, line 7: a revocation list without an end"]


def test_files_that_cannot_be_used_are_named(root: Issued, tmp_path: pathlib.Path) -> None:
    """Missing, empty and malformed files are errors with their name, all at once."""
    ca, empty = File(write_pem(tmp_path / "ca.pem", [root])), File(tmp_path / "empty")
    empty.write_bytes(b"")
    broken, cut, gone = File(tmp_path / "broken"), File(tmp_path / "cut"), File(tmp_path / "gone")
    broken.write_bytes(b"0junk")
    lists = root.crl().public_bytes(Encoding.PEM) * 2
    cut.write_bytes(lists[: len(lists) // 2 + 15])  # within the line that begins the second
    loaded, problems = load("store", TrustStore(authorities=(ca, empty, gone), crl=(empty, broken, cut, gone)))
    assert loaded is None
    assert [(problem.key, problem.sentence.partition(": ")[0]) for problem in problems] == [
        ("authorities", f"{empty} holds no PEM certificate"),
        ("authorities", f"{gone} cannot be read"),
        ("crl", f"{empty} holds no revocation list"),
        ("crl", f"{broken}"),
        ("crl", f"{cut}, line 7"),
        ("crl", f"{gone} cannot be read"),
    ]


def test_a_foreign_revocation_list_is_an_error(write: Write, root: Issued) -> None:
    """A list of an authority that is not believed would never be looked at: an error."""
    store = write([root], [make_authority("Other").crl()])
    assert error(store) == (
        "crl",
        f"{store.crl[0]}: the revocation list of CN=Other is not issued by any of the authorities",
    )


def test_whose_a_list_is_is_not_asked_if_an_authority_cannot_be_read(root: Issued, tmp_path: pathlib.Path) -> None:
    """What is wrong is said, and nothing that follows from it: the list may be that authority's."""
    authorities, lists = File(tmp_path / "ca.pem"), File(tmp_path / "ca.crl")
    authorities.write_bytes(root.pem + b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    write_pem(lists, [root.crl()])
    _, problems = load("own", TrustStore(authorities=(authorities,), crl=(lists,)))
    assert [problem.key for problem in problems] == ["authorities"]


def test_a_forged_revocation_list_is_an_error(write: Write, root: Issued) -> None:
    """A list with an authority's name and another's signature is an error, not a way to lift a revocation."""
    store = write([root], [root.crl(key=make_authority("Root").key)])
    assert error(store) == (
        "crl",
        f"{store.crl[0]}: the revocation list of CN=Root is not signed with that authority's key",
    )


def test_a_namesake_with_another_key_does_not_hide_the_signer(write: Write, root: Issued) -> None:
    """While an authority changes its key both are believed, and a list signed by either is accepted."""
    assert good(write([make_authority("Root"), root], [root.crl()])).crls


def test_a_namesake_whose_key_signs_nothing_has_signed_no_list(write: Write, root: Issued) -> None:
    """A list cannot be checked with a key for key agreement, and is not believed for that."""
    subject = root.certificate.subject
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(1)
    builder = builder.public_key(x25519.X25519PrivateKey.generate().public_key())
    builder = builder.not_valid_before(now() - DAY).not_valid_after(now() + DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    store = write([Issued(builder.sign(root.key, hashes.SHA256()), root.key)], [root.crl()])
    assert "is not signed with that authority's key" in error(store)[1]


def test_an_authority_that_may_not_sign_lists(write: Write) -> None:
    """A list by an authority whose keyUsage lacks cRLSign is error 35 for every client: an error now."""
    usage = {name: name == "key_cert_sign" for name in (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )}  # fmt: skip
    issued = make_authority("CA", key_usage=None, extensions=[x509.KeyUsage(**usage)])
    assert "may not sign revocation lists" in error(write([issued], [issued.crl()]))[1]


def test_an_authority_without_key_usage_may_sign_lists(write: Write) -> None:
    """The extension restricts; without it the key may sign anything (RFC 5280, section 4.2.1.3)."""
    issued = make_authority("CA", key_usage=None)
    assert good(write([issued], [issued.crl()])).crls


def test_an_authority_of_clients_needs_a_list_even_for_leaves(write: Write, root: Issued) -> None:
    """With ``crl-check = leaf`` one without a list is a warning, unless it is the root of another one here."""
    other = make_authority("Other")
    store = write([root, other], [root.crl()], crl_check="leaf")
    assert warnings(store) == ["CN=Other has no revocation list; whatever it issued is refused"]


def test_stale_and_early_revocation_lists_are_warnings(write: Write, root: Issued) -> None:
    """A list past its date, or before it, refuses every client: that is safe, but worth a warning."""
    stale = root.crl(last_update=now() - 9 * DAY, next_update=now() - DAY)
    assert "is out of date since" in warnings(write([root], [stale]))[0]
    early = root.crl(last_update=now() + DAY, next_update=now() + 2 * DAY)
    assert "is not valid before" in warnings(write([root], [early]))[0]


def test_expired_authorities(write: Write, root: Issued) -> None:
    """An expired authority among others is a warning, and so is it if none is valid: clients are refused, and whatever
    else there is starts."""
    old = make_authority("Old", not_before=now() - 9 * DAY, not_after=now() - DAY)
    (sentence,) = warnings(write([root, old]))
    assert sentence.startswith("CN=Old expired on")
    (sentence, other) = warnings(write([old]))
    assert sentence.startswith("CN=Old expired on")
    assert other == "none of the authorities is valid now"


@pytest.mark.parametrize(("check", "named"), [("chain", ["CN=Root"]), ("leaf", [])])
def test_an_authority_without_a_list_beside_one_with_is_a_warning(
    write: Write, root: Issued, check: str, named: list[str]
) -> None:
    """Once there is a list every authority needs one; with ``leaf`` not those that sign authorities only."""
    inner = make_authority("inner", issuer=root)
    store = write([root, inner], [inner.crl()], crl_check=check)
    assert warnings(store) == [f"{name} has no revocation list; whatever it issued is refused" for name in named]


@pytest.mark.parametrize(("stale", "words"), [
    ("refuse", "whatever that authority issued is refused"),
    ("accept", "who it revokes stays revoked, and nobody knows who has been revoked since"),
])  # fmt: skip
def test_what_follows_from_an_old_list_is_said(write: Write, root: Issued, stale: str, words: str) -> None:
    """The warning says what ``crl-stale`` makes of an old list; of an early one it makes nothing but a refusal."""
    old = root.crl(last_update=now() - 9 * DAY, next_update=now() - DAY)
    early = root.crl(last_update=now() + DAY, next_update=now() + 2 * DAY)
    store = write([root], [old, early], crl_stale=stale)
    first, second = warnings(store)
    assert first.endswith(f"UTC; {words}")
    assert second.endswith("UTC; whatever that authority issued is refused")
    loaded, _ = load("store", store)
    assert loaded is not None
    assert loaded.section.crl_stale == stale


def test_an_older_list_beside_a_current_one_is_no_reason_to_warn(
    write: Write, root: Issued, tmp_path: pathlib.Path
) -> None:
    """Nor is the next one, that is not valid yet, whatever their files and order; each authority counts for itself."""
    old = root.crl(last_update=now() - 9 * DAY, next_update=now() - DAY)
    early = root.crl(last_update=now() + DAY, next_update=now() + 2 * DAY)
    assert warnings(write([root], [old, root.crl(), early])) == []
    store = write([root], [old, early])
    assert len(warnings(store)) == 2
    both = evolve(store, crl=(*store.crl, File(write_pem(tmp_path / "current.pem", [root.crl()]))))
    assert warnings(both) == []
    other = make_authority("Other")
    late = other.crl(last_update=now() - 9 * DAY, next_update=now() - DAY)
    (sentence,) = warnings(write([root, other], [old, late, root.crl()]))
    assert f"{store.crl[0]}: the revocation list of CN=Other is out of date since" in sentence
    assert sentence.endswith("; whatever that authority issued is refused")


def test_delta_and_indirect_lists_are_let_in(write: Write, root: Issued) -> None:
    """What OpenSSL can use is no fault: a delta list beside its complete one, and an indirect list."""
    leaf = root.issue()
    complete = root.crl(critical=[INDIRECT], extensions=[x509.CRLNumber(1)])
    delta = root.crl([leaf], critical=[x509.DeltaCRLIndicator(1), INDIRECT], extensions=[x509.CRLNumber(2)])
    loaded = good(write([root], [complete, delta]))
    assert [crl.head.fingerprint(hashes.SHA256()) for crl in loaded.crls][:1] == [complete.fingerprint(hashes.SHA256())]
    assert [crl.base for crl in loaded.crls] == [None, 1]
    assert [revokes(crl, leaf) for crl in loaded.crls] == [None, True]


def test_delta_and_indirect_lists_of_strangers_are_errors(write: Write, root: Issued) -> None:
    """They need the signature of an authority as any other."""
    stranger = make_authority("Other")
    for extension, revoked in ((INDIRECT, [entry(root.issue(), issuer=root)]), (x509.DeltaCRLIndicator(1), [])):
        crl = stranger.crl(revoked, critical=[extension])
        assert "is not issued by any of the authorities" in error(write([root], [crl]))[1]
        forged = root.crl(critical=[extension], key=stranger.key)
        assert "is not signed with that authority's key" in error(write([root], [forged]))[1]


def test_a_delta_list_without_a_complete_one_is_a_warning(write: Write, root: Issued) -> None:
    """It says only what has changed; OpenSSL refuses everybody."""
    delta = root.crl(critical=[x509.DeltaCRLIndicator(1)], extensions=[x509.CRLNumber(2)])
    assert warnings(write([root], [delta])) == [
        "CN=Root has a delta list, and no complete one; whatever it issued is refused"
    ]


STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def test_a_list_that_nobody_understands_is_an_error(write: Write, root: Issued) -> None:
    """A critical extension that OpenSSL does not know, of a list or of any entry (RFC 5280, section 5.2)."""
    leaf = root.issue()
    for crl in (
        root.crl(critical=[STRANGE]),
        root.crl([root.issue(), entry(leaf, extensions=[STRANGE], critical=True)]),
    ):
        sentence = error(write([root], [crl]))[1]
        assert sentence.endswith("has a critical extension that is not understood: 1.3.6.1.4.1.99999.1")
    good(write([root], [root.crl([entry(leaf, extensions=[STRANGE])], extensions=[STRANGE])]))
    good(write([root], [root.crl([entry(leaf, extensions=[STRANGE])], critical=[INDIRECT])]))


def test_a_list_with_a_malformed_extension_is_an_error(write: Write, root: Issued) -> None:
    """OpenSSL leaves such a list aside without a word."""
    broken = x509.UnrecognizedExtension(x509.IssuingDistributionPoint.oid, b"\x04\x01")
    assert (
        "a malformed revocation list: its head is malformed" in error(write([root], [root.crl(critical=[broken])]))[1]
    )


def test_an_entry_for_another_s_certificate_is_an_error_in_a_list_that_is_not_indirect(
    write: Write, root: Issued
) -> None:
    """OpenSSL cannot even read it."""
    crl = root.crl([entry(root.issue(), issuer=make_authority("Other"))])
    assert error(write([root], [crl]))[1].endswith("it names other issuers, but is no indirect list")
