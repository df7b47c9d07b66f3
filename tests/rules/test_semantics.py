"""What every operator of the Rules language means, line by line, and that nothing accepted ever raises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import NO_BODY, Address, Body, Connection, Exchange
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import ALWAYS, NEVER, All, AnyOf, Clause, Computed, Formula, Leaf, Not, Odd
from edgenode.rules.language import computing
from edgenode.rules.language.expression_formulas import formula, needs, subject
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.nodes import Call, Comparison
from edgenode.rules.lists import members
from edgenode.rules.networks import Range
from tests.support.formulas import found, is_true
from tests.support.interpreter import Interpreter

DOCS = Path(__file__).parent.parent.parent / "docs"
LISTS = {
    "office": members("$office", "ip", ["192.0.2.0/24", "2001:db8::/32"]),
    "words": members("$words", "string", ["POST", "a b"]),
    "hosts": members("$hosts", "hostname", ["www.test", "*.example.com"]),
    "ports": members("$ports", "asn", ["8443", "AS50000"]),
}
DEFAULT = Definitions(lists=LISTS)
ENGINE = Definitions(lists=LISTS, missing_not_equal=True)

HEADERS = (
    b"X-One: a\r\nX-One: b\r\nX-Two: c\r\nX-Empty:\r\nX-Text: One *two\\ three\r\nX-Bytes: \xe4\xff\r\n"
    b'X-Json: {"n": [1, 7]}\r\n'
)


def exchange(
    target: bytes = b"/", host: bytes = b"www.test", client: str = "192.0.2.7", *tags: str, time: float = 0
) -> Exchange:
    """A request as the node reads it."""
    head = b"POST %b HTTP/1.1\r\nHost: %b\r\n%bContent-Length: 5\r\n\r\n" % (target, host, HEADERS)
    request = evolve(read_request_head(head, HeadLimits(8192, 16384, 100)).with_body(NO_BODY), body=Body(b"b=1&c", 5))
    connection = Connection(Address("192.0.2.7", 50000), Address("2001:db8::1", 8443), "www.test", "h2", "TLSv1.3", "X")
    return Exchange(connection, request, client, frozenset(tags), time=time)


ASKED = exchange(b"/a%20b?x=1&x=2&y", b"www.test", "192.0.2.7", "bot", "all")
V6 = exchange(client="2001:db8::7")
MAPPED = exchange(client="::ffff:192.0.2.7")
STREAM = evolve(ASKED, request=None)

PLACES = {
    "<one>": 'http.request.headers["x-one"]',
    "<none>": 'http.request.headers["x-none"]',
    "<text>": 'http.request.headers["x-text"][0]',
    "<bytes>": 'http.request.headers["x-bytes"][0]',
    "<empty>": 'http.request.headers["x-empty"][0]',
}


def written(text: str) -> str:
    """An expression with the places above written out."""
    for place, value in PLACES.items():
        text = text.replace(place, value)
    return text


def read(text: str) -> Expression:
    """An expression."""
    return Expression.from_text(written(text))


# True of the request above.
TRUE = r"""
http.request.method eq "POST"
http.request.method == "POST"
http.request.method ne "post"
http.request.method != "GET"
<bytes> eq "\xe4\xff"
<bytes> eq E4:FF
<empty> eq ""
http.request.method lt "POSU"
http.request.method < "POSTS"
http.request.method le "POST"
http.request.method gt "P"
<bytes> > "z"
http.request.method ge "POST"
cf.edge.server_port eq 8443
cf.edge.server_port == 0x20fb
cf.edge.server_port eq 020373
cf.edge.server_port ne -1
cf.edge.server_port lt 8444
cf.edge.server_port le 8443
cf.edge.server_port gt 8442
cf.edge.server_port ge 8443
cf.edge.server_port & 0x2
cf.edge.server_port & 3
cf.edge.server_port ge -9223372036854775808
cf.edge.server_port le 9223372036854775807
ip.src eq 192.0.2.7
ip.src ne 192.0.2.8
ip.src lt 192.0.2.8
ip.src le 192.0.2.7
ip.src gt 192.0.2.0
ip.src ge 192.0.2.7
ip.src ne ::1
not ip.src lt ::1
not ip.src gt ::
ip.src eq ::ffff:192.0.2.7
<text> contains "e *t"
<text> contains ""
<empty> contains ""
<bytes> contains "\xff"
<text> wildcard "one *"
<text> strict wildcard "One *"
<text> wildcard r"*\*TWO\\*"
<text> wildcard "*"
<empty> wildcard "*"
<empty> wildcard ""
<bytes> wildcard "\xe4*"
<text> matches "^One"
<text> ~ "t.o"
<text> matches r"\*two\\ "
<text> matches "(?i)ONE"
<bytes> matches "^\xe4.$"
<empty> matches "^$"
http.request.method in {"GET" "POST"}
http.request.method in {"POST" "POST"}
not http.request.method in {}
cf.edge.server_port in {80 8000..9000}
cf.edge.server_port in {8443..8443}
cf.edge.server_port in {-5..8443 1}
ip.src in {10.0.0.0/8 192.0.2.0/24}
ip.src in {192.0.2.7}
ip.src in {192.0.2.1..192.0.2.9 ::/0}
not ip.src in {::/0 10.0.0.0/8}
not ip.src in {}
ip.src in $office
http.request.method in $words
http.host in $hosts
cf.edge.server_port in $ports
ssl
not ssl or ssl
starts_with(http.host, "www.")
ends_with(http.host, ".test")
starts_with(http.host, "")
ends_with(http.host, "")
starts_with(http.host, substring(http.host, 0, 3))
has_key(http.request.headers, "x-one")
has_value(<one>, "b")
has_value(<one>, <one>[1])
has_value(http.request.headers.names, "X-One")
ssl and ssl
ssl && ssl
not ssl or ssl
!ssl || ssl
ssl xor not ssl
ssl ^^ !ssl
ssl xor ssl xor ssl
not (ssl xor ssl)
ssl or ssl and not ssl
ssl or ssl xor ssl
not ssl xor ssl and ssl
any(<one>[*] eq "b")
not all(<one>[*] eq "b")
all(<one>[*] in {"a" "b"})
any(<one>[*] ne "b")
not all(<one>[*] ne "b")
all(<one>[*] ne "c")
all((not <one>[*] eq "c"))
any((not <one>[*] eq "a"))
any((<one>[*] eq "a" or <one>[*] eq "c"))
not any((<one>[*] eq "a" and <one>[*] eq "b"))
all((<one>[*] eq "a" or <one>[*] eq "b"))
all((<one>[*] eq "a" xor <one>[*] eq "b"))
not any((<one>[*] eq "a" xor <one>[*] ne "b"))
all((<one>[*] ne "c" and <one>[*] ne "d"))
any((http.request.headers.names[*] eq "X-Two" and http.request.headers.values[*] eq "c"))
not any((http.request.headers.names[*] eq "X-Two" and http.request.headers.values[*] eq "b"))
not any((http.request.headers["x-two"][*] eq "x" or <one>[*] eq "b"))
any((http.request.headers["x-two"][*] eq "x" or <one>[*] eq "a"))
all((http.request.headers["x-two"][*] eq "c" and <one>[*] eq "a"))
any(http.request.headers[*][*] eq "c")
any(http.request.headers[*][1] eq "b")
not any(http.request.headers[*][1] eq "a")
all(http.request.headers[*][1] eq "b")
any(lower(http.request.headers.names[*])[*] eq "x-one")
any(starts_with(<one>[*], "b"))
not all(starts_with(<one>[*], "b"))
any((starts_with(<one>[*], "b")))
any(len(<one>[*])[*] eq 1)
any((not starts_with(<one>[*], "b")))
all(has_value(http.request.headers[*], "a") ) or ssl
any(has_value(http.request.headers[*], "b"))
all(concat(<one>[*], "-", http.host)[*] matches "^[ab]-www")
any(substring(<one>[*], 0, 1)[*] eq "b")
len(<one>) eq 2
<one>[1] eq "b"
join(<one>, "+") eq "a+b"
any(http.request.uri.args["x"][*] eq "2")
http.request.uri.args["y"][0] eq ""
<one>[4294967295] eq "b" or ssl
lookup_json_integer(http.request.headers["x-json"][0], "n", 1) eq 7
any(split(http.host, ".", 2)[*] eq "test")
all(edge.tls_client_auth.errors[*] eq 5)
len(edge.tls_client_auth.errors) eq 0
any(edge.tags[*] eq "bot")
any(edge.tags[*] in {"x" "bot"})
not any(edge.tags[*] eq "x")
all(edge.tags[*] ne "x")
has_value(edge.tags, "bot")
any(edge.tags[*] contains "bo")
len(edge.tags) eq 2
any((edge.tags[*] eq "x" or edge.tags[*] eq "bot"))
edge.tags[0] eq "all"
join(edge.tags, " ") eq "all bot"
any(edge.tags[*] in $words) or ssl
any(edge.tags[*] ne "bot")
edge.tags[1] ne "all"
any(starts_with(edge.tags[*], "bo"))
http.request.body.raw contains "b=1"
http.request.body.size eq 5
"""

# Of what is missing, at Cloudflare.
MISSING = r"""
false <none>[0] eq "a"
false <none>[0] ne "a"
true  not <none>[0] eq "a"
false <none>[0] lt "a"
true  not <none>[0] ne "a"
false <none>[0] contains ""
false <none>[0] matches ""
false <none>[0] wildcard "*"
false <none>[0] in {}
false <one>[2] ne "a"
false len(<none>) >= 0
true  not len(<none>) >= 0
true  len(<one>) >= 0
false len(<none>) ne 1
false len(<none>) & 1
false has_key(http.request.headers, "x-none")
false has_value(<none>, "a")
true  not has_value(<none>, "a")
false starts_with(<none>[0], "")
false lower(<none>[0]) ne "a"
true  concat(<none>[0], "x") eq "x"
true  coalesce(<none>[0], "x") eq "x"
true  concat(<none>, <one>)[1] eq "b"
false coalesce(<none>[0], <none>[0]) ne "x"
false any(<none>[*] ne "a")
true  all(<none>[*] eq "a")
true  all(<none>[*] ne "a")
false any((not <none>[*] eq "a"))
true  all((not <none>[*] eq "a"))
false any(starts_with(<none>[*], "a"))
false all(starts_with(<none>[*], "a"))
true  all((not starts_with(<none>[*], "a")))
true  all(starts_with(<one>[*], <none>[0]))
false any((starts_with(<none>[*], "a") or <one>[*] eq "a"))
true  all(lower(<none>[*])[*] eq "a")
false any(decode_base64(<one>[*])[*] eq "")
true  all(decode_base64(<one>[*])[*] eq "")
false lookup_json_integer(http.request.headers["x-json"][0], "n", 2) ne 7
false join(<none>, ",") eq ""
false is_timed_hmac_valid_v0("k", <none>[0], 60, http.request.timestamp.sec)
"""


def verdicts(text: str, judged: Exchange, definitions: Definitions) -> set[bool]:
    """The verdicts of the formula, of computing, and of the interpreter."""
    expression = read(text)
    root = expression.root
    return {
        is_true(formula(expression, definitions), judged),
        computing.condition(root, definitions)(judged),
        Interpreter(judged, definitions).condition(root),
    }


@pytest.mark.parametrize("text", TRUE.strip().splitlines())
def test_operators(text: str) -> None:
    """Each is true, its negation is not, and neither raises without a request."""
    assert verdicts(text, ASKED, DEFAULT) == {True}
    assert verdicts(f"not ({text})", ASKED, DEFAULT) == {False}
    assert len(verdicts(text, STREAM, DEFAULT)) == 1


@pytest.mark.parametrize("line", MISSING.strip().splitlines())
def test_what_is_missing(line: str) -> None:
    """Every comparison with what is missing is false, also ``ne``."""
    expected, text = line.split(maxsplit=1)
    assert verdicts(text, ASKED, DEFAULT) == {expected == "true"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<none>[0] ne "a"', True),
        ('not <none>[0] ne "a"', False),
        ("len(<none>) ne 1", True),
        ('lower(<none>[0]) ne "a"', True),
        ('<one>[0] ne "a"', False),
        ('<none>[0] eq "a"', False),
        ('any(<none>[*] ne "a")', False),
        ('starts_with(to_string(<none>[0] ne "a"), "t")', True),
        ('edge.tags[7] ne "x"', True),
    ],
)
def test_the_switch_for_what_is_missing(text: str, expected: bool) -> None:
    """With the engine's meaning ``ne`` is true of a missing value, and nothing else changes."""
    assert verdicts(text, ASKED, ENGINE) == {expected}


