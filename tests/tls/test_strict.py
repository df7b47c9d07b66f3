"""A strict trust store refuses what RFC 5280 forbids and OpenSSL lets pass, and nothing that keeps to it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence

import pytest
from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgenode.model.exchange import ClientIdentity
from edgenode.tls import admission as admission_module
from edgenode.tls import strict
from edgenode.tls.identity import UNREADABLE
from edgenode.tls.strict import path_fault
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import judge
from tests.support.certificates import (
    CLIENT,
    DAY,
    Issued,
    general_name,
    key_identifier,
    make,
    make_authority,
    name,
    new_key,
    now,
)
from tests.support.handshakes import server_group, shake, trusted

GROUP = server_group(verify_depth=4)
ROOT = make_authority("Root")
BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def built(
    issuer: Issued, change: Callable[[x509.CertificateBuilder], None] | None = None, *, nameless: bool = False
) -> Issued:
    """A client's certificate with its usual extensions, and a change to its builder; or without a subject."""
    key = new_key()
    leaf = make("client", issuer=issuer, key=key, extensions=[key_identifier(issuer)]).certificate
    builder = x509.CertificateBuilder(
        leaf.issuer, x509.Name([]) if nameless else leaf.subject, key.public_key(), leaf.serial_number,
        leaf.not_valid_before_utc, leaf.not_valid_after_utc, list(leaf.extensions),
    )  # fmt: skip
    if change is not None:
        change(builder)
    return Issued(builder.sign(issuer.key, hashes.SHA256()), key, issuer)


def conforming(issuer: Issued, **options: object) -> Issued:
    """A client's certificate that keeps to RFC 5280."""
    extensions = [key_identifier(issuer), *options.pop("extensions", ())]  # type: ignore[misc]
    return issuer.issue("client", extensions=extensions, **options)


def intermediate(issuer: Issued, **options: object) -> Issued:
    """An intermediate that keeps to RFC 5280."""
    extensions = [key_identifier(issuer), *options.pop("extensions", ())]  # type: ignore[misc]
    return make_authority("inner", issuer=issuer, extensions=extensions, **options)


def named(*names: x509.GeneralName, critical: bool = False) -> Callable[[x509.CertificateBuilder], None]:
    """Adds alternative names."""

    def change(builder: x509.CertificateBuilder) -> None:
        value = x509.SubjectAlternativeName(names)
        builder._extensions.append(x509.Extension(value.oid, critical, value))

    return change


def version_1(builder: x509.CertificateBuilder) -> None:
    """The version of before there were extensions."""
    builder._version = x509.Version.v1
    builder._extensions = []


def without_serial_number(builder: x509.CertificateBuilder) -> None:
    """The serial number 0."""
    builder._serial_number = 0


def constrained(critical: bool, name: x509.GeneralName | None = None) -> list[Issued]:
    """A chain whose intermediate is constrained, to the names of its leaf if it is not said to what."""
    value = x509.NameConstraints([name or x509.DNSName("a.test")], None)
    key = new_key()
    inner = intermediate(ROOT, key=key).certificate
    builder = x509.CertificateBuilder(
        inner.issuer, inner.subject, key.public_key(), inner.serial_number, inner.not_valid_before_utc,
        inner.not_valid_after_utc, list(inner.extensions),
    ).add_extension(value, critical)  # fmt: skip
    signed = Issued(builder.sign(ROOT.key, hashes.SHA256()), key, ROOT)
    return [conforming(signed, sans=["DNS:a.test"]), signed]


def _authority_without_key_identifier() -> Issued:
    key = new_key()
    full = make_authority("Old root", key=key).certificate
    builder = x509.CertificateBuilder(
        full.issuer, full.subject, key.public_key(), full.serial_number, full.not_valid_before_utc,
        full.not_valid_after_utc, [each for each in full.extensions if each.oid != x509.SubjectKeyIdentifier.oid],
    )  # fmt: skip
    return Issued(builder.sign(key, hashes.SHA256()), key)


def _of_an_old_authority() -> Issued:
    old = _authority_without_key_identifier()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(old.key.public_key())
    return old.issue("client", extensions=[identifier])


def _also(extension: x509.ExtensionType) -> list[Issued]:
    inner = intermediate(ROOT, extensions=[extension])
    return [conforming(inner), inner]


def _networked() -> Issued:
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex("300a8708c0000200ffffff00"))
    return conforming(ROOT, extensions=[extension])


