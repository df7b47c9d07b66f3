"""A server group lets in the clients it lists, if their keys and signatures suffice, and tags them by authority."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import ClientIdentity
from edgenode.model.settings import Network
from edgenode.tls import admission as admission_module
from edgenode.tls.admission import Admission
from edgenode.tls.allowlists import CertificatePin, DNSPattern, EmailPattern, KeyPin, SubjectPattern, URIPattern
from edgenode.tls.identity import UNREADABLE, describe
from edgenode.tls.policies import TLSPolicy, check_group, server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import judge
from tests.support.certificates import (
    CLIENT,
    Issued,
    elements,
    key_identifier,
    make,
    make_authority,
    new_key,
    now,
    sequence,
)
from tests.support.handshakes import Pair, server_certificate, server_group, shake, trusted

ROOT = make_authority("Root")
BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
NOT_NAMED = "none of its names is on the lists of the server group"
NOT_PINNED = "neither its certificate nor its key is pinned"


def group(**options: Any) -> ServerGroup:
    """A server group that asks for a certificate."""
    return server_group(**options)


def shaken(
    group: ServerGroup, chain: Sequence[Issued], stores: Sequence[LoadedTrustStore] = (), version: str = "1.3"
) -> Pair:
    """A client's handshake; the server group trusts the root unless it is said otherwise."""
    return shake(group, chain, *(stores or [trusted(ROOT)]), version=version)


def reason(group: ServerGroup, *chain: Issued) -> str:
    """Why a client is refused over HTTP; empty if it is let in."""
    verdict = shaken(group, chain).verification
    refusal = judge(group, verdict)
    assert (refusal is None) is verdict.verified
    assert refusal is None or refusal.reason == f"client certificate: {verdict.reason}"
    return verdict.reason


ALICE = ROOT.issue(
    "CN=Alice,O=Acme",
    sans=["DNS:alice.acme.test", "URI:spiffe://acme.test/alice", "email:alice@acme.test", "IP:192.0.2.7"],
)
MALLORY = ROOT.issue(
    "CN=Mallory,O=Acme",
    sans=["DNS:acme.test.evil", "URI:spiffe://evil/alice", "email:alice@evil", "IP:198.51.100.1"],
)
LISTS: dict[str, Any] = {
    "allow_dns": (DNSPattern.from_text("*.acme.test"),),
    "allow_uri": (URIPattern.from_text("spiffe://acme.test/*"),),
    "allow_email": (EmailPattern.from_text("@acme.test"),),
    "allow_ip": (Network("192.0.2.0/24"),),
    "allow_subject": (SubjectPattern.from_text("CN=Alice,O=Acme"),),
}
PINS: dict[str, Any] = {
    "pin_certificate": (CertificatePin.from_text(describe(ALICE.der).fingerprint_sha256),),
    "pin_spki": (KeyPin.from_text(base64.b64encode(bytes.fromhex(describe(ALICE.der).spki_sha256)).decode()),),
}


@BOTH
@pytest.mark.parametrize("mode", ["on", "optional"])
@pytest.mark.parametrize("key", [*LISTS, *PINS])
def test_each_list_lets_in_its_own_and_nobody_else(key: str, mode: str, version: str) -> None:
    """Every list by itself, in the handshake and over HTTP: who is on it comes in, and who is not gets 495 and why."""
    listed = group(**{key: {**LISTS, **PINS}[key]}, mtls=mode)
    assert shaken(listed, [ALICE], version=version).verification.verified
    refused = shaken(listed, [MALLORY], version=version)
    assert refused.done, "the handshake completes"
    verdict = refused.verification
    assert (verdict.verified, verdict.errors) == (False, (50,))
    assert verdict.reason == (NOT_PINNED if key in PINS else NOT_NAMED)
    refusal = judge(listed, verdict)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (495, f"client certificate: {verdict.reason}")

    listed = evolve(listed, mtls_refusal="handshake")
    assert shaken(listed, [ALICE], version=version).done
    refused = shaken(listed, [MALLORY], version=version)
    assert refused.alerts == ["internal_error"]
    assert refused.record.reason == verdict.reason


