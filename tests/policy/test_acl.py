"""ACL profiles: six lists of tags, one table, and nothing that is not in it."""

from __future__ import annotations

import itertools
import pathlib
import re
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.exchange import Exchange, Request
from edgenode.model.settings import Word
from edgenode.policy.acl import LISTS, ROWS, ACLProfile, Profile
from edgenode.policy.actions import PREDEFINED, Block, Monitor, Skip
from edgenode.policy.challenge import PASSED, Challenge, Passed
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.rules.categories import entry
from tests.support.strategies import CONNECTION

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"
ACTIONS = {**PREDEFINED, "challenge": Monitor("challenge", priority=200)}
TAGS = ("a", "b", "c", "d", "all")


def profile(**lists: str) -> ACLProfile:
    """A profile with these lists, each a line of tags."""
    listed: dict[str, Any] = {name: tuple(tags.split()) for name, tags in lists.items()}
    return ACLProfile(**listed)


def decided(section: ACLProfile, *tags: str, **actions: Action) -> Decision:
    """What a profile says of a request with these tags, and ``all``."""
    stage = Profile.of("shop", section, ACTIONS | actions)
    return stage.decide(Exchange(CONNECTION, tags=frozenset(("all", *tags))))


# -- a slow transcription of the rules, word by word -------------------------------------------------------------------


def by_the_rules(lists: dict[str, tuple[str, ...]], tags: frozenset[str]) -> tuple[str, str, frozenset[str]]:
    """The list that decides, what becomes of the request, and the tags that the list has found; or nothing three times.

    1. Any tag of enforce-deny: blocked. 2. Any of bypass: it passes, and the content filter is left out. 3. The verdict
    on bots is that of allow-bot, else that of deny-bot; on humans that of allow, else of deny. 4. Bots allowed and
    humans denied: blocked; bots allowed otherwise: it passes. 5. Bots denied, and the requester not human: blocked if
    humans are denied, else challenged. 6. Else humans allowed: it passes; humans denied: blocked.
    """
    found = {name: tags & set(listed) for name, listed in lists.items()}
    if found["enforce-deny"]:
        return "enforce-deny", "block", found["enforce-deny"]
    if found["bypass"]:
        return "bypass", "bypass", found["bypass"]
    bot = True if found["allow-bot"] else False if found["deny-bot"] else None
    human = True if found["allow"] else False if found["deny"] else None
    if bot is True:
        if human is False:
            return "deny", "block", found["deny"]
        return "allow-bot", "pass", found["allow-bot"]
    if bot is False and "human" not in tags:
        return "deny-bot", "block" if human is False else "challenge", found["deny-bot"]
    if human is True:
        return "allow", "pass", found["allow"]
    if human is False:
        return "deny", "block", found["deny"]
    return "", "", frozenset()


profiles = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from((*TAGS, "human")), max_size=3, unique=True).map(tuple) for name in LISTS}
)


@given(profiles, st.frozensets(st.sampled_from((*TAGS[:-1], "human", "z"))))
def test_every_profile_decides_as_the_rules_say(lists: dict[str, tuple[str, ...]], tags: frozenset[str]) -> None:
    """The table, compiled, and the rules, read one after another, come to the same for every profile and request."""
    tags |= {"all"}
    section = profile(**{name.replace("-", "_"): " ".join(listed) for name, listed in lists.items()})
    said = Profile.of("shop", section, ACTIONS).decide(Exchange(CONNECTION, tags=tags))
    name, becomes, found = by_the_rules(lists, tags)
    if not name:
        assert said is NOTHING
        return
    (reason,) = said.reasons
    key, _, shown = reason.entry.partition(": ")
    assert (reason.stage, reason.filter, key, frozenset(shown.split())) == ("acl", "shop", name, found)
    action = {"block": "block", "challenge": "challenge"}.get(becomes, "")
    assert (reason.action, "" if said.action is None else said.action.name) == (action, action)
    assert said.exempt == ({"content-filter"} if becomes == "bypass" else frozenset())
    assert said.tags == {"acl:shop"} | ({f"action:{action}"} if action else set())


def test_the_table_is_whole_and_has_no_row_in_vain() -> None:
    """Each row applies to some request to which none before it does; and where none applies, no list matches that says
    anything about the requester."""
    facts = (*LISTS, "human")
    applied = set()
    for holding in (set(itertools.compress(facts, bits)) for bits in itertools.product((0, 1), repeat=len(facts))):
        row = next((row for row in ROWS if row.matching <= holding and not row.others & holding), None)
        applied.add(row)
        if row is None:
            assert holding <= {"human"} or holding == {"human", "deny-bot"}
    assert applied - {None} == set(ROWS)


def test_the_page_has_the_table() -> None:
    """The rows of the page are the rows of the code, in the order of the code."""
    page = (DOCS / "acl.rst").read_text()
    table = re.split(r"\n\n(?=\S)", page.partition(".. list-table:: Decision table")[2])[0]
    rows = re.findall(r"\* - (.*)\n     - ?(.*)\n     - (.*)\n     - (.*)", table)
    listed = [(" ".join(sorted(row.matching)), " ".join(sorted(row.others)), row.list, row.becomes) for row in ROWS]
    written = [tuple(" ".join(sorted(re.findall(r"``([^`]+)``", cell))) for cell in row) for row in rows[1:]]
    assert written == listed


# -- what is said ------------------------------------------------------------------------------------------------------


def test_reasons_name_the_list_and_the_tag() -> None:
    """The list that decides, and its tags that the request has, in the order of the list."""
    section = profile(deny="geo-country:north-korea tor vpn")
    assert decided(section, "geo-country:north-korea").reasons == (
        Reason("acl", "shop", "deny: geo-country:north-korea", "", "block"),
    )
    assert decided(section, "vpn", "tor").reasons[0].entry == "deny: tor vpn"


