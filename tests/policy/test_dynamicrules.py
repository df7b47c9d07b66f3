"""Dynamic rules: whoever is over a threshold is refused at once, held for a time, and nobody else with him."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.decision import Decision
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange, Geography, Verification
from edgenode.model.settings import Seconds, Word
from edgenode.policy.actions import PREDEFINED, Block, Skip
from edgenode.policy.dynamicrules import CompiledRule, DynamicRule
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.inspection import Inspection
from edgenode.policy.keys import Part
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.policy.thresholds import Amount, Threshold
from edgenode.rules.categories import entry
from edgenode.state.interface import Entry
from edgenode.state.memory import MemoryState
from edgenode.testing.certificates import make_authority
from edgenode.testing.exchanges import exchange_of, identity
from tests.policy.test_quarantine import Now

AUTHORITY = make_authority()
CLIENT = identity(AUTHORITY.issue("client.test"))
ACTIONS = {**PREDEFINED, "gone": Block("gone", status=410, tags=frozenset(("gone-tag",)))}


def rule(key: str = "ip", limit: str = "3 per 1m", **further: Any) -> DynamicRule:
    """A rule."""
    lines = tuple(map(Threshold.from_text, limit.splitlines()))
    return DynamicRule(key=Part.from_text(key), limit=lines, hold=Seconds(further.pop("hold", 600.0)), **further)


def exchange(address: str = "192.0.2.7", url: str = "https://www.test/", **given: Any) -> Exchange:
    """A request."""
    found = exchange_of(given.pop("method", "GET"), url, given.pop("headers", ()), given.pop("body", None),
                        address=address, client=given.pop("client", None))  # fmt: skip
    return evolve(found, geography=given.pop("geography", None))


class Node:
    """A pipeline with dynamic rules, on a clock of its own.

    :ivar now: the clock.
    :ivar state: its state.
    """

    def __init__(self, *rules: DynamicRule, names: tuple[str, ...] = (), **further: Any) -> None:
        self.now = Now()
        self.state = MemoryState(self.now, self.now)
        named = {f"r{number}" if number else "scanners": each for number, each in enumerate(rules)}
        trusted = further.pop("trusted", ())
        mode = further.pop("mode", "block")
        stages = compiled(Rules(actions=ACTIONS, dynamic_rules=named, trusted_proxies=trusted, **further))
        self.pipeline = pipeline_of(stages, selection=Selection(self.state, dynamic_rules=names), mode=mode)

    def ask(self, found: Exchange | None = None, status: int = 200) -> Decision:
        """Judge a request, and answer it."""
        decision = self.pipeline.decide(found or exchange())
        assert isinstance(decision, Decision)
        for each in decision.after:
            refused = decision.action is not None
            each.responded(403 if refused else status, 10, 0 if refused else status)
        return decision

    def refused(self, found: Exchange | None = None, status: int = 200) -> bool:
        """Whether it is refused."""
        return self.ask(found, status).action is not None

    @property
    def held(self) -> list[Entry]:
        """The quarantine."""
        return [*self.state.quarantine.entries()]


def test_the_request_that_is_over_is_refused_and_all_that_follow() -> None:
    """Also once the window is over, until the time of the hold is; then it counts anew."""
    node = Node(rule(hold=100.0))
    assert [node.refused() for _ in range(5)] == [False, False, False, True, True]
    node.now.time += 99
    assert node.refused()
    node.now.time += 1
    assert [node.refused() for _ in range(4)] == [False, False, False, True]


def test_what_is_told_says_which_rule_and_how_much() -> None:
    """In the reason of the request that was over, in the entry, and in the reasons of those that follow."""
    node = Node(rule(action="gone", tags=(Word("scanner"),)))
    decision = [node.ask() for _ in range(4)][-1]
    (reason,) = decision.reasons
    assert (reason.stage, reason.filter, reason.entry) == ("dynamic-rules", "scanners", "ip: 192.0.2.7")
    assert (reason.annotation, reason.action) == ("4 of 3 per 1m, held for 10m", "gone")
    assert {"dynamic-rule:scanners", "scanner", "action:gone", "gone-tag"} <= decision.tags
    assert "quarantine" not in decision.tags
    (held,) = node.held
    assert (held.key, held.value, held.who, held.action) == ("ip", "192.0.2.7", "dynamic-rule scanners", "gone")
    assert (held.why, held.until - held.since) == ("4 of 3 per 1m", 600.0)
    decision = node.ask()
    assert {"dynamic-rule:scanners", "scanner", "quarantine", "action:gone", "gone-tag"} <= decision.tags
    assert decision.reasons[0].stage == "quarantine"
    assert decision.action is ACTIONS["gone"]


FORM = [("Content-Type", "application/x-www-form-urlencoded")]

TARGETS = [
    ("ip", {"address": "192.0.2.7"}, {"address": "192.0.2.8"}),
    ("ip/24/56", {"address": "192.0.2.7"}, {"address": "192.0.3.7"}),
    ("asn", {"geography": Geography(asn=64500)}, {"geography": Geography(asn=64501)}),
    ("country", {"geography": Geography(country="DE")}, {"geography": Geography(country="FR")}),
    ("organization", {"geography": Geography(organization="A")}, {"geography": Geography(organization="B")}),
    ("header.x", {"headers": [("X", "a")]}, {"headers": [("X", "b")]}),
    ("cookie.s", {"headers": [("Cookie", "s=a")]}, {"headers": [("Cookie", "s=b")]}),
    ("argument.u", {"url": "https://www.test/?u=a"}, {"url": "https://www.test/?u=b"}),
    ("argument.u", {"method": "POST", "body": b"u=a", "headers": FORM}, {"url": "https://www.test/?u=b"}),
    ("path", {"url": "https://www.test/a"}, {"url": "https://www.test/b"}),
    ("certificate.fingerprint", {"client": CLIENT}, {"client": identity(AUTHORITY.issue("other.test"))}),
    ("certificate.subject", {"client": CLIENT}, {"client": identity(AUTHORITY.issue("other.test"))}),
    ("http.user_agent", {"headers": [("User-Agent", "a")]}, {"headers": [("User-Agent", "b")]}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "one", "other"), TARGETS)
def test_each_target_is_counted_and_held_by_its_value(key: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Another value is not, and neither is a request that has none."""
    node = Node(rule(key))
    assert [node.refused(exchange(**one)) for _ in range(5)] == [False, False, False, True, True]
    assert not any(node.refused(exchange(**other)) for _ in range(3))
    (held,) = node.held
    assert held.key == key.partition("/")[0]
    assert Part.from_text(held.key).written(held.value) == held.value
    if not key.startswith("ip") and key != "path":
        nothing = exchange("192.0.2.99")
        assert not any(node.refused(nothing) for _ in range(10))


