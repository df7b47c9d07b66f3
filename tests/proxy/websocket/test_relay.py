"""A WebSocket through a whole node in memory: what passes, how it ends, and what is said of it."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.proxy.websocket.dialogue import opened
from tests.proxy.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, closing, frame, said
from tests.support import memory
from tests.support.memory import ClientEnd, MemoryNode, OriginEnd
from tests.support.node import PKI, Changes

CLOSED_1000, CLOSED_1001, CLOSED_1002 = ((0x88, code.to_bytes(2, "big")) for code in (1000, 1001, 1002))


def to_client(opcode: int, payload: bytes = b"", **options: Any) -> bytes:
    """A frame as an origin sends it."""
    return frame(opcode, payload, masked=False, **options)


def ended(node: MemoryNode, client: ClientEnd, origin: OriginEnd) -> dict[str, Any]:
    """The event of the end; both connections are over, and nothing is counted any more."""
    client.read()
    origin.read()
    assert client.ended
    assert origin.ended
    client.close()
    node.loop.settle()
    assert not node.port.load.relays
    assert not node.port.load.requests.count
    handshake, end = node.events
    assert (handshake["id"], handshake["status"]) == (end["id"], 101)
    return end


# -- what passes -------------------------------------------------------------------------------------------------------


def test_frames_pass_both_ways_as_they_came(pki: PKI) -> None:
    """Fragments, control frames among them, and pieces of them."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        sent = frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(0, b"b") + frame(BINARY, bytes(70_000))
        for piece in (sent[:1], sent[1:3], sent[3:9], sent[9:]):
            client.send(piece)
        assert origin.read() == sent
        back = to_client(TEXT, b"hello") + to_client(PONG, b"p") + to_client(BINARY, bytes(300))
        origin.send(back)
        assert client.read() == back
        client.send(closing(1000))
        assert said(origin.read()) == [CLOSED_1000]
        origin.send(closing(1000, masked=False))
        origin.finish()
        assert said(client.read()) == [CLOSED_1000]
        event = ended(node, client, origin)
        assert event["websocket"] == {"received": 2, "sent": 2, "code": 1000, "closed_by": "client"}
        assert event["bytes"] == {"received": len(sent) + 8, "sent": len(back) + 4}
        assert event["error"] is None


def test_who_does_not_read_is_not_sent_more(pki: PKI) -> None:
    """The other waits, in both directions; nothing is lost, and little is kept."""
    with memory.node(pki, {"path-map all": {"max-message-size": "64m"}}) as node:
        client, origin = opened(node)
        data = frame(BINARY, bytes(range(256)) * 40_000)
        sent = client.send(data)
        assert sent < len(data)
        assert all(each.transport.queued <= 128 * 1024 for each in node.pool._connections)
        received = b""
        while len(received) < len(data):
            received += origin.read()
            sent += client.send(data[sent:])
        assert received == data
        data = to_client(BINARY, bytes(range(256)) * 40_000)
        sent = origin.send(data)
        assert sent < len(data)
        received = b""
        while len(received) < len(data):
            received += client.read()
            sent += origin.send(data[sent:])
        assert received == data


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_an_origin_that_closes_is_answered_by_the_client(pki: PKI) -> None:
    """And its code is the event's."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        origin.send(closing(4001, masked=False))
        assert said(client.read()) == [(0x88, b"\x0f\xa1")]
        client.send(closing(4001))
        assert said(origin.read()) == [(0x88, b"\x0f\xa1")]
        node.loop.wait(10, 0.5)
        assert ended(node, client, origin)["websocket"]["closed_by"] == "origin"


def test_a_client_that_ends_its_sending_side_still_hears(pki: PKI) -> None:
    """The end is passed on, and what the origin has to say arrives."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"last"))
        client.notify()
        assert origin.read() == frame(TEXT, b"last")
        assert origin.ended
        origin.sock.setblocking(False)
        origin.connection.send(to_client(TEXT, b"heard"))
        assert client.read() == to_client(TEXT, b"heard")
        origin.finish()
        event = ended(node, client, origin)
        assert (event["websocket"]["code"], event["websocket"]["closed_by"]) == (1006, "client")
        assert event["error"]["status"] == 499


