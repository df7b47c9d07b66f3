"""What two readers could read differently is refused, and no byte of it reaches the origin; what is valid goes through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from attrs import frozen

from tests.node import PKI, Node, Origin, get, in_thread, running

pytestmark = pytest.mark.lasting


def _lines(*lines: bytes, start: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join((start, *lines, b"", b""))


HOST = b"Host: open.test"
CHUNKED = b"Transfer-Encoding: chunked"


class Bad(NamedTuple):
    """A request that must not be served."""

    name: str
    data: bytes
    status: int = 400


def _start(name: str, start: bytes, status: int = 400) -> Bad:
    return Bad(name, _lines(HOST, start=start), status)


def _field(name: str, *fields: bytes, body: bytes = b"", status: int = 400) -> Bad:
    return Bad(name, _lines(HOST, *fields, start=b"POST / HTTP/1.1") + body, status)


def _host(name: str, *hosts: bytes, status: int = 400) -> Bad:
    return Bad(name, _lines(*(b"Host: " + host for host in hosts)), status)


HOSTS = (
    _host("no Host"),
    Bad("no Host in HTTP/1.0", _lines(start=b"GET / HTTP/1.0")),
    _host("two Hosts", b"open.test", b"other.test"),
    _host("the same Host twice", b"open.test", b"open.test"),
    _host("two Hosts in one", b"open.test, other.test"),
    _host("an empty Host", b""),
    _host("a Host with a path", b"open.test/"),
    _host("a Host with a user", b"user@open.test"),
    _host("a Host with a space", b"open test"),
    _host("a Host with a scheme", b"https://open.test"),
    _host("a Host with a percent-encoding", b"open%2Etest"),
    _host("a Host with 8-bit characters", b"\xf6pen.test"),
    _host("a Host with an empty label", b"open..test"),
    _host("a Host with a word for a port", b"open.test:https"),
    _host("a Host with a port too high", b"open.test:65536"),
    _host("a Host with two ports", b"open.test:1:2"),
    _host("a Host with an unclosed bracket", b"[::1"),
)

LENGTHS = (
    _field("length and chunked", b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    _field("chunked and length", CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
    _field("two lengths", b"Content-Length: 2", b"Content-Length: 3", body=b"hi!"),
    _field("the same length twice", b"Content-Length: 2", b"Content-Length: 2", body=b"hi"),
    _field("a list of lengths", b"Content-Length: 2, 2", body=b"hi"),
    _field("a positive length", b"Content-Length: +2", body=b"hi"),
    _field("a negative length", b"Content-Length: -2", body=b"hi"),
    _field("a hexadecimal length", b"Content-Length: 0x2", body=b"hi"),
    _field("a length with a space", b"Content-Length: 2 2", body=b"hi"),
    _field("a length with an underscore", b"Content-Length: 1_0", body=b"0123456789"),
    _field("a length with a point", b"Content-Length: 2.0", body=b"hi"),
    _field("a length in other digits", "Content-Length: ٢".encode(), body=b"hi"),
    _field("an empty length", b"Content-Length:", body=b"hi"),
    _field("trap 3.1: a length of 5,000 digits", b"Content-Length: " + b"9" * 5000, body=b"hi"),
    _field("a length beyond 64 bits", b"Content-Length: 18446744073709551618", body=b"hi"),
    _field("identity", b"Transfer-Encoding: identity", body=b"hi"),
    _field("identity beside a length", b"Transfer-Encoding: identity", b"Content-Length: 2", body=b"hi"),
    _field("gzip", b"Transfer-Encoding: gzip", body=b"hi"),
    _field("chunked that is not the last", b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    _field("chunked twice", b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    _field("chunked in two fields", CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    _field("chunked with a parameter", b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"),
    _field("xchunked", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    _field("quoted", b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    _field("chunked with a vertical tab", b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    _field("an empty coding", b"Transfer-Encoding:", body=b"0\r\n\r\n"),
    _field("a folded coding", b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
    _field("a coding whose name ends in a space", b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    Bad("chunked in HTTP/1.0", _lines(HOST, CHUNKED, start=b"POST / HTTP/1.0") + b"0\r\n\r\n"),
)

FIELDS = (
    _field("a folded value", b"X: a\r\n b"),
    _field("a value folded with a tab", b"X: a\r\n\tb"),
    Bad("a fold before the first field", b"GET / HTTP/1.1\r\n X: a\r\nHost: open.test\r\n\r\n"),
    _field("a fold at the end", b"X: a\r\n "),
    _field("a bare CR in a value", b"X: a\rb"),
    _field("a bare CR at the end of a value", b"X: a\r"),
    _field("a bare LF in a value", b"X: a\nY: b"),
    Bad("bare LFs only", b"GET / HTTP/1.1\nHost: open.test\n\n"),
    Bad("a bare LF behind the request line", b"GET / HTTP/1.1\nHost: open.test\r\n\r\n"),
    Bad("a bare LF at the end", b"GET / HTTP/1.1\r\nHost: open.test\r\n\n"),
    Bad("a bare CR behind the request line", b"GET / HTTP/1.1\rHost: open.test\r\n\r\n"),
    *(_field(f"the control character {c:#04x} in a value", b"X: a%cb" % c) for c in (0, 1, 7, 8, 11, 12, 27, 31, 127)),
    _field("a control character in a name", b"X\x01: a"),
    _field("a space before the colon", b"X : a"),
    _field("a tab before the colon", b"X\t: a"),
    _field("a space in a name", b"X Y: a"),
    _field("an empty name", b": a"),
    _field("a field without a colon", b"X"),
    _field("a name with a parenthesis", b"X(Y): a"),
    _field("an 8-bit name", b"\xe4: a"),
)

STARTS = (
    Bad("a space before the request line", b" GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    Bad("a tab before the request line", b"\tGET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    Bad("a NUL before the request line", b"\0GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    Bad("a bare LF before the request line", b"\nGET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    _start("two spaces before the target", b"GET  / HTTP/1.1"),
    _start("two spaces behind the target", b"GET /  HTTP/1.1"),
    _start("a space behind the version", b"GET / HTTP/1.1 "),
    _start("tabs", b"GET\t/\tHTTP/1.1"),
    _start("no target", b"GET HTTP/1.1"),
    _start("no method", b"/ HTTP/1.1"),
    _start("a fourth word", b"GET / HTTP/1.1 x"),
    _start("HTTP/0.9", b"GET /"),
    _start("HTTP/0.9 by name", b"GET / HTTP/0.9"),
    _start("HTTP/1.2", b"GET / HTTP/1.2", 505),
    _start("HTTP/2.0", b"GET / HTTP/2.0", 505),
    Bad("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    _start("a version of two digits", b"GET / HTTP/1.10"),
    _start("a version with a leading zero", b"GET / HTTP/01.1"),
    _start("a version in lower case", b"GET / http/1.1"),
    _start("a version of another protocol", b"GET / HTCPCP/1.0"),
    _start("a lower-case method", b"get / HTTP/1.1", 501),
    _start("an unknown method", b"FROBNICATE / HTTP/1.1", 501),
    _start("a method with a character that no method has", b"G@T / HTTP/1.1"),
    _start("CONNECT with an authority", b"CONNECT open.test:443 HTTP/1.1"),
    _start("CONNECT with a path", b"CONNECT / HTTP/1.1"),
    _start("a target without a slash", b"GET a HTTP/1.1"),
    _start("an asterisk for GET", b"GET * HTTP/1.1"),
    _start("a fragment", b"GET /#a HTTP/1.1"),
    _start("a control character in the target", b"GET /\x01 HTTP/1.1"),
    _start("DEL in the target", b"GET /\x7f HTTP/1.1"),
    _start("8-bit characters in the target", b"GET /\xe4 HTTP/1.1"),
    _start("8-bit characters in the query", b"GET /?\xe4 HTTP/1.1"),
    _start("a quotation mark in the target", b'GET /" HTTP/1.1'),
    _start("an angle bracket in the query", b"GET /?<script> HTTP/1.1"),
    _start("a backslash in the path", b"GET /a\\b HTTP/1.1"),
    _start("half an escape in the path", b"GET /%2 HTTP/1.1"),
    _start("a broken escape in the path", b"GET /%zz HTTP/1.1"),
    _start("an encoded NUL", b"GET /%00 HTTP/1.1"),
    _start("above the root", b"GET /../a HTTP/1.1"),
    _start("above the root, encoded", b"GET /%2e%2e/a HTTP/1.1"),
    _start("an encoded slash that hides dots", b"GET /a/..%2f..%2fb HTTP/1.1"),
    _start("dots twice encoded", b"GET /a/%252e%252e/b HTTP/1.1"),
    _start("dots with a parameter", b"GET /a/..;x/b HTTP/1.1"),
    _start("dots behind an encoded backslash", b"GET /a%5c..%5cb HTTP/1.1"),
    _start("dots beside empty segments", b"GET /a//../b HTTP/1.1"),
    _start("an absolute target with another host", b"GET https://other.test/ HTTP/1.1"),
    _start("an absolute target with another port", b"GET https://open.test:8443/ HTTP/1.1"),
    _start("an absolute target with a user", b"GET https://open.test@other.test/ HTTP/1.1"),
    _start("an absolute target without a host", b"GET https:/// HTTP/1.1"),
    _start("an absolute target of another scheme", b"GET ftp://open.test/ HTTP/1.1"),
    _start("a scheme-relative target is a path, a target with a colon is not", b"GET open.test:443 HTTP/1.1"),
)

LIMITS = (
    Bad("a long target", _lines(HOST, start=b"GET /%b HTTP/1.1" % (b"a" * 2000)), 414),
    Bad("a long head", _lines(HOST, *(b"X-%d: %b" % (n, b"a" * 400) for n in range(24))), 431),
    Bad("many fields", _lines(HOST, *(b"X: a" for _ in range(30))), 431),
    _field("a long body", b"Content-Length: 2001", body=b"a" * 2001, status=413),
    _field("a long body that is waiting to be asked for", b"Content-Length: 2001", b"Expect: 100-continue", status=413),
    _field("another expectation", b"Content-Length: 2", b"Expect: 200-ok", body=b"hi", status=417),
    _field("an upgrade to WebSocket", b"Upgrade: websocket", b"Connection: Upgrade", status=501),
    _field("an upgrade to h2c", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA", status=501),
)

UNFINISHED = (
    Bad("a long target", b"GET /" + b"a" * 5000, 414),
    Bad("a long head", b"GET / HTTP/1.1\r\nX: " + b"a" * 9000, 431),
    Bad("HTTP/0.9", b"GET /\r\n"),
    Bad("a request line that is none", b"HELO open.test\r\n"),
    Bad("a bare LF", b"GET / HTTP/1.1\n"),
)
"""Heads that can no longer become good ones, without their ends."""

CHUNKS = (
    Bad("a chunk size that is no number", b"g\r\nhi\r\n0\r\n\r\n"),
    Bad("a negative chunk size", b"-1\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size with a sign", b"+2\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size with 0x", b"0x2\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size behind a space", b" 2\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size before a space", b"2 \r\nhi\r\n0\r\n\r\n"),
    Bad("an empty chunk size", b"\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size of 17 digits", b"00000000000000002\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size beyond 64 bits", b"10000000000000002\r\nhi\r\n0\r\n\r\n"),
    Bad("a bare LF behind a chunk size", b"2\nhi\r\n0\r\n\r\n"),
    Bad("a bare CR behind a chunk size", b"2\rhi\r\n0\r\n\r\n"),
    Bad("a bare LF in a chunk extension", b"2;a\nb\r\nhi\r\n0\r\n\r\n"),
    Bad("a NUL in a chunk extension", b"2;a\0b\r\nhi\r\n0\r\n\r\n"),
    Bad("an extension without a semicolon", b"2 a\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk longer than its size", b"2\r\nhi!\r\n0\r\n\r\n"),
    Bad("a chunk shorter than its size", b"4\r\nhi\r\n0\r\n\r\n"),
    Bad("a bare LF behind a chunk", b"2\r\nhi\n0\r\n\r\n"),
    Bad("a folded trailer", b"2\r\nhi\r\n0\r\nX: a\r\n b\r\n\r\n"),
    Bad("a trailer without a colon", b"2\r\nhi\r\n0\r\nX\r\n\r\n"),
    Bad("a trailer with a bare LF", b"2\r\nhi\r\n0\r\nX: a\nY: b\r\n\r\n"),
    Bad("too many trailers", b"2\r\nhi\r\n0\r\n" + b"X: %b\r\n" % (b"a" * 1000) * 10 + b"\r\n"),
    Bad("an endless chunk extension", b"2;" + b"a" * 5000),
    Bad("a long body in chunks", b"3e8\r\n%b\r\n" % (b"a" * 1000) * 3 + b"fff\r\n", 413),
    Bad("a long body in one chunk", b"fff\r\n%b" % (b"a" * 2047), 413),
)
"""Bodies, each behind a head with which nothing is wrong."""


class Good(NamedTuple):
    """A request that is served; ``start`` and ``body`` are what the origin gets, without what we add."""

    name: str
    data: bytes
    start: bytes
    body: bytes = b""


def _good(name: str, start: bytes, forwarded: bytes) -> Good:
    return Good(name, _lines(HOST, start=start), forwarded + b" HTTP/1.1\r\nHost: open.test\r\n")


def _passed(name: str, field: bytes, forwarded: bytes) -> Good:
    return Good(name, _lines(HOST, field), b"GET / HTTP/1.1\r\nHost: open.test\r\n" + forwarded + b"X-Forwarded-For: ")


GOOD = (
    _good("a path", b"GET /a/b HTTP/1.1", b"GET /a/b"),
    _good("a query", b"GET /a?b=c&d HTTP/1.1", b"GET /a?b=c&d"),
    _good("an empty query", b"GET /? HTTP/1.1", b"GET /?"),
    _good("question marks in the query", b"GET /?a?b HTTP/1.1", b"GET /?a?b"),
    _good("escapes as they came", b"GET /%41%2f%c3%a4%2B?%zz HTTP/1.1", b"GET /%41%2f%c3%a4%2B?%zz"),
    _good("dot segments resolved", b"GET /a/./b/../c HTTP/1.1", b"GET /a/c"),
    _good("empty segments kept", b"GET //a//b HTTP/1.1", b"GET //a//b"),
    _good("dots within a name", b"GET /...a HTTP/1.1", b"GET /...a"),
    _good("HTTP/1.0", b"GET / HTTP/1.0", b"GET /"),
    _good("an absolute target", b"GET https://open.test/a HTTP/1.1", b"GET /a"),
    _good("an absolute target without a path", b"GET https://OPEN.test HTTP/1.1", b"GET /"),
    _good("an absolute target with a query only", b"GET https://open.test?a HTTP/1.1", b"GET /?a"),
    _good("an asterisk", b"OPTIONS * HTTP/1.1", b"OPTIONS *"),
    _good("a method of WebDAV", b"PROPFIND / HTTP/1.1", b"PROPFIND /"),
    Good("empty lines before it", b"\r\n\r\n" + get(), b"GET / HTTP/1.1\r\nHost: open.test\r\n"),
    Good("a Host with a port", get("/", "open.test:443"), b"GET / HTTP/1.1\r\nHost: open.test:443\r\n"),
    Good("a Host in upper case", get("/", "OPEN.test."), b"GET / HTTP/1.1\r\nHost: open.test.\r\n"),
    _passed("spaces and tabs around a value", b"X: \t a b \t", b"X: a b\r\n"),
    _passed("no space before a value", b"X:a", b"X: a\r\n"),
    _passed("an empty value", b"X:", b"X: \r\n"),
    _passed("a tab in a value", b"X: a\tb", b"X: a\tb\r\n"),
    _passed("8-bit characters in a value", b"X: \xe4", b"X: \xe4\r\n"),
    _passed("all characters of a name", b"!#$%&'*+-.^_`|~0aZ: a", b"!#$%&'*+-.^_`|~0aZ: a\r\n"),
    _passed("a name as it was written", b"x-MiXed: a", b"x-MiXed: a\r\n"),
    Good(
        "fields in their order, repeated ones too",
        _lines(HOST, b"B: 1", b"A: 2", b"B: 3"),
        b"GET / HTTP/1.1\r\nHost: open.test\r\nB: 1\r\nA: 2\r\nB: 3\r\nX-Forwarded-For: ",
    ),
    Good(
        "a body",
        _field("", b"Content-Length: 2", body=b"hi").data,
        b"POST / HTTP/1.1\r\nHost: open.test\r\n",
        b"Content-Length: 2\r\n\r\nhi",
    ),
    Good(
        "no body, said so",
        _field("", b"Content-Length: 0").data,
        b"POST / HTTP/1.1\r\nHost: open.test\r\n",
        b"Content-Length: 0\r\n\r\n",
    ),
    Good(
        "a length with leading zeros",
        _field("", b"Content-Length: 0002", body=b"hi").data,
        b"POST / HTTP/1.1\r\n",
        b"Content-Length: 2\r\n\r\nhi",
    ),
    Good(
        "chunks, extensions dropped",
        _field("", b"Transfer-Encoding: Chunked", body=b'2;a="b;c" ; d\r\nhi\r\n0002\r\n!!\r\n00;x\r\n\r\n').data,
        b"POST / HTTP/1.1\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhi!!\r\n0\r\n\r\n",
    ),
    Good(
        "a GET with a body",
        _lines(HOST, b"Content-Length: 2") + b"hi",
        b"GET / HTTP/1.1\r\n",
        b"Content-Length: 2\r\n\r\nhi",
    ),
)


@frozen(eq=False)
class Front:
    """A node and its origin."""

    node: Node
    origin: Origin


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A node with small limits."""
    limits = {"max-target-size": "1k", "max-header-size": "8k", "max-headers": "25"}
    changes = {"listener public": limits, "path-map all": {"max-body-size": "2000"}}
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki) as origin, running(pki, origin, changes) as node:
        yield Front(node, origin)