@pytest.mark.parametrize(
    ("text", "four", "six"),
    [
        ("ip.src eq 192.0.2.7", True, False),
        ("ip.src ne 192.0.2.7", False, True),
        ("ip.src lt 192.0.2.8", True, False),
        ("ip.src ge ::", False, True),
        ("ip.src gt 2001:db8::6", False, True),
        ("ip.src in {0.0.0.0/0}", True, False),
        ("ip.src in {::/0}", False, True),
        ("ip.src in {2001:db8::1..2001:db8::7 10.0.0.0/8}", False, True),
        ("ip.src in $office", True, True),
        ("cidr(ip.src, 24, 32) in {192.0.2.0 2001:db8::}", True, True),
        ("cidr6(ip.src, 32) eq 2001:db8::", False, True),
    ],
)
def test_two_families_of_addresses(text: str, four: bool, six: bool) -> None:
    """IPv4 and IPv6 addresses are in no order; one that is mapped is the IPv4 address it maps."""
    assert verdicts(text, ASKED, DEFAULT) == {four}
    assert verdicts(text, MAPPED, DEFAULT) == {four}
    assert verdicts(text, V6, DEFAULT) == {six}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"www.test", True),
        (b"example.com", False),
        (b"a.example.com", True),
        (b"a.b.EXAMPLE.com.", True),
        (b"notexample.com", False),
    ],
)
def test_lists_of_hostnames(host: bytes, expected: bool) -> None:
    """``*.example.com`` is every name below it, and not itself."""
    assert verdicts("http.host in $hosts", exchange(host=host), DEFAULT) == {expected}


