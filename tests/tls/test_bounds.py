"""What a client's chain may cost: nobody makes a handshake expensive, with names and constraints or with bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from OpenSSL import crypto

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import NO_CERTIFICATE
from edgenode.model.settings import Size
from edgenode.tls.admission import Admission
from edgenode.tls.allowlists import DNSPattern, EmailPattern, NamePattern, URIPattern
from edgenode.tls.bounds import (
    COSTLY,
    CROWDED,
    LARGEST_CHAIN,
    MOST_COMPARISONS,
    MOST_ELEMENTS,
    MOST_IN_VAIN,
    is_costly,
    is_crowded,
)
from edgenode.tls.der import OCTET_STRING, SEQUENCE, element
from edgenode.tls.identity import describe, identity_of
from edgenode.tls.policies import client_context, server_context
from edgenode.tls.trust import Trust
from edgenode.tls.verification import judge
from tests.support.certificates import SERVER, Issued, key_identifier, make_authority, name, now
from tests.support.growth import grows_with_its_size
from tests.support.handshakes import Pair, client, server, server_certificate, server_group, shake, trusted

ROOT = make_authority("Root")
FORGER = make_authority("Root")
KINDS: dict[str, Any] = {
    "URI": lambda i: x509.UniformResourceIdentifier(f"a://h{i}.test"),
    "DNS": lambda i: x509.DNSName(f"h{i}.test"),
    "email": lambda i: x509.RFC822Name(f"a@h{i}.test"),
}
BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


def constrained(issuer: Issued, constraints: int, names: int, kind: str = "URI", usage: Any = None) -> list[Issued]:
    """A chain with constraints in its intermediate, and names in its leaf that none of them forbids."""
    bases = [KINDS[kind](i) for i in range(constraints)]
    # Constraints on URIs are host names (RFC 5280, section 4.2.1.10).
    excluded = [x509.UniformResourceIdentifier(f"h{i}.test") for i in range(constraints)] if kind == "URI" else bases
    value = x509.NameConstraints(None, excluded)
    inner = make_authority("inner", issuer=issuer, extensions=[value, key_identifier(ROOT)])
    sans = x509.SubjectAlternativeName([KINDS[kind](10**6 + i) for i in range(names)])
    return [inner.issue("leaf", eku=usage, extensions=[sans, key_identifier(inner)]), inner]


def times_a_plain_one(chain: list[Issued], *stores: Any) -> float:
    """How many times as long as with a plain certificate a handshake takes."""
    return seconds(chain, *stores) / seconds([ROOT.issue("plain")], trusted(ROOT))


def seconds(chain: list[Issued], *stores: Any) -> float:
    """How long a handshake takes, both sides together; the best of three."""
    context, presenting = server_context(server_group("on"), [server_certificate()], stores), client(chain=chain)
    found = []
    for _ in range(3):
        begin = time.thread_time()
        Pair.of(context, presenting)
        found.append(time.thread_time() - begin)
    return min(found)


@BOTH
@pytest.mark.parametrize("mode", ["on", "optional", "optional-no-ca"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_forged_intermediate_is_not_compared(kind: str, mode: str, version: str) -> None:
    """After a bad signature the names are not looked at, though the refusal is over HTTP: the handshake ends."""
    chain = constrained(FORGER, 4000, 250, kind)
    pair = shake(server_group(mode), chain, trusted(ROOT), version=version)
    assert not pair.done
    assert pair.alerts == ["internal_error"]
    assert [number for number, _ in pair.record.errors] == [7, 50]
    assert pair.record.reason == COSTLY
    assert pair.record.leaf is not None


def test_it_costs_about_what_a_plain_client_costs() -> None:
    """86 KB of a forged chain, and the same of one that its authority did issue; it was a quarter of a second."""
    names = [x509.UniformResourceIdentifier(f"https://{i:04}.{'x' * 80}.test/") for i in range(250)]
    bases = [x509.UniformResourceIdentifier(f"{i:04}.test") for i in range(4000)]
    inner = make_authority("inner", issuer=FORGER, extensions=[x509.NameConstraints(None, bases), key_identifier(ROOT)])
    leaf = inner.issue("leaf", extensions=[x509.SubjectAlternativeName(names)])
    assert sum(len(each.der) for each in (leaf, inner)) > 70_000
    for root in (ROOT, FORGER):
        assert times_a_plain_one([leaf, inner], trusted(root)) < 20


@BOTH
@pytest.mark.parametrize("verification", ["openssl", "strict"])
def test_nor_is_an_authenticated_client_with_too_many(verification: str, version: str) -> None:
    """A thousand names under a thousand constraints are refused before either of the two verifications counts them."""
    chain = constrained(ROOT, 1000, 1000)
    store = trusted(ROOT, verification=verification)
    pair = shake(server_group("on"), chain, store, version=version)
    assert (pair.done, pair.alerts, pair.record.reason) == (False, ["internal_error"], COSTLY)
    assert times_a_plain_one(chain, store) < 20


def test_what_people_use_passes() -> None:
    """A hundred names under a hundred constraints; and of who is refused anyway a few."""
    assert shake(server_group("on"), constrained(ROOT, 100, 100), trusted(ROOT)).verification.verified
    pair = shake(server_group("on"), constrained(FORGER, 30, 30), trusted(ROOT))
    assert pair.done
    assert pair.verification.errors == (7,)


def test_a_stranger_with_an_authority_of_its_own_is_bounded_too() -> None:
    """An unknown authority's signatures are good, so they are no measure; below the bound it is served as ever."""
    group, store = server_group("optional-no-ca", verify_depth=3), trusted(make_authority("Other"))
    pair = shake(group, [*constrained(ROOT, 1000, 1000), ROOT], store)
    assert (pair.done, pair.record.reason) == (False, COSTLY)
    few = shake(group, [*constrained(ROOT, 10, 10), ROOT], store)
    assert few.done
    assert judge(group, few.verification) is None


