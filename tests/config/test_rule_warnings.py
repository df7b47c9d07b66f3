"""Warnings about rules: each where it belongs, and none where the rule says what its author meant."""

from __future__ import annotations

import pathlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import Predicate
from edgenode.rules.language.expression_formulas import formula
from edgenode.rules.language.expressions import Expression
from edgenode.rules.matching.contradictions import Literal, Opaque, conjunctions, contradiction
from edgenode.rules.section_formulas import formula_of
from edgenode.rules.sections import Section
from tests.support.certificates import SERVER, make_authority, write_pem
from tests.support.formulas import holds, is_true
from tests.support.strategies import exchanges, section_trees

NODE = """\
[edge]
events = -

[listener public]
endpoint = tcp:0
server-groups = open, strict

[certificate server]
chain = server.pem
key = server.key

[trust-store clients]
authorities = clients.pem

[server-group open]
hosts = open.test, *.open.test
certificate = server
security-policy = open

[server-group strict]
hosts = strict.test
certificate = server
mtls = on
trust-store = clients
security-policy = strict

[security-policy open]
path-maps = open

[security-policy strict]
path-maps = strict

[path-map open]
origin = shop

[path-map strict]
origin = shop

[origin shop]
servers = http://127.0.0.1:8080

[action teapot]
type = block
status = 418

[action weaker]
type = block
status = 418
priority = 499

[action copy]
type = block

[action noting]
type = monitor
tags = noted

[global-filter uses-them]
active = no
action = teapot
path = ^/x

[global-filter uses-another]
active = no
action = weaker
path = ^/x

[global-filter uses-a-third]
active = no
action = copy
path = ^/x

[global-filter uses-a-fourth]
active = no
action = noting
path = ^/x
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Certificates."""
    folder = tmp_path_factory.mktemp("pki")
    sans = ("DNS:open.test", "DNS:strict.test", "DNS:*.open.test")
    make_authority("CA").issue("edge", eku=(SERVER,), sans=sans).write(folder, "server")
    write_pem(folder / "clients.pem", [make_authority("Clients")])
    return folder


def doubts(folder: pathlib.Path, rules: str, node: str = NODE) -> list[str]:
    """The warnings for these rules, as they are printed."""
    try:
        return [str(problem) for problem in Configuration.from_text(f"{node}\n{rules}", folder, {}).warnings]
    except ConfigurationError as error:
        raise AssertionError(str(error)) from None


def a_filter(*lines: str, name: str = "f", action: str = "block") -> str:
    """A global filter."""
    return "\n".join((f"[global-filter {name}]", f"action = {action}", *lines, ""))


LEFT = NODE.replace("mtls = on", "mtls = optional-no-ca")
"""A node that leaves all certificates to its rules."""


def an_expression(text: str, action: str = "block") -> str:
    """A global filter of one expression."""
    return a_filter(f"expression = {text}", action=action)


MESSAGES = an_expression('any(edge.tags[*] == "websocket:message")')
PATH = "this never matches: a path begins with /"
HEX = "this never comes: it is in lower-case hexadecimal, without colons"
NE = "ne is false where this is missing: who leaves it out is not matched"
NO_MTLS = "looks at client certificates of {}, and mtls of [server-group open] is off"
LETS_PASS = "lets every verified certificate pass, whatever"
UPPER = "AB" * 32

SLOW = "(?P<any>a).{0,80}b.{0,80}c"
"""Nothing that Hyperscan takes."""

