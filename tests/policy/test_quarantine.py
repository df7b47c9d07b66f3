"""The stage of the quarantine: what is held is refused, in whatever spelling it comes, and nothing else is."""

from __future__ import annotations

import ipaddress
import math
from typing import Any

import pytest
from attrs import define, evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from edgenode.model.decision import NOTHING, Action, Decision
from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange, Geography
from edgenode.policy.actions import PREDEFINED, Block, Monitor, Skip
from edgenode.policy.keys import Part
from edgenode.policy.quarantine import Held, Quarantined
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.state.interface import Entry
from edgenode.state.memory import MemoryState
from edgenode.testing.certificates import make_authority
from edgenode.testing.exchanges import exchange_of, identity

ACTIONS: dict[str, Action] = {
    **PREDEFINED,
    "gone": Block("gone", status=410),
    "watch": Monitor("watch"),
    "strong": Block("strong", priority=900, tags=frozenset(("strong-tag",))),
}
CLIENT = identity(make_authority().issue("client.test"))


@define
class Now:
    """A clock that is set."""

    time: float = 1_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.time


NOW = Now()


def entry(key: str, value: str, seconds: float = 60, **further: Any) -> Entry:
    """An entry that is held from now on."""
    until = 1_000_000 + seconds
    return Entry(key, Part.from_text(key).written(value), until, 1_000_000, "root (uid 0)", "a test", **further)


def holding(*entries: Entry, actions: dict[str, Action] = ACTIONS, now: Now | None = None) -> Held:
    """The stage with entries."""
    now = now or Now()
    state = MemoryState(now, now)
    for each in entries:
        state.quarantine.hold(each)
    stage = Quarantined(actions, {"scanners": frozenset(("scanner",))}).selected(Selection(state))
    assert stage is not None
    return stage


def exchange(address: str = "192.0.2.7", **given: Any) -> Exchange:
    """One that has a value for most keys."""
    url = given.pop("url", "https://www.test/a?user=Ann&user=B%6fb&my+name=ann")
    headers = given.pop("headers", [("User-Agent", "Evil BOT/1.0"), ("X-Two", "one"), ("X-Two", "two"), COOKIE])
    found = exchange_of("POST", url, headers, given.pop("body", b""), address=address, client=CLIENT)
    return evolve(found, geography=Geography(country="DE", asn=64500, organization="Example AG"))


COOKIE = ("Cookie", 'a=1; session="S%33cret"')


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ip", "192.0.2.7"),
        ("ip", "192.0.2.0/24"),
        ("ip", "::ffff:192.0.2.7"),
        ("country", "Germany"),
        ("asn", "AS64500"),
        ("organization", "Example AG"),
        ("header.user-agent", "EVIL bot/1.0"),
        ("header.x-two", "TWO"),
        ("argument.user", "bob"),
        ("argument.my name", "Ann"),
        ("cookie.session", "s3CRET"),
        ("certificate.fingerprint", CLIENT.fingerprint_sha256.upper()),
        ("certificate.spki-sha256", CLIENT.spki_sha256),
        ("certificate.subject", CLIENT.subject),
        ("cf.tls_client_auth.cert_ski", CLIENT.ski.lower()),
        ("http.user_agent", "evil bot/1.0"),
        ("path", "/A"),
        ("method", "post"),
    ],
    ids=lambda text: text if len(text) < 40 else "",  # a certificate is another in each process
)
def test_a_value_that_is_held_is_refused(key: str, value: str) -> None:
    """By whatever kind of value, and any of repeated ones; the reason says which entry, who, why, and until when."""
    key = Part.from_text(key).word
    decision = holding(entry(key, value)).decide(exchange())
    assert decision.action is ACTIONS["block"]
    assert decision.tags == {"quarantine", "action:block"}
    (reason,) = decision.reasons
    assert (reason.stage, reason.filter, reason.action) == ("quarantine", "root (uid 0)", "block")
    assert reason.entry.startswith(f"{key}: ")
    assert reason.annotation == "a test, until 1970-01-12T13:47:40Z"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ip", "192.0.2.8"),
        ("ip", "192.0.3.0/24"),
        ("country", "FR"),
        ("asn", "64501"),
        ("header.user-agent", "evil bot"),
        ("header.x-absent", "x"),
        ("argument.user", "an"),
        ("cookie.session", "s3cre"),
        ("certificate.fingerprint", "00" * 32),
    ],
)
def test_another_value_is_not(key: str, value: str) -> None:
    """Nor one that only contains it."""
    assert holding(entry(key, value)).decide(exchange()) is NOTHING


