"""The pipeline: stages in order, each seeing the tags so far, joined into one decision.

Law: tags only grow. A stage that fails follows the node's one failure policy. Stages that answer at once make no
Deferred, and it makes no difference to the decision whether they did. What a decision would be does not depend on the
mode, only what becomes of it; under ``off`` nothing but tagging is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from edgenode.model.decision import NOTHING, Decision, Reason
from edgenode.model.exchange import Exchange, Geography
from edgenode.model.interfaces import Stage
from edgenode.policy.actions import FAILURE
from edgenode.policy.tagging import Tagging

_FAILED = frozenset((f"action:{FAILURE.name}",))


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
    _asked: tuple[Stage, ...] = field(init=False)
    inspects: int = field(init=False)

    @_asked.default
    def _tagging_first(self) -> tuple[Stage, ...]:
        return (self.tagging,) if self.mode == "off" else (self.tagging, *self.stages)

    @inspects.default
    def _if_bodies_are_looked_at(self) -> int:
        return self.inspect_body_size if "body" in self.needs else 0

    @property
    def needs(self) -> frozenset[str]:
        """What its stages look at besides the head of a request."""
        return frozenset().union(*(stage.needs for stage in self._asked))

    def standing(self, exchange: Exchange) -> frozenset[str] | None:
        """What :meth:`edgenode.policy.tagging.Tagging.standing` says; ``None`` if another stage puts the tags on."""
        return self.tagging.standing(exchange) if isinstance(self.tagging, Tagging) else None

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Judge an exchange, which stays as it is; the decision has all its tags, the automatic ones among them.

        A Deferred comes back only if a stage has to wait; it never fails. Either can be awaited.
        """
        return self.judge(exchange.tagged())

    def judge(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """The same without a copy: the exchange is the pipeline's until it has decided, and is changed.

        Then its tags are those of the decision, and its geography is known if it can be.
        """
        if exchange.geography is None and self.locate is not None:
            exchange.geography = self.locate(exchange.client)
        return self._go_on(exchange, Decision(exchange.tags, mode=self.mode), 0)

    def _go_on(self, exchange: Exchange, decision: Decision, first: int) -> Decision | Deferred[Decision]:
        """Ask the stages from one on."""
        asked, clock, timings = self._asked, self.clock, decision.timings
        started = 0.0 if clock is None else clock()
        for place in range(first, len(asked)):
            stage = asked[place]
            if decision.exempt and stage.name in decision.exempt:
                decision.reasons += (Reason(stage.name, "", "left out"),)
                continue
            try:
                said = stage.decide(exchange)
            except Exception as error:
                said = self._failed(stage, error)
            if isinstance(said, Deferred):
                decision.timings = timings
                return self._wait(said, started, place, exchange, decision)
            if clock is not None:
                ended = clock()
                timings += ((stage.name, (ended - started) * 1e6),)
                started = ended
            if said is not NOTHING and self._take(exchange, decision, stage, said):
                break
        decision.timings = timings
        return decision

    def _wait(
        self, said: Deferred[Decision], started: float, place: int, exchange: Exchange, decision: Decision
    ) -> Deferred[Decision]:
        """Go on once a stage has answered."""
        stage = self._asked[place]

        def resume(said: Decision) -> Decision | Deferred[Decision]:
            if self.clock is not None:
                decision.timings += ((stage.name, (self.clock() - started) * 1e6),)
            ends = self._take(exchange, decision, stage, said)
            return decision if ends else self._go_on(exchange, decision, place + 1)

        return said.addCallbacks(resume, lambda failure: resume(self._failed(stage, failure.value)))

    def _take(self, exchange: Exchange, decision: Decision, stage: Stage, said: Decision) -> bool:
        """Join what a stage said to what was said before; whether that skips the remaining stages."""
        if not isinstance(said, Decision):
            said = self._failed(stage, TypeError(f"a stage answered with {type(said).__name__}"))
        decision.add(said)
        decision.mode = self.mode
        exchange.tags = decision.tags
        return decision.action is not None and decision.action.skips

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