FOUND = {
    # -- takes long
    "repetitions in a body": (a_filter(f"argument.x = {SLOW}"), "s with one value of 131072 bytes"),
    "many repetitions in a head": (
        a_filter("relation = or", "header.x =\n" + "".join(f"    {SLOW}{each}\n" for each in range(10))),
        "header",
    ),
    # -- certificates that nobody judges
    "nothing asks for the verdict": (
        LEFT + an_expression('http.host eq "a.test"'),
        "[server-group strict] mtls: optional-no-ca refuses no certificate, be it expired or revoked, and no rule",
    ),
    "only that there is one": (LEFT + an_expression("not cf.tls_client_auth.cert_presented"), "no rule asks"),
    "only whose certificate it is": (LEFT + a_filter(f"certificate.fingerprint = !{UPPER}"), "no rule asks"),
    "a refusal that never comes": (
        LEFT.replace("mtls = optional", "mtls-refusal = 444\nmtls = optional")
        + an_expression("not cf.tls_client_auth.cert_verified"),
        "[server-group strict] mtls-refusal: says nothing: optional-no-ca refuses no certificate, the rules do",
    ),
    # -- never matches
    "two countries": (a_filter("country = DE", "sections = s") + "[section s]\ncountry = FR\n", "exclude each other"),
    "two exact values": (an_expression('http.host eq "a.test" and http.host eq "b.test"'), "exclude each other"),
    "disjoint sets": (an_expression('http.host in {"a" "b"} and http.host in {"c" "d"}'), "exclude each other"),
    "disjoint networks": (an_expression("ip.src in {10.0.0.0/8} and ip.src in {192.0.2.0/24}"), "exclude each other"),
    "two families": (an_expression("ip.src in {10.0.0.0/8} and ip.src in {2001:db8::/32}"), "exclude each other"),
    "disjoint ranges": (
        an_expression("http.request.timestamp.sec lt 5 and http.request.timestamp.sec gt 9"),
        "exclude each other",
    ),
    "itself and its contrary": (
        a_filter("sections = a, b") + '[section a]\npath = ^/x\n[section b]\nexpression = not http.host eq "h"\n'
        'sections = c\n[section c]\nexpression = http.host eq "h"\n',
        "exclude each other",
    ),
    "every alternative": (
        an_expression('http.host eq "a" and (http.host eq "b" or (http.host eq "c" and ssl))'),
        "exclude each other",
    ),
    "a value that its regex refuses": (
        an_expression('http.request.uri.path eq "/a" and http.request.uri.path matches "^/b"'),
        "exclude each other",
    ),
    "two beginnings": (a_filter("path = ^/a/", "sections = s") + "[section s]\npath = ^/b\n", "exclude each other"),
    "in a path map": (
        NODE.replace("[path-map strict]", "[path-map strict]\nmethod = ^POST$\nsections = s")
        + '[section s]\nexpression = http.host eq "a" and http.host eq "b"\n',
        "warning: [path-map strict]: can never match",
    ),
    # -- values that never come
    "a path without a slash": (a_filter("path = ^admin"), f"[global-filter f] path: {PATH}"),
    "a path that begins with none": (a_filter("path = ^[^/]"), PATH),
    "an empty path": (an_expression('http.request.uri.path matches "^$"'), "it is never empty"),
    "an exact path without a slash": (an_expression('http.request.uri.path eq "admin"'), "a path begins with /"),
    "a capital host": (an_expression('http.host eq "Open.test"'), "the host is in lower case"),
    "a host with a port": (an_expression('http.host in {"open.test:8443"}'), "the host is in lower case"),
    "a capital fingerprint": (an_expression(f'cf.tls_client_auth.cert_fingerprint_sha256 eq "{UPPER}"'), HEX),
    "a fingerprint with colons": (an_expression('cf.tls_client_auth.cert_fingerprint_sha1 ne "ab:cd"'), HEX),
    "a small serial": (an_expression('cf.tls_client_auth.cert_serial ne "0a"'), "upper-case hexadecimal"),
    "a version nobody has": (an_expression('http.request.version eq "HTTP/2.0"'), "it is HTTP/1.0"),
    "a version that the node does not speak": (an_expression('http.request.version eq "HTTP/3"'), "it is HTTP/1.0"),
    "a message that nobody judges": (MESSAGES, "no path map has rules see messages, with inspect-messages"),
    "a message where there is no WebSocket": (
        NODE.replace("[path-map open]", "[path-map open]\nwebsocket = no\ninspect-messages = text") + MESSAGES,
        "the tag websocket:message never comes",
    ),
    "a scheme that nobody reports": (a_filter("tag = protocol:http"), "never comes: every request comes by https"),
    "Tor as a country": (an_expression('ip.src.country in {"T1" "DE"}'), "T1, Cloudflare's word for Tor, is none"),
    "a query in a path": (an_expression('http.request.uri.path contains "/a?b"'), "look at http.request.uri"),
    "a query at the end of a path": (an_expression('http.request.uri.path eq "/a?b"'), "look at http.request.uri"),
    "slashes that are merged": (an_expression('http.request.uri.path contains "//"'), "look at raw.http.request.uri"),
    "an escape in lower case": (
        an_expression('http.request.uri.path contains "%2f"'),
        "escapes are in upper case: %2F",
    ),
    "another in a URI": (an_expression('ends_with(http.request.uri, "%c3%a4")'), "escapes are in upper case"),
    "a full URI without a scheme": (an_expression('http.request.full_uri eq "a.test/x"'), "it begins with https://"),
    "its beginning": (an_expression('starts_with(http.request.full_uri, "a.test/")'), "it begins with https://"),
    "its beginning by a pattern": (
        an_expression(r'http.request.full_uri matches r"^a\.test/"'),
        "it begins with https://",
    ),
    "its beginning by a wildcard": (
        an_expression('http.request.full_uri wildcard "www.a.test/*"'),
        "it begins with https://",
    ),
    "a beginning without a slash": (
        an_expression('starts_with(http.request.uri.path, "admin")'),
        "this never matches: a path begins with /",
    ),
    "the same by a wildcard": (an_expression('http.request.uri.path wildcard "admin*"'), "a path begins with /"),
    "a query in a wildcard": (an_expression('http.request.uri.path wildcard "/a?b=*"'), "look at http.request.uri"),
    "a query in an entry": (a_filter(r"path = \.php\?id="), "this is found only where a client has encoded its ?"),
    "a dot segment": (an_expression('http.request.uri.path contains "/../"'), "dot segments are resolved"),
    "a space": (an_expression('http.request.uri.path contains "a b"'), "percent-encoded there, or refused"),
    "the mark of a query": (an_expression('starts_with(http.request.uri.query, "?a")'), "a query is without its ?"),
    "capitals in a host": (an_expression('http.host contains "Example"'), "the host is in lower case"),
    "an extension with its dot": (
        an_expression('ends_with(http.request.uri.path.extension, ".php")'),
        "without the dot",
    ),
    "the United Kingdom": (an_expression('ip.src.country eq "UK"'), "GB for the United Kingdom"),
    "no continent": (an_expression('ip.src.continent eq "T1"'), "it is one of AF, AN, AS"),
    "no version of TLS": (an_expression('cf.tls_version eq "TLS 1.3"'), "it is TLSv1.2 or TLSv1.3"),
    "a media type that is not told": (
        an_expression('http.request.body.mime eq "application/json"'),
        'look at http.request.headers["content-type"]',
    ),
    "a negative length": (an_expression("len(http.host) lt 0"), "this never comes: it is never negative"),
    "a header in capitals": (
        an_expression('ssl and any(http.request.headers["X-Foo"][*] eq "a")'),
        'is always missing: write "x-foo"\n    ssl and any(http.request.headers["X-Foo"][*] eq "a")\n                ^',
    ),
    "the name of one": (an_expression('has_key(http.request.headers, "X-Foo")'), 'is never true: write "x-foo"'),
    "an empty set": (an_expression("ssl or http.host in {}"), "never true\n    ssl or http.host in {}\n           ^"),
    "capitals in lower case": (an_expression('lower(http.host) eq "A"'), 'lower(...) never gives this: write "a"'),
    "some in a set": (an_expression('lower(http.host) in {"a" "B"}'), 'lower(...) never gives this: write "b"'),
    "of many values": (
        an_expression('any(upper(http.request.headers["a"][*])[*] contains "b")'),
        'upper(...) never gives this: write "B"',
    ),
    "a path map behind a wider one": (
        NODE.replace("path-maps = open", "path-maps = wide, open").replace(
            "[path-map open]", "[path-map wide]\norigin = shop\npath = ^/api\n[path-map open]\npath = ^/api/v[12]"
        ),
        '"open" can never be reached: "wide" before it matches the same requests',
    ),
    "a query with its mark": (an_expression('http.request.uri.query eq "?a"'), "a query is without its ?"),
    # -- certificates
    "a host without mtls": (
        an_expression('http.host in {"strict.test" "open.test"} and not cf.tls_client_auth.cert_verified'),
        NO_MTLS.format("open.test"),
    ),
    "a wildcard host without mtls": (
        an_expression('http.host eq "a.open.test" and not cf.tls_client_auth.cert_verified'),
        NO_MTLS.format("a.open.test"),
    ),
    "a path map without mtls": (
        NODE.replace("[path-map open]", "[path-map open]\ncertificate.subject = ^CN=x"),
        "warning: [path-map open]: looks at client certificates, and no server group that it serves asks for one",
    ),
    "nobody has mtls": (
        NODE.replace("mtls = on\ntrust-store = clients", "").replace(
            "[trust-store clients]\nauthorities = clients.pem\n", ""
        )
        + an_expression("not cf.tls_client_auth.cert_verified"),
        "[global-filter f]: looks at client certificates, and no server group that it serves asks for one",
    ),
    "the documented mistake": (
        an_expression(
            f'not cf.tls_client_auth.cert_verified and cf.tls_client_auth.cert_fingerprint_sha256 ne "{"ab" * 32}"'
        ),
        LETS_PASS,
    ),
    "the same by de Morgan": (
        an_expression('not (cf.tls_client_auth.cert_verified or cf.tls_client_auth.cert_serial eq "0A")'),
        LETS_PASS,
    ),
    "the same as entries": (a_filter("certificate.verified = !yes", f"certificate.fingerprint = !{UPPER}"), LETS_PASS),
    "the same in two notations": (
        a_filter("certificate.verified = !yes", "sections = s", action="close")
        + '[section s]\nexpression = not cf.tls_client_auth.cert_subject_dn matches "CN=x"\n',
        LETS_PASS,
    ),
    "the same on some hosts": (
        an_expression(
            'http.host eq "strict.test" and not cf.tls_client_auth.cert_verified '
            'and not cf.tls_client_auth.cert_issuer_ski eq "0A"'
        ),
        LETS_PASS,
    ),
    "the same by the verdict": (
        a_filter("certificate.verification = !SUCCESS", f"certificate.fingerprint = !{UPPER}"),
        LETS_PASS,
    ),
    "the same by a tag": (a_filter("tag = !mtls:verified", f"certificate.fingerprint = !{UPPER}"), LETS_PASS),
    # -- twice, and in vain
    "one country twice": (a_filter("country =\n    DE\n    Germany", "relation = or"), "says the same as country: DE"),
    "an entry and an expression": (
        a_filter("method = ^GET$", 'expression = http.request.method matches "^GET$"'),
        "says the same as method: ^GET$",
    ),
    "a network in another": (
        a_filter("ip =\n    10.1.0.0/16\n    10.0.0.0/8", "relation = or"),
        "[global-filter f] ip: is within ip: 10.0.0.0/8\n    10.1.0.0/16\n    ^",
    ),
    "many networks in others": (
        a_filter("ip =\n    10.1.0.0/16\n    10.2.0.1\n    10.3.0.1\n    10.4.0.1\n    10.0.0.0/8", "relation = or"),
        "[global-filter f] ip: is within ip: 10.0.0.0/8, and 3 others are within others\n    10.1.0.0/16\n    ^",
    ),
    "two filters": (
        a_filter("path = ^/a", "method = ^GET$") + a_filter("method = ^GET$", "path = ^/a", name="g"),
        "[global-filter g]: has the same rules and the same action as [global-filter f]",
    ),
    "tags for nobody": (
        NODE.replace("events = -", "") + "[global-filter f]\ntags = seen\npath = ^/x\n",
        "[global-filter f] tags: nobody uses its tags",
    ),
    "a tag nobody sets": (a_filter("tag = unheard-of"), "tag: nothing sets the tag unheard-of\n    unheard-of\n    ^"),
    "such a tag in an expression": (
        an_expression('any(edge.tags[*] == "unheard-of")'),
        "[global-filter f] expression: nothing sets the tag unheard-of",
    ),
    "a tag of an action": (a_filter("tag = noted"), "the tag noted is an action's"),
    "the tag of the winner": (a_filter("tag = action:block"), "the tag action:block is an action's"),
    # -- ties
    "two answers of one strength": (
        a_filter("path = ^/a") + a_filter("method = ^GET$", name="g", action="teapot"),
        '[global-filter g] action: has the priority of "block", 500: where [global-filter f] matches as well',
    ),
    # -- missing
    "ne of a header": (
        an_expression('http.request.headers["x-key"][0] ne "secret"'),
        f"[global-filter f] expression: {NE}; write not ... eq ...\n    http.request.headers",
    ),
    "ne of any value": (an_expression('any(http.request.cookies["a"][*] != "b")'), NE),
    # -- modes
    "a mode that is forbidden": (
        NODE.replace("[edge]", "[edge]\nstrict = yes").replace("[path-map open]", "[path-map open]\nmode = off"),
        "warning: [path-map open] mode: [edge] is strict, and so it is block there\n    off\n    ^",
    ),
    "a group's mode that is forbidden": (
        NODE.replace("[edge]", "[edge]\nstrict = yes").replace("= open.test", "= open.test\nmode = monitoring\n#"),
        "warning: [server-group open] mode: [edge] is strict, and so it is block\n    monitoring\n    ^",
    ),
    "a mode that the group forbids": (
        NODE.replace("mtls = on", "mtls = on\nstrict = yes").replace(
            "[path-map strict]", "[path-map strict]\nmode = off"
        ),
        "[path-map strict] mode: [server-group strict] is strict, and so it is block there",
    ),
}
"""What is found, and a part of what is said of it."""