def test_a_token_of_the_manual() -> None:
    """The token of Cloudflare's manual, made by its own recipe, passes for its three hours and no longer."""
    text = 'is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 10800, http.request.timestamp.sec, 8)'
    target = b"/images/cat.jpg?verify=1484063787-9JQB8vP1z0yc5DEBnH6JGWM3mBmvIeMrnnxFi3WtJLE%3D"
    assert verdicts(text, exchange(target, time=1484063787.5), DEFAULT) == {False}  # another key
    signed = b"/images/cat.jpg?verify=1484063787-NUJtcEAo6Uq7xlnxNGWWxHDX6kBb9Ir5CMoWGzFU%2BQg%3D"
    assert verdicts(text, exchange(signed, time=1484063787.5 + 10_800), DEFAULT) == {False}


# -- what becomes of an expression -------------------------------------------------------------------------------------


def lowered(text: str, definitions: Definitions = DEFAULT) -> Formula:
    """The formula of an expression."""
    return formula(read(text), definitions)


@pytest.mark.parametrize(
    ("text", "key", "match", "sought"),
    [
        ('http.host eq "a"', "http.host", "equal", [b"a"]),
        ('http.host in {"a" "b" "a"}', "http.host", "equal", [b"a", b"b"]),
        ('http.host contains "a.b"', "http.host", "regex", [r"a\x2Eb"]),
        ('http.host matches "a.b"', "http.host", "regex", ["a.b"]),
        ('http.host wildcard "*.b"', "http.host", "regex", [r"\A(?s:.*)\x2E[Bb]\z"]),
        ('http.host strict wildcard "b*"', "http.host", "regex", [r"\Ab(?s:.*)\z"]),
        ('starts_with(http.host, "a")', "http.host", "regex", [r"\Aa"]),
        ('ends_with(http.host, "\\xff")', "http.host", "regex", [r"\xFF\z"]),
        ('any(ends_with(http.request.headers["x"][*], "a"))', 'http.request.headers["x"][*]', "regex", [r"a\z"]),
        ('any(http.request.headers["x"][*] eq "a")', 'http.request.headers["x"][*]', "equal", [b"a"]),
        ('has_value(http.request.headers["x"], "a")', 'http.request.headers["x"][*]', "equal", [b"a"]),
        ('lower(http.host) eq "a"', "lower(http.host)", "equal", [b"a"]),
        ("ip.src eq 10.0.0.1", "ip.src", "network", [Range(4, 10 << 24 | 1, 10 << 24 | 1)]),
        ("ip.src in {10.0.0.0/24}", "ip.src", "network", [Range(4, 10 << 24, 10 << 24 | 255)]),
        ("ip.src lt 0.0.0.2", "ip.src", "network", [Range(4, 0, 1)]),
        ("cf.edge.server_port eq 80", "cf.edge.server_port", "range", [(80, 80)]),
        ("cf.edge.server_port in {1 3..5}", "cf.edge.server_port", "range", [(1, 1), (3, 5)]),
        ("cf.edge.server_port gt 5", "cf.edge.server_port", "range", [(6, (1 << 63) - 1)]),
        ('len(http.request.headers["x"]) ge 2', 'len(http.request.headers["x"])', "range", [(2, (1 << 63) - 1)]),
        ("ssl", "ssl", "true", [None]),
        ('has_key(http.request.headers, "x")', 'has_key(http.request.headers, "x")', "true", [None]),
        ('any(edge.tags[*] eq "bot")', "edge.tags[*]", "equal", ["bot"]),
        ('has_value(edge.tags, "bot")', "edge.tags[*]", "equal", ["bot"]),
        ('any((edge.tags[*] eq "a" or edge.tags[*] eq "b"))', "edge.tags[*]", "equal", ["a", "b"]),
        ("ip.src in $office", "ip.src", "network", [LISTS["office"]]),
        ("http.host in $hosts", "http.host", "equal", [LISTS["hosts"]]),
        ("cf.edge.server_port in $ports", "cf.edge.server_port", "range", [LISTS["ports"]]),
        ('any(http.request.headers["x"][*] in $words)', 'http.request.headers["x"][*]', "equal", [LISTS["words"]]),
    ],
)
def test_what_is_matched_all_at_once(text: str, key: str, match: str, sought: list[object]) -> None:
    """Comparisons with a constant are predicates, on one subject however it is written."""
    predicates = [each.predicate for each in leaves(lowered(text))]
    assert {each.subject.key for each in predicates} == {key}
    assert {each.match for each in predicates} == {match}
    assert [each.sought for each in predicates] == sought


