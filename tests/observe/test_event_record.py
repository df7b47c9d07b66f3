"""The schema of events: what is written by it is what was recorded, and what is read by it is what was written."""

from __future__ import annotations

import datetime
import json
import re
from operator import attrgetter
from typing import Any

import attrs
import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import AlternativeNames, ClientIdentity, Connection, Verification
from edgenode.model.presentation import Presentation
from edgenode.model.relayed import StreamState
from edgenode.model.trace import Trace
from edgenode.model.websocket import WebSocketState
from edgenode.observe import event_record
from edgenode.observe.event_fields import ALL_ROWS, ROWS, Row, attributes, read_event, reference
from edgenode.observe.event_record import event_line
from edgenode.observe.event_schema import UNKNOWN, Event, EventReason
from tests.support.records import ADDRESSES, CLIENT, CONNECTION, EXCHANGE, REQUEST, FakeRecord, FakeStanding, records

EXPIRED = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
WHOLE = FakeRecord(
    evolve(EXCHANGE, connection=evolve(CONNECTION, expired=EXPIRED)),
    Decision(
        frozenset(("all", "args:1")),
        (Reason("global-filters", "scripts", "header.user-agent: ^curl/", "scripts", "note"), Reason("acl", "x")),
        Action("note"),
        (("tagging", 4.5), ("global-filters", 11.7)),
    ),
    error=OriginError(502, "reset", "it was reset"),
    time=1795262400.25,
    left_out=("Client-Cert",),
    queued=0.25,
    grpc_status=14,
    origin_protocol="HTTP/2",
    websocket=WebSocketState(1, 2, 1000, "client"),
    relayed=StreamState("origin"),
    trace=Trace(b"ab" * 16, b"cd" * 8, b"01", True),
    presented=Presentation(True, "CN=edge", "0C", True, expired=EXPIRED),
)
"""A record of which an event has every field."""

LINE = (
    '{"time":"2026-11-21T12:00:00.250000Z","id":"0123456789abcdef0123456789abcdef","listener":"public",'
    '"client":"192.0.2.7","peer":"192.0.2.7:40000","local":"192.0.2.1:443",'
    '"tls":{"version":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384","server_name":"www.test","alpn":"http/1.1",'
    '"fingerprint":"t13d1516h1_8daaf6152771_e5627efa2ab1","certificate_expired":"2026-11-20T12:00:00Z"},'
    '"certificate":{"verify":"SUCCESS","subject":"CN=acme,O=Acme","issuer":"CN=Clients","serial":"0A1B",'
    f'"fingerprint":"{"ab" * 32}","revoked":false,"first_error":0,"last_error":0,"depth":0,"errors":[],'
    '"tags":["vouched"],"subject_legacy":"/O=Acme/CN=acme","issuer_legacy":"/CN=Clients","issuer_serial":"03",'
    f'"fingerprint_sha1":"{"ef" * 20}","ski":"01","issuer_ski":"02","not_before":"2026-11-21T12:00:00Z",'
    '"not_after":"2027-02-19T12:00:00Z","sans":{"dns":["acme.test"],"uri":["spiffe://a/b"],"email":["a@acme.test"],'
    '"ip":["192.0.2.9"]},"extended_key_usages":["1.3.6.1.5.5.7.3.2"],'
    f'"spki_sha256":"{"cd" * 32}","key_type":"ECDSA","key_bits":256,"signature_algorithm":"ecdsa-sha256",'
    '"chain_sent":1,"chain_verified":2,"crl_this_update":"2026-11-21T12:00:00Z",'
    '"crl_next_update":"2026-11-28T12:00:00Z"},'
    '"server_group":"site","security_policy":"site","path_map":"rest",'
    '"request":{"method":"GET","scheme":"https","authority":"www.test","target":"/a?b=1","version":"HTTP/1.1",'
    '"length":0,"headers":{"content-type":[],"referer":[],"user-agent":["curl/8"]}},'
    '"tags":["all","args:1"],'
    '"reasons":[{"stage":"global-filters","filter":"scripts","entry":"header.user-agent: ^curl/",'
    '"annotation":"scripts","action":"note"},{"stage":"acl","filter":"x","entry":"","annotation":"","action":""}],'
    '"action":"note","mode":"block","stages":{"tagging":4,"global-filters":12},"status":200,'
    '"error":{"fault":"origin","kind":"reset","status":502,"reason":"it was reset"},'
    '"origin":{"name":"shop","server":"10.0.0.11:8443","status":200,"tries":1,"reused":true,'
    '"certificate":{"asked":true,"subject":"CN=edge","serial":"0C","accepted":true,"alert":null,"expired":"2026-11-20T12:00:00Z"},'
    '"left_out":["Client-Cert"],"queued":250000,"protocol":"HTTP/2"},'
    '"bytes":{"received":0,"sent":1024},'
    '"timings":{"decision":250000,"origin":500000,"response":250000,"total":1000000},"grpc_status":14,'
    '"websocket":{"received":1,"sent":2,"code":1000,"closed_by":"client"},"stream":{"closed_by":"origin"},'
    '"trace":{"trace_id":"abababababababababababababababab","span_id":"cdcdcdcdcdcdcdcd","sampled":true}}'
)