NOT_FILLED_IN = "looks like a value that was never filled in"
FOUND |= {
    f"nothing in a field that is never empty: {text}": (an_expression(text), "this never comes: it is never empty")
    for text in (
        'http.host in {""} and ssl', 'http.host eq ""', 'http.host ne ""', 'not http.host in {""}',
        'http.host in {"www.a.test" ""}', 'lower(http.host) in {""}', "len(http.host) eq 0",
        "len(lower(http.host)) lt 1", 'http.host wildcard ""', 'http.host matches "^$"', 'http.request.method in {""}',
        'http.request.uri in {""}',
        'http.request.uri.path in {"" "/a"}', 'http.request.full_uri eq ""', 'http.request.version eq ""',
        'ip.src.country in {""}', 'edge.authority eq ""', 'edge.server_group eq ""', 'edge.path_map in {""}',
        'edge.sni eq ""', 'any(http.request.headers.names[*] eq "")',
    )
} | {
    f"nothing in an entry: {line}": (a_filter(line), "this never comes: it is never empty")
    for line in ("authority = ^$", "method = ^$", "path = ^$", "uri = ^$")
} | {
    f"a value that nobody has filled in: {text}": (an_expression(text), NOT_FILLED_IN)
    for text in (
        'http.user_agent in {""}', 'cf.tls_client_auth.cert_serial in {"0A" ""} and cf.tls_client_auth.cert_verified',
        'any(http.request.headers["x"][*] in {""})', 'http.host contains ""', 'http.host matches ""',
        'starts_with(http.host, "")', 'ends_with(http.request.uri.path, "")',
        'any(http.request.uri.args["a"][*] contains "")',
    )
} | {
    f"a form that never comes: {text}": (text, sentence)
    for text, sentence in (
        (an_expression('http.host in {"*.a.test"}'), "without *, its port"),
        (an_expression('http.host eq "a.test,b.test"'), "without *, its port"),
        (a_filter(r"authority = ^a\.test:443$"), "its port, unless that is 443"),
        (a_filter(r"authority = ^A\.test"), "the host in lower case"),
        (an_expression('edge.authority eq "*"'), "without *, and its port"),
        (a_filter('method = "GET"'), "a method is one word: GET"),
        (an_expression('http.request.method in {"GET POST"}'), "a method is one word: GET"),
        (an_expression('edge.tls_client_auth.verification eq "FAILED"'), "FAILED: and the reason"),
    )
}  # fmt: skip

