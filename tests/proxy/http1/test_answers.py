"""Answers: their framing to this client or that, what crosses of their fields, and those that end too early."""

from __future__ import annotations

import threading

import pytest
from twisted.internet.defer import Deferred

from edgenode.proxy.http1.writer import error_response, status_line
from tests.support.node import OK, PATIENCE, PKI, Answer, Client, Origin, Served, answering, get, in_thread, started

BRIEF = "300ms"


# -- whole -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "head", "kept"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", [b"100"]),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", []),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", []),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", []),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: "a"\r\n\r\n', [b"100"]),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", []),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [b"0"]),
    ],
)
async def test_answers_without_a_body(pki: PKI, method: str, head: bytes, kept: list[bytes]) -> None:
    """What has no body by the rules of HTTP has none, whatever its fields say, and the connection goes on."""
    with Origin(pki, answering(head, OK)) as origin:
        async with started(pki, origin) as node:

            def ask() -> tuple[Answer, Answer]:
                with node.client() as client:
                    return client.ask(get(method=method)), client.ask(get("/next"))

            first, second = await in_thread(ask)
            await node.events.take(2)
    assert first.head.split(b"\r\n")[0] == head.split(b"\r\n")[0]
    assert first.fields("content-length") == kept
    assert first.fields("transfer-encoding") == []
    assert (second.status, second.body) == (200, b"ok")


CHUNKS = b"2\r\nhi\r\n1;x\r\n!\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"


async def test_a_chunked_answer_stays_chunked(pki: PKI) -> None:
    """A response of unknown length is sent in chunks of our own; trailers go only to who takes them."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    with Origin(pki, answering(head + CHUNKS)) as origin:
        async with started(pki, origin) as node:
            without = await node.exchange(get(close=True))
            taking = await node.exchange(get("/", "open.test", "TE: trailers", close=True))
            await node.events.take(2)
    assert b"Transfer-Encoding: chunked\r\n" in without
    assert without.endswith(b"\r\n0\r\n\r\n")
    assert b"x-sum" not in without.lower().partition(b"\r\n\r\n")[2]
    end = taking.partition(b"\r\n\r\n")[2]
    assert b"\r\n0\r\n" in end
    assert end.lower().endswith(b"\r\nx-sum: 1\r\n\r\n")
    assert b"content-length" not in taking.lower()


async def test_http_1_0_gets_no_chunks(pki: PKI) -> None:
    """To a client of HTTP/1.0 a response of unknown length ends with its connection, properly closed."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Origin(pki, answering(head + CHUNKS)) as origin:
        async with started(pki, origin) as node:

            def ask() -> tuple[bytes, str]:
                with node.client() as client:
                    client.send(b"GET / HTTP/1.0\r\nHost: open.test\r\nConnection: keep-alive\r\n\r\n")
                    return client.rest(), client.ended

            received, ended = await in_thread(ask)
            await node.events.take()
    assert received.endswith(b"\r\n\r\nhi!")
    assert b"chunked" not in received
    assert b"Connection: close\r\n" in received
    assert ended == "close_notify"


async def test_http_1_0_keeps_its_connection_if_it_asks(pki: PKI) -> None:
    """HTTP/1.0 with ``Connection: keep-alive`` may ask again; without it the connection is closed."""
    with Origin(pki) as origin:
        async with started(pki, origin) as node:

            def ask() -> tuple[Answer, Answer, bytes]:
                with node.client() as client:
                    first = client.ask(b"GET / HTTP/1.0\r\nHost: open.test\r\nConnection: keep-alive\r\n\r\n")
                    return first, client.ask(b"GET / HTTP/1.0\r\nHost: open.test\r\n\r\n"), client.rest()

            first, second, rest = await in_thread(ask)
            await node.events.take(2)
    assert (first.fields("connection"), second.fields("connection"), rest) == ([b"keep-alive"], [b"close"], b"")


async def test_hop_by_hop_fields_do_not_cross(pki: PKI) -> None:
    """Fields for one hop, and those that Connection nominates, cross in neither direction."""
    lines = ("Connection: X-Mine, keep-alive", "X-Mine: a", "Keep-Alive: timeout=5", "Proxy-Authorization: a",
             "Proxy-Connection: keep-alive", "TE: gzip", "Trailer: X", "X-Stays: b")  # fmt: skip
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Theirs\r\nX-Theirs: a\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: a\r\nUpgrade: h2c\r\nX-Stays: b\r\n\r\nok"
    )
    with Origin(pki, answering(answer)) as origin:
        async with started(pki, origin) as node:

            def ask() -> Answer:
                with node.client() as client:
                    return client.ask(get("/", "open.test", *lines))

            got = await in_thread(ask)
            await node.events.take()
    (request,) = origin.take()
    names = {line.partition(b":")[0].lower() for line in request.split(b"\r\n")[1:]}
    assert names - {b""} == {
        b"host", b"x-stays", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded",
        b"x-request-id",        b"via",
    }  # fmt: skip
    assert {line.partition(b":")[0].lower() for line in got.head.split(b"\r\n")[1:]} - {b""} == {
        b"content-length", b"x-stays", b"via", b"date",
    }  # fmt: skip


# -- early ends --------------------------------------------------------------------------------------------------------