def event_of(record: FakeRecord) -> Any:
    """The event of a record, as its reader has it."""
    return json.loads(event_line(record))


def whole(rows: tuple[Row, ...]) -> dict[str, Any]:
    """The keys of an event in order, with those of the objects within."""
    return {row.name: whole(row.inner) if row.inner and row.path != "reasons" else None for row in rows}


def keys(value: Any) -> Any:
    """The keys of an object in order, likewise."""
    free = ("headers", "stages")
    return {key: keys(each) if isinstance(each, dict) and key not in free else None for key, each in value.items()}


# -- written -----------------------------------------------------------------------------------------------------------


def test_the_line_is_this_to_the_byte() -> None:
    """Field by field: whoever has a program that reads lines has this one."""
    assert event_line(WHOLE) == LINE


def test_the_typed_event_is_what_the_line_says() -> None:
    """A sink has the same facts as a reader of the file."""
    event: Event = event_record.event_of(WHOLE)
    assert event == json.loads(LINE)
    assert (event["status"], event["certificate"]["verify"]) == (200, "SUCCESS")


def test_an_event_has_the_fields_of_the_schema_in_their_order() -> None:
    """All of them, and no other."""
    assert json.dumps(keys(event_of(WHOLE))) == json.dumps(whole(ROWS))
    assert set(keys(event_of(WHOLE)["reasons"][0])) == set(EventReason.__annotations__) - {"display_name"}


def test_what_there_is_not_is_null_or_absent() -> None:
    """A connection that came to no request and showed no certificate: only the fields that speak of one are absent."""
    nobody = Connection(*ADDRESSES)
    record = FakeRecord(evolve(EXCHANGE, connection=nobody, request=None), tries=0, identifier=b"", error=None)
    event = event_of(record)
    assert (event["request"], event["error"], event["origin"], event["action"]) == (None, None, None, None)
    assert event["certificate"] == {
        "verify": "NONE", "subject": None, "issuer": None, "serial": None, "fingerprint": None,
        "revoked": False, "first_error": 0, "last_error": 0, "depth": 0,
    }  # fmt: skip
    assert event["tls"] == {"version": "", "cipher": "", "server_name": None, "alpn": "", "fingerprint": ""}
    assert set(event) == {row.name for row in ROWS if not row.optional}


def test_a_client_s_fault_has_no_kind() -> None:
    """There are no kinds of it."""
    record = FakeRecord(EXCHANGE, error=ClientError(496, "no certificate"))
    assert event_of(record)["error"] == {"fault": "client", "status": 496, "reason": "no certificate"}


