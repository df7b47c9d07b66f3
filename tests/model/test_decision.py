"""The judgement is a monoid: tags and reasons add up, the strongest action wins, of equals the earlier."""

from __future__ import annotations

from functools import reduce
from operator import or_

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import MODES, NOTHING, Action, Decision, Forward
from edgenode.model.exchange import Exchange
from edgenode.policy.actions import FAILURE, PREDEFINED, ActionSection
from edgenode.policy.escaping import HeaderField
from tests.support.strategies import CONNECTION, decisions


@given(decisions, decisions, decisions)
def test_joining_is_associative(one: Decision, two: Decision, three: Decision) -> None:
    """However the stages are grouped, the decision is the same."""
    left, right = (one | two) | three, one | (two | three)
    assert (left, left.timings) == (right, right.timings)


@given(decisions)
def test_nothing_is_neutral(decision: Decision) -> None:
    """What has nothing to say changes nothing, be it the constant or an equal value."""
    for nothing in (NOTHING, Decision()):
        assert decision | nothing == decision == nothing | decision


@given(st.lists(decisions, min_size=1))
def test_tags_only_grow_and_reasons_keep_their_order(several: list[Decision]) -> None:
    """A decision has every tag and every reason of all its parts."""
    joined = reduce(or_, several)
    assert joined.tags == frozenset().union(*(each.tags for each in several))
    assert joined.reasons == tuple(reason for each in several for reason in each.reasons)


@given(st.lists(decisions, min_size=1))
def test_the_strongest_action_wins_and_of_equals_the_earlier(several: list[Decision]) -> None:
    """The winner is the first of the strongest."""
    proposed = [each.action for each in several if each.action is not None]
    strongest = max((action.strength for action in proposed), default=None)
    winner = next((action for action in proposed if action.strength == strongest), None)
    assert reduce(or_, several).action is winner


@given(st.lists(decisions, min_size=1))
def test_exemptions_add_up_and_the_loosest_mode_holds(several: list[Decision]) -> None:
    """Whoever exempts is heard, and where one part refuses nothing the whole does not."""
    joined = reduce(or_, several)
    assert joined.exempt == frozenset().union(*(each.exempt for each in several))
    assert joined.mode == next(mode for mode in MODES if any(each.mode == mode for each in several))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "action",
    [*(each for each in PREDEFINED.values() if each.name != "challenge"), FAILURE],
    ids=lambda action: action.name,
)
def test_only_in_the_mode_block_is_anything_refused(mode: str, action: Action) -> None:
    """A decision is what it would have been; what becomes of the request is another matter."""
    decision, exchange = Decision(action=action, mode=mode), Exchange(CONNECTION)
    assert decision.action is action
    refused = action.name in ("block", "close", "rate-limit", "failure")
    assert (decision.outcome(exchange) != Forward()) == (refused and mode == "block")


def test_what_only_goes_to_the_origin_does_so_in_every_mode() -> None:
    """The origin may rely on a header that an action sets; without it the client's own would arrive."""
    header = HeaderField.from_text('x-seen: ${join(edge.tags, " ")}')
    action = ActionSection(type="monitor", headers=(header,)).action("seen")
    for mode in MODES:
        outcome = Decision(frozenset(("bot",)), action=action, mode=mode).outcome(Exchange(CONNECTION))
        assert outcome == Forward(((b"x-seen", b"bot"),))


def test_without_an_action_the_request_is_forwarded() -> None:
    """Tags alone change nothing."""
    assert Decision(frozenset(("bot",))).outcome(Exchange(CONNECTION)) == Forward()


def test_an_action_without_an_outcome_forwards_nothing() -> None:
    """An action type that forgot its outcome is an error, never a request let through."""
    with pytest.raises(TypeError):
        Decision(action=Action("half")).outcome(Exchange(CONNECTION))


def test_timings_are_no_part_of_what_is_decided() -> None:
    """Two equal judgements are equal however long they took."""
    assert Decision(timings=(("stage", 1.0),)) == Decision(timings=(("stage", 2.0),))


def test_a_decision_can_be_awaited() -> None:
    """Whoever awaits a decision gets it, without anything being scheduled."""

    async def wait() -> Decision:
        return await Decision(frozenset(("bot",)))

    with pytest.raises(StopIteration) as stopped:
        wait().send(None)
    assert stopped.value.value == Decision(frozenset(("bot",)))