def _odd() -> Issued:
    return conforming(ROOT, key=rsa.generate_private_key(65537, 2052))


def _misnamed(text: str) -> Issued:
    return built(ROOT, named(general_name(text)))


def _unreadable() -> Issued:
    information = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.1"), b"\x30\x03\x02\x01\x01")
    return conforming(ROOT, extensions=[information])


def _names(*permitted: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted, None)


def _of_a_root(extension: x509.ExtensionType, *, critical: bool = True, subject: str = "client") -> Issued:
    """The certificate of a client whose authority has another extension."""
    key = new_key()
    full = make_authority("Root of its own", key=key).certificate
    builder = x509.CertificateBuilder(
        full.issuer, full.subject, key.public_key(), full.serial_number, full.not_valid_before_utc,
        full.not_valid_after_utc, list(full.extensions),
    ).add_extension(extension, critical)  # fmt: skip
    root = Issued(builder.sign(key, hashes.SHA256()), key)
    return root.issue(subject, sans=["DNS:a.test"], extensions=[key_identifier(root)])


def _constrained_to_directory_names() -> list[Issued]:
    permitted = x509.DirectoryName(x509.Name([*name("CN=client").rdns]))
    inner = intermediate(ROOT, extensions=[x509.NameConstraints([permitted], None)])
    return [conforming(inner), inner]


def _self_issued() -> list[Issued]:
    """An authority that gave itself a new key: its limit of one intermediate is none on itself (section 4.2.1.9)."""
    root = make_authority("Limited", path_length=1)
    renewed = make_authority("Limited", issuer=root, path_length=1, extensions=[key_identifier(root)])
    inner = make_authority("inner", issuer=renewed, path_length=0, extensions=[key_identifier(renewed)])
    again = make_authority("inner", issuer=inner, path_length=0, extensions=[key_identifier(inner)])
    return [conforming(again), again, inner, renewed]


@frozen
class Case:
    """What OpenSSL lets pass.

    :ivar chain: the leaf, and what else the client sends.
    :ivar words: the reason of strict verification, in part.
    """

    name: str
    chain: Sequence[Issued]
    words: str


CASES = [
    Case("no issuer key identifier", [ROOT.issue()], "no authority key identifier"),
    Case("version 1", [built(ROOT, version_1)], "of version 1"),
    Case("an authority without key identifier", [_of_an_old_authority()], "without subject key identifier"),
    Case(
        "an intermediate without issuer key identifier",
        [conforming(inner := make_authority("inner", issuer=ROOT)), inner],
        "no authority key identifier",
    ),
    Case("constraints of a root that are not critical", [_of_a_root(_names(x509.DNSName("a.test")), critical=False)],
        "not critical"),
    Case("neither subject nor names", [built(ROOT, nameless=True)], "neither a subject"),
    Case("no subject, and names that are not critical", [built(ROOT, named(x509.DNSName("a.test")), nameless=True)],
        "neither a subject"),
    Case("an inhibited anyPolicy that is not critical", _also(x509.InhibitAnyPolicy(0)), "not critical"),
    Case("policy constraints that are not critical", _also(x509.PolicyConstraints(0, None)), "not critical"),
    Case("a network as an address", [_networked()], "malformed alternative name"),
    Case("an address as a DNS name", [_misnamed("DNS:192.0.2.1")], "malformed alternative name"),
    Case("an underscore", [_misnamed("DNS:a_b.test")], "malformed alternative name"),
    Case("a NUL", [_misnamed("DNS:a.test\0.b.test")], "malformed alternative name"),
    Case("an inner wildcard", [_misnamed("DNS:a.*.test")], "malformed alternative name"),
    Case("a relative URI", [_misnamed("URI:a/b")], "malformed alternative name"),
    Case("an authority as a client", [conforming(ROOT, authority=True, key_usage=None)], "basicConstraints"),
    Case("constraints of a leaf", [conforming(
        ROOT, extensions=[x509.NameConstraints([x509.DNSName("a.test")], None)])], "prohibited extension"),
    Case("a root with extended key usages", [_of_a_root(x509.ExtendedKeyUsage([CLIENT]))], "a root with"),
    Case("any usage", [conforming(ROOT, eku=[CLIENT, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])], "client with any"),
    Case("a wildcard that reaches into excluded names", [conforming(
        above := intermediate(ROOT, extensions=[x509.NameConstraints(None, [x509.DNSName("b.a.test")])]),
        sans=["DNS:*.a.test"]), above], "excluded name constraint"),
    Case("constraints of an issuer's issuer", [conforming(
        below := intermediate(above), sans=["DNS:*.a.test"]), below, above], "excluded name constraint"),
    Case("constraints on names beside others on directory names", [conforming(
        mixed := intermediate(ROOT, extensions=[x509.NameConstraints(
            [x509.DirectoryName(name("client"))], [x509.DNSName("b.a.test")])]), sans=["DNS:*.a.test"]), mixed],
        "excluded name constraint"),
    Case("an RSA key of 2052 bits", [_odd()], "whole number of bytes"),
    Case("malformed information on the authority", [_unreadable()], "it cannot be examined"),
    Case("an Ed25519 authority", [conforming(make_authority("Ed", key=new_key("ed25519")))], "public key algorithm"),
]  # fmt: skip
"""What OpenSSL lets pass, and a strict store does not."""

