"""Connections over time: order, expectations, deadlines, limits."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from tests.support import memory
from tests.support.node import OK, PKI, Answer, Client, Origin, Served, answering, get, in_thread, started

LISTENER = "listener public"
POST = ("Content-Length: 4",)
BLOCK = {"global-filter blocked": {"action": "block", "path": "^/blocked"}}


def _echo_path(served: Served) -> None:
    """Answer each request with its own target."""
    while request := served.request():
        target = request.split(b" ")[1]
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))


# -- order -------------------------------------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(pki: PKI) -> None:
    """Requests sent at once, some with bodies, reach the origin one by one and are answered in the order sent."""
    data = b"".join(
        (
            get("/1"),
            get("/2", "open.test", *POST, method="POST", body=b"GET "),
            get("/3", "open.test", "Transfer-Encoding: chunked", method="POST", body=b"1\r\n/\r\n0\r\n\r\n"),
            get("/4", close=True),
            get("/5"),
        )
    )
    with Origin(pki, _echo_path) as origin:
        async with started(pki, origin) as node:

            def ask() -> tuple[list[bytes], bytes]:
                with node.client() as client:
                    client.send(data)
                    return [client.answer().body for _ in range(4)], client.rest()

            assert await in_thread(ask) == ([b"/1", b"/2", b"/3", b"/4"], b"")
            await node.events.take(4)
    assert [request.split(b" ")[1] for request in origin.take()] == [b"/1", b"/2", b"/3", b"/4"]


async def test_a_bad_request_ends_a_pipeline_in_its_place(pki: PKI) -> None:
    """What was sent before a malformed request is served, what was sent behind it is not."""
    with Origin(pki, _echo_path) as origin:
        async with started(pki, origin) as node:
            received = await node.exchange(get("/1") + b"GET /2 HTTP/1.1\r\n\r\n" + get("/3"))
            await node.events.take(2)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", received) == [b"200", b"400"]
    assert [request.split(b" ")[1] for request in origin.take()] == [b"/1"]


async def test_a_request_byte_by_byte_is_the_same_request(pki: PKI) -> None:
    """However the bytes are cut, in the head, in chunks, between requests, the origin gets the same."""
    data = get("/1", "open.test", "Transfer-Encoding: chunked", method="POST")
    data += b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n" + get("/2", close=True)
    with Origin(pki, _echo_path) as origin:
        async with started(pki, origin) as node:

            def ask() -> list[bytes]:
                with node.client() as client:
                    for at in range(len(data)):
                        client.send(data[at : at + 1])
                    return [client.answer().body, client.answer().body]

            assert await in_thread(ask) == [b"/1", b"/2"]
            await node.events.take(2)
    first, second = origin.take()
    body = first.partition(b"\r\n\r\n")[2]
    assert b"".join(body.split(b"\r\n")[1::2]) == b"abcd"
    assert body.endswith(b"\r\n0\r\n\r\n")
    assert second.startswith(b"GET /2 ")


# -- Expect: 100-continue ----------------------------------------------------------------------------------------------


async def test_continue_comes_from_the_origin(pki: PKI) -> None:
    """A client that asks first is told to go on when the origin says so."""

    def behave(served: Served) -> None:
        head = served.head()
        assert head is not None
        served.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = served.body(head)
        assert body is not None
        served.send(OK.replace(b"ok", body[:2]))

    with Origin(pki, behave) as origin:
        async with started(pki, origin, {"origin origin": {"continue-timeout": "1h"}}) as node:

            def ask() -> tuple[bytes, Answer]:
                with node.client() as client:
                    client.send(get("/", "open.test", *POST, "Expect: 100-continue", method="POST"))
                    interim = client.head()
                    client.send(b"body")
                    return interim, client.answer()

            interim, answer = await in_thread(ask)
            await node.events.take(1)
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (answer.status, answer.body) == (200, b"bo")
    (received,) = origin.connections
    assert received.count(b"\r\nExpect: 100-continue\r\n") == 1


@pytest.mark.parametrize(
    ("path", "group", "status"), [("/blocked", "open", 403), ("/", "strict", 400), ("/none", "open", 404)]
)
async def test_no_100_for_what_is_refused(pki: PKI, path: str, group: str, status: int) -> None:
    """Who is refused is not asked for a body first; the connection ends, for the body might come all the same."""
    changes: Any = {**BLOCK, "path-map all": {"path": "^/$|^/blocked"}}
    with Origin(pki) as origin:
        async with started(pki, origin, changes) as node:
            data = get(path, f"{group}.test", *POST, "Expect: 100-continue", method="POST")
            received = await node.exchange(data, f"{group}.test")
            (event,) = await node.events.take()
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in received
    assert event["status"] == status
    assert not origin.received


async def test_http_1_0_is_never_sent_an_interim_response(pki: PKI) -> None:
    """A client of HTTP/1.0 gets neither our 100 nor the origin's 103."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    data = b"POST / HTTP/1.0\r\nHost: open.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody"
    with Origin(pki, answering(hints)) as origin:
        async with started(pki, origin) as node:
            received = await node.exchange(data)
            await node.events.take()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1


