"""What origins are told of clients: RFC 9440 word for word, Envoy's quoting, nginx's formats, hostile certificates."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from urllib.parse import unquote

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, strategies
from OpenSSL import crypto

from edgenode.model.exchange import Address, Connection, Verification
from edgenode.proxy.certificate_headers import LARGEST, LARGEST_CHAIN, STYLES, certificate_lines, uris_of
from edgenode.proxy.headers import response_lines
from edgenode.proxy.http1.response_head import read_response_head
from edgenode.tls.identity import identity_of
from edgenode.tls.policies import check_group
from edgenode.tls.servergroups import CERTIFICATE_HEADERS, ServerGroup
from tests.support import rfc9440
from tests.support.certificates import Issued, make, make_authority
from tests.support.handshakes import loaded, trusted

VERIFIED = Verification(presented=True, verified=True)
UNKNOWN = Verification(
    presented=True, first_error=20, last_error=21, errors=(20, 21), reason="unable to verify the first certificate"
)
PLACE = Address("192.0.2.1", 1)


def connection(
    leaf: x509.Certificate, chain: Sequence[x509.Certificate] = (), verdict: Verification = VERIFIED
) -> Connection:
    """A connection of a client with a certificate that was found to be so."""
    identity = identity_of(crypto.X509.from_cryptography(leaf), verdict)
    verified = tuple(each.public_bytes(Encoding.DER) for each in chain) if verdict.verified else ()
    return Connection(PLACE, PLACE, client=evolve(identity, chain_verified=verified))


def told(style: str, of: Connection, ours: tuple[str, ...] = ()) -> dict[bytes, bytes]:
    """The fields of a style by name; none is there twice, nor there and left out."""
    pairs = list(STYLES[style](of, ours))
    assert len(dict(pairs)) == len(pairs)
    return {name: value for name, value in pairs if value is not None}


def left_out(style: str, of: Connection) -> tuple[str, ...]:
    """What is left out of them."""
    return certificate_lines([style], of, ())[1]


def named(subject: x509.Name) -> x509.Certificate:
    """A certificate with a subject that may be anything."""
    key = make("x")
    plain = key.certificate
    builder = x509.CertificateBuilder(
        plain.issuer, subject, key.key.public_key(), 1, plain.not_valid_before_utc, plain.not_valid_after_utc
    )
    return builder.sign(key.key, plain.signature_hash_algorithm)  # type: ignore[arg-type]


def common_name(text: str) -> x509.Name:
    """A distinguished name of one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)])


def novel(length: int, character: str = "x") -> x509.Name:
    """A distinguished name of so many characters."""
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, character * length)])


def serial_of(issued: Issued) -> bytes:
    """A serial number as OpenSSL prints it: whole bytes, and none of zero in front."""
    number = issued.certificate.serial_number
    return number.to_bytes((number.bit_length() + 7) // 8, "big").hex().upper().encode()


def padded(size: int) -> x509.Certificate:
    """A certificate with so many bytes in it that say nothing of its holder."""
    padding = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.2.3"), b"\x04\x82%b" % size.to_bytes(2, "big") + bytes(size)
    )
    return make("x", extensions=[padding]).certificate


# -- RFC 9440 ---------------------------------------------------------------------------------------------------------


def test_the_example_of_rfc_9440() -> None:
    """The chain of appendix A gives its two fields, byte for byte."""
    leaf, *issuers = x509.load_pem_x509_certificates(rfc9440.CHAIN)
    fields = [b"%b: %b" % field for field in told("rfc9440", connection(leaf, issuers)).items()]
    assert fields == rfc9440.FIELDS


def test_a_leaf_that_is_an_anchor_itself_has_no_chain() -> None:
    """Without an issuer there is no Client-Cert-Chain: an empty list has no field."""
    assert list(told("rfc9440", connection(make("x").certificate))) == [b"Client-Cert"]


@pytest.mark.parametrize("style", ["rfc9440", "xfcc"])
@pytest.mark.parametrize("verdict", [UNKNOWN, evolve(VERIFIED, revoked=True), Verification(presented=True)])
def test_who_is_not_verified_is_not_spoken_of(style: str, verdict: Verification) -> None:
    """An origin trusts these fields, so a certificate that was merely presented gives none of them."""
    assert told(style, connection(make("x").certificate, (), verdict)) == {}
    assert told(style, Connection(PLACE, PLACE)) == {}