def test_a_held_value_is_refused_in_another_spelling() -> None:
    """In another case, encoded, in the body, beside other values; what it was counted under is what it is held by."""
    node = Node(rule("argument.user"))
    for _ in range(4):
        node.ask(exchange(url="https://www.test/?user=Ann"))
    for other in (
        exchange(url="https://www.test/?user=%41nn"),
        exchange(url="https://www.test/?user=ANN+&x=1"),
        exchange(url="https://www.test/?user=bob&user=ann"),
        exchange(method="POST", body=b"user=ann", headers=FORM),
    ):
        assert "quarantine" in node.ask(other).tags


@pytest.mark.parametrize(("include", "exclude", "counted"), [
    ((), (), True), (("bad",), (), True), (("other", "bad"), (), True), (("other",), (), False),
    ((), ("bad",), False), ((), ("other",), True), (("bad", "all"), ("bad",), False), (("all",), ("other",), True),
])  # fmt: skip
def test_only_what_is_included_and_not_excluded_counts(
    include: tuple[str, ...], exclude: tuple[str, ...], counted: bool
) -> None:
    """By the tags that are there by then: those of filters, too."""
    filters = {"bad": GlobalFilter(entries=(entry("path", "^/bad"),), tags=(Word("bad"),))}
    words: dict[str, Any] = {"include": tuple(map(Word, include)), "exclude": tuple(map(Word, exclude))}
    node = Node(rule(**words), global_filters=filters)
    bad = [node.refused(exchange(url="https://www.test/bad")) for _ in range(5)]
    assert bad == ([False, False, False, True, True] if counted else [False] * 5)