FINE = {
    "a message of a WebSocket": NODE.replace("[path-map open]", "[path-map open]\ninspect-messages = text") + MESSAGES,
    "no user agent": an_expression('http.user_agent eq ""'),
    "nothing in a query": an_expression('http.request.uri.query eq ""'),
    "an empty header": a_filter("header.x = ^$"),
    "any method but one word": a_filter("method = !^GET$"),
    "a host in either case": a_filter("match-case = no", r"authority = ^A\.test$"),
    "an authority with its port": a_filter(r"authority = ^a\.test:8443$"),
    "the beginning of a host": a_filter(r"authority = ^a\."),
    "an address": an_expression('http.host in {"192.0.2.1" "[2001:db8::1]" "a_b.test"}'),
    "every host": an_expression('http.host wildcard "*"'),
    "the verdict": an_expression('edge.tls_client_auth.verification in {"NONE" "FAILED:certificate revoked"}'),
    "repetitions in a head": a_filter(f"header.x = {SLOW}"),
    "few repetitions in a body": a_filter(r"argument.x = ^(?P<id>[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-f]{32})$"),
    "many expressions without any": a_filter(
        "relation = or", "argument.x =\n" + "".join(f"    (?P<x>(?i)<{each}[^>]+on[a-z]+=)\n" for each in "abcdefghij")
    ),
    "two regexes": a_filter("path = ^/a", 'expression = http.request.uri.path matches "b$"'),
    "small letters in lower case": an_expression('lower(http.host) in {"a" "b"}'),
    "a header in small letters": an_expression('any(http.request.headers["x-foo"][*] eq "A")'),
    "a length that may be": an_expression("len(http.user_agent) le 0"),
    "a path map behind another": NODE.replace("path-maps = open", "path-maps = wide, open").replace(
        "[path-map open]", "[path-map wide]\norigin = shop\npath = ^/api/?v1\n[path-map open]\npath = ^/api/v1"
    ),
    "a path map behind one in capitals": NODE.replace("path-maps = open", "path-maps = wide, open").replace(
        "[path-map open]",
        "[path-map wide]\norigin = shop\npath = ^/a\n[path-map open]\nmatch-case = no\npath = ^/a/b",
    ),
    "two values of a header": a_filter("header.x =\n    ^a\n    ^b"),
    "both of two exact values of many": an_expression(
        'any(http.request.headers["x"][*] eq "a") and any(http.request.headers["x"][*] eq "b")'
    ),
    "overlapping sets": an_expression('http.host in {"a" "b"} and http.host in {"b" "c"}'),
    "a network in another by and": an_expression("ip.src in {10.0.0.0/8} and ip.src in {10.1.0.0/16}"),
    "one alternative is possible": an_expression('http.host eq "a" and (http.host eq "b" or ssl)'),
    "a path with an optional letter": a_filter("path = ^a?/x"),
    "a path or another": a_filter("path = ^admin|^/admin"),
    "a slash escaped": a_filter(r"path = ^\/admin"),
    "certificates where mtls is on": an_expression(
        'http.host eq "strict.test" and not cf.tls_client_auth.cert_verified'
    ),
    "another host beside": an_expression(
        '(http.host eq "strict.test" and not cf.tls_client_auth.cert_verified) or http.host eq "open.test"'
    ),
    "the right pin": an_expression(
        'not (cf.tls_client_auth.cert_verified and cf.tls_client_auth.cert_issuer_ski eq "A5AC")'
    ),
    "verified is asked for": LEFT + an_expression("not cf.tls_client_auth.cert_verified"),
    "the tag of the verdict is asked for": LEFT + a_filter("tag = mtls:failed"),
    "the verdict is asked for by a computation": LEFT
    + an_expression('concat("x", edge.tls_client_auth.verification) ne "xSUCCESS"'),
    "the origin is told": LEFT.replace("mtls = optional", "certificate-headers = nginx\nmtls = optional"),
    "revoked or unverified": an_expression("not cf.tls_client_auth.cert_verified or cf.tls_client_auth.cert_revoked"),
    "the mistake where it refuses nobody": an_expression(
        'not cf.tls_client_auth.cert_verified and not cf.tls_client_auth.cert_serial eq "0A"', action="monitor"
    ),
    "the contrary": a_filter("certificate.verified = yes", f"certificate.fingerprint = !{UPPER}"),
    "the same rules with another action": a_filter("path = ^/a") + a_filter("path = ^/a", name="g", action="monitor"),
    "tags for events": "[global-filter f]\ntags = seen\npath = ^/x\n",
    "tags for others": NODE.replace("events = -", "")
    + "[global-filter f]\ntags = seen\npath = ^/x\n"
    + a_filter("tag = seen", name="g"),
    "tags for an expression": NODE.replace("events = -", "")
    + "[global-filter f]\ntags = seen\npath = ^/x\n"
    + a_filter('expression = any(edge.tags[*] contains "see")', name="g"),
    "a tie that is none": a_filter("path = ^/a") + a_filter("method = ^GET$", name="g", action="weaker"),
    "a tie of two that do the same": a_filter("path = ^/a") + a_filter("method = ^GET$", name="g", action="copy"),
    "one beginning": a_filter("path = ^/a/b", "sections = s") + "[section s]\npath = ^/a\n",
    "beginnings with alternatives": a_filter("path = ^/a", "sections = s") + "[section s]\npath = ^/b|^/a\n",
    "an optional end of a beginning": a_filter("path = ^/a", "sections = s") + "[section s]\npath = ^/b?a\n",
    "a tie on two paths": a_filter("path = ^/a/") + a_filter("path = ^/b/", name="g", action="teapot"),
    "a tie of two that never meet": an_expression('http.host eq "a.test"')
    + a_filter('expression = http.host eq "b.test"', name="g", action="teapot"),
    "ne of what is always there": an_expression('http.host ne "a.test"'),
    "ne with a question": an_expression('has_key(http.request.headers, "x") and http.request.headers["x"][0] ne "y"'),
    "ne where missing is unequal": NODE.replace("[edge]", "[edge]\nmissing-not-equal = yes")
    + an_expression('http.request.headers["x"][0] ne "y"'),
    "a tighter mode within": NODE.replace("[edge]", "[edge]\nmode = monitoring\nstrict = yes").replace(
        "[path-map open]", "[path-map open]\nmode = block"
    ),
    "a looser mode within": NODE.replace("[path-map open]", "[path-map open]\nmode = off"),
    "slashes as received": (an_expression('raw.http.request.uri.path contains "//"')),
    "slashes of a scheme": (an_expression('http.request.full_uri contains "https://"')),
    "a query in a URI": (an_expression('http.request.uri contains "/a?b=//"')),
    "an escape in upper case": (an_expression('http.request.uri.path contains "%2F%C3%A4%20"')),
    "an escape in lower case as received": (an_expression('raw.http.request.uri.path contains "%2f"')),
    "an encoded slash that was decoded": a_filter("path = %2f"),
    "a full URI": (an_expression(r'http.request.full_uri matches r"^https?://a\.test/"')),
    "a part of one": (an_expression('http.request.full_uri contains "a.test/x?y"')),
}
"""What looks similar, and is as it should be."""