def test_one_name_on_any_list_suffices() -> None:
    """With several lists a client needs one name of any kind, and with none it needs none."""
    lists = group(**LISTS)
    assert reason(lists, ROOT.issue("CN=Bob", sans=["IP:192.0.2.200"])) == ""
    assert reason(lists, ROOT.issue("CN=Bob", sans=["DNS:x.test", "DNS:b.acme.test"])) == ""
    assert reason(lists, ROOT.issue("CN=Bob")) == NOT_NAMED
    assert reason(group(), ROOT.issue("CN=Bob")) == ""


def test_a_pin_of_either_kind_suffices_and_a_name_besides_is_needed() -> None:
    """The key of a renewed certificate is still pinned; pins and names must both hold."""
    renewed = ROOT.issue("CN=Alice,O=Acme", key=ALICE.key)
    other_key = CertificatePin.from_text("00" * 32)
    pins = group(pin_certificate=(other_key,), pin_spki=PINS["pin_spki"])
    assert reason(pins, renewed) == ""
    assert reason(group(pin_certificate=PINS["pin_certificate"]), renewed) == NOT_PINNED
    both = group(**PINS, allow_email=LISTS["allow_email"])
    assert reason(both, ALICE) == ""
    assert reason(both, renewed) == NOT_NAMED
    assert reason(both, ROOT.issue("CN=Bob", sans=["email:bob@acme.test"])) == NOT_PINNED


def test_a_pin_is_of_the_leaf_and_no_authority_replaces_it() -> None:
    """The pin of an issuer lets in nobody, and a pinned certificate still needs an authority."""
    root = describe(ROOT.der)
    pins = group(pin_certificate=(CertificatePin(root.fingerprint_sha256),), pin_spki=(KeyPin(root.spki_sha256),))
    assert reason(pins, ALICE) == NOT_PINNED
    stranger = make("stranger")
    pinned = group(pin_certificate=(CertificatePin(describe(stranger.der).fingerprint_sha256),))
    assert "self-signed" in reason(pinned, stranger)


def test_the_lists_are_asked_of_the_leaf_alone() -> None:
    """An intermediate with the right name does not lend it to what it issues."""
    inner = make_authority("CN=Alice,O=Acme", issuer=ROOT, sans=["DNS:alice.acme.test"])
    assert reason(group(**LISTS), inner.issue("CN=Mallory"), inner) == NOT_NAMED


@pytest.mark.parametrize(
    ("network", "address", "allowed"),
    [
        ("192.0.2.7/32", "192.0.2.7", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.0/24", "::ffff:192.0.2.7", False),
        ("::/0", "192.0.2.7", False),
        ("0.0.0.0/0", "::1", False),
        ("2001:db8::/32", "2001:db8::1", True),
    ],
)
def test_addresses(network: str, address: str, allowed: bool) -> None:
    """An address is looked for in the networks of its own version; an IPv4-mapped one is in no IPv4 network."""
    found = reason(group(allow_ip=(Network(network),)), ROOT.issue("client", sans=[f"IP:{address}"]))
    assert found == ("" if allowed else NOT_NAMED)


def test_a_network_in_a_certificate_is_no_address() -> None:
    """An address of eight bytes, as in name constraints, is that of no host."""
    extension = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("300a8708c0000200ffffff00")
    )
    assert reason(group(allow_ip=LISTS["allow_ip"]), ROOT.issue("client", extensions=[extension])) == NOT_NAMED


@pytest.mark.parametrize(
    "subject",
    [
        [[(NameOID.COMMON_NAME, "Mallory")], [(NameOID.COMMON_NAME, "Alice")]],
        [[(NameOID.ORGANIZATION_NAME, "Acme")], [(NameOID.COMMON_NAME, "Alice"), (NameOID.COMMON_NAME, "Mallory")]],
        [[(NameOID.COMMON_NAME, "Alice,O=Acme")]],
        [[(NameOID.ORGANIZATION_NAME, "Acme\0")], [(NameOID.COMMON_NAME, "Alice")]],
    ],
)
def test_a_subject_that_only_looks_alike_is_not_on_the_list(
    subject: list[list[tuple[x509.ObjectIdentifier, str]]],
) -> None:
    """Several common names, several values in one part, commas and NULs in a value: a subject is all or nothing."""
    rdns = [x509.RelativeDistinguishedName([x509.NameAttribute(oid, text) for oid, text in rdn]) for rdn in subject]
    key = new_key()
    builder = x509.CertificateBuilder(
        ROOT.certificate.subject, x509.Name(rdns), key.public_key(), x509.random_serial_number(),
        ROOT.certificate.not_valid_before_utc, ROOT.certificate.not_valid_after_utc,
    ).add_extension(x509.ExtendedKeyUsage([CLIENT]), critical=False)  # fmt: skip
    hostile = Issued(builder.sign(ROOT.key, hashes.SHA256()), key, ROOT)
    assert reason(group(allow_subject=LISTS["allow_subject"]), hostile) == NOT_NAMED


