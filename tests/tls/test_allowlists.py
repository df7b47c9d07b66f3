"""A list lets in what it says, and nothing that merely looks like it."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, strategies

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import AlternativeNames
from edgenode.tls.allowlists import CertificatePin, DNSPattern, EmailPattern, KeyPin, SubjectPattern, URIPattern
from edgenode.tls.identity import describe
from edgenode.tls.names import distinguished_name
from tests.support.certificates import Issued, make, new_key

PATTERNS = (CertificatePin, DNSPattern, EmailPattern, KeyPin, SubjectPattern, URIPattern)
SHA256 = hashlib.sha256(b"x").hexdigest()
BASE64 = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


def names(*written: str) -> AlternativeNames:
    """The alternative names of a certificate that was made with them."""
    return describe(make("client", sans=written).der).sans


def raw(der: bytes) -> AlternativeNames:
    """The alternative names of a certificate whose extension is these bytes."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), der)
    return describe(make("client", extensions=[extension]).der).sans


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "A.Example.COM", True),
        ("a.example.com", "a.example.com.", False),
        ("a.example.com", "a.example.com.evil.test", False),
        ("a.example.com", "xa.example.com", False),
        ("a.example.com", "*.example.com", False),
        ("a.example.com", "a.example.com\0.evil.test", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a_b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "*.example.com", False),
        ("*.example.com", "a*.example.com", False),
        ("*.example.com", "evil.test\0.example.com", False),
        ("*.example.com", "evil test.example.com", False),
        ("*.example.com", "-a.example.com", False),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", True),
    ],
)
def test_dns_names(pattern: str, name: str, allowed: bool) -> None:
    """A DNS name is compared whole, without case; a wildcard is one good label; a certificate's own matches nothing."""
    assert DNSPattern.from_text(pattern).allows(names(f"DNS:{name}")) is allowed


@pytest.mark.parametrize(
    ("pattern", "uris", "allowed"),
    [
        ("spiffe://a.test/web", ["spiffe://a.test/web"], True),
        ("spiffe://a.test/web", ["spiffe://a.test/web/"], False),
        ("spiffe://a.test/web", ["spiffe://A.test/web"], False),
        ("spiffe://a.test/web", ["spiffe://a.test/web", "spiffe://b.test/web"], False),
        ("spiffe://a.test/*", ["spiffe://a.test/web"], True),
        ("spiffe://a.test/*", ["spiffe://a.test/ns/prod/web"], True),
        ("spiffe://a.test/*", ["spiffe://a.test"], False),
        ("spiffe://a.test/*", ["spiffe://a.test/"], False),
        ("spiffe://a.test/*", ["spiffe://a.test//web"], False),
        ("spiffe://a.test/*", ["spiffe://a.test.evil/web"], False),
        ("spiffe://a.test/*", ["spiffe://a.test@evil/web"], False),
        ("spiffe://a.test/*", ["http://a.test/web"], False),
        ("spiffe://a.test/*", ["spiffe://evil/web", "spiffe://a.test/web"], False),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns/web"], True),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns2/web"], False),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns/../admin"], False),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns/./web"], False),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns/%2e%2e/admin"], False),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns/web?x"], False),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns/web#x"], False),
        ("spiffe://a.test/ns/*", ["spiffe://a.test/ns/web\0"], False),
        ("urn:a:b", ["urn:c", "urn:a:b"], True),
        ("https://a.test/x/*", ["https://a.test/x/y"], True),
    ],
)
def test_uris(pattern: str, uris: list[str], allowed: bool) -> None:
    """A URI is compared byte by byte, a prefix by whole segments with one reading, a SPIFFE ID only if it is alone."""
    assert URIPattern.from_text(pattern).allows(names(*(f"URI:{uri}" for uri in uris))) is allowed


