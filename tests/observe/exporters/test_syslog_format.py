"""Events as syslog messages: what RFC 5424 says of each part, whatever the event holds."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.observe.exporters.syslog_format import (
    ERROR,
    FACILITIES,
    INFO,
    NOTICE,
    WARNING,
    Header,
    framed,
    quoted,
    severity,
    summary,
)

HEADER = Header(FACILITIES["local0"], "edge-1", "edgenode", "4711", "edgenode@32473")
EVENT: dict[str, Any] = {
    "time": "2026-11-30T17:00:00.123456Z", "id": "r1", "listener": "public", "client": "192.0.2.1",
    "server_group": "shop", "security_policy": "shop", "path_map": "all",
    "request": {"method": "GET", "scheme": "https", "authority": "shop.example", "target": "/a]b\"c\\"},
    "reasons": [{"filter": "bots"}], "action": "block", "mode": "block", "status": 403, "error": None,
    "origin": None,
}  # fmt: skip
HELD: dict[str, Any] = {
    "time": "2026-11-30T17:00:00.123456Z",
    "event": {"kind": "event", "category": "intrusion_detection", "type": "creation", "action": "quarantine-held"},
    "reason": "too many", "entry": {"key": "ip", "value": "192.0.2.7"},
}  # fmt: skip
TIME = datetime.datetime.fromisoformat(EVENT["time"]).timestamp()

GRAMMAR = re.compile(
    rb"<(?P<pri>[1-9][0-9]{0,2}|0)>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<host>[!-~]{1,255}) "
    rb"(?P<app>[!-~]{1,48}) (?P<process>[!-~]{1,128}) (?P<kind>[!-~]{1,32}) "
    rb'(?P<data>-|\[[^ =\]"]{1,32}(?: [^ =\]"]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*\]) (?P<message>.*)',
    re.DOTALL,
)
"""RFC 5424, section 6, as far as messages of ours use it."""


def test_a_message() -> None:
    """An event in full."""
    text = HEADER.message(TIME, EVENT, "r1-0123", json.dumps({"a": 1}))
    assert text == (
        b'<132>1 2026-11-30T17:00:00.123456Z edge-1 edgenode 4711 exchange [edgenode@32473 id="r1-0123" '
        b'listener="public" client="192.0.2.1" server_group="shop" security_policy="shop" path_map="all" '
        b'method="GET" authority="shop.example" status="403" action="block" mode="block"] \xef\xbb\xbf{"a": 1}'
    )
    plain = Header(1, "", "", "", "", bom=False).message(TIME, {}, "k", "é")
    assert plain == b"<14>1 2026-11-30T17:00:00.123456Z - - - connection - \xc3\xa9"
    assert framed(plain) == b"%d %b" % (len(plain), plain)


def test_what_happens_to_the_state_is_a_message_of_its_kind() -> None:
    """MSGID says what has happened, and structured data whom it is about."""
    match = GRAMMAR.fullmatch(HEADER.message(TIME, HELD, "k", summary(HELD)))
    assert match is not None
    assert (match["kind"], match["pri"]) == (b"quarantine-held", b"134")
    assert b'reason="too many" entry="192.0.2.7"' in match["data"]
    assert match["message"].decode("utf-8-sig") == "quarantine-held: ip 192.0.2.7 too many"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"status": 200}, INFO),
        ({"status": 304, "action": None}, INFO),
        ({"status": 404}, NOTICE),
        ({"status": 403, "action": "block"}, WARNING),
        ({"status": 503, "action": "maintenance"}, WARNING),
        ({"status": 502, "action": None, "error": {"fault": "origin"}}, ERROR),
        ({"status": 400, "error": {"fault": "client"}}, NOTICE),
        ({"status": 500}, ERROR),
        ({"event": {"type": "error"}}, ERROR),
        ({"event": {"type": "creation"}}, INFO),
        ({"status": "200"}, INFO),
        ({}, INFO),
    ],
)
def test_how_severe_an_event_is(event: dict[str, Any], expected: int) -> None:
    """By what went wrong, by what was done, by the status."""
    assert severity(event) == expected


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (EVENT, '192.0.2.1 GET https://shop.example/a]b"c\\ 403 block (bots)'),
        ({**EVENT, "request": None, "status": 400, "action": None, "reasons": [],
          "error": {"reason": "two Hosts"}}, "192.0.2.1 no request 400 two Hosts"),
        (HELD, "quarantine-held: ip 192.0.2.7 too many"),
        ({}, "no request"),
    ],
)  # fmt: skip
def test_an_event_in_a_line(event: dict[str, Any], line: str) -> None:
    """For people."""
    assert summary(event) == line


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=20) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = (*EVENT, *HELD)
events = st.dictionaries(st.sampled_from(KEYS), anything, max_size=8) | st.fixed_dictionaries(
    {key: st.text(max_size=20) for key in ("client", "action", "listener")},
    optional={"request": st.dictionaries(st.sampled_from(["method", "authority"]), st.text(max_size=20))},
)


@given(events, st.text(max_size=300), st.text(max_size=20), st.text(max_size=60))
def test_whatever_an_event_holds_it_is_one_message(event: dict[str, Any], host: str, key: str, content: str) -> None:
    """Of RFC 5424's grammar, with its content untouched; and nothing in the event fails."""
    made = Header(16, host, host, host, "edgenode@32473").message(TIME, event, key, content)
    plain = Header(1, host, host, host, "a@1", bom=False).message(TIME, event, "k", summary(event))
    assert plain.decode().isprintable()
    match = GRAMMAR.fullmatch(made)
    assert match is not None
    assert match["message"].decode("utf-8-sig") == content.encode("utf-8", "backslashreplace").decode()
    assert isinstance(summary(event), str)


@given(st.text())
def test_a_value_cannot_end_its_quotes(text: str) -> None:
    """And reads as what it was."""
    value = quoted(text)
    assert re.fullmatch(r'"(?:[^"\\\]]|\\["\\\]])*"', value, re.DOTALL)
    assert re.sub(r'\\(["\\\]])', r"\1", value[1:-1]) == text