def told(folder: pathlib.Path, text: str) -> list[str]:
    """The warnings for rules, or for a whole node."""
    return doubts(folder, "", text) if text.startswith("[edge]") else doubts(folder, text)


@pytest.fixture(scope="module", autouse=True)
def _located(folder: pathlib.Path) -> None:
    """Rules on countries need a database."""
    from tests.support.databases import write_databases

    write_databases(folder, {"192.0.2.0/24": {"country": "DE"}}, {})


REFUSES_NOBODY = "has no effect: who is in no list passes; deny = all refuses everybody whom allow does not name"

P = "warning: [acl-profile p]"

ACL = {
    "nobody is refused": ("allow = all", [f"{P}: {REFUSES_NOBODY}"]),
    "an empty one": ("", [f"{P}: {REFUSES_NOBODY}"]),
    "a bypass alone": ("bypass = all", [f"{P}: nobody is refused: who is in no list passes"]),
    "a refusal is enough": ("deny = all\nallow = ip:192-0-2-7", []),
    "an action that lets in": (
        "deny = all\naction = noting",
        [f"{P} action: lets in those whom the lists refuse, for it is of type monitor\n    noting\n    ^"],
    ),
    "a tag of a list that decides before": (
        "allow = protocol:https\ndeny = protocol:https",
        [
            f"{P} deny: protocol:https has no effect here: allow has protocol:https, and decides first\n"
            "    protocol:https\n    ^"
        ],
    ),
    "a list before that has all": (
        "enforce-deny = all\nallow = protocol:https",
        [
            f"{P} allow: protocol:https has no effect here: enforce-deny has all, and decides first\n"
            "    protocol:https\n    ^"
        ],
    ),
    "a tag that nothing sets": (
        "deny = misspelt",
        [f"{P} deny: nothing sets the tag misspelt\n    misspelt\n    ^"],
    ),
    "one that an action sets": ("deny = noted", []),
    "one that is not active": ("active = no", []),
}