GOOD = {
    "a subject and no names": [conforming(ROOT)],
    "every kind of name": [
        conforming(ROOT, sans=["DNS:a.test", "DNS:*.a.test", "URI:spiffe://a.test/x", "email:a@a.test", "IP:::1"])
    ],
    "names and no subject": [
        built(ROOT, named(x509.UniformResourceIdentifier("spiffe://a.test/x"), critical=True), nameless=True)
    ],
    "an intermediate": [conforming(inner := intermediate(ROOT)), inner],
    "critical constraints": constrained(critical=True),
    "constraints that are not critical": constrained(critical=False),
    "constraints on directory names": _constrained_to_directory_names(),
    "constraints of a root on directory names": [
        _of_a_root(_names(x509.DirectoryName(name("client"))), subject="CN=client")
    ],
    "issuers without key usage": [
        conforming(plain := intermediate(make_authority("Plain", key_usage=None), key_usage=None)),
        plain,
    ],
    "self-issued certificates under a path length": _self_issued(),
    "no usage": [conforming(ROOT, eku=None)],
    "an RSA key": [conforming(ROOT, key=new_key("rsa"))],
    "an Ed25519 key": [conforming(ROOT, key=new_key("ed25519"))],
}
"""What keeps to RFC 5280."""


def store(case: Sequence[Issued], verification: str) -> LoadedTrustStore:
    """A store of the root of a chain."""
    root = case[-1].issuer
    assert root is not None
    return trusted(root, verification=verification)


@BOTH
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_over_http_only_the_strict_store_refuses(case: Case, version: str) -> None:
    """OpenSSL lets it pass and the strict store refuses it, with a reason that says who objects."""
    assert shake(GROUP, case.chain, store(case.chain, "openssl"), version=version).verification.verified
    pair = shake(GROUP, case.chain, store(case.chain, "strict"), version=version)
    assert pair.done, "the handshake completes"
    verdict = pair.verification
    assert (verdict.verified, verdict.errors, verdict.depth) == (False, (50,), 0)
    assert case.words in verdict.reason
    assert verdict.reason.startswith(("strict verification: ", "it cannot be examined: "))
    refusal = judge(GROUP, verdict)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (495, f"client certificate: {verdict.reason}")


@BOTH
@pytest.mark.parametrize("mode", ["on", "optional"])
@pytest.mark.parametrize("case", CASES[:2], ids=lambda case: case.name)
def test_in_the_handshake_it_is_refused_there(case: Case, mode: str, version: str) -> None:
    """With refusal in the handshake the alert comes there, and the record knows why and who."""
    group = evolve(GROUP, mtls=mode, mtls_refusal="handshake")
    assert shake(group, case.chain, store(case.chain, "openssl"), version=version).done
    pair = shake(group, case.chain, store(case.chain, "strict"), version=version)
    assert pair.alerts == ["internal_error"]
    assert case.words in pair.record.reason
    assert pair.record.leaf is not None
    assert pair.record.leaf.to_cryptography() == case.chain[0].certificate


@BOTH
@pytest.mark.parametrize("name", GOOD)
def test_what_keeps_to_rfc_5280_is_let_in(name: str, version: str) -> None:
    """A strict store lets in what the RFC allows, alternative names or none, and intermediates."""
    group = evolve(GROUP, mtls_refusal="handshake")
    pair = shake(group, GOOD[name], store(GOOD[name][-1:], "strict"), version=version)
    assert pair.done, pair.record.reason
    assert pair.verification.verified


