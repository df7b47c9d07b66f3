"""Stages that make the pipeline wait, and whatever else code of others may do: every judgement ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, evolve
from twisted.internet.defer import AlreadyCalledError, CancelledError, Deferred, fail, inlineCallbacks, succeed
from twisted.internet.task import Clock

from edgenode.model.decision import NOTHING, Decision, Forward, Reason
from edgenode.model.exchange import Exchange
from edgenode.policy.actions import FAILURE, PREDEFINED
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import Tagging
from tests.support.strategies import CONNECTION

Flush = Callable[..., list[Any]]
TAGGED = Decision(frozenset(("own",)))


@define(eq=False)
class Stage:
    """A stage that does what it is told to."""

    say: Callable[[Exchange], Any] = lambda exchange: NOTHING
    name: str = "own"
    needs: frozenset[str] = frozenset()
    asked: int = 0

    def decide(self, exchange: Exchange) -> Any:
        """Do it."""
        self.asked += 1
        return self.say(exchange)


def pipeline(*stages: Stage, clock: Clock | None = None, failure: str = "closed", timeout: float = 10.0) -> Pipeline:
    """A pipeline of them, on a clock of the test's."""
    later = (clock or Clock()).callLater
    return Pipeline(Tagging.of({}), stages, failure, timeout=timeout, call_later=later)


def judged(pipeline: Pipeline) -> list[Any]:
    """What becomes of an exchange: empty until it is decided; a failure if that is what comes."""
    decided, found = pipeline.decide(Exchange(CONNECTION)), list[Any]()
    if isinstance(decided, Deferred):
        decided.addBoth(found.append)
    else:
        found.append(decided)
    return found


# -- in time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["closed", "open"])
def test_a_stage_that_never_answers_has_failed_when_its_time_is_up(failure: str, flush_logged_errors: Flush) -> None:
    """Then its Deferred is cancelled, the reason says why, and the failure policy holds: 503, or on to the others."""
    clock, cancelled = Clock(), list[object]()
    stage, last = Stage(lambda exchange: Deferred(cancelled.append)), Stage(name="last")
    found = judged(pipeline(stage, last, clock=clock, failure=failure, timeout=3))
    clock.advance(2.9)
    assert not found
    assert not cancelled
    clock.advance(0.2)
    (decision,) = found
    assert len(cancelled) == 1
    assert decision.reasons[0].stage == "own"
    assert decision.reasons[0].entry == "failed: no answer in time"
    assert decision.action is (FAILURE if failure == "closed" else None)
    assert ("action:failure" in decision.tags) is (failure == "closed")
    assert last.asked == (failure == "open")
    assert not clock.getDelayedCalls()
    assert len(flush_logged_errors()) == 1


def test_each_stage_has_its_time(flush_logged_errors: Flush) -> None:
    """A slow stage takes none of the time of those behind it: else whoever slows it down could pass them."""
    clock = Clock()
    waiting = [Deferred[Decision](), Deferred[Decision]()]
    stages = [Stage(lambda exchange, said=said: said) for said in waiting]  # type: ignore[misc]
    found = judged(pipeline(*stages, clock=clock, timeout=3, failure="open"))
    clock.advance(2)
    waiting[0].callback(NOTHING)
    clock.advance(2)
    assert not found
    waiting[1].callback(TAGGED)
    assert "own" in found[0].tags
    assert not clock.getDelayedCalls()


def test_without_a_timeout_a_stage_may_take_for_ever() -> None:
    """0 sets no timer."""
    clock, said = Clock(), Deferred[Decision]()
    found = judged(pipeline(Stage(lambda exchange: said), clock=clock, timeout=0))
    assert not clock.getDelayedCalls()
    said.callback(TAGGED)
    assert "own" in found[0].tags


@pytest.mark.parametrize("say", [lambda exchange: TAGGED, lambda exchange: succeed(TAGGED)])
def test_what_is_answered_at_once_sets_no_timer(say: Callable[[Exchange], Any]) -> None:
    """And makes no Deferred, whatever the stage has made."""

    def call_later(*arguments: object) -> None:
        raise AssertionError

    asked = evolve(pipeline(Stage(say)), call_later=call_later)
    decision = asked.decide(Exchange(CONNECTION))
    assert isinstance(decision, Decision)
    assert "own" in decision.tags


