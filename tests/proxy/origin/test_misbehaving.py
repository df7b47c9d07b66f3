"""A node before an origin that misbehaves: the client gets 502, 504, or a response that is cut; the event says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.misbehaviours import KEEP, MISBEHAVIOURS, MOMENT, Misbehaviour, misbehaving
from tests.support.node import (
    OK,
    PATIENCE,
    PKI,
    Alone,
    Client,
    Node,
    Origin,
    Served,
    alone,
    get,
    in_thread,
    running,
    started,
)

pytestmark = pytest.mark.lasting

PAGES = {502: b"502 Bad Gateway\n", 504: b"504 Gateway Timeout\n"}
SLOW = {"origin origin": {"read-timeout": "400ms"}}
IN_TIME = 3.0
"""Seconds within which everything is over, of which the origin may take the read-timeout again and again."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def node(pki: PKI) -> Iterator[Node]:
    """A node before the misbehaving origin."""
    with Origin(pki, misbehaving()) as origin, running(pki, origin, SLOW) as node:
        yield node


def ask(node: Node, path: str, expected: Misbehaviour) -> tuple[int, bytes, bytes, str, float]:
    """Ask for a path, and then, unless the node closes, for another.

    :return: status and body, the other's body, how the node closed, and how long the answer took.
    """
    with node.client() as client:
        began = time.monotonic()
        answer = client.ask(get(path))
        while answer.status < 200:
            answer = client.answer()
        took = time.monotonic() - began
        if expected.then != KEEP:
            time.sleep(MOMENT)
        other = b"" if client.ended else client.ask(get("/well")).body
        return answer.status, answer.body, other, client.ended, took


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_whatever_the_origin_does_the_client_gets_one_clear_answer(node: Node, name: str) -> None:
    """A bad head is 502, silence is 504, a bad body is a cut response, all in time; what follows is right again."""
    expected = MISBEHAVIOURS[name]
    node.events.told.clear()
    status, body, other, ended, took = await in_thread(ask, node, f"/{name}", expected)
    assert status == expected.status
    assert took < IN_TIME
    event = (await node.events.take(1 if ended else 2))[0]
    if status in PAGES:
        assert body == PAGES[status]
        assert expected.reason in event["error"]["reason"]
        assert (event["error"]["fault"], event["error"]["status"]) == ("origin", status)
        assert other == b"ok"
    elif expected.reason:
        assert ended == "cut"
        assert expected.reason in event["error"]["reason"]
    else:
        assert (body, other, event["error"]) == (expected.body, b"ok", None)


def test_what_has_no_end_takes_no_memory(pki: PKI) -> None:
    """Everything endless at once, many times over: the node's memory stays as it is."""
    endless = [name for name, each in MISBEHAVIOURS.items() if each.endless]
    with Origin(pki, misbehaving()) as origin, alone(pki, origin, SLOW) as node, ThreadPoolExecutor(8) as threads:
        for _ in threads.map(_take, [node] * 32, ["well"] * 32):
            pass  # whatever it needs for eight connections at once is there
        before = node.memory("VmRSS")
        assert list(threads.map(_take, [node] * 4 * len(endless), endless * 4)) == [True] * 4 * len(endless)
        assert node.memory("VmHWM") - before < 16 << 20
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


@pytest.mark.parametrize("later", [False, True])
async def test_a_body_behind_the_answer_to_head_is_nobodys_answer(pki: PKI, later: bool) -> None:
    """An origin that sends a body where none may be spoils its connection, not the next request's answer."""

    def behave(served: Served) -> None:
        head = served.request()
        if head is not None and head.startswith(b"HEAD"):
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n" + FORGED * (not later))
            if later:
                served.send(FORGED)
            served.stall()
        else:
            served.send(OK)

    with Origin(pki, behave) as origin:
        async with started(pki, origin) as node:

            def ask_both() -> tuple[int, bytes, bytes]:
                with node.client() as client:
                    first = client.ask(get(method="HEAD"))
                    time.sleep(MOMENT)
                    return first.status, first.body, client.ask(get("/next")).body

            assert await in_thread(ask_both) == (200, b"", b"ok")
            await node.events.take(2)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_a_body_that_an_origin_overlooks_is_nobodys_request(pki: PKI, method: str) -> None:
    """CL.0: an origin that takes such a body for the next request answers it on a connection that is nobody's."""
    inner = b"GET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n"

    def behave(served: Served) -> None:
        while (head := served.head()) is not None:
            slow = b" /inner " in head
            if slow:
                time.sleep(5 * MOMENT)  # so that the next request is there before the answer to this one
            served.send(FORGED if slow else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with Origin(pki, behave) as origin:
        async with started(pki, origin) as node:

            def ask_both() -> list[bytes]:
                with node.client() as client:
                    first = client.ask(
                        get("/", "open.test", f"Content-Length: {len(inner)}", method=method, body=inner)
                    )
                    return [first.body, client.ask(get("/next")).body]

            assert await in_thread(ask_both) == [b"", b""]
            await node.events.take(2)


async def test_an_answer_before_the_question_is_dropped_with_its_connection(pki: PKI) -> None:
    """What an origin sends of itself between two requests is no answer to the second."""
    behaviour: list[bytes] = []

    def behave(served: Served) -> None:
        while served.request() is not None:
            served.send(OK)
            time.sleep(MOMENT / 3)
            served.send(FORGED)
            behaviour.append(FORGED)

    with Origin(pki, behave) as origin:
        async with started(pki, origin) as node:

            def ask_many() -> list[bytes]:
                with node.client() as client:
                    bodies = []
                    for number in range(4):
                        bodies.append(client.ask(get(f"/{number}")).body)
                        time.sleep(MOMENT)
                    return bodies

            assert await in_thread(ask_many) == [b"ok"] * 4
            await node.events.take(4)
    assert len(origin.connections) == 4