def test_a_half_that_goes_on_in_silence_is_ended(pki: PKI) -> None:
    """After ten seconds in which nothing passes."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        origin.finish()
        assert client.read() == b""
        node.loop.wait(16, 0.5)
        assert ended(node, client, origin)["websocket"]["closed_by"] == "origin"


@pytest.mark.parametrize("whole", [True, False], ids=["between frames", "within a frame"])
@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_reset_of_one_is_the_end_of_the_other(pki: PKI, who: str, whole: bool) -> None:
    """Without a Close frame of ours: what came before has arrived."""
    with memory.node(pki) as node:
        node.tcp = True
        client, origin = opened(node)
        masked = who == "client"
        data = frame(TEXT, b"a", masked=masked) + (b"" if whole else frame(BINARY, bytes(50), masked=masked)[:20])
        (client if masked else origin).send(data)
        assert (origin if masked else client).read() == data
        if masked:
            client.close()
        else:
            origin.reset()
        other: Any = origin if masked else client
        assert other.read() == b""
        assert other.ended
        other.close()
        _, end = node.events
        assert (end["websocket"]["code"], end["websocket"]["closed_by"]) == (1006, who)


def test_an_origin_that_leaves_its_connection_open_is_left(pki: PKI) -> None:
    """Both have said Close; the client's connection ends at once, the origin's after a moment."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        client.send(closing(1000))
        origin.read()
        origin.send(closing(1000, masked=False))
        assert said(client.read()) == [CLOSED_1000]
        assert client.ended == "close_notify"
        client.close()
        node.loop.wait(6, 0.5)
        ended(node, client, origin)


# -- what is wrong -----------------------------------------------------------------------------------------------------


def test_what_a_client_does_wrong_is_answered_behind_what_the_origin_says(pki: PKI) -> None:
    """The origin sees a Close frame in the place of it; its answer to what came before arrives first."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"good") + frame(TEXT, b"bad", rsv=0x20))
        assert said(origin.read()) == [(0x81, b"good"), CLOSED_1002]
        assert client.read() == b""
        origin.send(to_client(TEXT, b"good") + closing(1002, masked=False))
        assert said(client.read()) == [(0x81, b"good"), CLOSED_1002]
        assert client.ended == "close_notify"
        client.close()
        origin.finish()
        event = ended(node, client, origin)
        assert event["websocket"] == {"received": 1, "sent": 1, "code": 1002, "closed_by": "node"}
        assert (event["error"]["fault"], event["error"]["status"]) == ("client", 400)


@pytest.mark.parametrize("answer", [b"", to_client(TEXT, b"good"), closing(1000, masked=False)], ids=len)
def test_who_does_wrong_is_told_in_time_whatever_the_other_says(pki: PKI, answer: bytes) -> None:
    """With our code: after a second, or once the other has answered with one of its own."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        client.send(frame(3))
        origin.read()
        origin.send(answer)
        node.loop.wait(1.5, 0.1)
        assert said(client.read())[-1] == CLOSED_1002
        node.loop.wait(6, 0.5)
        ended(node, client, origin)