def test_an_answer_that_comes_too_late_is_not_heard(flush_logged_errors: Flush) -> None:
    """Nor an error; and whoever answers late gets no error for it."""
    clock = Clock()
    for late in (TAGGED, ZeroDivisionError()):
        said: Deferred[Decision] = Deferred()
        found = judged(pipeline(Stage(lambda exchange: said), clock=clock, failure="open"))  # noqa: B023
        clock.advance(10)
        said.callback(late) if isinstance(late, Decision) else said.errback(late)
        (decision,) = found
        assert "own" not in decision.tags
        assert len(flush_logged_errors()) == 1


# -- cancelled -------------------------------------------------------------------------------------------------------


def test_a_judgement_that_is_cancelled_cancels_the_stage_that_is_waited_for() -> None:
    """With no word in the log, no timer left, and no further stage asked."""
    clock, cancelled = Clock(), list[object]()
    last = Stage(name="last")
    decided = pipeline(Stage(lambda exchange: Deferred(cancelled.append)), last, clock=clock).decide(
        Exchange(CONNECTION)
    )
    assert isinstance(decided, Deferred)
    found = list[Any]()
    decided.addErrback(found.append)
    decided.cancel()
    assert found[0].check(CancelledError)
    assert len(cancelled) == 1
    assert not last.asked
    assert not clock.getDelayedCalls()


def test_a_coroutine_is_cancelled_where_it_waits() -> None:
    """It can clean up."""
    seen = list[str]()

    async def say(exchange: Exchange) -> Decision:
        try:
            return await Deferred()
        except CancelledError:
            seen.append("cancelled")
            raise

    decided = pipeline(Stage(say)).decide(Exchange(CONNECTION))
    assert isinstance(decided, Deferred)
    decided.addErrback(lambda _: None)
    decided.cancel()
    assert seen == ["cancelled"]


def test_a_coroutine_that_does_not_let_itself_be_cancelled_is_left_behind(flush_logged_errors: Flush) -> None:
    """The exchange is decided in time all the same."""
    clock, waits = Clock(), list[Deferred[None]]()

    async def say(exchange: Exchange) -> Decision:
        while len(waits) < 3:
            waits.append(Deferred())
            try:
                await waits[-1]
            except CancelledError:
                pass
        return TAGGED

    found = judged(pipeline(Stage(say), clock=clock))
    clock.advance(10)
    assert found[0].action is FAILURE
    waits[-1].callback(None)
    waits[-1].callback(None)
    assert len(flush_logged_errors()) == 1


def _raising(error: BaseException) -> Callable[[object], None]:
    def canceller(said: object) -> None:
        raise error

    return canceller


def _answering(said: Deferred[Decision]) -> None:
    said.callback(TAGGED)


@pytest.mark.parametrize("canceller", [_raising(ZeroDivisionError()), _raising(SystemExit()), _answering])
@pytest.mark.parametrize("how", ["late", "cancelled"])
def test_a_canceller_has_no_say(canceller: Callable[[Any], None], how: str, flush_logged_errors: Flush) -> None:
    """Whether it raises or answers: what was decided without it stands."""
    clock = Clock()
    decided = pipeline(Stage(lambda exchange: Deferred(canceller)), clock=clock).decide(Exchange(CONNECTION))
    assert isinstance(decided, Deferred)
    found = list[Any]()
    decided.addBoth(found.append)
    if how == "late":
        clock.advance(10)
        assert found[0].action is FAILURE
    else:
        decided.cancel()
        assert found[0].check(CancelledError)
    assert len(found) == 1
    assert not clock.getDelayedCalls()
    flush_logged_errors()


