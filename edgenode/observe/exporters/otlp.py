"""``type = otlp``: logs of OpenTelemetry, by OTLP over HTTP.

See "OpenTelemetry Protocol Specification" 1.5, and the semantic conventions for ``log.record.uid`` and ``service``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
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
_HEX = re.compile(r"(?:[0-9a-f]{16}){1,2}")
_MOST_INT = 1 << 63

_Form = Mapping[str, Any]


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
        form, observed = _FORMS[self.encoding], int(now * 1e9)
        resource = {"service.name": self.service_name, "service.instance.id": self.node, "service.version": version()}
        records = [_record(form, each, observed) for each in events]
        scope_logs = [{"scope": {"name": "edgenode", "version": version()}, form["log_records"]: records}]
        logs = [{"resource": {"attributes": _attributes(form, resource)}, form["scope_logs"]: scope_logs}]
        return HTTPRequest(form["write"]({form["resource_logs"]: logs}), {"content-type": form["media_type"]})

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


def _record(form: _Form, event: Outgoing, observed: int) -> Mapping[str, Any]:
    """A LogRecord."""
    number, text = _severity(event.event)
    return {
        form["time_unix_nano"]: form["number"](int(event.time * 1e6) * 1000),
        form["observed_time_unix_nano"]: form["number"](observed),
        form["severity_number"]: number,
        form["severity_text"]: text,
        "body": _text(form, _sentence(event.event)),
        "attributes": [*_attributes(form, {"log.record.uid": event.key}), *_attributes(form, event.sent)],
        **_trace(form, event.event.get("trace")),
    }


def _trace(form: _Form, trace: Any) -> Mapping[str, Any]:
    """The identifiers of the trace and the span."""
    if not isinstance(trace, dict):
        return {}
    found = {name: trace.get(name) for name in ("trace_id", "span_id")}
    return {
        form[name]: form["identifier"](value)
        for name, value in found.items()
        if isinstance(value, str) and _HEX.fullmatch(value)
    }


def _severity(event: Mapping[str, Any]) -> tuple[int, str]:
    status, state = event.get("status"), event.get("event")
    if isinstance(state, dict):
        return _ERROR if state.get("type") == "error" else _INFO
    if event.get("error") is not None or (isinstance(status, int) and status >= 500):
        return _ERROR
    return _INFO if event.get("action") is None else _WARN


def _sentence(event: Mapping[str, Any]) -> str:
    """An event in a few words."""
    state, request = event.get("event"), event.get("request")
    if isinstance(state, dict):
        return f"{state.get('action', '')}: {event.get('reason', '')}"
    if not isinstance(request, dict):
        return f"{event.get('client', '')} {event.get('status', '')}"
    asked = f"{request.get('method', '')} {request.get('authority', '')}{request.get('target', '')}"
    return f"{asked} {event.get('status', '')}"


def _attributes(form: _Form, parts: Mapping[str, Any], before: str = "") -> list[Mapping[str, Any]]:
    """The parts as attributes; those of objects within under names joined with dots, and nothing of what is null."""
    found: list[Mapping[str, Any]] = []
    for name, value in parts.items():
        if isinstance(value, dict):
            found += _attributes(form, value, f"{before}{name}.")
        elif value is not None:
            found.append({"key": before + name, "value": _WRITERS[type(value)](form, value)})
    return found


def _text(form: _Form, value: str) -> Mapping[str, Any]:
    """An AnyValue; lone surrogates are no UTF-8."""
    return {form["string_value"]: value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")}


def _integer(form: _Form, value: int) -> Mapping[str, Any]:
    if -_MOST_INT <= value < _MOST_INT:
        return {form["int_value"]: form["number"](value)}
    return {form["double_value"]: float(value)}


def _several(form: _Form, values: Sequence[Any]) -> Mapping[str, Any]:
    return {form["array_value"]: {"values": [_WRITERS[type(each)](form, each) for each in values if each is not None]}}


_WRITERS: Mapping[type, Callable[[_Form, Any], Mapping[str, Any]]] = {
    str: _text,
    bool: lambda form, value: {form["bool_value"]: value},
    int: _integer,
    float: lambda form, value: {form["double_value"]: value},
    dict: lambda form, value: {form["kvlist_value"]: {"values": _attributes(form, value)}},
    list: _several,
}
"""How the types of JSON are written as an AnyValue."""


# -- the two encodings -------------------------------------------------------------------------------------------------


def _json(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def _protobuf(message: Any) -> bytes:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    written: bytes = ExportLogsServiceRequest(**message).SerializeToString()
    return written


_NAMES = (
    "resource_logs", "scope_logs", "log_records", "time_unix_nano", "observed_time_unix_nano", "severity_number",
    "severity_text", "trace_id", "span_id", "string_value", "bool_value", "int_value", "double_value", "array_value",
    "kvlist_value",
)  # fmt: skip
"""The names of fields in protobuf; JSON has them without underscores, the next letter being a capital."""

_FORMS: Mapping[str, _Form] = {
    "json": {
        **{name: re.sub("_(.)", lambda match: match[1].upper(), name) for name in _NAMES},
        "number": str,  # of 64 bits
        "identifier": str,  # hexadecimal in OTLP, though it is Base64 in protobuf's own JSON
        "write": _json,
        "media_type": "application/json",
    },
    "protobuf": {
        **{name: name for name in _NAMES},
        "number": int,
        "identifier": bytes.fromhex,
        "write": _protobuf,
        "media_type": "application/x-protobuf",
    },
}
"""How each encoding names things and writes them."""


def _has_protobuf() -> bool:
    try:
        return find_spec("opentelemetry.proto.collector.logs.v1") is not None
    except ImportError:
        return False


def _partial(answer: Answer) -> Mapping[str, Any]:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    try:
        partial = ExportLogsServiceResponse.FromString(answer.body).partial_success
    except DecodeError:
        raise Unavailable(f"{answer.said}, and that is no ExportLogsServiceResponse") from None
    return {"rejectedLogRecords": partial.rejected_log_records, "errorMessage": partial.error_message}