def leaves(made: Formula) -> list[Leaf]:
    """The leaves of a formula that nothing but ``or`` joins."""
    if isinstance(made, AnyOf):
        return [leaf for part in made.parts for leaf in leaves(part)]
    assert isinstance(made, Leaf)
    return [made]


def test_not_equal_needs_something_to_differ() -> None:
    """``ne`` is presence and the negation of equality; with the switch the negation alone."""
    made = lowered('http.host ne "a"')
    assert isinstance(made, All)
    present, differs = made.parts
    assert isinstance(present, Leaf)
    assert (present.predicate.match, present.evidence) == ("present", ())
    assert isinstance(differs, Not)
    assert isinstance(lowered('http.host ne "a"', ENGINE), Not)


def test_no_element_may_be_a_counterexample() -> None:
    """``all(... ne ...)`` is that none is equal, which is one predicate."""
    made = lowered('all(http.request.headers["x"][*] ne "a")')
    assert isinstance(made, Not)
    assert isinstance(made.part, Leaf)


@pytest.mark.parametrize(
    ("text", "kind", "need"),
    [
        ('http.host lt "a"', Computed, set()),
        ("cf.edge.server_port & 1", Computed, set()),
        ('all(http.request.headers["x"][*] eq "a")', Computed, set()),
        ('any(edge.tags[*] contains "a")', Computed, {"tags"}),
        ("len(edge.tags) gt 3", Computed, {"tags"}),
        ("any(edge.tags[*] in $words)", Computed, {"tags"}),
        ('any(starts_with(edge.tags[*], "a"))', Computed, {"tags"}),
        ("has_value(edge.tags, http.host)", Computed, {"tags"}),
        ('edge.tags[0] ne "a"', Computed, {"tags"}),
        ("http.request.timestamp.sec gt 5", Leaf, {"clock"}),
        ('any(http.request.body.form["a"][*] eq "b")', Leaf, {"body"}),
        ('ip.src.country eq "DE"', Leaf, {"geography"}),
        ("cf.tls_client_auth.cert_verified", Leaf, {"certificate"}),
        ("ssl xor ssl", Odd, set()),
    ],
)
def test_what_it_takes(text: str, kind: type, need: set[str]) -> None:
    """The rest is computed, and says what it takes: the body, the clock, all tags, geography, a certificate."""
    made = lowered(text)
    assert type(made) is kind
    assert needs(read(text).root) == need
    if isinstance(made, Leaf):
        assert made.predicate.subject.needs == need
    if isinstance(made, Computed):
        assert made.needs == need