def test_a_large_leaf_takes_its_chain_with_it() -> None:
    """A leaf of more than 10 KiB is left out whole, and a chain never appears without its leaf (section 2.3)."""
    issuer = make_authority().certificate
    sizes = {}
    for padding in (7000, 8000):
        leaf = named(novel(padding))
        sizes[padding] = len(base64.b64encode(leaf.public_bytes(Encoding.DER))) + 2
        fields = told("rfc9440", connection(leaf, [issuer]))
        assert list(fields) == ([b"Client-Cert", b"Client-Cert-Chain"] if sizes[padding] <= LARGEST else [])
    assert sizes[7000] <= LARGEST < sizes[8000]


def test_a_large_chain_is_left_out_alone() -> None:
    """A chain of more than 16 KiB is left out, and the leaf stays."""
    leaf, issuer = make("x").certificate, named(novel(5000))
    assert b"Client-Cert-Chain" in told("rfc9440", connection(leaf, [issuer] * 2))
    assert list(told("rfc9440", connection(leaf, [issuer] * 3))) == [b"Client-Cert"]


@pytest.mark.parametrize(
    ("vary", "sent"),
    [
        (b"Client-Cert", b"*"),
        (b"accept-encoding, client-cert", b"*"),
        (b"Accept-Encoding,\tCLIENT-CERT-CHAIN , Origin", b"*"),
        (b"X-Forwarded-Client-Cert", b"*"),
        (b"SSL_CLIENT_VERIFY", b"*"),
        (b"Accept-Encoding, Origin", b"Accept-Encoding, Origin"),
        (b"*", b"*"),
        (b"", b""),
    ],
)
def test_vary_by_certificate_becomes_vary_by_everything(vary: bytes, sent: bytes) -> None:
    """A client's cache cannot tell clients apart by a field that no client sends (section 2.4)."""
    head = read_response_head(b"HTTP/1.1 200 OK\r\nDate: now\r\nVary: %b\r\n\r\n" % vary, b"GET")
    assert response_lines(head, b"edge").removeprefix(b"Date: now\r\n") == b"Vary: %b\r\nVia: 1.1 edge\r\n" % sent


# -- Envoy ------------------------------------------------------------------------------------------------------------


def elements(value: str) -> list[dict[str, list[str]]]:
    r"""An X-Forwarded-Client-Cert header as Envoy's documentation says that it is read.

    Elements are separated by commas and pairs by semicolons, outside of double quotes; in these ``\"`` is a quote.
    """
    found: list[dict[str, list[str]]] = [{}]
    at = 0
    pair = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\"|\\(?!"))*)"|([^",;=]*))(?:([,;])|\Z)')
    while at < len(value):
        match = pair.match(value, at)
        assert match is not None, value[at:]
        key, quoted, plain, separator = match.groups()
        found[-1].setdefault(key, []).append(plain if quoted is None else quoted.replace('\\"', '"'))
        if separator == ",":
            found.append({})
        at = match.end()
    return found


def escaping(value: str) -> list[str]:
    """The pairs of a header for a reader to whom a backslash escapes whatever is behind it."""
    return re.findall(r'[A-Za-z]+=(?:"(?:[^"\\]|\\.)*"|[^",;]*)', value)


def test_xfcc_has_every_key_of_envoy() -> None:
    """One element: By for each URI of ours, Hash, Cert, Chain with the leaf, quoted Subject, each URI and DNS name."""
    root = make_authority("CN=Root,O=Acme")
    sans = ["URI:spiffe://acme.example/billing", "DNS:billing.test", "URI:https://acme.example/b", "DNS:*.b.test"]
    leaf = root.issue("CN=billing,O=Acme", sans=sans)
    ours = ("spiffe://acme.example/edge", "spiffe://acme.example/edge-2")
    (value,) = told("xfcc", connection(leaf.certificate, [root.certificate]), ours).values()
    assert re.sub(r"%0A\w[\w%]*", "%0A…", value.decode()) == (
        "By=spiffe://acme.example/edge;By=spiffe://acme.example/edge-2"
        f";Hash={hashlib.sha256(leaf.der).hexdigest()}"
        ';Cert="-----BEGIN%20CERTIFICATE-----%0A…-----END%20CERTIFICATE-----%0A"'
        ';Chain="-----BEGIN%20CERTIFICATE-----%0A…-----END%20CERTIFICATE-----%0A'
        '-----BEGIN%20CERTIFICATE-----%0A…-----END%20CERTIFICATE-----%0A"'
        ';Subject="CN=billing,O=Acme"'
        ";URI=spiffe://acme.example/billing;URI=https://acme.example/b"
        ";DNS=billing.test;DNS=*.b.test"
    )
    (read,) = elements(value.decode())
    assert unquote(read["Cert"][0]).encode() == leaf.pem
    assert unquote(read["Chain"][0]).encode() == leaf.pem + root.pem


