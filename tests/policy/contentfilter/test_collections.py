"""Collections: what ModSecurity itself has in a variable, and what other servers read in its place."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgenode.model.exchange import NO_BODY, Body, Exchange, Geography, Request, Response
from edgenode.policy.contentfilter.collections import COLLECTIONS, RESPONSE_COLLECTIONS
from edgenode.rules.views.escapes import unescaped
from tests.support.strategies import CONNECTION

COMPARED = """
    ARGS ARGS_NAMES ARGS_GET ARGS_GET_NAMES ARGS_POST ARGS_POST_NAMES AUTH_TYPE FILES FILES_NAMES FILES_SIZES
    FILES_COMBINED_SIZE FULL_REQUEST_LENGTH MULTIPART_PART_HEADERS PATH_INFO QUERY_STRING REMOTE_ADDR REMOTE_PORT
    REQBODY_PROCESSOR REQUEST_BASENAME REQUEST_BODY REQUEST_BODY_LENGTH REQUEST_COOKIES REQUEST_COOKIES_NAMES
    REQUEST_FILENAME REQUEST_HEADERS REQUEST_HEADERS_NAMES REQUEST_LINE REQUEST_METHOD REQUEST_PROTOCOL REQUEST_URI
    REQUEST_URI_RAW SERVER_ADDR SERVER_NAME SERVER_PORT XML:/* XML://@*
""".split()  # noqa: SIM905

TYPES = """SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" \
 "id:1,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z0-9.-]+[+])?json" \
 "id:2,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
"""
EACH = """SecAction "id:{0},phase:2,pass,nolog,setvar:'!tx.all'"
SecRule {1} "@unconditionalMatch" "id:1{0},phase:2,pass,nolog,t:none,t:hexEncode,\
setvar:'tx.all=%{{tx.all}}~%{{MATCHED_VAR_NAME}}^%{{MATCHED_VAR}}'"
SecRule TX:all "@unconditionalMatch" "id:2{0},phase:2,pass,log,t:none,logdata:'%{{tx.all}}'"
"""

Members = list[tuple[bytes, bytes]]


def asked(
    target: bytes = b"/",
    body: bytes = b"",
    *headers: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: tuple[int, int] = (1, 1),
    client: str = "192.0.2.7",
) -> Exchange:
    """A request."""
    path, mark, query = target.partition(b"?")
    fields = ((b"Host", b"example.com:8443"), *headers)
    request = Request(
        method,
        b"https",
        b"example.com:8443",
        target,
        path,
        query if mark else None,
        unescaped(path),
        tuple((name.lower(), value) for name, value in fields),
        tuple(name for name, _ in fields),
        version,
        len(body),
        Body(body, len(body)) if body else NO_BODY,
    )
    return Exchange(CONNECTION, request, client, time=86400.0, identifier=b"id-1")


def typed(kind: bytes, body: bytes, target: bytes = b"/") -> Exchange:
    """A request with a body of a type."""
    return asked(target, body, (b"Content-Type", kind), method=b"POST")


def values(exchange: Exchange, name: str, *, further: bool = False) -> list[bytes]:
    """The values in a collection."""
    collection = COLLECTIONS[name]
    return [value for _, value in (collection.further if further else collection.read)(exchange)]


@pytest.fixture(scope="module")
def reference() -> Iterator[Callable[[Exchange], dict[str, Members]]]:
    """What ModSecurity has in variables."""
    modsecurity = pytest.importorskip("libmodsecurity")
    engine, rules = modsecurity.ModSecurity(), modsecurity.RulesSet()
    text = TYPES + "".join(EACH.format(1000 + number, name) for number, name in enumerate(COMPARED))
    assert rules.load(text) > 0, rules.get_parser_error()
    found: dict[str, Members] = {}

    def take(message: Any) -> None:
        members = [each.rpartition("^")[::2] for each in message.data.split("~")[1:]]
        found[COMPARED[message.rule_id % 1000]] = [
            (name.partition(":")[2].lower().encode(), binascii.unhexlify(value)) for name, value in members
        ]

    engine.set_rule_message_callback(take)

    def read(exchange: Exchange) -> dict[str, Members]:
        request = exchange.request
        assert request is not None
        found.clear()
        with engine.transaction(rules) as transaction:
            local = exchange.connection.local
            transaction.process_connection(exchange.client, exchange.connection.peer.port, local.host, local.port)
            transaction.process_uri(request.target, request.method, f"{request.version[0]}.{request.version[1]}")
            for name, (_, value) in zip(request.names, request.headers, strict=True):
                transaction.add_request_header(name, value)
            transaction.process_request_headers()
            if request.body:
                transaction.append_request_body(request.body.data)
            transaction.process_request_body()
        return {name: sorted(found.get(name, [])) for name in COMPARED}

    yield read
    engine.set_rule_message_callback(None)


def ours(exchange: Exchange) -> dict[str, Members]:
    """What there is in our collections, with names as ModSecurity tells them."""
    read: dict[str, Members] = {}
    for name in COMPARED:
        variable, _, key = name.partition(":")
        members = COLLECTIONS[variable].read(exchange)
        chosen = [(b"" if key else each.lower(), value) for each, value in members if not key or each == key.encode()]
        read[name] = sorted(chosen)
    return read


words = st.sampled_from(
    ["a", "b", "c", "id", "q", "user%5bx%5d", "a.b", "x%20y", "%zz", "%4", "%41", "+", "a+b", "1", "==", "script"]
).map(str.encode)
pairs = st.lists(st.one_of(words, st.builds(b"%b=%b".__mod__, st.tuples(words, words)), st.just(b"")), max_size=5)
texts = pairs.map(b"&".join)
paths = st.sampled_from((b"/", b"/a/b.php", b"/a%20b/", b"/a%2fb", b"/a/..%5cb", b"/%zz", b"/a;x=1/b"))
targets = st.one_of(paths, st.builds(b"%b?%b".__mod__, st.tuples(paths, texts)))
cookies = st.lists(st.sampled_from((b"a=1", b" b=2", b"c", b" =d", b"", b" e=f=g ", b'f="x"', b"g=%41")), max_size=4)
leaves = st.none() | st.booleans() | st.integers(-9, 99) | st.sampled_from(("", "x", "é", "a\\n<b>"))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("a", "b c", "é")), inner, max_size=3),
    max_leaves=8,
)
FORM = b"application/x-www-form-urlencoded"


@given(targets, st.none() | cookies.map(b";".join), st.sampled_from((b"GET", b"get", b"PROPFIND")))
@example(b"/", b" e=f=g ;", b"GET")
def test_the_head_is_that_of_modsecurity(
    reference: Callable[[Exchange], dict[str, Members]], target: bytes, cookie: bytes | None, method: bytes
) -> None:
    """Of a request without a body every variable has what ModSecurity has in it."""
    headers = ((b"User-Agent", b"x"), *(((b"Cookie", cookie),) if cookie is not None else ()))
    exchange = asked(target, b"", *headers, method=method)
    assert ours(exchange) == reference(exchange)


@given(targets, texts.filter(bool), st.sampled_from((FORM, FORM + b"; charset=utf-8", FORM.upper(), b"text/plain")))
def test_forms_are_those_of_modsecurity(
    reference: Callable[[Exchange], dict[str, Members]], target: bytes, body: bytes, kind: bytes
) -> None:
    """A form has the same arguments, in whatever case its type is written; another type has none."""
    exchange = typed(kind, body, target)
    assert ours(exchange) == reference(exchange)


@given(trees, st.sampled_from((b"application/json", b"application/vnd.api+json; charset=utf-8")))
@example([1, {"b": [True, None]}, [[2]]], b"application/json")
def test_json_is_that_of_modsecurity(
    reference: Callable[[Exchange], dict[str, Members]], tree: object, kind: bytes
) -> None:
    """The leaves of JSON have the names and values that ModSecurity gives them."""
    exchange = typed(kind, json.dumps(tree).encode())
    assert ours(exchange) == reference(exchange)


@pytest.mark.parametrize(
    "body",
    [
        b'<?xml version="1.0"?><a x="1"><b>t1</b> <c y="2">t2<![CDATA[<z>]]></c>&lt;&#65;</a>',
        b"<a/>",
        b'<a xmlns:n="urn:x"><n:b n:c="d">e</n:b><!-- f --><?g h?></a>',
    ],
)
def test_xml_is_that_of_modsecurity(reference: Callable[[Exchange], dict[str, Members]], body: bytes) -> None:
    """``XML:/*`` is the text of the whole, ``XML://@*`` each attribute."""
    exchange = typed(b"text/xml", body)
    read, theirs = ours(exchange), reference(exchange)
    for name in ("XML:/*", "XML://@*"):
        assert [value for _, value in read[name] if value] == [value for _, value in theirs[name] if value]


PARTS = (
    b'--B\r\nContent-Disposition: form-data; name="t"\r\n\r\nv1\r\n'
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
    b"--B--\r\n"
)


def test_multipart_is_that_of_modsecurity(reference: Callable[[Exchange], dict[str, Members]]) -> None:
    """Parts are arguments or files, with the lines of their heads."""
    exchange = typed(b"multipart/form-data; boundary=B", PARTS)
    assert ours(exchange) == reference(exchange)


def test_what_is_in_files_is_no_argument() -> None:
    """The content of a file is in no collection of arguments, and an argument beside it is."""
    exchange = typed(b"multipart/form-data; boundary=B", PARTS)
    assert values(exchange, "ARGS") == [b"v1"]
    assert b"hello" not in values(exchange, "ARGS", further=True)
    beside = typed(b"multipart/form-data; boundary=B", PARTS, b"/?x=1;f=hello")
    assert (b"f", b"hello") in COLLECTIONS["ARGS"].further(beside)


def test_what_has_an_empty_file_name_may_be_an_argument() -> None:
    """Go's ``mime/multipart`` takes it for a field; what browsers send for no file is none."""
    unnamed = PARTS.replace(b'"a.txt"', b'""')
    assert b"hello" in values(typed(b"multipart/form-data; boundary=B", unnamed), "ARGS", further=True)
    without = typed(b"multipart/form-data; boundary=B", unnamed.replace(b"hello", b""))
    assert values(without, "ARGS", further=True) == []


def test_other_names_of_a_value_are_aliases() -> None:
    """What Rack or PHP call otherwise is found by that name, and is not looked at twice."""
    exchange = asked(b"/?user[name]=x&a.b=y")
    aliases = COLLECTIONS["ARGS"].aliases
    assert aliases is not None
    assert {(b"user", b"x"), (b"a_b", b"y")} <= set(aliases(exchange))
    assert COLLECTIONS["ARGS"].further(exchange) == ()


@pytest.mark.parametrize(
    ("exchange", "name", "value"),
    [
        (asked(b"/?a=1;b=<x>"), "ARGS", b"<x>"),
        (asked(b"/?a=%00<%00x%00>", b"", (b"Content-Type", FORM + b"; charset=utf-16be")), "ARGS", b"<x>"),
        (typed(b"", b"b=<x>"), "ARGS", b"<x>"),
        (typed(b"text/plain", b'{"a": "<x>"}'), "ARGS", b"<x>"),
        (typed(FORM + b"; charset=utf-16", "a=<x>".encode("utf-16")), "ARGS", b"<x>"),
        (typed(FORM, b'{"a": "<x>", "b": 1}'), "ARGS", b"<x>"),
        (typed(b"application/json", b'{"query": "{ a(b: \\"<x>\\") }"}'), "ARGS", b"<x>"),
        (typed(b"application/json", '{"a": "<x>"}'.encode("utf-16-le")), "ARGS", b"<x>"),
        (typed(b"text/plain", b"<?xml version='1.0'?><a b='&lt;x>'/>"), "XML", b"<x>"),
        (typed(b"text/xml", b"<a><b>&lt;x></b><c>y</c></a>"), "XML", b"<x>"),
        (asked(b"/", b"", (b"Cookie", b"a=%3Cx%3E")), "REQUEST_COOKIES", b"<x>"),
        (asked(b"/", b"", (b"Cookie", b'a="\\074x>"')), "REQUEST_COOKIES", b"<x>"),
        (asked(b"/", b"", (b"Cookie", b"a=1, b=<x>")), "REQUEST_COOKIES", b"<x>"),
        (asked(b"/a\\b/<x>"), "REQUEST_FILENAME", b"/a/b/<x>"),
    ],
)
def test_what_another_server_reads_is_a_further_member(exchange: Exchange, name: str, value: bytes) -> None:
    """What ModSecurity does not see, and some server does, is looked at as well."""
    assert value not in values(exchange, name)
    assert value in values(exchange, name, further=True)


@given(texts, texts)
def test_what_rules_see_is_in_a_collection(query: bytes, form: bytes) -> None:
    """No value that rules on arguments see is missing, nor any name of it."""
    from edgenode.rules.views.arguments import all_arguments

    exchange = typed(FORM, form, b"/?" + query)
    assert exchange.request is not None
    seen = {(name, value) for name, found in all_arguments(exchange.request).items() for value in found}
    arguments = COLLECTIONS["ARGS"]
    assert arguments.aliases is not None
    assert seen <= {*arguments.read(exchange), *arguments.aliases(exchange)}
    values = {value for _, value in (*arguments.read(exchange), *arguments.further(exchange))}
    assert {value for _, value in seen} <= values


def test_an_ordinary_request_has_nothing_further() -> None:
    """What everybody reads alike is read once."""
    plain = (
        asked(b"/?a=1", b"", (b"Content-Type", b"application/json")),
        asked(b"/a/b?q=a+b&c=%3Cd%3E", b"", (b"Cookie", b"sid=1; theme=dark"), (b"Accept", b"*/*")),
        typed(FORM, b"a=1&b=some+text%21"),
        typed(b"application/json", b'{"a": [1, 2.50, "x"]}'),
    )
    for exchange in plain:
        assert {name: each.further(exchange) for name, each in COLLECTIONS.items() if each.further(exchange)} == {}


