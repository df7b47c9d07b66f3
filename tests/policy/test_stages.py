"""The stages that exist: compiled once, in the order in which they judge."""

from __future__ import annotations

from edgenode.model.decision import NOTHING, Decision
from edgenode.model.exchange import Exchange, Geography
from edgenode.model.settings import Word
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.stages import STAGES, Placed, Rules, compiled, pipeline_of
from edgenode.rules.categories import entry
from tests.support.strategies import CONNECTION

FILTERS = {"inside": GlobalFilter(entries=(entry("tag", "partner"),), tags=(Word("seen"),), action="block")}
RULES = Rules({"shop": ("partner",)}, FILTERS, actions=PREDEFINED)


def test_every_stage_is_compiled_in_order_and_tagging_comes_first() -> None:
    """The visible tuple is all there is; filters see the automatic tags, so those are put on before."""
    stages = compiled(RULES)
    names = ["tagging", "challenge", "global-filters", "inspection", "quarantine", "counting", "acl", "content-filter"]
    assert [stage.name for stage in stages] == names
    assert len(stages) == len(STAGES)


def test_pipelines_share_their_stages() -> None:
    """What is compiled once serves every path map; what differs between them is their own. A stage that has nothing to
    say is not asked."""
    stages = compiled(RULES)
    one = pipeline_of(stages, mode="off", locate=lambda address: Geography(city=address))
    two = pipeline_of(stages, failure="open", inspect_body_size=7, clock=float)
    assert one.tagging is two.tagging is stages[0]
    assert one.stages == two.stages == stages[2:3]
    assert (one.mode, one.failure, one.clock, one.inspect_body_size) == ("off", "closed", None, 128 * 1024)
    assert (two.mode, two.failure, two.clock, two.inspect_body_size) == ("block", "open", float, 7)
    assert one.locate is not None
    assert one.locate("x") == Geography(city="x")


def test_rules_reach_their_stages() -> None:
    """Tags of the security policy, filters and actions all come from the rules."""
    decision = pipeline_of(compiled(RULES)).decide(Exchange(CONNECTION, security_policy="shop"))
    assert isinstance(decision, Decision)
    assert {"partner", "seen", "action:block"} <= decision.tags
    assert decision.action is PREDEFINED["block"]


class Own:
    """A stage of one's own."""

    def __init__(self, name: str, *needs: str) -> None:
        self.name, self.needs = name, frozenset(needs)

    def decide(self, exchange: Exchange) -> Decision:
        """Nothing."""
        return NOTHING


def test_stages_of_ones_own_stand_where_they_are_placed() -> None:
    """In the order given where they have the same place; also beside a stage that has nothing to do."""
    own = [
        Placed(Own("last")),
        Placed(Own("one"), before="inspection"),
        Placed(Own("two"), before="inspection"),
        Placed(Own("first"), after="tagging"),
        Placed(Own("behind"), after="inspection"),
    ]
    pipeline = pipeline_of(compiled(RULES), own)
    assert [stage.name for stage in pipeline.stages] == ["first", "global-filters", "one", "two", "behind", "last"]


def test_what_a_stage_of_ones_own_cannot_see_of_a_body_is_refused() -> None:
    """As what filters cannot see; and not where the path map lets it pass."""
    own = [Placed(Own("bodies", "body"))]
    pipeline = pipeline_of(compiled(RULES), own)
    assert [stage.name for stage in pipeline.stages] == ["global-filters", "inspection", "bodies"]
    assert pipeline.inspects
    passing = pipeline_of(compiled(RULES), own, uninspected="pass", ambiguous_multipart="pass")
    assert [stage.name for stage in passing.stages] == ["global-filters", "bodies"]
