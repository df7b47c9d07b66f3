"""Messages of clients, judged by rules."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from edgenode.model.decision import NOTHING, Decision
from edgenode.model.exchange import Exchange
from edgenode.proxy.websocket.frames import Walker
from edgenode.proxy.websocket.messages import OPCODES, MessageReader
from tests.proxy.test_exchange import staged
from tests.proxy.websocket.dialogue import accepted, asking, opened
from tests.proxy.websocket.frames import BINARY, PING, TEXT, closing, frame, said
from tests.support import memory
from tests.support.node import OK, PKI, Changes, get

BLOCKING: Changes = {
    "path-map all": {"inspect-messages": "text"},
    "global-filter attacks": {
        "expression": 'any(edge.tags[*] == "websocket:message") and http.request.body.raw contains "attack"',
        "action": "block",
        "tags": "attack",
    },
    "global-filter browsers": {"header.user-agent": "^Browser$", "tags": "browser"},
}
CLOSED_1008 = (0x88, b"\x03\xf0")


# -- put together ------------------------------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.tuples(st.sampled_from((TEXT, BINARY)), st.lists(st.binary(max_size=300), min_size=1, max_size=4)), max_size=5
)


@given(MESSAGES, st.lists(st.integers(1, 50), max_size=40), st.sampled_from(sorted(OPCODES)))
def test_however_they_are_cut_the_same_messages_are_found(
    messages: list[tuple[int, list[bytes]]], sizes: list[int], which: str
) -> None:
    """And everything passes once, messages behind their own ends."""
    data = b""
    for opcode, pieces in messages:
        for number, piece in enumerate(pieces):
            data += frame(0 if number else opcode, piece, fin=number == len(pieces) - 1) + frame(PING, b"p")
    walker, reader = Walker(masked=True, most=1 << 20), MessageReader(OPCODES[which])
    found, passed = [], b""
    while data:
        size = sizes.pop() if sizes else len(data)
        reader.take(walker.walk(data[:size]))
        data = data[size:]
        while True:
            passing, message = reader.next()
            passed += passing
            if message is None:
                break
            found.append((TEXT if reader.text else BINARY, message))
            passed += reader.release()
    inspected = OPCODES[which]
    assert found == [(opcode, b"".join(pieces)) for opcode, pieces in messages if opcode in inspected]
    frames = said(passed)
    assert reader.between
    assert [each for each in frames if each[0] & 15 != PING] == [
        ((0 if number else opcode) | (0x80 if number == len(pieces) - 1 else 0), piece)
        for opcode, pieces in messages
        for number, piece in enumerate(pieces)
    ]
    assert len([each for each in frames if each[0] & 15 == PING]) == sum(len(pieces) for _, pieces in messages)


# -- judged ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"an attack"),
        frame(TEXT, b"an at", fin=False) + frame(PING) + frame(0, b"tack"),
        frame(TEXT, b"", fin=False) + b"".join(frame(0, bytes([each]), fin=False) for each in b"attack") + frame(0),
    ],
    ids=["in one frame", "in fragments", "byte by byte"],
)
def test_a_message_that_is_blocked_closes_with_1008_on_both_sides(pki: PKI, data: bytes) -> None:
    """Nothing of it has passed, and nothing behind it; the event of the end says by which filter."""
    with memory.node(pki, BLOCKING) as node:
        client, origin = opened(node, b"User-Agent: Browser")
        client.send(frame(TEXT, b"good") + data + frame(TEXT, b"late"))
        told = [each for each in said(origin.read()) if each[0] != 0x89]
        assert told == [(0x81, b"good"), CLOSED_1008]
        assert said(client.read()) == [CLOSED_1008]
        client.send(closing(1008))
        client.read()
        client.close()
        origin.finish()
        handshake, end = node.events
        assert (handshake["action"], end["action"]) == (None, "block")
        assert {"attack", "browser", "websocket", "websocket:message"} <= set(end["tags"])
        assert "attack" in [reason["filter"][:6] for reason in end["reasons"]]
        assert (end["websocket"]["code"], end["websocket"]["closed_by"]) == (1008, "node")


def test_an_origin_that_ends_first_leaves_the_client_time_for_its_close_frame(pki: PKI) -> None:
    """A client whose connection ends before it has answered with its own takes the end for a failure, 1006."""
    with memory.node(pki, BLOCKING) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"an attack"))
        assert said(client.read()) == [CLOSED_1008]
        origin.read()
        origin.send(closing(1008, masked=False))
        origin.finish()
        client.read()
        assert not client.ended
        client.send(closing(1008))
        client.read()
        assert client.ended


@pytest.mark.parametrize("rule", [BLOCKING["global-filter attacks"], {"tag": "websocket:message", "action": "block"}])
def test_an_upload_does_not_wait_for_a_filter_on_messages(pki: PKI, rule: dict[str, str]) -> None:
    """It passes as it comes, also where there is more of it than rules would look at, and whatever it says."""
    changes = {**BLOCKING, "global-filter attacks": rule}
    with memory.node(pki, changes) as node:
        client = node.client()
        client.send(get("/", "open.test", "Content-Length: 1000000", method="POST", body=b"attack"))
        origin = node.origin()
        assert origin.read().endswith(b"attack")
        size = 6
        for _ in range(10):
            client.send(b"a" * 99_999)
            size += origin.read().count(b"a")
        client.send(b"a" * 4)
        assert size + origin.read().count(b"a") == 1_000_000
        origin.send(OK)
        assert client.answer().status == 200


def test_a_filter_on_messages_keeps_websockets_out_where_it_would_not_be_asked(pki: PKI) -> None:
    """With 501, as every filter on bodies that can refuse."""
    with memory.node(pki, {**BLOCKING, "path-map all": {"inspect-messages": "no"}}) as node:
        assert node.client().ask(asking()).status == 501
        assert node.opened == []


def test_no_compression_is_agreed_on(pki: PKI) -> None:
    """The origin is not told of any, and an origin that uses it all the same is 502."""
    with memory.node(pki, BLOCKING) as node:
        client = node.client()
        client.send(asking(b"Sec-WebSocket-Extensions: permessage-deflate"))
        origin = node.origin()
        request = origin.read()
        assert b"Extensions" not in request
        origin.send(accepted(request, b"Sec-WebSocket-Extensions: permessage-deflate"))
        assert client.answer().status == 502


def test_text_that_is_not_utf_8_is_1007(pki: PKI) -> None:
    """A character may be cut by fragments, but not by the end."""
    with memory.node(pki, BLOCKING) as node:
        client, origin = opened(node)
        euro = "€".encode()
        client.send(
            frame(TEXT, euro[:1], fin=False) + frame(0, euro[1:]) + frame(TEXT, euro[:2]) + frame(TEXT, b"late")
        )
        assert said(origin.read()) == [(0x01, euro[:1]), (0x80, euro[1:]), (0x88, b"\x03\xef")]
        origin.send(closing(1007, masked=False))
        assert said(client.read()) == [(0x88, b"\x03\xef")]


@pytest.mark.parametrize(("which", "passes"), [("text", True), ("all", False)])
def test_binary_messages_are_seen_if_all_are(pki: PKI, which: str, passes: bool) -> None:
    """With text alone they pass unseen."""
    with memory.node(pki, {**BLOCKING, "path-map all": {"inspect-messages": which}}) as node:
        client, origin = opened(node)
        client.send(frame(BINARY, b"attack\xff"))
        assert said(origin.read()) == [(0x82, b"attack\xff") if passes else CLOSED_1008]


def test_a_message_is_no_larger_than_rules_see(pki: PKI) -> None:
    """1009 beyond inspect-body-size where a rule can refuse; binary ones have no such limit of their own."""
    changes = {**BLOCKING, "path-map all": {"inspect-messages": "text", "inspect-body-size": "100"}}
    with memory.node(pki, changes) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, bytes(100)))
        assert said(origin.read()) == [(0x81, bytes(100))]
        client.send(frame(TEXT, bytes(101)))
        assert said(origin.read()) == [(0x88, b"\x03\xf1")]


@pytest.mark.parametrize(("at", "passes"), [(94, False), (95, True)])
def test_of_a_longer_message_rules_see_as_much_as_of_a_body(pki: PKI, at: int, passes: bool) -> None:
    """Where what they do not see passes: inspect-body-size of it."""
    keys = {"inspect-messages": "text", "inspect-body-size": "100", "uninspected": "pass"}
    with memory.node(pki, {**BLOCKING, "path-map all": keys}) as node:
        client, origin = opened(node)
        data = b"a" * at + b"attack" + b"a" * 100
        client.send(frame(TEXT, data))
        assert said(origin.read()) == [(0x81, data) if passes else CLOSED_1008]


def test_a_message_in_endless_fragments_is_1009(pki: PKI) -> None:
    """Empty ones have no payload that could exceed a limit, and all of them are held until the last."""
    with memory.node(pki, {**BLOCKING, "path-map all": {"inspect-messages": "all", "max-message-size": "4k"}}) as node:
        client, origin = opened(node)
        few = frame(TEXT, b"", fin=False) + frame(0, fin=False) * 5_000 + frame(0)
        client.send(few)
        assert origin.read() == few
        client.send(frame(TEXT, b"", fin=False))
        for _ in range(20):
            client.send(frame(0, fin=False) * 1_000)
        assert said(origin.read()) == [(0x88, b"\x03\xf1")]


def test_what_is_only_proposed_is_an_event_of_its_own(pki: PKI) -> None:
    """Under mode = monitoring the message passes, and the WebSocket goes on."""
    with memory.node(pki, {**BLOCKING, "path-map all": {"inspect-messages": "text", "mode": "monitoring"}}) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"attack"))
        assert said(origin.read()) == [(0x81, b"attack")]
        _, event = node.events
        assert (event["action"], event["mode"]) == ("block", "monitoring")
        assert event["websocket"] == {"received": 1, "sent": 0, "code": None, "closed_by": None}
        client.send(closing(1000))
        origin.read()
        origin.close()
        client.close()
        node.loop.settle()
        assert [each["action"] for each in node.events] == [None, "block", None]


# -- stages that wait --------------------------------------------------------------------------------------------------


@define
class Slow:
    """Lets a message wait until the test says what becomes of it."""

    waiting: Deferred[Decision] | None = None
    seen: list[bytes] = Factory(list)
    cancelled: int = 0
    name: str = "slow"
    needs: frozenset[str] = frozenset(("body",))

    def decide(self, exchange: Exchange) -> Any:
        """Wait, if it is a message."""
        assert exchange.request is not None
        assert exchange.request.body is not None
        if "websocket:message" not in exchange.tags:
            return NOTHING
        self.seen.append(exchange.request.body.data)
        self.waiting = Deferred(self._cancel)
        return self.waiting

    def _cancel(self, _: object) -> None:
        self.cancelled += 1

    def answer(self) -> None:
        """Let it pass."""
        assert self.waiting is not None
        self.waiting.callback(NOTHING)


def test_while_a_message_waits_nothing_overtakes_it(pki: PKI) -> None:
    """What comes behind it waits, a Close frame too; what the origin sends passes."""
    stage: Any = Slow()
    with memory.node(pki, {"path-map all": {"inspect-messages": "text"}}, staged(stage)) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + closing(1000))
        assert (origin.read(), stage.seen) == (b"", [b"one"])
        origin.send(frame(TEXT, b"back", masked=False))
        assert said(client.read()) == [(0x81, b"back")]
        stage.answer()
        assert (said(origin.read()), stage.seen) == ([(0x81, b"one")], [b"one", b"two"])
        client.notify()
        assert not origin.ended
        stage.answer()
        assert said(origin.read()) == [(0x81, b"two"), (0x88, b"\x03\xe8")]


def test_while_a_message_waits_nothing_more_is_read(pki: PKI) -> None:
    """So a client cannot fill the memory of the node meanwhile."""
    stage: Any = Slow()
    with memory.node(pki, {"path-map all": {"inspect-messages": "text"}}, staged(stage)) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"one"))
        more = frame(BINARY, bytes(3_000_000))
        sent = client.send(more)
        assert sent < 1_000_000
        stage.answer()
        received = origin.read()
        while sent < len(more):
            sent += client.send(more[sent:])
            received += origin.read()
        assert received == frame(TEXT, b"one") + more


def test_who_goes_takes_the_judgement_along(pki: PKI) -> None:
    """The stage is told that nobody waits, and the message does not pass."""
    stage: Any = Slow()
    with memory.node(pki, {"path-map all": {"inspect-messages": "text"}}, staged(stage)) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"one"))
        node.port.abort()
        node.loop.settle()
        assert stage.cancelled == 1
        assert said(origin.read())[0][0] == 0x88
