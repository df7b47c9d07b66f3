"""A client certificate read into plain values, as nginx and OpenSSL write them."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings, strategies
from OpenSSL import crypto

from edgenode.model.exchange import AlternativeNames
from edgenode.tls import identity as identity_module
from edgenode.tls.allowlists import SubjectPattern
from edgenode.tls.identity import UNREADABLE, describe, identify
from edgenode.tls.names import NAMES, distinguished_name, escaped, legacy_name
from edgenode.tls.trust import Trust
from tests.support.certificates import CLIENT, SERVER, Issued, elements, make, make_authority, new_key, now, sequence
from tests.support.handshakes import Pair, server_group, shake, trusted

TYPES = [
    NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.EMAIL_ADDRESS,
    NameOID.DOMAIN_COMPONENT, NameOID.USER_ID, NameOID.SERIAL_NUMBER, NameOID.SURNAME, NameOID.STREET_ADDRESS,
]  # fmt: skip


CHARACTERS = strategies.sampled_from(list(',+"\\<>;# =\n\0\x1f\x7fa€漢😀')) | strategies.characters(
    exclude_categories=["Cs"]
)

VALUES = strategies.text(CHARACTERS, min_size=1, max_size=12).filter(lambda value: value != "#")
"""Values of attributes; a lone ``#`` is the one that OpenSSL, against RFC 4514, leaves as it is and we do not."""


def name(*rdns: x509.RelativeDistinguishedName) -> x509.Name:
    """A distinguished name."""
    return x509.Name(rdns)


def rdn(oid: ObjectIdentifier, value: str) -> x509.RelativeDistinguishedName:
    """One part of a name, as UTF-8, so that no type restricts its characters."""
    return x509.RelativeDistinguishedName([x509.NameAttribute(oid, value, _ASN1Type.UTF8String)])


def handshake(mode: str, *chain: Issued, root: Issued) -> Pair:
    """A client's handshake with a server group that refuses over HTTP."""
    return shake(server_group(mode), chain, trusted(root))


def test_the_identity_holds_what_the_certificate_says() -> None:
    """Leaf, chains, names, serial, fingerprint, dates and verdict are those of the client's certificate."""
    root = make_authority("O=Acme,CN=Root")
    inner = make_authority("inner", issuer=root)
    leaf = inner.issue("CN=client,O=Acc\\, ess,C=DE")
    pair = handshake("on", leaf, inner, root=root)
    identity = identify(pair.server, pair.verification)
    assert identity is not None
    assert identity.leaf == leaf.der
    assert identity.chain_sent == (inner.der,), "the server's side of OpenSSL leaves out the leaf"
    assert identity.chain_verified == (inner.der, root.der)
    assert identity.subject == "CN=client,O=Acc\\, ess,C=DE"
    assert identity.issuer == "CN=inner"
    assert int(identity.serial, 16) == leaf.certificate.serial_number
    assert identity.serial == identity.serial.upper()
    assert identity.fingerprint_sha256 == hashlib.sha256(leaf.der).hexdigest()
    assert identity.not_before == leaf.certificate.not_valid_before_utc
    assert identity.not_after == leaf.certificate.not_valid_after_utc
    assert identity.verification == pair.verification
    assert identity.verification.verified


def test_the_chain_of_the_record_is_that_of_openssl() -> None:
    """With the chain that the callback recorded the identity is the same as with what OpenSSL shows of it."""
    root = make_authority("Root")
    inner = make_authority("inner", issuer=root)
    for chain in ([inner.issue("client"), inner], [root.issue("client")]):
        pair = handshake("on", *chain, root=root)
        tags = {root.der: ("partner",), inner.der: ("wrong",)}
        assert pair.record.path
        shown = identify(pair.server, pair.verification, tags)
        assert shown == identify(pair.server, pair.verification, tags, pair.record.path)
        assert shown is not None
        assert (shown.tags, shown.issuer_serial) == (("partner",), describe((*chain, root)[1].der).serial)


