"""Messages as receivers take them."""

from __future__ import annotations

import email
import email.policy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.counted_by import EventValue
from edgenode.observe.alerts.descriptions import Description
from edgenode.observe.alerts.forms import Subject, as_alertmanager, as_json, as_slack, body, text
from edgenode.observe.alerts.incidents import Incident
from edgenode.observe.alerts.mail import mail_of
from edgenode.observe.alerts.mailboxes import Mailbox
from edgenode.observe.alerts.messages import Message
from tests.observe.alerts.journals import alert

SINCE = 1_796_054_400.0
RAISED = Message(SINCE + 1, raised=(Incident("192.0.2.1", SINCE, 120), Incident("192.0.2.2", SINCE + 0.5, 101)))
OVER = Message(SINCE + 400, resolved=(Incident("192.0.2.1", SINCE, 120, SINCE + 360),))


def subject(**keys: Any) -> Subject:
    """An alert by the client, with a description."""
    given: dict[str, Any] = {
        "by": EventValue.from_text("ip.src"),
        "severity": "critical",
        "description": Description.from_text("${count} from ${value} on ${node}: ${alert} ${status} ${threshold}"),
        "mail_from": Mailbox("edge@example.com"),
        "mail_to": (Mailbox("ops@example.com"), Mailbox("night@example.org")),
        "mail_origin": "mail",
        "origin": "hooks",
    }
    return Subject("errors", alert("more than 100 per 5m", **{**given, **keys}), "edge-1.example.com")


def test_the_object_says_all_there_is() -> None:
    """Who, what, since when; an incident has the same identifier in all of its messages."""
    told = json.loads(body(subject(), RAISED))
    first, second = told.pop("incidents")
    assert told == {
        "alert": "errors",
        "status": "raised",
        "time": "2026-11-30T16:00:01.000000Z",
        "node": "edge-1.example.com",
        "severity": "critical",
        "description": "120 from 192.0.2.1, 192.0.2.2 on edge-1.example.com: errors raised more than 100 per 5m",
        "expression": "http.response.code ge 500",
        "threshold": "more than 100 per 5m",
        "by": "ip.src",
        "distinct": None,
        "untold": 0,
    }
    assert first["id"] != second["id"]
    assert {key: first[key] for key in ("status", "value", "count", "since", "until")} == {
        "status": "raised",
        "value": "192.0.2.1",
        "count": 120,
        "since": "2026-11-30T16:00:00.000000Z",
        "until": None,
    }
    (over,) = json.loads(body(subject(), OVER))["incidents"]
    assert (over["id"], over["status"], over["until"]) == (first["id"], "resolved", "2026-11-30T16:06:00.000000Z")


def test_a_text_says_it_to_people() -> None:
    """A line for each incident."""
    assert text(subject(description=Description("")), RAISED).splitlines() == [
        "[raised] errors on edge-1.example.com: 192.0.2.1 and 1 more",
        "raised: ip.src 192.0.2.1: 120 events, since 2026-11-30T16:00:00.000000Z",
        "raised: ip.src 192.0.2.2: 101 events, since 2026-11-30T16:00:00.500000Z",
        "critical; more than 100 per 5m; http.response.code ge 500",
    ]
    assert "resolved: ip.src 192.0.2.1: 120 events, from 2026-11-30T16:00:00.000000Z to" in text(subject(), OVER)
    assert "6m" in text(subject(), OVER)


def test_what_a_client_has_chosen_is_no_notation_of_a_chat() -> None:
    """Neither a link, nor a mention, nor another line."""
    message = Message(SINCE, raised=(Incident("<!channel> <https://evil.example|x>\n& more", SINCE, 3),))
    told = as_slack(subject(), message)["text"]
    assert "<" not in told
    assert "&lt;!channel&gt;" in told
    assert "\\n&amp; more" in told


def test_a_chat_is_not_flooded() -> None:
    """Twenty lines, and how many more there are."""
    message = Message(SINCE, raised=tuple(Incident(str(number), SINCE, 3) for number in range(1000)))
    told = as_slack(subject(), message)["text"]
    assert len(told.splitlines()) < 30
    assert "and 980 more" in told
    assert "0, 1, 2, 3, 4 and 995 more" in told


def test_an_alertmanager_is_told_one_alert_for_each_incident() -> None:
    """What is raised ends by itself, unless it is told again; what is resolved has ended."""
    first, _ = as_alertmanager(subject(), RAISED)
    assert first["labels"] == {
        "alertname": "errors",
        "severity": "critical",
        "instance": "edge-1.example.com",
        "ip_src": "192.0.2.1",
    }
    assert (first["startsAt"], first["endsAt"]) == ("2026-11-30T16:00:00.000000Z", "2026-11-30T16:05:01.000000Z")
    (over,) = as_alertmanager(subject(), OVER)
    assert (over["startsAt"], over["endsAt"]) == ("2026-11-30T16:00:00.000000Z", "2026-11-30T16:06:00.000000Z")
    assert over["labels"] == first["labels"]