# -- keys and signatures -----------------------------------------------------------------------------------------------


def signed(issuer: Issued, digest: hashes.HashAlgorithm, pss: bool = False) -> Issued:
    """A client's certificate that is signed in a certain way."""
    key = new_key()
    leaf = make("client", issuer=issuer, key=key).certificate
    builder = x509.CertificateBuilder(
        leaf.issuer, leaf.subject, key.public_key(), leaf.serial_number, leaf.not_valid_before_utc,
        leaf.not_valid_after_utc, list(leaf.extensions),
    )  # fmt: skip
    scheme = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH) if pss else None
    return Issued(builder.sign(issuer.key, digest, rsa_padding=scheme), key, issuer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({}, rsa.generate_private_key(65537, 2048), ""),
        ({"minimum_rsa_bits": 3072}, rsa.generate_private_key(65537, 2048), "the RSA key of CN=client has 2048 bits"),
        ({"minimum_rsa_bits": 3072}, rsa.generate_private_key(65537, 3072), ""),
        ({"minimum_rsa_bits": 3072}, ec.generate_private_key(ec.SECP256R1()), ""),
        ({"minimum_ec_bits": 384}, ec.generate_private_key(ec.SECP256R1()), "the ECDSA key of CN=client has 256 bits"),
        ({"minimum_ec_bits": 384}, ec.generate_private_key(ec.SECP384R1()), ""),
        ({"minimum_ec_bits": 521}, new_key("ed25519"), ""),
    ],
)
def test_keys_have_a_least_size(options: dict[str, int], key: Any, words: str) -> None:
    """A key that is too small is refused with its size; each minimum is for its own kind of key."""
    found = reason(group(**options), ROOT.issue("client", key=key))
    assert found.startswith(words)
    assert bool(found) is bool(words)


def keyed_for_pss(issuer: Issued) -> bytes:
    """A certificate, DER, whose RSA key of 2048 bits is for RSASSA-PSS alone (RFC 4055, section 1.2)."""
    issued = issuer.issue("client", key=new_key("rsa"))
    tbs = issued.certificate.tbs_certificate_bytes
    plain, pss = bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300b06092a864886f70d01010a")
    (info,) = (element for element in elements(tbs) if plain in element)
    changed = sequence(b"".join(elements(info)).replace(plain, pss))
    tbs = sequence(b"".join(elements(tbs)).replace(info, changed))
    algorithm, _ = list(elements(issued.der))[1:]
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return sequence(tbs + algorithm + b"\x03" + bytes([len(signature) + 1, 0]) + signature)


@pytest.mark.parametrize(
    ("least", "words"), [(2048, ""), (3072, "the RSA key of CN=client has 2048 bits, and needs 3072")]
)
def test_a_key_for_rsa_pss_is_an_rsa_key(least: int, words: str) -> None:
    """``minimum-rsa-bits`` holds for keys with the OID id-RSASSA-PSS, too."""
    der = keyed_for_pss(ROOT)
    assert describe(der).key_type == "RSA"
    asked = Admission.of(group(minimum_rsa_bits=least), [trusted(ROOT)])
    objection = asked.objection((der, ROOT.der), now())
    assert (objection.reason if objection else "") == words


def test_a_key_on_a_curve_that_nobody_knows_has_no_bits() -> None:
    """What cannot be read is below every minimum."""
    weak = evolve(describe(ALICE.der), key_type="ECDSA", key_bits=0)
    asked = Admission.of(group(minimum_ec_bits=192), [trusted(ROOT)])
    assert asked._weakness(weak) == "the ECDSA key of CN=Alice,O=Acme has 0 bits, and needs 192"