@pytest.mark.parametrize("where", ["asked", "cancelled", "next"])
def test_a_judgement_may_be_cancelled_by_the_stage_itself(where: str, flush_logged_errors: Flush) -> None:
    """Such as one that cuts the connection: nothing is waited for afterwards, and nothing logged twice."""
    clock, first = Clock(), Deferred[Decision]()
    last = Stage(name="last")

    def cancel(*_: object) -> Any:
        assert isinstance(decided, Deferred)
        decided.cancel()
        return Deferred()

    if where == "cancelled":
        stages = [Stage(lambda exchange: Deferred(cancel)), last]
    else:
        stages = [Stage(lambda exchange: first), Stage(cancel, "next"), last]
    asked = pipeline(*stages, clock=clock)
    decided = asked.decide(Exchange(CONNECTION))
    assert isinstance(decided, Deferred)
    found = list[Any]()
    decided.addBoth(found.append)
    if where == "cancelled":
        clock.advance(10)
        flush_logged_errors()
    else:
        first.callback(NOTHING)
    assert found[0].check(CancelledError)
    assert not last.asked
    assert not clock.getDelayedCalls()


# -- what a stage may return -----------------------------------------------------------------------------------------


class _Awaitable:
    def __await__(self) -> Any:
        return (yield from succeed(TAGGED).__await__())


async def _coroutine(exchange: Exchange) -> Decision:
    return TAGGED


async def _waiting_coroutine(exchange: Exchange) -> Decision:
    return await succeed(TAGGED)


@inlineCallbacks
def _generator(exchange: Exchange) -> Any:
    said = yield succeed(TAGGED)
    return said


def _future(exchange: Exchange) -> Any:
    future: asyncio.Future[Decision] = asyncio.Future(loop=asyncio.new_event_loop())
    loop = future.get_loop()
    future.set_result(TAGGED)
    loop.call_soon(loop.stop)
    deferred = Deferred.fromFuture(future)
    loop.run_forever()
    loop.close()
    return deferred


