"""The pipeline: stages in order, each seeing the tags so far, joined into one decision.

Law: tags only grow. A stage that fails follows the node's one failure policy. Stages that answer at once make no
Deferred, and it makes no difference to the decision whether they did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from edgenode.decision import NOTHING, Decision, Reason
from edgenode.exchange import Exchange
from edgenode.interfaces import Stage
from edgenode.policy.actions import FAILURE

_FAILED = frozenset((f"action:{FAILURE.name}",))


@frozen(eq=False)
class Pipeline:
    """Judges exchanges.

    :ivar tagging: the stage that puts the automatic tags on.
    :ivar stages: the further stages, in order.
    :ivar failure: what happens if a stage fails: ``open`` goes on as if the stage had nothing to say, everything else
        refuses the request with 503.
    :ivar clock: seconds, as :func:`time.perf_counter` counts them, for the timings; ``None`` for none.
    """

    _log: ClassVar[Logger] = Logger()

    tagging: Stage
    stages: tuple[Stage, ...] = ()
    failure: str = "closed"
    clock: Callable[[], float] | None = None
    _all: tuple[Stage, ...] = field(init=False)
    _repeatable: bool = field(init=False)

    @_all.default
    def _tagging_first(self) -> tuple[Stage, ...]:
        return (self.tagging, *self.stages)

    @_repeatable.default
    def _every_stage_is(self) -> bool:
        return all(stage.repeatable for stage in self._all)

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Judge an exchange; the decision has all its tags, the automatic ones among them.

        A Deferred comes back only if a stage has to wait; it never fails. Either can be awaited.
        """
        return self._go_on(0, exchange, NOTHING, [])

    def _go_on(
        self, first: int, exchange: Exchange, decision: Decision, timings: list[tuple[str, float]]
    ) -> Decision | Deferred[Decision]:
        """Judge from one stage on."""
        clock = self.clock
        started = 0.0 if clock is None else clock()
        repeatable = self._repeatable and not first
        for position in range(first, len(self._all)):
            stage = self._all[position]
            try:
                said = stage.decide(exchange)
            except Exception as error:
                said = self._failed(stage, error)
                repeatable = False
            if isinstance(said, Deferred):
                return self._wait(said, started, position, exchange, decision, timings)
            if clock is not None:
                ended = clock()
                timings.append((stage.name, (ended - started) * 1e6))
                started = ended
            if said is not NOTHING:
                exchange, decision = self._join(stage, said, exchange, decision)
                if decision.action is not None and decision.action.skips:
                    break
        return Decision(exchange.tags, decision.reasons, decision.action, tuple(timings), repeatable)

    def _wait(
        self,
        said: Deferred[Decision],
        started: float,
        position: int,
        exchange: Exchange,
        decision: Decision,
        timings: list[tuple[str, float]],
    ) -> Deferred[Decision]:
        """Go on once a stage has answered."""
        stage = self._all[position]

        def resume(said: Decision) -> Decision | Deferred[Decision]:
            if self.clock is not None:
                timings.append((stage.name, (self.clock() - started) * 1e6))
            tagged, joined = self._join(stage, said, exchange, decision)
            ended = joined.action is not None and joined.action.skips
            return self._go_on(len(self._all) if ended else position + 1, tagged, joined, timings)

        return said.addCallbacks(resume, lambda failure: resume(self._failed(stage, failure.value)))

    def _join(self, stage: Stage, said: Decision, exchange: Exchange, decision: Decision) -> tuple[Exchange, Decision]:
        """The exchange with the tags that a stage put on it, and the decision with what it said."""
        if not isinstance(said, Decision):
            said = self._failed(stage, TypeError(f"a stage answered with {type(said).__name__}"))
        return exchange.tagged(said.tags) if said.tags else exchange, decision | said

    def _failed(self, stage: Stage, error: BaseException) -> Decision:
        """What counts as said by a stage that failed."""
        try:
            raise error
        except BaseException:
            self._log.failure(
                "The stage {stage} failed; the failure policy is {policy}.", stage=stage.name, policy=self.failure
            )
        failed = f"failed: {type(error).__name__}"
        if self.failure == "open":
            return Decision(reasons=(Reason(stage.name, "", failed),))
        return Decision(_FAILED, (Reason(stage.name, "", failed, "", FAILURE.name),), FAILURE)