def test_a_long_name_does_not_hide_the_reason() -> None:
    """Of a subject a hundred characters are quoted, and what is wrong with its key stands behind them."""
    leaf = ROOT.issue(",".join(f"OU={letter * 60}" for letter in "abcdef") + ",CN=x")
    quoted = describe(leaf.der).subject[:100]
    assert reason(group(minimum_ec_bits=384), leaf) == f"the ECDSA key of {quoted} has 256 bits, and needs 384"
    assert reason(group(signature_algorithms=("ed25519",)), leaf).endswith("ecdsa-sha256, which is not allowed")


def test_the_keys_of_intermediates_count_and_those_of_authorities_do_not() -> None:
    """The smallest key between client and authority decides."""
    policy = group(minimum_ec_bits=384)
    inner = make_authority("inner", issuer=ROOT)
    leaf = inner.issue("client", key=ec.generate_private_key(ec.SECP384R1()))
    assert reason(policy, leaf, inner) == "the ECDSA key of CN=inner has 256 bits, and needs 384"
    assert reason(policy, ROOT.issue("client", key=ec.generate_private_key(ec.SECP384R1()))) == ""
    strong = make_authority("strong", issuer=ROOT, key=ec.generate_private_key(ec.SECP384R1()))
    assert reason(policy, strong.issue("client"), strong) == "the ECDSA key of CN=client has 256 bits, and needs 384"


RSA_ROOT = make_authority("RSA root", key=new_key("rsa"))
ED_ROOT = make_authority("Ed root", key=new_key("ed25519"))


