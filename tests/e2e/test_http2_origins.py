"""Servers of HTTP/2 that others wrote, behind a node."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.support.http2_origins import Asked, Http2Origin, Spoken
from tests.support.node import PKI, get, in_thread, started
from tests.support.real_origins import nginx

pytestmark = pytest.mark.lasting

HTTP2 = {"origin origin": {"protocol": "h2"}}


async def test_nginx_is_asked_by_http2_with_our_certificate(pki: PKI) -> None:
    """By clients of HTTP/1.1 and HTTP/2 alike, on one connection; the event says what was spoken."""
    extra = 'location /v { return 200 "$server_protocol $connection $ssl_client_s_dn $http_via"; }'
    with nginx(pki.folder, extra=extra, http2=True) as port:
        async with started(pki, port, HTTP2) as node:
            first = await node.exchange(get("/v", close=True))
            assert b"HTTP/2.0 1 CN=edge as a client 1.1 edge-test" in first
            assert b"Via: 2.0 edge-test" in first
            command = [
                "curl", "-sk", "--http2", "--resolve", f"open.test:{node.port}:127.0.0.1",
                *[f"https://open.test:{node.port}/v" for _ in range(3)],
            ]  # fmt: skip
            asked = await in_thread(subprocess.run, command, capture_output=True, check=True)
            assert asked.stdout == b"HTTP/2.0 1 CN=edge as a client 2.0 edge-test" * 3
            events = await node.events.take(4)
            assert [event["origin"]["protocol"] for event in events] == ["HTTP/2"] * 4
            assert [event["origin"]["reused"] for event in events] == [False, True, True, True]
            assert all(event["origin"]["certificate"]["accepted"] for event in events)


async def test_a_server_that_ends_its_connections_often_refuses_nobody(pki: PKI) -> None:
    """nginx says GOAWAY after each hundredth request, and looks at none that was on its way then."""
    extra = "keepalive_requests 100; http2_max_concurrent_streams 16; location /k { return 200 x; }"
    with nginx(pki.folder, extra=extra, http2=True) as port:
        async with started(pki, port, HTTP2) as node:
            command = ["h2load", "-n", "2000", "-c", "5", "-m", "20", f"--connect-to=127.0.0.1:{node.port}"]
            asked = await in_thread(subprocess.run, [*command, "https://open.test/k"], capture_output=True, check=True)
            assert b"status codes: 2000 2xx" in asked.stdout
            assert {event["origin"]["tries"] for event in node.events.told} == {1}


def refusing(how: str) -> tuple[list[Asked], Callable[[Spoken, Asked], None]]:
    """An origin's answers: it refuses two, then takes it.

    :returns: what it has refused, and what answers.
    """
    refused: list[Asked] = []

    def answer(spoken: Spoken, asked: Asked) -> None:
        if len(refused) == 2:
            spoken.answer(asked.stream, b"%d" % len(asked.body), ((b":status", b"200"),))
            return
        refused.append(asked)
        if how == "stream":
            spoken.h2.reset_stream(asked.stream, 7)
            spoken.flush()
        else:
            spoken.served.send(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0")

    return refused, answer


@pytest.mark.parametrize("how", ["stream", "connection"])
@pytest.mark.parametrize("size", [0, 10, 60_000])
async def test_what_an_origin_refuses_unseen_is_sent_again(pki: PKI, how: str, size: int) -> None:
    """By REFUSED_STREAM, or GOAWAY below it: with its body, whatever the method, and on no account of the server."""
    refused, answer = refusing(how)
    with Http2Origin(pki, answer) as origin:
        async with started(pki, origin, {"origin origin": {"protocol": "h2", "max-fails": "1"}}) as node:
            head = get("/", "open.test", f"Content-Length: {size}", method="POST", close=True)
            told = await node.exchange(head + bytes(size))
            assert b"\r\n%d\r\n" % size in told
            assert len(refused) == 2
            (event,) = await node.events.take()
            assert (event["origin"]["tries"], event["error"], event["bytes"]["received"]) == (1, None, size)


async def test_a_large_body_is_not_kept_to_be_sent_again(pki: PKI) -> None:
    """More than 64 KiB of it are gone: then the client is told 502."""
    _, answer = refusing("stream")
    with Http2Origin(pki, answer) as origin:
        async with started(pki, origin, HTTP2) as node:
            head = get("/", "open.test", "Content-Length: 100000", method="POST", close=True)
            assert (await node.exchange(head + bytes(100_000))).startswith(b"HTTP/1.1 502 ")
            (event,) = await node.events.take()
            assert event["error"]["reason"] == "the origin reset the stream: REFUSED_STREAM"


async def test_an_origin_that_refuses_everything_is_not_asked_for_ever(pki: PKI) -> None:
    """Nine times in all."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        spoken.h2.reset_stream(asked.stream, 7)
        spoken.flush()

    with Http2Origin(pki, answer) as origin:
        async with started(pki, origin, HTTP2) as node:
            assert (await node.exchange(get("/", close=True))).startswith(b"HTTP/1.1 502 ")
            assert len(origin.asked) == 9
