"""The examples of the manuals that this node is made after, word for word: from the file to the decision."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from attrs import evolve
from OpenSSL import crypto

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import NO_BODY, Address, Connection, Exchange, Verification
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.tls.identity import identity_of
from tests.support.certificates import CLIENT, SERVER, make_authority

BASE = """\
[listener public]
endpoint = tcp:8443
server-groups = api

[server-group api]
hosts = api.example.com, www.example.com
certificate = server
security-policy = api

[certificate server]
chain = server.pem
key = server.key

[security-policy api]
path-maps = all

[path-map all]
origin = api

[origin api]
servers = http://127.0.0.1:8080
"""

PLAIN = Connection(Address("192.0.2.7", 50000), Address("198.51.100.1", 80))
ENCRYPTED = evolve(PLAIN, server_name="api.example.com", tls_version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256")


Decide = Callable[..., Awaitable[Decision]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of the node."""
    folder = tmp_path_factory.mktemp("pki")
    make_authority("CA").issue("api", eku=(SERVER,), sans=("DNS:*.example.com",)).write(folder, "server")
    return folder


@pytest.fixture
def decided(folder: Path) -> Decide:
    """What a configuration with these rules decides for a request."""
    return partial(_decided, folder)


async def _decided(
    folder: Path,
    rules: str,
    *headers: str,
    host: str = "api.example.com",
    over: Connection = ENCRYPTED,
    client: str = "192.0.2.7",
) -> Decision:
    lines = ["GET /widgets HTTP/1.1", f"Host: {host}", *headers, "", ""]
    limits = HeadLimits(8192, 16384, 100)
    request = read_request_head(
        "\r\n".join(lines).encode(), limits, b"https" if over.tls_version else b"http"
    ).with_body(NO_BODY)
    pipeline = Configuration.from_text(BASE + rules, folder, {}).pipeline("all")
    return await pipeline.decide(Exchange(over, request, client))


# -- Link11, Global Filters --------------------------------------------------------------------------------------------

# "A Rule list contains two sections, with the overall Section Relation set to AND. The first section has criteria
# a, b, c and the second has i, j, k. Within each section, the Section Relation is set to OR. Thus, for a request x, the
# evaluation will be ((x==a) OR (x==b) OR (x==c)) AND ((x==i) OR (x==j) OR (x==k))."
SECTIONS = """
[global-filter example]
tags     = matched
relation = and
sections = first, second

[section first]
relation = or
header.one =
    ^a$
    ^b$
    ^c$

[section second]
relation = or
header.two =
    ^i$
    ^j$
    ^k$
"""
EXPRESSION = """
[global-filter example]
tags       = matched
expression =
    (any(http.request.headers["one"][*] == "a") or any(http.request.headers["one"][*] == "b")
        or any(http.request.headers["one"][*] == "c"))
    and
    (any(http.request.headers["two"][*] == "i") or any(http.request.headers["two"][*] == "j")
        or any(http.request.headers["two"][*] == "k"))
"""


@pytest.mark.parametrize("rules", [SECTIONS, EXPRESSION], ids=["sections", "expression"])
async def test_an_and_of_two_ors(decided: Decide, rules: str) -> None:
    """((x==a) OR (x==b) OR (x==c)) AND ((x==i) OR (x==j) OR (x==k)), in either notation."""
    for one, two in product("abcx", "ijkx"):
        decision = await decided(rules, f"One: {one}", f"Two: {two}")
        assert ("matched" in decision.tags) is (one in "abc" and two in "ijk")


TEAM = """
[global-filter office]
tags = internal team-devops
ip   = 192.0.2.0/24 # the office
"""


async def test_tags_separated_by_spaces(decided: Decide) -> None:
    """ "user tags (separated by spaces) that will be assigned [...] Example: internal team-devops"."""
    decision = await decided(TEAM)
    assert {"internal", "team-devops"} <= decision.tags
    assert ("office", "the office") in [(each.filter, each.annotation) for each in decision.reasons]


OFFICES = """
[global-filter offices]
tags   = office
relation = or
ip     = # branch offices
    192.0.2.0/24
    203.0.113.7     # Lyon
header.x-office = # by its header
    ^one$
    ^two$ # the second
"""


async def test_several_entries_are_made_with_one_annotation(decided: Decide) -> None:
    """ "If individual annotations are not provided, then L11WAAP will assign the content of the Annotation field"."""
    for header, client, annotation in (
        ("X: y", "192.0.2.7", "branch offices"),
        ("X: y", "203.0.113.7", "Lyon"),
        ("X-Office: one", "198.51.100.7", "by its header"),
        ("X-Office: two", "198.51.100.7", "the second"),
    ):
        decision = await decided(OFFICES, header, client=client)
        (reason,) = [each for each in decision.reasons if each.filter == "offices"]
        assert reason.annotation == annotation


