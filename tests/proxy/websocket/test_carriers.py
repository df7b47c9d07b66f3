"""WebSocket over HTTP/1.1 and HTTP/2 (RFC 8441), in and out, in every combination: the same happens in all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxy.websocket.carriers import CONNECT, OverHTTP1, OverHTTP2, asked, carried
from tests.proxy.websocket.dialogue import asking
from tests.proxy.websocket.frames import BINARY, TEXT, closing, frame, said
from tests.support import memory
from tests.support.memory import MemoryNode, merged
from tests.support.node import PKI, Changes

PROTOCOLS = ("HTTP/1.1", "HTTP/2")
HTTP2: Changes = {"origin origin": {"protocol": "h2"}}
CLOSED_1001, CLOSED_1002, CLOSED_1008 = ((0x88, code.to_bytes(2, "big")) for code in (1001, 1002, 1008))


@pytest.fixture(params=PROTOCOLS)
def client(request: pytest.FixtureRequest) -> str:
    """What the client speaks."""
    return str(request.param)


@pytest.fixture(params=PROTOCOLS)
def origin(request: pytest.FixtureRequest) -> str:
    """What the origin speaks."""
    return str(request.param)


@pytest.fixture
def changes(origin: str) -> Changes:
    """To the configuration."""
    return HTTP2 if origin == "HTTP/2" else {}


@pytest.fixture
def node(pki: PKI, changes: Changes) -> Iterator[MemoryNode]:
    """A node."""
    with memory.node(pki, changes) as node:
        yield node


def test_frames_pass_both_ways_and_both_close(node: MemoryNode, client: str, origin: str) -> None:
    """Byte for byte, with a subprotocol and an extension; the events say what was spoken."""
    offers = (b"sec-websocket-protocol", b"chat"), (b"sec-websocket-extensions", b"permessage-deflate")
    left, right = carried(node, client, origin, *offers, answer=offers)
    if isinstance(right, OverHTTP2):
        assert right.fields[b":protocol"] == b"websocket"
        assert (right.fields[b":path"], right.fields[b":authority"]) == (b"/chat", b"open.test")
        assert right.fields[b"sec-websocket-version"] == b"13"
        assert b"sec-websocket-key" not in right.fields
        assert dict(offers).items() <= right.fields.items()
    if isinstance(left, OverHTTP2):
        assert dict(offers).items() <= left.fields.items()
        assert b"sec-websocket-accept" not in left.fields
    sent = frame(TEXT, b"a", fin=False, rsv=0x40) + frame(0, b"b") + frame(BINARY, bytes(5000))
    for piece in (sent[:1], sent[1:7], sent[7:]):
        left.send(piece)
    assert right.read() == sent
    back = frame(TEXT, b"hello", masked=False) * 3
    right.send(back)
    assert left.read() == back
    left.send(closing(1000))
    right.send(closing(1000, masked=False))
    assert said(right.read()) == said(left.read()) == [(0x88, b"\x03\xe8")]
    right.finish()
    left.read()
    assert left.ended in ("end", "close_notify")
    left.close()
    node.loop.settle()
    handshake, end = node.events
    assert handshake["request"]["version"] == ("HTTP/2.0" if client == "HTTP/2" else client)
    assert handshake["request"]["method"] == "GET"
    assert "websocket" in handshake["tags"]
    assert handshake["origin"].get("protocol", "HTTP/1.1") == origin
    assert end["websocket"] == {"received": 2, "sent": 3, "code": 1000, "closed_by": "client"}
    assert not node.port.load.relays


def test_who_does_not_read_is_not_sent_more(node: MemoryNode, client: str, origin: str) -> None:
    """All of it arrives when it is read, in both directions."""
    left, right = carried(node, client, origin)
    data = frame(BINARY, bytes(range(256)) * 20_000)
    sent, received = left.send(data), b""
    while len(received) < len(data):
        received += right.read()
        sent += left.send(data[sent:])
    assert received == data
    data = frame(BINARY, bytes(range(256)) * 20_000, masked=False)
    sent, received = right.send(data), b""
    while len(received) < len(data):
        received += left.read()
        sent += right.send(data[sent:])
    assert received == data


def test_what_a_client_does_wrong_is_answered_behind_the_origin_s_words(
    node: MemoryNode, client: str, origin: str
) -> None:
    """In the same order whatever carries it."""
    left, right = carried(node, client, origin)
    left.send(frame(TEXT, b"good") + frame(TEXT, b"bad", rsv=0x20))
    assert said(right.read()) == [(0x81, b"good"), CLOSED_1002]
    right.send(frame(TEXT, b"good", masked=False) + closing(1002, masked=False))
    right.finish()
    assert said(left.read()) == [(0x81, b"good"), CLOSED_1002]
    assert left.ended


def test_the_end_of_one_direction_is_passed_on(node: MemoryNode, client: str, origin: str) -> None:
    """The other direction goes on, until it ends too."""
    left, right = carried(node, client, origin)
    left.send(frame(TEXT, b"last"))
    left.finish()
    assert right.read() == frame(TEXT, b"last")
    assert right.ended
    if isinstance(right, OverHTTP2):  # a peer in TLS that has ended cannot be sent anything by the test's
        right.send(frame(TEXT, b"heard", masked=False))
        assert left.read() == frame(TEXT, b"heard", masked=False)
    right.finish()
    left.read()
    assert left.ended
    assert node.events[-1]["websocket"]["code"] == 1006


def test_the_end_of_the_origin_s_direction_is_passed_on(node: MemoryNode, client: str, origin: str) -> None:
    """What the client still says arrives."""
    left, right = carried(node, client, origin)
    right.send(frame(TEXT, b"last", masked=False))
    right.finish()
    assert left.read() == frame(TEXT, b"last", masked=False)
    assert left.ended
    if isinstance(left, OverHTTP2):
        left.send(frame(TEXT, b"heard"))
        assert right.read() == frame(TEXT, b"heard")
    left.finish()
    right.read()
    assert right.ended
    assert node.events[-1]["websocket"]["closed_by"] == "origin"


@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_reset_of_one_ends_the_other(node: MemoryNode, client: str, origin: str, who: str) -> None:
    """And nothing is left."""
    left, right = carried(node, client, origin)
    (left if who == "client" else right).reset()
    other = right if who == "client" else left
    assert other.read() == b""
    assert other.ended
    if isinstance(other, OverHTTP1):
        other.close()
    node.loop.wait(12, 0.5)
    assert not node.port.load.relays
    assert (node.events[-1]["websocket"]["closed_by"]) == who


def test_a_stop_of_the_node_is_1001(node: MemoryNode, client: str, origin: str) -> None:
    """Both are told, at the end of the drain."""
    left, right = carried(node, client, origin)
    if isinstance(left, OverHTTP1):  # h2 takes the GOAWAY of a drain for the end of all streams
        node.port.drain()
    left.send(frame(TEXT, b"on"))
    assert right.read() == frame(TEXT, b"on")
    node.port.abort()
    assert said(left.read()) == said(right.read()) == [CLOSED_1001]


def test_rules_see_messages(pki: PKI, changes: Changes, client: str, origin: str) -> None:
    """Block is 1008, on both sides."""
    rule: Changes = {
        "path-map all": {"inspect-messages": "text"},
        "global-filter attacks": {"expression": 'http.request.body.raw contains "attack"', "action": "block"},
    }
    with memory.node(pki, merged(changes, rule)) as node:
        left, right = carried(node, client, origin)
        left.send(frame(TEXT, b"good") + frame(TEXT, b"attack"))
        assert said(right.read()) == [(0x81, b"good"), CLOSED_1008]
        assert said(left.read()) == [CLOSED_1008]


# -- what is of HTTP/2 alone -------------------------------------------------------------------------------------------


def test_other_streams_of_a_connection_go_on(pki: PKI) -> None:
    """While a WebSocket is open, and when its bytes wait."""
    with memory.node(pki) as node:
        left, right = carried(node, "HTTP/2", "HTTP/1.1")
        assert isinstance(left, OverHTTP2)
        left.send(frame(BINARY, bytes(3_000_000)))
        left.connection.send_headers(3, [(b":method", b"TRACE"), *CONNECT[2:5]], end_stream=True)
        left.talk()
        assert left.fields[b":status"] == b"405"
        assert right.read()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (CONNECT[:-1], b"400"),
        ((*CONNECT[:-1], (b"sec-websocket-version", b"8")), b"400"),
        ((*CONNECT, (b"origin", b"https://evil.test")), b"403"),
        ((*CONNECT, (b"content-length", b"5")), b"400"),
        ((CONNECT[0], (b":protocol", b"connect-udp"), *CONNECT[2:]), b"501"),
    ],
    ids=["no version", "another version", "another page", "a length", "another protocol"],
)
def test_what_is_no_handshake_is_refused_alone(
    pki: PKI, fields: tuple[tuple[bytes, bytes], ...], status: bytes
) -> None:
    """The stream is answered, and the origin not asked."""
    with memory.node(pki) as node:
        client = asked(node, fields)
        assert client.fields[b":status"] == status
        assert node.opened == []


def test_an_origin_that_refuses_is_heard(pki: PKI) -> None:
    """Its answer is passed on, over either protocol."""
    with memory.node(pki, HTTP2) as node:
        client = asked(node)
        origin = OverHTTP2(node.origin(), client=False)
        origin.connection.send_headers(origin.stream, [(b":status", b"403"), (b"content-length", b"2")])
        origin.send(b"no")
        origin.finish()
        assert client.read() == b"no"
        assert client.fields[b":status"] == b"403"
        assert client.ended
        assert [event["status"] for event in node.events] == [403]


def test_an_origin_that_offers_no_extended_connect_is_502(pki: PKI) -> None:
    """It was not asked: RFC 8441, section 3."""
    with memory.node(pki, HTTP2) as node:
        client = node.client()
        client.send(asking())
        OverHTTP2(node.origin(), client=False, offers=False)
        assert client.answer().status == 502
        assert "8441" in node.events[0]["error"]["reason"]


def test_what_comes_too_early_waits_for_the_answer(pki: PKI) -> None:
    """In the window of the stream."""
    with memory.node(pki, HTTP2) as node:
        client = asked(node)
        client.send(frame(TEXT, b"early"))
        origin = OverHTTP2(node.origin(), client=False)
        assert origin.read() == b""
        origin.connection.send_headers(origin.stream, [(b":status", b"200")])
        origin.send(frame(TEXT, b"hello", masked=False))
        assert client.read() == frame(TEXT, b"hello", masked=False)
        assert origin.read() == frame(TEXT, b"early")


@pytest.mark.parametrize("status", [200, 204, 299])
def test_no_page_is_taken_for_a_websocket(pki: PKI, status: int) -> None:
    """On HTTP/2 every success accepts the handshake, and a client would read the page as frames: it gets 502."""
    with memory.node(pki) as node:
        client = asked(node)
        origin = node.origin()
        assert b"Upgrade: websocket" in origin.read()
        body = b"" if status == 204 else b"Content-Length: 9\r\n\r\n\x81\x07a page!"
        origin.send(b"HTTP/1.1 %d OK\r\n" % status + (body or b"\r\n"))
        assert b"a page" not in client.read()
        assert client.fields[b":status"] == b"502"
        (event,) = node.events
        assert (event["status"], event["origin"]["status"]) == (502, status)
        assert not node.port.load.relays


def test_an_action_accepts_no_websocket(pki: PKI) -> None:
    """A page of its own with status 200 is 403 on HTTP/2, where 200 would accept the handshake."""
    rule: Changes = {
        "global-filter decoys": {"path": "^/chat", "action": "decoy"},
        "action decoy": {"type": "block", "status": "200", "body": "nothing here"},
    }
    with memory.node(pki, rule) as node:
        client = asked(node)
        assert client.fields[b":status"] == b"403"
        assert node.events[0]["status"] == 403
        plain = node.client()
        plain.send(asking())
        assert plain.answer().status == 200