def test_an_empty_quarantine_is_one_question() -> None:
    """The stage is not even asked, until something is held, and no more once nothing is; nor is there a time of it.
    Without a state there is no stage."""
    state = MemoryState(NOW, NOW)
    pipeline = pipeline_of(compiled(Rules(actions=PREDEFINED)), selection=Selection(state), clock=lambda: 0.0)
    stages = []
    for change in (None, state.quarantine.hold, state.quarantine.lift):
        if change == state.quarantine.hold:
            change(entry("ip", "192.0.2.9"))
        elif change is not None:
            state.quarantine.lift("ip", "192.0.2.9", "me")
        decision = pipeline.decide(exchange())
        assert isinstance(decision, Decision)
        stages.append("quarantine" in dict(decision.timings))
    assert stages == [False, True, False]
    assert Quarantined(ACTIONS, {}).selected(Selection()) is None


def test_an_entry_ends_by_itself() -> None:
    """At its time, and not before; one without end never does."""
    now = Now()
    stage = holding(entry("ip", "192.0.2.7", 60), entry("header.x-two", "one", math.inf), now=now)
    assert len(stage.decide(exchange()).reasons) == 2
    now.time += 60
    (reason,) = stage.decide(exchange()).reasons
    assert reason.annotation == "a test, until it is lifted"
    now.time = 1e15
    assert stage.decide(exchange()).action is ACTIONS["block"]


def test_the_strongest_action_of_all_entries_is_taken() -> None:
    """With its own tags; every entry is a reason."""
    entries = (entry("ip", "192.0.2.7", action="watch"), entry("asn", "64500", action="strong"), entry("country", "DE"))
    decision = holding(*entries).decide(exchange())
    assert decision.action is ACTIONS["strong"]
    assert decision.tags == {"quarantine", "strong-tag", "action:strong"}
    assert {reason.action for reason in decision.reasons} == {"watch", "strong", "block"}


def test_an_entry_that_only_watches_lets_pass() -> None:
    """Its tags say that it would have been held."""
    decision = holding(entry("ip", "192.0.2.7", action="watch")).decide(exchange())
    assert decision.action is ACTIONS["watch"]
    assert "quarantine" in decision.tags


@pytest.mark.parametrize("actions", [{}, {"ban": Skip("ban")}, {"ban": Skip("ban"), "block": Skip("block")}])
def test_an_action_that_is_no_more_blocks(actions: dict[str, Action]) -> None:
    """A reload has removed it, or it lets pass by now, even ``block``: what is held stays held."""
    decision = holding(entry("ip", "192.0.2.7", action="ban"), actions=actions).decide(exchange())
    assert decision.action is PREDEFINED["block"]


def test_what_a_dynamic_rule_holds_has_its_tags() -> None:
    """Its own, and one with its name; those of one that a reload has removed are gone with it."""
    held = evolve(entry("ip", "192.0.2.7"), who="dynamic-rule scanners")
    assert holding(held).decide(exchange()).tags >= {"quarantine", "dynamic-rule:scanners", "scanner"}
    held = evolve(held, who="dynamic-rule Old.One")
    assert holding(held).decide(exchange()).tags == {"quarantine", "dynamic-rule:old-one", "action:block"}


def test_a_client_that_nobody_knows_is_in_no_network() -> None:
    """Or all such clients would be held together."""
    stranger = exchange()
    stranger.client = UNKNOWN_CLIENT
    assert holding(entry("ip", "0.0.0.0/0"), entry("ip", "::/0")).decide(stranger) is NOTHING


def test_bans_of_limits_are_not_its_business() -> None:
    """The stage that counts looks them up, by the keys that it counts under."""
    ban = evolve(entry("ip", "192.0.2.7"), key="rate-limit login")
    assert holding(ban).decide(exchange()) is NOTHING


def test_a_key_that_nobody_can_read_holds_nothing_and_is_told_once() -> None:
    """It may be another node's, with an extension that is not here; the other entries hold."""
    stage = holding(evolve(entry("ip", "192.0.2.9"), key="nobody.knows"), entry("ip", "192.0.2.7"))
    with capturedLogs() as logged:
        for word in ("country", "asn", "tag"):
            stage.quarantine.hold(evolve(entry("ip", "192.0.2.9"), key=word, value="x"))
            assert stage.decide(exchange()).action is not None
    assert [event["key"] for event in logged] == ["nobody.knows"]


def test_what_is_added_and_lifted_while_it_runs_counts_at_once() -> None:
    """A new key, too."""
    state = MemoryState(NOW, NOW)
    stage = Quarantined(ACTIONS, {}).selected(Selection(state))
    assert stage is not None
    assert stage.decide(exchange()) is NOTHING
    state.quarantine.hold(entry("header.x-two", "two"))
    state.quarantine.hold(entry("cookie.session", "s3cret"))
    assert len(stage.decide(exchange()).reasons) == 2
    state.quarantine.lift("header.x-two", "two", "root")
    assert len(stage.decide(exchange()).reasons) == 1