@pytest.mark.parametrize(("text", "sentences"), ACL.values(), ids=ACL)
def test_an_acl_profile_that_says_nothing_is_doubted(folder: pathlib.Path, text: str, sentences: list[str]) -> None:
    """A list that lets in or refuses nobody, though it names somebody; and a tag that no request has."""
    node = NODE.replace("[path-map open]", "[path-map open]\nacl-profile = p")
    assert doubts(folder, f"[acl-profile p]\n{text}", node) == sentences


def test_an_acl_profile_that_no_path_map_names_is_doubted(folder: pathlib.Path) -> None:
    """It has no effect."""
    assert doubts(folder, "[acl-profile p]\ndeny = all") == ["warning: [acl-profile p]: nothing refers to this section"]


def test_a_tag_that_a_profile_looks_for_is_of_use(folder: pathlib.Path) -> None:
    """A filter that only tags is not in vain if a list of a profile has its tag."""
    node = NODE.replace("events = -\n", "").replace("[path-map open]", "[path-map open]\nacl-profile = p")
    rules = "[global-filter f]\npath = ^/x\ntags = mine\n[acl-profile p]\ndeny = mine"
    assert doubts(folder, rules, node) == []
    assert len(doubts(folder, rules.replace("deny = mine", "deny = all"), node)) == 1