def test_an_origin_is_bounded_too() -> None:
    """What an origin presents is compared no further either."""
    chain = constrained(ROOT, 1000, 1000, usage=[SERVER])
    presenting = server(chain[0])
    pair = Pair.of(presenting, client_context(trust_store=trusted(ROOT)))
    assert pair.client_error is not None
    assert pair.client.get_app_data().reason == COSTLY
    few = Pair.of(server(constrained(ROOT, 10, 10, usage=[SERVER])[0]), client_context(trust_store=trusted(ROOT)))
    assert few.client_error is None


@pytest.mark.parametrize(("constraints", "names"), [(1, 1), (30, 33), (200, 80), (127, 127)])
def test_products_are_counted(constraints: int, names: int) -> None:
    """A subject's attributes are names, an intermediate has names too, and a leaf constrains nobody."""
    leaf, inner = constrained(ROOT, constraints, names)
    product = constraints * (names + 1)
    assert is_costly([leaf.der, inner.der, ROOT.der], product - 1)
    assert not is_costly([leaf.der, inner.der, ROOT.der], product)
    above = make_authority("above", extensions=[x509.NameConstraints(None, [x509.DNSName("a.test")])])
    assert is_costly([leaf.der, inner.der, above.der], product + names + 1)
    assert not is_costly([leaf.der, inner.der, above.der], product + names + 2)
    assert not is_costly([inner.der, ROOT.der], 0)
    assert MOST_IN_VAIN < MOST_COMPARISONS


def test_what_cannot_be_counted_is_too_much() -> None:
    """Constraints in BER, as OpenSSL reads them too, are no way around the bound."""
    leaf, inner = constrained(ROOT, 1, 1)
    value = b"\x55\x1d\x1e\x04"
    at = inner.der.index(value) + 4
    assert not is_costly([leaf.der, inner.der])
    for spoilt in (b"\x80", b"\x84\xff\xff\xff\xff", b"\x00", b"\x7f"):
        assert is_costly([leaf.der, inner.der[:at] + spoilt + inner.der[at + len(spoilt) :]])
    assert is_costly([leaf.der, value])
    assert not is_costly([b"junk", ROOT.der])


