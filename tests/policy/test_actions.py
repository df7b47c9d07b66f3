"""Actions: what becomes of a request, which action is the stronger, and which keys belong to which."""

from __future__ import annotations

from typing import Any

import pytest

from edgenode.model import decision
from edgenode.model.decision import Action, Decision, Forward, Outcome, Respond
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Response
from edgenode.model.settings import Word
from edgenode.policy.actions import FAILURE, PREDEFINED, TYPES, ActionSection
from edgenode.policy.escaping import HeaderField
from edgenode.policy.templates import Template
from tests.support.strategies import CONNECTION

EXCHANGE = Exchange(CONNECTION)
text, line = Template.from_text, HeaderField.from_text
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
            ActionSection(type="block", status=429, body=text("{}"), content_type="application/json"),
            Respond(Response(429, ((b"content-type", b"application/json"), NO_STORE), b"{}\n")),
        ),
        (ActionSection(type="block", body=text("")), Respond(Response(403, (PLAIN, NO_STORE), b""))),
        (
            ActionSection(type="block", status=333, location=text("https://www.example.com/")),
            Respond(Response(333, (PLAIN, NO_STORE, (b"location", b"https://www.example.com/")), b"Forbidden.\n")),
        ),
        (
            ActionSection(type="redirect", location=text("https://www.example.com/x?y#z")),
            Respond(Response(302, ((b"location", b"https://www.example.com/x?y#z"),))),
        ),
        (
            ActionSection(type="redirect", location=text("/"), status=308),
            Respond(Response(308, ((b"location", b"/"),))),
        ),
    ],
)
def test_an_action_becomes_its_outcome(section: ActionSection, outcome: Outcome) -> None:
    """What is written in a section is what the client gets."""
    assert section.action("name").outcome(EXCHANGE) == outcome


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"type": "skip", "status": 403}, "status: has no meaning for an action of type skip"),
        ({"type": "monitor", "body": text("x")}, "body: has no meaning for an action of type monitor"),
        ({"type": "close", "location": text("/")}, "location: has no meaning for an action of type close"),
        ({"type": "close", "headers": (line("a: b"),)}, "headers: has no meaning for an action of type close"),
        ({"type": "block", "skip": ("acl",)}, "skip: has no meaning for an action of type block"),
        (
            {"type": "redirect", "location": text("/"), "body": text("")},
            "body: has no meaning for an action of type redirect",
        ),
        (
            {"type": "redirect", "location": text("/"), "content_type": "text/html"},
            "content-type: has no meaning for an action of type redirect",
        ),
        ({"type": "block", "status": 302}, "location: an action with the status 302 needs one"),
        ({"type": "block", "content_type": "text"}, "content-type: expected a media type, such as text/html; "),
        ({"type": "block", "content_type": "text/html\r\nx: y"}, "content-type: expected a media type, such as "),
        ({"type": "redirect"}, "location: an action of type redirect needs one"),
        ({"type": "redirect", "location": text("/"), "status": 300}, "redirect is one of 301, 302, 303, 307, 308"),
        ({"type": "monitor", "tags": ("mtls:verified",)}, "tags: the tag mtls:verified is set by the node alone"),
        ({"type": "monitor", "tags": ("Bot",)}, "tags: a tag has only a-z"),
    ],
)
def test_what_an_action_cannot_have_is_refused(keys: dict[str, Any], sentence: str) -> None:
    """A key without meaning for the type, or a value that it cannot use, is an error and never left out."""
    with pytest.raises(InvalidValue) as refused:
        ActionSection(**keys).action("name")
    assert sentence in refused.value.sentence


def test_every_fault_of_an_action_is_found() -> None:
    """What is wrong with one key hides nothing of the others."""
    section = ActionSection(type="redirect", status=300, skip=("acl",), location=text("x"), tags=(Word("all"),))
    assert [key for key, _ in section.faults()] == ["tags", "skip", "status", "location"]


def test_an_action_has_its_tags_and_headers() -> None:
    """Headers are rendered in the order written: for the answer, or with monitor for the origin."""
    headers = (line("X-One: 1"), line("Set-Cookie: a=1"), line("set-cookie: b=2"))
    rendered = ((b"x-one", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))
    block = ActionSection(type="block", headers=headers, tags=(Word("bot"), Word("t:x"))).action("name")
    assert block.tags == {"bot", "t:x"}
    assert block.outcome(EXCHANGE) == Respond(Response(403, (PLAIN, NO_STORE, *rendered), b"Forbidden.\n"))
    redirect = ActionSection(type="redirect", location=text("/"), headers=headers).action("name")
    assert redirect.outcome(EXCHANGE) == Respond(Response(302, ((b"location", b"/"), *rendered)))
    assert ActionSection(type="monitor", headers=headers).action("name").outcome(EXCHANGE) == Forward(rendered)


@pytest.mark.parametrize(
    ("written", "column"), [("x", 0), ("a b: c", 0), (": c", 0), ("a: \x01", 3), ("a: é", 3), ("a: b\\c", 4)]
)
def test_a_header_line_that_is_none_is_refused(written: str, column: int) -> None:
    """A name, a colon, and a value of printable ASCII."""
    with pytest.raises(InvalidValue) as refused:
        line(written)
    assert refused.value.column == column