def test_the_authority_decides_who_is_judged_strictly() -> None:
    """Of several stores only the clients of the strict one are verified strictly; in both, they are."""
    lax, strict = make_authority("Lax"), make_authority("Strict")
    stores = [trusted(lax), trusted(strict, verification="strict")]
    assert shake(GROUP, [lax.issue()], *stores).verification.verified
    assert not shake(GROUP, [strict.issue()], *stores).verification.verified
    for both in (
        [trusted(lax), trusted(lax, verification="strict")],
        [trusted(lax, verification="strict"), trusted(lax)],
    ):
        assert not shake(GROUP, [lax.issue()], *both).verification.verified


def test_with_optional_no_ca_what_it_refuses_is_not_verified() -> None:
    """It is served for the rules to judge, with the reason in the verdict."""
    group = evolve(GROUP, mtls="optional-no-ca", mtls_refusal="handshake")
    for case in CASES[:2]:
        pair = shake(group, case.chain, store(case.chain, "strict"))
        assert (pair.done, judge(group, pair.verification)) == (True, None)
        assert (pair.verification.verified, pair.verification.errors) == (False, (50,))
        assert case.words in pair.verification.reason


def test_a_stranger_is_not_verified_strictly() -> None:
    """A certificate without a known authority stays unverified for that."""
    group = evolve(GROUP, mtls="optional-no-ca", mtls_refusal="handshake")
    pair = shake(group, [make("stranger")], trusted(ROOT, verification="strict"))
    assert pair.done
    assert not pair.verification.verified
    assert judge(group, pair.verification) is None


def identity(chain: Sequence[Issued], stores: Sequence[LoadedTrustStore]) -> ClientIdentity:
    """A client's identity as of its handshake."""
    identity = shake(GROUP, chain, *stores).identity()
    assert identity.verification.verified
    return identity


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_store_that_becomes_strict_judges_those_who_are_in(case: Case) -> None:
    """After a reload an open connection is verified strictly too, with the same reason."""
    inside = identity(case.chain, [store(case.chain, "openssl")])
    judged, until = Trust.of(GROUP, [store(case.chain, "strict")]).look_again(inside, now())
    assert not judged.verification.verified
    assert case.words in judged.verification.reason
    assert judged.chain_verified == ()
    assert judge(GROUP, judged.verification) is not None
    assert until > now().timestamp()


@pytest.mark.parametrize("name", GOOD)
def test_looking_again_refuses_nobody_who_keeps_to_rfc_5280(name: str) -> None:
    """The verdict of the handshake is the verdict of looking again, the very object."""
    stores = [store(GOOD[name][-1:], "strict")]
    inside = identity(GOOD[name], stores)
    assert Trust.of(GROUP, stores).look_again(inside, now())[0] is inside


def test_a_path_is_verified_as_of_the_time_given() -> None:
    """In any time zone, and not as of the clock's time."""
    chain = [conforming(ROOT).certificate, ROOT.certificate]
    assert path_fault(chain, now()) == ""
    first = max(each.not_valid_before_utc for each in chain)
    assert path_fault(chain, first.astimezone(datetime.timezone(datetime.timedelta(hours=-12)))) == ""
    assert "not valid at validation time" in path_fault(chain, now() + 800 * DAY)


def test_a_reason_cannot_break_a_line() -> None:
    """What the reason quotes of a certificate is printable and has an end."""
    constraint = x509.DNSName("\r\nX-Forged: 1" + "x" * 1000)
    chain = constrained(critical=True, name=constraint)
    asked = admission_module.Admission.of(GROUP, [store(chain, "strict")])
    objection = asked.objection([*(each.der for each in chain), ROOT.der], now())
    assert objection is not None
    assert "??X-Forged" in objection.reason
    assert objection.reason.isprintable()
    assert len(objection.reason) == 300


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_serial_number_is_positive() -> None:
    """A leaf with the serial number 0 is refused; an authority of old may have it."""
    zero = built(ROOT, without_serial_number)
    assert "serial number" in path_fault([zero.certificate, ROOT.certificate], now())
    old = make_authority("Old root").certificate
    key = new_key()
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, key.public_key(), 1, old.not_valid_before_utc, old.not_valid_after_utc
    )
    for extension in make_authority("Old root", key=key).certificate.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    without_serial_number(builder)
    root = Issued(builder.sign(key, hashes.SHA256()), key)
    assert path_fault([conforming(root).certificate, root.certificate], now()) == ""


