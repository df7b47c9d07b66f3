"""``type = otlp``: OpenTelemetry's own messages read what is sent, and answers are read as the protocol says."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from edgenode.observe.exporters.http import Answer
from edgenode.observe.exporters.otlp import OTLP
from edgenode.observe.exporters.outgoing import outgoing
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing, Unavailable
from tests.observe.exporters.support import NOW, Received, answer, configured, event_line, events, page, receiving
from tests.support.node import PKI
from tests.support.origins import answering


def read(request: Received) -> ExportLogsServiceRequest:
    """What a collector reads, strictly: no unknown field."""
    assert request.line == "POST /v1/logs HTTP/1.1"
    if request.headers["content-type"] == "application/x-protobuf":
        message: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString(request.body)
        return message
    assert request.headers["content-type"] == "application/json"
    return of_json(request.body)


def of_json(body: bytes) -> ExportLogsServiceRequest:
    """OTLP's JSON, which has identifiers in hexadecimal, where protobuf's has Base64."""
    message = json.loads(body)
    for record in message["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        for key in record.keys() & {"traceId", "spanId"}:
            record[key] = base64.b64encode(bytes.fromhex(record[key])).decode()
    found: ExportLogsServiceRequest = ParseDict(message, ExportLogsServiceRequest())
    return found


def plain(value: Any) -> Any:
    """An AnyValue as a value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: plain(each.value) for each in value.kvlist_value.values}
    return getattr(value, kind)


def attributes(several: Any) -> dict[str, Any]:
    """Attributes as a dictionary; each is there once."""
    found = {each.key: plain(each.value) for each in several}
    assert len(found) == len(several)
    return found


async def sent(pki: PKI, encoding: str, *further: Outgoing) -> ExportLogsServiceRequest:
    """What a collector gets."""
    good = page("200 OK", b"{}" if encoding == "json" else b"")
    with receiving(pki, answering(good), OTLP(encoding=encoding)) as (origin, sender):
        assert await sender.send([*events(2), *further]) == Outcome() == TAKEN
        return read(Received.of(origin.requests[0]))


def record_of(**changes: Any) -> LogRecord:
    """The record of one event."""
    event = outgoing(event_line(1, **changes), None, ())
    assert event is not None
    message = of_json(OTLP().request([event], NOW).body)
    (record,) = message.resource_logs[0].scope_logs[0].log_records
    found: LogRecord = record
    return found


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_a_collector_reads_what_is_sent(pki: PKI, encoding: str) -> None:
    """In both encodings the same: the resource, the scope, and a record for each event."""
    message = await sent(pki, encoding)
    (of_resource,) = message.resource_logs
    assert (
        attributes(of_resource.resource.attributes).items()
        >= {
            "service.name": "edgenode",
            "service.instance.id": "edge-1",
        }.items()
    )
    (of_scope,) = of_resource.scope_logs
    assert of_scope.scope.name == "edgenode"
    record, _ = of_scope.log_records
    assert record.time_unix_nano == 1796058000 * 10**9
    assert record.observed_time_unix_nano == int(NOW) * 10**9
    assert record.severity_number == SeverityNumber.SEVERITY_NUMBER_INFO
    found = attributes(record.attributes)
    assert found["log.record.uid"] == events(1)[0].key
    assert found["request.method"] == "GET"
    assert found["request.headers.user-agent"] == ["curl"]
    assert found["reasons"][1] == {"filter": "scanners", "stage": "acl"}
    assert found["status"] == 200
    assert "origin" not in found


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_odd_values_are_read_too(pki: PKI, encoding: str) -> None:
    """Numbers beyond 64 bits, halves of characters, and what is false."""
    odd = outgoing(event_line(3, big=1 << 70, small=-(1 << 63), text="\ud800x", false=False, share=0.5), None, ())
    assert odd is not None
    message = await sent(pki, encoding, odd)
    found = attributes(message.resource_logs[0].scope_logs[0].log_records[2].attributes)
    assert found["big"] == float(1 << 70)
    assert found["small"] == -(1 << 63)
    assert found["text"] == "?x"
    assert found["false"] is False
    assert found["share"] == 0.5


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_a_record_stands_in_its_trace(pki: PKI, encoding: str) -> None:
    """With the identifiers of the trace and the span, where the event has them."""
    trace = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
    traced = outgoing(event_line(3, trace=trace), None, ())
    assert traced is not None
    message = await sent(pki, encoding, traced)
    untraced, _, record = message.resource_logs[0].scope_logs[0].log_records
    assert record.trace_id.hex() == trace["trace_id"]
    assert record.span_id.hex() == trace["span_id"]
    assert untraced.trace_id == b""


def test_the_severity_says_how_bad_it_is() -> None:
    """Errors, then what an action was taken for."""
    assert record_of().severity_text == "INFO"
    assert record_of(action="block").severity_text == "WARN"
    assert record_of(status=502).severity_text == "ERROR"
    assert record_of(error={"fault": "client"}).severity_text == "ERROR"
    assert record_of(event={"action": "state-absent", "type": "error"}).severity_text == "ERROR"
    assert (
        record_of(event={"action": "state-back", "type": "change"}, reason="why").body.string_value == "state-back: why"
    )
    assert record_of(request=None).body.string_value == "192.0.2.1 200"


def partial(encoding: str, rejected: int, why: str) -> Answer:
    """An answer of partial success."""
    if encoding == "json":
        return answer(
            json.dumps({"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": why}}).encode()
        )
    message = ExportLogsServiceResponse()
    message.partial_success.rejected_log_records = rejected
    message.partial_success.error_message = why
    return answer(message.SerializeToString())


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_what_a_collector_drops_is_counted(encoding: str) -> None:
    """It must not be sent again, as the protocol says; nobody knows which they were."""
    outcome = OTLP(encoding=encoding).outcome(events(3), partial(encoding, 2, "too old"))
    assert outcome.dropped == 2
    assert "too old" in outcome.reason
    assert not outcome.refused
    assert not outcome.again


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize(
    "body",
    [
        b"<html>Log in</html>",
        b'"ok"',
        b'{"partialSuccess":{"rejectedLogRecords":"x"}}',
        b'{"partialSuccess":[1]}',
        b"\xff",
    ],
)
def test_a_liar_has_taken_nothing(encoding: str, body: bytes) -> None:
    """What is no answer of the protocol acknowledges nothing."""
    with pytest.raises(Unavailable):
        OTLP(encoding=encoding).outcome(events(3), answer(body))


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("rejected", [4, -1])
def test_no_more_can_be_dropped_than_was_sent(encoding: str, rejected: int) -> None:
    """Such an answer is a lie."""
    with pytest.raises(Unavailable):
        OTLP(encoding=encoding).outcome(events(3), partial(encoding, rejected, ""))


def test_protobuf_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    assert configured("type = otlp\nencoding = protobuf") == []
    monkeypatch.setattr("edgenode.observe.exporters.otlp.find_spec", lambda name: None)
    (found,) = configured("type = otlp\nencoding = protobuf")
    assert found.startswith("[exporter x] encoding: it needs the package opentelemetry-proto")
