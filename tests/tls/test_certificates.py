"""Our own certificates are checked when they are loaded: every fault is an error that names its file."""

from __future__ import annotations

import base64
import datetime
import os
import pathlib
import shutil
import subprocess
import threading
import timeit
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ObjectIdentifier

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import File, Secret
from edgenode.tls.certificates import Certificate, check_for_origin, load
from tests.support.certificates import (
    CLIENT,
    DAY,
    SERVER,
    Issued,
    make_authority,
    new_key,
    now,
    pem,
    sequence,
    write_pem,
)

Write = Callable[..., Certificate]


@pytest.fixture(scope="module")
def root() -> Issued:
    """A root."""
    return make_authority("Root")


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Write:
    """Writes a certificate's files and returns its section."""

    def write(issued: Issued, *, passphrase: bytes | None = None, **options: Any) -> Certificate:
        chain, key = issued.write(tmp_path, "own", passphrase=passphrase)
        return Certificate(**{"chain": File(chain), "key": File(key), **options})

    return write


def errors(certificate: Certificate, **options: Any) -> list[tuple[str, str]]:
    """The key and sentence of every error in a certificate that must have some; it must not be loaded then."""
    loaded, problems = load("own", certificate, **options)
    assert loaded is None
    assert {problem.section for problem in problems} == {"certificate own"}
    return [(problem.key, problem.sentence) for problem in problems if not problem.warning]


def warnings(certificate: Certificate, **options: Any) -> list[tuple[str, str]]:
    """The same of the warnings of one that can be used."""
    loaded, problems = load("own", certificate, **options)
    assert loaded is not None
    assert all(problem.warning for problem in problems)
    return [(problem.key, problem.sentence) for problem in problems]


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_a_chain_and_its_key_are_loaded(write: Write, root: Issued, kind: str) -> None:
    """Leaf, intermediates in order and key are loaded; the key does not show in the repr."""
    issued = make_authority("inner", issuer=root).issue("own", eku=[SERVER], key=new_key(kind))
    loaded, problems = load("own", write(issued))
    assert problems == ()
    assert loaded is not None
    assert loaded.leaf == issued.certificate
    assert loaded.chain == tuple(issuer.certificate for issuer in issued.intermediates)
    assert loaded.key_type == {"ec": "ECDSA", "rsa": "RSA", "ed25519": "Ed25519"}[kind]
    assert "PrivateKey" not in repr(loaded)


def test_files_that_cannot_be_read_are_named(tmp_path: pathlib.Path) -> None:
    """A missing chain, key and bundle are three errors, each with the file and the system's reason."""
    files = {name: File(tmp_path / name) for name in ("chain", "key", "bundle")}
    certificate = Certificate(chain=files["chain"], key=files["key"], authorities=(files["bundle"],))
    assert errors(certificate) == [
        (key, f"{tmp_path / name} cannot be read: No such file or directory")
        for key, name in (("chain", "chain"), ("authorities", "bundle"), ("key", "key"))
    ]


def test_a_pipe_or_a_folder_is_no_file(tmp_path: pathlib.Path) -> None:
    """A named pipe is an error at once: waiting for its writer would hold up reloads, and the end of the node."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    certificate = Certificate(chain=File(tmp_path / "folder"), key=File(tmp_path / "pipe"))
    assert errors(certificate) == [
        ("chain", f"{tmp_path / 'folder'} cannot be read: Is a directory"),
        ("key", f"{tmp_path / 'pipe'} cannot be read: it is no regular file"),
    ]


@pytest.mark.parametrize("missing", [1, 20, 100, 500])
def test_half_a_chain_is_an_error(write: Write, root: Issued, missing: int) -> None:
    """A file that ends within its second certificate is not taken for one with the first alone."""
    certificate = write(make_authority("inner", issuer=root).issue())
    whole = certificate.chain.read_bytes().rstrip()
    certificate.chain.write_bytes(whole[:-missing])
    assert errors(certificate) == [("chain", f"{certificate.chain}, line 11: a certificate without an end")]


def test_a_chain_with_half_a_block_behind_it_is_an_error(write: Write, root: Issued) -> None:
    """Whatever the block is of: the file was not written to its end."""
    certificate = write(root.issue())
    whole = certificate.chain.read_bytes()
    certificate.chain.write_bytes(whole + b"-----BEGIN X509 CRL-----\nMII")
    assert errors(certificate) == [("chain", f"{certificate.chain}, line 11: a revocation list without an end")]


def test_a_kind_of_key_that_nobody_knows_is_an_error(write: Write, root: Issued) -> None:
    """PKCS #8 with an algorithm that the library does not support."""
    certificate = write(root.issue())
    algorithm = sequence(bytes.fromhex("06032a0304"))
    key = sequence(bytes.fromhex("020100") + algorithm + bytes.fromhex("04020500"))
    lines = base64.encodebytes(key)
    certificate.key.write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + lines + b"-----END PRIVATE KEY-----\n")
    sentence = f"{certificate.key} cannot be used: the kind of its key is not supported"
    assert errors(certificate) == [("key", sentence)]


