"""What expressions on events can look at: the fields of rules have the values that rules saw, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import Action, Decision, Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import NO_BODY, Connection
from edgenode.observe.event_record import event_line
from edgenode.observe.recorded_fields import EVENTS, RECORDED
from edgenode.observe.state_events import state_line
from edgenode.rules.fields import FIELDS
from edgenode.state.interface import Entry, Happened
from tests.support.records import ADDRESSES, CLIENT, CONNECTION, EXCHANGE, FakeRecord, records
from tests.support.requests import request_of

SHARED = sorted(RECORDED.keys() & FIELDS.built_in.keys())


def event_of(record: FakeRecord) -> Any:
    """The event of a record as a reader of lines has it."""
    return json.loads(event_line(record))


def in_rules(name: str, record: FakeRecord) -> Any:
    """What rules saw."""
    exchange = evolve(record.exchange, tags=record.decision.tags, identifier=record.identifier, time=record.time)
    return FIELDS[name].read(exchange)


@pytest.mark.parametrize("name", FIELDS.built_in)
def test_each_field_of_rules_is_recorded_or_refused_with_a_reason(name: str) -> None:
    """No field of rules is unknown here."""
    assert name in RECORDED or EVENTS.why_not(name) not in ("", "events do not hold it")


@pytest.mark.parametrize("name", SHARED)
def test_a_field_of_rules_has_its_type_and_help_here(name: str) -> None:
    """What rules and events call the same is the same."""
    assert RECORDED[name].type == FIELDS[name].type


@given(records)
def test_a_field_has_the_value_that_rules_saw_or_is_missing(record: FakeRecord) -> None:
    """Nothing is guessed, whatever was recorded."""
    event = event_of(record)
    for name in SHARED:
        found = RECORDED[name].read(event)
        if found is None or name == "http.request.headers":
            continue
        if "timestamp" in name or "days" in name or "crl" in name:
            continue  # the event has the time cut to microseconds; see below
        assert found == in_rules(name, record), name


@pytest.mark.parametrize("name", SHARED)
def test_of_an_ordinary_exchange_each_field_is_as_rules_saw_it(name: str) -> None:
    """Whole, nothing is missing that is recorded."""
    fields = ("User-Agent: curl/8", "User-Agent: two", "Cookie: a=1", "Referer: x")
    asked = request_of("POST /a/b.php?x=1&x=2&y HTTP/1.1", *fields).with_body(NO_BODY)
    asked_for = (b"user-agent", b"cookie", b"referer", b"x-forwarded-for", b"accept-language", b"content-type")
    exchange = evolve(EXCHANGE, request=asked)
    decision = Decision(frozenset(("all", "bot", "grün")))
    record = FakeRecord(exchange, decision, event_headers=asked_for, time=1795262400.25)
    found, expected = RECORDED[name].read(event_of(record)), in_rules(name, record)
    if name == "http.request.headers":
        expected = {key: expected[key] for key in asked_for if key in expected}
    assert found == expected


def test_without_a_certificate_its_fields_are_those_of_nobody() -> None:
    """As in rules: texts are empty, and nothing is verified."""
    record = FakeRecord(evolve(EXCHANGE, connection=Connection(*ADDRESSES)), time=1795262400.25)
    for name in SHARED:
        if "tls_client_auth" in name:
            assert RECORDED[name].read(event_of(record)) == in_rules(name, record), name


WHOLE = FakeRecord(
    EXCHANGE,
    Decision(
        frozenset(("all",)),
        (Reason("global-filters", "seen"), Reason("global-filters", "scripts", "path: ^/", "why", "block")),
        Action("block"),
    ),
    error=OriginError(502, "reset", "it was reset"),
    time=1795262400.25,
    queued=0.25,
    grpc_status=14,
    origin_protocol="HTTP/2",
    sent=7,
)

REFUSED = event_of(evolve(WHOLE, error=None, tries=0, status=403))

AFTERWARDS = {
    "http.response.code": 200,
    "edge.id": b"0123456789abcdef0123456789abcdef",
    "edge.listener": b"public",
    "edge.action": b"block",
    "edge.blocked": False,
    "edge.mode": b"block",
    "edge.filter": b"scripts",
    "edge.filters": (b"seen", b"scripts"),
    "edge.annotations": (b"why",),
    "edge.error.fault": b"origin",
    "edge.error.kind": b"reset",
    "edge.error.status": 502,
    "edge.error.reason": b"it was reset",
    "edge.origin": b"shop",
    "edge.origin.server": b"10.0.0.11:8443",
    "edge.origin.status": 200,
    "edge.origin.tries": 1,
    "edge.origin.reused": True,
    "edge.origin.queued": 250000,
    "edge.origin.protocol": b"HTTP/2",
    "edge.bytes.received": 0,
    "edge.bytes.sent": 7,
    "edge.duration": 1000000,
    "edge.duration.decision": 250000,
    "edge.duration.origin": 500000,
    "edge.duration.response": 250000,
    "edge.grpc_status": 14,
    "edge.event.action": None,
}


@pytest.mark.parametrize("name", AFTERWARDS)
def test_what_is_known_afterwards_is_a_field(name: str) -> None:
    """What became of a request can be looked at."""
    assert RECORDED[name].read(event_of(WHOLE)) == AFTERWARDS[name]


def test_what_did_not_happen_is_missing() -> None:
    """Without an action, an origin or an error there are none."""
    event = event_of(FakeRecord(EXCHANGE, tries=0))
    for name in ("edge.action", "edge.filter", "edge.origin", "edge.error.kind", "edge.origin.certificate.asked"):
        assert RECORDED[name].read(event) is None
    assert RECORDED["edge.filters"].read(event) == ()
    assert RECORDED["edge.error.kind"].read(event_of(evolve(WHOLE, error=ClientError(400, "no")))) is None


@pytest.mark.parametrize(
    ("otherwise", "blocked"),
    [
        ({}, True),
        ({"action": "teapot", "status": 444}, True),
        ({"action": None}, False),
        ({"mode": "monitoring"}, False),
        ({"status": 302}, False),
        ({"origin": {"name": "shop"}}, False),
        ({"error": {"fault": "client", "status": 400, "reason": "no"}}, False),
    ],
)
def test_what_rules_have_refused_is_blocked(otherwise: dict[str, Any], blocked: bool) -> None:
    """Whatever the action is called; and what is only monitored, redirected, forwarded, or fails by itself is not."""
    assert RECORDED["edge.blocked"].read({**REFUSED, **otherwise}) is blocked


def test_an_event_of_the_state_has_its_own_fields_and_no_others() -> None:
    """What happens to the state is looked at as what it is."""
    entry = Entry("ip", "192.0.2.7", 2.0, 1.0, "[dynamic-rule x]", "because", "block")
    event = json.loads(state_line(Happened("quarantine-held", "because", entry)))
    found = {name: value for name, each in RECORDED.items() if (value := each.read(event)) is not None}
    assert {name for name in found if "timestamp" not in name} == {
        f"edge.event.{name}" for name in ("action", "type", "reason", "key", "value", "who")
    }
    assert found["edge.event.action"] == b"quarantine-held"


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """An event in which something is of another kind."""
    event = event_of(draw(st.sampled_from((WHOLE, FakeRecord(EXCHANGE)))))
    for _ in range(draw(st.integers(1, 3))):
        place, keys = event, draw(st.lists(st.integers(0, 20), min_size=1, max_size=3))
        for key in keys:
            if not isinstance(place, dict) or not place:
                break
            name = sorted(place)[key % len(place)]
            if key == keys[-1] or not isinstance(place[name], dict):
                place[name] = draw(_anything)
                break
            place = place[name]
    return event


@given(damaged() | st.dictionaries(st.sampled_from(sorted({"time", "request", "tags", "client"})), _anything))
def test_no_reader_raises_and_each_value_has_its_type(event: Any) -> None:
    """What is no event is one of which everything is missing."""
    for name, each in RECORDED.items():
        value = each.read(event)
        kinds = {"Bool": bool, "Int": int, "Bytes": bytes, "Ip": tuple, "Map": dict}
        if value is not None and each.type.name in kinds:
            assert type(value) is kinds[each.type.name], name


def test_a_certificate_of_which_names_are_cut_has_no_subject() -> None:
    """A part of a name is not the name."""
    client = evolve(CLIENT, subject="CN=" + "x" * 2000)
    event = event_of(FakeRecord(evolve(EXCHANGE, connection=evolve(CONNECTION, client=client))))
    assert RECORDED["cf.tls_client_auth.cert_subject_dn"].read(event) is None
    assert RECORDED["cf.tls_client_auth.cert_issuer_dn"].read(event) == b"CN=Clients"
