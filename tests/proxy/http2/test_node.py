"""HTTP/2 through the whole node, in one thread: what an origin of HTTP/1.1 is asked, what the client hears, what is
told of it; and that no stream stands in the way of another."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from edgenode.config.load import Configuration
from edgenode.node.assembly import Assembly
from edgenode.proxy.http2.engine import INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR, Fields
from edgenode.proxy.http2.limits import EngineLimits
from edgenode.proxy.http2.nghttp2 import Nghttp2Engine
from edgenode.proxy.listener import client_session
from tests.proxy.http2.pair import Told
from tests.support import memory
from tests.support.certificates import Issued
from tests.support.memory import ClientEnd, MemoryNode
from tests.support.node import OK, PKI, ini

BIG = b"a" * 1_000_000
ROOMY = EngineLimits(stream_window=1 << 24, connection_window=1 << 30)


class Client:
    """A client of HTTP/2.

    :ivar engine: its frames; ``told`` what it has been told.
    """

    def __init__(
        self,
        node: MemoryNode,
        name: str = "open.test",
        chain: Sequence[Issued] = (),
        limits: EngineLimits = ROOMY,
    ) -> None:
        self.end: ClientEnd = node.client(name, chain, alpn=[b"h2", b"http/1.1"])
        self.told = Told()
        self.engine = Nghttp2Engine(False, self.told, limits)
        self.name = name
        self.talk()

    def talk(self) -> None:
        """Carry what both have to say until neither has."""
        while True:
            while said := self.engine.output():
                assert self.end.send(said) == len(said)
            heard = self.end.read()
            if not heard:
                return
            self.engine.feed(heard)

    def ask(
        self, path: str = "/", *fields: tuple[bytes, bytes], method: str = "GET", body: bytes | None = None,
        done: bool = True, name: str = "",
    ) -> int:  # fmt: skip
        """Send a request, with a body if there is one."""
        authority = (name or self.name).encode()
        pseudo = (b":method", method.encode()), (b":scheme", b"https"), (b":authority", authority)
        stream = self.engine.request((*pseudo, (b":path", path.encode()), *fields), body is None)
        if body is not None:
            self.engine.data(stream, body, done)
        self.talk()
        return stream

    def status(self, stream: int) -> int:
        """Of the final response."""
        return int(dict(self.head(stream))[b":status"])

    def head(self, stream: int) -> Fields:
        """Of the final response."""
        self.talk()
        found: Fields = next(call[2] for call in self.told.calls if call[:2] == ("head", stream))
        return found

    def body(self, stream: int) -> bytes:
        """As far as it has come."""
        self.talk()
        return b"".join(call[2] for call in self.told.calls if call[:2] == ("data", stream))

    def calls(self, *names: str) -> list[tuple[Any, ...]]:
        """What it was told, only these calls."""
        self.talk()
        return [call for call in self.told.calls if call[0] in names]


@pytest.fixture
def node(pki: PKI) -> Iterator[MemoryNode]:
    """A node that says nothing special."""
    with memory.node(pki) as node:
        yield node


# -- what crosses ------------------------------------------------------------------------------------------------------


def test_an_origin_of_http_1_1_is_asked_in_its_own_words(node: MemoryNode) -> None:
    """Host is the authority, cookies are one field, what is of one hop does not cross, and Via says HTTP/2."""
    client = Client(node)
    stream = client.ask(
        "/a?b", (b"cookie", b"a=1"), (b"x-one", b"1"), (b"cookie", b"b=2"), (b"te", b"trailers"), (b"via", b"1.0 x"),
        (b"x-forwarded-for", b"192.0.2.1"),
    )  # fmt: skip
    origin = node.origin()
    asked = re.sub(rb"(?m)^X-Request-Id: .*\r\n", b"", origin.read())
    assert asked == (
        b"GET /a?b HTTP/1.1\r\nHost: open.test\r\ncookie: a=1; b=2\r\nx-one: 1\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: open.test\r\n"
        b'Forwarded: for=127.0.0.1;host="open.test";proto=https\r\nVia: 1.0 x, 2.0 edge-test\r\n'
        b"TE: trailers\r\nConnection: TE\r\n\r\n"
    )
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Kept: 2\r\n\r\nok")
    head = client.head(stream)
    assert [name for name, _ in head] == [b":status", b"x-kept", b"via", b"date", b"content-length"]
    assert client.body(stream) == b"ok"
    event = node.events[0]
    assert (event["tls"]["alpn"], event["request"]["version"], event["status"]) == ("h2", "HTTP/2.0", 200)
    assert "http-version:2" in event["tags"]


def test_a_request_without_an_authority_has_its_host(node: MemoryNode) -> None:
    """As who translates from HTTP/1.1 may send it (RFC 9113, section 8.3.1)."""
    client = Client(node)
    pseudo = (b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")
    client.engine.request((*pseudo, (b"x-one", b"1"), (b"host", b"Open.Test:443")), True)
    client.talk()
    assert b"\r\nHost: open.test\r\nx-one: 1\r\n" in node.origin().read()


def test_trailers_cross_in_both_directions(node: MemoryNode) -> None:
    """Where the client takes them."""
    client = Client(node)
    stream = client.ask("/", (b"te", b"trailers"), method="POST", body=b"ab", done=False)
    client.engine.trailers(stream, [(b"x-sum", b"1"), (b"content-length", b"2")])
    client.talk()
    origin = node.origin()
    assert origin.read().endswith(b"\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n")
    origin.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: 2\r\n\r\n")
    assert (client.body(stream), client.calls("trailers")) == (b"ok", [("trailers", stream, [(b"x-end", b"2")])])


def test_interim_responses_cross(node: MemoryNode) -> None:
    """103 as it comes; 100 to who waits for it, once the origin wants the body."""
    client = Client(node)
    expecting = (b"expect", b"100-continue"), (b"content-length", b"2")
    stream = client.ask("/", *expecting, method="POST", body=b"", done=False)
    origin = node.origin()
    assert b"\r\nExpect: 100-continue\r\n" in origin.read()
    origin.send(b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    assert [dict(call[2])[b":status"] for call in client.calls("interim")] == [b"103", b"100"]
    client.engine.data(stream, b"ok", True)
    client.talk()
    assert origin.read() == b"ok"
    origin.send(OK)
    assert client.status(stream) == 200


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
def test_a_response_without_a_body(node: MemoryNode, method: str, status: int) -> None:
    """Says its length where there is one, and ends; the origin's connection is used again."""
    client = Client(node)
    for _ in range(2):
        stream = client.ask(method=method)
        framing = b"" if status == 204 else b"Content-Length: 5\r\n"
        node.asked().send(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, framing))
        assert client.status(stream) == status
        assert dict(client.head(stream)).get(b"content-length") == (None if status == 204 else b"5")
        assert client.body(stream) == b""
    assert client.engine.open_streams == 0
    assert len(node.opened) == 1


