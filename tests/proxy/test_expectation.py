"""``Expect: 100-continue``: the origin is asked whether it wants the body; the client sends none that nobody wants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxy.test_exchange import Stage, staged
from tests.support import memory
from tests.support.memory import MemoryNode
from tests.support.node import OK, PKI, fields, get

LENGTH: tuple[str, ...] = ("Content-Length: 4",)
CHUNKED: tuple[str, ...] = ("Transfer-Encoding: chunked",)
BODIES = {LENGTH: b"body", CHUNKED: b"4\r\nbody\r\n0\r\n\r\n"}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def node(pki: PKI) -> Iterator[MemoryNode]:
    """A node whose origin has a second."""
    with memory.node(pki) as node:
        yield node


def asking(*lines: str, method: str = "POST") -> bytes:
    """A request that waits."""
    return get("/up", "open.test", *lines, "Expect: 100-continue", method=method)


def next_one(node: MemoryNode, *, same: bool) -> None:
    """A request that comes later, of another client, is sent on the same connection to the origin, or on another."""
    opened = len(node.opened)
    client = node.client()
    client.send(get("/next"))
    origin = node.asked()
    assert (len(node.opened) == opened) is same
    assert origin.read().startswith(b"GET /next ")
    origin.send(OK)
    assert client.answer().body == b"ok"


@pytest.mark.parametrize("lines", BODIES)
def test_the_origin_says_that_it_wants_the_body(node: MemoryNode, lines: tuple[str, ...]) -> None:
    """Its 100 is the client's, and comes once; the connection serves no other request: see
    ``e2e/test_bodies_that_origins_overlook.py``."""
    client = node.client()
    client.send(asking(*lines))
    origin = node.origin()
    head = origin.read()
    assert (head[-4:], fields(head, "expect")) == (b"\r\n\r\n", [b"100-continue"])
    assert client.read() == b""
    origin.send(CONTINUE + b"HTTP/1.1 103 Early Hints\r\n\r\n" + CONTINUE)
    assert client.read() == CONTINUE + b"HTTP/1.1 103 Early Hints\r\nVia: 1.1 edge-test\r\n\r\n"
    node.loop.wait(100)  # whose move it is
    client.send(BODIES[lines])
    assert origin.read() == BODIES[lines]
    origin.send(OK)
    assert client.answer().body == b"ok"
    next_one(node, same=False)


@pytest.mark.parametrize("status", [401, 413, 307, 200])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("lines", BODIES)
def test_an_upload_that_the_origin_refuses_never_starts(
    pki: PKI, lines: tuple[str, ...], status: int, whole: bool
) -> None:
    """Its answer is the client's, without 100, and no byte of the body is asked for; both connections end, for the body
    might come all the same: to the origin as a request of its own, and another client's answer."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(asking(*lines))
        origin = node.origin()
        assert origin.read()
        answer = b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\n" % status
        if whole:
            origin.send(answer + b"no")
        else:
            origin.send(answer)
            node.loop.wait(5)
            origin.send(b"no")
        received = client.answer()
        assert (received.status, received.body, received.fields("connection")) == (status, b"no", [b"close"])
        client.send(BODIES[lines])
        assert client.read() == b""
        assert origin.read() == b""
        assert origin.ended
        assert [event["status"] for event in node.events] == [status]
        next_one(node, same=False)


def test_an_origin_that_says_nothing_is_not_waited_for(node: MemoryNode) -> None:
    """After ``continue-timeout`` the client is told to go on; the 100 that comes later is no news."""
    client = node.client()
    client.send(asking(*LENGTH))
    origin = node.origin()
    origin.read()
    node.loop.wait(0.9)
    assert client.read() == b""
    node.loop.wait(0.6)
    assert client.read() == CONTINUE
    origin.send(CONTINUE)
    client.send(b"body")
    assert origin.read() == b"body"
    origin.send(OK)
    assert client.answer().status == 200
    next_one(node, same=False)


