"""The stage that counts: flows, dynamic rules and rate limits in one call of the state."""

from __future__ import annotations

import pytest
from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.exchange import Exchange
from edgenode.policy.actions import FAILURE, PREDEFINED, Block, Skip
from edgenode.policy.counting import Asking, Counting
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Placed, Rules, compiled, pipeline_of
from edgenode.policy.tagging import MESSAGE
from edgenode.state.interface import Answers, Call, Counter, StateAbsent
from edgenode.state.memory import MemoryState
from tests.policy.test_stages import Own
from tests.support.strategies import CONNECTION

EXCHANGE = Exchange(CONNECTION)


@define(eq=False)
class Each:
    """Counts every request under one key, and proposes an action from the first on."""

    name: str
    exemption: str = "rate-limits"
    action: Action = PREDEFINED["block"]
    of_messages: bool = False
    most: int = 0
    needs: frozenset[str] = frozenset()
    refuses: bool = True
    heard: list[int] = field(factory=list)

    def selected(self, selection: Selection) -> Each | None:
        """Itself."""
        return self

    def ask(self, asking: Asking) -> None:
        """One call."""
        asking.calls.append(Call(Counter(self.name, "fixed", self.most, 60.0), ""))

    def hear(self, asking: Asking, answers: Answers, start: int, end: int) -> None:
        """Its action if the total is over."""
        (answer,) = answers[start:end]
        assert answer is not None
        self.heard.append(answer.total)
        if answer.total > self.most:
            asking.because(Reason("rate-limits", self.name, action=self.action.name))
            asking.tag((f"limit:{self.name}",))
            asking.propose(self.action, 7)


class Slow(MemoryState):
    """A state that has to be waited for."""

    waiting: Deferred[Answers]

    def count(self, calls: object, *, always: bool = False) -> Deferred[Answers]:  # type: ignore[override]
        """Something to wait for."""
        self.waiting = Deferred()
        return self.waiting


class Away(MemoryState):
    """A state that cannot be asked."""

    def count(self, calls: object, *, always: bool = False) -> Answers:
        """Never."""
        raise StateAbsent


def decide(*several: Each, state: MemoryState | None = None, exchange: Exchange = EXCHANGE) -> Decision:
    """What the stage says."""
    decision = Counting(several, state or MemoryState()).decide(exchange)
    assert isinstance(decision, Decision)
    return decision


def test_everything_is_counted_and_tagged_and_the_strongest_action_is_taken() -> None:
    """Of equals the earlier in the file; an action that forwards is weaker than every other, for who comes too often
    for one limit does not thereby pass the next."""
    several = (Each("skip", action=Skip("skip")), Each("monitor", action=PREDEFINED["monitor"]), Each("a"), Each("b"))
    decision = decide(*several)
    assert [each.heard for each in several] == [[1]] * 4
    assert decision.tags == {"limit:skip", "limit:monitor", "limit:a", "limit:b", "action:block"}
    assert decision.action is not None
    assert decision.action.name == "block"
    assert [reason.filter for reason in decision.reasons] == ["skip", "monitor", "a", "b"]


def test_who_is_under_all_thresholds_is_told_nothing() -> None:
    """Nor is anything made for it."""
    assert decide(Each("a", most=1)) is NOTHING


def test_a_refusal_says_when_to_come_again() -> None:
    """Unless the action says so itself."""
    action = decide(Each("a")).action
    assert isinstance(action, Block)
    assert {name: value.render(EXCHANGE) for name, value in action.headers} == {b"retry-after": b"7"}


def test_what_a_request_is_exempt_from_is_not_counted() -> None:
    """Each of the three by its own word; and it says so."""
    several = (Each("f", "flows"), Each("d", "dynamic-rules"), Each("l"))
    exchange = Exchange(CONNECTION, exempt=frozenset(("dynamic-rules", "rate-limits")))
    decision = decide(*several, exchange=exchange)
    assert [each.heard for each in several] == [[1], [], []]
    assert [(each.stage, each.entry) for each in decision.reasons[:2]] == [
        ("dynamic-rules", "left out"),
        ("rate-limits", "left out"),
    ]


def test_messages_of_websockets_are_no_requests() -> None:
    """Only what looks for their tag counts them."""
    several = (Each("requests"), Each("messages", of_messages=True))
    decide(*several, exchange=Exchange(CONNECTION, tags=frozenset((MESSAGE,))))
    assert [each.heard for each in several] == [[], [1]]


@pytest.mark.parametrize("failure", ["open", "closed"])
def test_a_state_that_cannot_be_asked_refuses_whatever_the_failure_policy(failure: str) -> None:
    """At once or later, with 503 and when the node will have tried again."""
    action = decide(Each("a"), state=Away()).action
    assert isinstance(action, Block)
    assert action == evolve(FAILURE, headers=action.headers)
    assert {name: value.render(EXCHANGE) for name, value in action.headers} == {b"retry-after": b"5"}
    slow, found = Slow(), list[Decision]()
    stages = (*compiled(Rules())[:1], Counting((Each("a"),)))
    waited = pipeline_of(stages, failure=failure, timeout=0, selection=Selection(slow)).decide(EXCHANGE)
    assert isinstance(waited, Deferred)
    waited.addCallback(found.append)
    slow.waiting.errback(StateAbsent())
    assert found[0].action == action


def test_what_had_to_be_waited_for_is_heard_as_if_it_had_come_at_once() -> None:
    """The same decision."""
    slow, found, each = Slow(), list[Decision](), Each("a")
    waited = Counting((each,), slow).decide(EXCHANGE)
    assert isinstance(waited, Deferred)
    waited.addCallback(found.append)
    slow.waiting.callback(MemoryState().count([Call(Counter("a", "fixed", 0, 60.0), "")]))
    assert found == [decide(Each("a"))]


def test_where_nothing_is_counted_there_is_no_stage_but_its_place() -> None:
    """What stands before it or behind it stays there."""
    own = [Placed(Own("behind"), after="counting"), Placed(Own("before"), before="counting"), Placed(Own("last"))]
    pipeline = pipeline_of(compiled(Rules()), own, selection=Selection(MemoryState()))
    assert [stage.name for stage in pipeline.stages] == ["global-filters", "quarantine", "before", "behind", "last"]


def test_what_limits_refuse_is_inspected() -> None:
    """A limit by an argument of the body does not let through a body that it has not seen."""
    counting = Counting((Each("a", needs=frozenset(("body", "arguments"))),))
    pipeline = pipeline_of((*compiled(Rules())[:-1], counting), selection=Selection(MemoryState()))
    assert "inspection" in [stage.name for stage in pipeline.stages]
    assert pipeline.inspects
