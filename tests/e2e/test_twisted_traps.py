"""What Twisted's HTTP server, Agent and treq do that a proxy must not, shown from outside to be done otherwise here."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator

import pytest
from attrs import frozen

from tests.support.node import OK, PKI, Answer, Client, Node, Origin, Served, get, in_thread, running

pytestmark = pytest.mark.lasting

HOST = b"Host: open.test\r\n"
PACKED = gzip.compress(b"hello")
ANSWERS = {
    b"/cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: id=alice\r\nContent-Length: 0\r\n\r\n",
    b"/packed": b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(PACKED), PACKED),
}
"""What the origin answers for a target, if that is more than OK."""


def behave(served: Served) -> None:
    """The origin."""
    while (request := served.request()) is not None:
        if not served.send(ANSWERS.get(request.split(b" ")[1], OK)):
            return


@frozen(eq=False)
class Front:
    """A node and its origin."""

    node: Node
    origin: Origin


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A node with one origin."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki, behave) as origin, running(pki, origin) as node:
        yield Front(node, origin)


async def ask(front: Front, *requests: bytes) -> list[Answer]:
    """The answers to requests on one connection, the events taken."""

    def run() -> list[Answer]:
        with Client(front.node.port) as client:
            return [client.ask(request) for request in requests]

    answers: list[Answer] = await in_thread(run)
    await front.node.events.take(len(requests))
    return answers


REFUSED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "an invalid host": (b"GET / HTTP/1.1\r\nHost: open.test/x\r\n\r\n", 400),
    "an absolute target for another authority": (b"GET https://strict.test/ HTTP/1.1\r\n" + HOST + b"\r\n", 421),
    "CONNECT": (b"CONNECT open.test:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a target without a slash": (b"GET foo HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "HTTP/1.0 with chunks": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "identity": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "a folded line": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "a control character": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x01b\r\n\r\n", 400),
    "DEL": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x7fb\r\n\r\n", 400),
    "an expectation that is none": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nExpect: 200-ok\r\n\r\na",
        417,
    ),
    "a length of 4301 digits": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"1" * 4301 + b"\r\n\r\n", 400),
    "a target of 17000 bytes": (b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: open.test\n\n", 400),
}
"""What Twisted's server lets in, stalls on, or answers with a traceback or with nothing."""


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED)
async def test_what_twisted_s_reader_accepts_is_refused(front: Front, request_: bytes, status: int) -> None:
    """It is refused with its status, at once, and no byte of it reaches the origin."""
    answer = await front.node.exchange(request_)
    await front.node.events.take()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert front.origin.take() == []


async def test_close_is_seen_without_a_space(front: Front) -> None:
    """``Connection: keep-alive,close`` closes."""
    answer = await front.node.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: keep-alive,close\r\n\r\n")
    await front.node.events.take()
    front.origin.take()
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_method_is_what_was_sent(front: Front) -> None:
    """A method in lower case is another one, and is not made capitals."""
    (answer,) = await ask(front, get(method="get"))
    assert answer.status == 200
    (request,) = front.origin.take()
    assert request.startswith(b"get / HTTP/1.1\r\n")


async def test_http_2_is_not_spoken(front: Front) -> None:
    """Its preface, without ALPN, is a request that is refused; an offer of it alone ends the handshake."""
    answer = await front.node.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    await front.node.events.take()
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 505")
    assert front.origin.take() == []


async def test_no_cookie_of_one_client_reaches_another(front: Front) -> None:
    """There is no jar: what an origin sets goes to the client that asked, and into no other request."""
    (answer,) = await ask(front, get("/cookie"))
    assert answer.fields("Set-Cookie") == [b"id=alice"]
    await ask(front, get())
    assert all(b"cookie:" not in request.lower() for request in front.origin.take())


async def test_a_body_is_passed_as_it_is_encoded(front: Front) -> None:
    """Nothing asks the origin for gzip on its own account, nor unpacks it; a redirect is the client's to follow."""
    (answer,) = await ask(front, get("/packed"))
    (request,) = front.origin.take()
    assert b"accept-encoding" not in request.lower()
    assert (answer.status, answer.body, answer.fields("Content-Encoding")) == (302, PACKED, [b"gzip"])


@pytest.mark.parametrize("target", ["/?", "/?a[b]=c|d", "/a?b?", "/%7e%5B?%zz"])
async def test_a_target_is_not_rewritten(front: Front, target: str) -> None:
    """Neither a final question mark nor a bracket is lost or encoded anew."""
    await ask(front, get(target))
    (request,) = front.origin.take()
    assert request.startswith(f"GET {target} HTTP/1.1\r\n".encode())


async def test_there_is_one_length(front: Front) -> None:
    """The client's own framing is not sent beside ours, and neither is its Connection."""
    await ask(front, get("/", "open.test", "Content-Length: 5", "Connection: keep-alive", method="POST", body=b"hello"))
    (request,) = front.origin.take()
    assert request.lower().count(b"content-length:") == 1
    assert b"transfer-encoding" not in request.lower()
    assert b"connection: keep-alive" not in request.lower()


async def test_an_upgrade_is_no_tunnel(front: Front) -> None:
    """A WebSocket handshake that the origin does not accept is answered as a request, and what follows goes nowhere."""
    lines = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    lines += b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
    answer = await front.node.exchange(
        b"GET / HTTP/1.1\r\n" + HOST + lines + b"\x81\x85abcd\x00\x01\x02\x03\x04\r\n\r\n"
    )
    await front.node.events.take()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    (request,) = front.origin.take()
    assert request.endswith(b"\r\n\r\n")
    assert b"abcd" not in request


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12)]
)
async def test_a_proxy_protocol_header_is_no_client_hello(front: Front, header: bytes) -> None:
    """A header of the PROXY protocol is no ClientHello: the connection ends, and nothing is forwarded."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):  # nothing that is sent to it would be read
        answer = await front.node.plain(header)
    front.node.events.told.clear()
    assert answer == b""
    assert front.origin.take() == []