def test_it_stands_behind_filters_and_before_what_counts() -> None:
    """What a filter lets pass is not looked up, nor what is exempt; and what is held is not counted."""
    state = MemoryState(NOW, NOW)
    state.quarantine.hold(entry("ip", "192.0.2.7"))
    pipeline = pipeline_of(compiled(Rules(actions=PREDEFINED)), selection=Selection(state))
    assert [stage.name for stage in pipeline.stages] == ["global-filters", "quarantine"]
    decision = pipeline.decide(exchange())
    assert isinstance(decision, Decision)
    assert decision.action is PREDEFINED["block"]
    assert {"quarantine", "all"} <= decision.tags


def test_monitoring_refuses_nothing_and_off_asks_nothing() -> None:
    """As of every stage."""
    state = MemoryState(NOW, NOW)
    state.quarantine.hold(entry("ip", "192.0.2.7"))
    for mode, tagged in (("monitoring", True), ("off", False)):
        pipeline = pipeline_of(compiled(Rules(actions=PREDEFINED)), selection=Selection(state), mode=mode)
        decision = pipeline.decide(exchange())
        assert isinstance(decision, Decision)
        assert ("quarantine" in decision.tags) is tagged
        assert decision.outcome(exchange()) == PREDEFINED["monitor"].outcome(exchange())


# -- against a plain list ----------------------------------------------------------------------------------------------

_PLACES = st.integers(0, 40).map(lambda number: str(ipaddress.IPv4Address(0xC0000200 + number))) | st.integers(
    0, 9
).map(lambda number: str(ipaddress.IPv6Address((0x20010DB8 << 96) + (number << 62))))


@st.composite
def _held(draw: st.DrawFn) -> tuple[str, str]:
    """A key and a value that is held."""
    key = draw(st.sampled_from(("ip", "header.x-a", "argument.user", "country")))
    if key == "ip":
        place = ipaddress.ip_address(draw(_PLACES))
        bits = draw(st.sampled_from((24, 28, 31, 32) if place.version == 4 else (48, 64, 65, 128)))
        return key, str(
            ipaddress.ip_network((int(place), bits) if place.version == 6 else f"{place}/{bits}", strict=False)
        )
    if key == "country":
        return key, draw(st.sampled_from(("DE", "FR")))
    return key, draw(st.sampled_from(("a", "B", "c d", "ä")))


_STEP = st.tuples(st.sampled_from(("hold", "hold", "lift", "wait")), _held(), st.integers(1, 30))


@settings(max_examples=60, deadline=None)
@given(st.lists(_STEP, max_size=20), _PLACES, st.lists(st.sampled_from(("a", "b", "C D", "Ä", "e")), max_size=3))
def test_it_finds_what_a_plain_list_would(steps: list[Any], place: str, sent: list[str]) -> None:
    """Whatever is held, lifted, and has run out, in whatever order."""
    now = Now()
    state = MemoryState(now, now)
    stage = Quarantined(ACTIONS, {}).selected(Selection(state))
    plain: dict[tuple[str, str], float] = {}
    assert stage is not None
    for what, (key, text), seconds in steps:
        value = Part.from_text(key).written(text)
        if what == "wait":
            now.time += seconds
        elif what == "hold":
            until = now.time + seconds
            state.quarantine.hold(Entry(key, value, until, now.time, "me", ""))
            plain[key, value] = max(until, plain.get((key, value), 0))
        else:
            lifted = state.quarantine.lift(key, value, "me")
            assert (lifted is not None) == (plain.pop((key, value), 0) > now.time)
    headers = [("X-A", each.encode("utf-8").decode("latin-1")) for each in sent]
    found = exchange_of("GET", f"https://www.test/?user={sent[0] if sent else ''}".replace(" ", "+").replace("Ä", "%C3%84"), headers, address=place)  # fmt: skip  # noqa: E501
    found.geography = Geography(country="DE")
    live = {both for both, until in plain.items() if until > now.time}
    folded = {each.casefold() for each in sent}
    expected = {
        (key, value)
        for key, value in live
        if (key == "ip" and _within(place, value))
        or (key == "header.x-a" and value in folded)
        or (key == "argument.user" and sent and value == sent[0].casefold())
        or (key == "country" and value == "DE")
    }
    decision = stage.decide(found)
    entries = {reason.entry for reason in decision.reasons}
    assert entries == {f"{key}: {value}" for key, value in expected}


def _within(place: str, network: str) -> bool:
    address, found = ipaddress.ip_address(place), ipaddress.ip_network(network)
    return address.version == found.version and address in found