def test_a_match_puts_the_tags_of_the_profile() -> None:
    """Whichever list decides; the tags of the action come with it."""
    section = evolve(profile(allow="a", deny="b"), tags=(Word("seen"),), action="away")
    away = Block("away", tags=frozenset(("gone",)))
    assert decided(section, "a", away=away).tags == {"acl:shop", "seen"}
    assert decided(section, "b", away=away).tags == {"acl:shop", "seen", "action:away", "gone"}
    assert decided(section, "c", away=away) is NOTHING


def test_where_nobody_can_be_challenged_who_would_be_is_refused() -> None:
    """Without an action of that name the profile's own is taken."""
    known = {name: action for name, action in PREDEFINED.items() if name != "challenge"}
    stage = Profile.of("shop", profile(deny_bot="a"), known)
    said = stage.decide(Exchange(CONNECTION, tags=frozenset("a")))
    assert said.action is PREDEFINED["block"]


def test_a_human_passes_what_asks_for_a_challenge() -> None:
    """Also where the profile refuses by an action of that type: it is as monitoring, and its reason says so."""
    section = evolve(profile(deny="a", deny_bot="b"), action="ask")
    assert isinstance(decided(section, "a", ask=Challenge("ask", priority=1000)).action, Challenge)
    passed = decided(section, "a", "human", ask=Challenge("ask", priority=1000))
    assert isinstance(passed.action, Passed)
    assert passed.action.strength == 100
    assert passed.reasons == (Reason("acl", "shop", "deny: a", PASSED, "ask"),)
    assert decided(section, "b", "human", ask=Challenge("ask")) is NOTHING


def test_an_action_that_exempts_competes_with_no_other() -> None:
    """As with a global filter: it only leaves out what it names."""
    trusted = Skip("trusted", exempts=frozenset(("content-filter",)), tags=frozenset(("known",)))
    said = decided(evolve(profile(deny="a"), action="trusted"), "a", trusted=trusted)
    assert said.action is None
    assert said.exempt == {"content-filter"}
    assert said.tags == {"acl:shop", "known"}


# -- in the pipeline ---------------------------------------------------------------------------------------------------

FILTERS = {
    "office": GlobalFilter(entries=(entry("ip", "192.0.2.0/24"),), tags=(Word("office"),)),
    "trusted": GlobalFilter(entries=(entry("method", "^PUT$"),), action="no-acl"),
}


def pipeline(section: ACLProfile, named: str = "shop", mode: str = "block") -> Pipeline:
    """That of a path map that names a profile."""
    actions = {**PREDEFINED, "no-acl": Skip("no-acl", exempts=frozenset(("acl",)))}
    rules = Rules(global_filters=FILTERS, actions=actions, acl_profiles={"shop": section})
    return pipeline_of(compiled(rules), mode=mode, selection=Selection(acl_profile=named))


def judged(judge: Pipeline, client: str = "192.0.2.7") -> Decision:
    """What it decides on a request of this client."""
    decision = judge.decide(Exchange(CONNECTION, client=client))
    assert isinstance(decision, Decision)
    return decision


def test_it_sees_the_tags_of_the_filters_and_the_automatic_ones() -> None:
    """It judges behind them."""
    assert judged(pipeline(profile(deny="office"))).action is PREDEFINED["block"]
    assert judged(pipeline(profile(deny="office")), "198.51.100.1").action is None
    assert judged(pipeline(profile(deny="all", allow="office"))).action is None
    assert judged(pipeline(profile(deny="all", allow="office")), "198.51.100.1").action is PREDEFINED["block"]
    assert judged(pipeline(profile(deny="ip:192-0-2-7"))).action is PREDEFINED["block"]


@pytest.mark.parametrize("list", LISTS)
def test_one_that_is_not_active_is_not_there(list: str) -> None:
    """No refusal, no challenge, no exemption, no tag and no reason: whatever its lists say."""
    section = evolve(profile(**{list.replace("-", "_"): "all"}), active=False, tags=(Word("seen"),))
    judge = pipeline(section)
    assert [stage.name for stage in judge.stages] == ["global-filters"]
    decision = judged(judge)
    assert decision.action is None
    assert not decision.exempt
    assert [why.stage for why in decision.reasons] == ["global-filters"]
    assert decision.tags.isdisjoint(("seen", "acl:shop"))


def test_a_path_map_without_one_asks_none() -> None:
    """The pipeline is as if there were no profile."""
    assert [stage.name for stage in pipeline(profile(deny="all"), "").stages] == ["global-filters"]


def test_a_bypass_exempts_from_the_content_filter_alone() -> None:
    """And refuses nobody that ``deny`` names; ``enforce-deny`` stands above it."""
    decision = judged(pipeline(profile(bypass="office", deny="all")))
    assert decision.action is None
    assert decision.exempt == {"content-filter"}
    assert judged(pipeline(profile(bypass="office", enforce_deny="all"))).action is PREDEFINED["block"]


def test_who_is_exempt_is_not_asked_for() -> None:
    """An action exempts from ``acl`` by that word, and the event says so."""
    put = Request(b"PUT", b"https", b"a", b"/", b"/", None, b"/", ())
    decision = pipeline(profile(deny="all")).decide(Exchange(CONNECTION, put, "192.0.2.7"))
    assert isinstance(decision, Decision)
    assert decision.action is None
    assert Reason("acl", "", "left out") in decision.reasons


def test_under_monitoring_it_decides_and_refuses_nobody() -> None:
    """The event says what would have become of it."""
    decision = judged(pipeline(profile(deny="all"), mode="monitoring"))
    assert (decision.action, decision.mode) == (PREDEFINED["block"], "monitoring")