@pytest.mark.parametrize(
    ("pattern", "mailbox", "allowed"),
    [
        ("alice@example.com", "alice@example.com", True),
        ("alice@example.com", "alice@EXAMPLE.com", True),
        ("alice@example.com", "Alice@example.com", False),
        ("alice@example.com", "alice@example.com.evil.test", False),
        ("@example.com", "bob.b+x@example.com", True),
        ("@example.com", "bob@sub.example.com", False),
        ("@example.com", "bob@evilexample.com", False),
        ("@example.com", "@example.com", False),
        ("@example.com", "bob@evil.test@example.com", False),
        ("@example.com", '"bob@evil.test,"@example.com', False),
        ("@example.com", "bob@evil.test\0@example.com", False),
        ("@example.com", "example.com", False),
    ],
)
def test_mailboxes(pattern: str, mailbox: str, allowed: bool) -> None:
    """The domain is compared without case, the rest with it, and what is quoted or has two @ matches nothing."""
    certificate = make(
        "client", extensions=[x509.SubjectAlternativeName([x509.RFC822Name._init_without_validation(mailbox)])]
    )
    assert EmailPattern.from_text(pattern).allows(describe(certificate.der).sans) is allowed


@pytest.mark.parametrize(
    "kind", [DNSPattern.from_text("a.test"), EmailPattern.from_text("a@a.test"), URIPattern.from_text("urn:a")]
)
def test_kinds_are_not_mixed_up(kind: Any) -> None:
    """A name of one kind is never taken for one of another, and the common name is none at all."""
    written = {"dns": "a.test", "email": "a@a.test", "uri": "urn:a"}
    for other, text in written.items():
        for wrong in {"dns", "email", "uri"} - {other}:
            found = AlternativeNames(**{wrong: (text,)})
            assert not (kind.allows(found) and str(kind) == text), (kind, wrong)
    assert not kind.allows(describe(make("CN=a.test").der).sans)


@pytest.mark.parametrize(
    "der",
    [
        bytes.fromhex("3009820761c2b02e636f6d"),  # a DNS name with bytes beyond ASCII
        bytes.fromhex("3009810761c2b02e636f6d"),  # a mailbox
        bytes.fromhex("3009860761c2b02e636f6d"),  # a URI
        bytes.fromhex("300582046162"),  # cut short
        bytes.fromhex("3000"),  # empty
        bytes.fromhex("300587036162" + "63"),  # an address of three bytes
    ],
)
def test_what_cannot_be_read_names_nobody(der: bytes) -> None:
    """A malformed extension gives no names, rather than those that are well-formed in it."""
    assert raw(der) == AlternativeNames()


def test_one_malformed_name_spoils_them_all() -> None:
    """Beside a name that cannot be read the good one does not count either."""
    good = b"\x82\x06a.test"
    assert raw(b"\x30\x08" + good).dns == ("a.test",)
    assert raw(b"\x30\x0c" + good + b"\x82\x02\xc2\xb0") == AlternativeNames()


def subject(*rdns: list[tuple[x509.ObjectIdentifier, str]]) -> str:
    """A subject as events write it."""
    return distinguished_name(
        x509.Name(
            x509.RelativeDistinguishedName([x509.NameAttribute(oid, value) for oid, value in rdn]) for rdn in rdns
        )
    )


CN, ORG, OU = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


