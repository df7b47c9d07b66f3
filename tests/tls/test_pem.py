"""No block of a PEM file is passed over in silence: it is read, or an error with its line (RFC 7468)."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edgenode.model.settings import File
from edgenode.tls import certificates, truststores
from edgenode.tls.certificates import Certificate
from edgenode.tls.truststores import TrustStore
from tests.support.certificates import SERVER, Issued, make_authority, pem

ROOT = make_authority("Root")
LEAF = make_authority("inner", issuer=ROOT).issue("own", eku=(SERVER,))


def written(folder: pathlib.Path, name: str, data: bytes) -> File:
    """A file of that content."""
    path = folder / name
    path.write_bytes(data)
    path.chmod(0o600)
    return File(path)


def store(folder: pathlib.Path, authorities: bytes, crl: bytes = b"") -> tuple[int, list[str]]:
    """How many authorities and lists a trust store of these files has, and the sentences of its errors."""
    lists = (written(folder, "crl", crl),) if crl else ()
    loaded, problems = truststores.load(
        "store", TrustStore(authorities=(written(folder, "ca", authorities),), crl=lists)
    )
    found = 0 if loaded is None else len(loaded.authorities) + len(loaded.crls)
    return found, [each.sentence.replace(str(folder), "FOLDER") for each in problems if not each.warning]


def own(folder: pathlib.Path, chain: bytes, key: bytes) -> list[str]:
    """The problems of a certificate of ours of these files."""
    certificate = Certificate(chain=written(folder, "chain", chain), key=written(folder, "key", key))
    _, problems = certificates.load("own", certificate)
    return [each.sentence.replace(str(folder), "FOLDER") for each in problems]


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE"])
def test_the_labels_of_a_certificate(tmp_path: pathlib.Path, label: str) -> None:
    """The two old ones are equivalent (RFC 7468, section 5.1), among authorities and in a chain of ours."""
    chain = pem(label, LEAF.der) + LEAF.intermediates[0].pem
    assert store(tmp_path, pem(label, ROOT.der) + make_authority("Other").pem) == (2, [])
    assert own(tmp_path, chain, LEAF.key_pem()) == []


@pytest.mark.parametrize("label", ["X509 CRL", "CRL"])
def test_the_labels_of_a_revocation_list(tmp_path: pathlib.Path, label: str) -> None:
    """As RFC 7468, section 6, has them."""
    other = make_authority("Other")
    lists = [each.crl().public_bytes(Encoding.DER) for each in (ROOT, other)]
    assert store(tmp_path, ROOT.pem + other.pem, pem("X509 CRL", lists[0]) + pem(label, lists[1])) == (4, [])


def trusted(issued: Issued) -> bytes:
    """A certificate as ``openssl x509 -trustout`` writes it."""
    command = ["openssl", "x509", "-trustout"]
    return subprocess.run(command, input=issued.pem, capture_output=True, check=True).stdout


STRANGE: Mapping[str, tuple[bytes, str]] = {
    "OpenSSL's own": (
        trusted(ROOT),
        "a certificate of OpenSSL's own kind, TRUSTED CERTIFICATE, does not belong here: "
        "openssl x509 writes it as CERTIFICATE",
    ),
    "a revocation list": (
        pem("X509 CRL", ROOT.crl().public_bytes(Encoding.DER)),
        "a revocation list does not belong here",
    ),
    "a private key": (ROOT.key_pem(), "a private key does not belong here"),
    "a bundle": (
        pem("PKCS7", b"\x30\x00"),
        "a PKCS #7 bundle does not belong here: openssl pkcs7 -print_certs writes its certificates",
    ),
    "a request": (pem("NEW CERTIFICATE REQUEST", b"\x30\x00"), "a request for a certificate does not belong here"),
    "attributes": (pem("ATTRIBUTE CERTIFICATE", b"\x30\x00"), "an attribute certificate does not belong here"),
    "parameters": (pem("DH PARAMETERS", b"\x30\x00"), "a block with parameters of keys does not belong here"),
    "an unknown kind": (pem("SECRET", b""), "a block of an unknown kind, SECRET, does not belong here"),
    "in small letters": (pem("certificate", ROOT.der), "a block of an unknown kind, certificate, does not belong here"),
    "the wrong end": (ROOT.pem.replace(b"END CERTIFICATE", b"END X509 CERTIFICATE"), "a certificate without an end"),
    "no end": (ROOT.pem[:300], "a certificate without an end"),
    "no beginning": (b"-----END CERTIFICATE-----\n", "an end without a beginning, or half of one"),
    "half a beginning": (b"-----BEGIN CERTIFICATE\n", "an end without a beginning, or half of one"),
    "four dashes": (ROOT.pem.replace(b"CATE-----\n", b"CATE----\n", 1), "an end without a beginning, or half of one"),
    "no base64": (
        ROOT.pem.replace(b"MII", b"M!I", 1),
        "a malformed certificate: what stands between its lines is not base64",
    ),
    "headers": (
        ROOT.pem.replace(b"-----\nMII", b"-----\nProc-Type: 4,ENCRYPTED\n\nMII", 1),
        "a malformed certificate: what stands between its lines is not base64",
    ),
    "a list in the place of a certificate": (
        pem("CERTIFICATE", ROOT.crl().public_bytes(Encoding.DER)),
        "a malformed certificate: ",
    ),
}


@pytest.mark.parametrize(("block", "words"), STRANGE.values(), ids=STRANGE)
def test_whatever_is_not_read_among_authorities_is_an_error(tmp_path: pathlib.Path, block: bytes, words: str) -> None:
    """With the line at which it begins, behind others that are good."""
    lines = ROOT.pem.count(b"\n") + 2
    found, (sentence,) = store(tmp_path, ROOT.pem + b"\n" + block)
    assert found == 0
    assert sentence.startswith(f"FOLDER/ca, line {lines}: {words}")


def test_a_certificate_is_no_revocation_list(tmp_path: pathlib.Path) -> None:
    """Nor a list with the label of another."""
    lists = ROOT.crl().public_bytes(Encoding.PEM)
    assert store(tmp_path, ROOT.pem, ROOT.pem + lists)[1] == ["FOLDER/crl, line 1: a certificate does not belong here"]
    sentence = "a malformed revocation list: it is a certificate"
    assert store(tmp_path, ROOT.pem, pem("X509 CRL", ROOT.der))[1] == [f"FOLDER/crl, line 1: {sentence}"]
    for der in ROOT.der, ROOT.der + ROOT.crl().public_bytes(Encoding.DER):
        assert store(tmp_path, ROOT.pem, der)[1] == [f"FOLDER/crl: {sentence}"]


def test_explanations_stand_between_blocks(tmp_path: pathlib.Path) -> None:
    """As ``openssl s_client -showcerts`` and PKCS #12 tools write them (RFC 7468, section 5.2), with any line ends."""
    text = "Bag Attributes\n    friendlyName: Ünïcode\nsubject=CN = Root\n".encode()
    assert store(tmp_path, text + ROOT.pem + text) == (1, [])
    assert store(tmp_path, (text + ROOT.pem + text).replace(b"\n", b"\r\n")) == (1, [])
    assert store(tmp_path, b"  " + ROOT.pem.replace(b"\n", b"\n  ")) == (1, [])