def test_several_thresholds_are_each_enough() -> None:
    """A burst within a second, or many within an hour."""
    node = Node(rule(limit="2 per 1s\n5 per 1h", hold=10.0))
    assert [node.refused() for _ in range(3)] == [False, False, True]
    assert node.held[0].why == "3 of 2 per 1s"
    node = Node(rule(limit="2 per 1s\n5 per 1h", hold=10.0))
    told = []
    for _ in range(6):
        told.append(node.refused())
        node.now.time += 2
    assert told == [False] * 5 + [True]
    assert node.held[0].why == "6 of 5 per 1h"


def test_the_window_begins_with_the_first_request() -> None:
    """And what is in another one is not counted with it."""
    node = Node(rule(limit="2 per 10s"))
    told = []
    for _ in range(6):
        told.append(node.refused())
        node.now.time += 5
    assert told == [False] * 6


def test_failures_of_the_origin_count_once_they_are_known() -> None:
    """So many may fail; the next request is refused, whatever would have become of it. What succeeds does not count."""
    node = Node(rule(count=Amount.from_text("status >= 400")))
    assert not any(node.refused(status=200) for _ in range(10))
    assert [node.refused(status=404) for _ in range(3)] == [False, False, False]
    assert node.held == []
    assert node.refused(status=200)
    assert node.held[0].why == "3 of 3 per 1m"
    assert not any(node.refused(exchange("192.0.2.8"), status=500) for _ in range(3))


def test_bytes_that_were_sent_count() -> None:
    """10 of each answer here."""
    node = Node(rule(limit="25 per 1m", count=Amount.from_text("bytes")))
    assert [node.refused() for _ in range(4)] == [False, False, False, True]


def test_distinct_values_count() -> None:
    """Who tries many passwords is held, and not who repeats his own."""
    node = Node(rule(count=Amount.from_text("distinct argument.password")))
    mine = exchange("192.0.2.1", "https://www.test/?password=x")
    assert not any(node.refused(mine) for _ in range(20))
    others = [exchange("192.0.2.2", f"https://www.test/?password={each}") for each in range(5)]
    assert [node.refused(each) for each in others] == [False, False, False, True, True]
    assert node.refused(exchange("192.0.2.2"))
    assert not node.refused(mine)


@pytest.mark.parametrize("key", ["ip", "ip/24/56", "ip/8/20"])
def test_a_trusted_proxy_is_never_held(key: str) -> None:
    """Whatever it sends itself; and who is in one network with it is held alone."""
    node = Node(rule(key), trusted=("192.0.2.1/32", "2001:db8::1/128"))
    for proxy in ("192.0.2.1", "2001:db8::1"):
        assert not any(node.refused(exchange(proxy)) for _ in range(20))
    assert node.held == []
    for client in ("192.0.2.7", "2001:db8::7"):
        assert [node.refused(exchange(client)) for _ in range(5)] == [False, False, False, True, True]
    alone = key == "ip"
    assert {each.value for each in node.held} == {"192.0.2.7", "2001:db8::7"}
    assert node.refused(exchange("192.0.2.8")) is False or not alone
    assert not node.refused(exchange("192.0.2.1"))


def test_the_peer_that_is_a_trusted_proxy_is_not_held_either() -> None:
    """All that come through it would be."""
    node = Node(rule("edge.peer_ip"), trusted=("192.0.2.0/24",))
    for _ in range(10):
        node.ask()
    assert node.held == []


def test_a_client_that_nobody_knows_is_never_held() -> None:
    """Nor counted together with everybody else whom nobody knows: a rate limit can do that."""
    node = Node(rule())
    stranger = exchange()
    stranger.client = UNKNOWN_CLIENT
    assert not any(node.refused(stranger) for _ in range(20))
    assert node.held == []