@pytest.mark.parametrize(
    ("pattern", "written", "allowed"),
    [
        ("CN=Alice,O=Acme", [[(ORG, "Acme")], [(CN, "Alice")]], True),
        ("CN=Alice,O=Acme", [[(CN, "Alice")], [(ORG, "Acme")]], False),
        ("CN=Alice,O=Acme", [[(ORG, "Acme")], [(CN, "Alice")], [(CN, "Bob")]], False),
        ("CN=Alice,O=Acme", [[(ORG, "Evil")], [(ORG, "Acme")], [(CN, "Alice")]], False),
        ("CN=Alice,O=Acme", [[(CN, "Alice,O=Acme")]], False),
        ("CN=Alice,O=Acme", [[(ORG, "Acme"), (CN, "Alice")]], False),
        ("CN=Alice", [[(CN, "Alice")], [(CN, "Alice")]], False),
        ("CN=Alice", [[(CN, "alice")]], False),
        ("CN=Alice", [[(CN, "Alice\0")]], False),
        ("CN=Alice\\00", [[(CN, "Alice\0")]], True),
        ("CN=Alice+OU=x", [[(OU, "x"), (CN, "Alice")]], True),
        ("OU=x+CN=Alice", [[(OU, "x"), (CN, "Alice")]], True),
        ("OU=x,CN=Alice", [[(OU, "x"), (CN, "Alice")]], False),
        ("CN=Ann\\, Bob \\+ Co\\\\", [[(CN, "Ann, Bob + Co\\")]], True),
        ("CN=\\#Alice", [[(CN, "#Alice")]], True),
        ("CN=\\ Ali ce\\ ", [[(CN, " Ali ce ")]], True),
        ("CN=Jürgen", [[(CN, "Jürgen")]], True),
        ("CN=Jürgen", [[(CN, "Ju\u0308rgen")]], False),
        ("CN=J\\C3\\BCrgen", [[(CN, "Jürgen")]], True),
        ("CN=J\\c3\\bcrgen", [[(CN, "Jürgen")]], True),
        ("CN=J\\C3\\BCrgen", [[(CN, "JÃ¼rgen")]], False),
        ("CN=\\E6\\BC\\A2\\, \\F0\\9F\\98\\80", [[(CN, "漢, 😀")]], True),
        ("CN=\\\\C3\\\\BC", [[(CN, "\\C3\\BC")]], True),
        ("CN=\\ é\\20", [[(CN, " é ")]], True),
        ("CN=a\\\\\\20", [[(CN, "a\\ ")]], True),
        ("CN=a\\\\20", [[(CN, "a\\20")]], True),
        ("CN=\\\\\\C3\\BC", [[(CN, "\\ü")]], True),
        ("CN=\\C2\\80", [[(CN, "\x80")]], True),
    ],
)
def test_subjects(pattern: str, written: list[list[tuple[x509.ObjectIdentifier, str]]], allowed: bool) -> None:
    """A subject is compared part by part: no value can pretend to be several, and only within one is the order free."""
    assert SubjectPattern.from_text(pattern).allows(subject(*written)) is allowed


def test_a_value_that_comes_twice_is_not_one_that_comes_once() -> None:
    """What DER forbids in one part of a subject, and a lenient reader might let through, is another subject."""
    alice = SubjectPattern.from_text("CN=Alice")
    assert alice.allows("CN=Alice")
    assert not alice.allows("CN=Alice+CN=Alice")