def test_a_chain_counts_for_a_verified_client_alone() -> None:
    """Whatever chain is handed in, a client that was not verified has its own leaf, no issuers and no tags."""
    root = make_authority("Root")
    stranger = make_authority("Other").issue("stranger")
    pair = handshake("optional-no-ca", stranger, root=root)
    tags = {root.der: ("partner",)}
    identity = identify(pair.server, pair.verification, tags, (root.issue("client").der, root.der))
    assert identity is not None
    assert (identity.leaf, identity.chain_verified, identity.tags, identity.issuer_serial) == (stranger.der, (), (), "")


def test_one_certificate_with_two_verdicts_is_two_identities() -> None:
    """What is remembered of a certificate has no verdict: the next connection has its own, and so has its chain."""
    root, other = make_authority("Root"), make_authority("Other")
    leaf = root.issue("client")
    good = handshake("on", leaf, root=root).identity({root.der: ("partner",)})
    bad = handshake("on", leaf, root=other).identity({root.der: ("partner",)})
    again = handshake("on", leaf, root=root).identity()
    assert [each.verification.verified for each in (good, bad, again)] == [True, False, True]
    assert [each.chain_verified for each in (good, bad, again)] == [(root.der,), (), (root.der,)]
    assert [each.tags for each in (good, bad, again)] == [("partner",), (), ()]
    assert good.leaf is bad.leaf, "the very bytes are shared"


def test_the_trust_of_a_group_identifies_its_clients() -> None:
    """With tags, and the dates of the list that covers the client; no certificate is no identity."""
    root = make_authority("Root")
    crl = root.crl()
    stores = [trusted(root, crls=[crl], tags=["partner"])]
    trust = Trust.of(server_group("optional"), stores)
    pair = shake(server_group("optional"), [root.issue("client")], *stores)
    identity = trust.identify(pair.server, pair.record, now())
    assert identity is not None
    assert identity.verification.verified
    assert (identity.tags, identity.crl_this_update) == (("partner",), crl.last_update_utc)
    nobody = shake(server_group("optional"), [], *stores)
    assert trust.identify(nobody.server, nobody.record, now()) is None