def test_who_sends_its_body_with_the_head_waits_for_nothing(node: MemoryNode) -> None:
    """So nobody is asked."""
    client = node.client()
    for _ in range(2):  # on a new connection, and on a kept one
        client.send(asking(*LENGTH) + b"body")
        origin = node.asked()
        received = origin.read()
        assert received.endswith(b"\r\n\r\nbody")
        assert fields(received, "expect") == []
        origin.send(OK)
        assert client.answer().status == 200
    next_one(node, same=True)


def test_an_origin_that_answers_without_asking_may_not_have_read_the_body(node: MemoryNode) -> None:
    """The body of a client that does not wait goes on at once; but on that connection it might be the next request, and
    its answer another client's."""
    client = node.client()
    client.send(asking(*LENGTH))
    origin = node.origin()
    assert origin.read()
    client.send(b"body")
    assert origin.read().endswith(b"body")
    node.loop.wait(5)
    origin.send(OK)
    assert client.read().startswith(b"HTTP/1.1 200 ")
    assert origin.ended or origin.read() == b""
    next_one(node, same=False)


@pytest.mark.parametrize("whole", [False, True])
def test_an_origin_that_knows_no_expectations_is_asked_without(node: MemoryNode, whole: bool) -> None:
    """RFC 9110, section 10.1.1: after a 417 the request is repeated, and the client told to send its body."""
    client = node.client()
    client.send(asking(*LENGTH))
    first = node.origin()
    assert b"\r\nExpect: " in first.read()
    first.send(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\n" + (b"no" if whole else b""))
    assert client.read() == CONTINUE
    assert first.ended or first.read() == b""
    second = node.origin()
    client.send(b"body")
    received = second.read()
    assert received.startswith(b"POST /up ")
    assert received.endswith(b"\r\n\r\nbody")
    assert fields(received, "expect") == []
    second.send(OK)
    assert client.answer().status == 200
    assert [event["status"] for event in node.events] == [200]
    next_one(node, same=True)


def test_a_417_to_who_does_not_wait_is_passed_on(node: MemoryNode) -> None:
    """It is the origin's answer."""
    client = node.client()
    client.send(get("/", "open.test", *LENGTH, method="POST", body=b"body"))
    origin = node.origin()
    origin.read()
    origin.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
    assert client.answer().status == 417
    assert len(node.opened) == 1


def test_where_a_rule_needs_the_body_the_node_answers(pki: PKI) -> None:
    """And the origin sees no expectation."""
    with memory.node(pki, {}, staged(Stage(needs=frozenset(("body",))))) as node:
        client = node.client()
        client.send(asking(*LENGTH))
        assert client.read() == CONTINUE
        client.send(b"body")
        origin = node.origin()
        received = origin.read()
        assert received.endswith(b"\r\n\r\nbody")
        assert fields(received, "expect") == []
        origin.send(CONTINUE + OK)
        assert client.read().startswith(b"HTTP/1.1 200 ")


def test_without_an_origin_the_body_is_not_asked_for(node: MemoryNode) -> None:
    """502, and the end; no 100 comes behind it."""
    node.refusing = True
    client = node.client()
    client.send(asking(*LENGTH))
    node.loop.wait(5)
    assert client.read().count(b"HTTP/1.1 ") == 1
    assert [event["status"] for event in node.events] == [502]


def test_who_leaves_while_waiting_leaves_nothing_behind(node: MemoryNode) -> None:
    """The origin's connection ends, and nobody keeps a deadline."""
    client = node.client()
    client.send(asking(*LENGTH))
    origin = node.origin()
    origin.read()
    client.close()
    node.loop.settle()
    assert origin.read() == b""
    assert origin.ended
    assert [event["status"] for event in node.events] == [499]
    node.loop.wait(5)
    next_one(node, same=False)


def test_a_get_with_a_body_is_never_the_last_but_one(node: MemoryNode) -> None:
    """An origin may overlook the body of a GET although it has asked for it."""
    client = node.client()
    client.send(asking(*LENGTH, method="GET"))
    origin = node.origin()
    origin.read()
    origin.send(CONTINUE)
    assert client.read() == CONTINUE
    client.send(b"body")
    origin.read()
    origin.send(OK)
    assert client.answer().status == 200
    next_one(node, same=False)