# -- who is served -----------------------------------------------------------------------------------------------------


def test_a_coalesced_request_is_served_under_the_same_tls_policy_alone(node: MemoryNode) -> None:
    """Another host whose group judges clients otherwise is 421 and never asked; the connection goes on (RFC 9113,
    section 9.1.2)."""
    client = Client(node, "open.test")
    assert client.status(client.ask(name="strict.test")) == 421
    assert node.opened == []
    assert client.status(client.ask(name="nobody.test")) == 421
    stream = client.ask(name="other.test")
    node.origin().send(OK)
    assert client.status(stream) == 200
    stream = client.ask()
    node.asked().send(OK)
    assert client.status(stream) == 200
    assert client.calls("goaway") == []
    assert [(event["status"], event["server_group"]) for event in node.events] == [
        (421, ""), (421, ""), (200, "other"), (200, "open"),
    ]  # fmt: skip


def test_a_certificate_is_looked_at_again_with_each_request(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has expired since the handshake is refused, and the connection ends with what is under way."""
    now = datetime.datetime.now(datetime.UTC)
    soon = pki.clients.issue("CN=Soon", not_after=now + datetime.timedelta(seconds=60))
    with memory.node(pki) as node:
        client = Client(node, "strict.test", [soon])
        before = client.ask()
        monkeypatch.setattr(client_session.ClientSession, "now", lambda self: now.timestamp() + 61)
        refused = client.ask("/later")
        assert client.status(refused) == 400
        origin = node.origin()
        origin.send(OK)
        assert client.status(before) == 200
        assert b"/later" not in origin.read()
        assert client.calls("goaway")[-1] == ("goaway", refused, NO_ERROR)
        assert client.end.ended == "close_notify"
        assert [event["error"]["status"] for event in node.events if event["error"]] == [495]


def test_requests_over_the_limit_are_told_to_come_again(pki: PKI) -> None:
    """max-requests counts streams; the connection goes on."""
    with memory.node(pki, {"listener public": {"max-requests": "1"}}) as node:
        client = Client(node)
        first, second = client.ask(), client.ask()
        assert (client.status(second), dict(client.head(second))[b"retry-after"]) == (503, b"1")
        node.origin().send(OK)
        assert client.status(first) == 200
        third = client.ask()
        node.asked().send(OK)
        assert client.status(third) == 200


def test_more_streams_than_max_streams_are_refused_unseen(pki: PKI) -> None:
    """REFUSED_STREAM: the client may send them again (RFC 9113, section 8.7)."""
    with memory.node(pki, {"listener public": {"max-streams": "2"}}) as node:
        client = Client(node)
        assert client.engine.capacity == 2
        client.ask()
        client.ask()
        assert client.engine.request((), True) == 0


def test_a_listener_speaks_what_it_names(pki: PKI) -> None:
    """In the order that it prefers; without HTTP/1.1 a client that offers nothing is refused in the handshake."""
    for protocols, offered, agreed in (
        ("http/1.1, h2", [b"h2", b"http/1.1"], "http/1.1"),
        ("http/1.1", [b"h2", b"http/1.1"], "http/1.1"),
        ("h2", [b"h2", b"http/1.1"], "h2"),
        ("h2", [], None),
        ("h2", [b"http/1.1"], None),
    ):
        with memory.node(pki, {"listener public": {"protocols": protocols}}) as node:
            client = node.client(alpn=offered)
            if agreed is None:
                assert "no application protocol" in client.ended
                assert node.events[0]["error"]["status"] == 400
            else:
                assert client.tls.get_alpn_proto_negotiated().decode() == agreed


def test_what_is_malformed_has_an_event_and_no_request(node: MemoryNode) -> None:
    """The stream is reset, the origin is not asked, and the connection goes on."""
    client = Client(node)
    for fields, reason in (
        ([(b"transfer-encoding", b"chunked")], "a field or a pseudo-header field that no request may have"),
        ([(b"host", b"other.test")], "Host says something else than the authority"),
    ):
        stream = client.ask("/", *fields)
        assert client.calls("reset")[-1] == ("reset", stream, PROTOCOL_ERROR, False)
        error = node.events[-1]["error"]
        assert (error["status"], error["fault"]) == (400, "client")
        assert reason in error["reason"]
    assert node.opened == []
    client.ask()
    node.origin().send(OK)
    assert node.events[-1]["status"] == 200


# -- nobody in the way of another --------------------------------------------------------------------------------------


def test_an_upload_that_no_origin_takes_stops_at_its_window(node: MemoryNode) -> None:
    """The client is given place for what has left towards the origin, and for nothing else; others are served."""
    client = Client(node)
    slow = client.ask(method="POST", body=bytes(900_000))
    first = node.origin()
    left = client.engine.queued(slow)
    assert 0 < left < 900_000
    quick = client.ask("/quick")
    node.origin().send(OK)
    assert client.status(quick) == 200
    received = len(first.read())
    client.talk()
    assert client.engine.queued(slow) < left
    while (size := received + len(first.read())) > received:
        received = size
        client.talk()
    assert client.engine.queued(slow) == 0
    first.send(OK)
    assert client.status(slow) == 200


def test_a_download_that_the_client_does_not_take_stops_its_origin(node: MemoryNode) -> None:
    """And nobody else's."""
    client = Client(node, limits=EngineLimits(stream_window=65535, connection_window=1 << 24))
    slow = client.ask()
    first = node.origin()
    first.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
    sent = first.send(bytes(3_000_000))
    assert sent < 2_000_000
    quick = client.ask("/quick")
    node.origin().send(OK)
    assert client.status(quick) == 200
    received = 0
    while pieces := [len(call[2]) for call in client.told.take("data") if call[1] == slow]:
        received += sum(pieces)
        client.engine.consumed(slow, sum(pieces))
        client.talk()
        sent += first.send(bytes(3_000_000 - sent))
        client.talk()
    assert (received, sent) == (3_000_000, 3_000_000)


def test_a_broken_response_is_reset(node: MemoryNode) -> None:
    """It never looks complete; the event says so, and the connection goes on."""
    client = Client(node)
    stream = client.ask()
    origin = node.origin()
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")
    origin.close()
    assert client.calls("reset") == [("reset", stream, INTERNAL_ERROR, False)]
    assert node.events[0]["error"]["fault"] == "origin"
    stream = client.ask()
    node.origin().send(OK)
    assert client.status(stream) == 200


def test_a_request_that_is_given_up_frees_its_origin(node: MemoryNode) -> None:
    """A reset of the client's is an event with 499."""
    client = Client(node)
    client.engine.reset(client.ask(), NO_ERROR)
    client.talk()
    origin = node.origin()
    origin.read()
    assert origin.ended
    assert node.events[0]["status"] == 499


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_node_that_drains_lets_requests_end(node: MemoryNode) -> None:
    """A connection with one under way ends after it, an idle one at once."""
    busy, idle = Client(node), Client(node)
    stream = busy.ask()
    node.port.drain()
    idle.talk()
    assert idle.end.ended == "close_notify"
    assert [call[1] for call in busy.calls("goaway")] == [2**31 - 1, stream]
    node.origin().send(OK)
    assert busy.status(stream) == 200
    assert busy.end.ended == "close_notify"
    idle.end.close()
    busy.end.close()
    node.loop.settle()
    assert not node.port.connections


def test_a_reload_takes_a_protocol_away(pki: PKI) -> None:
    """Whoever speaks it is let go after what is under way; a connection of the other protocol stays."""
    with memory.node(pki) as node:
        client, other = Client(node), node.client(alpn=[b"http/1.1"])
        stream = client.ask()
        text = ini(80, memory.merged(memory.PLAIN, {"listener public": {"protocols": "http/1.1"}}))
        configuration = Configuration.from_text(text, pki.folder, {})
        assembly = Assembly.of(configuration, node.loop, node.port.deadlines)
        node.port.renew(configuration.listeners["public"], assembly.context("public", node.port.context.events))
        client.talk()
        node.origin().send(OK)
        assert client.status(stream) == 200
        assert client.end.ended == "close_notify"
        assert (other.read(), other.ended) == (b"", "")
        assert node.client(alpn=[b"h2", b"http/1.1"]).tls.get_alpn_proto_negotiated() == b"http/1.1"
