"""What a decision adds to whatever answer the client gets, and who is told what that was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from edgenode.model.decision import NOTHING, Decision, check_said
from edgenode.model.exchange import Exchange
from edgenode.policy.actions import PREDEFINED, Block
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import MESSAGE, Tagging
from tests.proxy.http2.test_node import Client as Http2Client
from tests.proxy.test_exchange import Stage, staged
from tests.proxy.websocket.carriers import asked as asked_over_http2
from tests.proxy.websocket.dialogue import asking, opened
from tests.proxy.websocket.frames import BINARY, TEXT, closing, frame
from tests.support import memory
from tests.support.memory import MemoryNode
from tests.support.node import OK, PKI, get

HEADERS = ((b"ratelimit-policy", b'"a";q=1;w=60'), (b"ratelimit", b'"a";r=0;t=7'))
LINES = b'\r\nRatelimit-Policy: "a";q=1;w=60\r\nRatelimit: "a";r=0;t=7\r\n'


@define(eq=False)
class Told:
    """Wants to know answers."""

    answers: list[tuple[int, int, int]] = Factory(list)

    def responded(self, status: int, sent: int, origin_status: int) -> None:
        """One has come."""
        self.answers.append((status, sent, origin_status))


def deciding(pki: PKI, told: Told, changes: Any = None, **said: Any) -> Any:
    """A node whose last stage says so, with headers for every answer."""
    decision = Decision(headers=HEADERS, after=(told,), **said)
    return memory.node(pki, changes, staged(Stage(lambda exchange: decision)))


def close(node: MemoryNode) -> None:
    """All of the node's connections to origins break off."""
    for each in node.opened:
        each.close()
    node.loop.settle()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_origin_answers_has_the_headers_of_the_decision(pki: PKI, method: str) -> None:
    """And who wants to know is told the status, the bytes of the body, and what the origin said."""
    with deciding(pki, told := Told()) as node:
        client = node.client()
        client.send(get(method=method))
        node.origin().send(OK if method == "GET" else OK[:-2])
        answer = client.answer(method)
        assert LINES in answer.head
        assert told.answers == [(200, 2 if method == "GET" else 0, 200)]


def test_an_answer_of_the_node_has_them(pki: PKI) -> None:
    """The origin was not asked, and so has answered nothing."""
    with deciding(pki, told := Told(), action=Block("no", status=429)) as node:
        answer = node.client().ask(get())
        assert answer.status == 429
        assert LINES in answer.head
        assert told.answers == [(429, len(answer.body), 0)]


def test_an_answer_in_place_of_the_origins_has_them(pki: PKI) -> None:
    """502 counts as the origin's: it was asked."""
    with deciding(pki, told := Told()) as node:
        node.refusing = True
        answer = node.client().ask(get())
        assert answer.status == 502
        assert LINES in answer.head
        assert told.answers == [(502, len(answer.body), 502)]


def test_a_connection_that_is_closed_without_an_answer_is_told(pki: PKI) -> None:
    """With 444, as in the event."""
    with deciding(pki, told := Told(), action=PREDEFINED["close"]) as node:
        client = node.client()
        client.send(get())
        assert client.read() == b""
        assert told.answers == [(444, 0, 0)]


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_is_told_once(pki: PKI, begun: bool) -> None:
    """Before the answer as 499, within it with the status that it had and what was sent."""
    with deciding(pki, told := Told()) as node:
        client = node.client()
        client.send(get())
        if begun:
            node.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            client.read()
        client.close()
        node.loop.settle()
        if begun:
            node.opened[0].send(b"more")
            node.loop.settle()
        assert told.answers == ([(200, 8, 200)] if begun else [(499, 0, 0)])


def test_an_answer_that_breaks_off_is_a_failure_of_the_origin(pki: PKI) -> None:
    """Though its status was a good one."""
    with deciding(pki, told := Told()) as node:
        client = node.client()
        client.send(get())
        node.origin().send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        client.read()
        close(node)
        client.read()
        assert told.answers == [(200, 4, 502)]


def test_a_client_that_goes_before_the_last_stage_has_spoken_is_told(pki: PKI) -> None:
    """A stage before it may have counted the request already."""
    waiting: Deferred[Decision] = Deferred()
    told, said = Told(), [Decision(after=(told_all := Told(),)), waiting]
    assert told.answers == []
    pipeline = Pipeline(
        Tagging.of({}), (Stage(lambda _: said[0], name="counting"), Stage(lambda _: said[1], name="slow"))
    )
    decided = pipeline.decide(_exchange(pki))
    assert isinstance(decided, Deferred)
    failed: list[Failure] = []
    decided.addErrback(failed.append)
    decided.cancel()
    assert len(failed) == 1
    assert told_all.answers == [(499, 0, 0)]


def _exchange(pki: PKI) -> Any:
    with memory.node(pki) as node:
        client = node.client()
        client.send(get())
        node.origin().send(OK)
        client.answer()
        return node.records[0].exchange