def test_nobody_is_held_for_a_name_in_a_certificate_that_is_not_verified() -> None:
    """Anybody can make one with another's subject. Who comes too often with it is refused while he does. The
    fingerprint is his own, and held."""
    forged = identity(AUTHORITY.issue("client.test"), Verification(presented=True))
    node = Node(rule("certificate.subject"))
    assert [node.refused(exchange(client=forged)) for _ in range(5)] == [False, False, False, True, True]
    assert node.held == []
    assert not any(node.refused(exchange(client=CLIENT)) for _ in range(3))
    node = Node(rule("certificate.fingerprint"))
    assert [node.refused(exchange(client=forged)) for _ in range(4)][-1]
    assert [each.value for each in node.held] == [forged.fingerprint_sha256]


def test_very_many_values_are_refused_together_and_not_held() -> None:
    """Who sends more of them than are counted one by one passes no rule, and has nobody else held."""
    node = Node(rule("argument.u"))
    many = exchange(url="https://www.test/?" + "&".join(f"u={number}" for number in range(50)))
    assert [node.refused(many) for _ in range(5)] == [False, False, False, True, True]
    assert node.held == []
    few = exchange(url="https://www.test/?" + "&".join(f"u={number}" for number in range(5)))
    assert [node.refused(few) for _ in range(5)] == [False, False, False, True, True]
    assert len(node.held) == 5


def test_it_counts_where_it_is_named_and_holds_everywhere() -> None:
    """With ``global = no``; what is not active counts nowhere, and what it held is held."""
    assert not any(Node(rule(global_=False)).refused() for _ in range(10))
    node = Node(rule(global_=False), names=("scanners",))
    assert [node.refused() for _ in range(4)][-1]
    elsewhere = pipeline_of(compiled(Rules(actions=ACTIONS)), selection=Selection(node.state))
    decision = elsewhere.decide(exchange())
    assert isinstance(decision, Decision)
    assert decision.action is ACTIONS["block"]
    assert not any(Node(rule(active=False)).refused() for _ in range(10))


def test_what_it_holds_is_looked_for_in_every_body() -> None:
    """Also where it does not count, and no other rule looks at bodies; who hides it behind more than is looked at is
    refused. Messages of WebSockets are not read for it."""
    rules = Rules(actions=ACTIONS, dynamic_rules={"users": rule("argument.user", global_=False)})
    elsewhere = pipeline_of(compiled(rules), selection=Selection(MemoryState()))
    assert elsewhere.inspects
    (inspection,) = (stage for stage in elsewhere.stages if isinstance(stage, Inspection))
    assert {"args:truncated", "body:truncated"} <= inspection.unseen
    assert not inspection.of_messages
    assert not Node(rule("ip")).pipeline.inspects


def test_monitoring_holds_and_refuses_nothing() -> None:
    """The tags say what would have been."""
    node = Node(rule(), mode="monitoring")
    found = [node.ask() for _ in range(5)]
    assert ["quarantine" in each.tags for each in found] == [False, False, False, False, True]
    assert all(each.mode == "monitoring" for each in found)


def test_an_action_that_only_watches_tags_what_follows() -> None:
    """The hold begins anew with each request that is over."""
    node = Node(rule(action="monitor", hold=30.0))
    for _ in range(4):
        node.ask()
    until = node.held[0].until
    node.now.time += 10
    decision = node.ask()
    assert decision.action is ACTIONS["monitor"]
    assert {"quarantine", "dynamic-rule:scanners"} <= decision.tags
    assert node.held[0].until == until + 10


def test_two_rules_on_one_request_both_count() -> None:
    """And each holds its own value."""
    node = Node(rule("ip"), rule("header.x", "2 per 1m"))
    found = [node.refused(exchange(headers=[("X", "a")])) for _ in range(4)]
    assert found == [False, False, True, True]
    assert {each.key for each in node.held} == {"header.x"}
    for _ in range(4):
        node.ask()
    assert {each.key for each in node.held} == {"ip", "header.x"}


