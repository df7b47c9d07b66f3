"""What a client certificate says, against what ``openssl x509`` prints of it, odd certificates among them."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from collections.abc import Sequence

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.exchange import Address, ClientIdentity, Connection, Exchange, Verification
from edgenode.rules.fields import FIELDS
from edgenode.tls.identity import describe
from tests.support.certificates import (
    CLIENT,
    SERVER,
    Issued,
    elements,
    key_identifier,
    make,
    make_authority,
    new_key,
    sequence,
)
from tests.support.handshakes import server_group, shake, trusted

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")

KEY = new_key()
PLAIN = make("x", key=KEY)


def printed(der: bytes, *options: str) -> str:
    """What ``openssl x509`` prints, without the name of what is printed."""
    command = ["openssl", "x509", "-inform", "DER", "-noout", *options]
    output = subprocess.run(command, input=der, capture_output=True, check=True).stdout.decode()
    return output.partition("=")[2].removesuffix("\n").replace("\\\n", "")


def with_serial(serial: int) -> bytes:
    """A certificate with a serial number that no builder allows; its signature is wrong, and nobody looks."""
    tbs = PLAIN.certificate.tbs_certificate_bytes
    fields = list(elements(tbs))
    content = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    fields[1] = b"\x02" + bytes([len(content)]) + content
    return sequence(sequence(b"".join(fields)) + PLAIN.der[PLAIN.der.index(tbs) + len(tbs) :])


def named(*rdns: Sequence[tuple[ObjectIdentifier, str, _ASN1Type]]) -> bytes:
    """A certificate with a subject, and an issuer that is the same, and no extensions."""
    name = x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(*part) for part in rdn]) for rdn in rdns])
    dates = PLAIN.certificate.not_valid_before_utc, PLAIN.certificate.not_valid_after_utc
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, *dates)
    return Issued(builder.sign(KEY, PLAIN.certificate.signature_hash_algorithm), KEY).der  # type: ignore[arg-type]


def read(der: bytes) -> ClientIdentity:
    """A description, of certificates that RFC 5280 forbids as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return describe(der)


@pytest.mark.parametrize("serial", [0, 1, 127, 128, -1, -129, 2**159 - 1, 2**300, -(2**100)])
def test_serials_are_openssl_s(serial: int) -> None:
    """Whole bytes in upper-case hexadecimal, of zero, negative and huge numbers too."""
    der = with_serial(serial)
    assert read(der).serial == printed(der, "-serial")


UTF8, BMP = _ASN1Type.UTF8String, _ASN1Type.BMPString
ORG, CN, PLACE = NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME, NameOID.LOCALITY_NAME


@pytest.mark.parametrize(
    "rdns",
    [
        [],
        [[(ORG, "Köln / 漢", UTF8)], [(CN, "x", UTF8)]],
        [[(ORG, "Acme", UTF8)], [(CN, "a", UTF8), (PLACE, "b", UTF8)], [(CN, "c", UTF8)]],
        [[(PLACE, "Zürich", BMP)]],
        [[(ObjectIdentifier("1.2.3.4"), "a\x01\\b", UTF8)]],
    ],
    ids=["empty", "UTF-8", "several in one", "BMP", "unknown"],
)
def test_one_line_names_are_openssl_s(rdns: list[list[tuple[ObjectIdentifier, str, _ASN1Type]]]) -> None:
    """The legacy form is that of ``-nameopt compat``: UTF-8, several attributes in one part, no subject at all."""
    der = named(*rdns)
    assert describe(der).subject_legacy == printed(der, "-subject", "-nameopt", "compat")
    assert describe(der).issuer_legacy == printed(der, "-issuer", "-nameopt", "compat")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=3))
def test_any_one_line_name_is_openssl_s(values: list[str]) -> None:
    """Whatever stands in a name."""
    der = named(*([(ORG, value, UTF8)] for value in values))
    assert describe(der).subject_legacy == printed(der, "-subject", "-nameopt", "compat")
    assert describe(der).subject_legacy.isascii()


