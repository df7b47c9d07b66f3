"""A node before an origin that misbehaves: the client gets 502, 504, or a response that is cut; the event says why."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgenode.proxy.http1.bodies import ChunkedBody
from tests.support import memory
from tests.support.misbehaviours import MISBEHAVIOURS, RESET, misbehaving
from tests.support.node import OK, PATIENCE, PKI, Alone, Answer, Client, Origin, Served, alone, get, in_thread, started

PAGES = {502: b"502 Bad Gateway\n", 504: b"504 Gateway Timeout\n"}
SLOW = {"origin origin": {"read-timeout": "400ms"}}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_whatever_the_origin_does_the_client_gets_one_clear_answer(pki: PKI, name: str) -> None:
    """A bad head is 502, silence is 504, a bad body is a cut response, all in time; what follows is right again."""
    expected = MISBEHAVIOURS[name]
    with memory.node(pki, SLOW, tls=True) as node:
        node.tcp = expected.then == RESET
        client = node.client()
        client.send(get(f"/{name}"))
        origin = node.origin()
        origin.read()
        origin.misbehave(expected)
        for _ in range(20):  # silence has its time, once for each thing that was waited for
            if node.records:
                break
            node.loop.wait(0.2)
        (event,) = node.events
        if expected.reason and expected.status not in PAGES:
            final = client.read().removeprefix(b"HTTP/1.1 103 Early Hints\r\n")
            assert final.startswith(b"HTTP/1.1 %d " % expected.status)
            assert client.ended == "cut"
            assert expected.reason in event["error"]["reason"]
            return
        answer = client.answer()
        while answer.status < 200:
            answer = client.answer()
        assert answer.status == expected.status
        if answer.status in PAGES:
            assert answer.body == PAGES[answer.status]
            assert expected.reason in event["error"]["reason"]
            assert (event["error"]["fault"], event["error"]["status"]) == ("origin", answer.status)
        else:
            assert (dechunked(answer), event["error"]) == (expected.body, None)
        client.send(get("/well"))
        after = node.asked()
        assert after.read().startswith(b"GET /well ")
        after.send(OK)
        assert client.answer().body == b"ok"


def dechunked(answer: Answer) -> bytes:
    """The body of a whole response, without chunks."""
    if not answer.fields("transfer-encoding"):
        return answer.body
    reader = ChunkedBody()
    body, rest = reader.feed(answer.body)
    assert reader.done
    assert rest == b""
    return body


def test_what_has_no_end_takes_no_memory(pki: PKI) -> None:
    """Everything endless at once, many times over: the node's memory stays as it is."""
    endless = [name for name, each in MISBEHAVIOURS.items() if each.endless]
    with Origin(pki, misbehaving()) as origin, alone(pki, origin, SLOW) as node, ThreadPoolExecutor(8) as threads:
        for _ in threads.map(_take, [node] * 32, ["well"] * 32):
            pass  # whatever it needs for eight connections at once is there
        before = node.memory("VmRSS")
        assert list(threads.map(_take, [node] * 4 * len(endless), endless * 4)) == [True] * 4 * len(endless)
        assert node.memory("VmHWM") < before * 1.3
        assert _take(node, "well")


def _take(node: Alone, path: str) -> bool:
    """Ask for a path, take what comes for a while, and leave; whether something came."""
    with Client(node.port) as client:
        client.send(get(f"/{path}", close=True))
        until = time.monotonic() + 0.3
        came = bool(client.receive())
        while time.monotonic() < until and client.receive():
            pass
        return came


# -- kept connections ------------------------------------------------------------------------------------------------

FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize("poison", [None, FORGED, FORGED[:20], b"\0"])
async def test_a_kept_connection_is_looked_at_before_it_is_used_again(pki: PKI, poison: bytes | None) -> None:
    """Closed, or with bytes on it that nobody asked for, it serves no other request: not even one that came first."""
    ready, spoiled = threading.Event(), threading.Event()

    def behave(served: Served) -> None:
        served.request()
        served.send(OK)
        if len(origin.connections) == 1:
            ready.wait(PATIENCE)
            if poison is None:
                served.reset()
            else:
                served.send(poison)
            spoiled.set()
            if poison is not None:
                served.stall()

    with Origin(pki, behave) as origin:
        async with started(pki, origin) as node:
            client = await in_thread(node.client)
            with client:
                assert (await in_thread(client.ask, get("/1"))).body == b"ok"
                # The reactor stands still here: it will find a request and a spoiled connection at the same time.
                client.send(get("/2", "open.test", "Content-Length: 2", method="POST", body=b"hi"))
                ready.set()
                assert spoiled.wait(PATIENCE)
                answer = await in_thread(client.answer)
            await node.events.take(2)
    assert (answer.status, answer.body) == (200, b"ok")
    assert [request.split(b" ")[1] for request in origin.take()] == [b"/1", b"/2"]
    assert len(origin.connections) == 2


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("poison", [FORGED, FORGED[:20], b"\0"])
def test_what_is_unread_on_a_kept_connection_is_no_answer(pki: PKI, tls: bool, poison: bytes) -> None:
    """Though nobody has read it yet when the next request is there."""
    with memory.node(pki, tls=tls) as node:
        client = node.client()
        client.send(get("/1"))
        origin = node.origin()
        origin.send(OK)
        assert client.answer().body == b"ok"
        client.tls.send(get("/2"))
        origin.connection.send(poison)  # both wait to be read
        node.loop.settle()
        other = node.origin()
        assert other.read().startswith(b"GET /2 ")
        other.send(OK)
        assert client.answer().body == b"ok"
        assert b"/2" not in origin.read()
        assert origin.ended


@pytest.mark.parametrize("poison", [FORGED, FORGED[:20], b"\0"])
@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_stands_behind_a_response_is_no_answer_in_the_same_round(
    pki: PKI, method: str, others: bool, poison: bytes
) -> None:
    """In a TLS record of its own it is unread when the next request is there: that of another client, or a pipelined
    one."""
    with memory.node(pki, tls=True) as node:
        client = node.client()
        next_client = node.client() if others else client
        client.send(get("/1", method=method) + (b"" if others else get("/2")))
        origin = node.origin()
        if others:
            next_client.tls.send(get("/2"))
        length = len(poison) if method == "HEAD" else 0
        origin.connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        origin.connection.send(poison)
        node.loop.settle()
        other = node.origin()
        assert other.read().startswith(b"GET /2 ")
        other.send(OK)
        assert client.answer(method).status == 200
        assert next_client.answer().body == b"ok"
        assert b"/2" not in origin.read()
        assert origin.ended


@pytest.mark.parametrize("later", [False, True])
def test_a_body_behind_the_answer_to_head_is_nobodys_answer(pki: PKI, later: bool) -> None:
    """An origin that sends a body where none may be spoils its connection, not the next request's answer."""
    with memory.node(pki, tls=True) as node:
        client = node.client()
        client.send(get(method="HEAD"))
        origin = node.origin()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"
        for piece in (head, FORGED) if later else (head + FORGED,):
            origin.send(piece)
        assert client.answer("HEAD").status == 200
        client.send(get("/next"))
        other = node.origin()
        other.read()
        other.send(OK)
        assert client.answer().body == b"ok"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "get", "FOO"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_an_origin_overlooks_is_nobodys_request(pki: PKI, method: str, chunked: bool) -> None:
    """CL.0: an origin that takes such a body for the next request answers it on a connection that is nobody's."""
    inner = b"GET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n"
    line = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(inner)}"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner) if chunked else inner
    with memory.node(pki) as node:
        client = node.client()
        client.send(get("/", "open.test", line, method=method, body=body))
        origin = node.origin()
        assert b"/inner" in origin.read()
        origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert client.answer(method).status == 200
        assert origin.read() == b""
        assert origin.ended
        client.send(get("/next"))
        other = node.origin()
        other.read()
        other.send(OK)
        assert client.answer().body == b"ok"


def test_an_answer_before_the_question_is_dropped_with_its_connection(pki: PKI) -> None:
    """What an origin sends of itself between two requests is no answer to the second."""
    with memory.node(pki, tls=True) as node:
        client = node.client()
        for number in range(4):
            client.send(get(f"/{number}"))
            origin = node.origin()
            assert origin.read().startswith(b"GET /%d " % number)
            origin.send(OK)
            assert client.answer().body == b"ok"
            assert not origin.ended
            origin.send(FORGED)
            origin.read()
            assert origin.ended
        assert len(node.opened) == 4