def test_a_rule_that_only_watches_does_not_hold_off_one_that_blocks() -> None:
    """Whichever holds an address first, and longer; nor does a monitored network around it."""
    node = Node(rule(limit="1 per 1m", action="monitor", hold=3600.0), rule(limit="3 per 1m", hold=60.0))
    assert [node.ask().action for _ in range(5)] == [
        None, ACTIONS["monitor"], ACTIONS["monitor"], ACTIONS["block"], ACTIONS["block"]
    ]  # fmt: skip
    assert {each.action for each in node.held} == {"monitor", "block"}
    node.now.time += 61
    assert node.ask().action is ACTIONS["monitor"]
    node = Node(rule(limit="1 per 1m", hold=60.0))
    node.state.quarantine.hold(Entry("ip", "192.0.2.0/24", 1e9, 0.0, "ann", "", "monitor"))
    assert [node.ask().action for _ in range(3)] == [ACTIONS["monitor"], ACTIONS["block"], ACTIONS["block"]]


def test_it_may_be_left_out() -> None:
    """By the word ``dynamic-rules``; and who is exempt from the quarantine alone is still counted."""
    for word, expected in (("dynamic-rules", [False] * 5), ("quarantine", [False, False, False, True, True])):
        actions = {**ACTIONS, "free": Skip("free", exempts=frozenset((word,)))}
        filters = {"free": GlobalFilter(entries=(entry("path", "^/"),), action="free")}
        rules = Rules(actions=actions, global_filters=filters, dynamic_rules={"scanners": rule()})
        node = Node(rule())
        node.pipeline = pipeline_of(compiled(rules), selection=Selection(node.state))
        assert [node.refused() for _ in range(5)] == expected


@pytest.mark.parametrize(
    ("further", "which", "sentence"),
    [
        ({"key": "method"}, "key", "common to many clients"),
        ({"key": "certificate.verified"}, "key", "common to many clients"),
        ({"key": "tag"}, "key", "common to many clients"),
        ({"key": "header.Host"}, "key", "common to many clients"),
        ({"key": "edge.peer_ip/8/16"}, "key", "networks are held of ip alone"),
        ({"limit": ""}, "limit", "has a threshold"),
        ({"limit": "3 per 1m block"}, "limit", "is written in action"),
        ({"limit": "3k per 1m"}, "limit", "only bytes"),
        ({"hold": 0.0}, "hold", "no time at all"),
        ({"include": (Word("a"),), "exclude": (Word("a"),)}, "exclude", "counts nothing"),
    ],
)
def test_what_could_hold_nobody_or_everybody_is_refused(further: Any, which: str, sentence: str) -> None:
    """When it is read."""
    with pytest.raises(InvalidValue, match=sentence) as error:
        rule(**further)
    assert error.value.which == which


@pytest.mark.parametrize("action", ["nobody", "skip"])
def test_an_action_that_holds_nobody_is_refused(action: str) -> None:
    """When it is compiled."""
    with pytest.raises(InvalidValue, match="names an action that"):
        CompiledRule.of("scanners", rule(action=action), ACTIONS)


# -- against a plain reference -----------------------------------------------------------------------------------------

_STEP = st.tuples(st.sampled_from(("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")), st.integers(0, 12))


@settings(max_examples=100, deadline=None)
@given(st.lists(_STEP, max_size=60), st.integers(0, 4), st.integers(1, 30), st.integers(1, 40))
def test_it_holds_whom_a_plain_reference_would(steps: list[Any], most: int, period: int, hold: int) -> None:
    """A window from the first request on; over, held; what is held is not counted."""
    node = Node(rule(limit=f"{most} per {period}s", hold=float(hold)))
    windows: dict[str, tuple[float, int]] = {}
    held: dict[str, float] = {}
    for place, pause in steps:
        node.now.time += pause
        now, key = node.now.time, place if "." in place else "2001:db8::/64"
        refused = held.get(key, 0.0) > now
        if not refused:
            end, count = windows.get(key, (0.0, 0))
            if end <= now:
                end, count = now + period, 0
            windows[key] = end, count + 1
            refused = count + 1 > most
            if refused:
                held[key] = now + hold
        assert node.refused(exchange(place)) is refused
    assert {each.value for each in node.held} == {key for key, until in held.items() if until > node.now.time}
