"""Actions: what becomes of a request, which action is the stronger, and which keys belong to which."""

from __future__ import annotations

from typing import Any

import pytest

from edgenode import decision
from edgenode.decision import Action, Decision, Forward, Outcome, Respond
from edgenode.errors import InvalidValue
from edgenode.exchange import Exchange, Response
from edgenode.policy.actions import FAILURE, PREDEFINED, TYPES, ActionSection
from tests.strategies import CONNECTION

EXCHANGE = Exchange(CONNECTION)
NO_STORE = (b"cache-control", b"no-store")
PLAIN = (b"content-type", b"text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("section", "outcome"),
    [
        (ActionSection(type="skip"), Forward()),
        (ActionSection(type="monitor"), Forward()),
        (ActionSection(type="close"), decision.Close()),
        (ActionSection(type="block"), Respond(Response(403, (PLAIN, NO_STORE), b"Forbidden.\n"))),
        (
            ActionSection(type="block", status=429, body="{}", content_type="application/json"),
            Respond(Response(429, ((b"content-type", b"application/json"), NO_STORE), b"{}\n")),
        ),
        (ActionSection(type="block", body=""), Respond(Response(403, (PLAIN, NO_STORE), b""))),
        (
            ActionSection(type="redirect", location="https://www.example.com/x?y#z"),
            Respond(Response(302, ((b"location", b"https://www.example.com/x?y#z"),))),
        ),
        (ActionSection(type="redirect", location="/", status=308), Respond(Response(308, ((b"location", b"/"),)))),
    ],
)
def test_an_action_becomes_its_outcome(section: ActionSection, outcome: Outcome) -> None:
    """What is written in a section is what the client gets."""
    assert section.action("name").outcome(EXCHANGE) == outcome


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"type": "skip", "status": 403}, "status has no meaning for an action of type skip"),
        ({"type": "monitor", "body": "x"}, "body has no meaning for an action of type monitor"),
        ({"type": "close", "location": "/"}, "location has no meaning for an action of type close"),
        ({"type": "redirect", "location": "/", "body": ""}, "body has no meaning for an action of type redirect"),
        (
            {"type": "redirect", "location": "/", "content_type": "text/html"},
            "content-type has no meaning for an action of type redirect",
        ),
        ({"type": "block", "location": "/"}, "location has no meaning for an action of type block"),
        ({"type": "block", "status": 399}, "the status of an action of type block is a number from 400 to 599"),
        ({"type": "block", "status": 600}, "the status of an action of type block is a number from 400 to 599"),
        ({"type": "block", "content_type": "text"}, "content-type is a media type, such as text/html; charset=utf-8"),
        ({"type": "block", "content_type": "text/html\r\nx: y"}, "content-type is a media type, such as text/html; "),
        ({"type": "redirect"}, "an action of type redirect needs a location"),
        ({"type": "redirect", "location": "/", "status": 300}, "redirect is one of 301, 302, 303, 307, 308"),
    ],
)
def test_what_an_action_cannot_have_is_refused(keys: dict[str, Any], sentence: str) -> None:
    """A key without meaning for the type, or a value that it cannot use, is an error and never left out."""
    with pytest.raises(InvalidValue) as refused:
        ActionSection(**keys).action("name")
    assert sentence in refused.value.sentence


@pytest.mark.parametrize(
    "location",
    [
        "",
        "x",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/a b",
        "/é",
        "/\n",
        "/a\r\nset-cookie: x",
        "javascript:1",
        "https://",
        "http:///x",
        "https://good.example@evil.example/",
        "https://good.example\\evil.example/",
    ],
)
def test_a_location_that_leads_elsewhere_than_it_seems_is_refused(location: str) -> None:
    """No line feed, no backslash, no user name, no second slash."""
    with pytest.raises(InvalidValue, match="location begins with"):
        ActionSection(type="redirect", location=location).action("name")


def test_the_order_of_types_is_the_documented_one() -> None:
    """Skip is stronger than block, then close, redirect, monitor."""
    assert list(TYPES) == ["skip", "block", "close", "redirect", "monitor"]
    strengths = [kind.default_priority for kind in TYPES.values()]
    assert strengths == sorted(set(strengths), reverse=True)


def test_a_priority_is_stronger_than_a_type() -> None:
    """What the section says counts before what its type is."""
    weak, strong = ActionSection(type="skip", priority=1), ActionSection(type="monitor", priority=2)
    winner = (Decision(action=weak.action("weak")) | Decision(action=strong.action("strong"))).action
    assert winner is not None
    assert winner.name == "strong"


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_all_but_monitor_skip_the_remaining_stages(name: str, kind: type[Action]) -> None:
    """What has been decided is not judged any further."""
    assert kind.skips is (name != "monitor")


def test_predefined_actions_are_their_types() -> None:
    """Skip, block, close and monitor exist without a section, as a section with just the type makes them."""
    assert dict(PREDEFINED) == {name: ActionSection(type=name).action(name) for name in TYPES if name != "redirect"}


def test_nothing_is_stronger_than_a_failure() -> None:
    """A stage that failed closed is not outweighed by what was proposed before it or comes after."""
    strongest = ActionSection(type="skip", priority=1000).action("strongest")
    assert (Decision(action=strongest) | Decision(action=FAILURE)).action is FAILURE
    assert isinstance(FAILURE.outcome(EXCHANGE), Respond)
    assert FAILURE.skips
