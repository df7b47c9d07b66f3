"""Traces of a live node: a collector on a socket, by TLS with the node's certificate, and one that is killed."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from edgenode.node.traces_use import TracesUse
from edgenode.observe.traces.sender import SpanSender
from tests.support.collector import Collector
from tests.support.grpc_origin import Caller, GrpcOrigin, message
from tests.support.node import PKI, Changes, Node, Origin, get, in_thread, started, until

pytestmark = pytest.mark.lasting

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def traced(port: int, **changes: str) -> Changes:
    """A node that traces every request."""
    return {
        "traces": {"origin": "collector", "sample": "1", "parent": "respect", "interval": "100ms", **changes},
        "origin collector": {
            "servers": f"https://127.0.0.1:{port}",
            "server-name": "origin.test",
            "certificate": "edge-client",
            "trust-store": "servers",
            "max-fails": "0",
        },
    }


def sender(node: Node) -> SpanSender:
    """What sends the spans of a node."""
    part: Any = next(each for each in node.service._observation._parts if isinstance(each, TracesUse))
    found: SpanSender = part._sender
    return found


async def test_spans_arrive_with_the_certificate_of_the_node(pki: PKI) -> None:
    """The collector has verified it, as the node has verified the collector."""
    collector = Collector()
    with Origin(pki) as origin, Origin(pki, collector) as at:
        async with started(pki, origin, traced(at.port)) as node:
            for _ in range(3):
                await node.exchange(get("/a?b=1", "open.test", f"traceparent: {PARENT}", close=True))
            await until(lambda: len(collector.spans) >= 9)
        assert collector.faults == []
        assert set(at.peers) == {"edge as a client"}
        assert {span.trace_id for span in collector.spans} == {PARENT[3:35]}
        sent = [re.search(rb"traceparent: (\S+)", request) for request in origin.requests]
        clients = [span.span_id for span in collector.spans if span.kind == "CLIENT"]
        assert [each[1].decode() for each in sent if each] == [f"00-{PARENT[3:35]}-{span}-01" for span in clients]


async def test_a_collector_is_killed_and_comes_back(pki: PKI) -> None:
    """In the middle of a run: no request notices, what waits has its bound, and afterwards spans arrive again."""
    collector = Collector()
    with Origin(pki) as origin:
        at = Origin(pki, collector)
        async with started(pki, origin, traced(at.port, queue="5")) as node:
            await node.exchange(get("/", close=True))
            await until(lambda: collector.spans)
            port = at.port
            await in_thread(at.close)
            for _ in range(12):
                assert b"200 OK" in await node.exchange(get("/", close=True))
            await until(lambda: sender(node).counts.dropped and sender(node).counts.fault)
            assert sender(node).waiting <= 5 + 12
            assert len(origin.requests) == 13
            before = len(collector.spans)
            with Origin(pki, collector) as again:
                reloaded = traced(again.port, queue="5")
                assert again.port != port
                await node.reload(origin, reloaded)
                await node.exchange(get("/", close=True))
                await until(lambda: len(collector.spans) > before)
                assert collector.faults == []


async def test_calls_of_grpc_go_on_in_their_trace(pki: PKI) -> None:
    """grpcio's server sees our span as its parent in the metadata."""
    pki.client.write(pki.folder, "alice")
    collector = Collector()
    h2: Changes = {"origin origin": {"protocol": "h2"}}
    with GrpcOrigin.running(pki) as origin, Origin(pki, collector) as at:
        async with started(pki, origin.port, {**traced(at.port), **h2}) as node:

            def call() -> None:
                with Caller.of(pki.folder, node.port, "alice", "strict.test") as caller:
                    caller.unary(message(sizes=[9]), metadata=(("traceparent", PARENT), ("tracestate", "a=1")))

            await in_thread(call)
            await until(lambda: len(collector.spans) >= 3)
            seen = await in_thread(origin.seen)
        metadata = [tuple(each) for each in seen[-1]["metadata"]]
        server = next(span for span in collector.spans if span.kind == "SERVER")
        client = next(span for span in collector.spans if span.kind == "CLIENT")
        assert [value for name, value in metadata if name == "traceparent"] == [
            f"00-{PARENT[3:35]}-{client.span_id}-01"
        ]
        assert [value for name, value in metadata if name == "tracestate"] == ["a=1"]
        assert (server.attributes["rpc.grpc.status_code"], server.attributes["tls.client.subject"]) == (
            0,
            "CN=Alice,O=Partners",
        )
        assert client.attributes["network.protocol.version"] == "2"


async def test_curl_goes_on_in_its_trace(pki: PKI) -> None:
    """By HTTP/1.1 and HTTP/2."""
    collector = Collector()
    with Origin(pki) as origin, Origin(pki, collector) as at:
        async with started(pki, origin, traced(at.port)) as node:
            for version in ("--http1.1", "--http2"):
                command = [
                    "curl", "-sk", version, "-H", f"traceparent: {PARENT}", "--resolve",
                    f"open.test:{node.port}:127.0.0.1", f"https://open.test:{node.port}/",
                ]  # fmt: skip
                await in_thread(subprocess.run, command, capture_output=True, check=True)
            await until(lambda: len(collector.spans) >= 6)
        versions = [span.attributes["network.protocol.version"] for span in collector.spans if span.kind == "SERVER"]
        assert versions == ["1.1", "2"]
        assert {span.parent for span in collector.spans if span.kind == "SERVER"} == {PARENT[36:52]}
        assert all(PARENT[3:35].encode() in request and PARENT.encode() not in request for request in origin.requests)