F = "warning: [flow f]"
STEPS = "[section one]\npath = ^/one$\n[section two]\npath = ^/two$\n"

FLOWS = {
    "one step": ("steps = one", [f"{F} steps: has one step: a global filter with these rules would do the same"]),
    "several": ("steps = one, two\nkey = ip, header.user-agent", []),
    "the same several times": ("steps = one one two one", []),
    "a tag that nothing sets": (
        "steps = one two\ninclude = misspelt",
        [f"{F} include: nothing sets the tag misspelt\n    misspelt\n    ^"],
    ),
    "its own tag": (
        "steps = one two\nexclude = flow:f",
        [f"{F} exclude: the tag flow:f is that of [flow f], and put on only after this was judged\n    flow:f\n    ^"],
    ),
    "a profile's tag": (
        "steps = one two\nexclude = acl:p\n[acl-profile p]\ndeny = all",
        [
            f"{F} exclude: the tag acl:p is that of [acl-profile p], and put on only after this was judged\n"
            "    acl:p\n    ^"
        ],
    ),
    "a flow that there is not": (
        "steps = one two\n[acl-profile p]\ndeny = flow:g",
        [f"{P} deny: nothing sets the tag flow:g\n    flow:g\n    ^"],
    ),
    "a flow that there is": ("steps = one two\n[acl-profile p]\ndeny = flow:f", []),
    "one that a path map must name": (
        "steps = one two\nglobal = no",
        [f"{F}: nothing refers to this section"],
    ),
    "a step that never matches": (
        "steps = one three\n[section three]\npath =\n    ^/a$\n    ^/b$",
        ["warning: [section three]: can never match: path: ^/a$ and path: ^/b$ exclude each other"],
    ),
    "a filter that looks too early": (
        "steps = one two\n[global-filter g]\naction = block\ntag = flow:f",
        [
            "warning: [global-filter g] tag: the tag flow:f is that of [flow f], and put on only after every filter "
            "has been judged\n    flow:f\n    ^"
        ],
    ),
}


