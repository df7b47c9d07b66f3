"""The spans of an exchange, as a collector reads them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import Action, Decision, Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.trace import FailedTry, Trace
from edgenode.model.websocket import WebSocketState
from edgenode.observe.traces.spans import SpanWriter, rejected
from tests.support.collector import Seen, answer, read
from tests.support.records import EXCHANGE, REQUEST, FakeRecord, records

WRITER = SpanWriter("edge", "edge-1", query=False)
TRACE, SPAN, OURS, THEIRS = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7", b"1" * 16, b"2" * 16


def trace(**changes: Any) -> Trace:
    """A trace that is sampled, and continued."""
    made = Trace(TRACE, OURS, b"01", True)
    made.parent_id, made.origin_span_id = SPAN, THEIRS
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def spans(record: FakeRecord, writer: SpanWriter = WRITER) -> list[Seen]:
    """What a collector sees."""
    return read(writer.write([record]))


DECISION = Decision(
    frozenset(("all", "bot")),
    (Reason("global-filters", "scripts", "header.user-agent: ^curl/", "shell", "note"),),
    Action("note"),
    (("tagging", 4.0), ("global-filters", 12.0)),
)


def test_a_request_that_was_forwarded() -> None:
    """Field by field, by the names of the conventions, and ours for what they have no name for."""
    server, decision, client = spans(FakeRecord(EXCHANGE, DECISION, trace=trace()))
    assert (server.name, server.kind, server.parent, server.span_id) == ("GET rest", "SERVER", SPAN.decode(), "1" * 16)
    assert server.attributes == {
        "client.address": "192.0.2.7", "network.peer.address": "192.0.2.7", "network.peer.port": 40000,
        "edgenode.request.id": "0123456789abcdef0123456789abcdef", "edgenode.listener": "public",
        "edgenode.server_group": "site", "edgenode.path_map": "rest", "edgenode.mode": "block",
        "edgenode.tags": ["all", "bot"], "edgenode.filter": ["scripts"], "edgenode.action": "note",
        "edgenode.client.verify": "SUCCESS", "tls.protocol.version": "1.3", "tls.cipher": "TLS_AES_256_GCM_SHA384",
        "tls.client.subject": "CN=acme,O=Acme", "tls.client.issuer": "CN=Clients",
        "tls.client.hash.sha256": "AB" * 32, "http.request.method": "GET", "url.scheme": "https", "url.path": "/a",
        "server.address": "www.test", "network.protocol.version": "1.1", "user_agent.original": "curl/8",
        "http.request.body.size": 0, "http.response.status_code": 200, "http.response.body.size": 1024,
    }  # fmt: skip
    assert server.resource == {"service.name": "edge", "service.instance.id": "edge-1", "service.version": "0.1.0"}
    assert (server.began, server.ended - server.began) == (1_700_000_000_000_000_000, 1_000_000_000)
    assert (decision.name, decision.kind, decision.parent) == ("decision", "INTERNAL", "1" * 16)
    assert decision.attributes == {"edgenode.mode": "block", "edgenode.action": "note"}
    assert [name for name, _ in decision.events] == ["tagging", "global-filters"]
    assert decision.events[1][1] == {"edgenode.stage.duration": 1.2e-05, "edgenode.filter": ["scripts"]}
    assert decision.ended - decision.began == 250_000_000
    assert (client.name, client.kind, client.parent, client.span_id) == ("GET", "CLIENT", "1" * 16, "2" * 16)
    assert client.attributes == {
        "http.request.method": "GET", "url.path": "/a", "edgenode.origin": "shop", "server.address": "10.0.0.11",
        "server.port": 8443, "network.protocol.version": "1.1", "edgenode.origin.reused": True,
        "edgenode.origin.tries": 1, "http.response.status_code": 200,
    }  # fmt: skip
    assert client.began == decision.ended
    assert [name for name, _ in client.events] == ["response"]
    assert not any(span.failed for span in (server, decision, client))


def test_each_server_that_was_asked_has_a_span() -> None:
    """One after another, with why it has failed; the last is the one that has answered, or has not."""
    failed = (
        FailedTry(b"3" * 16, "10.0.0.11:8443", "http-503", 100.4),
        FailedTry(b"4" * 16, "[2001:db8::1]:443", "connect", 100.5),
    )
    error = OriginError(504, "timeout", "no answer", sent=True)
    record = FakeRecord(
        EXCHANGE, status=504, error=error, origin_status=0, tries=3, server="unix:/run/a", trace=trace(failed=failed)
    )
    server, first, second, third = spans(record)
    assert [each.span_id[0] for each in (first, second, third)] == ["3", "4", "2"]
    told = [(each.attributes["server.address"], each.attributes["error.type"]) for each in (first, second, third)]
    assert told == [("10.0.0.11", "503"), ("2001:db8::1", "connect"), ("/run/a", "timeout")]
    assert (first.attributes["http.response.status_code"], second.attributes["server.port"]) == (503, 443)
    assert [each.attributes.get("http.request.resend_count") for each in (first, second, third)] == [None, 1, 2]
    assert first.began < first.ended == second.began < second.ended == third.began < third.ended
    assert (server.attributes["error.type"], server.attributes["edgenode.error"]) == ("timeout", "no answer")
    assert all(each.failed for each in (server, first, second, third))


@pytest.mark.parametrize(
    ("status", "error", "of_server", "of_client"),
    [
        (404, None, False, True), (500, None, True, True), (302, None, False, False),
        (499, ClientError(499, "gone"), False, False),
    ],
)  # fmt: skip
def test_what_counts_as_an_error(status: int, error: ClientError | None, of_server: bool, of_client: bool) -> None:
    """Of a server what is its fault, of a client what it did not get: as the conventions have it."""
    origin_status = status if error is None else 200
    server, client = spans(FakeRecord(EXCHANGE, status=status, error=error, origin_status=origin_status, trace=trace()))
    assert (server.failed, client.failed) == (of_server, of_client)
    assert ("error.type" in server.attributes, "error.type" in client.attributes) == (of_server, of_client)


def test_a_request_that_was_refused_has_no_span_of_an_origin() -> None:
    """The decision goes up to its end."""
    record = FakeRecord(EXCHANGE, DECISION, status=403, tries=0, origin_status=0, decided=0.0, trace=trace())
    server, decision = spans(record)
    assert server.attributes["http.response.status_code"] == 403
    assert (decision.began, decision.ended) == (server.began, server.ended)


def test_what_is_no_request_has_its_span_too() -> None:
    """As far as it is known."""
    record = FakeRecord(evolve(EXCHANGE, request=None), tries=0, status=0, trace=trace(parent_id=b""))
    (server,) = spans(record)
    assert (server.name, server.parent) == ("HTTP rest", "")
    assert server.attributes["error.type"] == "0"


def test_a_client_that_is_not_continued_is_linked() -> None:
    """Its trace and its span."""
    (server, *_) = spans(FakeRecord(EXCHANGE, trace=trace(parent_id=b"", link=(b"a" * 32, b"b" * 16))))
    assert (server.parent, server.links) == ("", [("a" * 32, "b" * 16)])


def test_the_state_of_a_trace_is_in_its_spans() -> None:
    """As far as OpenTelemetry reads it."""
    assert {each.state for each in spans(FakeRecord(EXCHANGE, trace=trace(state=b"a=1,b=2")))} == {"a=1,b=2"}


def test_the_query_is_told_only_if_that_is_wanted() -> None:
    """For secrets are in it: nowhere else."""
    record = FakeRecord(EXCHANGE, DECISION, trace=trace())
    assert "b=1" not in repr(spans(record))
    (server, *_) = spans(record, SpanWriter("edge", "edge-1", query=True))
    assert server.attributes["url.query"] == "b=1"


def test_a_method_of_a_client_s_own_is_no_name() -> None:
    """For of names there are few."""
    request = evolve(REQUEST, method=b"BREW", authority=b"[::1]:8443")
    (server, *_) = spans(FakeRecord(evolve(EXCHANGE, request=request), trace=trace()))
    assert server.name == "HTTP rest"
    told = server.attributes
    assert (told["http.request.method"], told["http.request.method_original"]) == ("_OTHER", "BREW")
    assert (told["server.address"], told["server.port"]) == ("::1", 8443)


def test_a_call_of_grpc_has_its_status() -> None:
    """Besides that of HTTP."""
    (server, *_) = spans(FakeRecord(EXCHANGE, grpc_status=14, trace=trace()))
    assert (server.attributes["rpc.system"], server.attributes["rpc.grpc.status_code"]) == ("grpc", 14)


def test_a_websocket_has_a_span_from_its_handshake_to_its_end() -> None:
    """Below the one of the handshake."""
    (span,) = spans(FakeRecord(EXCHANGE, websocket=WebSocketState(1, 2, 1000, "client"), trace=trace()))
    assert (span.name, span.kind, span.parent) == ("websocket", "INTERNAL", OURS.decode())
    assert span.attributes == {
        "edgenode.websocket.received": 1,
        "edgenode.websocket.sent": 2,
        "edgenode.websocket.code": 1000,
        "edgenode.websocket.closed_by": "client",
    }


def test_what_clients_send_is_cut() -> None:
    """A span has a bound, whatever they send."""
    request = evolve(REQUEST, target=b"/" + b"a" * 60_000, headers=((b"user-agent", b"\xe4" * 30_000),))
    decision = Decision(frozenset(f"tag-{number}" for number in range(5000)))
    record = FakeRecord(evolve(EXCHANGE, request=request), decision, trace=trace())
    assert len(WRITER.write([record])) < 20_000


@given(records, st.data())
def test_every_record_becomes_spans_that_a_collector_takes(record: FakeRecord, data: st.DataObject) -> None:
    """Whatever is in it, of requests that could not be read too."""
    record.trace = trace()
    record.trace.parent_id = data.draw(st.sampled_from((b"", SPAN)))
    if record.exchange.request is None:
        record.tries = 0
    record.server = data.draw(st.sampled_from((None, "10.0.0.1:80", "unix:/a")))
    record.time = data.draw(st.floats(1, 1e10))
    record.began, record.decided, record.answered, record.ended = sorted(data.draw(st.tuples(*[st.floats(1, 1e6)] * 4)))
    found = spans(record)
    assert {each.trace_id for each in found} == {TRACE.decode()}
    assert all(each.parent == OURS.decode() for each in found[1:])


@pytest.mark.parametrize(
    ("body", "said"),
    [(answer(), (0, "")), (answer(3, "old"), (3, "old")), (b"\xff\xff", (0, "")), (answer(-5), (0, ""))],
)
def test_what_a_collector_says_of_spans(body: bytes, said: tuple[int, str]) -> None:
    """How many it has rejected, and why; what is no such answer says nothing."""
    assert rejected(body) == said