@pytest.mark.parametrize(
    ("leaf", "algorithm"),
    [
        (signed(ROOT, hashes.SHA256()), "ecdsa-sha256"),
        (signed(ROOT, hashes.SHA384()), "ecdsa-sha384"),
        (signed(RSA_ROOT, hashes.SHA256()), "rsa-sha256"),
        (signed(RSA_ROOT, hashes.SHA512()), "rsa-sha512"),
        (signed(RSA_ROOT, hashes.SHA256(), pss=True), "rsa-pss-sha256"),
        (ED_ROOT.issue("client"), "ed25519"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_signature_algorithms(leaf: Issued, algorithm: str) -> None:
    """Each algorithm has a name, and with a list only those on it are let in."""
    stores = [trusted(ROOT, RSA_ROOT, ED_ROOT)]
    assert describe(leaf.der).signature_algorithm == algorithm
    assert shaken(group(signature_algorithms=(algorithm,)), [leaf], stores).verification.verified
    others = tuple({"ecdsa-sha256", "rsa-sha256", "rsa-pss-sha384", "ed448"} - {algorithm})
    refused = shaken(group(signature_algorithms=others), [leaf], stores).verification
    assert refused.reason == f"CN=client is signed with {algorithm}, which is not allowed"


def test_the_signature_of_an_authority_is_not_looked_at() -> None:
    """It is believed for its key; an intermediate's signature counts."""
    inner = make_authority("inner", issuer=RSA_ROOT)
    stores = [trusted(RSA_ROOT)]
    leaf = inner.issue("client")
    assert shaken(
        group(signature_algorithms=("ecdsa-sha256", "rsa-sha256")), [leaf, inner], stores
    ).verification.verified
    refused = shaken(group(signature_algorithms=("ecdsa-sha256",)), [leaf, inner], stores).verification
    assert refused.reason == "CN=inner is signed with rsa-sha256, which is not allowed"


# -- looked at again ---------------------------------------------------------------------------------------------------


def identity(group: ServerGroup, stores: Sequence[LoadedTrustStore], *chain: Issued) -> ClientIdentity:
    """A client's identity as of its handshake."""
    return shaken(group, chain, stores).identity(Trust.of(group, stores).tags)


@pytest.mark.parametrize(
    "options",
    [
        *({key: value} for key, value in {**LISTS, **PINS}.items()),
        {"minimum_ec_bits": 384},
        {"signature_algorithms": ("ecdsa-sha384",)},
        {"required_eku": ("clientAuth",)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_new_demand_is_made_of_those_who_are_in(options: dict[str, Any]) -> None:
    """After a reload an open connection is judged by the lists of now, whatever it was let in by."""
    stores = [trusted(ROOT, tags=["partner"])]
    inside = identity(group(), stores, ROOT.issue("CN=Mallory", eku=None))
    assert inside.verification.verified
    judged, _ = Trust.of(group(**options), stores).look_again(inside, now())
    assert not judged.verification.verified
    assert judged.verification.reason
    assert (judged.chain_verified, judged.tags) == ((), ())
    assert judge(group(**options), judged.verification) is not None


def test_who_was_refused_stays_refused() -> None:
    """A list that grows lets in nobody who was refused on this connection before."""
    stores = [trusted(ROOT)]
    refused = identity(group(allow_dns=LISTS["allow_dns"]), stores, MALLORY)
    judged, _ = Trust.of(group(), stores).look_again(refused, now())
    assert judged is refused
    assert not judged.verification.verified


def test_whoever_is_still_listed_keeps_the_verdict() -> None:
    """Nothing changes for a client that satisfies all that is asked, the very object."""
    stores, policy = [trusted(ROOT, tags=["partner"])], group(**LISTS, **PINS)
    inside = identity(policy, stores, ALICE)
    assert Trust.of(policy, stores).look_again(inside, now())[0] is inside


def test_groups_with_other_lists_are_other_doors() -> None:
    """A connection that came in by one group's list does not serve another's: their TLS policies differ."""
    stores = [trusted(ROOT)]
    plain = TLSPolicy.of(group(), stores)
    for key, value in {**LISTS, **PINS, "minimum_ec_bits": 256, "signature_algorithms": ("ed25519",)}.items():
        assert TLSPolicy.of(group(**{key: value}), stores) != plain
        assert TLSPolicy.of(group(**{key: value}), stores) == TLSPolicy.of(group(**{key: value}), stores)
    assert TLSPolicy.of(group(), [trusted(ROOT, tags=["a"])]) != plain
    assert TLSPolicy.of(group(), [trusted(ROOT, verification="strict")]) != plain


# -- tags --------------------------------------------------------------------------------------------------------------


def test_each_authority_adds_its_own_tags() -> None:
    """A verified client has the tags of the stores in which its chain ends, however long it is, and of no other."""
    a, b = make_authority("A"), make_authority("B")
    stores = [trusted(a, tags=["partner-a", "partner"]), trusted(b, tags=["partner-b", "partner"]), trusted(ROOT)]
    inner = make_authority("inner", issuer=b)
    assert identity(group(), stores, a.issue()).tags == ("partner-a", "partner")
    assert identity(group(), stores, inner.issue(), inner).tags == ("partner-b", "partner")
    assert identity(group(), stores, ROOT.issue()).tags == ()
    both = [trusted(a, tags=["x", "y"]), trusted(a, b, tags=["y", "z"])]
    assert identity(group(), both, a.issue()).tags == ("x", "y", "z")


def test_a_namesake_of_an_authority_gets_no_tags() -> None:
    """Tags go by the authority's certificate, not by its name: a stranger's, or one believed for something else."""
    real, namesake = make_authority("Partner"), make_authority("Partner")
    stores = [trusted(real, tags=["partner"]), trusted(namesake, tags=["other"])]
    leaf = namesake.issue(extensions=[key_identifier(namesake)])
    assert identity(group(), stores, leaf).tags == ("other",)
    stranger = identity(group(mtls="optional-no-ca"), stores[:1], leaf, namesake)
    assert (stranger.verification.verified, stranger.tags) == (False, ())


def test_an_authority_that_comes_as_a_client_gets_no_tags() -> None:
    """Its chain ends in itself; unless it is verified as a client's certificate, that says nothing."""
    stores = [trusted(ROOT, tags=["partner"])]
    itself = identity(group(mtls="optional"), stores, ROOT)
    assert (itself.verification.verified, itself.tags) == (False, ())
    assert Trust.of(group(), stores).look_again(itself, now())[0] is itself


def test_tags_follow_a_reload() -> None:
    """New tags of a trust store are those of the clients who are in; a client that is refused loses them."""
    inside = identity(group(), [trusted(ROOT, tags=["old"])], ALICE)
    judged, _ = Trust.of(group(), [trusted(ROOT, tags=["new"])]).look_again(inside, now())
    assert judged.tags == ("new",)
    assert judged.verification is inside.verification
    gone, _ = Trust.of(group(), [trusted(make_authority(), tags=["new"])]).look_again(judged, now())
    assert (gone.verification.verified, gone.tags) == (False, ())


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["off", "optional-no-ca"])
@pytest.mark.parametrize("key", [*LISTS, *PINS, "minimum_rsa_bits", "minimum_ec_bits", "signature_algorithms"])
def test_a_list_that_would_not_hold_is_an_error(key: str, mode: str) -> None:
    """A mode that lets in others than verified clients cannot have what only these are asked."""
    value = {**LISTS, **PINS, "signature_algorithms": ("ed25519",)}.get(key, 512)
    wrong = group(**{key: value}, mtls=mode)
    problems = check_group("g", wrong, [server_certificate()], [trusted(ROOT)])
    assert [(problem.key, problem.warning) for problem in problems] == [(key.replace("_", "-"), False)]
    with pytest.raises(ConfigurationError):
        server_context(wrong, [server_certificate()], [trusted(ROOT)])
    for good in ("on", "optional"):
        assert check_group("g", evolve(wrong, mtls=good), [server_certificate()], [trusted(ROOT)]) == ()


def test_an_authority_in_two_stores_is_a_warning_if_their_tags_differ() -> None:
    """Whoever it vouches for gets the tags of both, which is rarely meant."""
    stores = [evolve(trusted(ROOT, tags=["a"]), name="a"), evolve(trusted(ROOT, tags=["b"]), name="b")]
    (problem,) = check_group("g", group(), [server_certificate()], stores)
    assert problem.warning
    assert problem.sentence == "CN=Root stands in a and in b: its clients get the tags of both"
    assert (
        check_group("g", group(), [server_certificate()], [stores[0], evolve(stores[1], section=stores[0].section)])
        == ()
    )


def test_a_chain_that_ends_nowhere_is_refused() -> None:
    """If OpenSSL verified a chain up to a certificate that is none of the authorities, something is wrong."""
    asked = Admission.of(group(), [trusted(ROOT)])
    assert asked.objection((ALICE.der, ROOT.der), now()) is None
    for chain in ((ALICE.der,), (ALICE.der, make_authority("Root").der), ()):
        objection = asked.objection(chain, now())
        assert objection is not None
        assert objection.error == 50


@BOTH
@pytest.mark.parametrize("refusal", ["400", "handshake"])
def test_a_usage_is_asked_of_strangers_too(refusal: str, version: str) -> None:
    """Of a certificate of no known authority, too, it is known whether it lacks a usage."""
    policy = group(mtls="optional-no-ca", mtls_refusal=refusal, required_eku=("clientAuth",))
    for eku, fine in (((CLIENT,), True), (None, False)):
        pair = shaken(policy, [make("stranger", eku=eku)], version=version)
        assert pair.done
        assert judge(policy, pair.record.verification(True)) is None
        assert (26 in pair.record.verification(True).errors) is not fine


def test_that_a_stranger_cannot_be_examined_is_an_error() -> None:
    """An unverified client whose certificate cannot be read has error 50, and is not passed over."""
    asked = Admission.of(group(mtls="optional-no-ca", required_eku=("clientAuth",)), [trusted(ROOT)])
    objection = asked.unverified(b"junk")
    assert objection is not None
    assert objection.error == 50
    assert objection.reason.startswith("it cannot be examined: ")
    assert Admission.of(group(mtls="optional-no-ca"), [trusted(ROOT)]).unverified(b"junk") is None


def test_whatever_cannot_be_examined_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception while a client is examined is a refusal, and not the end of the callback."""

    def fail(der: bytes) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(admission_module, "describe", fail)
    policy = group(required_eku=("clientAuth",))
    pair = shaken(policy, [ALICE])
    assert pair.done
    assert pair.verification.reason == UNREADABLE
    assert judge(policy, pair.verification) is not None
