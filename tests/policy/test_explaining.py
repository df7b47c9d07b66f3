"""Global filters taken apart one by one: what that says is what the engine decides."""

from __future__ import annotations

import pathlib

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import Action, Decision
from edgenode.model.exchange import Exchange
from edgenode.model.settings import Source, Word
from edgenode.policy.explaining import Filters
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import Tagging
from edgenode.rules.definitions import Definitions
from edgenode.rules.filter_feeds import FeedCategory
from edgenode.rules.language.expressions import Expression
from edgenode.rules.lists import Members
from edgenode.rules.matching.explaining import closeness, simplified
from edgenode.rules.networks import Networks
from edgenode.rules.sections import Entry
from tests.support.strategies import CONNECTION, exchanges, section_trees

ACTIONS = {name: Action(name, priority=priority) for name, priority in (("weak", 1), ("strong", 2), ("also", 2))}
EXPRESSIONS = (
    'http.request.method eq "GET" and not http.request.uri.path contains "api"',
    'http.request.headers["x-one"][0] ne "mozilla" xor http.request.method in {"POST" "PUT"}',
    'any(http.request.headers["user-agent"][*] contains "url") or len(http.request.uri.path) > 6',
    'not any(edge.tags[*] eq "one") and ip.src in {192.0.2.0/24 10.0.0.0/8}',
    'any(starts_with(edge.tags[*], "t"))',
)


@st.composite
def configurations(draw: st.DrawFn) -> tuple[dict[str, GlobalFilter], Definitions]:
    """Some filters, with tags for one another, and the sections that they name."""
    sections, named = draw(section_trees())
    words = st.sampled_from([Word(tag) for tag in ("one", "two", "three")])
    tags = st.lists(words, max_size=2, unique=True)
    filters = {}
    for number, section in enumerate(sections):
        expression = draw(st.none() | st.sampled_from(EXPRESSIONS))
        filters[f"f{number}"] = GlobalFilter(
            relation=section.relation,
            sections=section.sections,
            entries=section.entries,
            expression=None if expression is None else Expression.from_text(expression),
            match_case=draw(st.booleans()),
            tags=tuple(draw(tags)),
            action=draw(st.none() | st.sampled_from(sorted(ACTIONS))),
            active=draw(st.sampled_from((True, True, True, False))),
        )
    return filters, Definitions(named)


@given(configurations(), exchanges)
def test_what_is_explained_is_what_is_decided(
    configuration: tuple[dict[str, GlobalFilter], Definitions], exchange: Exchange
) -> None:
    """Filters, tags and action that follow from the parts are those of the pipeline."""
    filters, definitions = configuration
    try:
        stage = GlobalFilters.of(filters, definitions, ACTIONS)
    except ValueError:  # the tags go round in a circle
        return
    decision = Pipeline(Tagging.of({}), (stage,)).decide(exchange)
    automatic = Tagging.of({}).decide(exchange)
    assert isinstance(decision, Decision)
    traces = Filters.of(filters, definitions, {}).traces(exchange.tagged(automatic.tags))
    matched = {name: trace for name, trace in traces.items() if trace.holds}
    engine = {why.filter: why.entry for why in decision.reasons}
    assert {name: " and ".join(map(str, trace.evidence or ())) for name, trace in matched.items()} == engine
    tags: set[str] = {tag for name in matched for tag in filters[name].tags}
    proposed = [ACTIONS[action] for name in filters if name in matched and (action := filters[name].action)]
    winner = max(proposed, key=lambda action: action.strength, default=None)
    tags |= set() if winner is None else {f"action:{winner.name}"}
    assert decision.tags == exchange.tags | automatic.tags | tags
    assert decision.action == winner
    for trace in traces.values():
        assert simplified(trace).holds == trace.holds
        assert 0 <= closeness(trace) <= 1


def test_tags_of_other_filters_are_seen() -> None:
    """A filter that looks for a tag is taken apart behind the filter that sets it, wherever it stands."""
    late = GlobalFilter(expression=Expression.from_text('any(edge.tags[*] eq "early")'), tags=(Word("late"),))
    early = evolve(late, expression=Expression.from_text("ssl or not ssl"), tags=(Word("early"),))
    found = Filters.of({"late": late, "early": early}, Definitions({}), {})
    assert list(found.order) == ["early", "late"]


@pytest.mark.parametrize(("client", "holds"), [("192.0.2.7", True), ("192.0.3.7", False)])
def test_a_filter_with_a_source_is_explained_by_what_it_holds(client: str, holds: bool) -> None:
    """Its formula is the engine's, and the evidence its feed; it has no entries to be taken apart."""
    fed = GlobalFilter(source=(Source(path=pathlib.Path("addresses")),), feed=FeedCategory.from_text("ip"))
    feeds = {"fed": Members("global-filter fed", networks=Networks(["192.0.2.0/24"]))}
    exchange = Exchange(CONNECTION, None, client)
    trace = Filters.of({"fed": fed}, Definitions({}), feeds).traces(exchange)["fed"]
    assert trace.holds is holds
    decision = GlobalFilters.of({"fed": fed}, Definitions({}), {}, feeds).decide(exchange)
    assert [str(each) for each in trace.evidence or ()] == [each.entry for each in decision.reasons]


@pytest.mark.parametrize(
    ("client", "evidence"),
    [("192.0.2.7", "ip: file:addresses"), ("192.0.3.7", "ip: 192.0.3.7"), ("192.0.4.7", None)],
)
def test_entries_beside_a_source_are_explained_with_it(client: str, evidence: str | None) -> None:
    """Whichever of them is true is the evidence, as the engine has it."""
    fed = GlobalFilter(
        source=(Source(path=pathlib.Path("addresses")),),
        feed=FeedCategory.from_text("ip"),
        relation="or",
        entries=(Entry("ip", "", "192.0.3.7"),),
    )
    feeds = {"fed": Members("global-filter fed", networks=Networks(["192.0.2.0/24"]))}
    exchange = Exchange(CONNECTION, None, client)
    trace = Filters.of({"fed": fed}, Definitions({}), feeds).traces(exchange)["fed"]
    decision = GlobalFilters.of({"fed": fed}, Definitions({}), {}, feeds).decide(exchange)
    assert [str(each) for each in trace.evidence or ()] == [each.entry for each in decision.reasons]
    assert [each.entry for each in decision.reasons] == ([] if evidence is None else [evidence])