def test_a_known_client_s_handshake_parses_no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the callback nor the identity reads a certificate that has been read before; strict verification does."""
    root = make_authority("Root")
    inner = make_authority("inner", issuer=root)
    chain = [inner.issue("client"), inner]
    handshake("on", *chain, root=root).identity()

    def fail(*_: object) -> None:
        raise AssertionError("parsed")

    with monkeypatch.context() as patched:
        patched.setattr(crypto.X509, "to_cryptography", fail)
        patched.setattr(x509, "load_der_x509_certificate", fail)
        identity = handshake("on", *chain, root=root).identity()
        assert identity.verification.verified
        assert identity.chain_verified == (inner.der, root.der)
        strict = trusted(root, verification="strict")
        assert shake(server_group(), chain, strict).verification.reason == UNREADABLE


def test_no_certificate_is_no_identity() -> None:
    """A client without a certificate has no identity."""
    pair = handshake("optional", root=make_authority())
    assert identify(pair.server, pair.verification) is None


def test_the_verified_chain_is_no_proof() -> None:
    """For an untrusted certificate OpenSSL shows a verified chain all the same; the identity does not."""
    other = make_authority("Other")
    pair = handshake("optional-no-ca", other.issue("stranger"), other, root=make_authority())
    assert pair.server.get_verified_chain(as_cryptography=True)
    identity = identify(pair.server, pair.verification)
    assert identity is not None
    assert identity.chain_verified == ()
    assert not identity.verification.verified


@pytest.mark.parametrize(("serial", "text"), [(1, "01"), (0xABC, "0ABC"), (0xDEADBEEF, "DEADBEEF")])
def test_serials_are_written_as_nginx_does(serial: int, text: str) -> None:
    """Upper-case hexadecimal in whole bytes."""
    key = new_key()
    certificate = make("x", key=key).certificate
    builder = x509.CertificateBuilder(
        certificate.issuer, certificate.subject, key.public_key(), serial,
        certificate.not_valid_before_utc, certificate.not_valid_after_utc,
    )  # fmt: skip
    der = Issued(builder.sign(key, certificate.signature_hash_algorithm), key).der  # type: ignore[arg-type]
    assert describe(der).serial == text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@settings(max_examples=40)
@given(strategies.lists(strategies.tuples(strategies.sampled_from(TYPES), VALUES), min_size=1, max_size=4))
def test_names_are_written_as_nginx_does(parts: list[tuple[ObjectIdentifier, str]]) -> None:
    """A distinguished name reads as OpenSSL prints it with nginx's flags: RFC 2253 without escaped UTF-8."""
    subject = name(*(rdn(oid, value) for oid, value in parts))
    key = new_key()
    plain = make("x", key=key).certificate
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, plain.not_valid_before_utc, plain.not_valid_after_utc
    )
    issued = Issued(builder.sign(key, plain.signature_hash_algorithm), key)  # type: ignore[arg-type]
    printed = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb"],
        input=issued.pem, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    assert distinguished_name(issued.certificate.subject) == printed.removeprefix("subject=").removesuffix("\n")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_several_attributes_in_one_part_are_written_as_nginx_does(tmp_path: pathlib.Path) -> None:
    """``A+B`` is written in OpenSSL's order, and an attribute type without a name by its number."""
    part = x509.RelativeDistinguishedName(
        [x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.USER_ID, "b")]
    )
    key = new_key()
    plain = make("x", key=key).certificate
    subject = name(rdn(NameOID.ORGANIZATION_NAME, "Acme"), part)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, plain.not_valid_before_utc, plain.not_valid_after_utc
    )
    path = tmp_path / "x.pem"
    path.write_bytes(Issued(builder.sign(key, plain.signature_hash_algorithm), key).pem)  # type: ignore[arg-type]
    command = ["openssl", "x509", "-in", str(path), "-noout", "-subject", "-nameopt", "RFC2253"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    read = x509.load_pem_x509_certificate(path.read_bytes()).subject
    assert f"subject={distinguished_name(read)}\n" == printed
    assert distinguished_name(name(rdn(ObjectIdentifier("1.2.3.4"), "x"))) == "1.2.3.4=x"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("value", [b"\0", b"\0\xab\xcd", b"\0" + b"x" * 126, b"\0" + b"x" * 127, b"\0" + b"x" * 300])
def test_a_name_without_text_is_written_as_nginx_does(value: bytes) -> None:
    """A BIT STRING in hexadecimal with its tag and length (RFC 4514, section 2.4), whatever its length."""
    attribute = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, value, _ASN1Type.BitString)
    subject = name(rdn(NameOID.COMMON_NAME, "a"), x509.RelativeDistinguishedName([attribute]))
    key = new_key()
    plain = make("x", key=key).certificate
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, plain.not_valid_before_utc, plain.not_valid_after_utc
    )
    issued = Issued(builder.sign(key, plain.signature_hash_algorithm), key)  # type: ignore[arg-type]
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253"]
    printed = subprocess.run(command, input=issued.pem, capture_output=True, check=True).stdout.decode()
    assert f"subject={describe(issued.der).subject}\n" == printed
    assert SubjectPattern.from_text(describe(issued.der).subject).allows(describe(issued.der).subject)


@pytest.mark.parametrize(
    ("value", "written"),
    [(" ", "\\ "), ("  ", "\\ \\ "), (" a b ", "\\ a b\\ "), ("#", "\\#"), ("##", "\\##"), ("a#", "a#"), ("", "")],
)
def test_spaces_are_escaped_at_the_ends_of_a_value(value: str, written: str) -> None:
    """Each of them once, also if it is both ends; and a number sign in front."""
    assert escaped(value) == written


@given(strategies.text(min_size=1, max_size=20))
def test_a_name_cannot_break_a_line(value: str) -> None:
    """No control character of a certificate reaches a log line or a header as it is."""
    try:
        written = distinguished_name(name(rdn(NameOID.COMMON_NAME, value)))
    except (UnicodeEncodeError, ValueError):
        return
    assert all(character >= " " and character != "\x7f" for character in written)


def test_alternative_names_are_kept_by_kind_and_in_order() -> None:
    """Each kind of name as it is written; other kinds are left out, and a certificate may have none."""
    sans = ["DNS:B.test", "DNS:a.test", "URI:spiffe://a.test/x", "email:A@a.test", "IP:192.0.2.1", "IP:::1"]
    names = describe(make("x", sans=sans).der).sans
    assert (names.dns, names.uri, names.email, names.ip) == (
        ("B.test", "a.test"), ("spiffe://a.test/x",), ("A@a.test",), ("192.0.2.1", "::1")
    )  # fmt: skip
    assert describe(make("x").der).sans == AlternativeNames()


