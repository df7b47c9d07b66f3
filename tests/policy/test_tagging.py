"""Automatic tags: what every exchange says of itself, and nothing that a client could forge."""

from __future__ import annotations

import datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import (
    NO_BODY,
    UNKNOWN_CLIENT,
    Body,
    ClientIdentity,
    Connection,
    Exchange,
    Geography,
    Headers,
    Request,
    Verification,
)
from edgenode.policy.tagging import AUTOMATIC, Tagging, check_own_tag
from edgenode.rules.tags import check_tag
from tests.support.strategies import CONNECTION, exchanges

TAGGING = Tagging.of({"shop": ("partner", "pci:dss")})
DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def exchange(headers: Headers = (), query: bytes | None = None, connection: Connection = CONNECTION) -> Exchange:
    """A request as the proxy hands it over."""
    target = b"/" if query is None else b"/?" + query
    request = Request(b"GET", b"https", b"Api.Example.com:8443", target, b"/", query, b"/", headers)
    return Exchange(connection, request, "192.0.2.7", frozenset(), "Shop Group", "shop", "Default entry")


def connection_with(verification: Verification) -> Connection:
    """A connection whose client showed a certificate."""
    identity = ClientIdentity(b"", (), "CN=Alice,O=Acc\\, ess", "CN=The CA", "01", "ab", DAY, DAY, verification)
    return evolve(CONNECTION, client=identity)


def of_family(tags: frozenset[str], *families: str) -> set[str]:
    """The tags that begin so."""
    return {tag for tag in tags if tag.partition(":")[0] in families}


def test_a_request_has_all_its_automatic_tags() -> None:
    """Every automatic tag is there in canonical form, and those of the security policy are."""
    assert TAGGING.decide(exchange(((b"host", b"x"), (b"a", b"1")), b"q=1")).tags == {
        "all",
        "ip:192-0-2-7",
        "host:api-example-com",
        "protocol:https",
        "servergroup:shop-group",
        "securitypolicy:shop",
        "securitypolicy-entry:default-entry",
        "headers:2",
        "cookies:0",
        "args:1",
        "mtls:none",
        "partner",
        "pci:dss",
    }


def test_a_client_that_nobody_knows_has_a_tag() -> None:
    """A trusted proxy has reported no address."""
    tags = Tagging.of({}).decide(evolve(exchange(), client=UNKNOWN_CLIENT)).tags
    assert of_family(tags, "ip") == {"ip:unknown"}


def test_where_the_client_is_becomes_tags() -> None:
    """With databases each of these is there, ``nil`` for what is not known; without databases none is."""
    place = Geography(
        country="US", country_name="United States", continent="NA", region="Texas", region_code="TX", asn=64500
    )
    families = [family for family in AUTOMATIC if family.startswith("geo-")]
    assert of_family(TAGGING.decide(evolve(exchange(), geography=place)).tags, *families) == {
        "geo-continent-code:na",
        "geo-country:united-states",
        "geo-region:tx",
        "geo-subregion:nil",
        "geo-city:nil",
        "geo-asn:64500",
        "geo-org:nil",
    }
    nowhere = TAGGING.decide(evolve(exchange(), geography=Geography())).tags
    assert of_family(nowhere, *families) == {f"{family}:nil" for family in families}
    assert of_family(TAGGING.decide(exchange()).tags, *families) == set()


@pytest.mark.parametrize("body", [None, NO_BODY, Body(b"all", 3), Body(b"al", 3, truncated=True)])
def test_a_body_that_was_not_seen_whole_has_a_tag(body: Body | None) -> None:
    """Whoever hides something behind what rules look at is found by it."""
    judged = exchange()
    assert judged.request is not None
    tags = TAGGING.decide(evolve(judged, request=evolve(judged.request, body=body))).tags
    assert of_family(tags, "body") == ({"body:truncated"} if body is not None and body.truncated else set())