async def test_an_early_answer_reaches_a_client_that_is_still_sending(pki: PKI) -> None:
    """An origin that answers before the body is there is heard; both connections end, for more may be on them."""
    size = 32 * 1024 * 1024

    def behave(served: Served) -> None:
        served.head()
        served.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        while served.receive():
            pass

    with Origin(pki, behave) as origin:
        async with started(pki, origin, {"path-map all": {"max-body-size": "64m"}}) as node:

            def ask() -> tuple[bytes, str]:
                with node.client() as client:
                    client.send(get("/", "open.test", f"Content-Length: {size}", method="POST"))
                    client.send(b"a" * 100_000)
                    head = client.head()
                    return head + client.rest(), client.ended

            received, ended = await in_thread(ask)
            (event,) = await node.events.take()
            assert (await in_thread(_status, node.port)) == 403
            await node.events.take()
    assert received.startswith(b"HTTP/1.1 403 ")
    assert b"\r\nConnection: close\r\n" in received
    assert received.endswith(b"\r\n\r\nno")
    assert ended == "close_notify"
    assert event["status"] == 403
    assert len(origin.connections) == 2, "the connection with the unfinished request is not used again"


def _status(port: int) -> int:
    with Client(port) as client:
        return client.ask(get()).status


@pytest.mark.parametrize("upload", [False, True])
async def test_a_client_that_leaves_ends_the_request_to_the_origin(pki: PKI, upload: bool) -> None:
    """When the client goes before the answer, the origin's connection ends at once, and the event says 499."""
    asked, ended = threading.Event(), threading.Event()

    def behave(served: Served) -> None:
        served.head()
        asked.set()
        while served.receive():
            pass
        ended.set()

    with Origin(pki, behave) as origin:
        async with started(pki, origin) as node:

            def ask() -> None:
                with node.client() as client:
                    lines = ("Content-Length: 100",) if upload else ()
                    client.send(
                        get("/", "open.test", *lines, method="POST" if upload else "GET", body=b"a" * 50 * upload)
                    )
                    assert asked.wait(PATIENCE)

            await in_thread(ask)
            (event,) = await node.events.take()
            assert await in_thread(ended.wait, PATIENCE)
    assert (event["status"], event["error"]["status"]) == (499, 499)
    assert origin.take() == [] or not upload


LENGTH = b"Content-Length: 10"
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("framing", "end"),
    [(CHUNKED, "garbage"), *((framing, end) for framing in (LENGTH, CHUNKED) for end in ("close", "reset", "stall"))],
)
async def test_a_truncated_answer_is_cut_not_ended(pki: PKI, framing: bytes, end: str) -> None:
    """What the origin does not complete is not completed for the client: no last chunk, no close_notify."""
    going = threading.Event()

    def behave(served: Served) -> None:
        served.request()
        served.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
        served.send(b"4\r\nhalf\r\n" if framing == CHUNKED else b"half")
        going.wait(PATIENCE)
        if end == "reset":
            served.reset()
        elif end == "stall":
            served.receive()
        elif end == "garbage":
            served.send(b"zz\r\n")
            served.receive()

    with Origin(pki, behave) as origin:
        async with started(pki, origin, {"origin origin": {"read-timeout": BRIEF}}) as node:

            def ask() -> tuple[bytes, str]:
                with node.client() as client:
                    client.send(get())
                    head = client.head()
                    going.set()
                    return head + client.rest(), client.ended

            received, ended = await in_thread(ask)
            (event,) = await node.events.take()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"half" in received
    assert not received.endswith(b"0\r\n\r\n")
    assert ended == "cut"
    assert event["status"] == 200
    assert (event["error"]["fault"], event["error"]["status"]) == ("origin", 504 if end == "stall" else 502)


async def test_a_node_that_stops_finishes_open_requests(pki: PKI) -> None:
    """On stopping, idle connections are closed, and a request under way is answered first."""
    asked, resume = threading.Event(), threading.Event()

    def behave(served: Served) -> None:
        served.request()
        asked.set()
        resume.wait(PATIENCE)
        served.send(OK)

    with Origin(pki, behave) as origin:
        async with started(pki, origin) as node:
            idle, busy = await in_thread(node.client), await in_thread(node.client)
            with idle, busy:
                await in_thread(busy.send, get())
                assert await in_thread(asked.wait, PATIENCE)
                stopping = Deferred.fromCoroutine(node.stop())
                assert await in_thread(idle.rest) == b""
                resume.set()
                answer = await in_thread(busy.answer)
                assert await in_thread(busy.rest) == b""
                await stopping
            await node.events.take()
    assert (answer.status, answer.fields("connection")) == (200, [b"close"])


@pytest.mark.parametrize(
    ("status", "phrase"), [(413, b"Content Too Large"), (414, b"URI Too Long"), (404, b"Not Found")]
)
def test_phrases_are_those_of_rfc_9110(status: int, phrase: bytes) -> None:
    """Whatever Python's own are: they were renamed in 3.13; and the page says the same."""
    assert status_line(status) == b"HTTP/1.1 %d %b\r\n" % (status, phrase)
    assert error_response(status).endswith(b"\r\n\r\n%d %b\n" % (status, phrase))