def test_a_scoped_skip_exempts_from_its_stages_only() -> None:
    """Without the key it exempts from nothing: it is an action among others."""
    scoped = ActionSection(type="skip", skip=("rate-limits", "acl")).action("trusted")
    assert scoped.exempts == {"rate-limits", "acl"}
    assert ActionSection(type="skip").action("trusted").exempts == frozenset()


@pytest.mark.parametrize(
    ("location", "stored"),
    [("/x", True), ("https://www.example.com/", True), ("/${ip.src}", False), ("https://a.test/?${ip.src}", False)],
)
def test_a_redirect_with_values_is_in_no_cache(location: str, stored: bool) -> None:
    """The next client would be led where the first was; one without values is the same for all."""
    outcome = ActionSection(type="redirect", location=text(location)).action("name").outcome(EXCHANGE)
    assert isinstance(outcome, Respond)
    assert (NO_STORE not in outcome.response.headers) is stored


@pytest.mark.parametrize("charset", ["utf-16", "UTF-7", '"iso-8859-1"', "ascii"])
def test_a_body_with_values_is_utf_8(charset: str) -> None:
    """Read in another character set, what has been escaped might be a tag; without values any will do."""
    for media in ("text/html", "text/plain", "application/json"):
        kind = f"{media};  Charset = {charset}" if media != "application/json" else f"{media}; charset={charset}"
        with pytest.raises(InvalidValue, match=r"content-type: a body with values in it is UTF-8: charset=utf-8"):
            ActionSection(type="block", body=text('"${ip.src}"'), content_type=kind).action("name")
        ActionSection(type="block", body=text('"1"'), content_type=kind).action("name")


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        ("text/html", "${ip.src}", b"text/html; charset=utf-8"),
        ("TEXT/HTML", "${ip.src}", b"TEXT/HTML; charset=utf-8"),
        ("text/html; charset=UTF-8", "${ip.src}", b"text/html; charset=UTF-8"),
        ("application/json", '"${ip.src}"', b"application/json"),
        ("text/html", "no value", b"text/html"),
    ],
)
def test_a_body_with_values_says_its_character_set_and_is_not_sniffed(kind: str, value: str, sent: bytes) -> None:
    """It is escaped as what it says it is, so nobody may take it for something else."""
    outcome = ActionSection(type="block", body=text(value), content_type=kind).action("name").outcome(EXCHANGE)
    assert isinstance(outcome, Respond)
    sniffed = (b"x-content-type-options", b"nosniff") not in outcome.response.headers
    assert outcome.response.headers[0] == (b"content-type", sent)
    assert sniffed is ("$" not in value)


def test_what_an_action_looks_at_is_known() -> None:
    """Whoever holds bodies back has to know what the templates of its action read, those of its headers too."""
    block = ActionSection(type="block", headers=(line("x: ${http.request.body.mime}"),))
    assert block.action("a").needs == {"body"}
    redirect = ActionSection(type="redirect", location=text("/"), headers=(line("x: ${ip.src.country}"),))
    assert redirect.action("a").needs == {"geography"}
    body = text("${http.request.timestamp.sec}")
    assert ActionSection(type="block", body=body).action("a").needs == {"clock"}
    headers = (line("x: ${http.request.body.mime}"), line("y: ${ip.src.country}"))
    assert ActionSection(type="monitor", headers=headers).action("a").needs == {"body", "geography"}
    location = text("/${http.request.body.size}")
    assert ActionSection(type="redirect", location=location).action("a").needs == {"body"}
    assert ActionSection(type="close").action("a").needs == frozenset()


def test_the_order_of_types_is_the_documented_one() -> None:
    """Skip is stronger than block, then close, redirect, challenge, monitor."""
    assert list(TYPES) == ["skip", "block", "close", "redirect", "challenge", "monitor"]
    strengths = [kind.default_priority for kind in TYPES.values()]
    assert strengths == sorted(set(strengths), reverse=True)


def test_a_priority_is_stronger_than_a_type() -> None:
    """What the section says counts before what its type is."""
    weak, strong = ActionSection(type="skip", priority=1), ActionSection(type="monitor", priority=2)
    winner = (Decision(action=weak.action("weak")) | Decision(action=strong.action("strong"))).action
    assert winner is not None
    assert winner.name == "strong"


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_all_but_challenge_and_monitor_skip_the_remaining_stages(name: str, kind: type[Action]) -> None:
    """What has been decided is not judged any further; what stands behind a challenge may be stronger."""
    assert kind.skips is (name not in ("challenge", "monitor"))


def test_predefined_actions_are_their_types() -> None:
    """All but redirect exist without a section, as a section with just the type makes them; and so does rate-limit,
    which blocks with another status and text."""
    usual = ActionSection(type="block", status=429, body=Template.from_text("Too many requests.\n")).action(
        "rate-limit"
    )
    of_types = {name: ActionSection(type=name).action(name) for name in TYPES if name != "redirect"}
    assert dict(PREDEFINED) == {**of_types, "rate-limit": usual}


def test_nothing_is_stronger_than_a_failure() -> None:
    """A stage that failed closed is not outweighed by what was proposed before it or comes after."""
    strongest = ActionSection(type="skip", priority=1000).action("strongest")
    assert (Decision(action=strongest) | Decision(action=FAILURE)).action is FAILURE
    assert isinstance(FAILURE.outcome(EXCHANGE), Respond)
    assert FAILURE.skips