@pytest.mark.parametrize(
    ("content_type", "data", "truncated"),
    [
        (b"application/x-www-form-urlencoded", b"a=1&" * 4000, False),
        (b"application/x-www-form-urlencoded", b"a=1&" * 5000, True),
        (b"text/plain", b"a=1&" * 5000, False),
        (b"multipart/form-data; boundary=b", b"--b\r\n" * 900, False),
        (b"multipart/form-data; boundary=b", b"--b\r\n" * 1100, True),
    ],
)
def test_a_body_of_too_many_fields_or_parts_was_not_seen_whole(
    content_type: bytes, data: bytes, truncated: bool
) -> None:
    """A rule that refuses what is truncated refuses it too."""
    judged = exchange(((b"content-type", content_type),))
    assert judged.request is not None
    request = evolve(judged.request, body=Body(data, len(data)))
    assert ("body:truncated" in TAGGING.decide(evolve(judged, request=request)).tags) is truncated


@pytest.mark.parametrize(
    ("query", "truncated"), [(b"a=1&" * 4000, False), (b"a=1&" * 5000, True), (b"a;" * 5000, True)]
)
def test_a_query_of_too_many_arguments_was_not_seen_whole(query: bytes, truncated: bool) -> None:
    """It takes a limit of the target that is larger than usual."""
    assert ("args:truncated" in TAGGING.decide(exchange(query=query)).tags) is truncated


def test_a_stream_has_the_tags_that_need_no_request() -> None:
    """Without a request there is nothing to count, and no protocol is claimed."""
    found = TAGGING.decide(Exchange(CONNECTION, None, "2001:db8::1", frozenset(), "group", "other")).tags
    assert found == {"all", "ip:2001:db8::1", "servergroup:group", "securitypolicy:other", "mtls:none"}


@pytest.mark.parametrize(
    ("headers", "query", "counts"),
    [
        ((), None, {"headers:0", "cookies:0", "args:0"}),
        ((), b"", {"headers:0", "cookies:0", "args:0"}),
        ((), b"a=1&&b&a=2&", {"headers:0", "cookies:0", "args:3"}),
        (((b"a", b"1"), (b"b", b"2"), (b"a", b"3")), None, {"headers:2", "cookies:0", "args:0"}),
        (((b"a", b"1"), (b"cookie", b"x=1; y=2;z; ")), None, {"headers:1", "cookies:3", "args:0"}),
        (((b"cookie", b"x=1"), (b"cookie", b"y=2; z=3")), None, {"headers:0", "cookies:3", "args:0"}),
        (((b"cookie", b""),), None, {"headers:0", "cookies:0", "args:0"}),
    ],
)
def test_headers_cookies_and_arguments_are_counted(headers: Headers, query: bytes | None, counts: set[str]) -> None:
    """Repeated headers count once, Cookie is counted by its pairs, and empty pairs not at all."""
    assert of_family(TAGGING.decide(exchange(headers, query)).tags, "headers", "cookies", "args") == counts


@pytest.mark.parametrize(
    ("verification", "tags"),
    [
        (Verification(), {"mtls:none"}),
        (Verification(True), {"mtls:failed"}),
        (Verification(True, False, True), {"mtls:failed", "mtls:revoked"}),
        (Verification(True, True, True), {"mtls:failed", "mtls:revoked"}),
        (Verification(True, True), {"mtls:verified", "cert-subject:cn-alice-o-acc---ess", "cert-issuer:cn-the-ca"}),
    ],
)
def test_only_a_verified_certificate_names_its_holder(verification: Verification, tags: set[str]) -> None:
    """A certificate that nobody vouches for, or that is revoked, puts no name on an exchange."""
    found = TAGGING.decide(exchange(connection=connection_with(verification))).tags
    assert of_family(found, "mtls", "cert-subject", "cert-issuer") == tags


@pytest.mark.parametrize(
    ("verification", "expected"),
    [
        (Verification(True, True), {"partner-a"}),
        (Verification(True), set()),
        (Verification(True, False, True), set()),
        (Verification(True, True, True), set()),
    ],
)
def test_a_trust_store_tags_its_verified_clients_alone(verification: Verification, expected: set[str]) -> None:
    """Its tags are on the exchanges of those it vouches for, and the next client does not inherit them."""
    connection = connection_with(verification)
    assert connection.client is not None
    tagged = evolve(connection, client=evolve(connection.client, tags=("partner-a",)))
    for _ in range(2):
        assert of_family(TAGGING.decide(exchange(connection=tagged)).tags, "partner-a") == expected
        assert of_family(TAGGING.decide(exchange(connection=connection)).tags, "partner-a") == set()