def test_xfcc_of_a_certificate_without_names() -> None:
    """An empty subject is still there, in quotes, as Envoy has it; By, URI and DNS are not."""
    (value,) = told("xfcc", connection(named(x509.Name([])))).values()
    (read,) = elements(value.decode())
    assert list(read) == ["Hash", "Cert", "Chain", "Subject"]
    assert read["Subject"] == [""]


@pytest.mark.parametrize(
    ("uri", "written"),
    [
        ("spiffe://a.example/b", "URI=spiffe://a.example/b"),
        ("https://a.example/?b=c", 'URI="https://a.example/?b=c"'),
        ("https://a.example/b;c", 'URI="https://a.example/b;c"'),
        ("urn:a,b", 'URI="urn:a,b"'),
        ('https://a.example/";URI=spiffe://b', None),
        ("https://a.example/\\", None),
        ("https://a.example/ b", None),
        ("spiffe://a\r\nClient-Cert: :AA==:", None),
        ("spiffe://a\0", None),
        ("", None),
    ],
)
def test_xfcc_quotes_what_has_a_separator(uri: str, written: str | None) -> None:
    """A value with a comma, a semicolon or an equals sign is quoted; what is no URI at all is left out."""
    name = x509.UniformResourceIdentifier._init_without_validation(uri)
    leaf = make("x", extensions=[x509.SubjectAlternativeName([name])]).certificate
    (value,) = told("xfcc", connection(leaf)).values()
    assert re.findall(rb"URI=.*", value) == ([] if written is None else [written.encode()])


@pytest.mark.parametrize("name", ['a";URI=spiffe://b', "a,b", "a;b", "a\r\nb", "a\0b", "a b", ""])
def test_xfcc_leaves_out_what_is_no_host_name(name: str) -> None:
    """A DNS name with a character that none may have is left out; the others stay."""
    hostile, good = x509.DNSName._init_without_validation(name), x509.DNSName("good.test")
    leaf = make("x", extensions=[x509.SubjectAlternativeName([hostile, good])]).certificate
    (value,) = told("xfcc", connection(leaf)).values()
    assert re.findall(rb"DNS=.*", value) == [b"DNS=good.test"]


@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ("plain", "CN=plain"),
        ("a, b", "CN=a\\, b"),
        ('a"b', 'CN=a\\"b'),
        ("a\\", "CN=a\\5C"),
        ('\\"', 'CN=\\5C\\"'),
        ('";URI=spiffe://admin;A="', 'CN=\\"\\;URI=spiffe://admin\\;A=\\"'),
        ("Jürgen", "CN=J\\C3\\BCrgen"),
        ("a\r\nb", "CN=a\\0D\\0Ab"),
    ],
)
def test_xfcc_subject(subject: str, written: str) -> None:
    r"""The subject is RFC 4514 in quotes; a quote in it is ``\"``, and a backslash never stands before the last one."""
    (value,) = told("xfcc", connection(named(common_name(subject)))).values()
    assert value.decode().endswith(f';Subject="{written}"')


@given(strategies.text(strategies.sampled_from('\\",;= #+<>a\u0151\x7f\r\n\0'), min_size=1, max_size=12))
def test_no_subject_breaks_out_of_its_quotes(subject: str) -> None:
    r"""Whatever it is, readers who know only ``\"`` and readers who know every escape see the same four pairs."""
    (value,) = told("xfcc", connection(named(common_name(subject)))).values()
    text = value.decode("ascii")
    assert text.isprintable()
    (read,) = elements(text)
    assert list(read) == ["Hash", "Cert", "Chain", "Subject"]
    pairs = escaping(text)
    assert [pair.partition("=")[0] for pair in pairs] == list(read)
    assert ";".join(pairs) == text


def test_xfcc_with_endless_names_is_left_out() -> None:
    """A field with half of a client's names would tell of another client."""
    many = [f"DNS:{'a' * 50}{number}.test" for number in range(250)]
    assert told("xfcc", connection(make("x", sans=many).certificate)) == {}
    assert told("xfcc", connection(named(novel(LARGEST + 1)))) == {}
    assert told("xfcc", connection(make("x", sans=many[:100]).certificate)) != {}


