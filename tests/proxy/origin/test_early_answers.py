"""An origin that answers an upload before it has read it, and resets the connection: its answer counts."""

from __future__ import annotations

import pytest

from tests.support.node import OK, PKI, Changes, Origin, Served, get, started

TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
UPLOAD = get("/", "open.test", "Content-Length: 1000000", method="POST", close=True, body=bytes(1_000_000))


@pytest.mark.parametrize("kept", [False, True])
async def test_an_answer_is_read_though_a_write_fails(pki: PKI, kept: bool) -> None:
    """On a new connection and on a kept one. (With TLS it has to be read before the write: OpenSSL cannot do it after.
    See the tests of the transport, and of a connection's ``begin``.)"""

    def behave(served: Served) -> None:
        if kept:
            served.request()
            served.send(OK)
        served.head()
        served.send(TOO_LARGE)

    with Origin(pki, behave, tls=False) as origin:
        servers = {"servers": f"http://127.0.0.1:{origin.port}", "certificate": None, "trust-store": None}
        changes: Changes = {"path-map all": {"max-body-size": "2m"}, "origin origin": {**servers, "server-name": None}}
        async with started(pki, origin, changes) as node:
            for _ in range(8):
                if kept:
                    await node.exchange(get(close=True))
                assert (await node.exchange(UPLOAD)).startswith(b"HTTP/1.1 413 ")
            events = await node.events.take(16 if kept else 8)
    assert [event["error"] for event in events] == [None] * len(events)
    assert [event["origin"]["reused"] for event in events] == [False, True] * 8 if kept else [False] * 8
