"""The words of a key: what a value of a request is called, and that a person's spelling of it is the same."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange, Geography, Verification
from edgenode.policy.keys import LONGEST, Part
from edgenode.rules.categories import CATEGORIES
from edgenode.testing.certificates import make_authority
from edgenode.testing.exchanges import exchange_of, identity

AUTHORITY = make_authority()
CLIENT = identity(AUTHORITY.issue("client.test"))
GEOGRAPHY = Geography(
    country="DE", region="Bavaria", region_code="BY", subregion="x", asn=64500, organization="Example AG"
)
TAGS = ("all", "bot", "geo-country", "geo-country:germany", "geo-countryside")


def exchange(address: str = "192.0.2.7", **given: Any) -> Exchange:
    """One that has a value for most words."""
    url = given.pop("url", "https://www.test/a;x=1/b?user=Ann&user=B%6fb")
    headers = given.pop(
        "headers", [("User-Agent", "Evil BOT/1.0"), ("X-Twice", "one"), ("X-Twice", "TWO"), ("X-No", "")]
    )
    found = exchange_of("POST", url, headers, b"", address=address, client=given.pop("client", CLIENT))
    return evolve(found, geography=given.pop("geography", GEOGRAPHY), tags=frozenset(given.pop("tags", TAGS)))


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("ip", ("192.0.2.7",)),
        ("ip/24/56", ("192.0.2.0/24",)),
        ("ip/0/0", ("0.0.0.0/0",)),
        ("country", ("DE",)),
        ("asn", ("64500",)),
        ("organization", ("Example AG",)),
        ("region", ("Bavaria", "BY")),
        ("header.User-Agent", ("evil bot/1.0",)),
        ("header.x-twice", ("one", "two")),
        ("header.x-no", ("",)),
        ("header.x-absent", ()),
        ("argument.user", ("ann", "bob")),
        ("argument.USER", ()),
        ("tag.geo-country", ("geo-country", "geo-country:germany")),
        ("tag.absent", ()),
        ("cookie.session", ()),
        ("method", ("post",)),
        ("certificate.verified", ("yes",)),
        ("certificate.revoked", ("no",)),
        ("certificate.fingerprint", (CLIENT.fingerprint_sha256,)),
        ("certificate.spki-sha256", (CLIENT.spki_sha256,)),
        ("certificate.ski", (CLIENT.ski,)),
        ("certificate.key-bits", (str(CLIENT.key_bits),)),
        ("cf.tls_client_auth.cert_subject_dn_legacy", (CLIENT.subject_legacy,)),
        ("edge.peer_ip", ("192.0.2.7",)),
        ("cf.tls_version", ("TLSv1.3",)),
        ("path", ("/a;x=1/b", "/a/b")),
    ],
)
def test_a_word_has_every_value_of_a_request(word: str, values: tuple[str, ...]) -> None:
    """Repeated ones too; what a client writes without regard to letter case."""
    assert Part.from_text(word).values(exchange()) == values


def test_tags_are_a_key() -> None:
    """All that there are so far."""
    assert {*Part.from_text("tag").values(exchange())} == {*TAGS}


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("ip.src", "ip"),
        ("cf.tls_client_auth.cert_fingerprint_sha256", "certificate.fingerprint"),
        ("edge.tls_client_auth.spki_sha256", "certificate.spki-sha256"),
        ("ip.src.country", "country"),
        ("http.user_agent", "http.user_agent"),
        ("header.X-Y", "header.x-y"),
        ("argument.X-Y", "argument.X-Y"),
    ],
)
def test_a_field_that_a_category_looks_at_is_that_category(field: str, word: str) -> None:
    """So an entry by the one is found by the other."""
    assert Part.from_text(field).word == word


def test_an_ipv6_client_counts_by_its_64() -> None:
    """Who has one address has 2^64 of them. By the address it is counted if the key says so."""
    client = exchange("2001:db8:1:2:3::4")
    assert Part.from_text("ip").values(client) == ("2001:db8:1:2::/64",)
    assert Part.from_text("ip/32/128").values(client) == ("2001:db8:1:2:3::4",)
    assert Part.from_text("ip").values(exchange("::ffff:192.0.2.7")) == ("192.0.2.7",)


@pytest.mark.parametrize("word", ["ip", "country", "asn", "organization", "region", "http.user_agent"])
def test_what_is_not_known_has_no_value(word: str) -> None:
    """Or whoever is unknown would be counted, and held, together with everybody else who is."""
    nobody = exchange(geography=None, headers=())
    nobody.client = UNKNOWN_CLIENT
    assert Part.from_text(word).values(nobody) == ()


def test_without_a_certificate_its_words_have_no_values() -> None:
    """But for whether there is one."""
    nobody = exchange(client=None)
    found = {name: Part.from_text(name).values(nobody) for name in CATEGORIES if name.startswith("certificate.")}
    assert {name for name, values in found.items() if values} == {
        "certificate.presented", "certificate.verified", "certificate.revoked", "certificate.verification",
        "certificate.first-error", "certificate.last-error", "certificate.depth", "certificate.key-bits",
        "certificate.chain-length",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "written", "value"),
    [
        ("ip", "203.0.113.0/24", "203.0.113.0/24"),
        ("ip", "192.0.2.7/32", "192.0.2.7"),
        ("ip", "2001:DB8::/32", "2001:db8::/32"),
        ("ip", "::ffff:192.0.2.7", "192.0.2.7"),
        ("certificate.san-ip", "2001:DB8::1", "2001:db8::1"),
        ("country", "germany", "DE"),
        ("asn", "AS64500", "64500"),
        ("header.user-agent", "Evil BOT", "evil bot"),
        ("argument.user", " Evil BOT", "evil bot"),
        ("method", "POST", "post"),
        ("certificate.fingerprint", "AB:" * 31 + "AB", "ab" * 32),
        ("certificate.serial", "0x0aB", "AB"),
        ("certificate.ski", "aB:cd", "ABCD"),
        ("certificate.verified", "no", "no"),
        ("certificate.key-bits", "2048", "2048"),
        ("certificate.san-dns", "a.test", "a.test"),
        ("edge.peer_port", "443", "443"),
        ("edge.peer_ip", "2001:DB8::7", "2001:db8::/64"),
        ("tag", "geo-country:germany", "geo-country:germany"),
    ],
)
def test_a_value_is_read_as_entries_are(word: str, written: str, value: str) -> None:
    """In any of its spellings; a value in its own is itself."""
    part = Part.from_text(word)
    assert part.written(written) == value
    assert part.written(value) == value


@pytest.mark.parametrize(
    ("word", "written", "sentence"),
    [
        ("ip", "203.0.113.7/24", "host bits are set: the network is 203.0.113.0/24"),
        ("ip", "203.0.113", "expected an address or a network"),
        ("ip", "", "a value is missing"),
        ("certificate.san-ip", "10.0.0.0/8", "single addresses are held"),
        ("country", "XX", "what is not known"),
        ("asn", "0", "what is not known"),
        ("country", "Atlantis", "country"),
        ("asn", "64500..64510", "autonomous system"),
        ("certificate.key-bits", "2048..4096", "expected a whole number"),
        ("certificate.verified", "true", "expected yes or no"),
        ("certificate.fingerprint", "abc", "expected 64 digits"),
        ("tag", "Bot", "would be bot"),
    ],
)
def test_a_value_that_no_request_has_is_refused(word: str, written: str, sentence: str) -> None:
    """It would hold nothing, and nobody would know."""
    with pytest.raises(InvalidValue, match=sentence):
        Part.from_text(word).written(written)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("ipp", "did you mean ip"),
        ("nothing", "there are argument, "),
        ("header", "header needs a name"),
        ("certificate.foo", "there is no category certificate.foo"),
        ("http.request.headers", "write header.NAME"),
        ("http.request.body.form", "has values by names"),
        ("http.request.body.multipart.names", "has lists of values"),
        ("ip/33/64", "prefix lengths"),
        ("tag.Bad", "would be bad"),
        ("tag.", "tag takes no name"),
        ("ip/24", "there is no category"),
        ("country/1/2", "there is no category"),
        ("", "there is no category|needs"),
    ],
)
def test_a_word_that_there_is_not_is_refused(word: str, sentence: str) -> None:
    """With what may have been meant."""
    with pytest.raises(InvalidValue, match=sentence):
        Part.from_text(word)


@pytest.mark.parametrize(
    ("word", "secret"),
    [
        ("cookie.theme", True), ("header.cookie", True), ("http.cookie", True), ("header.authorization", True),
        ("header.proxy-authorization", True), ("header.x-api-key", True), ("header.X-Auth-Token", True),
        ("argument.password", True), ("argument.sessionId", True), ("argument.author", False), ("argument.q", False),
        ("header.user-agent", False), ("header.authority", False), ("path", False), ("certificate.ski", False),
    ],
)  # fmt: skip
def test_a_secret_is_held_by_its_hash(word: str, secret: bool) -> None:
    """It would stand in lists, events and databases otherwise. Who has read the hash there may write that."""
    part = Part.from_text(word)
    assert part.secret is secret
    if word in ("certificate.ski",):
        return
    written = part.written("Hunter2")
    assert (written.startswith("sha256:") and "hunter2" not in written) if secret else written == "hunter2"
    assert part.written(written) == written


@pytest.mark.parametrize(
    ("sent", "same"),
    [
        ("Bearer abc", True),
        ("bearer   ABC", True),
        ("Bearer\tabc", True),
        ("Bearer abcd", False),
        ("Basic QWxhZGRpbjpvcGVu", False),
    ],
)
def test_credentials_are_the_same_however_they_are_spaced(sent: str, same: bool) -> None:
    """RFC 9110, section 11.4."""
    part = Part.from_text("header.authorization")
    found = exchange(headers=[("Authorization", sent)])
    assert (part.values(found) == (part.written("Bearer abc"),)) is same


def test_credentials_of_basic_are_what_they_say() -> None:
    """With padding or without, with bits in it that nobody reads, and in another case."""
    part = Part.from_text("header.authorization")
    spellings = ("YTpi", "YTpi====", "QTpC", "YTpi=")
    said = {part.values(exchange(headers=[("Authorization", f"Basic {each}")])) for each in spellings}
    assert len(said) == 1
    assert part.values(exchange(headers=[("Authorization", "Basic A")]))  # what is no Base64 has a value too


def test_what_anybody_can_write_into_a_certificate_is_told_apart() -> None:
    """The subject of one that is not verified may be another's; its key nobody else has."""
    verdict = Verification(presented=True, verified=False)
    stranger = exchange(client=identity(AUTHORITY.issue("client.test"), verdict))
    forgeable = {"certificate.subject", "certificate.san-dns", "certificate.serial", "certificate.ski"}
    words = (*forgeable, "certificate.fingerprint", "certificate.spki-sha256", "certificate.fingerprint-sha1", "ip")
    assert {word for word in words if Part.from_text(word).forgeable(stranger)} == forgeable
    assert not any(Part.from_text(word).forgeable(exchange()) for word in words)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=2 * LONGEST))
def test_what_is_written_is_what_is_looked_up(value: str) -> None:
    """Whatever a client sends: a header and a cookie of this value have it, and of no more than so many characters."""
    found = exchange_of("GET", "https://www.test/", [("X-Any", value.encode("utf-8").decode("latin-1"))])
    part = Part.from_text("header.x-any")
    if value.strip():
        assert part.values(found) == (part.written(value),)
        assert len(part.written(value)) <= LONGEST
        assert part.written(part.written(value)) == part.written(value)


@given(st.ip_addresses(), st.integers(0, 32), st.integers(0, 128))
def test_an_address_is_in_the_network_that_it_is_counted_by(address: Any, v4: int, v6: int) -> None:
    """Of the prefix length for its family; and that network can be held as it is written."""
    part = Part.from_text(f"ip/{v4}/{v6}")
    (found,) = part.values(exchange(str(address)))
    mapped = getattr(address, "ipv4_mapped", None) or address
    network = ipaddress.ip_network(found)
    assert mapped in network
    assert network.prefixlen == (v4 if mapped.version == 4 else v6)
    if not network.overlaps(ipaddress.ip_network("::ffff:0:0/96")) if network.version == 6 else True:
        assert part.written(found) == found