def test_a_certificate_and_its_key_may_share_a_file(tmp_path: pathlib.Path) -> None:
    """As HAProxy has it, with the parameters that openssl ecparam and dhparam write; but there is one key."""
    parameters = pem("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))
    both = LEAF.pem + LEAF.intermediates[0].pem + parameters + LEAF.key_pem() + pem("DH PARAMETERS", b"\x30\x00")
    assert own(tmp_path, both, both) == []
    assert own(tmp_path, both, both + make_authority().key_pem()) == ["FOLDER/key holds more than one private key"]
    assert own(tmp_path, both, LEAF.key_pem() + pem("PUBLIC KEY", b"")) == [
        "FOLDER/key, line 6: a public key does not belong here"
    ]


def test_der_with_two_lists(tmp_path: pathlib.Path) -> None:
    """One list a file in DER: what stands behind it is not passed over, and no parser is named."""
    der = ROOT.crl().public_bytes(Encoding.DER)
    assert store(tmp_path, ROOT.pem, der) == (2, [])
    for more in (der, b"\n", b"\0"):
        assert store(tmp_path, ROOT.pem, der + more) == (
            0,
            ["FOLDER/crl goes on behind its revocation list: in DER a file holds one, in PEM several"],
        )
    for cut in (der[:-1], der[:100], der[:3], der[:1]):
        (sentence,) = store(tmp_path, ROOT.pem, cut)[1]
        assert sentence == "FOLDER/crl: a malformed revocation list: it is no valid DER"


def test_der_among_authorities_is_told_as_such(tmp_path: pathlib.Path) -> None:
    """With the command that makes PEM of it."""
    assert store(tmp_path, ROOT.der)[1] == [
        "FOLDER/ca holds no PEM certificate; it may be DER, which openssl x509 -inform der writes as PEM"
    ]


def test_a_bundle_of_an_origin_s_certificate_is_read_alike(tmp_path: pathlib.Path) -> None:
    """``authorities`` of a certificate."""
    bundle = written(tmp_path, "bundle", trusted(ROOT))
    chain, key = LEAF.write(tmp_path, "own")
    loaded, (problem,) = certificates.load("own", Certificate(chain=File(chain), key=File(key), authorities=(bundle,)))
    assert loaded is None
    assert problem.key == "authorities"
    assert "TRUSTED CERTIFICATE" in problem.sentence
