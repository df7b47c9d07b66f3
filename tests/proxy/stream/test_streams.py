"""Streams through a whole node in memory: relayed both ways, judged by their connections, cut in time, and told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from OpenSSL import SSL

from edgenode.proxy.listener.client_session import ClientSession
from tests.support import memory
from tests.support.memory import MemoryNode, OriginEnd, merged
from tests.support.node import PKI, Changes

ORIGIN: Changes = {"origin origin": {"servers": "tcp://127.0.0.1:80", "read-timeout": None}}
STREAM: Changes = merged({"listener public": {"protocol": "stream"}}, ORIGIN)
PLAIN: Changes = merged(STREAM, {"listener public": {"tls": "no", "server-groups": "open"}})
PASSED: Changes = merged(
    STREAM,
    {"listener public": {"tls": "passthrough", "server-groups": "open, other", "default-server-group": "other"}},
)


def node(pki: PKI, *changes: Changes) -> AbstractContextManager[MemoryNode]:
    """A node for streams."""
    return memory.node(pki, merged(STREAM, *changes))


@pytest.fixture
def streaming(pki: PKI) -> Iterator[MemoryNode]:
    """The usual one."""
    with node(pki) as made:
        yield made


def test_each_side_may_end_first_and_is_still_answered(streaming: MemoryNode) -> None:
    """close_notify and FIN are passed on when all before is sent, and the other direction goes on until it ends too."""
    client = streaming.client()
    origin = streaming.origin()
    client.send(b"question")
    client.notify()
    assert (origin.read(), origin.ended) == (b"question", True)
    origin.send(b"answer" * 50_000)
    assert client.read() == b"answer" * 50_000
    origin.finish()
    assert (client.read(), client.ended) == (b"", "close_notify")

    client = streaming.client()
    origin = streaming.origin()
    origin.send(b"greeting")
    origin.finish()
    assert (client.read(), client.ended) == (b"greeting", "close_notify")
    client.send(b"and yet")
    client.notify()
    assert (origin.read(), origin.ended) == (b"and yet", True)
    first, second = streaming.events
    assert (first["stream"], second["stream"]) == ({"closed_by": "client"}, {"closed_by": "origin"})
    assert first["bytes"] == {"received": 8, "sent": 300_000}
    assert [each["status"] for each in (first, second)] == [200, 200]
    assert first["origin"]["server"] == "127.0.0.1:80"
    assert first["request"] is None is first["error"]


def test_what_one_side_does_not_take_is_not_read_from_the_other(streaming: MemoryNode) -> None:
    """Memory stays bounded; when it is taken, all of it arrives."""
    client = streaming.client()
    origin = streaming.origin()
    data = bytes(range(256)) * 40_000
    sent = client.send(data)
    assert sent < len(data)
    received = bytearray()
    while sent < len(data):
        received += origin.read()
        sent += client.send(data[sent:])
    assert bytes(received + origin.read()) == data


@pytest.mark.parametrize("side", ["client", "origin"])
def test_a_loss_of_one_side_is_no_proper_end_of_the_other(streaming: MemoryNode, side: str) -> None:
    """What has come arrives, without a close_notify behind it."""
    streaming.tcp = True
    client = streaming.client()
    origin = streaming.origin()
    client.send(b"question")
    origin.send(b"a part")
    if side == "client":
        client.close()
        assert (origin.read(), origin.ended) == (b"question", True)
    else:
        origin.read()
        origin.reset()
        assert (client.read(), client.ended) == (b"a part", "cut")
        assert streaming.events[0]["error"]["kind"] == "reset"
    assert streaming.events[0]["stream"] == {"closed_by": side}


@pytest.mark.parametrize(("key", "reason"), [("idle-timeout", "nothing has passed"), ("lifetime", "it has lasted")])
def test_time_is_up(pki: PKI, key: str, reason: str) -> None:
    """Both sides are cut, and the event says why."""
    with node(pki, {"path-map all": {key: "10s"}}) as made:
        client = made.client()
        origin = made.origin()
        for _ in range(4):
            client.send(b"ping")
            made.loop.wait(3.0)
        made.loop.wait(9.0 if key == "idle-timeout" else 0.1)
        assert (client.read(), client.ended) == (b"", "cut")
        origin.read()
        assert origin.ended
        assert reason in made.events[0]["error"]["reason"]
        assert made.events[0]["stream"] == {"closed_by": "node"}


def test_a_client_that_is_let_in_no_longer_is_cut_within_a_second(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate expires while the stream is open."""
    with node(pki) as made:
        client = made.client("strict.test", [pki.client])
        origin = made.origin()
        client.send(b"before")
        assert origin.read() == b"before"
        monkeypatch.setattr(ClientSession, "now", lambda self: time.time() + 10**9)
        made.loop.wait(1.1)
        assert (client.read(), client.ended) == (b"", "cut")
        assert made.events[0]["status"] == 495
        assert "expired" in made.events[0]["error"]["reason"]