@pytest.mark.parametrize(("text", "sentences"), FLOWS.values(), ids=FLOWS)
def test_a_flow_that_cannot_be_followed_is_doubted(folder: pathlib.Path, text: str, sentences: list[str]) -> None:
    """Steps that never match, tags that are not there yet, and flows that nobody follows."""
    node = NODE.replace("[path-map open]", "[path-map open]\nacl-profile = p") if "[acl-profile p]" in text else NODE
    found = [each for each in doubts(folder, f"{STEPS}[flow f]\n{text}", node) if "[section two]" not in each]
    assert found == sentences


def test_a_flow_of_which_nobody_hears_is_doubted(folder: pathlib.Path) -> None:
    """Without events, and where nothing looks for its tags; not where something does."""
    node = NODE.replace("events = -\n", "")
    vain = f"{F}: nobody uses its tags: no rule looks for them, and without [edge] events nobody is told"
    flow = f"{STEPS}[flow f]\nsteps = one two\n"
    assert doubts(folder, flow, node) == [vain]
    node = node.replace("[path-map open]", "[path-map open]\nacl-profile = p")
    assert doubts(folder, f"{flow}[acl-profile p]\ndeny = flow:f", node) == []


def test_a_path_map_need_not_name_what_is_followed_everywhere(folder: pathlib.Path) -> None:
    """It makes no difference, and its author may have meant that it does."""
    node = NODE.replace("[path-map open]", "[path-map open]\nflows = f")
    flow = f"{STEPS}[flow f]\nsteps = one two\n"
    assert doubts(folder, flow, node) == [
        f"{F} global: holds everywhere, also where no path map names it: global = no",
    ]
    assert doubts(folder, f"{flow}global = no", node) == []


def test_a_flow_needs_steps_that_there_are_and_a_place_that_is_known(folder: pathlib.Path) -> None:
    """Each is an error, where it stands."""
    for text, sentence in (
        ("steps = one, thre\n[section three]\npath = ^/x", "[flow f] steps: there is no [section thre]; did you mean"),
        ("steps =", "[flow f] steps: a value is missing"),
        ("within = 5m", "[flow f] steps: this key is required"),
        ("steps = one two\nkey = country", "[flow f] key: country says where a client is, which nobody knows"),
        ("steps = one two\nkey = ip, hat", "[flow f] key: "),
        ("steps = one two\nwithin = 0", "[flow f] within: 0 would leave no time"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            Configuration.from_text(f"{NODE}{STEPS}[flow f]\n{text}", folder, {})
        assert any(str(each).startswith(sentence) for each in raised.value.problems), str(raised.value)


@pytest.mark.parametrize(("text", "sentence"), FOUND.values(), ids=FOUND)
def test_a_doubt_is_told_where_it_belongs(folder: pathlib.Path, text: str, sentence: str) -> None:
    """One warning, with its section, and with its key and column where it has one."""
    if "ip.src.co" in text or "country =" in text:
        text = f"[geo]\ncity = city.mmdb\n{text}"
    found = told(folder, text)
    assert len(found) == 1
    assert sentence in found[0]
    assert re.match(r"warning: \[[a-z-]+ [a-z]+\]", found[0])


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_what_is_right_is_not_doubted(folder: pathlib.Path, text: str) -> None:
    """No false alarm."""
    assert told(folder, text) == []


@given(section_trees(), st.lists(exchanges, min_size=1, max_size=5))
def test_conjunctions_are_the_formula_in_other_words(
    tree: tuple[list[Section], dict[str, Section]], several: list[Exchange]
) -> None:
    """One of them is true exactly if the formula is, and none of those that contradict themselves ever is."""
    sections, named = tree
    for section in sections:
        whole = formula_of(section, Definitions(named))
        for exchange in several:
            true = [each for each in conjunctions(whole) or () if all(_true(part, exchange) for part in each)]
            assert bool(true) == is_true(whole, exchange)
            assert all(contradiction(each) is None for each in true)


def _true(part: Literal | Opaque, exchange: Exchange) -> bool:
    assert isinstance(part, Literal)
    predicates = (Predicate(part.subject, part.match, sought) for sought in part.soughts)
    return any(holds(predicate, exchange) for predicate in predicates) is part.positive


def test_what_would_take_too_long_is_left_alone() -> None:
    """An expression with more conjunctions than are worth while is not doubted."""
    pairs = " and ".join(f'(http.host contains "{n}" or http.user_agent contains "{n}")' for n in range(20))
    assert conjunctions(formula(Expression.from_text(pairs), Definitions())) is None
