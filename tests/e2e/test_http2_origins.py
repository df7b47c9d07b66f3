"""Servers of HTTP/2 that others wrote, behind a node."""

from __future__ import annotations

import subprocess

import pytest

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