@BOTH
@pytest.mark.parametrize("mode", ["on", "optional", "optional-no-ca"])
def test_a_chain_has_a_largest_size(mode: str, version: str) -> None:
    """What a client sends beyond it is refused over HTTP, needed or not, trusted or not, and nothing of it is kept;
    with ``optional-no-ca`` it is left to the rules, and is never verified."""
    group = server_group(mode)
    useless = [make_authority(f"unrelated {i}") for i in range(120)]
    for chain in ([ROOT.issue("leaf"), *useless], [FORGER.issue("leaf"), *useless]):
        pair = shake(group, chain, trusted(ROOT), version=version)
        assert pair.done
        identity = Trust.of(group, [trusted(ROOT)]).identify(pair.server, pair.record, now())
        assert identity is not None
        assert (identity.chain_sent, identity.chain_verified, identity.subject) == ((), (), "CN=leaf")
        size = sum(len(each.der) for each in chain)
        assert size > LARGEST_CHAIN
        assert (identity.verification.verified, identity.verification.last_error) == (False, 50)
        assert (judge(group, identity.verification) is None) is (mode == "optional-no-ca")
        if chain[0].issuer is ROOT:
            assert identity.verification.reason == f"its chain has {size} bytes, and may have {LARGEST_CHAIN}"


def test_the_size_is_a_key_of_the_server_group() -> None:
    """A larger one lets in more, a smaller one less: in the handshake if refusals are there, and after a reload."""
    leaf = ROOT.issue("leaf", sans=[f"DNS:{i}.a.test" for i in range(200)])
    size, store = len(leaf.der), trusted(ROOT)
    assert size > 2048
    for refusal in ("400", "handshake"):
        group = server_group("on", mtls_refusal=refusal, max_chain_size=size)
        inside = shake(group, [leaf], store)
        assert inside.verification.verified
        smaller = evolve(group, max_chain_size=Size(size - 1))
        pair = shake(smaller, [leaf], store)
        assert pair.done is (refusal == "400")
        assert pair.record.reason == f"its chain has {size} bytes, and may have {size - 1}"
        looked, _ = Trust.of(smaller, [store]).look_again(inside.identity(), now())
        assert judge(smaller, looked.verification) is not None


def of_elements(count: int, content: bytes = b"") -> x509.UnrecognizedExtension:
    """An extension that holds so many elements, each one that holds no other."""
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
    return x509.UnrecognizedExtension(oid, element(SEQUENCE, element(OCTET_STRING, content) * count))


