"""An event that is judged again: what it holds is as it was, and what it does not hold is not known."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import Action, Decision, Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import NO_BODY, AlternativeNames, ClientIdentity, Connection, Request, Verification
from edgenode.model.websocket import WebSocketState
from edgenode.observe.event_fields import ALL_ROWS
from edgenode.observe.event_record import event_line
from edgenode.rules.matching.certainty import NotKnown
from edgenode.simulation.recorded import NoEvent, NotJudged, Recorded, Verdict
from tests.support.records import ADDRESSES, CLIENT, CONNECTION, EXCHANGE, FakeRecord, records

NOTE = Action("note")


def request_of(target: bytes = b"/a?b=1", length: int | None = 0, **changes: Any) -> Request:
    """A request that the node would take."""
    fields = ((b"host", b"www.test"), (b"user-agent", b"curl/8"), (b"user-agent", b"two"), (b"cookie", b"secret=1"))
    path, mark, query = target.partition(b"?")
    return Request(
        b"POST", b"https", b"www.test", target, path, query if mark else None, path, fields, length=length, **changes
    )


def recorded(**changes: Any) -> Recorded:
    """The reading of a record."""
    return Recorded.of(event_line(record_of(**changes)))


def record_of(**changes: Any) -> FakeRecord:
    """A record of a request that the node would take; ``connection``, ``client`` and others are the exchange's."""
    exchange = evolve(EXCHANGE, request=request_of())
    for name in ("connection", "request", "client", "path_map"):
        if name in changes:
            exchange = evolve(exchange, **{name: changes.pop(name)})
    return FakeRecord(exchange, **changes)


def known(value: Any, names: list[str]) -> dict[str, Any]:
    """Those attributes of a value that are known."""
    found = {}
    for name in names:
        try:
            found[name] = getattr(value, name)
        except NotKnown:
            continue
    return found


def changed(value: Any, attributes: dict[str, Any]) -> Any:
    """A value with other attributes."""
    return evolve(value, **attributes)


def names_of(cls: Any) -> list[str]:
    """The attributes of a class."""
    return [each.name for each in attrs.fields(cls)]


# -- what it holds -----------------------------------------------------------------------------------------------------

clients = records.map(lambda record: record.exchange.connection)
requests = st.builds(
    request_of,
    st.sampled_from((b"/", b"/a%20b/c.php?x=1&x=2", b"/?", b"/?a?b")),
    st.sampled_from((0, 5, None)),
    version=st.sampled_from(((1, 1), (1, 0), (2, 0))),
)


@given(clients, requests, st.ip_addresses().map(str), st.floats(0, 1e10))
def test_what_is_read_is_what_was_recorded(connection: Connection, request: Request, client: str, time: float) -> None:
    """Of the connection and the client's certificate every attribute, of the request every part; or it is not known,
    and then the certificate itself, or a name that is too long. Nothing is ever something else."""
    read = recorded(connection=connection, request=request, client=client, time=time)
    assert (read.client, read.listener) == (client, "public")
    assert read.time == pytest.approx(time, abs=2e-6)
    facts = [name for name in names_of(Connection) if name != "client"]
    for made in (read.connection, read.probe_connection):
        assert known(made, facts) == known(connection, facts)
    parts = ["method", "scheme", "authority", "target", "path", "query", "version", "length"]
    assert known(read.head, parts) == known(read.probe_request, parts) == known(request, parts)
    was: Any = connection.client
    is_now: Any = read.probe_connection.client
    if was is None:
        assert read.connection.client is is_now is None
        return
    held = known(is_now, names_of(ClientIdentity))
    for name in {"leaf", "sans", "chain_sent", "chain_verified"} & held.keys():
        del held[name]
    assert {"verification", "serial", "not_before", "tags", "key_type", "crl_this_update"} <= held.keys()
    assert held == known(was, list(held))
    assert held == known(read.connection.client, list(held))
    names = known(is_now.sans, names_of(AlternativeNames))
    assert names == known(was.sans, list(names))
    assert names == known(getattr(read.connection.client, "sans"), list(names))  # noqa: B009 - it may be None for mypy
    assert (len(is_now.chain_sent), len(is_now.chain_verified)) == (len(was.chain_sent), len(was.chain_verified))
    for name in set(names_of(ClientIdentity)) - held.keys() - {"leaf", "sans", "chain_sent", "chain_verified"}:
        assert len(getattr(was, name)) >= 512, name