@pytest.mark.parametrize(("name", "status"), [("strict.test", 496), ("open.test", 403)])
def test_who_is_refused_reaches_no_origin(pki: PKI, name: str, status: int) -> None:
    """A missing certificate, and a rule on the connection; what a rule asks of a request never matches."""
    rules = {
        "global-filter office": {"action": "block", "ip": "127.0.0.1"},
        "global-filter requests": {"action": "close", "relation": "or", "path": "^", "method": "."},
    }
    changes = {"server-group strict": {"mtls-refusal": "403"}}
    with node(pki, rules, changes) as made:
        client = made.client(name)
        client.read()
        assert client.ended
        assert not made.opened
        assert made.events[0]["status"] == status
        assert made.events[0]["stream"] == {"closed_by": "node"}


def test_an_origin_that_is_not_there(streaming: MemoryNode) -> None:
    """The client is closed; the event tells whose fault it was."""
    streaming.refusing = True
    client = streaming.client()
    client.read()
    assert client.ended == "close_notify"
    assert (streaming.events[0]["status"], streaming.events[0]["error"]["fault"]) == (502, "origin")


def test_a_plain_stream_is_that_of_the_only_group(pki: PKI) -> None:
    """Without TLS; and a FIN of the client alone ends no more than its side."""
    with memory.node(pki, PLAIN) as made:
        client = made.raw()
        origin = made.origin()
        client.send(b"hello")
        client.sock.shutdown(socket.SHUT_WR)
        made.loop.settle()
        assert (origin.read(), origin.ended) == (b"hello", True)
        origin.send(b"bye")
        origin.finish()
        assert client.read() == b"byeEOF"
        assert made.events[0]["server_group"] == "open"


def test_tls_passes_untouched_by_its_server_name_and_what_is_no_tls_goes_to_the_default(pki: PKI) -> None:
    """The handshake is the origin's; SSH is no TLS."""
    policies: Changes = {
        "server-group open": {"certificate": None},
        "server-group other": {"certificate": None},
        "path-map all": {"expression": 'edge.alpn eq "mqtt"'},
        "path-map rest": {"origin": "origin"},
        "security-policy all": {"path-maps": "all, rest"},
    }
    with memory.node(pki, merged(PASSED, policies)) as made:
        client = made.raw()
        client.send(b"SSH-2.0-OpenSSH\r\n")
        origin = made.origin()
        assert origin.read() == b"SSH-2.0-OpenSSH\r\n"
        client.sock.close()
        origin.finish()

        hello = _hello("open.test", [b"mqtt"])
        client = made.raw()
        client.send(hello[:100])
        client.send(hello[100:])
        origin = made.origin()
        assert origin.read() == hello
        client.sock.close()
        origin.finish()
        ssh, mqtt = made.events
        assert (ssh["server_group"], ssh["path_map"]) == ("other", "rest")
        assert (mqtt["server_group"], mqtt["path_map"]) == ("open", "all")
        assert mqtt["tls"]["server_name"] == "open.test"


def test_tls_to_the_origin_with_our_certificate(pki: PKI) -> None:
    """Verified and presented as for requests; the protocol is agreed on with the client alone."""
    changes = {
        "listener public": {"application-protocols": "mqtt, postgresql"},
        "origin origin": {"servers": "tls://127.0.0.1:80"},
    }
    with memory.node(pki, merged({"listener public": {"protocol": "stream"}}, changes), tls=True) as made:
        client = made.client(alpn=[b"postgresql"])
        origin: OriginEnd = made.origin()
        assert client.tls.get_alpn_proto_negotiated() == b"postgresql"
        client.send(b"select 1")
        assert origin.read() == b"select 1"
        assert isinstance(origin.connection, SSL.Connection)
        client.notify()
        assert (origin.read(), origin.ended) == (b"", True)
        other = made.client(alpn=[b"h2"])
        assert "no application protocol" in other.ended


def _hello(name: str, alpn: list[bytes]) -> bytes:
    """A ClientHello."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_tlsext_host_name(name.encode())
    connection.set_alpn_protos(alpn)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(1 << 16)
