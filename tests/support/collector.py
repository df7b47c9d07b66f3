"""A collector of OpenTelemetry's spans, strict: it takes what the protocol says (OTLP over HTTP, protobuf) alone.

https://opentelemetry.io/docs/specs/otlp/#otlphttp, and the comments of ``opentelemetry/proto/trace/v1/trace.proto``.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.clients import fields
from tests.support.origins import Served


@frozen
class Seen:
    """A span as it came.

    :ivar kind: ``SERVER``, ``CLIENT``, ``INTERNAL``.
    :ivar parent: empty for none.
    :ivar events: each with its attributes.
    :ivar links: trace and span of each.
    :ivar failed: whether its status is an error.
    :ivar resource: the attributes of what has made it.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    state: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[tuple[str, str]]
    failed: bool
    began: int
    ended: int
    resource: dict[str, Any]


def read(body: bytes) -> list[Seen]:
    """The spans of a request's body.

    :raises AssertionError: if it is not what the protocol says.
    """
    request = ExportTraceServiceRequest()
    assert request.ParseFromString(body) == len(body)
    known = ExportTraceServiceRequest()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    assert known == request, "fields that the protocol does not have"
    found = []
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        assert resource["service.name"]
        for of_scope in of_resource.scope_spans:
            assert of_scope.scope.name == "edgenode"
            found += [_seen(span, resource) for span in of_scope.spans]
    assert found, "a request without a span"
    assert len({span.span_id for span in found}) == len(found)
    return found


def _seen(span: Any, resource: dict[str, Any]) -> Seen:
    assert len(span.trace_id) == 16
    assert any(span.trace_id)
    assert len(span.span_id) == 8
    assert any(span.span_id)
    assert len(span.parent_span_id) in (0, 8)
    assert span.name
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
    assert all(span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano for event in span.events)
    for link in span.links:
        assert len(link.trace_id) == 16
        assert len(link.span_id) == 8
    return Seen(
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        _attributes(span.attributes),
        [(event.name, _attributes(event.attributes)) for event in span.events],
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        span.status.code == 2,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    found = {pair.key: _value(pair.value) for pair in pairs}
    assert len(found) == len(pairs), "a key twice"
    assert all(found), "a key that is empty"
    return found


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def answer(rejected: int = 0, message: str = "") -> bytes:
    """The body of an answer."""
    response = ExportTraceServiceResponse()
    if rejected or message:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    body: bytes = response.SerializeToString()
    return body


class Collector:
    """What an origin of :class:`tests.support.origins.Origin` does to be a collector.

    :ivar spans: what came.
    :ivar heads: the head of each request.
    :ivar faults: what was wrong with requests.
    """

    def __init__(self, path: str = "/v1/traces") -> None:
        self.spans: list[Seen] = []
        self.heads: list[bytes] = []
        self.faults: list[str] = []
        self._path = path

    def __call__(self, served: Served) -> None:
        """Serve a connection."""
        while (request := served.request()) is not None:
            head, _, body = request.partition(b"\r\n\r\n")
            self.heads.append(head)
            try:
                assert head.startswith(b"POST %b HTTP/1.1\r\n" % self._path.encode())
                assert fields(head + b"\r\n\r\n", "content-type") == [b"application/x-protobuf"]
                assert fields(head + b"\r\n\r\n", "content-length") == [b"%d" % len(body)]
                assert b"traceparent" not in head.lower(), "what is sent to a collector stands in no trace"
                self.spans += read(body)
            except Exception as error:
                self.faults.append(repr(error))
            said = answer()
            served.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n%b"
                % (len(said), said)
            )
