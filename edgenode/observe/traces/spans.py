"""The spans of an exchange, made of its record, and their encoding: OpenTelemetry's, with its semantic conventions for
HTTP (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).

Law: a span says no more than an event does, and of the query nothing unless that is wanted. What clients have sent is
cut, so that a span has a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from edgenode.model.errors import OriginError
from edgenode.model.interfaces import Record
from edgenode.model.trace import Trace
from edgenode.model.version import version
from edgenode.proxy.trace_context import new_span_id

_LONGEST = 1024
"""Characters of a text."""

_MOST = 128
"""Tags, and filters that matched."""

_METHODS = frozenset(
    (b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"QUERY", b"TRACE")
)

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)

Attributes = dict[str, Any]


class SpanWriter:
    """Writes the spans of exchanges as OTLP.

    :param service: their ``service.name``.
    :param node: their ``service.instance.id``.
    :param query: whether they have the query of a request.
    """

    def __init__(self, service: str, node: str, *, query: bool) -> None:
        self._resource = Resource({"service.name": service, "service.instance.id": node, "service.version": version()})
        self._scope = InstrumentationScope("edgenode", version())
        self._query = query

    def write(self, records: Iterable[Record]) -> bytes:
        """An ``ExportTraceServiceRequest``: of two, one behind the other is one of both."""
        written: bytes = encode_spans([span for each in records for span in self.spans(each)]).SerializeToString()
        return written

    def spans(self, record: Record) -> Iterator[ReadableSpan]:
        """The spans of an exchange, the one that is the parent of the others first."""
        trace = record.trace
        if trace is None:
            return
        if record.websocket is not None:
            yield self._websocket(record, trace)
            return
        yield self._server(record, trace)
        if record.decision.timings:
            yield self._decision(record, trace)
        if record.tries:
            yield from self._tries(record, trace)

    # -- each ---------------------------------------------------------------------------------------------------------

    def _server(self, record: Record, trace: Trace) -> ReadableSpan:
        request, parent = record.exchange.request, None
        if trace.parent_id:
            parent = SpanContext(int(trace.trace_id, 16), int(trace.parent_id, 16), is_remote=True)
        links: tuple[Link, ...] = ()
        if trace.link is not None:
            linked = SpanContext(int(trace.link[0], 16), int(trace.link[1], 16), is_remote=True)
            links = (Link(linked, {"edgenode.link": "client"}),)
        method = "HTTP" if request is None else _method(request.method)
        name = " ".join(filter(None, (method, record.exchange.path_map)))
        failed = record.status >= 500 or record.status == 0
        return self._span(
            record, trace, name, trace.span_id, SpanKind.SERVER, record.began, record.ended,
            self._of_request(record), failed, parent, links=links,
        )  # fmt: skip

    def _of_request(self, record: Record) -> Attributes:
        exchange, decision = record.exchange, record.decision
        connection, request, client = exchange.connection, exchange.request, exchange.connection.client
        found: Attributes = {
            "client.address": exchange.client,
            "network.peer.address": connection.peer.host,
            "network.peer.port": connection.peer.port,
            "edgenode.request.id": _text(record.identifier),
            "edgenode.listener": record.listener,
            "edgenode.server_group": exchange.server_group,
            "edgenode.path_map": exchange.path_map,
            "edgenode.mode": decision.mode,
            "edgenode.tags": sorted(decision.tags)[:_MOST],
            "edgenode.filter": list(dict.fromkeys(why.filter for why in decision.reasons))[:_MOST],
            "edgenode.client.verify": str(connection.verification),
            "tls.protocol.version": connection.tls_version.removeprefix("TLSv"),
            "tls.cipher": connection.cipher,
        }
        if request is not None:
            host, _, port = request.authority.decode("latin-1").rpartition(":")
            if not port.isdecimal():
                host, port = request.authority.decode("latin-1"), ""
            found |= {
                "http.request.method": _method(request.method, "_OTHER"),
                "url.scheme": _text(request.scheme),
                "url.path": _text(request.target.partition(b"?")[0]),
                "server.address": host[:_LONGEST].strip("[]"),
                "network.protocol.version": _version(request.version),
                "user_agent.original": _text((request.fields.get(b"user-agent") or (b"",))[0]),
                "http.request.body.size": record.received,
            }
            if port:
                found["server.port"] = int(port)
            if request.method not in _METHODS:
                found["http.request.method_original"] = _text(request.method)
            if self._query and request.query is not None:
                found["url.query"] = _text(request.query)
        if client is not None:
            found |= {
                "tls.client.subject": client.subject,
                "tls.client.issuer": client.issuer,
                "tls.client.hash.sha256": client.fingerprint_sha256.upper(),
            }
        if decision.action is not None:
            found["edgenode.action"] = decision.action.name
        if record.status:
            found |= {"http.response.status_code": record.status, "http.response.body.size": record.sent}
        if record.grpc_status is not None:
            found |= {"rpc.system": "grpc", "rpc.grpc.status_code": record.grpc_status}
        error = record.error
        if error is not None:
            found["edgenode.error"] = error.reason
        if record.status >= 500 or not record.status:
            found["error.type"] = error.kind if isinstance(error, OriginError) else str(record.status)
        return found

    def _decision(self, record: Record, trace: Trace) -> ReadableSpan:
        """What the pipeline has said, each stage an event at its end."""
        decision = record.decision
        ended, at, events = record.decided or record.ended, record.began, []
        for stage, taken in decision.timings:
            at = min(at + taken / 1e6, ended)
            filters = list(dict.fromkeys(why.filter for why in decision.reasons if why.stage == stage))[:_MOST]
            attributes = {"edgenode.stage.duration": round(taken / 1e6, 9), "edgenode.filter": filters}
            events.append(Event(stage, _clean(attributes), _at(record, at)))
        found: Attributes = {"edgenode.mode": decision.mode}
        if decision.action is not None:
            found["edgenode.action"] = decision.action.name
        return self._span(
            record, trace, "decision", new_span_id(), SpanKind.INTERNAL, record.began, ended, found, events=events
        )

    def _tries(self, record: Record, trace: Trace) -> Iterator[ReadableSpan]:
        """A span for each server that was asked."""
        began = record.decided or record.began
        for number, each in enumerate(trace.failed):
            found = self._of_try(record, each.server, number)
            if each.error.startswith("http-"):
                found["http.response.status_code"] = int(each.error[5:])
            found["error.type"] = each.error.removeprefix("http-")
            yield self._span(
                record, trace, _span_name(record), each.span_id, SpanKind.CLIENT, began, each.ended, found, True
            )
            began = each.ended
        found, error, status = (
            self._of_try(record, record.server, len(trace.failed)),
            record.error,
            record.origin_status,
        )
        found |= {"edgenode.origin.reused": record.reused, "edgenode.origin.tries": record.tries}
        if record.queued:
            found["edgenode.origin.queued"] = round(record.queued, 6)
        if status:
            found["http.response.status_code"] = status
        broken = isinstance(error, OriginError) or not status
        if broken or status >= 400:
            kind = error.kind if isinstance(error, OriginError) else "cancelled"
            found["error.type"] = kind if broken else str(status)
        events = [Event("response", {}, _at(record, record.answered))] if record.answered else []
        yield self._span(
            record, trace, _span_name(record), trace.origin_span_id, SpanKind.CLIENT, began, record.ended, found,
            broken or status >= 400, events=events,
        )  # fmt: skip

    def _of_try(self, record: Record, server: str | None, number: int) -> Attributes:
        request = record.exchange.request
        assert request is not None
        address, _, port = (server or "").rpartition(":")
        found: Attributes = {
            "http.request.method": _method(request.method, "_OTHER"),
            "url.path": _text(request.target.partition(b"?")[0]),
            "edgenode.origin": record.origin,
        }
        if address == "unix":
            found["server.address"] = port
        elif address:
            found |= {"server.address": address.strip("[]"), "server.port": int(port)}
        if number:
            found["http.request.resend_count"] = number
        if record.origin_status:
            found["network.protocol.version"] = "2" if record.origin_protocol == "HTTP/2" else "1.1"
        return found

    def _websocket(self, record: Record, trace: Trace) -> ReadableSpan:
        """What has passed since the handshake."""
        state = record.websocket
        assert state is not None
        found: Attributes = {
            "edgenode.websocket.received": state.received,
            "edgenode.websocket.sent": state.sent,
            "edgenode.websocket.code": state.code or 0,
            "edgenode.websocket.closed_by": state.closed_by or "",
        }
        began = record.answered or record.began
        return self._span(record, trace, "websocket", new_span_id(), SpanKind.INTERNAL, began, record.ended, found)

    def _span(
        self,
        record: Record,
        trace: Trace,
        name: str,
        span_id: bytes,
        kind: SpanKind,
        began: float,
        ended: float,
        attributes: Attributes,
        failed: bool = False,
        parent: SpanContext | None = None,
        events: Sequence[Event] = (),
        links: Sequence[Link] = (),
    ) -> ReadableSpan:
        trace_id = int(trace.trace_id, 16)
        state = TraceState.from_header([trace.state.decode("latin-1")]) if trace.state else None
        if parent is None and span_id != trace.span_id:
            parent = SpanContext(trace_id, int(trace.span_id, 16), False, _SAMPLED, state)
        return ReadableSpan(
            name,
            SpanContext(trace_id, int(span_id, 16), False, _SAMPLED, state),
            parent,
            self._resource,
            _clean(attributes),
            events,
            links,
            kind,
            status=Status(StatusCode.ERROR) if failed else Status(),
            start_time=_at(record, began),
            end_time=_at(record, max(began, ended)),
            instrumentation_scope=self._scope,
        )


def rejected(answer: bytes) -> tuple[int, str]:
    """How many spans the receiver has not taken, and what it says of them.

    :param answer: an ``ExportTraceServiceResponse``; anything else says nothing.
    """
    response = ExportTraceServiceResponse()
    try:
        response.ParseFromString(answer)
    except Exception:  # protobuf's DecodeError, or what an accelerated parser raises
        return 0, ""
    partial = response.partial_success
    return max(0, partial.rejected_spans), partial.error_message


def _at(record: Record, moment: float) -> int:
    """Nanoseconds since the epoch of a moment of :func:`time.perf_counter`."""
    return round(record.time * 1e9) + round((moment - record.began) * 1e9)


def _method(method: bytes, other: str = "HTTP") -> str:
    return method.decode("ascii") if method in _METHODS else other


def _span_name(record: Record) -> str:
    assert record.exchange.request is not None
    return _method(record.exchange.request.method)


def _version(version: tuple[int, int]) -> str:
    return "2" if version == (2, 0) else f"{version[0]}.{version[1]}"


def _text(value: bytes) -> str:
    return value[:_LONGEST].decode("latin-1")


def _clean(attributes: Mapping[str, Any]) -> Attributes:
    """Attributes without those that say nothing, and of texts what is UTF-8."""
    return {name: _valid(value) for name, value in attributes.items() if value not in ("", [])}


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() and len(value) <= _LONGEST else _utf8(value)
    return [_valid(each) for each in value] if isinstance(value, list) else value


def _utf8(value: str) -> str:
    return value[:_LONGEST].encode("utf-8", "replace").decode("utf-8")