WAYS = {
    "a decision": lambda exchange: TAGGED,
    "a fired Deferred": lambda exchange: succeed(TAGGED),
    "async def": _coroutine,
    "async def that awaits": _waiting_coroutine,
    "inlineCallbacks": _generator,
    "another awaitable": lambda exchange: _Awaitable(),
    "a future": _future,
    "a decision's subclass": lambda exchange: type("Own", (Decision,), {})(frozenset(("own",))),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stage_may_answer_in_any_way_of_twisteds(way: str) -> None:
    """``async def decide`` too; what is there at once is decided at once."""
    decision = pipeline(Stage(WAYS[way])).decide(Exchange(CONNECTION))
    assert isinstance(decision, Decision)
    assert "own" in decision.tags


def test_a_coroutine_may_take_its_time() -> None:
    """As a Deferred may."""
    waits: Deferred[Decision] = Deferred()

    async def say(exchange: Exchange) -> Decision:
        return await waits

    found = judged(pipeline(Stage(say)))
    assert not found
    waits.callback(TAGGED)
    assert "own" in found[0].tags


def test_a_future_of_asyncio_is_waited_for_and_cancelled() -> None:
    """On Twisted's asyncio reactor, or any other loop that runs."""
    loop = asyncio.new_event_loop()
    answered, left = loop.create_future(), loop.create_future()
    found = judged(pipeline(Stage(lambda exchange: answered)))
    decided = pipeline(Stage(lambda exchange: left)).decide(Exchange(CONNECTION))
    assert isinstance(decided, Deferred)
    decided.addErrback(lambda _: None)
    decided.cancel()
    answered.set_result(TAGGED)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert "own" in found[0].tags
    assert left.cancelled()


async def _raising_later(error: BaseException) -> Decision:
    raise error


def _now(error: BaseException) -> Any:
    raise error


def _generating(exchange: Exchange) -> Any:
    yield TAGGED


ERRORS = (ZeroDivisionError, CancelledError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
NONSENSE = {
    "None": lambda: None,
    "True": lambda: True,
    "the class": lambda: Decision,
    "a generator": lambda: _generating(Exchange(CONNECTION)),
    "a fired None": lambda: succeed(None),
    "a fired Deferred of a tuple": lambda: succeed((TAGGED,)),
    "an action": lambda: PREDEFINED["skip"],
    "a word for an action": lambda: Decision(action="block"),  # type: ignore[arg-type]
    "reasons in a list": lambda: Decision(reasons=[Reason("a", "b")], tags=5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("failure", ["closed", "open"])
@pytest.mark.parametrize("how", ["now", "fired", "coroutine", "later"])
@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_stage_raises_it_has_failed(
    error: type[BaseException], how: str, failure: str, flush_logged_errors: Flush
) -> None:
    """``SystemExit`` too: whoever calls the stage is the reactor, which would drop all connections for it."""
    waits: Deferred[Decision] = Deferred()
    ways: dict[str, Callable[[Exchange], Any]] = {
        "now": lambda exchange: _now(error()),
        "fired": lambda exchange: fail(error()),
        "coroutine": lambda exchange: _raising_later(error()),
        "later": lambda exchange: waits,
    }
    found = judged(pipeline(Stage(ways[how]), failure=failure))
    if how == "later":
        waits.errback(error())
    assert found[0].action is (FAILURE if failure == "closed" else None)
    assert found[0].reasons[0].stage == "own"
    assert len(flush_logged_errors()) == 1


@pytest.mark.parametrize("failure", ["closed", "open"])
@pytest.mark.parametrize("what", NONSENSE)
def test_what_is_no_decision_is_a_failure(what: str, failure: str, flush_logged_errors: Flush) -> None:
    """Of the stage that has said it; the others are asked as ever."""
    last = Stage(lambda exchange: TAGGED, "last")
    found = judged(pipeline(Stage(lambda exchange: NONSENSE[what]()), last, failure=failure))
    (decision,) = found
    assert decision.action is (FAILURE if failure == "closed" else None)
    assert decision.reasons[-1].stage == "own"
    assert ("own" in decision.tags) is (failure == "open")
    assert decision.outcome(Exchange(CONNECTION)) == Forward() or failure == "closed"
    assert len(flush_logged_errors()) == 1


def test_a_stage_that_answers_twice_has_its_own_error() -> None:
    """The first answer stands."""
    said: Deferred[Decision] = Deferred()
    found = judged(pipeline(Stage(lambda exchange: said)))
    said.callback(TAGGED)
    with pytest.raises(AlreadyCalledError):
        said.callback(Decision(action=PREDEFINED["block"]))
    assert found[0].action is None


def test_a_stage_may_return_one_deferred_again_and_again() -> None:
    """Such as that of an answer which it keeps."""
    kept = succeed(TAGGED)
    asked = pipeline(Stage(lambda exchange: kept))
    for _ in range(3):
        decision = asked.decide(Exchange(CONNECTION))
        assert isinstance(decision, Decision)
        assert "own" in decision.tags


@pytest.mark.parametrize("way", ["now", "fired", "coroutine", "later", "by turns"])
def test_ten_thousand_stages_need_no_more_of_the_stack_than_one(way: str) -> None:
    """Whether they have answered already, answer later, or by turns."""
    waits = list[Deferred[Decision]]()

    def say(exchange: Exchange) -> Any:
        waits.append(Deferred())
        turn = len(waits) % 2
        if way == "later" or (way == "by turns" and turn):
            return waits[-1]
        return {"now": NOTHING, "coroutine": _coroutine(exchange) if way == "coroutine" else None}.get(
            way, succeed(NOTHING)
        )

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        found = judged(pipeline(*[Stage(say)] * 10_000))
        while not found:
            waits[-1].callback(NOTHING)
    finally:
        sys.setrecursionlimit(limit)
    assert found[0].action is None
    assert len(waits) == 10_000


@pytest.mark.parametrize("failure", ["closed", "open"])
@pytest.mark.parametrize("error", [KeyError, SystemExit])
def test_whoever_knows_where_addresses_are_may_fail(
    error: type[BaseException], failure: str, flush_logged_errors: Flush
) -> None:
    """As a stage may."""
    asked = evolve(pipeline(failure=failure), locate=lambda address: _now(error()))
    decision = asked.decide(Exchange(CONNECTION))
    assert isinstance(decision, Decision)
    assert decision.action is (FAILURE if failure == "closed" else None)
    assert decision.reasons[0].stage == "geography"
    assert len(flush_logged_errors()) == 1