def test_an_origin_that_was_not_reached_has_no_status() -> None:
    """Nor has it a server, if none could be chosen."""
    record = FakeRecord(EXCHANGE, origin_status=0, server=None, reused=False, tries=2)
    assert event_of(record)["origin"] == {
        "name": "shop", "server": None, "status": None, "tries": 2, "reused": False, "certificate": None,
    }  # fmt: skip


def test_an_origin_that_was_told_in_part_says_what_is_missing() -> None:
    """The names of certificate headers that would be too long; else there is no such key."""
    record = FakeRecord(EXCHANGE, left_out=("Client-Cert", "SSL_CLIENT_CERT"))
    origin = event_of(record)["origin"]
    assert origin == {**event_of(FakeRecord(EXCHANGE))["origin"], "left_out": ["Client-Cert", "SSL_CLIENT_CERT"]}


def test_a_body_of_unknown_length_and_another_version() -> None:
    """``null`` is not known; 0 is none."""
    request = evolve(REQUEST, length=None, version=(1, 0))
    written = event_of(FakeRecord(evolve(EXCHANGE, request=request)))["request"]
    assert (written["length"], written["version"]) == (None, "HTTP/1.0")


def test_only_the_headers_that_are_named_are_written() -> None:
    """All values of each; a cookie is a secret, and is there only if it is named."""
    headers = ((b"accept", b"a"), (b"cookie", b"secret"), (b"accept", b"b"), (b"x", b"\xe9"))
    exchange = evolve(
        EXCHANGE, request=evolve(REQUEST, headers=headers, fields={b"accept": (b"a", b"b"), b"x": (b"\xe9",)})
    )
    record = FakeRecord(exchange, event_headers=(b"accept", b"x", b"absent"))
    assert "secret" not in event_line(record)
    assert event_of(record)["request"]["headers"] == {"accept": ["a", "b"], "x": ["\xe9"], "absent": []}
    assert event_of(FakeRecord(exchange, event_headers=()))["request"]["headers"] == {}


def test_names_that_are_novels_are_cut_and_lists_of_them_left_out() -> None:
    """A client chooses how long they are; an event has at most 1024 characters of each."""
    client = evolve(
        CLIENT,
        subject="s" * 5000,
        issuer="i" * 1024,
        subject_legacy="l" * 1025,
        issuer_legacy="m" * 1023,
        sans=AlternativeNames(("a" * 1023,), ("b" * 1024,), ("c",) * 512, ("d",) * 513),
        extended_key_usages=("1.2",) * 10000,
    )
    certificate = event_of(FakeRecord(evolve(EXCHANGE, connection=evolve(CONNECTION, client=client))))["certificate"]
    assert certificate["subject"] == "s" * 1024
    assert certificate["issuer"] == "i" * 1024
    assert certificate["subject_legacy"] == "l" * 1024
    assert certificate["issuer_legacy"] == "m" * 1023
    assert certificate["sans"] == {"dns": ["a" * 1023], "uri": None, "email": ["c"] * 512, "ip": None}
    assert certificate["extended_key_usages"] is None


@pytest.mark.parametrize(
    ("clocks", "timings"),
    [
        ((1.0, 1.25000075, 1.7500015, 2.00000225), (250000, 500000, 250000, 1000002)),
        ((1.0, 1.25, 0.0, 2.00000075), (250000, 750000, 0, 1000000)),
        ((1.0, 0.0, 0.0, 2.0), (1000000, 0, 0, 1000000)),
    ],
)
def test_timings_are_those_between_the_clocks(
    clocks: tuple[float, float, float, float], timings: tuple[int, ...]
) -> None:
    """In whole microseconds; what did not happen took no time, and what was waited for in vain took it all."""
    began, decided, answered, ended = clocks
    record = FakeRecord(EXCHANGE, began=began, decided=decided, answered=answered, ended=ended)
    written = event_of(record)["timings"]
    assert list(written) == ["decision", "origin", "response", "total"]
    assert tuple(written.values()) == timings
    assert all(type(each) is int for each in written.values())


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0, "1970-01-01T00:00:00.000000Z"), (1795262399.9999995, "2026-11-21T11:59:59.999999Z")],
)
def test_the_time_is_cut_to_microseconds(seconds: float, written: str) -> None:
    """And never rounded to one that was not yet."""
    assert event_of(FakeRecord(EXCHANGE, time=seconds))["time"] == written