def _name(case: Bad | Good) -> str:
    return case.name


@pytest.mark.parametrize("case", [*HOSTS, *LENGTHS, *FIELDS, *STARTS, *LIMITS], ids=_name)
async def test_refused(front: Front, case: Bad) -> None:
    """The request gets its one status and the connection ends; what follows is not read, and the origin sees nothing."""
    received = await front.node.exchange(case.data + get("/smuggled"))
    (event,) = await front.node.events.take()
    assert received.startswith(b"HTTP/1.1 %d " % case.status)
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in received
    assert (event["status"], event["error"]["status"], event["error"]["fault"]) == (case.status, case.status, "client")
    assert event["origin"] is None
    assert front.origin.take() == []


@pytest.mark.parametrize("case", UNFINISHED, ids=_name)
async def test_refused_before_its_end(front: Front, case: Bad) -> None:
    """A head that can only become worse is refused at once, without waiting for its end."""
    received = await front.node.exchange(case.data)
    (event,) = await front.node.events.take()
    assert received.startswith(b"HTTP/1.1 %d " % case.status)
    assert event["error"]["status"] == case.status


@pytest.mark.parametrize("case", CHUNKS, ids=_name)
async def test_a_malformed_body_is_never_complete(front: Front, case: Bad) -> None:
    """A body that is malformed, or too large, gets its status; the origin never gets the end of it, nor what follows."""
    head = _lines(HOST, CHUNKED, start=b"POST / HTTP/1.1")
    received = await front.node.exchange(head + case.data + get("/smuggled"))
    (event,) = await front.node.events.take()
    assert received.startswith(b"HTTP/1.1 %d " % case.status)
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in received
    assert (event["status"], event["error"]["status"]) == (case.status, case.status)
    assert front.origin.take() == []
    assert b"smuggled" not in front.origin.received