CALLED = """
[global-filter scripts-that-write]
name   = Scripts that write, "old" ones # too
tags   = script
path   = ^/
"""


async def test_a_name_is_what_people_call_a_filter(decided: Decide) -> None:
    """ "Name. A description that will be displayed within the L11WAAP interface": it makes no tag."""
    decision = await decided(CALLED)
    (reason,) = [each for each in decision.reasons if each.filter == "scripts-that-write"]
    assert reason.display_name == 'Scripts that write, "old" ones # too'
    assert json.loads(reason.json)["display_name"] == reason.display_name
    assert decision.tags == (await decided(CALLED.replace("name ", "description "))).tags
    with pytest.raises(ConfigurationError, match="a name is one line of up to 200 characters"):
        await decided(CALLED.replace("# too", "x" * 200))


CURL = """
[global-filter scripts]
tags              = script
header.User-Agent = ^CURL/
"""


async def test_values_of_headers_have_no_case(decided: Decide) -> None:
    """ "Most Rule criteria are case sensitive. The exception is Header, where the criteria are not case sensitive."."""
    for value, matched in (("curl/8.1", True), ("Curl/8.1", True), ("Lynx/2", False)):
        assert ("script" in (await decided(CURL, f"user-agent: {value}")).tags) is matched
    exact = f"{CURL}match-case = yes\n"
    for value, matched in (("CURL/8.1", True), ("curl/8.1", False)):
        assert ("script" in (await decided(exact, f"user-agent: {value}")).tags) is matched


UNENCRYPTED = """
[action upgrade]
type     = redirect
location = https://www.example.com/

[global-filter unencrypted]
action = upgrade
tag    = protocol:http
"""


async def test_a_filter_on_the_protocol_through_its_tag(decided: Decide) -> None:
    """ "you can still create a protocol-based Global Filter by specifying an appropriate Tag, for example protocol:http
    or protocol:https. This is useful when blocking or redirecting unencrypted HTTP traffic"."""
    refused = await decided(UNENCRYPTED, over=PLAIN)
    assert refused.action is not None
    assert refused.action.name == "upgrade"
    assert (await decided(UNENCRYPTED)).action is None


# -- Cloudflare, API Shield --------------------------------------------------------------------------------------------

API_SHIELD = """
[global-filter mtls]
action     = block
expression = (http.host in {"api.example.com"} and not cf.tls_client_auth.cert_verified)
"""
NOT_REVOKED = """
[global-filter mtls]
action     = block
expression = (http.host in {"api.example.com"})
    and (not cf.tls_client_auth.cert_verified or cf.tls_client_auth.cert_revoked)
"""
NOBODY = Verification()
GOOD = Verification(presented=True, verified=True)
UNKNOWN = Verification(presented=True, first_error=20, last_error=21, reason="unable to verify the first certificate")
REVOKED = Verification(presented=True, revoked=True, first_error=23, last_error=23, reason="certificate revoked")


def by(verification: Verification) -> Connection:
    """A connection of a client whose certificate was judged so."""
    if not verification.presented:
        return ENCRYPTED
    leaf = make_authority("CA").issue("client", eku=(CLIENT,)).certificate
    return evolve(ENCRYPTED, client=identity_of(crypto.X509.from_cryptography(leaf), verification))


@pytest.mark.parametrize("rules", [API_SHIELD, NOT_REVOKED], ids=["default", "revoked"])
@pytest.mark.parametrize(
    ("verification", "refused"), [(NOBODY, True), (GOOD, False), (UNKNOWN, True), (REVOKED, True)],
    ids=["none", "good", "unknown", "revoked"],
)  # fmt: skip
async def test_the_rule_of_api_shield(decided: Decide, rules: str, verification: Verification, refused: bool) -> None:
    """Requests without a valid certificate are blocked; those with a revoked one here by the default rule, too."""
    decision = await decided(rules, over=by(verification))
    assert (decision.action is not None and decision.action.name == "block") is refused
    assert (await decided(rules, host="www.example.com", over=by(verification))).action is None


@pytest.mark.parametrize("host", ["API.example.com", "api.example.com:443", "api.example.com.", "api.example.com:8443"])
async def test_no_spelling_of_the_host_goes_past_the_rule(decided: Decide, host: str) -> None:
    """Case, port and the dot at the end make no other host."""
    assert (await decided(API_SHIELD, host=host)).action is not None