@pytest.mark.parametrize("version", [x509.Version.v1, x509.Version.v3])
@pytest.mark.parametrize(
    ("key", "kind", "bits"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA", 2048),
        (ec.generate_private_key(ec.SECP384R1()), "ECDSA", 384),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", 256),
        (ed448.Ed448PrivateKey.generate(), "Ed448", 456),
        (dsa.generate_private_key(2048), "DSA", 2048),
        (x25519.X25519PrivateKey.generate(), "1.3.101.110", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_keys_have_a_kind_a_size_and_a_hash(key: Any, kind: str, bits: int, version: x509.Version) -> None:
    """Of every kind of key, in certificates with a version and without; the hash is that of the DER in them."""
    issuer = make_authority()
    builder = x509.CertificateBuilder(
        issuer.certificate.subject, issuer.certificate.subject, key.public_key(), 1,
        issuer.certificate.not_valid_before_utc, issuer.certificate.not_valid_after_utc,
    )  # fmt: skip
    builder._version = version
    description = describe(Issued(builder.sign(issuer.key, hashes.SHA256()), issuer.key).der)
    assert (description.key_type, description.key_bits) == (kind, bits)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert description.spki_sha256 == hashlib.sha256(der).hexdigest()


def test_the_hash_of_a_key_is_over_the_very_bytes() -> None:
    """A point that is written in its compressed form is not rewritten first."""
    issued = make("x", key=(key := ec.generate_private_key(ec.SECP256R1())))
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    short = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    shorter = info.replace(b"\x03\x42\x00" + point, b"\x03\x22\x00" + short).replace(b"\x30\x59", b"\x30\x39", 1)
    tbs = issued.certificate.tbs_certificate_bytes
    start = issued.der.index(tbs)
    content = b"".join(elements(tbs))
    der = sequence(sequence(content.replace(info, shorter)) + issued.der[start + len(tbs) :])
    assert describe(der).spki_sha256 == hashlib.sha256(shorter).hexdigest()
    assert describe(der).key_bits == 256


def test_a_key_that_cannot_be_read_has_no_size() -> None:
    """A key on a curve that nobody knows is smaller than any minimum."""
    curve, unknown = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f")
    description = describe(make("x").der.replace(curve, unknown))
    assert (description.key_type, description.key_bits) == ("ECDSA", 0)


def test_extended_key_usages() -> None:
    """The usages that a leaf names, none if it names none."""
    usages = describe(make("x", eku=(CLIENT, SERVER)).der).extended_key_usages
    assert usages == (CLIENT.dotted_string, SERVER.dotted_string)
    assert describe(make("x", eku=None).der).extended_key_usages == ()


def test_malformed_certificates_are_value_errors() -> None:
    """Whatever is not a certificate is a ``ValueError``, which the callers refuse."""
    for der in (b"", b"\x30\x00", make("x").der[:-1]):
        with pytest.raises(ValueError):
            describe(der)


def test_a_certificate_is_read_once_but_huge_ones_are_not_kept() -> None:
    """The same certificate is read once; one larger than the limit every time, so that it fills no memory."""
    small = make("small").der
    huge = make("huge", sans=[f"DNS:{number}.test" for number in range(1000)]).der
    assert describe(small) is describe(bytes(bytearray(small)))
    assert describe(huge) is not describe(huge)
    assert identity_module._remembered.cache_info().maxsize == 1024


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x31\x00", b"\x30\x03\x31\x01\x00"])
def test_a_malformed_name_is_a_value_error(der: bytes) -> None:
    """OpenSSL's one-line form of what is no name."""
    with pytest.raises(ValueError, match="OpenSSL cannot read a name"):
        legacy_name(der)


def test_every_name_of_an_attribute_is_openssl_s() -> None:
    """The short names are those of RFC 4514 where it has one."""
    assert {NAMES[oid.dotted_string] for oid in TYPES} == {
        "CN", "O", "OU", "emailAddress", "DC", "UID", "serialNumber", "SN", "street",
    }  # fmt: skip
