"""What is said of authorities when they are loaded is what their clients meet, live, in both verifications."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from edgenode.tls.doubts import doubts
from edgenode.tls.paths import path_warnings
from edgenode.tls.policies import check_group, server_context
from tests.support.certificates import (
    CLIENT,
    DAY,
    SERVER,
    Issued,
    elements,
    make_authority,
    name,
    new_key,
    now,
    sequence,
)
from tests.support.handshakes import Pair, client, server_certificate, server_group, trusted


def authority(
    subject: str = "X",
    key: Any = None,
    issuer: Issued | None = None,
    *,
    named: bool = True,
    length: int | None = None,
    further: Sequence[tuple[x509.ExtensionType, bool]] = (),
    **options: Any,
) -> Issued:
    """An authority; ``named`` says whether it has a subject key identifier, and its issuer's beside it.

    :param length: its path length.
    :param further: extensions, and whether they are critical.
    """
    key = key or new_key()
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = _builder(subject, key, issuer, x509.BasicConstraints(True, length), **options)
    builder = builder.add_extension(usage, critical=True)
    for extension, critical in further:
        builder = builder.add_extension(extension, critical=critical)
    if named:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if named and issuer is not None:
        builder = builder.add_extension(_identifier(issuer), critical=False)
    return _signed(builder, key, issuer)


def client_of(issuer: Issued, *, named: bool = True) -> Issued:
    """A client's certificate with which nothing is wrong; ``named`` says whether it names its issuer's key."""
    key = new_key()
    builder = _builder("client", key, issuer, x509.BasicConstraints(False, None))
    builder = builder.add_extension(x509.ExtendedKeyUsage([CLIENT]), critical=False)
    if named:
        builder = builder.add_extension(_identifier(issuer), critical=False)
    return _signed(builder, key, issuer)


def _builder(
    subject: str, key: Any, issuer: Issued | None, constraints: x509.BasicConstraints, age: datetime.timedelta = DAY
) -> x509.CertificateBuilder:
    issuer_name = issuer.certificate.subject if issuer else name(subject)
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(issuer_name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now() - age).not_valid_after(now() - age + 9 * DAY)
    return builder.add_extension(constraints, critical=True)


def _identifier(issuer: Issued) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key())  # type: ignore[arg-type]


def _signed(builder: x509.CertificateBuilder, key: Any, issuer: Issued | None) -> Issued:
    signer: CertificateIssuerPrivateKeyTypes = issuer.key if issuer else key
    edwards = not isinstance(signer, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey)
    return Issued(builder.sign(signer, None if edwards else hashes.SHA256()), key, issuer)


def with_sha1(issued: Issued) -> Issued:
    """The same, of an issuer with RSA, signed with SHA-1 as no library will any more."""
    signer = (issued.issuer or issued).key
    assert isinstance(signer, rsa.RSAPrivateKey)
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    tbs, algorithm, _ = (each.replace(sha256, sha1) for each in elements(issued.der))
    signature = b"\0" + signer.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    bits = b"\x03\x82" + len(signature).to_bytes(2, "big") + signature
    return Issued(x509.load_der_x509_certificate(sequence(tbs + algorithm + bits)), issued.key, issued.issuer)


RSA, ROOT = authority("RSA root", key=new_key("rsa")), authority("Root")
FOR_SERVERS = ((x509.ExtendedKeyUsage([SERVER]), False),)
UNHEARD_OF = ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True),)
ABOVE: Mapping[str, tuple[Issued, str]] = {
    "weak": (authority("Other", key=new_key("rsa1024")), "CA certificate key too weak"),
    "expired": (authority("Other", age=10 * DAY), "certificate has expired"),
    "not to be stood below": (authority("Other", length=0), "path length constraint exceeded"),
    "for servers": (authority("Other", further=FOR_SERVERS), "unsuitable certificate purpose"),
    "unheard of": (authority("Other", further=UNHEARD_OF), "unhandled critical extension"),
}
"""Roots, and why nobody is verified whom an authority that they have issued has issued."""

DEEP = [ROOT]
for _number in range(4):
    DEEP.append(authority(f"{_number + 1}", issuer=DEEP[-1]))

THROUGH = "no chain through it can be verified: {}"
WEAK = "is too weak; {} would do; nothing that it issued is accepted"
STRICTLY = "verification = strict refuses whatever it issued: {}"
KIND = STRICTLY.format("its key is {}, on a curve or of a kind not allowed")

Case = tuple[Callable[[], Sequence[Issued]], str, str]


def below(other: Issued, why: str) -> Case:
    """An authority that another one has issued, with which something is wrong."""
    inner = authority("Inner", issuer=other)
    return lambda: [inner, other], f"CN=Inner: {THROUGH.format(why)}: CN=Other", "="


CASES: Mapping[str, Case] = {
    "P-256": (lambda: [ROOT], "", ""),
    "P-384": (lambda: [authority(key=ec.generate_private_key(ec.SECP384R1()))], "", ""),
    "RSA 2048": (lambda: [RSA], "", ""),
    "RSA 1024": (lambda: [authority(key=new_key("rsa1024"))], f"RSA of 1024 bits, {WEAK.format(2048)}", "="),
    "DSA 1024": (
        lambda: [authority(key=dsa.generate_private_key(1024))],
        f"DSA of 1024 bits, {WEAK.format(2048)}",
        "=",
    ),
    "P-192": (
        lambda: [authority(key=ec.generate_private_key(ec.SECP192R1()))],
        f"ECDSA of 192 bits, {WEAK.format(224)}",
        "=",
    ),
    "Ed25519": (lambda: [authority(key=new_key("ed25519"))], "", KIND.format("Ed25519")),
    "Ed448": (lambda: [authority(key=ed448.Ed448PrivateKey.generate())], "", KIND.format("Ed448")),
    "secp256k1": (lambda: [authority(key=ec.generate_private_key(ec.SECP256K1()))], "", KIND.format("ECDSA")),
    "RSA of odd size": (
        lambda: [authority(key=rsa.generate_private_key(65537, 2050))],
        "",
        STRICTLY.format("an RSA key that is not a whole number of bytes"),
    ),
    "without a key identifier": (
        lambda: [authority(named=False)],
        "",
        STRICTLY.format("an authority without subject key identifier"),
    ),
    "SHA-1 by itself": (lambda: [with_sha1(RSA)], "", ""),
    "SHA-1 by another": (
        lambda: [with_sha1(authority("Inner", issuer=RSA)), RSA],
        "CN=Inner is signed with rsa-sha1, which is too weak; nothing that it issued is accepted",
        "=",
    ),
    "an intermediate with its root": (lambda: [authority("Inner", issuer=ROOT), ROOT], "", ""),
    "an intermediate alone": (
        lambda: [authority("Inner", issuer=ROOT)],
        "the issuer of CN=Inner is not among the authorities: CN=Root; no chain through it can be verified",
        "=",
    ),
    "an intermediate with a namesake of its root": (
        lambda: [authority("Inner", issuer=ROOT), authority("Root")],
        "CN=Inner is signed with another key than that of CN=Root that is among the authorities; no chain through it",
        "=",
    ),
    "a new key with the old one": (lambda: [authority("Root", issuer=ROOT), ROOT], "", ""),
    "expired": (lambda: [authority(age=10 * DAY), ROOT], "CN=X expired on ", "="),
    "for servers alone": (
        lambda: [authority(further=FOR_SERVERS)],
        f"CN=X: {THROUGH.format('unsuitable certificate purpose')}",
        "=",
    ),
    "with an extension that nobody knows": (
        lambda: [authority(further=UNHEARD_OF)],
        f"CN=X: {THROUGH.format('unhandled critical extension')}",
        "=",
    ),
    "deeper than the verify-depth": (
        lambda: [*reversed(DEEP)],
        f"CN=4: with verify-depth = 3 {THROUGH.format('certificate chain too long')}",
        "=",
    ),
    **{f"below one that is {what}": below(*ABOVE[what]) for what in ABOVE},
}
"""The authorities, of which the first has issued the client; what OpenSSL has against it, and strict verification."""


@pytest.mark.parametrize("verification", ["openssl", "strict"])
@pytest.mark.parametrize(("authorities", "by_openssl", "strictly"), CASES.values(), ids=CASES)
def test_a_warning_of_an_authority_is_what_its_clients_meet(
    authorities: Callable[[], Sequence[Issued]], by_openssl: str, strictly: str, verification: str
) -> None:
    """A client of an authority that nothing is said of is verified, and that of any other is refused."""
    several = authorities()
    words = by_openssl if verification == "openssl" or strictly == "=" else strictly
    sentences = list(doubts([each.certificate for each in several], verification, now()))
    store = trusted(*several, verification=verification)
    above = list(path_warnings([store], 3))
    assert {(each.section, each.key, each.warning) for each in above} <= {("trust-store store", "authorities", True)}
    subject = several[0].certificate.subject.rfc4514_string()
    sentences = [each for each in (*sentences, *(each.sentence for each in above)) if subject in each]
    assert len(sentences) == bool(words) or (words and verification == "strict")
    assert words in "".join(sentences)
    context = server_context(server_group("optional", verify_depth=3), [server_certificate()], [store])
    pair = Pair.of(context, client(chain=[client_of(several[0])]))
    assert pair.verification.verified is not bool(words), pair.verification


TWINS: Mapping[str, tuple[bool, bool, bool]] = {
    "neither has a key identifier": (False, False, True),
    "the first has none": (False, True, True),
    "the second has none": (True, False, True),
    "both have": (True, True, False),
}


@pytest.mark.parametrize(("first", "second", "warned"), TWINS.values(), ids=TWINS)
def test_two_authorities_of_one_name(first: bool, second: bool, warned: bool) -> None:
    """Without key identifiers OpenSSL tries the first alone: what is said when they are loaded, in one store or two."""
    twins = [authority("Twin", named=named) for named in (first, second)]
    sentences = list(doubts([each.certificate for each in twins], "openssl", now()))
    assert ["called CN=Twin" in sentence for sentence in sentences] == [True] * warned
    group = server_group("optional", trust_store=("a", "b"))
    stores = [trusted(each) for each in twins]
    problems = check_group("group", group, [server_certificate()], stores)
    assert [problem.sentence for problem in problems] == sentences
    assert all(problem.warning for problem in problems)
    for served, twin in zip((True, False), twins, strict=True):
        pair = Pair.of(
            server_context(group, [server_certificate()], stores), client(chain=[client_of(twin, named=not warned)])
        )
        assert pair.verification.verified is (served or not warned)


@pytest.mark.parametrize("other", ["TWIN", " twin  "])
def test_names_that_are_the_same_to_openssl_are_one_name(other: str) -> None:
    """It does not look at case, nor at white space."""
    twins = [authority("Twin", named=False), authority(other, named=False)]
    (sentence,) = doubts([each.certificate for each in twins], "openssl", now())
    assert "called CN=Twin" in sentence
    context = server_context(server_group("optional"), [server_certificate()], [trusted(*twins)])
    refused = Pair.of(context, client(chain=[client_of(twins[1], named=False)])).verification
    assert (refused.verified, refused.reason) == (False, "certificate signature failure")


def test_one_key_identifier_tells_nobody_apart() -> None:
    """Of different keys it is somebody's invention."""
    same = (x509.SubjectKeyIdentifier(b"same"), False)
    twins = [authority("Twin", named=False, further=[same]) for _ in range(2)]
    (sentence,) = doubts([each.certificate for each in twins], "openssl", now())
    assert "no subject key identifiers tell them apart" in sentence


def test_what_is_trusted_together_is_looked_at_together() -> None:
    """A root in one store and what it has issued in another; and what is no authority for clients may be one for
    servers."""
    inner = authority("Inner", issuer=ROOT)
    assert list(path_warnings([trusted(inner), trusted(ROOT)])) == []
    assert len(list(path_warnings([trusted(inner)]))) == 1
    for_servers = trusted(authority(further=FOR_SERVERS))
    assert len(list(path_warnings([for_servers]))) == 1
    assert list(path_warnings([for_servers], servers=True)) == []


def test_twins_are_told_of_once() -> None:
    """A store that says it of itself says it for every group; one key twice, or one that is expired, is no twin."""
    twins = trusted(authority("Twin", named=False), authority("Twin", named=False))
    group = server_group("optional", trust_store=("a", "b"))
    assert check_group("group", group, [server_certificate()], [twins, trusted(make_authority("Other"))]) == ()
    old = authority("Twin", named=False, age=20 * DAY)
    again = authority("Twin", key=old.key, named=False)
    new = authority("Twin", named=False)
    assert list(doubts([again.certificate, again.certificate], "openssl", now())) == []
    (sentence,) = doubts([old.certificate, new.certificate], "openssl", now())
    assert "expired on" in sentence
