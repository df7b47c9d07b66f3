"""A connection from its ClientHello to its speaker: how far it comes, what it is told, and its one event."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from OpenSSL import SSL
from twisted.python.failure import Failure

from edgenode.proxy.listener.limits import Admitted, Timeouts
from edgenode.proxy.listener.roles import Stage
from edgenode.proxy.listener.speakers import SPEAKERS
from tests.support import memory
from tests.support.handshakes import client as client_context
from tests.support.memory import MemoryNode
from tests.support.node import OK, PKI, get


@pytest.fixture
def node(pki: PKI) -> Iterator[MemoryNode]:
    """A node whose clients have the usual time."""
    with memory.node(pki) as node:
        yield node


def hello(name: str | None = "open.test") -> bytes:
    """A ClientHello."""
    connection = SSL.Connection(client_context(), None)
    connection.set_connect_state()
    if name is not None:
        connection.set_tlsext_host_name(name.encode())
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


def errors(node: MemoryNode) -> list[tuple[int, int]]:
    """Status and error of the events so far."""
    return [(record.status, getattr(record.error, "status", 0)) for record in node.records]


# -- the ClientHello ---------------------------------------------------------------------------------------------------


def test_a_hello_in_pieces_is_a_hello(node: MemoryNode) -> None:
    """Nothing of it is consumed before it is whole."""
    client, data = node.raw(), hello()
    for at in range(0, len(data), 100):
        client.send(data[at : at + 100])
    assert client.connection is not None
    assert client.connection.stage is Stage.HANDSHAKE
    assert client.read()[:1] == b"\x16"


def test_who_says_nothing_is_let_go_without_an_event(node: MemoryNode) -> None:
    """After handshake-timeout: it was a probe, or a browser's spare connection."""
    client = node.raw()
    node.loop.wait(9.5, 0.5)
    assert client.read() == b""
    node.loop.wait(1, 0.5)
    assert client.read() == b"EOF"
    assert (errors(node), node.port.connections) == ([], set())


@pytest.mark.parametrize("size", [1, 4, 50])
def test_who_says_half_a_hello_is_let_go_with_an_event(node: MemoryNode, size: int) -> None:
    """However slowly it goes on."""
    client, data = node.raw(), hello()
    client.send(data[:size])
    for at in range(size, size + 9):
        node.loop.wait(1, 0.5)
        client.send(data[at : at + 1])
    assert errors(node) == []
    node.loop.wait(2, 0.5)
    assert client.read().endswith((b"EOF", b"RESET"))
    assert errors(node) == [(0, 408)]
    assert not node.port.connections


def test_who_leaves_within_the_hello_is_told_of(node: MemoryNode) -> None:
    """Not who leaves before it."""
    for data, expected in ((b"", []), (hello()[:20], [(0, 400)])):
        client = node.raw()
        if data:
            client.send(data)
        client.sock.close()
        node.loop.settle()
        assert errors(node) == expected
        assert not node.port.connections