@pytest.mark.parametrize("action", [None, PREDEFINED["block"]])
def test_over_http_2_it_is_the_same(pki: PKI, action: Any) -> None:
    """Headers and telling."""
    with deciding(pki, told := Told(), action=action) as node:
        client = Http2Client(node)
        stream = client.ask("/")
        if action is None:
            node.origin().send(OK)
        assert set(HEADERS) <= set(client.head(stream))
        assert told.answers == [(200, 2, 200) if action is None else (403, 11, 0)]


@pytest.mark.parametrize("action", [None, PREDEFINED["block"]])
def test_a_call_of_grpc_has_them_in_its_head(pki: PKI, action: Any) -> None:
    """Also in an answer that is trailers only; who is told hears what it stands for in HTTP."""
    with deciding(pki, told := Told(), action=action) as node:
        client = Http2Client(node)
        stream = client.ask(
            "/a.B/C", (b"content-type", b"application/grpc"), (b"te", b"trailers"), method="POST", body=b""
        )
        if action is None:
            node.refusing = True
            close(node)
        head = client.head(stream)
        assert set(HEADERS) <= set(head)
        assert dict(head)[b":status"] == b"200"
        assert told.answers[0][0] in (502, 403)
        assert len(told.answers) == 1


def test_a_websocket_is_told_at_its_end(pki: PKI) -> None:
    """With the bytes that the origin has sent; the headers are in the answer that accepts it."""
    with deciding(pki, told := Told()) as node:
        client, origin = opened(node)
        assert LINES in bytes(client.received)
        origin.send(frame(BINARY, bytes(300), masked=False))
        client.read()
        assert told.answers == []
        origin.send(closing(1000, masked=False))
        origin.finish()
        client.send(closing(1000))
        client.read()
        client.close()
        node.loop.wait(10, 0.5)
        assert [(status, origin_status) for status, _, origin_status in told.answers] == [(101, 101)]
        assert told.answers[0][1] >= 300


@pytest.mark.parametrize("version", [1, 2])
def test_a_websocket_that_is_refused_has_them(pki: PKI, version: int) -> None:
    """By the node, whatever the version of HTTP."""
    with deciding(pki, told := Told(), action=PREDEFINED["block"]) as node:
        if version == 1:
            assert LINES in node.client().ask(asking()).head
        else:
            assert b"ratelimit-policy" in asked_over_http2(node).fields
        assert told.answers == [(403, 11, 0)]


def test_each_message_of_a_websocket_is_told(pki: PKI) -> None:
    """It has no answer: nothing if it passes, 444 if it closes the WebSocket."""
    told = Told()

    def say(exchange: Exchange) -> Decision:
        if MESSAGE not in exchange.tags:
            return NOTHING
        assert exchange.request is not None
        assert exchange.request.body is not None
        return Decision(action=PREDEFINED["block"] if b"bad" in exchange.request.body.data else None, after=(told,))

    stage = Stage(say, frozenset(("body",)))
    with memory.node(pki, {"path-map all": {"inspect-messages": "text"}}, staged(stage)) as node:
        client, origin = opened(node)
        client.send(frame(TEXT, b"good"))
        assert told.answers == [(0, 0, 0)]
        client.send(frame(TEXT, b"bad"))
        assert told.answers == [(0, 0, 0), (444, 0, 0)]
        origin.send(closing(1008, masked=False))
        origin.close()
        client.close()
        node.loop.wait(10, 0.5)


def test_who_fails_to_be_told_holds_nobody_up(pki: PKI, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """The client has its answer, the others are told, and the log says what happened."""

    class Failing:
        def responded(self, status: int, sent: int, origin_status: int) -> None:
            raise SystemExit

    told = Told()
    decision = Decision(after=(Failing(), told))
    with memory.node(pki, None, staged(Stage(lambda exchange: decision))) as node:
        client = node.client()
        client.send(get())
        node.origin().send(OK)
        assert client.answer().status == 200
        assert len(told.answers) == 1
        assert len(flush_logged_errors(SystemExit)) == 1


@pytest.mark.parametrize(
    "said",
    [
        Decision(headers=((b"x", b"a\r\nset-cookie: b"),)),
        Decision(headers=((b"X-Big", b"a"),)),
        Decision(headers=((b"x y", b"a"),)),
        Decision(headers=[(b"x", b"a")]),  # type: ignore[arg-type]
        Decision(after=(object(),)),  # type: ignore[arg-type]
    ],
)
def test_what_a_stage_adds_to_answers_is_looked_at(said: Decision) -> None:
    """A line end in a header would be the beginning of another answer."""
    with pytest.raises((TypeError, ValueError)):
        check_said(said)


def test_no_stage_says_where_an_answer_ends(pki: PKI) -> None:
    """Fields of one hop and of the framing are the node's own."""
    headers = ((b"content-length", b"0"), (b"transfer-encoding", b"chunked"), (b"x-kept", b"1"))
    with memory.node(pki, None, staged(Stage(lambda exchange: Decision(headers=headers)))) as node:
        client = node.client()
        client.send(get())
        node.origin().send(OK)
        answer = client.answer()
        assert answer.fields("content-length") == [b"2"]
        assert answer.fields("transfer-encoding") == []
        assert answer.fields("x-kept") == [b"1"]
