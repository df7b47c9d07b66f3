"""The pipeline: stages in order, each seeing the tags so far, joined into one decision.

Law: tags only grow. A stage that fails follows the node's one failure policy. Stages that answer at once make no
Deferred, and it makes no difference to the decision whether they did. What a decision would be does not depend on the
mode, only what becomes of it; under ``off`` nothing but tagging is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.exchange import Exchange, Geography
from edgenode.model.interfaces import Stage
from edgenode.policy.actions import FAILURE

_FAILED = frozenset((f"action:{FAILURE.name}",))


class _Run:
    """One exchange on its way through the stages, and what has been said so far."""

    __slots__ = ("action", "exchange", "exempt", "reasons", "repeatable", "timings")

    def __init__(self, exchange: Exchange, repeatable: bool) -> None:
        self.exchange = exchange
        self.repeatable = repeatable
        self.reasons: tuple[Reason, ...] = ()
        self.action: Action | None = None
        self.exempt: frozenset[str] = frozenset()
        self.timings: list[tuple[str, float]] = []


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
    :ivar inspects: the same if a stage looks at bodies, else 0. An exchange with a body must then bring it along:
        rules find nothing in what is not there.
    :ivar mode: the mode of filtration: one of :data:`edgenode.model.decision.MODES`.
    """

    _log: ClassVar[Logger] = Logger()

    tagging: Stage
    stages: tuple[Stage, ...] = ()
    failure: str = "closed"
    clock: Callable[[], float] | None = None
    locate: Callable[[str], Geography] | None = None
    inspect_body_size: int = 128 * 1024
    mode: str = "block"
    _all: tuple[Stage, ...] = field(init=False)
    _repeatable: bool = field(init=False)
    inspects: int = field(init=False)

    @_all.default
    def _tagging_first(self) -> tuple[Stage, ...]:
        return (self.tagging,) if self.mode == "off" else (self.tagging, *self.stages)

    @_repeatable.default
    def _every_stage_is(self) -> bool:
        return all(stage.repeatable for stage in self._all)

    @inspects.default
    def _if_bodies_are_looked_at(self) -> int:
        return self.inspect_body_size if "body" in self.needs else 0

    @property
    def needs(self) -> frozenset[str]:
        """What its stages look at besides the head of a request."""
        return frozenset().union(*(stage.needs for stage in self._all))

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Judge an exchange; the decision has all its tags, the automatic ones among them.

        A Deferred comes back only if a stage has to wait; it never fails. Either can be awaited.
        """
        exchange = self.located(exchange)
        return self._go_on(_Run(exchange, self._repeatable), 0)

    def located(self, exchange: Exchange) -> Exchange:
        """An exchange that says where its client is, if that can be known."""
        if self.locate is None or exchange.geography is not None:
            return exchange
        return evolve(exchange, geography=self.locate(exchange.client))

    def _go_on(self, run: _Run, first: int) -> Decision | Deferred[Decision]:
        """Judge from one stage on."""
        clock = self.clock
        started = 0.0 if clock is None else clock()
        for position in range(first, len(self._all)):
            stage = self._all[position]
            if run.exempt and stage.name in run.exempt:
                run.reasons += (Reason(stage.name, "", "left out"),)
                continue
            try:
                said = stage.decide(run.exchange)
            except Exception as error:
                said = self._failed(run, stage, error)
            if isinstance(said, Deferred):
                return self._wait(said, started, position, run)
            if clock is not None:
                ended = clock()
                run.timings.append((stage.name, (ended - started) * 1e6))
                started = ended
            if said is not NOTHING and self._take(run, stage, said):
                break
        return Decision(
            run.exchange.tags, run.reasons, run.action, tuple(run.timings), run.repeatable, run.exempt, self.mode
        )

    def _wait(self, said: Deferred[Decision], started: float, position: int, run: _Run) -> Deferred[Decision]:
        """Go on once a stage has answered."""
        stage = self._all[position]
        run.repeatable = False

        def resume(said: Decision) -> Decision | Deferred[Decision]:
            if self.clock is not None:
                run.timings.append((stage.name, (self.clock() - started) * 1e6))
            return self._go_on(run, len(self._all) if self._take(run, stage, said) else position + 1)

        return said.addCallbacks(resume, lambda failure: resume(self._failed(run, stage, failure.value)))

    def _take(self, run: _Run, stage: Stage, said: Decision) -> bool:
        """Join what a stage said to what was said before, as ``|`` does; whether that skips the remaining stages."""
        if not isinstance(said, Decision):
            said = self._failed(run, stage, TypeError(f"a stage answered with {type(said).__name__}"))
        if said.tags:
            run.exchange = run.exchange.tagged(said.tags)
        if said.reasons:
            run.reasons += said.reasons
        if said.exempt:
            run.exempt |= said.exempt
        action = said.action
        if action is not None and (run.action is None or action.strength > run.action.strength):
            run.action = action
        return run.action is not None and run.action.skips

    def _failed(self, run: _Run, stage: Stage, error: BaseException) -> Decision:
        """What counts as said by a stage that failed."""
        run.repeatable = False
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