def test_a_place_to_find_it_by() -> None:
    """Identifier, time and client, and what was asked for."""
    assert recorded(time=1795262400.25, client="192.0.2.99").place == {
        "id": "0123456789abcdef0123456789abcdef",
        "time": "2026-11-21T12:00:00.250000Z",
        "client": "192.0.2.99",
        "method": "POST",
        "authority": "www.test",
        "target": "/a?b=1",
    }


# -- what became of it -------------------------------------------------------------------------------------------------

WON = Decision(action=NOTE)
NOWHERE = {"tries": 0, "origin_status": 0}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict("forward")),
        ({"decision": WON}, Verdict("note")),
        ({"decision": WON, "status": 404}, Verdict("note")),
        ({"decision": WON, "status": 403, **NOWHERE}, Verdict("note", 403)),
        ({"decision": WON, "status": 444, **NOWHERE}, Verdict("note", 444)),
        ({"decision": WON, "status": 499, **NOWHERE}, Verdict("note")),
        ({"decision": evolve(WON, mode="monitoring")}, Verdict("note", 0, "monitoring")),
        ({"decision": evolve(WON, mode="off"), "status": 404, **NOWHERE}, Verdict("note", 404, "off")),
        ({"error": OriginError(502, "reset", "")}, Verdict("forward")),
        ({"decision": WON, "error": OriginError(502, "reset", ""), "status": 502, **NOWHERE}, Verdict("note")),
        ({"decision": WON, "error": ClientError(499, ""), "status": 499}, Verdict("note")),
        ({"error": ClientError(408, ""), "status": 408}, Verdict("forward")),
        ({"error": OriginError(404, "reset", ""), "status": 502}, Verdict("forward")),
        *(({"error": ClientError(status, ""), "status": 400}, Verdict("refused", status)) for status in (495, 496)),
        *(({"error": ClientError(status, ""), "path_map": ""}, Verdict("refused", status)) for status in (404, 421)),
        ({"error": ClientError(413, ""), "decision": WON}, Verdict("refused", 413)),
    ],
)  # fmt: skip
def test_a_verdict_is_what_rules_and_routes_had_a_say_in(changes: dict[str, Any], verdict: Verdict) -> None:
    """The action and its status, if it was answered for it; forwarding; or a refusal that is a judgement."""
    assert recorded(**changes).verdict == verdict


@pytest.mark.parametrize("status", [400, 408, 431, 503])
def test_what_was_turned_away_before_it_was_judged_is_not_judged(status: int) -> None:
    """It says nothing of rules."""
    with pytest.raises(NotJudged, match="not judged"):
        recorded(error=ClientError(status, ""), path_map="")


def test_a_connection_without_a_request_is_not_judged() -> None:
    """Nor is a request that could not be read."""
    with pytest.raises(NotJudged, match="without a request"):
        recorded(request=None)


@pytest.mark.parametrize("state", [WebSocketState(1, 2, 1008, "node"), WebSocketState(1, 2)])
def test_of_a_websocket_only_the_handshake_is_judged_again(state: WebSocketState) -> None:
    """What the events behind it were judged by, its messages, is in none of them."""
    with pytest.raises(NotJudged, match="behind its handshake"):
        recorded(status=101, websocket=state)
    assert recorded(status=101).verdict.word == "forward"


def test_the_filter_is_the_first_that_proposed_the_action() -> None:
    """Not one that proposed another, and none if none was taken."""
    reasons = tuple(Reason("global-filters", *each) for each in (("a", "", "", ""), ("b", "", "", "x")))
    reasons += tuple(Reason("global-filters", name, "", "", "note") for name in ("c", "d"))
    assert recorded(decision=Decision(reasons=reasons, action=NOTE)).filter == "c"
    assert recorded(decision=Decision(reasons=reasons)).filter == ""
    assert recorded(decision=Decision(reasons=reasons, action=Action("other"))).filter == ""
    assert recorded(decision=Decision(reasons=reasons[:1], action=Action(""))).filter == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Verdict("a", 403), Verdict("a", 403), True),
        (Verdict("a", 403), Verdict("a"), True),
        (Verdict("a"), Verdict("a", 403), True),
        (Verdict("a", 403), Verdict("a", 404), False),
        (Verdict("a"), Verdict("b"), False),
        (Verdict("a", 0, "off"), Verdict("a"), False),
    ],
)
def test_verdicts_are_the_same_as_far_as_both_are_known(one: Verdict, other: Verdict, same: bool) -> None:
    """A status that nobody knows makes no difference."""
    assert one.same(other) is same