def test_xfcc_leaves_out_a_large_certificate_alone() -> None:
    """Cert and Chain are left out if they are too long, each by itself; Hash still says which certificate it is."""
    small, large = make("x").certificate, named(novel(6000))
    cases: list[tuple[x509.Certificate, list[x509.Certificate], list[str]]] = [
        (small, [large], ["Cert", "Chain"]),
        (small, [large] * 2, ["Cert"]),
        (padded(9000), [], ["Chain"]),
        (padded(20000), [], []),
    ]
    for leaf, chain, keys in cases:
        (value,) = told("xfcc", connection(leaf, chain)).values()
        (read,) = elements(value.decode())
        assert list(read) == ["Hash", *keys, "Subject"]
        assert read["Hash"] == [hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest()]


def test_by_names_every_uri_of_ours_once() -> None:
    """The URIs of all certificates of a group, RSA and ECDSA, in their order and each once; what is none is none."""
    first = make("edge", sans=["URI:spiffe://a/edge", "DNS:edge.test", "URI:spiffe://a/two"])
    second = make("edge", sans=["URI:spiffe://a/edge", "URI:spiffe://a/three"])
    hostile = x509.SubjectAlternativeName([x509.UniformResourceIdentifier._init_without_validation('spiffe://a";By="')])
    third = make("edge", extensions=[hostile])
    assert uris_of(loaded("x", each) for each in (first, second, third)) == (
        "spiffe://a/edge", "spiffe://a/two", "spiffe://a/three",
    )  # fmt: skip
    assert uris_of([loaded("x", make("edge"))]) == ()


# -- nginx ------------------------------------------------------------------------------------------------------------


def test_nginx_of_a_verified_client() -> None:
    """Every variable of nginx's recipes in nginx's format; the fingerprint is SHA-1, as nginx has it."""
    leaf = make_authority("CN=Root,O=Acme").issue("CN=billing,O=Acme")
    fields = told("nginx", connection(leaf.certificate))
    assert unquote(fields.pop(b"SSL_CLIENT_CERT").decode()).encode() == leaf.pem
    assert fields == {
        b"SSL_CLIENT_VERIFY": b"SUCCESS",
        b"SSL_CLIENT_S_DN": b"CN=billing,O=Acme",
        b"SSL_CLIENT_I_DN": b"CN=Root,O=Acme",
        b"SSL_CLIENT_SERIAL": serial_of(leaf),
        b"SSL_CLIENT_FINGERPRINT": hashlib.sha1(leaf.der, usedforsecurity=False).hexdigest().encode(),
    }


def test_nginx_says_what_is_wrong() -> None:
    """A client that is not verified is FAILED with the reason, beside what it presented; nobody is NONE, no more."""
    fields = told("nginx", connection(make("x").certificate, (), UNKNOWN))
    assert fields[b"SSL_CLIENT_VERIFY"] == b"FAILED:unable to verify the first certificate"
    assert fields[b"SSL_CLIENT_S_DN"] == b"CN=x"
    assert told("nginx", Connection(PLACE, PLACE)) == {b"SSL_CLIENT_VERIFY": b"NONE"}


@pytest.mark.parametrize(("size", "there"), [(0, False), (1, True), (LARGEST, True), (LARGEST + 1, False)])
def test_nginx_has_values_of_up_to_10_kib(size: int, there: bool) -> None:
    """To the byte."""
    known = connection(make("x").certificate, (), UNKNOWN)
    assert known.client is not None
    fields = told("nginx", evolve(known, client=evolve(known.client, subject="x" * size)))
    assert (fields.get(b"SSL_CLIENT_S_DN") == b"x" * size) is there
    assert (b"SSL_CLIENT_S_DN" in fields) is there