def test_constants() -> None:
    """``true`` is of every request, and a set without elements of none."""
    assert lowered("true") == ALWAYS
    assert lowered("http.host in {}") == NEVER


def test_evidence() -> None:
    """The parts that made an expression true, as they are written in canonical form."""
    text = 'ssl  and (not http.host=="x" or ssl) and any(<one>[*] in {"b" "z"}) and http.host!="y"'
    clauses = ("ssl", 'not http.host eq "x"', 'any(<one>[*] in {"b" "z"})', 'http.host ne "y"')
    assert found(lowered(text), ASKED) == tuple(Clause(written(clause)) for clause in clauses)


def test_an_unknown_list_has_a_column() -> None:
    """A list that there is not is an error at its name, wherever it stands."""
    ends = ("ip.src in $nowhere", "any(edge.tags[*] in $nowhere)", 'all(split(http.host, ".", 3)[*] in $nowhere)')
    for text in ends:
        with pytest.raises(InvalidValue) as refused:
            lowered(text)
        assert refused.value.sentence == "there is no [list nowhere]"
        assert refused.value.column == text.index("$nowhere")


def test_subjects_read_no_more_than_they_must() -> None:
    """A header's values are the very tuple of the request, and a field's value stands in a tuple of its own."""
    root = read('any(<one>[*] eq "a")').root
    assert isinstance(root, Call)
    assert isinstance(root.arguments[0], Comparison)
    values = subject(root.arguments[0].value)
    assert ASKED.request is not None
    assert values.read(ASKED) is ASKED.request.fields[b"x-one"]
    assert values.read(STREAM) is None