@example(frozenset(f"tag:{number}" for number in range(20)))
@given(st.frozensets(st.text(max_size=10) | st.sampled_from(("a", 'a"', "a\\", "a\n", "a,b", 'x","y', "\x7f", "é"))))
def test_tags_are_written_sorted_and_each_as_it_is(tags: frozenset[str]) -> None:
    """Whatever is in them: nobody can write two tags by setting one."""
    kind = ALL_ROWS["tags"].kind
    written = kind.write(tags)
    assert written == json.dumps(sorted(tags), separators=(",", ":"))
    assert kind.read(json.loads(written)) == tags


@given(records)
def test_no_event_can_forge_another(record: FakeRecord) -> None:
    """Whatever a client sends, its event is one line of printable ASCII, and JSON without a key that comes twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    line = event_line(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.dumps(json.loads(line, object_pairs_hook=once), separators=(",", ":")) == line


# -- written once ------------------------------------------------------------------------------------------------------


@given(records)
def test_it_makes_no_difference_whether_the_fixed_part_is_kept(record: FakeRecord) -> None:
    """Neither for the first event of many, nor for the next."""
    record.standing = None
    line = event_line(record)
    record.standing = FakeStanding()
    assert event_line(record) == line
    assert record.standing.event_prefix
    assert event_line(record) == line


def test_the_fixed_part_is_made_once() -> None:
    """That is what it is kept for, and it is kept nowhere else. What a trusted proxy reports of the client is no part
    of it: many clients share the connection."""
    standing = FakeStanding()
    event_line(FakeRecord(EXCHANGE, standing=standing))
    kept = standing.event_prefix
    other = evolve(EXCHANGE, connection=evolve(CONNECTION, alpn="h2"), path_map="other", client="192.0.2.99")
    event = event_of(FakeRecord(other, standing=standing, listener="other"))
    assert (event["tls"]["alpn"], event["path_map"]) == ("http/1.1", "rest")
    assert (event["client"], event["listener"]) == ("192.0.2.99", "other")
    assert standing.event_prefix is kept
    assert event_of(FakeRecord(other))["path_map"] == "other"
    assert event_of(FakeRecord(other, standing=FakeStanding()))["tls"]["alpn"] == "h2"
    assert list(json.loads(f"{{{kept}}}")) == [
        "peer", "local", "tls", "certificate", "server_group", "security_policy", "path_map",
    ]  # fmt: skip


# -- read --------------------------------------------------------------------------------------------------------------


@given(records)
def test_what_was_recorded_is_read_or_not_known(record: FakeRecord) -> None:
    """Every field of the schema that stands in one place of a record: it is read as it was, or, where it is too long
    to be written as a whole, it is not there. It is never something else."""
    found = read_event(event_of(record))
    for path, row in ALL_ROWS.items():
        if row.inner or not row.of or path.startswith("reasons."):
            continue
        value = _recorded(record, row)
        if value is _NOWHERE:
            assert found.get(path) is None, path
        elif path not in found:
            assert (row.omitted and not value) or _too_long(value), path
        elif path == "time":
            assert found[path] == pytest.approx(value, abs=2e-6)
        elif path == "stages":
            assert found[path] == tuple((stage, round(taken)) for stage, taken in value)
        elif path == "request.headers":
            assert found[path] == {name: value.get(name, ()) for name in record.event_headers}
        elif path == "certificate.verify":
            assert str(found[path]) == str(value)
        elif path == "origin.status":
            assert (found[path] or 0) == value
        else:
            assert found[path] == value, path
    assert found["reasons"] == record.decision.reasons


_NOWHERE = object()


def _recorded(record: FakeRecord, row: Row) -> Any:
    """The value of a field in a record."""
    if row.path.startswith("origin.") and not record.tries:
        return _NOWHERE
    try:
        return attrgetter(row.of)(record)
    except AttributeError:
        return _NOWHERE


def _too_long(value: Any) -> bool:
    return len(value) >= 1024 or sum(map(len, value)) + len(value) > 1024


def test_what_is_computed_is_not_read_into_a_record() -> None:
    """Timings stand in no one place; they are read as they are."""
    found = read_event(event_of(WHOLE))
    assert found["timings.total"] == 1000000
    assert found["error.fault"] == "origin"
    assert [path for path, row in ALL_ROWS.items() if not row.of and not row.inner] == [
        *(f"reasons.{name}" for name in EventReason.__annotations__),
        "error.fault",
        *(f"timings.{name}" for name in ("decision", "origin", "response", "total")),
    ]


def test_attributes_are_those_of_one_part() -> None:
    """Of the connection not those of its client, and none that the event does not hold."""
    found = read_event(event_of(WHOLE))
    assert attributes(found, "exchange.connection.client.sans", whole=True) == attrs.asdict(CLIENT.sans)
    assert attributes(found, "exchange.connection") == {
        "peer": ADDRESSES[0], "local": ADDRESSES[1], "tls_version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384",
        "server_name": "www.test", "alpn": "http/1.1", "fingerprint": CONNECTION.fingerprint,
        "verification": Verification(presented=True, verified=True), "expired": EXPIRED,
    }  # fmt: skip
    del found["certificate.sans.uri"]
    assert set(attributes(found, "exchange.connection.client.sans")) == {"dns", "email", "ip"}
    with pytest.raises(ValueError, match=r"certificate\.sans\.uri is missing"):
        attributes(found, "exchange.connection.client.sans", whole=True)


def test_all_that_rules_read_of_a_certificate_is_in_an_event() -> None:
    """Everything but the certificates themselves; whoever adds something to a client's identity adds it to events."""
    held = set(attributes(read_event(event_of(WHOLE)), "exchange.connection.client"))
    nested = {"verification", "sans"}
    assert held == {each.name for each in attrs.fields(ClientIdentity)} - nested - {"leaf"}
    names = {each.name for each in attrs.fields(Verification)}
    assert {row.of.rpartition(".")[2] for row in ALL_ROWS.values() if ".verification." in row.of} == (
        names - {"presented", "verified", "reason", "whose"}  # those are in its word, or in the reason of the refusal
    )


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("status", "200", "status is no number"),
        ("status", True, "status is no number"),
        ("status", 200.0, "status is no number"),
        ("time", None, "time is no text"),
        ("tls.server_name", 1, "tls.server_name is no text or null"),
        ("certificate.revoked", 0, "certificate.revoked is no true or false"),
        ("certificate.sans.dns", ["a", 1], "certificate.sans.dns is no list of texts or null"),
        ("certificate.errors", [1, "2"], "certificate.errors is no list of numbers"),
        ("request", [], "request is no object or null"),
        ("request.headers", {"a": "b"}, "request.headers is no object"),
        ("stages", [1], "stages is no object"),
        ("tags", "all", "tags is no list of texts"),
        ("reasons", [1], "reasons is no list of objects"),
        ("reasons", [{"filter": 1}], "reasons.filter is no text"),
        ("reasons", [{"filter": "x", "stage": "y"}], "a reason of which a part is missing"),
        ("origin.reused", "yes", "origin.reused is no true or false"),
        ("time", "2026-11-21T12:00:00", "a time without its zone"),
        ("time", "noon", "noon"),
        ("certificate.not_after", "2026-11-21", "a time without its zone"),
        ("certificate.chain_sent", -1, "a chain of -1 certificates"),
        ("certificate.chain_sent", 1001, "a chain of 1001 certificates"),
        ("certificate.verify", "PERHAPS", "no verdict on a certificate: PERHAPS"),
        ("request.version", "HTTP/x", "x"),
        ("request.method", "\u20ac", "latin-1"),
        ("request.headers", {"\xe9": []}, "ascii"),
        ("peer", "192.0.2.1", "192.0.2.1|''"),
        ("peer", "here:1", "here"),
    ],
)  # fmt: skip
def test_what_is_no_value_of_a_field_is_not_read(path: str, value: Any, problem: str) -> None:
    """It is named, and nothing is made of it."""
    event = event_of(WHOLE)
    *above, name = path.split(".")
    holder = event
    for each in above:
        holder = holder[each]
    holder[name] = value
    with pytest.raises(ValueError, match=problem):
        read_event(event)