def test_what_strict_verification_raises_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in there refuses the client, over HTTP as well, and says what it was."""

    def fail(*_: object) -> str:
        raise RuntimeError("broken")

    monkeypatch.setattr(admission_module, "path_fault", fail)
    pair = shake(GROUP, [conforming(ROOT)], trusted(ROOT, verification="strict"))
    assert pair.done
    assert pair.verification.reason == UNREADABLE
    assert judge(GROUP, pair.verification) is not None


def chained(*issued: Issued) -> list[x509.Certificate]:
    """A path from leaf to authority."""
    return [each.certificate for each in issued]


def test_only_a_self_signed_authority_needs_no_issuer_key_identifier() -> None:
    """Neither an authority that another one signed, nor an intermediate that bears its issuer's name."""
    missing = "no authority key identifier (RFC 5280, section 4.2.1.1)"
    anchor = make_authority("inner", issuer=ROOT)
    assert path_fault(chained(conforming(anchor), anchor), now()) == missing
    namesake = make_authority("Root", issuer=ROOT)
    assert path_fault(chained(conforming(namesake), namesake, ROOT), now()) == missing


def test_an_issuer_by_name_and_number_alone_is_no_key_identifier() -> None:
    """RFC 5280 asks for the identifier of the key."""
    name = x509.DirectoryName(ROOT.certificate.subject)
    extension = x509.AuthorityKeyIdentifier(None, [name], ROOT.certificate.serial_number)
    assert "no authority key identifier" in path_fault(chained(ROOT.issue(extensions=[extension]), ROOT), now())


LONG = ".".join(["a" * 49] * 5)
"""A DNS name of 249 characters."""


@pytest.mark.parametrize(("name", "good"), [
    (f"DNS:{LONG}.abc", True), (f"DNS:{LONG}.abcd", False),
    ("URI:urn:a", True), ("URI:urn:a b", False), ("URI:urn:a\n", False),
    ("email:a@a.test", True), ("email:a@a.test b", False), ("email:a@a.test\n", False),
])  # fmt: skip
def test_names_are_well_formed_from_end_to_end(name: str, good: bool) -> None:
    """Not the beginning of a name alone; and a DNS name has at most 253 characters (RFC 1035, section 2.3.4)."""
    found = path_fault(chained(_misnamed(name), ROOT), now())
    assert ("malformed alternative name" not in found) is good


def test_a_path_may_be_as_long_as_openssl_found_it() -> None:
    """``verify-depth`` is OpenSSL's to enforce; here the path has as many certificates as it has."""
    issuer = ROOT
    above: list[Issued] = []
    for _ in range(10):
        issuer = intermediate(issuer)
        above.insert(0, issuer)
    assert path_fault(chained(conforming(issuer), *above, ROOT), now()) == ""


def test_a_path_that_is_refused_without_a_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing is left of the library's sentence there is still one."""
    monkeypatch.setattr(strict, "_QUOTED", re.compile(".*", re.DOTALL))
    assert path_fault(chained(conforming(ROOT), ROOT), now() + 800 * DAY) == "the path is not valid"


def test_a_key_that_only_old_tls_takes_is_refused() -> None:
    """A DSA key, with which a client can still shake hands in TLS 1.2; TLS 1.3 has no word for it."""
    chain = [conforming(ROOT, key=dsa.generate_private_key(2048))]
    assert shake(GROUP, chain, store(chain, "openssl"), version="1.2").verification.verified
    verdict = shake(GROUP, chain, store(chain, "strict"), version="1.2").verification
    assert (verdict.errors, verdict.reason) == ((50,), "strict verification: a DSA key")


def test_a_path_is_no_longer_than_its_issuers_allow() -> None:
    """Whoever is not self-issued counts, in all of the path."""
    limited = make_authority("Limited", path_length=1)
    one = make_authority("one", issuer=limited, extensions=[key_identifier(limited)])
    two = make_authority("two", issuer=one, extensions=[key_identifier(one)])
    assert path_fault(chained(conforming(one), one, limited), now()) == ""
    assert "path length" in path_fault(chained(conforming(two), two, one, limited), now())


def test_no_reason_names_a_type_of_the_library() -> None:
    """A person reads it."""
    for case in CASES:
        reason = shake(GROUP, case.chain, store(case.chain, "strict")).verification.reason
        assert not re.search(r"[{}]|::|\b(?:[A-Z][a-z]+){2,}\b(?<!keyCertSign)", reason.partition(": ")[2]), reason