def test_fingerprints_and_key_identifiers_are_openssl_s() -> None:
    """SHA-1 and SHA-256 of the certificate; its key's identifier and its issuer's, without colons."""
    root = make_authority("Root")
    der = root.issue("x", extensions=[key_identifier(root)], eku=[CLIENT, SERVER, ObjectIdentifier("1.2.3")]).der
    description = describe(der)
    assert description.fingerprint_sha1 == printed(der, "-fingerprint", "-sha1").replace(":", "").lower()
    assert description.fingerprint_sha256 == printed(der, "-fingerprint", "-sha256").replace(":", "").lower()
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-ext", "subjectKeyIdentifier,authorityKeyIdentifier"]
    lines = subprocess.run(command, input=der, capture_output=True, check=True).stdout.decode()
    found = [line.strip().removeprefix("keyid:").replace(":", "") for line in re.findall(r"\n +(\S+)", lines)]
    assert [description.ski, description.issuer_ski] == found
    assert description.issuer_ski == describe(root.der).ski
    assert description.extended_key_usages == (CLIENT.dotted_string, SERVER.dotted_string, "1.2.3")


def test_a_certificate_without_extensions_has_no_key_identifiers() -> None:
    """They are empty, and so are its usages."""
    description = describe(named([(CN, "x", UTF8)]))
    assert (description.ski, description.issuer_ski) == ("", "")
    assert description.extended_key_usages == ()


def exchange(root: Issued, *chain: Issued) -> Exchange:
    """What a handshake with a client gives."""
    identity = shake(server_group("optional-no-ca"), chain, trusted(root)).identity()
    return Exchange(Connection(Address("192.0.2.1", 1), Address("192.0.2.2", 443), client=identity))


def field(name: str, exchange: Exchange) -> object:
    """The value of one of Cloudflare's fields on certificates."""
    return FIELDS[f"cf.tls_client_auth.cert_{name}"].read(exchange)


def test_the_fields_of_a_client_are_what_openssl_prints() -> None:
    """Names, dates, serials and identifiers of a client behind an intermediate, field by field."""
    root = make_authority("O=Acme,CN=Root")
    inner = make_authority("CN=inner,O=Acme", issuer=root)
    leaf = inner.issue("CN=client,O=Acc\\, ess,C=DE", extensions=[key_identifier(inner)])
    there = exchange(root, leaf, inner)
    for name, option in (("subject", "-subject"), ("issuer", "-issuer")):
        for suffix in ("", "_rfc2253"):
            assert field(f"{name}_dn{suffix}", there) == printed(leaf.der, option, "-nameopt", "RFC2253").encode()
        assert field(f"{name}_dn_legacy", there) == printed(leaf.der, option, "-nameopt", "compat").encode()
    assert field("serial", there) == printed(leaf.der, "-serial").encode()
    assert field("issuer_serial", there) == printed(inner.der, "-serial").encode()
    assert field("not_before", there) == printed(leaf.der, "-startdate").encode()
    assert field("not_after", there) == printed(leaf.der, "-enddate").encode()
    assert field("issuer_ski", there) == field("ski", exchange(root, inner))
    assert (field("presented", there), field("verified", there), field("revoked", there)) == (True, True, False)


def test_the_serial_of_the_issuer_is_known_of_verified_clients_only() -> None:
    """A stranger's issuer may be anybody; one that is its own authority issued itself."""
    root, other = make_authority("Root"), make_authority("Other")
    assert field("issuer_serial", exchange(root, other.issue("stranger"), other)) == b""
    itself = make("itself")
    assert field("issuer_serial", exchange(itself, itself)) == printed(itself.der, "-serial").encode()


def test_dates_are_padded_with_a_space() -> None:
    """``Mar  1``, as OpenSSL prints it, whatever the locale."""
    root = make_authority("Root")
    day = PLAIN.certificate.not_valid_before_utc.replace(month=3, day=1, hour=3, minute=4, second=5)
    leaf = root.issue("x", not_before=day.replace(year=2020))
    there = exchange(root, leaf)
    assert field("not_before", there) == b"Mar  1 03:04:05 2020 GMT" == printed(leaf.der, "-startdate").encode()


def test_a_revoked_certificate_is_not_verified() -> None:
    """Even where something said that it was; a rule that asks for ``cert_verified`` alone does not let it in."""
    connection = exchange(root := make_authority("Root"), root.issue("x")).connection
    assert connection.client is not None
    revoked = evolve(connection.client, verification=Verification(presented=True, verified=True, revoked=True))
    there = Exchange(evolve(connection, client=revoked))
    assert (field("presented", there), field("verified", there), field("revoked", there)) == (True, False, True)