def test_nginx_leaves_out_what_is_empty_or_too_long() -> None:
    """No field is cut short, and none is empty; the verdict is always there."""
    short = {b"SSL_CLIENT_VERIFY", b"SSL_CLIENT_I_DN", b"SSL_CLIENT_SERIAL", b"SSL_CLIENT_FINGERPRINT"}
    assert set(told("nginx", connection(named(novel(LARGEST + 1))))) == short
    assert set(told("nginx", connection(named(x509.Name([]))))) == short | {b"SSL_CLIENT_CERT"}
    # Escaped, it is three times as long as it was.
    assert set(told("nginx", connection(named(novel(LARGEST // 5, "\u0151"))))) == short | {b"SSL_CLIENT_CERT"}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a\r\nClient-Cert: :AA==:", b"CN=a\\0D\\0AClient-Cert: :AA==:"),
        ("a\0b\tc\x7f", b"CN=a\\00b\\09c\\7F"),
        ("J\u00fcrgen \u2028\x85", b"CN=J\\C3\\BCrgen \\E2\\80\\A8\\C2\\85"),
        (" a ", b"CN=\\ a\\20"),
    ],
)
def test_a_hostile_name_stays_in_its_field(name: str, written: bytes) -> None:
    """Control characters and all that is not ASCII are escaped; a space at the end is not lost behind its backslash."""
    assert told("nginx", connection(named(common_name(name))))[b"SSL_CLIENT_S_DN"] == written


# -- all of them ------------------------------------------------------------------------------------------------------


@given(strategies.text(min_size=1, max_size=16), strategies.text(max_size=40), strategies.sampled_from(sorted(STYLES)))
def test_every_value_is_a_field_value(subject: str, reason: str, style: str) -> None:
    """Printable ASCII, no white space at its ends (RFC 9110, section 5.5), whatever a certificate or a reason is."""
    try:
        leaf = named(common_name(subject))
    except UnicodeEncodeError:
        return
    for verdict in (VERIFIED, evolve(UNKNOWN, reason=f"x{reason}x")):
        for value in told(style, connection(leaf, [leaf], verdict), ("spiffe://a/b",)).values():
            assert re.fullmatch(rb"[!-~](?:[ -~]*[!-~])?", value)


@pytest.mark.parametrize(
    ("style", "names"),
    [
        ("rfc9440", ("Client-Cert", "Client-Cert-Chain")),
        ("xfcc", ("X-Forwarded-Client-Cert",)),
        ("nginx", ("SSL_CLIENT_CERT", "SSL_CLIENT_S_DN")),
    ],
)
def test_what_is_too_long_is_named(style: str, names: tuple[str, ...]) -> None:
    """What the origin is not told the event is; what was never there, or not to be told, is not missing."""
    leaf, issuer = named(novel(LARGEST + 1)), make_authority().certificate
    assert left_out(style, connection(leaf, [issuer])) == names
    assert left_out(style, connection(make("x").certificate)) == ()
    assert left_out(style, Connection(PLACE, PLACE)) == ()
    assert left_out("none", connection(leaf)) == ()
    if style != "nginx":
        assert left_out(style, connection(leaf, (), UNKNOWN)) == ()


def test_each_key_of_xfcc_that_is_too_long_is_named() -> None:
    """The rest of the field is there."""
    assert left_out("xfcc", connection(padded(9000))) == ("X-Forwarded-Client-Cert Chain",) or left_out(
        "xfcc", connection(padded(20000))
    ) == ("X-Forwarded-Client-Cert Cert", "X-Forwarded-Client-Cert Chain")
    assert left_out("rfc9440", connection(make("x").certificate, [named(novel(5000))] * 3)) == ("Client-Cert-Chain",)


def test_the_words_of_the_key_are_the_styles() -> None:
    """Each word but ``none`` is a style, and each style can be written."""
    assert ("none", *STYLES) == CERTIFICATE_HEADERS


def check(headers: tuple[str, ...], mtls: str = "on") -> list[tuple[str, str, bool]]:
    """The problems of a server group with certificate headers."""
    root: Issued = make_authority()
    group = ServerGroup(certificate=("x",), security_policy="x", mtls=mtls, certificate_headers=headers)
    problems = check_group("x", group, [loaded("x", root.issue("edge"))], [trusted(root)])
    return [(problem.key, problem.sentence, problem.warning) for problem in problems]


def test_none_stands_alone() -> None:
    """``none`` beside a style is an error: nobody can tell which of the two was meant."""
    assert check(("none",)) == check(("rfc9440", "nginx", "xfcc")) == []
    assert check(("none", "xfcc")) == [
        ("certificate-headers", "none and another style contradict each other", False),
    ]  # fmt: skip


@pytest.mark.parametrize("style", ["rfc9440", "xfcc"])
def test_telling_of_nobody_is_doubtful(style: str) -> None:
    """Without mTLS there is never a certificate to tell of, which is a warning; nginx's NONE can be told."""
    sentence = "mtls = off asks for no certificate, so there is none to tell of"
    assert check((style,), "off") == [("certificate-headers", sentence, True)]
    assert check(("nginx",), "off") == []


def test_sizes_are_those_that_are_documented() -> None:
    """10 KiB for a value, 16 KiB for a chain."""
    assert (LARGEST, LARGEST_CHAIN) == (10240, 16384)