def test_phase_1_sees_no_body() -> None:
    """Before the body has come, there are only the arguments of the query."""
    exchange = typed(FORM, b"b=2", b"/?a=1")
    early = COLLECTIONS["ARGS"].early
    assert early is not None
    assert early(exchange) == ((b"a", b"1"),)
    assert COLLECTIONS["ARGS"].read(exchange) == ((b"a", b"1"), (b"b", b"2"))


def test_a_stream_has_no_members_of_requests() -> None:
    """Of a connection that speaks no HTTP, only what is about the connection is known."""
    exchange = Exchange(CONNECTION, None, "192.0.2.7")
    assert values(exchange, "REMOTE_ADDR") == [b"192.0.2.7"]
    assert [each.name for each in COLLECTIONS.values() if each.name.startswith("REQUEST") and each.read(exchange)] == []


def test_what_is_about_the_exchange() -> None:
    """The time is that of UTC, and a place has members as ModSecurity names them."""
    exchange = asked(b"/", version=(2, 0))
    exchange.geography = Geography(country="DE", city="Köln")
    assert values(exchange, "TIME_DAY") == [b"2"]
    assert values(exchange, "TIME_MON") == [b"0"]
    assert values(exchange, "TIME") == [b"00:00:00"]
    assert values(exchange, "TIME_EPOCH") == [b"86400"]
    assert values(exchange, "UNIQUE_ID") == [b"id-1"]
    assert values(exchange, "REQUEST_PROTOCOL") == [b"HTTP/2.0"]
    assert COLLECTIONS["GEO"].read(exchange) == ((b"country_code", b"DE"), (b"city", "Köln".encode()))


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (typed(b"application/json", b'{"a": 1}'), b"0"),
        (typed(b"application/json", b'{"a": '), b"1"),
        (typed(b"text/xml", b"<a>"), b"1"),
        (typed(b"text/xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), b"1"),
        (typed(FORM, b"%"), b"0"),
        (typed(b"multipart/form-data; boundary=B", b"nothing"), b"1"),
        (asked(), b"0"),
    ],
)
def test_a_body_that_cannot_be_read_is_told(exchange: Exchange, expected: bytes) -> None:
    """``REQBODY_ERROR`` is 1 if a body is not what its type says."""
    assert values(exchange, "REQBODY_ERROR") == [expected]