def test_a_verdict_in_words() -> None:
    """With its status, and the mode in which it was not carried out."""
    assert str(Verdict("tea", 418)) == "tea 418"
    assert str(Verdict("tea", 0, "monitoring")) == "tea (mode = monitoring)"


def test_only_what_came_of_the_body_counts_as_received() -> None:
    """There may have been more of it."""
    assert recorded(request=request_of(length=None), received=77).received == 77


# -- what it does not hold ---------------------------------------------------------------------------------------------


def test_a_header_is_there_absent_or_not_known() -> None:
    """Recorded with all its values, looked for in vain, or not looked for."""
    fields = recorded().probe_request.fields
    assert fields[b"user-agent"] == (b"curl/8", b"two")
    assert fields.get(b"referer") is None
    with pytest.raises(KeyError):
        _ = fields[b"referer"]
    with pytest.raises(NotKnown, match="header cookie"):
        fields.get(b"cookie")
    for look in (len, list, dict):
        with pytest.raises(NotKnown, match="all headers"):
            look(fields)


def test_all_headers_together_are_not_known() -> None:
    """Neither their number nor their order; but what serves finds something in their place."""
    read = recorded()
    for part in (read.probe_request.headers, read.probe_request.names):
        for look in (len, list, bool, iter):
            with pytest.raises(NotKnown, match="all headers"):
                look(part)
    assert (b"user-agent", b"two") in read.head.headers


@pytest.mark.parametrize(("length", "framing"), [(None, b"transfer-encoding"), (5, b"content-length"), (0, None)])
def test_a_body_is_known_only_if_there_is_none(length: int | None, framing: bytes | None) -> None:
    """Of a body its length is, if it was told in advance."""
    read = recorded(request=request_of(length=length))
    assert read.head.length == read.probe_request.length == length
    assert [name for name in (b"transfer-encoding", b"content-length") if name in read.head.fields] == (
        [framing] if framing else []
    )
    if length == 0:
        assert read.probe_request.body == NO_BODY
    else:
        assert read.head.body is None
        with pytest.raises(NotKnown, match="body"):
            _ = read.probe_request.body.data  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tags", "headers", "cookies"),
    [
        ({"headers:7", "cookies:3"}, 7, 3),
        ({"headers:2", "cookies:0"}, 2, 0),
        ({"headers:0"}, 2, 0),
        ({"headers:12345", "cookies:-1", "headers:x"}, 2, 0),
    ],
)
def test_as_many_fields_as_the_tags_count(tags: set[str], headers: int, cookies: int) -> None:
    """So that a rule on the number of headers or cookies finds what it found; a number that no request has is none."""
    read = recorded(decision=Decision(frozenset(tags)))
    found = [name for name in read.head.fields if name != b"cookie"]
    assert len(found) == headers
    values = read.head.fields.get(b"cookie", ())
    assert len([pair for value in values for pair in value.split(b";")]) == cookies


def test_a_recorded_cookie_stays_as_it_was() -> None:
    """It is not filled up, and it is not counted among the other fields."""
    read = recorded(event_headers=(b"cookie",), decision=Decision(frozenset(("cookies:3", "headers:5"))))
    assert read.head.fields[b"cookie"] == (b"secret=1",)
    assert len(read.head.fields) == 6


@pytest.mark.parametrize("name", ["host", "Content-Length", "transfer-encoding", "connection", "expect"])
def test_fields_of_the_framing_come_from_the_event_s_own(name: str) -> None:
    """Whatever headers are recorded: the length is a field of its own, and so is the host."""
    event = json.loads(event_line(record_of(request=request_of(length=5))))
    event["request"]["headers"] = {name: ["7"]}
    read = Recorded.of(json.dumps(event))
    assert read.head.fields[b"host"] == (b"www.test",)
    assert read.head.length == 5
    assert read.head.fields.get(name.lower().encode(), (b"5",))[0] in (b"5", b"www.test")
    assert read.probe_request.fields[name.lower().encode()] == (b"7",)


