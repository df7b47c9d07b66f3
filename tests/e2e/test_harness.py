"""The harness itself: a node between a blocking client and a recording origin."""

from __future__ import annotations

from tests.support.node import PKI, Origin, get, started


async def test_a_request_reaches_the_origin_and_its_answer_the_client(pki: PKI) -> None:
    """A request passes with its method, target and fields, and the origin has seen our client certificate."""
    with Origin(pki) as origin:
        async with started(pki, origin) as node:
            received = await node.exchange(get("/a?b", "open.test", "X-Own: 1", close=True))
            (event,) = await node.events.take()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\nok")
    (request,) = origin.requests
    assert request.startswith(b"GET /a?b HTTP/1.1\r\nHost: open.test\r\nX-Own: 1\r\n")
    assert origin.peers == ["edge as a client"]
    assert event["status"] == 200