def test_answers_have_variables_too() -> None:
    """Status, fields and body of an answer."""
    response = Response(404, ((b"Content-Type", b"text/html"), (b"X-A", b"1")), b"gone")
    read = {name: each.read(response) for name, each in RESPONSE_COLLECTIONS.items()}
    assert read["RESPONSE_STATUS"] == ((b"", b"404"),)
    assert read["RESPONSE_BODY"] == ((b"", b"gone"),)
    assert read["RESPONSE_CONTENT_TYPE"] == ((b"", b"text/html"),)
    assert read["RESPONSE_HEADERS"] == response.headers


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><a>&c;</a>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://b.example/">%b;]><a/>',
        b'<!DOCTYPE a [<!ENTITY b PUBLIC "b" "http://b.example/">]><a c="&b;"/>',
        b'<!DOCTYPE a SYSTEM "http://b.example/"><a/>',
        b'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>'.decode().encode("utf-16"),
    ],
)
def test_what_defusedxml_refuses_is_not_read(body: bytes) -> None:
    """No entity of a document's own is expanded, nothing is asked for, and the body counts as one that is none."""
    defused = pytest.importorskip("defusedxml.ElementTree")
    with pytest.raises(ValueError, match="Forbidden"):
        defused.fromstring(body, forbid_dtd=True)
    exchange = typed(b"text/xml", body)
    assert values(exchange, "XML") == []
    assert values(exchange, "REQBODY_ERROR") == [b"1"]
