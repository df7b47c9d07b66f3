"""``[exporter]``: its keys, and which parts of an event are sent under which names."""

from __future__ import annotations

import json

import pytest

from edgenode.model.errors import InvalidValue
from edgenode.observe.exporters.fields import PATHS, SentField, sent
from edgenode.observe.exporters.outgoing import key_of, outgoing
from tests.observe.exporters.support import configured, event_line, exporter


def test_each_type_has_keys_of_its_own() -> None:
    """A key of another type is an error that says whose it is; one that is missing is required."""
    assert configured("type = webhook\nsecret = a") == []
    (found,) = configured("type = webhook\nsecret = a\nsecrit = b")
    assert found == '[exporter x] secrit: unknown key; did you mean "secret"?'
    (found,) = configured("secret = a")
    assert found == "[exporter x] type: this key is required"
    (found,) = configured("type = webhok\nsecret = a")
    assert 'did you mean "webhook"?' in found


def test_a_secret_is_not_shown() -> None:
    """Neither in a repr nor in an error."""
    assert "s3cret" not in repr(exporter("type = webhook\nsecret = s3cret"))
    assert "s3cret" not in "".join(configured("type = webhook\nsecret = ${s3cret\n"))


FIELDS = """\
fields =
    source.ip: client
    http.request.method: request.method
    user_agent.original: request.headers.User-Agent
    rule.name: reasons.filter
    event.dataset: "edge\\"node"
    event.action: event.action
    origin.name: origin.name
"""


def test_parts_are_sent_under_names_of_the_receiver() -> None:
    """Names with dots are objects within objects; of a list the parts of all members; what is not there is left out."""
    fields = exporter(f"type = webhook\n{FIELDS}").fields
    found = outgoing(event_line(1), None, fields)
    assert found is not None
    assert found.sent == {
        "source": {"ip": "192.0.2.1"},
        "http": {"request": {"method": "GET"}},
        "user_agent": {"original": ["curl"]},
        "rule": {"name": ["bots", "scanners"]},
        "event": {"dataset": 'edge"node'},
    }
    assert json.loads(found.line) == found.sent
    assert found.event["status"] == 200


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("source.ip", "expected a name, a colon"),
        ("a b: client", "expected a name, or several"),
        ("a..b: client", "expected a name, or several"),
        (": client", "expected a name, or several"),
        ("a: clint", 'an event has no "clint"; did you mean "client"?'),
        ("a: request.mehtod", 'did you mean "request.method"?'),
        ("a: zzzzzz", 'an event has no "zzzzzz"'),
        ('a: "x', "the text does not end"),
        ('a: "x" y', "the text does not end"),
    ],
)
def test_a_line_that_cannot_be_is_an_error(line: str, problem: str) -> None:
    """With a column, and what may have been meant."""
    with pytest.raises(InvalidValue) as caught:
        SentField.from_text(line)
    assert problem in str(caught.value)
    assert caught.value.column is not None


@pytest.mark.parametrize("lines", ["a: client\n    a: status", "a: client\n    a.b: status", "a.b.c: id\n    a.b: id"])
def test_names_that_exclude_each_other_are_an_error(lines: str) -> None:
    """One cannot be both a value and an object."""
    (found,) = configured(f"type = webhook\nsecret = s\nfields =\n    {lines}")
    assert "cannot both be sent" in found


@pytest.mark.parametrize("path", PATHS)
def test_every_part_of_an_event_can_be_sent(path: str) -> None:
    """By its place in the schema; a line is written as it is read."""
    line = f"a.b: {path}"
    assert str(SentField.from_text(line)) == line


def test_without_fields_an_event_is_sent_as_it_is() -> None:
    """Byte by byte."""
    line = event_line(7)
    found = outgoing(line, None, ())
    assert found is not None
    assert found.line is line
    assert sent(found.event, ()) is found.event


def test_a_key_is_of_one_event_alone() -> None:
    """Two events of one identifier, as of a WebSocket, have different ones; the same line has the same for ever."""
    one, two = event_line(1), event_line(1, websocket={})
    assert key_of(one, json.loads(one)) == "00000001-" + key_of(one, {})[:16]
    assert key_of(one, json.loads(one)) != key_of(two, json.loads(two))
    assert len(key_of(one, {"id": "x" * 1000})) < 200
    assert key_of(one, {"id": 'a"/\\b'}).startswith("ab-")


def test_what_is_not_in_events_is_doubtful() -> None:
    """A header field that ``event-headers`` does not name is never sent, and never matches."""
    (found,) = configured("type = webhook\nsecret = s\nfields = ua: request.headers.X-Other")
    assert found.startswith("warning: [exporter x] fields: events do not hold this header")
    (found,) = configured('type = webhook\nsecret = s\nexpression = any(http.request.headers["x-other"][*] == "bot")')
    assert found.startswith("warning: [exporter x] expression: events do not hold this header")


@pytest.mark.parametrize(
    ("server", "doubtful"),
    [
        ("http://siem.example:80", True),
        ("http://192.0.2.1:80", True),
        ("http://127.0.0.1:80", False),
        ("http://[::1]:80", False),
        ("http://localhost:80", False),
        ("unix:/run/siem.sock", False),
        ("https://siem.example", False),
    ],
)
def test_events_in_plain_text_are_doubtful(server: str, doubtful: bool) -> None:
    """Unless nobody is on the way."""
    found = configured("type = webhook\nsecret = s", server=server)
    assert [each.startswith("warning: [exporter x] origin: without TLS") for each in found] == [True] * doubtful