async def test_a_long_body_that_was_read_to_its_end_leaves_the_connection_usable(front: Front) -> None:
    """413 after the whole of a chunked body ends only the request: where the next one begins is known."""
    body = b"7ff\r\n%b\r\n0\r\n\r\n" % (b"a" * 2047)

    def ask() -> tuple[int, int]:
        with front.node.client() as client:
            refused = client.ask(_lines(HOST, CHUNKED, start=b"POST / HTTP/1.1") + body)
            return refused.status, client.ask(get("/next")).status

    assert await in_thread(ask) == (413, 200)
    await front.node.events.take(2)
    (request,) = front.origin.take()
    assert request.startswith(b"GET /next ")


@pytest.mark.parametrize("case", GOOD, ids=_name)
async def test_served(front: Front, case: Good) -> None:
    """A valid request is served, and the origin gets it as it is, in one framing."""

    def ask() -> int:
        with front.node.client() as client:
            return client.ask(case.data).status

    answer = await in_thread(ask)
    await front.node.events.take()
    (request,) = front.origin.take()
    assert answer == 200
    assert request.startswith(case.start)
    assert request.endswith(case.body)
    assert request.count(b"\r\nHost: ") == 1
    if not case.body:
        assert request.endswith(b"\r\n\r\n")
        assert b"Content-Length" not in request
        assert b"Transfer-Encoding" not in request
