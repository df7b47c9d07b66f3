"""A collector to look at spans with: it takes them by OTLP over HTTP, and prints each below its parent.

``python examples/observe/collector.py`` serves https://localhost:4318, and demands a certificate of the node. It needs
the packages of the extra ``edgenode[traces]``.
"""

from __future__ import annotations

import pathlib
import ssl
import sys
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PKI = pathlib.Path(__file__).parent / "pki" / "internal"
SHOWN = ("url.path", "http.response.status_code", "server.address", "error.type", "edgenode.filter", "edgenode.action")


def show(spans: Iterable[Any], parent: bytes = b"", depth: int = 0) -> None:
    """Print those that have a parent, each with those below it."""
    spans = list(spans)
    known = {span.span_id for span in spans}
    for span in spans:
        above = span.parent_span_id if span.parent_span_id in known else b""
        if above == parent:
            attributes = {each.key: each.value for each in span.attributes if each.key in SHOWN}
            told = " ".join(f"{key}={_text(attributes[key])}" for key in SHOWN if key in attributes)
            taken = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
            trace = f"{span.trace_id.hex()} " if not depth else "  " * depth
            say(f"{trace}{span.name} {taken:.1f} ms {told}")
            show(spans, span.span_id, depth + 1)


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    return ",".join(map(_text, value.array_value.values)) if kind == "array_value" else str(getattr(value, kind))


class Handler(BaseHTTPRequestHandler):
    """Takes spans."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Print what comes."""
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        show(span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans)
        body = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing else."""


def main(port: int = 4318) -> None:
    """Serve until Ctrl-C."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PKI / "collector.pem", PKI / "collector.key")
    context.load_verify_locations(PKI / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = HTTPServer(("127.0.0.1", port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    say(f"listening on port {server.server_port}")
    server.serve_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
