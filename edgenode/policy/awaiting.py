"""What a stage has said, or will say: a decision, a Deferred, a coroutine, or another awaitable.

Law: whatever a stage of somebody else's does, its judgement ends: with what it says in time, with the failure policy,
or by being cancelled. A stage that answers late, or again, is not heard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from edgenode.model.timers import Later
from edgenode.state.interface import InTime

T = TypeVar("T")
Resume = Callable[[object, BaseException | None], None]

_log = Logger()


def settled(said: Any) -> object:
    """What has been said, if it is there already; else the Deferred of it.

    :param said: a Deferred, an awaitable, or anything else, which is returned.
    :raises BaseException: what it has failed with.
    """
    if not isinstance(said, Deferred):
        if not isawaitable(said):
            return said
        future: Any = said
        # A future of asyncio cannot be awaited within a Deferred.
        said = Deferred.fromFuture(future) if hasattr(said, "get_loop") else Deferred.fromCoroutine(_awaited(said))
    answers: list[object] = []
    errors: list[BaseException] = []

    def keep(answer: T) -> T:
        answers.append(answer)
        return answer  # a stage may have kept the Deferred, and return it again

    def fail(failure: Any) -> Any:
        errors.append(failure.value)
        return failure

    said.addCallbacks(keep, fail)
    if errors:
        said.addErrback(lambda _: None)
        raise errors[0]
    return answers[0] if answers else said


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


class Waiting:
    """Waits for one stage after the other, for each no longer than it may take.

    :param timeout: seconds for each of them; 0 for as long as they like.
    :param call_later: the timers.
    :param given_up: is called if it is cancelled before there is a decision.
    :ivar judged: for the decision. To cancel it cancels the stage that is waited for.
    """

    __slots__ = ("_call_later", "_given_up", "_resume", "_said", "_timeout", "_timer", "judged")

    def __init__(self, timeout: float, call_later: Later, given_up: Callable[[], object] = lambda: None) -> None:
        self._timeout = timeout
        self._call_later = call_later
        self._given_up = given_up
        self._said: Deferred[Any] | None = None
        self._timer: Any = None
        self._resume: Resume | None = None
        self.judged: Deferred[Any] = Deferred(self._cancel)

    def wait(self, said: Deferred[Any], resume: Resume, timeout: float | None = None) -> None:
        """Wait for a stage.

        :param timeout: seconds for this one; ``None`` for what holds for each.
        :param resume: is called with what it says, and ``None``; or with ``None``, and what it has failed with.
        """
        self._said = said
        timeout = self._timeout if timeout is None else timeout
        said.addCallbacks(
            lambda answer: self._settled(said, answer, None),
            lambda failure: self._settled(said, None, failure.value),
        )
        if self.judged.called:  # cancelled while this stage was asked
            self._abandon()
            return
        self._resume = resume
        if timeout and said.__class__ is not InTime:
            self._timer = self._call_later(timeout, self._expired, timeout)

    def _settled(self, said: Deferred[Any], answer: object, error: BaseException | None) -> None:
        if said is self._said:
            self._said = None
            self._stop_timer()
            self._go_on(answer, error)

    def _expired(self, timeout: float) -> None:
        self._timer = None
        self._abandon()
        self._go_on(None, TimeoutError(f"no answer within {timeout:g} s"))

    def _go_on(self, answer: object, error: BaseException | None) -> None:
        resume, self._resume = self._resume, None
        try:
            if resume is not None:  # what the stage did when it was cancelled may have had all of it cancelled
                resume(answer, error)
        except BaseException:
            if not self.judged.called:
                self.judged.errback()

    def _cancel(self, judged: object) -> None:
        self._resume = None
        self._abandon()
        self._given_up()

    def _abandon(self) -> None:
        """Hear the stage no more, and have it stop."""
        said, self._said = self._said, None
        self._stop_timer()
        if said is not None:
            try:
                said.cancel()
            except BaseException:
                _log.failure("a stage could not be cancelled")

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
