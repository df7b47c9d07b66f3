"""The stages that judge the answers of origins, joined into one decision, before a byte of them goes to a client.

Law: it holds what holds for the pipeline: tags only grow, a stage that fails or is late follows the failure policy, the
mode says what is taken. Of a body whose end cannot be seen nothing is let through for a stage that wants it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from edgenode.model.decision import NOTHING, Decision, Reason, check_said
from edgenode.model.exchange import NO_BODY, Body, Exchange
from edgenode.model.functions import OriginResponse
from edgenode.model.interfaces import ResponseStage
from edgenode.model.timers import Later, call_later
from edgenode.policy import escaping
from edgenode.policy.actions import TEXT, Block, taken_tags
from edgenode.policy.awaiting import Resume, Waiting, settled
from edgenode.policy.edgefunctions import EdgeFunction
from edgenode.policy.templates import Template
from edgenode.rules.views.codings import NotDecoded, codings, decoded

UNSEEN = Block("unseen", status=502, body=escaping.body(Template.from_text("Bad gateway.\n"), TEXT))
"""What becomes of an answer whose body a stage wants whole, and that cannot be seen so."""

_UNSEEN = taken_tags(UNSEEN)

OF_ANSWERS = ":answer"
"""What stands behind the name of a stage in the timings, where it has judged an answer."""


@frozen(eq=False)
class Answers:
    """Judges the answers of origins.

    :ivar before: the stages before response rules, in order.
    :ivar after: those behind them.
    :ivar failed: makes of a stage's name and what it has raised what counts as said by it.
    :ivar mode: the mode of filtration: one of :data:`edgenode.model.decision.MODES`.
    :ivar clock: seconds, for the timings; ``None`` for none.
    :ivar timeout: how long each stage may have an answer wait, seconds; 0 is for ever.
    :ivar call_later: the timers for that.
    """

    before: tuple[ResponseStage, ...]
    after: tuple[ResponseStage, ...]
    failed: Callable[[str, BaseException], Decision]
    mode: str = "block"
    clock: Callable[[], float] | None = None
    timeout: float = 10.0
    call_later: Later = call_later

    @property
    def look_at_bodies(self) -> bool:
        """Whether any of them looks at bodies."""
        return any(each.limit for each in (*self.before, *self.after))

    def wanted(self, exchange: Exchange, response: OriginResponse) -> int:
        """How much of an answer's body is to be held back, bytes."""
        exempt = exchange.exempt
        stages = (each for each in (*self.before, *self.after) if each.limit and each.name not in exempt)
        return max((each.limit for each in stages if each.wants(exchange, response)), default=0)

    def judge(
        self, stages: Sequence[ResponseStage], exchange: Exchange, response: OriginResponse
    ) -> Decision | Deferred[Decision]:
        """Judge an answer by some of the stages.

        :param exchange: as it was judged; its tags become those of the answer besides.
        """
        return self._go_on(exchange, response, Decision(mode=self.mode), iter(stages), None)

    def _go_on(
        self,
        exchange: Exchange,
        response: OriginResponse,
        decision: Decision,
        remaining: Iterator[ResponseStage],
        waiting: Waiting | None,
    ) -> Decision | Deferred[Decision]:
        for stage in remaining:
            if stage.name in exchange.exempt:
                continue
            started = None if self.clock is None else self.clock()
            try:
                said: Any = _unseen(stage, exchange, response) if self.mode == "block" else None
                said = said or settled(stage.decide_response(exchange, response))
                if isinstance(said, Deferred):
                    waiting = waiting or Waiting(self.timeout, self.call_later)
                    resume = self._resume(exchange, response, decision, stage, remaining, waiting, started)
                    waiting.wait(said, resume, stage.timeout if isinstance(stage, EdgeFunction) else None)
                    return waiting.judged
            except BaseException as error:
                said = self.failed(stage.name, error)
            response = self._take(stage, said, exchange, response, decision, started)
            if decision.action is not None and decision.action.skips:
                break
        return decision

    def _take(
        self,
        stage: ResponseStage,
        said: Any,
        exchange: Exchange,
        response: OriginResponse,
        decision: Decision,
        started: float | None,
    ) -> OriginResponse:
        """Add what a stage has said; the answer as the stages behind it see it."""
        if self.clock is not None and started is not None:
            decision.timings += ((f"{stage.name}{OF_ANSWERS}", (self.clock() - started) * 1e6),)
        if said is NOTHING:
            return response
        try:
            if not isinstance(said, Decision):
                raise TypeError(f"a stage answered with {type(said).__name__}")
            check_said(said)
        except BaseException as error:
            said = self.failed(stage.name, error)
        decision.add(said)
        exchange.tags |= said.tags
        decision.mode = self.mode
        if said.rewrite is None:
            return response
        return OriginResponse(response.status, said.rewrite.of(response.headers), response.body)

    def _resume(
        self,
        exchange: Exchange,
        response: OriginResponse,
        decision: Decision,
        stage: ResponseStage,
        remaining: Iterator[ResponseStage],
        waiting: Waiting,
        started: float | None,
    ) -> Resume:
        def resume(answer: object, error: BaseException | None) -> None:
            said = answer if error is None else self.failed(stage.name, error)
            changed = self._take(stage, said, exchange, response, decision, started)
            if decision.action is not None and decision.action.skips:
                waiting.judged.callback(decision)
                return
            decided = self._go_on(exchange, changed, decision, remaining, waiting)
            if isinstance(decided, Decision):
                waiting.judged.callback(decided)

        return resume


def _unseen(stage: ResponseStage, exchange: Exchange, response: OriginResponse) -> Decision | None:
    """The refusal of an answer whose body a stage wants whole, and that is not there so."""
    body = response.body
    if not stage.whole or not stage.limit or (body is not None and not body.truncated):
        return None
    if not stage.wants(exchange, response):
        return None
    reason = Reason(
        stage.name.partition(" ")[0], stage.filter, "the answer's body could not be seen to its end", "", UNSEEN.name
    )
    return Decision(_UNSEEN, (reason,), UNSEEN)


def seen(data: bytes, whole: bool, fields: Iterable[bytes], limit: int) -> Body | None:
    """The body of an answer without its content codings; ``None`` if one of these is not known.

    :param data: its beginning.
    :param whole: whether that is all of it.
    :param fields: the values of Content-Encoding.
    :param limit: bytes that stages see at the most.
    """
    if not data:
        return NO_BODY if whole else Body(b"", 0, True)
    try:
        found, more = decoded(data[:limit], codings(tuple(fields)), limit)
    except NotDecoded:
        return None
    return Body(found, len(found), more or not whole or len(data) > limit)
