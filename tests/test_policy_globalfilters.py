"""Global filters: all are judged, all tags are kept, one action wins."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.decision import NOTHING, Decision, Forward, Reason
from edgenode.errors import InvalidValue
from edgenode.exchange import Exchange, Request
from edgenode.policy.actions import PREDEFINED, Block
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.rules.categories import entry
from edgenode.rules.sections import Entry, Section
from edgenode.settings import Word
from tests.strategies import CONNECTION, exchanges, section_trees

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
    return GlobalFilters.of(filters, named or {}, actions).decide(EXCHANGE)


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
    found = GlobalFilters.of(filters, named, PREDEFINED).decide(exchange)
    assert found.outcome(exchange) == Forward()
    assert found.action is None or not found.action.skips
