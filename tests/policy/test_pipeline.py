"""The pipeline: tags only grow, a failure is closed, and waiting changes no decision."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed

from edgenode.model.decision import NOTHING, Action, Decision, Forward, Reason, Respond
from edgenode.model.exchange import Exchange, Geography
from edgenode.policy.actions import FAILURE, PREDEFINED
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import Tagging
from tests.support.strategies import CONNECTION, TAGS, exchanges

EXCHANGE = Exchange(CONNECTION)
Flush = Callable[..., list[Any]]


@define
class Saying:
    """A stage that says what it was told to, and keeps a copy of what it saw."""

    name: str
    said: object = NOTHING
    saw: Exchange | None = None
    needs: frozenset[str] = frozenset()

    def decide(self, exchange: Exchange) -> Any:
        """Say it, or raise it."""
        self.saw = exchange.tagged()
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


TAGGED = Saying("tagging", Decision(frozenset(("all",))))


def proposing(action: Action | None, *tags: str) -> Decision:
    """A decision with a reason that names its action."""
    reasons = () if action is None else (Reason("stage", "filter", "", "", action.name),)
    return Decision(frozenset(tags), reasons, action)


sayings = st.lists(
    st.builds(
        proposing,
        st.sampled_from((None, *PREDEFINED.values())),
        st.sampled_from(TAGS),
    )
    | st.just(NOTHING),
    max_size=4,
)


def waited(decision: Decision | Deferred[Decision]) -> Decision:
    """The decision that a fired Deferred has."""
    results: list[Decision] = []
    assert isinstance(decision, Deferred)
    decision.addCallback(results.append)
    return results[0]


@given(exchanges, sayings)
def test_tags_only_grow_and_each_stage_sees_those_so_far(exchange: Exchange, said: list[Decision]) -> None:
    """A stage sees every tag that was put on before it, and the decision has them all."""
    stages = [Saying(f"stage-{number}", each) for number, each in enumerate(said)]
    decision = Pipeline(Tagging.of({}), tuple(stages)).decide(exchange)
    assert isinstance(decision, Decision)
    sofar = exchange.tags
    for stage in (stage for stage in stages if stage.saw is not None):
        assert stage.saw is not None
        assert sofar <= stage.saw.tags <= decision.tags
        assert isinstance(stage.said, Decision)
        sofar = stage.saw.tags | stage.said.tags
    assert sofar <= decision.tags
    assert "all" in decision.tags


@given(exchanges, sayings, st.lists(st.sampled_from(("now", "fired", "later")), min_size=4, max_size=4))
def test_waiting_changes_no_decision(exchange: Exchange, said: list[Decision], ways: list[str]) -> None:
    """Stages that answer at once, with a fired Deferred or later lead to equal decisions."""
    at_once = Pipeline(TAGGED, tuple(Saying("stage", each) for each in said)).decide(exchange)
    later: list[tuple[Deferred[Decision], Decision]] = []
    stages = []
    for each, way in zip(said, ways, strict=False):
        deferred: Deferred[Decision] = Deferred()
        later += [(deferred, each)] if way == "later" else []
        stages.append(Saying("stage", {"now": each, "fired": succeed(each), "later": deferred}[way]))
    decision = Pipeline(TAGGED, tuple(stages)).decide(exchange)
    for deferred, each in later:
        deferred.callback(each)
    assert (decision if isinstance(decision, Decision) else waited(decision)) == at_once


def test_stages_that_answer_at_once_make_no_deferred() -> None:
    """The way of most requests goes through without anything to wait for."""
    decision = Pipeline(TAGGED, (Saying("one"), Saying("two", proposing(None, "two")))).decide(EXCHANGE)
    assert isinstance(decision, Decision)
    assert decision.tags == {"all", "two"}


@pytest.mark.parametrize("action", PREDEFINED.values(), ids=PREDEFINED)
def test_what_has_been_decided_ends_the_stages(action: Action) -> None:
    """After skip, block and close no further stage is asked; after challenge and monitor all are."""
    last = Saying("last")
    Pipeline(TAGGED, (Saying("first", proposing(action)), last)).decide(EXCHANGE)
    assert (last.saw is None) is (action.name not in ("challenge", "monitor"))


def test_a_weaker_action_later_does_not_end_the_stages() -> None:
    """It is the winning action that counts: a monitor of high priority is not outdone by a block."""
    strong, last = evolve(PREDEFINED["monitor"], priority=1000), Saying("last")
    stages = (Saying("first", proposing(strong)), Saying("second", proposing(PREDEFINED["block"])), last)
    decision = Pipeline(TAGGED, stages).decide(EXCHANGE)
    assert isinstance(decision, Decision)
    assert decision.action is strong
    assert last.saw is not None


@pytest.mark.parametrize("late", [False, True])
def test_of_equal_actions_that_of_the_earlier_stage_is_taken(late: bool) -> None:
    """A later stage needs a stronger action to be heard, whether or not it had to wait."""
    first, second = (evolve(PREDEFINED["monitor"], name=name) for name in ("first", "second"))
    said = succeed(proposing(second)) if late else proposing(second)
    decision = Pipeline(TAGGED, (Saying("one", proposing(first)), Saying("two", said))).decide(EXCHANGE)
    decision = decision if isinstance(decision, Decision) else waited(decision)
    assert decision.action is first


FAILING: dict[str, Callable[[], Any]] = {
    "raises": lambda: RuntimeError("broken"),
    "answers nonsense": lambda: None,
    "answers nonsense late": lambda: succeed(None),
    "fails late": lambda: _failed(RuntimeError("broken")),
    "is cancelled": lambda: _failed(CancelledError()),
    "answers with a class": lambda: Decision,
    "answers with a Deferred of text": lambda: succeed("block"),
}

_decision: Any = Decision
_reason: Any = Reason
_evolve: Any = evolve  # without their types
BROKEN: dict[str, Callable[[], Any]] = {
    "a tag that is a number": lambda: _decision(frozenset(("fine", 7))),
    "a tag of bytes": lambda: _decision(frozenset((b"bytes",))),
    "tags in a list": lambda: _decision(["tag"]),
    "tags as text": lambda: _decision("tag"),
    "no tags": lambda: _decision(None),
    "a reason of text": lambda: _decision(reasons=("why",)),
    "reasons in a list": lambda: _decision(frozenset(("fine",)), [Reason("broken", "")]),
    "a reason of bytes": lambda: _decision(reasons=(_reason("broken", "", b"entry"),)),
    "an action by its name": lambda: _decision(frozenset(("fine",)), action="block"),
    "an action without a name": lambda: _decision(action=_evolve(PREDEFINED["block"], name=7)),
    "an action without strength": lambda: _decision(action=_evolve(PREDEFINED["block"], priority="high")),
    "an action with odd tags": lambda: _decision(action=_evolve(PREDEFINED["block"], tags=("tag",))),
    "an exemption that is a number": lambda: _decision(exempt=frozenset((7,))),
    "a timing without a number": lambda: _decision(timings=(("broken", "long"),)),
    "timings of something else": lambda: _decision(timings=(7,)),
    "a mode that there is not": lambda: _decision(mode="maybe"),
}
FAILING |= {f"gives {what}": said for what, said in BROKEN.items()}
FAILING |= {f"gives {what} late": partial(lambda said: succeed(said()), said) for what, said in BROKEN.items()}


def _failed(error: Exception) -> Deferred[Decision]:
    deferred: Deferred[Decision] = Deferred()
    deferred.errback(error)
    return deferred


@pytest.mark.parametrize("failure", ["closed", "anything else"])
@pytest.mark.parametrize("way", FAILING)
def test_a_stage_that_fails_is_closed(way: str, failure: str, flush_logged_errors: Flush) -> None:
    """The request is refused with 503 whatever was proposed before, the reason names the stage, and it is logged."""
    before, last = Saying("before", proposing(evolve(PREDEFINED["monitor"], priority=1000), "before")), Saying("last")
    stages = (before, Saying("broken", FAILING[way]()), last)
    decision = Pipeline(TAGGED, stages, failure).decide(EXCHANGE)
    decision = decision if isinstance(decision, Decision) else waited(decision)
    outcome = decision.outcome(EXCHANGE)
    assert isinstance(outcome, Respond)
    assert outcome.response.status == 503
    assert decision.action is FAILURE
    assert decision.tags == {"all", "before", "action:failure"}
    assert decision.reasons[-1].stage == "broken"
    assert decision.reasons[-1].entry.startswith("failed: ")
    assert "broken" not in decision.reasons[-1].entry
    assert last.saw is None
    (logged,) = flush_logged_errors()
    if way.startswith("gives"):
        assert str(logged.value).startswith("a stage ")


@pytest.mark.parametrize("way", FAILING)
def test_a_stage_that_fails_open_says_nothing_but_why(way: str, flush_logged_errors: Flush) -> None:
    """With the policy ``open`` the remaining stages are asked, and the reason still names the stage."""
    last = Saying("last", proposing(None, "last"))
    decision = Pipeline(TAGGED, (Saying("broken", FAILING[way]()), last), "open").decide(EXCHANGE)
    decision = decision if isinstance(decision, Decision) else waited(decision)
    assert decision.outcome(EXCHANGE) == Forward()
    assert decision.tags == {"all", "last"}
    assert [reason.stage for reason in decision.reasons] == ["broken"]
    assert len(flush_logged_errors()) == 1


def test_tagging_that_fails_is_closed_too(flush_logged_errors: Flush) -> None:
    """The first stage is a stage like every other."""
    decision = Pipeline(Saying("tagging", RuntimeError())).decide(EXCHANGE)
    assert isinstance(decision, Decision)
    assert decision.action is FAILURE
    assert len(flush_logged_errors(RuntimeError)) == 1


@pytest.mark.parametrize("way", ["now", "fired", "later"])
def test_every_stage_is_timed(way: str) -> None:
    """The timings name each stage that was asked with its microseconds, waiting included."""
    seconds = itertools.count()
    deferred: Deferred[Decision] = Deferred()
    said = {"now": NOTHING, "fired": succeed(NOTHING), "later": deferred}[way]
    pipeline = Pipeline(TAGGED, (Saying("one", said), Saying("two")), clock=lambda: float(next(seconds)))
    decision = pipeline.decide(EXCHANGE)
    if way == "later":
        next(seconds)
        deferred.callback(NOTHING)
    decision = decision if isinstance(decision, Decision) else waited(decision)
    one = 2e6 if way == "later" else 1e6
    assert decision.timings == (("tagging", 1e6), ("one", one), ("two", 1e6))


def test_without_a_clock_there_are_no_timings() -> None:
    """Nobody pays for what nobody asked for."""
    decision = Pipeline(TAGGED).decide(EXCHANGE)
    assert isinstance(decision, Decision)
    assert decision.timings == ()


@pytest.mark.parametrize("way", ["now", "later"])
def test_either_answer_can_be_awaited(way: str) -> None:
    """``await pipeline.decide(exchange)`` is the same for whoever embeds the pipeline."""
    deferred: Deferred[Decision] = Deferred()
    pipeline = Pipeline(TAGGED, (Saying("one", deferred if way == "later" else NOTHING),))

    async def judged() -> Decision:
        return await pipeline.decide(EXCHANGE)

    result = ensureDeferred(judged())
    if way == "later":
        deferred.callback(NOTHING)
    assert waited(result).tags == {"all"}


def test_an_exchange_is_changed_only_if_it_is_given_away() -> None:
    """``decide`` leaves it to its owner as it was; ``judge`` puts the tags and the place on it and makes no copy."""
    stages = (Saying("one", proposing(PREDEFINED["block"], "one")),)
    pipeline = Pipeline(TAGGED, stages, locate=lambda address: Geography(country="DE"))
    kept, given_away = Exchange(CONNECTION, tags=frozenset(("own",))), Exchange(CONNECTION, tags=frozenset(("own",)))
    decided, judged = pipeline.decide(kept), pipeline.judge(given_away)
    assert decided == judged
    assert kept == Exchange(CONNECTION, tags=frozenset(("own",)))
    assert isinstance(judged, Decision)
    assert judged.tags == {"own", "all", "one"}
    assert given_away.tags is judged.tags
    assert given_away.geography == Geography(country="DE")


def test_a_decision_of_a_stage_is_never_changed() -> None:
    """A stage may keep what it returns and return it again."""
    first, second = proposing(PREDEFINED["monitor"], "first"), proposing(PREDEFINED["block"], "second")
    for _ in range(2):
        pipeline = Pipeline(TAGGED, (Saying("one", first), Saying("two", second)), clock=iter(range(9)).__next__)
        pipeline.decide(EXCHANGE)
    assert (first, second) == (proposing(PREDEFINED["monitor"], "first"), proposing(PREDEFINED["block"], "second"))
    assert first.timings == ()
    assert Decision() == NOTHING
    assert TAGGED.said == Decision(frozenset(("all",)))


@given(exchanges)
def test_tags_that_stand_are_those_of_the_tagging_stage(exchange: Exchange) -> None:
    """Whoever keeps them asks the pipeline; another first stage cannot say."""
    tagging = Tagging.of({})
    assert Pipeline(tagging).standing(exchange) == tagging.standing(exchange)
    assert Pipeline(TAGGED).standing(exchange) is None


# -- what stages need ------------------------------------------------------------------------------------------------


def test_an_exchange_without_a_place_gets_one() -> None:
    """Whoever embeds a pipeline need not look the client up; what has been looked up is kept."""
    places = {"192.0.2.7": Geography(country="DE")}
    stage = Saying("stage")
    pipeline = Pipeline(TAGGED, (stage,), locate=places.__getitem__)
    pipeline.decide(Exchange(CONNECTION, client="192.0.2.7"))
    assert stage.saw is not None
    assert stage.saw.geography == Geography(country="DE")
    pipeline.decide(Exchange(CONNECTION, client="192.0.2.7", geography=Geography(country="FR")))
    assert stage.saw.geography == Geography(country="FR")
    Pipeline(TAGGED, (stage,)).decide(Exchange(CONNECTION, client="192.0.2.7"))
    assert stage.saw.geography is None


@pytest.mark.parametrize("needs", [(), ("clock", "tags"), ("body",), ("body", "clock")])
def test_bodies_are_held_back_only_for_who_looks_at_them(needs: tuple[str, ...]) -> None:
    """A pipeline needs what its stages need, and as much of a body as it was told."""
    pipeline = Pipeline(TAGGED, (Saying("a"), Saying("b", needs=frozenset(needs))), inspect_body_size=7)
    assert pipeline.needs == frozenset(needs)
    assert pipeline.inspects == (7 if "body" in needs else 0)


# -- exemptions and modes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["now", "later"])
def test_a_stage_that_is_exempted_from_is_left_out(way: str) -> None:
    """It is not asked, and a reason says so; those before it, and all others, are."""
    deferred: Deferred[Decision] = Deferred()
    exempting = Decision(exempt=frozenset(("acl", "first")))
    first, second = Saying("first"), Saying("second", deferred if way == "later" else exempting)
    acl, last = Saying("acl", proposing(PREDEFINED["block"])), Saying("last", proposing(None, "last"))
    pipeline = Pipeline(TAGGED, (first, second, acl, last), clock=iter(range(99)).__next__)
    decision = pipeline.decide(EXCHANGE)
    deferred.callback(exempting)
    decision = decision if isinstance(decision, Decision) else waited(decision)
    assert (first.saw is None, acl.saw is None, last.saw is None) == (False, True, False)
    assert decision.action is None
    assert decision.exempt == {"acl", "first"}
    assert decision.reasons == (Reason("acl", "", "left out"),)
    assert decision.tags == {"all", "last"}
    assert [stage for stage, _ in decision.timings] == ["tagging", "first", "second", "last"]


def test_under_monitoring_everything_is_judged_and_nothing_refused() -> None:
    """The decision is the same to the last reason; only what becomes of the request differs."""
    stages = (Saying("one", proposing(PREDEFINED["monitor"], "one")), Saying("two", proposing(PREDEFINED["block"])))
    meant, watched = (Pipeline(TAGGED, stages, mode=mode).decide(EXCHANGE) for mode in ("block", "monitoring"))
    assert isinstance(meant, Decision)
    assert isinstance(watched, Decision)
    assert watched == evolve(meant, mode="monitoring")
    assert watched.action is PREDEFINED["block"]
    assert isinstance(meant.outcome(EXCHANGE), Respond)
    assert watched.outcome(EXCHANGE) == Forward()


@pytest.mark.parametrize("mode", ["block", "monitoring"])
@pytest.mark.parametrize("said", ["off", "monitoring", "block"])
def test_no_stage_has_a_say_in_the_mode(said: str, mode: str) -> None:
    """A stage that answers with a looser mode lets nothing through that the path map refuses."""
    answer = Decision(action=PREDEFINED["block"], mode=said)
    for each in (answer, succeed(answer)):
        decision = Pipeline(TAGGED, (Saying("one", each),), mode=mode).decide(EXCHANGE)
        decision = decision if isinstance(decision, Decision) else waited(decision)
        assert decision.mode == mode
        assert (decision.outcome(EXCHANGE) == Forward()) is (mode == "monitoring")


@pytest.mark.parametrize("way", FAILING)
def test_under_monitoring_a_failure_refuses_nothing_either(way: str, flush_logged_errors: Flush) -> None:
    """It is decided and logged as ever."""
    decision = Pipeline(TAGGED, (Saying("broken", FAILING[way]()),), mode="monitoring").decide(EXCHANGE)
    decision = decision if isinstance(decision, Decision) else waited(decision)
    assert decision.action is FAILURE
    assert decision.outcome(EXCHANGE) == Forward()
    assert len(flush_logged_errors()) == 1


def test_with_filtration_off_only_tags_are_put_on() -> None:
    """No stage is asked, no body held back for one, and nothing is refused even if tagging fails."""
    stage = Saying("stage", proposing(PREDEFINED["block"]), needs=frozenset(("body",)))
    pipeline = Pipeline(TAGGED, (stage,), mode="off")
    decision = pipeline.decide(EXCHANGE)
    assert isinstance(decision, Decision)
    assert stage.saw is None
    assert decision.tags == {"all"}
    assert not decision.reasons
    assert (decision.action, decision.mode) == (None, "off")
    assert (pipeline.needs, pipeline.inspects) == (frozenset(), 0)


def test_a_tagging_that_fails_with_filtration_off_refuses_nobody(flush_logged_errors: Flush) -> None:
    """Off is off."""
    decision = Pipeline(Saying("tagging", RuntimeError()), mode="off").decide(EXCHANGE)
    assert isinstance(decision, Decision)
    assert decision.outcome(EXCHANGE) == Forward()
    assert len(flush_logged_errors(RuntimeError)) == 1
