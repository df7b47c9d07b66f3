"""What two readers could read differently is refused, and no byte of it reaches the origin; what is valid passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from attrs import frozen

from tests.support.malformed_requests import (
    CHUNKED,
    CHUNKS,
    FIELDS,
    HOST,
    HOSTS,
    LENGTHS,
    LIMITS,
    STARTS,
    UNFINISHED,
    Bad,
    field,
    lines,
)
from tests.support.node import PKI, Node, Origin, get, in_thread, running

pytestmark = pytest.mark.lasting


class Good(NamedTuple):
    """A request that is served; ``start`` and ``body`` are what the origin gets, without what we add."""

    name: str
    data: bytes
    start: bytes
    body: bytes = b""


def _good(name: str, start: bytes, forwarded: bytes) -> Good:
    return Good(name, lines(HOST, start=start), forwarded + b" HTTP/1.1\r\nHost: open.test\r\n")


def _passed(name: str, line: bytes, forwarded: bytes) -> Good:
    return Good(name, lines(HOST, line), b"GET / HTTP/1.1\r\nHost: open.test\r\n" + forwarded + b"X-Forwarded-For: ")


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
    Good(
        "an absolute target with another host than Host",
        lines(HOST, start=b"GET https://other.test:8443/a HTTP/1.1"),
        b"GET /a HTTP/1.1\r\nHost: other.test:8443\r\n",
    ),
    Good(
        "an upgrade that may be ignored",
        lines(HOST, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA"),
        b"GET / HTTP/1.1\r\nHost: open.test\r\nX-Forwarded-For: ",
    ),
    _good("an asterisk", b"OPTIONS * HTTP/1.1", b"OPTIONS *"),
    _good("a method of WebDAV", b"PROPFIND / HTTP/1.1", b"PROPFIND /"),
    Good("empty lines before it", b"\r\n\r\n" + get(), b"GET / HTTP/1.1\r\nHost: open.test\r\n"),
    Good("a Host with a port", get("/", "open.test:443"), b"GET / HTTP/1.1\r\nHost: open.test\r\n"),
    Good("a Host with another port", get("/", "open.test:8443"), b"GET / HTTP/1.1\r\nHost: open.test:8443\r\n"),
    Good("a Host in upper case", get("/", "OPEN.test."), b"GET / HTTP/1.1\r\nHost: open.test\r\n"),
    _passed("spaces and tabs around a value", b"X: \t a b \t", b"X: a b\r\n"),
    _passed("no space before a value", b"X:a", b"X: a\r\n"),
    _passed("an empty value", b"X:", b"X: \r\n"),
    _passed("a tab in a value", b"X: a\tb", b"X: a\tb\r\n"),
    _passed("8-bit characters in a value", b"X: \xe4", b"X: \xe4\r\n"),
    _passed("a name that CGI would read as another", b"User_Agent: a", b""),
    _passed("all other characters of a name", b"!#$%&'*+-.^_`|~0aZ: a", b""),
    _passed("a name as it was written", b"x-MiXed: a", b"x-MiXed: a\r\n"),
    Good(
        "fields in their order, repeated ones too",
        lines(HOST, b"B: 1", b"A: 2", b"B: 3"),
        b"GET / HTTP/1.1\r\nHost: open.test\r\nB: 1\r\nA: 2\r\nB: 3\r\nX-Forwarded-For: ",
    ),
    Good(
        "a body",
        field("", b"Content-Length: 2", body=b"hi").data,
        b"POST / HTTP/1.1\r\nHost: open.test\r\n",
        b"Content-Length: 2\r\n\r\nhi",
    ),
    Good(
        "no body, said so",
        field("", b"Content-Length: 0").data,
        b"POST / HTTP/1.1\r\nHost: open.test\r\n",
        b"Content-Length: 0\r\n\r\n",
    ),
    Good(
        "a length with leading zeros",
        field("", b"Content-Length: 0002", body=b"hi").data,
        b"POST / HTTP/1.1\r\n",
        b"Content-Length: 2\r\n\r\nhi",
    ),
    Good(
        "chunks, extensions dropped",
        field("", b"Transfer-Encoding: Chunked", body=b'2;a="b;c" ; d\r\nhi\r\n0002\r\n!!\r\n00;x\r\n\r\n').data,
        b"POST / HTTP/1.1\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhi!!\r\n0\r\n\r\n",
    ),
    Good(
        "a GET with a body",
        lines(HOST, b"Content-Length: 2") + b"hi",
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
    """The request gets its one status and the connection ends; what follows is not read; the origin sees nothing."""
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
    """A body that is malformed, or too large, gets its status; the origin never gets its end, nor what follows."""
    head = lines(HOST, CHUNKED, start=b"POST / HTTP/1.1")
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
            refused = client.ask(lines(HOST, CHUNKED, start=b"POST / HTTP/1.1") + body)
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
