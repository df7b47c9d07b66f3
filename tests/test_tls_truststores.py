"""Nothing enters a trust store but authorities and revocation lists that they signed."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from edgenode.settings import File
from edgenode.tls.truststores import LoadedTrustStore, TrustStore, load
from tests.certificates import DAY, Issued, make, make_authority, now, write_pem

Part = x509.Certificate | x509.CertificateRevocationList | Issued
Write = Callable[..., TrustStore]


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


def test_several_authorities_a_file_and_several_files(root: Issued, tmp_path: pathlib.Path) -> None:
    """All authorities of all files are believed, each once."""
    others = [make_authority(f"CA {number}") for number in range(3)]
    one = File(write_pem(tmp_path / "one.pem", [root, others[0]]))
    two = File(write_pem(tmp_path / "two.pem", [others[1], others[2], root]))
    loaded = good(TrustStore(authorities=(one, two)))
    assert loaded.authorities == tuple(issued.certificate for issued in (root, *others))


def test_pem_and_der_revocation_lists(root: Issued, tmp_path: pathlib.Path) -> None:
    """Several lists in a PEM file and one in DER are read, and name what they revoke."""
    other, third = make_authority("Other"), make_authority("Third")
    leaves = [authority.issue() for authority in (root, other, third)]
    authorities = File(write_pem(tmp_path / "ca.pem", [root, other, third]))
    pem = File(write_pem(tmp_path / "crl.pem", [root.crl([leaves[0]]), other.crl([leaves[1]])]))
    der = File(tmp_path / "crl.der")
    der.write_bytes(third.crl([leaves[2]]).public_bytes(Encoding.DER))
    loaded = good(TrustStore(authorities=(authorities,), crl=(pem, der)))
    assert loaded.revoked == {
        (leaf.certificate.issuer.public_bytes(), leaf.certificate.serial_number) for leaf in leaves
    }


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


def test_files_that_cannot_be_used_are_named(root: Issued, tmp_path: pathlib.Path) -> None:
    """Missing, empty and malformed files are errors with their name, all at once."""
    ca, empty = File(write_pem(tmp_path / "ca.pem", [root])), File(tmp_path / "empty")
    empty.write_bytes(b"")
    broken, cut, gone = File(tmp_path / "broken"), File(tmp_path / "cut"), File(tmp_path / "gone")
    broken.write_bytes(b"0junk")
    cut.write_bytes(root.crl().public_bytes(Encoding.PEM)[:-20])
    loaded, problems = load("store", TrustStore(authorities=(ca, empty, gone), crl=(empty, broken, cut, gone)))
    assert loaded is None
    assert [(problem.key, problem.sentence.partition(": ")[0]) for problem in problems] == [
        ("authorities", f"{empty} holds no PEM certificate"),
        ("authorities", f"{gone} cannot be read"),
        ("crl", f"{empty} holds no revocation list"),
        ("crl", f"{broken} holds a malformed revocation list"),
        ("crl", f"{cut} holds a revocation list without an end"),
        ("crl", f"{gone} cannot be read"),
    ]


def test_trap_2_2_a_foreign_revocation_list_is_an_error(write: Write, root: Issued) -> None:
    """A list of an authority that is not believed would never be looked at: an error."""
    store = write([root], [make_authority("Other").crl()])
    assert error(store) == (
        "crl",
        f"{store.crl[0]}: the revocation list of CN=Other is not issued by any of the authorities",
    )


def test_trap_2_2_a_forged_revocation_list_is_an_error(write: Write, root: Issued) -> None:
    """A list with an authority's name and another's signature is an error, not a way to lift a revocation."""
    store = write([root], [root.crl(key=make_authority("Root").key)])
    assert error(store) == (
        "crl",
        f"{store.crl[0]}: the revocation list of CN=Root is not signed with that authority's key",
    )


def test_a_namesake_with_another_key_does_not_hide_the_signer(write: Write, root: Issued) -> None:
    """While an authority changes its key both are believed, and a list signed by either is accepted."""
    assert good(write([make_authority("Root"), root], [root.crl()])).crls


def test_an_authority_that_may_not_sign_lists(write: Write) -> None:
    """A list by an authority whose keyUsage lacks cRLSign is error 35 for every client: an error now."""
    usage = {name: name == "key_cert_sign" for name in (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )}  # fmt: skip
    issued = make_authority("CA", key_usage=None, extensions=[x509.KeyUsage(**usage)])
    assert "may not sign revocation lists" in error(write([issued], [issued.crl()]))[1]


def test_stale_and_early_revocation_lists_are_warnings(write: Write, root: Issued) -> None:
    """A list past its date, or before it, refuses every client: that is safe, but worth a warning."""
    stale = root.crl(last_update=now() - 9 * DAY, next_update=now() - DAY)
    assert "is out of date since" in warnings(write([root], [stale]))[0]
    early = root.crl(last_update=now() + DAY, next_update=now() + 2 * DAY)
    assert "is not valid before" in warnings(write([root], [early]))[0]


def test_expired_authorities(write: Write, root: Issued) -> None:
    """An expired authority among others is a warning; if none is valid the trust store is useless, an error."""
    old = make_authority("Old", not_before=now() - 9 * DAY, not_after=now() - DAY)
    (sentence,) = warnings(write([root, old]))
    assert sentence.startswith("CN=Old expired on")
    assert error(write([old])) == ("authorities", "none of the authorities is valid now")


def test_an_intermediate_without_its_root_is_a_warning(write: Write, root: Issued) -> None:
    """A chain must end in a self-signed authority; without one nothing below can be verified."""
    inner = make_authority("inner", issuer=root)
    (sentence,) = warnings(write([inner]))
    assert "the issuer of CN=inner is not among the authorities: CN=Root" in sentence
    assert warnings(write([inner, root])) == []


@pytest.mark.parametrize(("check", "named"), [("chain", ["CN=Root"]), ("leaf", [])])
def test_an_authority_without_a_list_beside_one_with_is_a_warning(
    write: Write, root: Issued, check: str, named: list[str]
) -> None:
    """Once there is a list every authority needs one; with ``leaf`` not those that sign authorities only."""
    inner = make_authority("inner", issuer=root)
    store = write([root, inner], [inner.crl()], crl_check=check)
    assert warnings(store) == [f"{name} has no revocation list; whatever it issued is refused" for name in named]


def test_the_first_list_to_expire_counts(write: Write, root: Issued) -> None:
    """``next_update`` is that of the list that is out of date first."""
    other = make_authority("Other")
    soon = now() + DAY
    assert good(write([root, other], [root.crl(), other.crl(next_update=soon)])).next_update == soon
    assert good(write([root])).next_update is None