@given(st.text(max_size=300), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**9))
def test_any_value_can_be_told_in_any_form(value: str, time: float, count: int) -> None:
    """Forms are made of what strangers have sent, at whatever time; none of them fails, and a line stays one."""
    made = subject()
    for until in (None, time):
        message = Message(time, raised=(Incident(value, time, count, until),))
        for form in (as_json, as_slack, as_alertmanager):
            json.loads(json.dumps(form(made, message)))
        assert len(text(made, message).splitlines()) == 4


@given(st.text(max_size=300))
def test_no_value_adds_a_field_or_a_receiver_to_a_mail(value: str) -> None:
    """What is read of a mail is what was meant, and every line is short."""
    mail = mail_of(subject(), Message(SINCE, raised=(Incident(value, SINCE, 3),)))
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998
    assert b"\n" not in mail.content.replace(b"\r\n", b"")
    read = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert read.defects == []
    assert sorted(read.keys()) == sorted(
        (
            "From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted", "Content-Type",
            "Content-Transfer-Encoding", "MIME-Version",
        )
    )  # fmt: skip
    assert read["To"] == "ops@example.com, night@example.org"
    assert (
        read.get_content().splitlines()
        == text(subject(), Message(SINCE, raised=(Incident(value, SINCE, 3),))).splitlines()
    )


def test_mails_of_one_incident_are_a_thread_and_a_mail_that_is_sent_again_is_the_same() -> None:
    """By References and Message-ID."""
    first, again, over = (
        email.message_from_bytes(mail_of(subject(), each).content, policy=email.policy.default)
        for each in (RAISED, RAISED, OVER)
    )
    assert first["Message-ID"] == again["Message-ID"] != over["Message-ID"]
    assert first["References"] == over["References"]
    assert first["Subject"] == "[raised] errors on edge-1.example.com: 192.0.2.1 and 1 more"
    assert first["Date"] == "Mon, 30 Nov 2026 16:00:01 -0000"


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("${count", 0, "the } that ends"),
        ("a ${nobody}", 4, "expected one of alert, count"),
        ("${}", 2, "expected one of"),
    ],
)
def test_a_description_that_cannot_be_filled_in_is_told_with_its_column(text: str, column: int, sentence: str) -> None:
    """A dollar sign by itself is one."""
    with pytest.raises(InvalidValue, match=sentence) as caught:
        Description.from_text(text)
    assert caught.value.column == column
    assert Description.from_text("5 $ {x}").of({}) == "5 $ {x}"


@pytest.mark.parametrize(
    "text", ["", "a", "a@", "@b", "a b@c.example", "a@b c", '"a b"@c', "a@b\n", "a@b>", "ä@b", "a.@b", "a@-b"]
)
def test_what_is_no_mail_address_is_refused(text: str) -> None:
    """Nothing that could end a command of SMTP is in one."""
    with pytest.raises(InvalidValue):
        Mailbox.from_text(text)
    assert str(Mailbox.from_text("o'ops+edge@mx-1.example.com")) == "o'ops+edge@mx-1.example.com"


def test_keys_that_contradict_one_another_are_refused() -> None:
    """Each with the key that is meant."""
    cases: list[tuple[str, dict[str, Any]]] = [
        ("by", {"threshold": "less than 1 per 1m", "by": EventValue.from_text("ip.src")}),
        ("distinct", {"threshold": "more than 5% per 1m", "distinct": EventValue.from_text("ip.src")}),
        ("threshold", {"threshold": "more than 1001 per 1m", "distinct": EventValue.from_text("ip.src")}),
        ("of", {"of": alert().expression}),
        ("path", {"path": "/x"}),
        ("path", {"path": "x", "origin": "hooks"}),
        ("secret", {"secret": "x"}),
        ("mail-to", {"mail_to": (Mailbox("a@b"),)}),
        ("mail-user", {"mail_user": "x"}),
    ]
    for which, keys in cases:
        with pytest.raises(InvalidValue) as caught:
            alert(**keys)
        assert caught.value.which == which, keys


def test_what_is_counted_by_is_any_value_of_events() -> None:
    """Of several values each; of what an event does not hold none; a name that no event holds is an error."""
    event = {"client": "2001:db8::1", "tags": ["a", "b"], "status": 200, "request": None}
    assert EventValue.from_text("ip.src").values(event) == ("2001:db8::1",)
    assert EventValue.from_text("edge.tags").values(event) == ("a", "b")
    assert EventValue.from_text("http.response.code").values(event) == ("200",)
    assert EventValue.from_text("ssl").values({"tls": {"version": "TLSv1.3"}}) == ("true",)
    assert EventValue.from_text("http.host").values(event) == ()
    for wrong in ("http.request.body", "http.request.headers", "nothing", ""):
        with pytest.raises(InvalidValue):
            EventValue.from_text(wrong)


def test_an_alert_is_known_by_its_keys() -> None:
    """Two of the same keys are equal, for that is how a node sees what has changed."""
    one, same, other = (subject(severity=each).alert for each in ("info", "info", "error"))
    assert isinstance(one, Alert)
    assert one == same != other