def test_what_an_origin_does_wrong_ends_it_in_the_same_way(pki: PKI) -> None:
    """The client sees a Close frame in the place of it, and the origin its answers."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        origin.send(to_client(TEXT, b"good") + frame(TEXT, b"masked"))
        assert said(client.read()) == [(0x81, b"good"), CLOSED_1002]
        client.send(frame(TEXT, b"good") + closing(1002))
        assert said(origin.read()) == [(0x81, b"good"), CLOSED_1002]
        origin.finish()
        event = ended(node, client, origin)
        assert (event["error"]["fault"], event["error"]["kind"]) == ("origin", "invalid")


@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_message_that_is_too_large_is_1009(pki: PKI, who: str) -> None:
    """By max-message-size, in both directions; nothing of it passes."""
    with memory.node(pki, {"path-map all": {"max-message-size": "100"}}) as node:
        client, origin = opened(node)
        masked = who == "client"
        fits, large = frame(TEXT, bytes(100), masked=masked), frame(TEXT, bytes(101), masked=masked)
        (client if masked else origin).send(fits + large)
        told = said((origin if masked else client).read())
        assert told == [(0x81, bytes(100)), (0x88, b"\x03\xf1")]
        node.loop.wait(1.5, 0.1)
        assert said((client if masked else origin).read()) == [(0x88, b"\x03\xf1")]
        node.loop.wait(6, 0.5)
        assert ended(node, client, origin)["error"]["status"] == (413 if masked else 502)


# -- what the node decides ---------------------------------------------------------------------------------------------


def test_silence_is_1001_after_the_idle_timeout(pki: PKI) -> None:
    """Anything that passes in either direction begins it anew."""
    with memory.node(pki, {"path-map all": {"idle-timeout": "20s"}}) as node:
        client, origin = opened(node)
        for speak in (lambda: client.send(frame(TEXT)), lambda: origin.send(to_client(PONG))):
            node.loop.wait(19, 0.5)
            speak()
        client.read()
        origin.read()
        node.loop.wait(19, 0.5)
        assert (client.read(), origin.read()) == (b"", b"")
        node.loop.wait(1.5, 0.1)
        assert said(client.read()) == said(origin.read()) == [CLOSED_1001]
        client.send(closing(1001))
        client.read()
        client.close()
        origin.finish()
        event = ended(node, client, origin)
        assert (event["websocket"]["closed_by"], event["error"]["status"]) == ("node", 408)


PING_CHANGES: Changes = {"path-map all": {"ping": "10s", "idle-timeout": "1000s"}}


def test_who_is_silent_is_asked_whether_it_is_there(pki: PKI) -> None:
    """Both are; the answers do not pass, and do not keep it from being idle."""
    with memory.node(pki, PING_CHANGES) as node:
        client, origin = opened(node)
        for _ in range(3):
            node.loop.wait(10.5, 0.5)
            ((to_them, to_origin),) = [(said(client.read()), said(origin.read()))]
            assert [each[0] for each in (*to_them, *to_origin)] == [0x89, 0x89]
            client.send(frame(PONG, to_them[0][1]))
            origin.send(to_client(PONG, to_origin[0][1]))
            assert (client.read(), origin.read()) == (b"", b"")
        assert len(node.events) == 1


@pytest.mark.parametrize("who", ["client", "origin"])
def test_who_does_not_answer_is_dead(pki: PKI, who: str) -> None:
    """It is cut, and the other told 1011."""
    with memory.node(pki, PING_CHANGES) as node:
        client, origin = opened(node)
        living: Any = client if who == "origin" else origin
        for _ in range(2):
            node.loop.wait(10.5, 0.5)
            told = said(living.read())
            if told[0][0] == 0x89:
                living.send(frame(PONG, told[0][1], masked=living is client))
        assert told[-1] == (0x88, b"\x03\xf3")
        node.loop.wait(6, 0.5)
        event = ended(node, client, origin)
        assert (event["websocket"]["code"], event["error"]["fault"]) == (1011, who)


def test_a_stop_of_the_node_is_1001(pki: PKI) -> None:
    """When the drain is over; during it the WebSocket goes on."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        node.port.drain()
        client.send(frame(TEXT, b"on"))
        assert origin.read() == frame(TEXT, b"on")
        node.port.abort()
        assert said(client.read()) == said(origin.read()) == [CLOSED_1001]
        node.pool.abort()
        assert ended(node, client, origin)["websocket"]["code"] == 1001


def test_within_a_frame_nothing_of_ours_is_put(pki: PKI) -> None:
    """The connection is cut instead."""
    with memory.node(pki) as node:
        client, origin = opened(node)
        origin.send(to_client(BINARY, bytes(1000))[:500])
        client.read()
        node.port.abort()
        assert client.read() == b""
        assert client.ended == "cut"
        assert said(origin.read()) == [CLOSED_1001]


def test_a_request_limit_counts_it_to_its_end(pki: PKI) -> None:
    """As a request under way."""
    with memory.node(pki, {"listener public": {"max-requests": "1"}}) as node:
        client, origin = opened(node)
        assert node.port.load.requests.count == 1
        client.close()
        origin.close()
        assert node.port.load.requests.count == 0


@pytest.mark.parametrize("opcode", [CLOSE, PING])
def test_it_passes_over_tls_to_the_origin_too(pki: PKI, opcode: int) -> None:
    """Both sides have TLS."""
    with memory.node(pki, tls=True) as node:
        client, origin = opened(node)
        data = frame(opcode, b"\x03\xe8")
        client.send(data)
        assert origin.read() == data


@pytest.mark.parametrize("takes", [True, False])
def test_who_is_slow_gets_the_end_all_the_same(pki: PKI, takes: bool) -> None:
    """What an origin has sent before both have closed arrives, however long the client takes; but not for ever."""
    with memory.node(pki, {"path-map all": {"idle-timeout": "60s"}}) as node:
        client, origin = opened(node)
        assert client.connection is not None
        transport = client.connection.transport
        transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.send(closing(1000))
        last = to_client(BINARY, bytes(40_000)) + closing(1000, masked=False)
        origin.send(last)
        assert transport.queued
        node.loop.wait(30, 0.5)
        assert node.port.load.relays
        if takes:
            for _ in range(40):  # a record is larger than what is sent at once
                client.read()
            assert client.received.endswith(last)
            assert client.ended
        else:
            node.loop.wait(60, 0.5)
            assert not node.port.load.relays