def test_the_certificate_itself_is_not_known() -> None:
    """Nor are those of its chain, but their number is; an empty chain is known to be empty."""
    client: Any = recorded().probe_connection.client
    assert (len(client.chain_sent), len(client.chain_verified)) == (1, 2)
    for part in (lambda: client.leaf, lambda: client.chain_sent[0], lambda: list(client.chain_verified)):
        with pytest.raises((NotKnown, TypeError)):
            part()
    with pytest.raises(NotKnown, match="certificate leaf"):
        _ = client.leaf
    with pytest.raises(NotKnown, match="certificate chain"):
        list(client.chain_verified)
    alone = evolve(CLIENT, chain_sent=(), chain_verified=())
    client = recorded(connection=evolve(CONNECTION, client=alone)).probe_connection.client
    assert (client.chain_sent, client.chain_verified) == ((), ())


@pytest.mark.parametrize("name", ["subject", "issuer", "subject_legacy", "issuer_legacy"])
def test_a_name_that_was_cut_is_not_known(name: str) -> None:
    """Nor is the verdict certain, if the name would be a tag."""
    cut, shorter = ({name: "n" * length} for length in (1024, 1023))
    client = changed(CLIENT, cut)
    read = recorded(connection=evolve(CONNECTION, client=client))
    with pytest.raises(NotKnown, match=f"certificate {name}"):
        getattr(read.probe_connection.client, name)
    assert getattr(read.connection.client, name) == ""
    assert read.unsure == ("certificate" if name in ("subject", "issuer") else "")
    assert recorded(connection=evolve(CONNECTION, client=changed(CLIENT, shorter))).unsure == ""


@pytest.mark.parametrize("kind", ["dns", "uri", "email", "ip"])
def test_alternative_names_that_were_left_out_are_not_known(kind: str) -> None:
    """The other kinds are."""
    sans = changed(CLIENT.sans, {kind: ("n",) * 1000})
    client: Any = recorded(connection=evolve(CONNECTION, client=evolve(CLIENT, sans=sans))).probe_connection.client
    for each in names_of(AlternativeNames):
        if each == kind:
            with pytest.raises(NotKnown, match=f"certificate sans {kind}"):
                getattr(client.sans, each)
        else:
            assert getattr(client.sans, each) == getattr(CLIENT.sans, each)


def test_a_list_that_does_not_cover_it_is_known_not_to() -> None:
    """There ``null`` is a value, and no gap."""
    client = evolve(CLIENT, crl_this_update=None, crl_next_update=None)
    probe: Any = recorded(connection=evolve(CONNECTION, client=client)).probe_connection.client
    assert (probe.crl_this_update, probe.crl_next_update) == (None, None)


def test_without_a_certificate_everything_is_known() -> None:
    """There is none."""
    read = recorded(connection=Connection(*ADDRESSES))
    assert read.connection is read.probe_connection
    assert read.connection.client is None
    assert read.unsure == ""


@pytest.mark.parametrize(
    "verification",
    [
        Verification(presented=True, verified=True),
        Verification(True, False, True, 23, 23, 0, "certificate revoked", (23,)),
        Verification(True, False, False, 20, 21, 1, "unable to verify the first certificate", (20, 21)),
    ],
)
def test_a_verdict_on_a_client_is_taken_as_it_was(verification: Verification) -> None:
    """All of it, in both readings."""
    read = recorded(connection=evolve(CONNECTION, client=evolve(CLIENT, verification=verification)))
    assert read.connection.verification == read.probe_connection.verification == verification


def test_a_probe_is_the_exchange_as_it_was_routed() -> None:
    """With the connection and the request that say what is not known."""
    read = recorded()
    probe = read.probe(EXCHANGE)
    assert (probe.connection, probe.request) == (read.probe_connection, read.probe_request)
    assert (probe.server_group, probe.path_map, probe.client) == ("site", "rest", "192.0.2.7")


# -- other versions ----------------------------------------------------------------------------------------------------

NEEDED = [
    "time", "id", "listener", "client", "peer", "local", "tls",
    *(path for path, row in ALL_ROWS.items() if path.startswith("tls.") and not row.omitted),
    "certificate", "certificate.verify", "certificate.revoked", "certificate.first_error", "certificate.last_error",
    "certificate.depth", "certificate.errors", "request.method", "request.scheme", "request.authority",
    "request.target", "request.version", "request.length", "request.headers", "tags", "reasons", "action", "status",
    "error", "bytes", "bytes.received",
]  # fmt: skip


