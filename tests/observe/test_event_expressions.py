"""Expressions on events: the Rules language with its laws, over what events hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import Action, Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.event_record import event_line
from edgenode.rules.language.expressions import MAX_LENGTH
from tests.support.records import EXCHANGE, FakeRecord

EVENT: Any = json.loads(
    event_line(
        FakeRecord(
            EXCHANGE,
            Decision(
                frozenset(("all", "bot")),
                (Reason("global-filters", "scripts", "path: ^/", "", "block"),),
                Action("block"),
            ),
            status=503,
            time=1795262400.25,
            tries=0,
        )
    )
)


@pytest.mark.parametrize(
    "text",
    [
        'http.response.code >= 500 and any(edge.tags[*] == "bot")',
        'edge.action == "block" and edge.filter eq "scripts"',
        "ip.src in {192.0.2.0/24}",
        'http.host eq "www.test" and http.request.uri.args["b"][0] eq "1"',
        'cf.tls_client_auth.cert_verified and cf.tls_client_auth.cert_subject_dn contains "acme"',
        'lower(http.user_agent) contains "curl"',
        'any(http.request.headers["user-agent"][*] matches "^curl/[0-9]+$")',
        "not edge.origin.status ge 500",
        'http.referer eq "" xor ssl xor http.request.method in {"GET"}',
        "edge.duration eq 1000000",
    ],
)
def test_what_is_true_of_an_event_matches(text: str) -> None:
    """Fields of rules and what is known afterwards stand beside one another."""
    assert EventExpression.from_text(text).matches(EVENT)


@pytest.mark.parametrize(
    "comparison",
    [
        'edge.origin eq "shop"', 'edge.origin ne "shop"', "edge.origin.status lt 500", 'edge.error.kind in {"reset"}',
        'http.request.headers["accept"][0] ne "x"', 'http.cookie eq ""', 'edge.grpc.service ne "x"',
    ],
)  # fmt: skip
def test_what_an_event_does_not_hold_never_matches_and_not_inverts(comparison: str) -> None:
    """Whatever the operator; and ``not`` is true of it."""
    assert not EventExpression.from_text(comparison).matches(EVENT)
    assert EventExpression.from_text(f"not {comparison}").matches(EVENT)


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("http.response.code ge", 21, "expected a number (Int), such as 443, -1, 0x1F or 017"),
        (
            'ssl and http.request.body.raw contains "x"', 8,
            "there is no field http.request.body.raw here: events hold no bodies, but their sizes: edge.bytes.received "
            "and edge.bytes.sent",
        ),
        (
            'any(http.request.headers.names[*] eq "x")', 4,
            "there is no field http.request.headers.names here: events hold the headers that [edge] event-headers "
            'names: look at http.request.headers["..."]',
        ),
        ('edge.acton eq "block"', 0, "there is no field edge.acton; did you mean edge.action?"),
        (
            "ssl or ip.src in $bad", 17,
            "events are looked at without the lists of the configuration: write the values, in {...}",
        ),
        (
            'ip.src.country eq "DE"', 0,
            "there is no field ip.src.country here: events hold where a client is as tags: look at "
            'any(edge.tags[*] eq "geo-country:germany")',
        ),
        ("s" * (MAX_LENGTH + 1), MAX_LENGTH, f"an expression has at most {MAX_LENGTH} characters; this has 4097"),
        ("(" * 200 + "ssl" + ")" * 200, 128, "parentheses, not and calls stand at most 128 deep in one another"),
    ],
)  # fmt: skip
def test_a_wrong_expression_says_where_and_what_to_write(text: str, column: int, sentence: str) -> None:
    """What rules can look at and no event holds is an error of its own."""
    with pytest.raises(InvalidValue) as caught:
        EventExpression.from_text(text)
    assert (caught.value.sentence, caught.value.column) == (sentence, column)


def test_it_says_which_headers_events_must_hold() -> None:
    """So that the configuration can be asked whether they do."""
    text = 'http.user_agent eq "" and any(http.request.headers["X-A"][*] eq "") or http.cookie eq "a"'
    assert list(EventExpression.from_text(text).headers()) == [("user-agent", 0), ("X-A", 30), ("cookie", 71)]


def test_two_that_say_the_same_are_equal_and_keep_their_text() -> None:
    """A configuration that was only written otherwise has not changed."""
    one, other = (EventExpression.from_text(text) for text in ("ssl&&ssl", "ssl and ssl"))
    assert one == other
    assert str(one) == "ssl&&ssl"


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)))
def test_what_is_no_event_matches_nothing_and_raises_nothing(value: Any) -> None:
    """Not even a negation is true of it."""
    assert not EventExpression.from_text("not ssl").matches(value)
    EventExpression.from_text('any(edge.tags[*] eq "bot") or ip.src eq 192.0.2.7').matches(
        {"tags": value, "client": value}
    )


def test_a_text_beyond_unicode_is_compared_byte_by_byte() -> None:
    """Half a character in an event does no harm."""
    event = {"listener": json.loads('"\\ud800"')}
    assert EventExpression.from_text('edge.listener matches "^.{3}$"').matches(event)


def test_an_event_without_a_request_has_none() -> None:
    """It could not be read."""
    event = json.loads(event_line(FakeRecord(evolve(EXCHANGE, request=None))))
    assert not EventExpression.from_text('http.host ne ""').matches(event)
    assert EventExpression.from_text("ssl").matches(event)