async def test_interim_responses_pass_but_not_100(pki: PKI) -> None:
    """103 goes through to the client; the origin's 100, which answers an expectation that was ours, does not."""
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    with Origin(pki, answering(answer)) as origin:
        async with started(pki, origin) as node:
            received = await node.exchange(get(close=True))
            await node.events.take()
    heads = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert heads == [b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 200 OK"]
    assert b"Link: </a>\r\n" in received


# -- deadlines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [False, True])
def test_a_slow_head_is_408(pki: PKI, kept: bool) -> None:
    """The deadline for a head is absolute: a byte now and then does not extend it, on a kept connection either."""
    with memory.node(pki, {LISTENER: {"header-timeout": "10s"}}) as node:
        client = node.client()
        if kept:
            client.send(get())
            node.origin().send(OK)
            assert client.answer().status == 200
        for byte in get("/" + "a" * 500)[:19]:
            client.send(bytes((byte,)))
            node.loop.wait(0.5, 0.5)
        assert client.read() == b""
        client.send(b"a")
        node.loop.wait(1.5, 0.5)
        assert client.read().startswith(b"HTTP/1.1 408 ")
        event = node.events[-1]
        assert (event["status"], event["error"]["status"]) == (408, 408)


@pytest.mark.parametrize("framing", ["Content-Length: 500", "Transfer-Encoding: chunked"])
def test_a_slow_body_is_408(pki: PKI, framing: str) -> None:
    """The deadline for a body is absolute too; the origin never gets the end of it."""
    with memory.node(pki, {LISTENER: {"body-timeout": "10s"}}) as node:
        client = node.client()
        client.send(get("/", "open.test", framing, method="POST"))
        origin = node.origin()
        for _ in range(19):
            client.send(b"1\r\na\r\n")
            node.loop.wait(0.5, 0.5)
        assert client.read() == b""
        assert not origin.ended
        client.send(b"1\r\na\r\n")
        node.loop.wait(1.5, 0.5)
        assert client.read().startswith(b"HTTP/1.1 408 ")
        assert b"\r\n0\r\n" not in origin.read()
        assert origin.ended
        assert [event["status"] for event in node.events] == [408]


def test_the_body_deadline_stands_still_while_we_keep_the_client_waiting(pki: PKI) -> None:
    """A client whose upload waits for a slow origin is not blamed for it."""
    size = 2_000_000
    with memory.node(pki, {LISTENER: {"body-timeout": "10s"}, "path-map all": {"max-body-size": "16m"}}) as node:
        client = node.client()
        client.send(get("/", "open.test", f"Content-Length: {size}", method="POST"))
        sent = client.send(b"a" * size)
        node.loop.wait(50, 1)
        origin = node.origin()
        while sent < size:
            origin.read()
            sent += client.send(b"a" * (size - sent))
        origin.read()
        assert len(origin.received) > size
        origin.send(OK)
        assert client.answer().status == 200


@pytest.mark.parametrize("after", [0, 1])
def test_an_idle_connection_is_closed(pki: PKI, after: int) -> None:
    """Without a request a connection is closed properly after its time, without a word and without an event."""
    with memory.node(pki, {LISTENER: {"keepalive-timeout": "10s", "header-timeout": "10s"}}) as node:
        client = node.client()
        for _ in range(after):
            client.send(get())
            node.origin().send(OK)
            client.answer()
        node.loop.wait(9.5, 0.5)
        assert (client.read(), client.ended) == (b"", "")
        node.loop.wait(1, 0.5)
        assert (client.read(), client.ended) == (b"", "close_notify")
        assert len(node.events) == after


def test_a_client_that_takes_nothing_is_cut(pki: PKI) -> None:
    """A client that does not read its response is cut after ``send-timeout``, and the origin's connection ends too."""
    size = 64 * 1024 * 1024
    with memory.node(pki, {LISTENER: {"send-timeout": "10s"}}) as node:
        client = node.client()
        client.send(get())
        origin = node.origin()
        origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while origin.send(b"a" * 65536) == 65536:
            pass
        node.loop.wait(9.5, 0.5)
        assert not origin.ended
        node.loop.wait(1, 0.5)
        origin.read()
        assert origin.ended
        assert len(client.read()) < size
        assert client.ended == "cut"
        (event,) = node.events
        assert (event["status"], event["error"]["status"]) == (200, 499)


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_keepalive_requests(pki: PKI) -> None:
    """The last request that a connection may have says so in its answer, and what follows is not served."""
    with Origin(pki) as origin:
        async with started(pki, origin, {LISTENER: {"keepalive-requests": "3"}}) as node:
            received = await node.exchange(get() * 5)
            await node.events.take(3)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b"Connection: close") == 1
    assert len(origin.take()) == 3