def test_a_verdict_is_not_remembered_for_the_next_client() -> None:
    """The same client and host with another certificate have other tags: nothing of a verdict is kept by address."""
    verified = exchange(connection=connection_with(Verification(True, True)))
    for _ in range(2):
        assert "mtls:verified" in TAGGING.decide(verified).tags
        assert "mtls:none" in TAGGING.decide(exchange()).tags
        assert "mtls:failed" in TAGGING.decide(exchange(connection=connection_with(Verification(True)))).tags


@given(exchanges)
def test_automatic_tags_are_canonical_and_known(judged: Exchange) -> None:
    """Whatever the exchange, each tag is in canonical form and in the table, and no action is said to have won."""
    decision = TAGGING.decide(judged)
    assert decision.action is None
    for tag in decision.tags:
        check_tag(tag)
        assert tag.partition(":")[0] in AUTOMATIC
        assert not tag.startswith("action:")


@given(exchanges)
def test_tags_that_stand_are_the_same_if_they_are_computed_before(judged: Exchange) -> None:
    """Whoever keeps them gets the decision that the stage makes by itself."""
    standing = TAGGING.standing(judged)
    assert TAGGING.decide(evolve(judged, standing=standing)) == TAGGING.decide(judged)
    assert not of_family(standing, "headers", "cookies", "args", "body")


def test_tags_that_stand_are_believed() -> None:
    """Of an exchange that brings them along only the counts are computed."""
    given_tags = evolve(exchange(query=b"a=1"), standing=frozenset(("kept",)))
    assert TAGGING.decide(given_tags).tags == {"kept", "headers:0", "cookies:0", "args:1"}
    stream = Exchange(CONNECTION, standing=frozenset(("kept",)))
    assert TAGGING.decide(stream).tags == {"kept"}


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 1000])
def test_counts_of_any_size_are_tags(count: int) -> None:
    """Those that are made beforehand and those that are not read alike."""
    headers = tuple((b"x-%d" % number, b"") for number in range(count))
    cookies = ((b"cookie", b"; ".join(b"a=%d" % number for number in range(count))),)
    query = b"&".join(b"a=%d" % number for number in range(count))
    found = TAGGING.decide(exchange((*headers, *cookies), query)).tags
    assert of_family(found, "headers", "cookies", "args") == {f"headers:{count}", f"cookies:{count}", f"args:{count}"}


@given(st.lists(st.sampled_from((b"a", b"", b" ", b"a=b", b"=")), max_size=6))
def test_empty_cookies_and_arguments_are_not_counted(pieces: list[bytes]) -> None:
    """Wherever between the others they stand, and whatever white space is around them."""
    found = TAGGING.decide(exchange(((b"cookie", b";".join(pieces)),), b"&".join(pieces))).tags
    cookies = sum(piece.strip(b" ") != b"" for piece in pieces)
    arguments = sum(piece != b"" for piece in pieces)
    assert of_family(found, "cookies", "args") == {f"cookies:{cookies}", f"args:{arguments}"}


@pytest.mark.parametrize("tag", ["all", "mtls:verified", "cert-subject:cn-alice", "action:block", "ip:1-2-3-4"])
def test_automatic_tags_cannot_be_set(tag: str) -> None:
    """Nobody but the node says who a client is."""
    with pytest.raises(InvalidValue, match=f"the tag {tag} is set by the node alone"):
        check_own_tag(tag)
    with pytest.raises(InvalidValue):
        Tagging.of({"shop": (tag,)})


@pytest.mark.parametrize("tag", ["internal", "team-devops", "host", "pci:dss", "all-clear"])
def test_other_tags_can_be_set(tag: str) -> None:
    """A word is only taken if it is an automatic tag as a whole."""
    check_own_tag(tag)


@pytest.mark.parametrize("tag", ["limit:few", "dynamic-rule:scan", "quarantine", "flow:pair", "acl:shop", "human"])
def test_what_stages_say_nobody_else_says(tag: str) -> None:
    """A filter that could set the tag of a limit or of the quarantine would speak for those."""
    with pytest.raises(InvalidValue, match="set by the node alone"):
        check_own_tag(tag)
