"""``type = otlp``: logs of OpenTelemetry, by OTLP over HTTP.

See "OpenTelemetry Protocol Specification" 1.5, and the semantic conventions for ``log.record.uid`` and ``service``.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Annotated, Any

from attrs import frozen

from edgenode.model.errors import printable
from edgenode.model.settings import Choice, Word, setting
from edgenode.model.version import version
from edgenode.observe.exporters.http import Answer, HTTPReceiver, HTTPRequest
from edgenode.observe.exporters.json_answers import said
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing, Unavailable

_INFO, _WARN, _ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")
_TYPES = {"json": "application/json", "protobuf": "application/x-protobuf"}
_HEX = re.compile(r"(?:[0-9a-f]{16}){1,2}")
_MOST_INT = 1 << 63


@frozen
class OTLP(HTTPReceiver):
    """A collector of OpenTelemetry, by OTLP over HTTP. The parts of an event are attributes, its key is
    ``log.record.uid``."""

    path: str = setting("The path of the collector.", "/v1/logs")
    encoding: Annotated[str, Choice(("json", "protobuf"))] = setting(
        "How requests are written. ``protobuf`` needs the package ``opentelemetry-proto``.", "json"
    )
    service_name: Word = setting("The ``service.name`` of the resource.", Word("edgenode"))

    def faults(self) -> Sequence[tuple[str, str, bool]]:
        """What is wrong with its keys, or doubtful: the key, a sentence, and whether it is a warning."""
        found = [*super().faults()]
        if self.encoding == "protobuf" and not _has_protobuf():
            sentence = (
                "it needs the package opentelemetry-proto, which the extra traces has; encoding = json needs none"
            )
            found.append(("encoding", sentence, False))
        return found

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """An ExportLogsServiceRequest."""
        resource = {"service.name": self.service_name, "service.instance.id": self.node, "service.version": version()}
        observed = str(int(now * 1e9))
        message = {
            "resourceLogs": [
                {
                    "resource": {"attributes": [*_attributes(resource)]},
                    "scopeLogs": [
                        {
                            "scope": {"name": "edgenode", "version": version()},
                            "logRecords": [_record(each, observed, self.encoding) for each in events],
                        }
                    ],
                }
            ]
        }
        body = (
            _protobuf(message) if self.encoding == "protobuf" else json.dumps(message, separators=(",", ":")).encode()
        )
        return HTTPRequest(body, {"content-type": _TYPES[self.encoding]})

    def outcome(self, events: Sequence[Outgoing], answer: Answer) -> Outcome:
        """Some may have been dropped; the protocol forbids to send them again.

        :raises Unavailable: if it is no ExportLogsServiceResponse.
        """
        if not answer.body:
            return TAKEN
        partial = _partial(answer) if self.encoding == "protobuf" else said(answer).get("partialSuccess") or {}
        try:
            dropped, why = int(partial.get("rejectedLogRecords", 0)), str(partial.get("errorMessage", ""))
        except (ValueError, TypeError, AttributeError):
            raise Unavailable(f"{answer.said}, and that is no ExportLogsServiceResponse") from None
        if not 0 <= dropped <= len(events):
            raise Unavailable(f"{answer.said}, but only {len(events)} events were sent")
        if not dropped:
            return TAKEN
        return Outcome(reason=f"the receiver has dropped {dropped} events: {printable(why[:300])}", dropped=dropped)


def _record(event: Outgoing, observed: str, encoding: str) -> Mapping[str, Any]:
    """A LogRecord."""
    number, text = _severity(event.event)
    return {
        "timeUnixNano": str(int(event.time * 1e6) * 1000),
        "observedTimeUnixNano": observed,
        "severityNumber": number,
        "severityText": text,
        "body": _value(_sentence(event.event)),
        "attributes": [*_attributes({"log.record.uid": event.key}), *_attributes(event.sent)],
        **_trace(event.event.get("trace"), encoding),
    }


def _trace(trace: Any, encoding: str) -> Mapping[str, str]:
    """The identifiers of the trace and the span: hexadecimal in OTLP's JSON, Base64 in that of protobuf."""
    if not isinstance(trace, Mapping):
        return {}
    found = {"traceId": trace.get("trace_id"), "spanId": trace.get("span_id")}
    known = {key: value for key, value in found.items() if isinstance(value, str) and _HEX.fullmatch(value)}
    if encoding == "json":
        return known
    return {key: base64.b64encode(bytes.fromhex(value)).decode("ascii") for key, value in known.items()}


def _severity(event: Mapping[str, Any]) -> tuple[int, str]:
    status, state = event.get("status"), event.get("event")
    if isinstance(state, Mapping):
        return _ERROR if state.get("type") == "error" else _INFO
    if event.get("error") is not None or (isinstance(status, int) and status >= 500):
        return _ERROR
    return _INFO if event.get("action") is None else _WARN


def _sentence(event: Mapping[str, Any]) -> str:
    """An event in a few words."""
    state, request = event.get("event"), event.get("request")
    if isinstance(state, Mapping):
        return f"{state.get('action', '')}: {event.get('reason', '')}"
    if not isinstance(request, Mapping):
        return f"{event.get('client', '')} {event.get('status', '')}"
    asked = f"{request.get('method', '')} {request.get('authority', '')}{request.get('target', '')}"
    return f"{asked} {event.get('status', '')}"


def _attributes(parts: Mapping[str, Any], before: str = "") -> Iterator[Mapping[str, Any]]:
    """The parts as attributes; those of objects within under names joined with dots, and nothing of what is null."""
    for name, value in parts.items():
        if isinstance(value, Mapping):
            yield from _attributes(value, f"{before}{name}.")
        elif value is not None:
            yield {"key": f"{before}{name}", "value": _value(value)}


def _value(value: Any) -> Mapping[str, Any]:
    """An AnyValue; a 64-bit number is written as a text."""
    match value:
        case bool():
            return {"boolValue": value}
        case int() if -_MOST_INT <= value < _MOST_INT:
            return {"intValue": str(value)}
        case int() | float():
            return {"doubleValue": float(value)}
        case Mapping():
            return {"kvlistValue": {"values": [*_attributes(value)]}}
        case list():
            return {"arrayValue": {"values": [_value(each) for each in value if each is not None]}}
    return {"stringValue": str(value).encode("utf-8", "replace").decode("utf-8")}  # lone surrogates are no UTF-8


# -- protobuf ----------------------------------------------------------------------------------------------------------


def _has_protobuf() -> bool:
    try:
        return find_spec("opentelemetry.proto.collector.logs.v1") is not None
    except ImportError:
        return False


def _protobuf(message: Mapping[str, Any]) -> bytes:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    written: bytes = ParseDict(message, ExportLogsServiceRequest()).SerializeToString()
    return written


def _partial(answer: Answer) -> Mapping[str, Any]:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    try:
        partial = ExportLogsServiceResponse.FromString(answer.body).partial_success
    except DecodeError:
        raise Unavailable(f"{answer.said}, and that is no ExportLogsServiceResponse") from None
    return {"rejectedLogRecords": partial.rejected_log_records, "errorMessage": partial.error_message}