@pytest.mark.parametrize("function", ["concat", "remove_bytes"])
def test_too_much_is_not_made(function: str) -> None:
    """A long text put behind each of many elements, or looked at for each, fails the stage before it takes long."""
    text = f'any({function}(http.request.uri.args.names[*], http.request.body.raw)[*] contains "x")'
    request = evolve(exchange(b"/?" + b"a&" * 2000).request, body=Body(b"b" * 50_000, 50_000))  # type: ignore[misc]
    with pytest.raises(RuntimeError, match="makes too much"):
        is_true(lowered(text), evolve(ASKED, request=request))


def test_nesting_as_deep_as_may_be() -> None:
    """An expression nested 128 deep is lowered and judged."""
    for inner, outer in (("(", ")"), ("not (", ")"), ("any((not ", "))")):
        depth = 1 if "any" in inner else 60
        core = '<one>[*] eq "a"' if "any" in inner else "ssl"
        text = inner * depth + core + outer * depth
        assert len(verdicts(text, ASKED, DEFAULT)) == 1
    calls = "lower(" * 120 + "http.host" + ")" * 120 + ' eq "www.test"'
    assert verdicts(calls, ASKED, DEFAULT) == {True}


# -- the page ----------------------------------------------------------------------------------------------------------


def examples() -> list[str]:
    """The expressions that the page shows by themselves, one a line."""
    page = (DOCS / "rules-language.rst").read_text()
    blocks = re.findall(r"::\n\n((?:    .*\n)+)", page)
    return [line.strip() for block in blocks for line in block.splitlines() if "=" not in line.partition("(")[0]]


@pytest.mark.parametrize("text", examples())
def test_the_examples_of_the_page(text: str) -> None:
    """Every example is an expression."""
    assert len(verdicts(text, ASKED, DEFAULT)) == 1