@pytest.mark.parametrize(
    "content", [b"", b"\x30\x82\x01\x00", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_not_pem_is_an_error(write: Write, root: Issued, content: bytes) -> None:
    """Empty, DER and malformed files are errors of both chain and key."""
    certificate = write(root.issue())
    certificate.chain.write_bytes(content)
    certificate.key.write_bytes(content)
    (chain_key, chain), (key_key, key) = errors(certificate)
    assert (chain_key, key_key) == ("chain", "key")
    assert str(certificate.chain) in chain
    assert key == f"{certificate.key} cannot be used: it is not a PEM private key"


def test_a_key_of_another_certificate_is_an_error(write: Write, root: Issued) -> None:
    """A key that does not match is an error that names both files."""
    certificate = write(root.issue("own"))
    certificate.key.write_bytes(root.issue().key_pem())
    assert errors(certificate) == [
        ("key", f"{certificate.key} is not the key of the first certificate in {certificate.chain}, CN=own")
    ]


@pytest.mark.parametrize(("right", "given", "words"), [
    (b"right", None, "it needs a passphrase"),
    (b"right", "wrong-secret", "wrong passphrase, or not a PEM private key"),
    (None, "needless-secret", "it is not encrypted, but a passphrase is given"),
])  # fmt: skip
def test_a_wrong_passphrase_is_an_error_that_does_not_show_it(
    write: Write, root: Issued, right: bytes | None, given: str | None, words: str
) -> None:
    """A missing, wrong or needless passphrase is an error, and no sentence shows it."""
    files = write(root.issue(), passphrase=right)
    certificate = Certificate(chain=files.chain, key=files.key, passphrase=Secret(given) if given else None)
    assert errors(certificate) == [("key", f"{certificate.key} cannot be used: {words}")]


PASSPHRASE_FILES = {
    "a line": (b"right\n", None),
    "no line end": (b"right", None),
    "a line end of Windows": (b"right\r\n", None),
    "further lines": (b"right\nnonsense\n", None),
    "wrong": (b"wrong-secret\n", ("key", "KEY cannot be used: wrong passphrase, or not a PEM private key")),
    "space counts": (b"right \n", ("key", "KEY cannot be used: wrong passphrase, or not a PEM private key")),
    "nothing": (b"", ("passphrase-file", "FILE: its first line is no passphrase, 1 to 1023 bytes")),
    "an empty line": (b"\nright", ("passphrase-file", "FILE: its first line is no passphrase, 1 to 1023 bytes")),
    "no text": (b"wrong-secret" * 100, ("passphrase-file", "FILE: its first line is no passphrase, 1 to 1023 bytes")),
}


@pytest.mark.parametrize(("content", "error"), PASSPHRASE_FILES.values(), ids=PASSPHRASE_FILES)
def test_a_passphrase_may_stand_in_a_file(
    write: Write, root: Issued, tmp_path: pathlib.Path, content: bytes, error: tuple[str, str] | None
) -> None:
    """The first line of a file is the passphrase to the byte; what is wrong with it is said without showing it."""
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    path.chmod(0o600)
    certificate = write(root.issue(), passphrase=b"right", passphrase_file=File(path))
    if error is None:
        loaded, problems = load("own", certificate)
        assert loaded is not None
        assert problems == ()
    else:
        key, sentence = error
        assert errors(certificate) == [(key, sentence.replace("FILE", str(path)).replace("KEY", str(certificate.key)))]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_key_that_is_slow_to_open_holds_nobody_up(write: Write, root: Issued) -> None:
    """Two million rounds of hashing take a second, in which the node would stand still at every reload; as with nginx
    they only delay what waits for the key."""
    issued, ticks, done = root.issue("own", eku=[SERVER]), list[None](), threading.Event()
    files = write(issued)
    certificate = Certificate(chain=files.chain, key=files.key, passphrase=Secret("right"))
    command = ["openssl", "pkcs8", "-topk8", "-iter", "2000000", "-passout", "pass:right", "-out", str(files.key)]
    subprocess.run(command, input=issued.key_pem(), check=True)

    def tick() -> None:
        while not done.wait(0.001):
            ticks.append(None)

    other = threading.Thread(target=tick)
    other.start()
    loaded, _ = load("own", certificate)
    done.set()
    other.join()
    assert loaded is not None
    assert len(ticks) > 20, "it was a few"


def test_the_numbers_of_an_rsa_key_are_not_factored_anew(write: Write, root: Issued) -> None:
    """To look whether they are prime takes longer than all else, 70 ms of 2048 bits and a second of 4096."""
    certificate = write(root.issue("own", eku=[SERVER], key=new_key("rsa")))
    data = certificate.key.read_bytes()
    found = []
    for read in (lambda: load("own", certificate), lambda: load_pem_private_key(data, None)):
        took = timeit.repeat(read, number=1, repeat=5)
        found.append(min(took))
    assert found[0] < found[1] / 2


def test_an_rsa_key_that_signs_wrongly_is_an_error(write: Write, root: Issued) -> None:
    """Two of its numbers are not those of the others."""
    key = new_key("rsa")
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    own = {name: getattr(numbers, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp", "public_numbers")}
    wrong = rsa.RSAPrivateNumbers(**{**own, "d": own["d"] + 2, "dmp1": own["dmp1"] + 2})
    certificate = write(root.issue("own", eku=[SERVER], key=key))
    bad = wrong.private_key(unsafe_skip_rsa_key_validation=True)
    certificate.key.write_bytes(bad.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert errors(certificate) == [("key", f"{certificate.key} cannot be used: its numbers do not belong together")]


def test_a_passphrase_file_is_as_private_as_the_key(write: Write, root: Issued, tmp_path: pathlib.Path) -> None:
    """One that others can read is a warning; one that is gone is an error."""
    path = tmp_path / "passphrase"
    path.write_bytes(b"right\n")
    path.chmod(0o644)
    certificate = write(root.issue(), passphrase=b"right", passphrase_file=File(path))
    loaded, (problem,) = load("own", certificate)
    assert loaded is not None
    assert (problem.key, problem.warning) == ("passphrase-file", True)
    path.unlink()
    assert errors(certificate) == [("passphrase-file", f"{path} cannot be read: No such file or directory")]


def test_there_is_one_passphrase(tmp_path: pathlib.Path) -> None:
    """Given twice it is refused, even if both are the same."""
    file = File(tmp_path / "any")
    with pytest.raises(InvalidValue, match="exclude each other"):
        Certificate(chain=file, key=file, passphrase=Secret("one"), passphrase_file=file)


def test_the_right_passphrase_opens_the_key(write: Write, root: Issued) -> None:
    """An encrypted key is loaded with its passphrase."""
    files = write(root.issue(), passphrase=b"right")
    loaded, _ = load("own", Certificate(chain=files.chain, key=files.key, passphrase=Secret("right")))
    assert loaded is not None


@pytest.mark.parametrize(("days", "words"), [(+400, "expired on"), (-400, "is not valid before")])
def test_validity_is_judged_by_the_given_clock(write: Write, root: Issued, days: int, words: str) -> None:
    """Expired and not yet valid are warnings, by the time that is passed in: without a node nobody is served."""
    certificate = write(root.issue("own"))
    ((key, sentence),) = warnings(certificate, now=now() + days * DAY)
    assert key == "chain"
    assert sentence.startswith(f"{certificate.chain}: CN=own {words}")
    assert sentence.endswith("; whoever verifies it refuses every connection")


def test_an_expired_intermediate_is_a_warning(write: Write, root: Issued) -> None:
    """Not the leaf alone must be valid, but every certificate that is sent."""
    inner = make_authority("inner", issuer=root, not_before=now() - 9 * DAY, not_after=now() - DAY)
    ((_, sentence),) = warnings(write(inner.issue()))
    assert "CN=inner expired" in sentence


def test_a_chain_out_of_order_is_an_error(write: Write, root: Issued) -> None:
    """Each certificate must be followed by its issuer, by name and by signature."""
    inner = make_authority("inner", issuer=root)
    deep = make_authority("deep", issuer=inner)
    issued = deep.issue("own")
    certificate = write(issued)
    write_pem(certificate.chain, [issued, inner, deep])
    assert [sentence for _, sentence in errors(certificate)] == [
        f"{certificate.chain} is not in order: CN=own is issued by CN=deep, but CN=inner comes next",
        f"{certificate.chain} is not in order: CN=inner is issued by CN=Root, but CN=deep comes next",
    ]
    write_pem(certificate.chain, [issued, make_authority("deep", issuer=inner)])
    assert len(errors(certificate)) == 1, "the right name with the wrong key is no issuer"


def test_the_bundle_must_hold_the_issuer(write: Write, root: Issued, tmp_path: pathlib.Path) -> None:
    """With ``authorities`` the issuer of the last certificate must be among them, by signature and not just by name."""
    issued = make_authority("inner", issuer=root).issue()
    right = File(write_pem(tmp_path / "right.pem", [make_authority("Other"), root]))
    loaded, problems = load("own", write(issued, authorities=(right,)))
    assert loaded is not None
    assert problems == ()
    assert root.certificate in loaded.authorities
    wrong = File(write_pem(tmp_path / "wrong.pem", [make_authority("Root")]))
    certificate = write(issued, authorities=(wrong,))
    assert errors(certificate) == [("authorities", f"{wrong} lacks the issuer of {certificate.chain}: CN=Root")]


def test_weak_and_exotic_keys_are_errors(write: Write, root: Issued) -> None:
    """RSA below 2048 bits and curves besides P-256, P-384 and P-521 are errors."""
    assert "has 1024 bits" in errors(write(root.issue(key=new_key("rsa1024"))))[0][1]
    assert "secp256k1" in errors(write(root.issue(key=ec.generate_private_key(ec.SECP256K1()))))[0][1]


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o622])
def test_a_key_that_others_can_read_is_a_warning(write: Write, root: Issued, mode: int) -> None:
    """A key that is open to others, or that its group can write, can be used, but is reported."""
    certificate = write(root.issue())
    certificate.key.chmod(mode)
    loaded, (problem,) = load("own", certificate)
    assert loaded is not None
    assert problem.warning
    assert problem.key == "key"
    assert problem.sentence == (f"{certificate.key} is open to others than its owner and group; chmod 600 or 640 it")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_key_may_be_its_group_s_too(write: Write, root: Issued, mode: int) -> None:
    """A node without root reads a changed key as a member of a group."""
    certificate = write(root.issue())
    certificate.key.chmod(mode)
    assert load("own", certificate)[1] == ()


def test_all_faults_are_reported_at_once(write: Write, root: Issued, tmp_path: pathlib.Path) -> None:
    """An expired leaf, a foreign bundle, a foreign key and its open mode are four problems of one load."""
    bundle = File(write_pem(tmp_path / "bundle.pem", [make_authority("Other")]))
    certificate = write(root.issue(not_before=now() - 9 * DAY, not_after=now() - DAY), authorities=(bundle,))
    certificate.key.write_bytes(root.key_pem())
    certificate.key.chmod(0o644)
    _, problems = load("own", certificate)
    assert [(problem.key, problem.warning) for problem in problems] == [
        ("chain", True), ("authorities", False), ("key", False), ("key", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("eku", "found"), [((CLIENT,), []), ((CLIENT, SERVER), []), ((SERVER,), ["chain"]), (None, ["chain"])]
)
def test_an_origin_is_shown_a_certificate_with_client_auth_only(
    write: Write, root: Issued, eku: tuple[ObjectIdentifier, ...] | None, found: list[str]
) -> None:
    """Without the extended key usage clientAuth a certificate is no client certificate: an error."""
    loaded, _ = load("own", write(make_authority("inner", issuer=root).issue(eku=eku)))
    assert loaded is not None
    problems = check_for_origin(loaded)
    assert [problem.key for problem in problems if not problem.warning] == found


def test_an_origin_s_certificate_needs_no_bundle(write: Write, root: Issued, tmp_path: pathlib.Path) -> None:
    """Issued directly by a root it is whole by itself; with a chain or a bundle that has been looked at already."""
    bundle = File(write_pem(tmp_path / "bundle.pem", [root]))
    options: list[tuple[Issued, dict[str, Any]]] = [
        (root.issue(), {"authorities": (bundle,)}),
        (make_authority("inner", issuer=root).issue(), {}),
        (root.issue(), {}),
        (make_authority("self-signed").issue(), {}),
    ]
    for issued, more in options:
        loaded, _ = load("own", write(issued, **more))
        assert loaded is not None
        assert check_for_origin(loaded) == ()


def test_unreadable_extensions_are_an_error(write: Write, root: Issued) -> None:
    """A leaf whose extensions cannot be parsed is refused, not presented in the hope of the best."""
    broken = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.17"), b"\x30\x03")
    loaded, _ = load("own", write(root.issue(extensions=[broken])))
    assert loaded is not None
    assert "cannot be read" in check_for_origin(loaded)[0].sentence


def test_the_clock_is_read_if_no_time_is_given(write: Write, root: Issued) -> None:
    """Without a time the certificate is judged by the present."""
    issued = root.issue(not_after=now() - datetime.timedelta(seconds=5))
    assert "expired on" in warnings(write(issued))[0][1]


def test_an_issuer_that_cannot_be_written_is_a_problem_of_the_bundle(
    write: Write, root: Issued, tmp_path: pathlib.Path
) -> None:
    """OpenSSL takes a string of an odd type in a name, and the library raises once the name is asked for."""
    bundle = File(write_pem(tmp_path / "bundle.pem", [root]))
    issued = root.issue()
    certificate = write(issued, authorities=(bundle,))
    certificate.chain.write_bytes(pem("CERTIFICATE", issued.der.replace(b"\x0c\x04Root", b"\x08\x04Root", 1)))
    assert errors(certificate) == [("authorities", f"{bundle}: it is no valid DER")]