def test_what_is_absent_is_not_there() -> None:
    """Nothing is read for it; what an event has besides is nobody's."""
    assert read_event({}) == {}
    found = read_event({"status": 200, "unheard-of": 1, "tls": {"version": "x"}, "error": None})
    assert found == {"status": 200, "tls": {"version": "x"}, "tls.version": "x", "error": None}
    with pytest.raises(ValueError, match=r"tls\.alpn is missing"):
        found["tls.alpn"]
    with pytest.raises(KeyError):
        found["unheard-of"]
    assert read_event({"request": None}) == {"request": None}
    assert UNKNOWN not in read_event(event_of(WHOLE)).values()


@pytest.mark.parametrize("verdict", ["NONE", "SUCCESS", "FAILED:", "FAILED:certificate has expired"])
def test_a_verdict_is_read_from_its_word(verdict: str) -> None:
    """nginx's words."""
    assert str(read_event({"certificate": {"verify": verdict}})["certificate.verify"]) == verdict


# -- documented and typed ----------------------------------------------------------------------------------------------


def test_every_field_is_in_the_reference() -> None:
    """Once, in order, with its type and a sentence; numbers with their unit."""
    rows = re.findall(r"^\.\. event-field:: (\S+)\n\n   :Type: (.+)\n\n   (.+\.)$", reference(), re.MULTILINE)
    assert [path for path, _, _ in rows] == list(ALL_ROWS)
    helps = {path: row.help for path, row in ALL_ROWS.items()}
    assert ("timings.total", "number, µs", helps["timings.total"]) in rows
    assert ("request.length", "number or null, bytes", helps["request.length"]) in rows
    assert ("certificate.ski", "text, or absent", helps["certificate.ski"]) in rows