def without(path: str, **changes: Any) -> str:
    """An event in which a field is missing."""
    event = json.loads(event_line(record_of(**changes)))
    *above, name = path.split(".")
    holder = event
    for each in above:
        holder = holder[each]
    del holder[name]
    return json.dumps(event)


@pytest.mark.parametrize("path", NEEDED)
def test_an_event_without_what_is_needed_is_none_of_this_version(path: str) -> None:
    """It is named; nothing is put in its place."""
    with pytest.raises(NoEvent, match=rf"not an event of this version: {path}[a-z_.]* is missing"):
        Recorded.of(without(path))


def test_an_event_without_our_expiry_says_that_nothing_had_expired() -> None:
    """As those of older versions do; with it, it is read back, and judged as any other."""
    expired = evolve(CONNECTION, expired=CLIENT.not_before)
    read = recorded(connection=expired)
    assert read.connection.expired == read.probe_connection.expired == CLIENT.not_before
    older = Recorded.of(without("tls.certificate_expired", connection=expired))
    assert (older.connection.expired, older.verdict) == (None, read.verdict)


def test_an_event_without_mode_origin_or_path_map_is_none_where_they_matter() -> None:
    """They do where an action was taken, or an error was the client's."""
    for path, changes in (
        ("mode", {"decision": WON}),
        ("origin", {"decision": WON}),
        ("path_map", {"error": ClientError(408, "")}),
        ("error.status", {"error": ClientError(408, "")}),
        ("error.fault", {"error": ClientError(408, "")}),
    ):
        with pytest.raises(NoEvent, match=f"{path} is missing"):
            Recorded.of(without(path, **changes))


@pytest.mark.parametrize(
    "path",
    [path for path in ALL_ROWS if path.startswith("certificate.") and path not in NEEDED and path.count(".") == 1],
)
def test_what_an_older_event_does_not_say_of_a_certificate_is_not_known(path: str) -> None:
    """The rest can be judged, unless it would be a tag."""
    read = Recorded.of(without(path))
    row = ALL_ROWS[path]
    probe: Any = read.probe_connection.client
    attribute = row.of.rpartition(".")[2]
    with pytest.raises(NotKnown, match="certificate"):
        _ = probe.sans.dns if attribute == "sans" else getattr(probe, attribute)
    assert read.unsure == ("certificate" if row.name in ("tags", "subject", "issuer") else "")


@pytest.mark.parametrize("name", ["subject", "serial", "not_before", "tags", "ski"])
def test_null_is_no_value_of_a_certificate_that_there_was(name: str) -> None:
    """Somebody has taken it out: it is not known, or the event is none."""
    event = json.loads(event_line(record_of()))
    event["certificate"][name] = None
    try:
        client: Any = Recorded.of(json.dumps(event)).probe_connection.client
    except NoEvent:
        assert name in ("not_before", "tags", "ski")
        return
    with pytest.raises(NotKnown, match=f"certificate {name}"):
        getattr(client, name)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("junk", "not JSON"),
        ("[]", "not an event"),
        ('"request"', "not an event"),
        ("{}", "not an event"),
        ("[" * 100_000, "nested too deep"),
        ('{"request": {}, "error": 1}', "error is no object or null"),
        ('{"request": ' + "9" * 5000 + "}", "not an event of this version"),
    ],
)
def test_a_line_that_is_no_event(line: str, why: str) -> None:
    """It is said why."""
    with pytest.raises(NoEvent, match=why):
        Recorded.of(line)


@pytest.mark.parametrize(("field", "value"), [("target", "/a b"), ("method", "G\r\nX: y"), ("authority", "a b")])
def test_a_request_that_would_be_refused_is_none(field: str, value: str) -> None:
    """Nobody has sent it to a node."""
    event = json.loads(event_line(record_of()))
    event["request"][field] = value
    with pytest.raises(NoEvent, match="a request that would be refused"):
        Recorded.of(json.dumps(event))


def test_a_client_that_is_no_address_is_none() -> None:
    """Nothing could be looked up for it."""
    with pytest.raises(NoEvent, match="not an event of this version"):
        recorded(client="somebody")