POINT = x509.DistributionPoint([x509.UniformResourceIdentifier("a:")], None, None, None)
CROWDS: dict[str, list[x509.ExtensionType]] = {
    "names": [x509.SubjectAlternativeName([x509.DNSName("")] * 14_000)],
    "parts of a name": [x509.SubjectAlternativeName([x509.DirectoryName(name(",".join(["O=a"] * 2000)))])],
    "distribution points": [x509.CRLDistributionPoints([POINT] * 2000)],
    "what nobody knows": [of_elements(14_000)],
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("mode", ["on", "optional", "optional-no-ca"])
@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("issuer", [ROOT, FORGER], ids=["good", "forged"])
def test_thousands_of_elements_are_not_read(issuer: Issued, crowd: str, mode: str, version: str) -> None:
    """Reading what fits into the bytes that a client may send took up to 70 milliseconds, of a stranger too. It is
    refused over HTTP, or left to the rules, and nothing is known of it but its fingerprint."""
    group, leaf = server_group(mode), issuer.issue("leaf", extensions=CROWDS[crowd])
    assert len(leaf.der) < LARGEST_CHAIN
    assert is_crowded(leaf.der)
    pair = shake(group, [leaf], trusted(ROOT), version=version)
    assert pair.done
    identity = Trust.of(group, [trusted(ROOT)]).identify(pair.server, pair.record, now())
    assert identity is not None
    assert (identity.subject, len(identity.fingerprint_sha256)) == ("", 64)
    assert (identity.verification.verified, identity.verification.reason) == (False, CROWDED)
    refusal = judge(group, identity.verification)
    assert (None if refusal is None else refusal.status) == (None if mode == "optional-no-ca" else 495)


def test_nor_is_one_of_the_chain_and_the_handshake_may_end() -> None:
    """An intermediate's elements count likewise; and where refusals are in the handshake it fails."""
    inner = make_authority("inner", issuer=ROOT, extensions=CROWDS["names"])
    chain = [inner.issue("leaf"), inner]
    assert shake(server_group("on"), chain, trusted(ROOT)).record.reason == CROWDED
    pair = shake(server_group("on", mtls_refusal="handshake"), chain, trusted(ROOT))
    assert (pair.done, pair.alerts, pair.record.reason) == (False, ["internal_error"], CROWDED)
    with pytest.raises(ValueError, match="elements"):
        identity_of(crypto.X509.from_cryptography(inner.certificate), NO_CERTIFICATE)


def test_an_authority_may_have_as_many_as_it_likes() -> None:
    """It is its owner's, and read when it is loaded."""
    root = make_authority("Root", extensions=CROWDS["names"])
    assert shake(server_group("on"), [root.issue("leaf")], trusted(root)).verification.verified


def test_elements_are_counted_in_large_certificates() -> None:
    """Those that hold others too; 500 names are not many."""
    bulk = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.2"), b"\x04\x82\x10\0" + bytes(4096))
    few = next(n for n in range(1900, 2100) if is_crowded(ROOT.issue("leaf", extensions=[bulk, of_elements(n)]).der))
    assert not is_crowded(ROOT.issue("leaf", extensions=[bulk, of_elements(few - 1)]).der)
    assert MOST_ELEMENTS - 100 < few < MOST_ELEMENTS
    many = ROOT.issue("leaf", sans=[f"DNS:host{i}.example.test" for i in range(500)])
    assert shake(server_group("on"), [many], trusted(ROOT)).verification.verified
    assert not is_crowded(b"\x30\x80" * 4000)


@pytest.mark.parametrize("size", [0, 1023, 100 * 1024 + 1])
def test_a_size_that_means_nothing_is_an_error(size: int) -> None:
    """Less than a certificate, or more than OpenSSL reads."""
    with pytest.raises(InvalidValue, match="1k to 100k"):
        server_group("on", max_chain_size=size)


@pytest.mark.parametrize(
    ("kind", "entry", "name"),
    [
        (DNSPattern, "n{}.test", "DNS:h{}.test"),
        (URIPattern, "spiffe://n{}/*", "URI:a://h{}/b/c"),
        (EmailPattern, "@n{}.test", "email:a@h{}.test"),
    ],
)
def test_long_lists_are_looked_up(kind: type[NamePattern], entry: str, name: str) -> None:
    """A thousand entries and a thousand names are no million comparisons; that was half a second."""
    key = {DNSPattern: "allow_dns", URIPattern: "allow_uri", EmailPattern: "allow_email"}[kind]

    def asking(size: int) -> Callable[[], Any]:
        lists = {key: tuple(kind.from_text(entry.format(i)) for i in range(size))}
        leaf = ROOT.issue("leaf", sans=[name.format(i) for i in range(size)])
        asked = Admission.of(server_group("on", **lists), [trusted(ROOT)])
        if size == 1000:
            assert len(list(kind.texts(describe(leaf.der).sans))) <= 6000
        return lambda: asked.objection((leaf.der, ROOT.der), now())

    objection = asking(1000)()
    assert objection is not None
    assert "none of its names" in objection.reason
    assert grows_with_its_size(asking, 125)


def test_networks_are_looked_up() -> None:
    """By their lengths, and each in its own version."""
    few = ("2001:db8::/32", "192.0.2.1/32", "::/128")

    def asking(size: int) -> Callable[[], Any]:
        networks = (*(f"10.{i // 256}.{i % 256}.0/24" for i in range(size)), *few)
        leaf = ROOT.issue("leaf", sans=[f"IP:172.16.{i // 256}.{i % 256}" for i in range(size)])
        asked = Admission.of(server_group("on", allow_ip=networks), [trusted(ROOT)])
        return lambda: asked.objection((leaf.der, ROOT.der), now())

    assert asking(1000)() is not None
    assert grows_with_its_size(asking, 125)
    asked = Admission.of(
        server_group("on", allow_ip=(*(f"10.{i // 256}.{i % 256}.0/24" for i in range(1000)), *few)), [trusted(ROOT)]
    )
    for address, allowed in {
        "10.3.231.9": True, "10.3.232.0": False, "192.0.2.1": True, "192.0.2.2": False, "2001:db8:ffff::1": True,
        "2001:db9::1": False, "::": True, "::1": False, "0.0.0.0": False, "::ffff:10.0.0.1": False,
    }.items():  # fmt: skip
        one = ROOT.issue("leaf", sans=[f"IP:{address}"])
        assert (asked.objection((one.der, ROOT.der), now()) is None) is allowed, address