@given(
    strategies.lists(
        strategies.text(strategies.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
        min_size=1,
        max_size=3,
    )
)
def test_what_events_write_can_be_listed(values: list[str]) -> None:
    """Whatever a subject holds, the text of the event is a pattern that means it."""
    written = subject(*([(ORG, value)] for value in values))
    assert SubjectPattern.from_text(written).allows(written)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("options", ["RFC2253", "RFC2253,-esc_msb"])
@pytest.mark.parametrize("value", ["José", "漢字 😀", 'a, "b" + c\\é', "#é", " é "])
def test_what_openssl_prints_can_be_listed(value: str, options: str) -> None:
    """The documented recipe, and the one that escapes what is beyond ASCII: both mean the certificate they are of."""
    parts = [x509.NameAttribute(ORG, "Ünion"), x509.NameAttribute(CN, value)]
    issued = make(x509.Name(parts).rfc4514_string())
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", options]
    printed = subprocess.run(command, input=issued.pem, capture_output=True, check=True).stdout.decode()
    pattern = SubjectPattern.from_text(printed.removeprefix("subject=").removesuffix("\n"))
    assert pattern.allows(describe(issued.der).subject)
    assert str(pattern) == describe(issued.der).subject


def test_no_hint_offers_what_is_in_no_certificate() -> None:
    """A hint is the very text of the event, whatever the entry has of it in bytes."""
    with pytest.raises(InvalidValue, match="events write this value as é\\\\;") as caught:
        SubjectPattern.from_text("CN=\\C3\\A9;")
    assert "Ã" not in caught.value.sentence
    with pytest.raises(InvalidValue, match="a space at the end is written"):
        SubjectPattern.from_text("CN=\\ é\\")


@pytest.mark.parametrize(
    ("kind", "text", "column"),
    [
        (DNSPattern, "*", 0),
        (DNSPattern, "*.", 2),
        (DNSPattern, "*.*.example.com", 2),
        (DNSPattern, "a*.example.com", 0),
        (DNSPattern, "a.*.com", 2),
        (DNSPattern, "A.example.com", None),
        (DNSPattern, "a.example.com.", 14),
        (DNSPattern, "bücher.example", None),
        (DNSPattern, "192.0.2.1", None),
        (DNSPattern, "::1", 0),
        (URIPattern, "*", None),
        (URIPattern, "spiffe://*", 7),
        (URIPattern, "spiffe:///*", 7),
        (URIPattern, "spiffe://*/web", 9),
        (URIPattern, "spiffe://a.test/*/web", 16),
        (URIPattern, "spiffe://a.test/web*", 19),
        (URIPattern, "spiffe://A.test/*", 9),
        (URIPattern, "spiffe://a.test/x/../y", 15),
        (URIPattern, "spiffe://a.test/", 15),
        (URIPattern, "SPIFFE://a.test/x", None),
        (URIPattern, "a.test/x", None),
        (URIPattern, "spiffe://a.test/x y", 17),
        (URIPattern, "https://a.test/?x/*", 6),
        (EmailPattern, "example.com", None),
        (EmailPattern, "@", 1),
        (EmailPattern, "*@example.com", None),
        (EmailPattern, "alice@*.example.com", 6),
        (EmailPattern, "alice@Example.com", 6),
        (EmailPattern, "a@b@example.com", None),
        (SubjectPattern, "Alice", 0),
        (SubjectPattern, "/CN=Alice/O=Acme", 0),
        (SubjectPattern, "CN=Alice, O=Acme", 9),
        (SubjectPattern, "CN = Alice", 0),
        (SubjectPattern, "cn=Alice", 0),
        (SubjectPattern, "CN=Alice,", 9),
        (SubjectPattern, "CN=a;b", 3),
        (SubjectPattern, "CN=a\\2Cb", 3),
        (SubjectPattern, "CN=a\\", 5),
        (SubjectPattern, "CN=Jos\\E9", 6),
        (SubjectPattern, "CN=Jos\\C3", 6),
        (SubjectPattern, "CN=Jos\\C3x\\A9", 6),
        (SubjectPattern, "CN=\\ED\\A0\\80", 3),
        (SubjectPattern, "CN=#0c01", 3),
        (CertificatePin, SHA256[:-1], None),
        (CertificatePin, SHA256[:40], None),
        (CertificatePin, BASE64, None),
        (CertificatePin, SHA256[:2] + ":" + SHA256[2:], None),
        (KeyPin, BASE64[:-1], None),
        (KeyPin, base64.b64encode(b"x" * 20).decode(), None),
        (KeyPin, BASE64[:-2] + chr(ord(BASE64[-2]) + 1) + "=", None),  # a second spelling: its spare bits are set
        (KeyPin, BASE64 + "\n", None),
        (KeyPin, BASE64.replace("=", ""), None),
        (KeyPin, "*", None),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(kind: Any, text: str, column: int | None) -> None:
    """A pattern that would match nothing, everything, or in two ways is refused, with the place."""
    with pytest.raises(InvalidValue) as caught:
        kind.from_text(text)
    assert caught.value.column == column, caught.value.sentence


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DNSPattern, "*.a.test"),
        (URIPattern, "spiffe://a.test/*"),
        (EmailPattern, "@a.test"),
        (SubjectPattern, "CN=a+O=b,C=DE"),
        (SubjectPattern, "1.2.3=#0C0161"),
        (CertificatePin, SHA256),
        (KeyPin, SHA256),
    ],
)
def test_what_is_written_is_read_again(kind: Any, text: str) -> None:
    """Each kind is written as it was read."""
    assert str(kind.from_text(text)) == text
    assert kind.from_text(str(kind.from_text(text))) == kind.from_text(text)


def test_pins_have_several_spellings() -> None:
    """Hexadecimal with colons or without, in either case, and for keys base64, are the same pin."""
    colons = ":".join(SHA256[index : index + 2] for index in range(0, 64, 2))
    assert {CertificatePin.from_text(each) for each in (SHA256, SHA256.upper(), colons)} == {CertificatePin(SHA256)}
    assert {KeyPin.from_text(each) for each in (SHA256, colons.upper(), BASE64)} == {KeyPin(SHA256)}


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_the_pin_of_a_key_is_that_of_its_der(kind: str) -> None:
    """The hash is over the SubjectPublicKeyInfo, as ``openssl`` and Envoy compute it."""
    issued: Issued = make("client", key=new_key(kind))
    der = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert describe(issued.der).spki_sha256 == hashlib.sha256(der).hexdigest()
