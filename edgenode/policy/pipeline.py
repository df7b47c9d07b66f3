"""The pipeline: stages in order, each seeing the tags so far, joined into one decision.

Law: tags only grow. A stage that fails, or does not answer in time, follows the node's one failure policy. Stages that
answer at once make no Deferred and no timer, and it makes no difference to the decision whether they did. What a
decision would be does not depend on the mode, only what becomes of it; under ``off`` nothing but tagging is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from edgenode.model.decision import NOTHING, Decision, Reason, check_said
from edgenode.model.exchange import Exchange, Geography, TokenJudge
from edgenode.model.interfaces import ResponseStage, Stage
from edgenode.model.timers import Later, call_later
from edgenode.policy.acl import Profile
from edgenode.policy.actions import FAILURE, taken_tags
from edgenode.policy.answers import Answers
from edgenode.policy.awaiting import Resume, Waiting, settled
from edgenode.policy.challenge import Challenges
from edgenode.policy.contentfilter.masking import NOTHING_MASKED, Masks
from edgenode.policy.contentfilter.stage import Filter
from edgenode.policy.counting import Counting
from edgenode.policy.edgefunctions import EdgeFunction
from edgenode.policy.globalfilters import GlobalFilters
from edgenode.policy.inspection import Inspection
from edgenode.policy.quarantine import Held
from edgenode.policy.tagging import MESSAGE, Tagging
from edgenode.state.interface import InTime

_BUILT_IN = (Tagging, Challenges, GlobalFilters, Inspection, Held, Counting, Profile, Filter, EdgeFunction)
"""The stages whose decisions are what they should be; those of others are looked at."""

_PENDING = (InTime, Deferred)

_NO_STAGES: frozenset[str] = frozenset()
_FAILED = taken_tags(FAILURE)


class _Asked(Protocol):
    """What can be asked for a decision: a stage, or the answer of one that had to wait."""

    def decide(self, exchange: Exchange) -> Any:
        """See :class:`edgenode.model.interfaces.Stage`."""
        ...


_Named = tuple[str, _Asked]


@frozen
class _Answered:
    """A stage that has answered, whatever that is."""

    answer: object

    def decide(self, exchange: Exchange) -> object:
        """The answer."""
        return self.answer


@frozen(eq=False)
class Pipeline:
    """Judges exchanges.

    :ivar tagging: the stage that puts the automatic tags on.
    :ivar stages: the further stages, in order.
    :ivar failure: what happens if a stage fails: ``open`` goes on as if the stage had nothing to say, everything else
        refuses the request with 503.
    :ivar clock: seconds, as :func:`time.perf_counter` counts them, for the timings; ``None`` for none.
    :ivar locate: says where an address is, for exchanges that do not say so themselves; ``None`` if nobody knows.
    :ivar inspect_body_size: how much of a request body is held back for its rules, bytes.
    :ivar inspects: the same if a stage looks at bodies of requests, else 0. An exchange with a body must then bring it
        along: rules find nothing in what is not there.
    :ivar inspects_messages: the same of messages of WebSockets; never less, for there are filters on those alone.
    :ivar mode: the mode of filtration: one of :data:`edgenode.model.decision.MODES`.
    :ivar timeout: how long each stage may have the exchange wait, seconds; then it has failed. 0 is for ever.
    :ivar call_later: the timers for that, such as ``reactor.callLater``; those of the running reactor if absent.
    :ivar masks: what is never told in clear of its requests.
    :ivar response_stages: the stages that judge the answers of origins, before and behind response rules.
    :ivar answers: what judges them; ``None`` if nothing does.
    :ivar tokens: judges tokens, if a rule asks; ``None`` if there are no token configurations.
    """

    _log: ClassVar[Logger] = Logger()

    tagging: Stage
    stages: tuple[Stage, ...] = ()
    failure: str = "closed"
    clock: Callable[[], float] | None = None
    locate: Callable[[str], Geography] | None = None
    inspect_body_size: int = 128 * 1024
    mode: str = "block"
    timeout: float = 10.0
    call_later: Later = call_later
    masks: Masks = NOTHING_MASKED
    response_stages: tuple[tuple[ResponseStage, ...], tuple[ResponseStage, ...]] = ((), ())
    tokens: TokenJudge | None = None
    answers: Answers | None = field(init=False)
    _asked: tuple[tuple[str, Stage], ...] = field(init=False)
    _held: Held | None = field(init=False)
    _asked_if_nothing_is_held: tuple[tuple[str, Stage], ...] = field(init=False)
    _own: frozenset[str] = field(init=False)
    inspects: int = field(init=False)
    inspects_messages: int = field(init=False)

    @answers.default
    def _if_answers_are_looked_at(self) -> Answers | None:
        before, after = self.response_stages
        if self.mode == "off" or not (before or after):
            return None
        return Answers(before, after, self._failed, self.mode, self.clock, self.timeout, self.call_later)

    @_asked.default
    def _tagging_first(self) -> tuple[tuple[str, Stage], ...]:
        stages = (self.tagging,) if self.mode == "off" else (self.tagging, *self.stages)
        return tuple((stage.name, stage) for stage in stages)

    @_held.default
    def _that_of_the_quarantine(self) -> Held | None:
        return next((stage for _, stage in self._asked if isinstance(stage, Held)), None)

    @_asked_if_nothing_is_held.default
    def _all_others(self) -> tuple[tuple[str, Stage], ...]:
        return tuple(each for each in self._asked if each[1] is not self._held)

    @_own.default
    def _not_built_in(self) -> frozenset[str]:
        return frozenset(name for name, stage in self._asked if not isinstance(stage, _BUILT_IN))

    @inspects.default
    def _if_bodies_are_looked_at(self) -> int:
        several = (
            stage.needs_of_requests if isinstance(stage, GlobalFilters) else stage.needs for _, stage in self._asked
        )
        return self.inspect_body_size if any("body" in needs for needs in several) else 0

    @inspects_messages.default
    def _if_messages_are_looked_at(self) -> int:
        return self.inspect_body_size if "body" in self.needs else 0

    @property
    def needs(self) -> frozenset[str]:
        """What its stages look at besides the head of a request."""
        return frozenset().union(*(stage.needs for _, stage in self._asked))

    def standing(self, exchange: Exchange) -> frozenset[str] | None:
        """What :meth:`edgenode.policy.tagging.Tagging.standing` says; ``None`` if another stage puts the tags on."""
        return self.tagging.standing(exchange) if isinstance(self.tagging, Tagging) else None

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Judge an exchange, which stays as it is; the decision has all its tags, the automatic ones among them.

        A Deferred comes back only if a stage has to wait; it never fails, unless it is cancelled, and then the stage
        that is waited for is cancelled too. Either can be awaited.
        """
        return self.judge(exchange.tagged())

    def judge(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """The same without a copy: the exchange is the pipeline's until it has decided, and is changed.

        Then its tags are those of the decision, and its geography is known if it can be.
        """
        held = self._held
        if self.tokens is not None:
            exchange.tokens = self.tokens
        asked: Iterator[_Named] = iter(
            self._asked if held is None or held.quarantine.keys else self._asked_if_nothing_is_held
        )
        if exchange.geography is None and self.locate is not None:
            try:
                exchange.geography = self.locate(exchange.client)
            except BaseException as error:
                asked = chain((("geography", _Answered(self._failed("geography", error))),), asked)
        elif type(self.tagging) is Tagging and not exchange.tags:
            return self._go_on_tagged(exchange, self.tagging, asked)
        return self._go_on(exchange, Decision(exchange.tags, (), None, (), _NO_STAGES, self.mode), asked)

    def _go_on_tagged(
        self, exchange: Exchange, tagging: Tagging, asked: Iterator[_Named]
    ) -> Decision | Deferred[Decision]:
        """The same as usual: what the automatic tags come to is a new decision, and can be gone on with as it is."""
        clock = self.clock
        started = None if clock is None else clock()
        try:
            decision = tagging.decide(exchange)
        except BaseException:  # asked once more, it fails as any stage does
            return self._go_on(exchange, Decision(mode=self.mode), asked)
        next(asked)
        exchange.tags, decision.mode = decision.tags, self.mode
        if clock is not None and started is not None:
            ended = clock()
            decision.timings = ((tagging.name, (ended - started) * 1e6),)
            started = ended
        return self._go_on(exchange, decision, asked, started)

    def _go_on(
        self,
        exchange: Exchange,
        decision: Decision,
        remaining: Iterator[_Named],
        started: float | None = None,
        waiting: Waiting | None = None,
    ) -> Decision | Deferred[Decision]:
        """Ask the remaining stages.

        :param started: when the first of them was asked; ``None`` for now.
        :param waiting: by what others were waited for, if they were.
        """
        clock, own, exempt, action = self.clock, self._own, decision.exempt, decision.action
        timings: list[tuple[str, float]] = []
        if clock is not None and started is None:
            started = clock()
        for name, stage in remaining:
            if name in exempt:
                decision.reasons += (Reason(name, "", "left out"),)
                continue
            # Everything is caught: what passes the reactor, be it ``SystemExit``, has it drop the node's poller.
            try:
                said = stage.decide(exchange)
                if not isinstance(said, Decision):  # to ask for Deferred, an abstract class, takes ten times as long
                    if said.__class__ not in _PENDING or said.called:
                        said = settled(said)
                    if isinstance(said, Deferred):
                        decision.timings += tuple(timings)
                        waiting = waiting or Waiting(self.timeout, self.call_later, partial(_undecided, decision))
                        resume = self._resume(exchange, decision, name, started, remaining, waiting)
                        waiting.wait(said, resume, stage.timeout if isinstance(stage, EdgeFunction) else None)
                        return waiting.judged
                    if not isinstance(said, Decision):
                        raise TypeError(f"a stage answered with {type(said).__name__}")
            except BaseException as error:
                said = self._failed(name, error)
            if clock is not None and started is not None:
                ended = clock()
                timings.append((name, (ended - started) * 1e6))
                started = ended
            if said is NOTHING:
                continue
            try:
                if name in own:
                    check_said(said)
                    if MESSAGE in said.tags and MESSAGE not in exchange.tags:  # filters on messages saw no body
                        raise ValueError(f"a stage sets the tag {MESSAGE}, which the node alone sets")
                decision.add(said)
                skips = decision.action is not None and decision.action.skips
            except BaseException as error:  # something in it is not what it should be
                decision.action = action
                decision.add(self._failed(name, error))
                skips = decision.action is FAILURE
            exchange.tags, action = decision.tags, decision.action
            exchange.exempt = exempt = decision.exempt
            if skips:
                break
        decision.mode = self.mode  # no stage has a say in it
        decision.timings += tuple(timings)
        return decision

    def _resume(
        self,
        exchange: Exchange,
        decision: Decision,
        name: str,
        started: float | None,
        remaining: Iterator[_Named],
        waiting: Waiting,
    ) -> Resume:
        """What goes on once a stage has answered, as if it had answered at once; if something has come to be held
        meanwhile, by another node even, that is heard as well."""
        held = self._held
        added = 0 if held is None else held.quarantine.added

        def resume(answer: object, error: BaseException | None) -> None:
            heard: list[_Named] = [(name, _Answered(answer if error is None else self._failed(name, error)))]
            if held is not None and held.quarantine.added != added:
                heard.append((held.name, held))
            decided = self._go_on(exchange, decision, chain(heard, remaining), started, waiting)
            if isinstance(decided, Decision):
                waiting.judged.callback(decided)

        return resume

    def _failed(self, name: str, error: BaseException) -> Decision:
        """What counts as said by a stage that failed."""
        try:
            raise error
        except BaseException:
            self._log.failure(
                "The stage {stage} failed; the failure policy is {policy}.", stage=name, policy=self.failure
            )
        stage, _, filter = name.partition(" ")  # of an edge function, its section
        failed = "failed: no answer in time" if isinstance(error, TimeoutError) else "failed: the log says why"
        if self.failure == "open":
            return Decision(reasons=(Reason(stage, filter, failed),))
        return Decision(_FAILED, (Reason(stage, filter, failed, "", FAILURE.name),), FAILURE)


def _undecided(decision: Decision) -> None:
    """The client has gone before all stages have spoken: who wants to know its answer is told so, for nobody else has
    what was decided so far."""
    for each in decision.after:
        each.responded(499, 0, 0)