def test_the_reasons_of_an_event_are_the_reasons_of_a_decision() -> None:
    """Attribute for attribute."""
    assert list(EventReason.__annotations__) == [each.name for each in attrs.fields(Reason)]


def test_a_reason_keeps_its_text() -> None:
    """For filters match again and again; and equal reasons stay equal."""
    why = Reason("a", "b", "\u20ac")
    assert why.json == '{"stage":"a","filter":"b","entry":"\\u20ac","annotation":"","action":""}'
    assert why.json is why.json
    assert why == Reason("a", "b", "\u20ac")
    assert hash(why) == hash(Reason("a", "b", "\u20ac"))


def test_what_people_call_a_filter_stands_in_its_reason_if_it_is_called_so() -> None:
    """An event without it is read as one of a filter that has no such name."""
    named = Reason("a", "b", "c", "d", "e", "Old scripts")
    told = json.loads(named.json)
    assert told["display_name"] == "Old scripts"
    del told["display_name"]
    assert ALL_ROWS["reasons"].kind.read([told]) == (Reason("a", "b", "c", "d", "e"),)
    assert NOTHING.reasons == ()


def test_dates_of_any_year_are_read_back() -> None:
    """A certificate may say what it likes."""
    moments = [datetime.datetime(year, 1, 2, 3, 4, 5, tzinfo=datetime.UTC) for year in (1, 999, 9999)]
    for moment in moments:
        client = evolve(CLIENT, not_before=moment)
        found = read_event(event_of(FakeRecord(evolve(EXCHANGE, connection=evolve(CONNECTION, client=client)))))
        assert found["certificate.not_before"] == moment