# -- the end of the node -----------------------------------------------------------------------------------------------


async def test_half_a_head_does_not_hold_up_the_end(pki: PKI) -> None:
    """A client in the middle of a request head is let go at once when the node stops, not after drain-timeout."""
    with Origin(pki, answering(OK)) as origin:
        async with started(pki, origin, {"edge": {"drain-timeout": "60s"}}) as node:

            def begin() -> Client:
                client = node.client()
                client.ask(get("/"))
                client.send(b"GET / HTTP/1.1\r\nHo")
                return client

            client = await in_thread(begin)
            await node.events.take()
    # Leaving the block stops the node, and would take a minute.
    with client:
        assert await in_thread(client.rest) == b""


# -- what an attacker tried --------------------------------------------------------------------------------------------


def test_who_pipelines_and_never_reads_is_cut_off(pki: PKI) -> None:
    """Answers that nobody takes do not pile up: no further request is served, and after send-timeout comes the cut."""
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + b"a" * 12000
    with memory.node(pki, {LISTENER: {"send-timeout": "10s", "keepalive-timeout": "1h"}}) as node:
        client = node.client()
        client.send(get("/") * 1800)
        origin = node.origin()
        while origin.read():
            origin.send(page)
        assert len(node.events) < 100
        node.loop.wait(11, 0.5)
        assert not node.port.connections


def test_who_asks_to_close_and_never_reads_is_cut_off(pki: PKI) -> None:
    """Answers of one round are sent as one: if they are the last, and only a part is taken, there is a deadline too."""
    page = {"action page": {"type": "block", "status": "403", "body": "x" * 300}}
    blocked = {"global-filter blocked": {"action": "page", "path": "^/blocked"}}
    with memory.node(pki, {LISTENER: {"send-timeout": "10s"}, **page, **blocked}) as node:
        client = node.client()
        assert client.connection is not None
        client.connection.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        client.send(get("/blocked") * 30 + get("/blocked", close=True))
        assert len(node.events) == 31
        assert client.connection.transport.queued
        node.loop.wait(11, 0.5)
        assert not node.port.connections


@pytest.mark.parametrize("tls", [False, True])
def test_an_origin_that_answers_early_and_takes_no_more_holds_no_connection(pki: PKI, tls: bool) -> None:
    """What is unsent of a request when its response is complete is given up at the send-timeout."""
    with memory.node(pki, {"origin origin": {"send-timeout": "5s"}}, tls=tls) as node:
        client = node.client()
        client.send(get("/", "open.test", "Content-Length: 900000", method="POST"))
        origin = node.origin()
        client.send(b"x" * 800_000)
        origin.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        assert client.answer().status == 413
        node.loop.wait(6)
        assert node.pool.open == 0


def test_a_trickle_of_empty_lines_is_no_request(pki: PKI) -> None:
    """Line ends before a request do not start its time anew."""
    with memory.node(pki, {LISTENER: {"header-timeout": "10s"}}) as node:
        client = node.client()
        for _ in range(21):
            client.send(b"\r\n")
            node.loop.wait(0.5, 0.5)
        assert client.read().startswith(b"HTTP/1.1 408 ")


async def test_connection_cannot_nominate_what_rules_have_judged(pki: PKI) -> None:
    """``Connection: cookie`` does not take from the origin what the filters saw."""
    with Origin(pki, answering(OK)) as origin:
        async with started(pki, origin) as node:
            data = get("/", "open.test", "Connection: Cookie, Authorization, X-Mine", "Cookie: a=b", "X-Mine: c")
            await node.exchange(data[:-2] + b"Connection: close\r\n\r\n")
            await node.events.take()
    (request,) = origin.take()
    assert b"\r\nCookie: a=b\r\n" in request
    assert b"X-Mine" not in request
