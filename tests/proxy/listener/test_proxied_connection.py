"""A connection that begins with a PROXY header: from whom it is taken, and whose connection it is then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgenode.config.load import Configuration
from edgenode.proxy.listener.roles import Stage
from edgenode.proxy.proxyprotocol.writing import version1, version2
from tests.fuzz.proxy_header import ALL, FOUR
from tests.proxy.listener.test_client_connection import hello
from tests.support import memory
from tests.support.memory import MemoryNode
from tests.support.node import PKI, Changes, ini

BALANCER = "192.0.2.200"
GET = b"GET / HTTP/1.1\r\nHost: open.test\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
BEHIND: Changes = {
    "listener public": {
        "tls": "no",
        "server-groups": "open",
        "proxy-protocol": "192.0.2.200",
        "max-connections-per-client": "2",
    },
    "edge": {"trusted-proxies": "198.51.100.9"},
    "global-filter endpoint": {
        "expression": 'edge.proxy_protocol.aws.vpc_endpoint_id eq "vpce-1"',
        "tags": "by-endpoint",
    },
}


@pytest.fixture
def node(pki: PKI) -> Iterator[MemoryNode]:
    """A node behind a balancer, without TLS."""
    with memory.node(pki, BEHIND) as node:
        yield node


@pytest.mark.parametrize("header", [version1(*FOUR), version2(*FOUR, ALL, True)])
def test_the_client_is_whom_the_header_names(node: MemoryNode, header: bytes) -> None:
    """To the origin, to rules, and in the event; however it is cut, and with the request behind it."""
    client = node.raw(BALANCER)
    for byte in header[:20]:
        client.send(bytes((byte,)))
    client.send(header[20:] + GET)
    assert b"X-Forwarded-For: 192.0.2.7\r\n" in node.origin().read()
    node.opened[-1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    (event,) = node.events
    assert event["client"] == "192.0.2.7"
    assert ("by-endpoint" in event["tags"]) == (header[:1] == b"\r")


def test_a_client_hello_follows_a_header(pki: PKI) -> None:
    """In the same packet, or later."""
    with memory.node(pki, {"listener public": {"proxy-protocol": "192.0.2.0/24"}}) as node:
        for pieces in ([version2(*FOUR) + hello()], [version2(*FOUR), hello()]):
            client = node.raw(BALANCER)
            for piece in pieces:
                client.send(piece)
            assert client.connection is not None
            assert client.connection.stage is Stage.HANDSHAKE
            assert client.connection.peer == FOUR[0]
            assert client.read()[:1] == b"\x16"
        client = node.raw("203.0.113.1")
        client.send(version1(*FOUR) + hello())
        assert client.read() in (b"EOF", b"RESET")
        assert "proxy-protocol does not name" in node.events[-1]["error"]["reason"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (GET, "PROXY header: neither version 1 nor 2"),
        (version2(*FOUR)[:14] + b"\xff\xff", "PROXY header: longer than 16384 bytes"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "PROXY header: a malformed line"),
        (version2(*FOUR, ALL, True)[:-1] + b"x", "PROXY header: the checksum is wrong"),
    ],
)
def test_a_balancer_without_a_good_header_is_cut_with_an_event(node: MemoryNode, data: bytes, error: str) -> None:
    """It is required from it."""
    client = node.raw(BALANCER)
    client.send(data)
    assert client.read().endswith((b"EOF", b"RESET"))
    assert error in node.events[0]["error"]["reason"]
    assert not node.opened


@pytest.mark.parametrize("header", [version1(*FOUR), version2(*FOUR)])
def test_nobody_else_can_say_whose_a_connection_is(node: MemoryNode, header: bytes) -> None:
    """From elsewhere a header is no request."""
    client = node.raw("203.0.113.1")
    client.send(header + GET)
    assert client.read().startswith(b"HTTP/1.1 400 ")
    assert [event["client"] for event in node.events] == ["203.0.113.1"]
    assert not node.opened


def test_a_slow_header_is_cut_and_silence_is_no_error(node: MemoryNode) -> None:
    """By handshake-timeout: a balancer that only looks whether the port is open is let go."""
    slow, silent = node.raw(BALANCER), node.raw(BALANCER)
    for byte in version1(*FOUR)[:9]:
        slow.send(bytes((byte,)))
        node.loop.wait(1, 0.5)
    assert slow.read() == b""
    node.loop.wait(2, 0.5)
    assert slow.read().endswith((b"EOF", b"RESET"))
    assert silent.read() == b"EOF"
    assert [event["error"]["reason"] for event in node.events] == ["the PROXY header took too long"]


def test_connections_count_for_the_client_of_the_header(node: MemoryNode) -> None:
    """The third of one client is one too many, of which other clients of the balancer hear nothing."""
    for _ in range(2):
        node.raw(BALANCER).send(version1(*FOUR))
    one, other = node.raw(BALANCER), node.raw(BALANCER)
    one.send(version1(*FOUR) + GET)
    other.send(version1(FOUR[1], FOUR[0]) + GET)
    assert one.read().startswith(b"HTTP/1.1 503 ")
    assert b"X-Forwarded-For: 198.51.100.1\r\n" in node.origin().read()


def test_connections_that_do_not_say_yet_whose_they_are_are_in_nobodys_way(node: MemoryNode) -> None:
    """Some balancers write the header once the client has sent something: silent clients do not use up the balancer's
    share. Connections that are the balancer's own count for it."""
    silent = [node.raw(BALANCER) for _ in range(30)]
    client = node.raw(BALANCER)
    client.send(version1(*FOUR) + GET)
    assert b"X-Forwarded-For: 192.0.2.7\r\n" in node.origin().read()
    for own in silent[:2]:
        own.send(b"PROXY UNKNOWN\r\n")
    silent[2].send(b"PROXY UNKNOWN\r\n" + GET)
    assert silent[2].read().startswith(b"HTTP/1.1 503 ")


def test_a_local_connection_is_the_balancers_own(node: MemoryNode) -> None:
    """Its health check."""
    client = node.raw(BALANCER)
    client.send(version2(*FOUR)[:12] + b"\x20\0\0\0" + GET)
    assert b"X-Forwarded-For: %b\r\n" % BALANCER.encode() in node.origin().read()


def test_a_network_of_everybody_is_warned_of(pki: PKI) -> None:
    """Nothing that a header says would be worth anything."""
    text = ini(80, {"listener public": {"proxy-protocol": "0.0.0.0/0"}})
    warnings = Configuration.from_text(text, pki.folder).warnings
    assert [problem.key for problem in warnings if "anybody" in problem.sentence] == ["proxy-protocol"]
