"""Answers that are judged, end to end: origins of HTTP/2, calls of gRPC, and large bodies, on real sockets."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from edgenode import Exchange, FunctionResult, OriginResponse, Response
from tests.support import memory
from tests.support.http2_origins import Asked, Http2Origin, Spoken
from tests.support.node import PKI, Changes, get, in_thread, started

pytestmark = pytest.mark.lasting

HTTP2: Changes = {"origin origin": {"protocol": "h2"}}


def later(exchange: Exchange, response: OriginResponse) -> Deferred[FunctionResult]:
    """Judge an answer in another turn of the reactor."""
    from twisted.internet import reactor

    return deferLater(reactor, 0.0, judged, exchange, response)


def judged(exchange: Exchange, response: OriginResponse) -> FunctionResult:
    """Let no secret pass."""
    if response.body is not None and b"secret" in response.body.data:
        return FunctionResult(answer=Response(500, (), b"no\n"))
    return FunctionResult(headers=((b"x-judged", b"%d" % len(response.body.data if response.body else b"")),))


def judging(**keys: str) -> Changes:
    """That function of all answers, of an origin of HTTP/2."""
    named = {"function": f"{__name__}:later", "point": "response-before", "response-limit": "1k", "unseen": "pass"}
    own: Changes = {"edge-function f": {**named, **keys}, "path-map all": {"edge-functions": "f"}}
    return memory.merged(HTTP2, own)


def answering(body: bytes) -> Any:
    """The answers of an origin."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        spoken.answer(asked.stream, body, ((b":status", b"200"), (b"content-type", b"text/html")))

    return answer


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"hello", 200, b"x-judged: 5"),
        (b"a secret", 500, b"no\n"),
        (b"a" * 5_000_000, 200, b"x-judged: 1024"),
        (b"", 200, b"x-judged: 0"),
    ],
)
async def test_answers_of_an_origin_of_http_2_are_judged(pki: PKI, body: bytes, status: int, told: bytes) -> None:
    """For clients of both versions, short ones and long ones; and what passes is whole."""
    with Http2Origin(pki, answering(body)) as origin:
        async with started(pki, origin, judging()) as node:
            answer = await node.exchange(get("/", close=True))
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert told in answer.lower()
            if status == 200:
                assert answer.endswith(body) or b"chunked" in answer
                assert answer.count(b"a" * 100) >= len(body) // 200
            command = [
                "curl", "-sk", "--http2", "-w", "%{http_code}", "--resolve", f"open.test:{node.port}:127.0.0.1",
                *[f"https://open.test:{node.port}/{number}" for number in range(3)],
            ]  # fmt: skip
            asked = await in_thread(subprocess.run, command, capture_output=True, check=True)
            whole = body if status == 200 else b"no\n"
            assert asked.stdout == (whole + b"%d" % status) * 3
            events = await node.events.take(4)
            assert [event["status"] for event in events] == [status] * 4


async def test_a_reload_takes_up_what_has_changed(pki: PKI) -> None:
    """From the next request on, also on a connection that is open."""
    with Http2Origin(pki, answering(b"a" * 5000)) as origin:
        async with started(pki, origin, judging()) as node:
            for changes, told in (
                (judging(), b"x-judged: 1024\r\n"),
                (judging(**{"response-limit": "2k"}), b"x-judged: 2048\r\n"),
                (HTTP2, b""),
            ):
                await node.reload(origin, changes)
                answer = (await node.exchange(get("/", close=True))).lower()
                assert told in answer
                assert bool(told) is (b"x-judged" in answer)
