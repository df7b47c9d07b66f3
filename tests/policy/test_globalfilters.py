"""Global filters: all are judged, all tags are kept, one action wins."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import NOTHING, Decision, Forward, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Request
from edgenode.model.settings import Source, Word
from edgenode.policy.actions import PREDEFINED, ActionSection, Block, Skip
from edgenode.policy.escaping import HeaderField
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.filter_feeds import FeedCategory
from edgenode.rules.sections import Entry, Section
from tests.support.strategies import CONNECTION, exchanges, section_trees

REQUEST = Request(
    b"POST", b"https", b"example.com", b"/api/x", b"/api/x", None, b"/api/x", ((b"user-agent", b"curl/8"),)
)
EXCHANGE = Exchange(CONNECTION, REQUEST, "192.0.2.7", frozenset(("all",)))
API, POST = entry("path", "^/api/", "the API"), entry("method", "POST")
ELSEWHERE = entry("path", "^/elsewhere")


def a_filter(
    *entries: Entry, tags: str = "", action: str | None = None, sections: tuple[str, ...] = ()
) -> GlobalFilter:
    """A filter whose entries all must match."""
    return GlobalFilter(entries=entries, tags=tuple(map(Word, tags.split())), action=action, sections=sections)


def judge(filters: Mapping[str, GlobalFilter], named: Mapping[str, Section] | None = None) -> Decision:
    """What the stage says of :data:`EXCHANGE`."""
    actions = {**PREDEFINED, "teapot": Block("teapot", status=418)}
    return GlobalFilters.of(filters, Definitions(named or {}), actions).decide(EXCHANGE)


def test_every_filter_that_matches_tags_and_gives_its_reason() -> None:
    """Tags separated by spaces are all set, whether or not an action is proposed, and each reason names its entries."""
    named = {"scripts": Section(relation="or", entries=(entry("header.user-agent", "^curl/", "shell"),))}
    found = judge(
        {
            "office": a_filter(API, tags="internal team-devops"),
            "other": a_filter(ELSEWHERE, tags="other", action="block"),
            "writes": a_filter(API, POST, tags="bot", action="monitor", sections=("scripts",)),
        },
        named,
    )
    entries = "path: ^/api/ and method: POST and header.user-agent: ^curl/"
    assert found == Decision(
        frozenset(("internal", "team-devops", "bot", "action:monitor")),
        (
            Reason("global-filters", "office", "path: ^/api/", "the API", ""),
            Reason("global-filters", "writes", entries, "the API, shell", "monitor"),
        ),
        PREDEFINED["monitor"],
    )


def test_reasons_are_made_when_a_filter_is_compiled() -> None:
    """The same evidence leads to the very same reason; only what is put together while it is judged is made anew."""
    filters = {
        "one": a_filter(API, POST, action="monitor"),
        "either": GlobalFilter(relation="or", entries=(ELSEWHERE, API, POST)),
        "both": a_filter(POST, sections=("either",)),
    }
    named = {"either": Section(relation="or", entries=(ELSEWHERE, API))}
    stage = GlobalFilters.of(filters, Definitions(named), PREDEFINED)
    first, second = stage.decide(EXCHANGE).reasons, stage.decide(EXCHANGE).reasons
    assert first == second
    assert [reason.entry for reason in first] == [
        "path: ^/api/ and method: POST", "path: ^/api/", "method: POST and path: ^/api/",
    ]  # fmt: skip
    assert [one is other for one, other in zip(first, second, strict=True)] == [True, True, False]


def test_if_no_filter_matches_there_is_nothing_to_say() -> None:
    """No object is made for a request that nothing matches."""
    assert judge({"other": a_filter(ELSEWHERE, tags="other", action="block")}) is NOTHING


def test_the_strongest_action_wins_and_the_other_tags_stay() -> None:
    """The winner does not take from the request what the others have found out."""
    found = judge({"a": a_filter(API, tags="one", action="monitor"), "b": a_filter(POST, tags="two", action="close")})
    assert found.action is PREDEFINED["close"]
    assert found.tags == {"one", "two", "action:close"}
    assert [reason.action for reason in found.reasons] == ["monitor", "close"]


@pytest.mark.parametrize(("first", "second"), [("block", "teapot"), ("teapot", "block")])
def test_of_equal_actions_that_of_the_earlier_filter_wins(first: str, second: str) -> None:
    """The order of the file decides, even where the earlier filter has to be judged later for its tags."""
    found = judge({"a": a_filter(entry("tag", "seen"), action=first), "b": a_filter(API, tags="seen", action=second)})
    assert found.action is not None
    assert found.action.name == first
    assert [reason.filter for reason in found.reasons] == ["a", "b"]


def test_an_inactive_filter_is_as_good_as_absent() -> None:
    """It neither tags nor acts, and other filters do not wait for its tags."""
    inactive = evolve(a_filter(API, entry("tag", "two"), tags="one", action="block"), active=False)
    assert judge({"a": inactive, "b": a_filter(API, entry("tag", "one"), tags="two")}) is NOTHING


def test_a_filter_has_rules_or_a_source() -> None:
    """A source with the category of its lines, or neither; own entries of that category are for ``or``."""
    source, feed = (Source(path=pathlib.Path("addresses")),), FeedCategory.from_text("ip")
    assert GlobalFilter(source=source, feed=feed, entries=(API,)).feed == feed
    assert GlobalFilter(source=source, feed=feed, relation="or", entries=(entry("ip", "::1"),)).feed == feed
    for options, which, sentence in (
        ({"source": source}, "source", "a source needs feed, the category of its lines, such as ip"),
        ({"feed": feed}, "feed", "has no meaning without a source"),
        ({"source": (Source(),), "feed": feed}, "feed", "has no meaning without a source"),
        ({"source": source, "feed": feed, "entries": (entry("ip", "::1"),)}, "relation", "entries of the category of"),
    ):
        with pytest.raises(InvalidValue, match=f"^{sentence}") as caught:
            GlobalFilter(**options)
        assert caught.value.which == which


def test_filters_that_wait_for_one_another_are_refused_by_name() -> None:
    """A circle of tags is an error of the configuration."""
    with pytest.raises(InvalidValue, match=r"a → .* → b → |b → .* → a → "):
        judge({"a": a_filter(entry("tag", "two"), tags="one"), "b": a_filter(entry("tag", "one"), tags="two")})


def test_an_action_that_does_not_exist_is_refused() -> None:
    """A filter whose action is misspelt is not a filter without an action."""
    with pytest.raises(InvalidValue, match="the global filter a names an action that does not exist: blok"):
        judge({"a": a_filter(API, action="blok")})


@pytest.mark.parametrize("tag", ["Team", "a_b", "mtls:verified", "all"])
def test_a_tag_that_is_not_canonical_or_is_automatic_is_refused(tag: str) -> None:
    """A filter sets only what can be looked for, and cannot pretend to be the node."""
    with pytest.raises(InvalidValue, match=f"^tags: {tag}: "):
        a_filter(API, tags=tag)


@given(section_trees(), st.lists(st.sampled_from((None, "monitor")), min_size=5, max_size=5), exchanges)
def test_a_configuration_that_only_monitors_changes_no_outcome(
    tree: tuple[list[Section], dict[str, Section]], actions: list[str | None], exchange: Exchange
) -> None:
    """However many filters match, without another action the request is forwarded as it came."""
    sections, named = tree
    filters = {
        f"f{index}": GlobalFilter(
            relation=section.relation, sections=section.sections, entries=section.entries, action=actions[index]
        )
        for index, section in enumerate(sections)
    }
    found = GlobalFilters.of(filters, Definitions(named), PREDEFINED).decide(exchange)
    assert found.outcome(exchange) == Forward()
    assert found.action is None or not found.action.skips


# -- what actions bring with them ------------------------------------------------------------------------------------

TRUSTED = Skip("trusted", exempts=frozenset(("rate-limits", "acl")), tags=frozenset(("t:trusted",)))
ACTIONS = {
    **PREDEFINED,
    "trusted": TRUSTED,
    "known": evolve(TRUSTED, name="known", exempts=frozenset(("flows",)), tags=frozenset(), priority=1000),
    "teapot": Block("teapot", status=418, tags=frozenset(("t:teapot",))),
    "noting": evolve(PREDEFINED["monitor"], name="noting", tags=frozenset(("t:noting",))),
}


def judged(*actions: str | None) -> Decision:
    """What the stage says of a request that filters with these actions match, in this order."""
    filters = {f"f{index}": a_filter(API, action=action) for index, action in enumerate(actions)}
    return GlobalFilters.of(filters, Definitions(), ACTIONS).decide(EXCHANGE)


@given(st.lists(st.none() | st.sampled_from(tuple(ACTIONS)), max_size=5))
def test_a_scoped_skip_never_competes(actions: list[str | None]) -> None:
    """With and without those that exempt from stages the same action is taken, with its tags; exemptions add up."""
    scoped = [ACTIONS[name] for name in actions if name is not None and ACTIONS[name].exempts]
    others = [name for name in actions if name is None or not ACTIONS[name].exempts]
    found, without = judged(*actions), judged(*others)
    assert found.action is without.action
    assert found.exempt == frozenset().union(*(action.exempts for action in scoped))
    assert found.tags == without.tags.union(*(action.tags for action in scoped))
    assert [reason.action for reason in found.reasons] == [name or "" for name in actions]


def test_only_the_tags_of_the_winning_action_are_added() -> None:
    """The losers' are not: they did not happen."""
    assert judged("noting").tags == {"action:noting", "t:noting"}
    assert judged("noting", "teapot").tags == {"action:teapot", "t:teapot"}
    assert judged("noting", "trusted").tags == {"action:noting", "t:noting", "t:trusted"}


@pytest.mark.parametrize(
    ("value", "needs"), [("http.request.body.size", "body"), ("http.request.timestamp.sec", "clock")]
)
def test_what_an_action_renders_is_needed(value: str, needs: str) -> None:
    """A body is held back for a template too."""
    header = HeaderField.from_text(f"x: ${{{value}}}")
    actions = {"noting": ActionSection(type="monitor", headers=(header,)).action("noting")}
    stage = GlobalFilters.of({"f": a_filter(API, action="noting")}, Definitions(), actions)
    assert stage.needs == {needs}
    assert (
        GlobalFilters.of({"f": evolve(a_filter(API, action="noting"), active=False)}, Definitions(), actions).needs
        == set()
    )