@pytest.mark.parametrize("data", [get(), b"GET /\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"\0"])
def test_who_speaks_no_tls_is_told_so(node: MemoryNode, data: bytes) -> None:
    """In HTTP, which it probably speaks; nginx's 497."""
    client = node.raw()
    client.send(data)
    received = client.read()
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert received.endswith(b"400 The plain HTTP request was sent to HTTPS port\nEOF")
    assert errors(node) == [(400, 497)]


def test_a_malformed_hello_gets_an_alert(node: MemoryNode) -> None:
    """decode_error, in plain."""
    data = bytearray(hello())
    data[43] = 200  # the length of the session id
    client = node.raw()
    client.send(bytes(data))
    assert client.read() == b"\x15\x03\x03\x00\x02\x02\x32EOF"
    assert errors(node) == [(0, 400)]


def test_who_is_turned_away_may_finish_what_it_sends(node: MemoryNode) -> None:
    """For two seconds, or 256 KiB: until then nothing that it sends turns the close into a reset."""
    for more, patience in ((100, 1.5), (300_000, 0.0)):
        client = node.raw()
        client.send(b"\x16\x03\x01\0\x01\x02")
        assert client.read() == b"\x15\x03\x03\x00\x02\x02\x0aEOF"
        assert node.port.connections
        for _ in range(0, more, 50_000):
            client.send(bytes(min(more, 50_000)))
        if patience:
            node.loop.wait(patience, 0.5)
            assert node.port.connections
            node.loop.wait(1, 0.5)
        assert not node.port.connections
    assert errors(node) == [(0, 400), (0, 400)]


def test_who_is_turned_away_is_gone_when_the_node_stops(node: MemoryNode) -> None:
    """It has been told all there is to say."""
    client = node.raw()
    client.send(b"\x16\x03\x01\0\x01\x02")
    (connection,) = node.port.connections
    assert connection.stage is Stage.TURNED_AWAY
    node.port.drain()
    assert not node.port.connections


@pytest.mark.parametrize("name", [None, "nobody.test"])
def test_no_group_no_handshake(node: MemoryNode, name: str | None) -> None:
    """unrecognized_name, and 421 in the event, which names it."""
    client = node.raw()
    client.send(hello(name))
    assert client.read() == b"\x15\x03\x03\x00\x02\x02\x70EOF"
    assert errors(node) == [(0, 421)]
    assert (name or "none") in str(node.records[0].error)
    assert node.records[0].exchange.connection.fingerprint


# -- the handshake -----------------------------------------------------------------------------------------------------


def test_half_a_handshake_is_cut_at_its_time(node: MemoryNode) -> None:
    """handshake-timeout counts from the first packet."""
    client = node.raw()
    node.loop.wait(5, 0.5)
    client.send(hello())
    client.read()
    node.loop.wait(4, 0.5)
    assert client.read() == b""
    node.loop.wait(2, 0.5)
    assert client.read().endswith((b"EOF", b"RESET"))
    assert errors(node) == [(0, 400)]
    assert not node.port.connections


def test_who_leaves_within_the_handshake_is_told_of(node: MemoryNode) -> None:
    """The server group that it was for is known."""
    client = node.raw()
    client.send(hello())
    client.sock.close()
    node.loop.settle()
    assert errors(node) == [(0, 400)]
    assert node.records[0].exchange.server_group == "open"


def test_a_client_refused_in_the_handshake_is_told_of(pki: PKI) -> None:
    """495 with its certificate, 496 without one; neither has a session."""
    with memory.node(pki, {"server-group strict": {"mtls-refusal": "handshake"}}) as node:
        stranger = pki.servers.issue("CN=Mallory")
        for chain, status in (((), 496), ((stranger,), 495)):
            client = node.client("strict.test", chain)
            client.read()
            assert client.ended
            assert client.connection is not None
            assert client.connection.session is None
            assert errors(node)[-1] == (0, status)
            facts = node.records[-1].exchange.connection
            assert (facts.client is None) == (status == 496)
            if facts.client is not None:
                assert facts.client.subject == "CN=Mallory"


def test_without_mtls_nobody_is_identified(pki: PKI) -> None:
    """The facts of a connection are those of its ClientHello and its handshake."""
    with memory.node(pki) as node:
        session = node.client("open.test", alpn=[b"http/1.1"]).connection.session  # type: ignore[union-attr]
        assert session is not None
        facts = session.connection
        assert (facts.client, facts.server_name, facts.alpn, facts.tls_version) == (
            None, "open.test", "http/1.1", "TLSv1.3",
        )  # fmt: skip
        assert facts.cipher.startswith("TLS_")
        assert (str(facts.peer), str(facts.local)) == ("127.0.0.1:50000", "127.0.0.1:443")


def test_every_protocol_that_alpn_offers_has_a_speaker(node: MemoryNode) -> None:
    """And so has a client that offers none."""
    offered = node.port.context.protocols
    assert set(SPEAKERS) == {"", *(protocol.decode() for protocol in offered)}
    for protocols in ([], [b"http/1.1"], [b"http/1.0"]):
        client = node.client(alpn=protocols)
        assert client.ask(b"\0\r\n\r\n").status == 400
    assert node.client(alpn=[b"http/1.1", b"h2"]).connection.session.connection.alpn == "h2"  # type: ignore[union-attr]


# -- the port's side ---------------------------------------------------------------------------------------------------


def test_a_connection_that_drains_ends_with_its_request(node: MemoryNode) -> None:
    """An idle one now, one in its handshake too, and one at work when that is done."""
    idle, silent, half = node.client(), node.raw(), node.raw()
    half.send(hello())
    half.read()
    busy = node.client()
    busy.send(get())
    origin = node.origin()
    node.port.drain()
    node.loop.settle()
    assert (idle.read(), idle.ended) == (b"", "close_notify")
    assert silent.read().endswith((b"EOF", b"RESET"))
    assert half.read().endswith((b"EOF", b"RESET"))
    assert len(node.port.connections) == 1
    origin.send(OK)
    assert busy.answer().fields("connection") == [b"close"]
    assert busy.read() == b""
    busy.close()
    assert not node.port.connections


def test_a_connection_that_is_aborted_ends_now(node: MemoryNode) -> None:
    """At whatever stage."""
    silent, half, idle = node.raw(), node.raw(), node.client()
    half.send(hello())
    assert len(node.port.connections) == 3
    assert silent.read() + idle.read() == b""
    node.port.abort()
    node.loop.settle()
    assert not node.port.connections


def test_one_connection_too_many_is_answered_503_and_closed(pki: PKI) -> None:
    """With little time for each step, and for one request; the next one is closed at once."""
    changes = {"listener public": {"max-connections": "1", "max-excess-connections": "8", "retry-after": "3s"}}
    with memory.node(pki, changes) as node:
        first, second = node.client(), node.client()
        answer = second.ask(get())
        assert (answer.status, answer.fields("retry-after"), answer.fields("connection")) == (503, [b"3"], [b"close"])
        third = node.client()
        assert third.ended or third.connection is None, "a second one of the same client is not told"
        silent = node.raw("127.0.0.2")
        node.loop.wait(4.5, 0.5)
        assert silent.read() == b""
        node.loop.wait(1, 0.5)
        assert silent.read() == b"EOF"
        first.send(get())
        node.origin().send(OK)
        assert first.answer().status == 200


def test_who_is_told_to_come_again_has_little_time(pki: PKI) -> None:
    """A connection on top gets at the most five seconds for each step, and less where the listener gives less."""
    changes = {"listener public": {"max-connections": "1", "header-timeout": "300ms", "handshake-timeout": "1h"}}
    with memory.node(pki, changes) as node:
        patient = node.raw()
        load = node.port.load
        hurried = node.port.limits(Admitted(load.excess, "", "max-connections"))
        assert hurried.timeouts == Timeouts(handshake=5.0, header=0.3, body=5.0, send=5.0, keepalive=5.0)
        assert hurried.keepalive_requests == 1
        silent = node.raw()
        node.loop.wait(4.8, 0.1)
        assert silent.read() == b""
        node.loop.wait(0.5, 0.1)
        assert silent.read() == b"EOF"
        assert (patient.read(), load.connections.count, load.excess.count) == (b"", 1, 0)


def test_a_client_that_departs_is_counted_out_once(node: MemoryNode) -> None:
    """Whatever it tells the port, and how often."""
    client = node.client()
    connection = client.connection
    assert connection is not None
    assert node.port.load.connections.count == 1
    client.close()
    connection.gone("")
    node.port.departed(connection)
    assert node.port.load.connections.count == 0


def test_a_speaker_that_fails_ends_its_connection_only(
    node: MemoryNode, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """It is logged, and the others are served."""
    other = node.client()
    with monkeypatch.context() as patch:
        patch.setattr(node.port, "speak", lambda connection: 1 // 0)
        client = node.client()
        client.read()
        assert client.ended == "cut"
    assert flush_logged_errors(ZeroDivisionError)
    other.send(get())
    node.origin().send(OK)
    assert other.answer().status == 200
