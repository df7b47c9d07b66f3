"""The delivery to one receiver: reads the journal, sends what is wanted of it, and remembers how far it has come.

Law: every event is sent until the receiver has taken it, or has refused it for good; then it is set aside, and the rest
goes on. What is remembered is never further than what has been dealt with, so that nothing is lost by an end at any
moment, and what is sent twice has the same key. Nothing more is read while the receiver does not take what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from edgenode.observe.exporters.backoff import Backoff
from edgenode.observe.exporters.batches import Batches
from edgenode.observe.exporters.exporter import Exporter
from edgenode.observe.exporters.outgoing import outgoing
from edgenode.observe.exporters.receiver import Outcome, Outgoing, Refused, Sender, Unavailable

P = TypeVar("P")

_AT_ONCE = 256 * 1024
"""Bytes of the journal that are read in one go."""

_POLL = 0.5
"""Seconds between two looks into a journal in which there was nothing new."""

_FAILURES = 3
"""So many in a row are worth a line in the log."""

_QUIET = 60.0
"""Seconds between two lines in the log about what is set aside."""

_log = Logger()


class Source(Protocol[P]):
    """What is read: a :class:`~edgenode.observe.journal.reader.JournalReader`."""

    position: P
    lost: int

    @property
    def places(self) -> Sequence[P]:
        """In front of each of the lines that were returned last."""

    @property
    def behind(self) -> int:
        """Bytes that are still to be read."""

    def read(self, most_bytes: int) -> list[bytes]:
        """The next lines; none if there is nothing new."""

    def close(self) -> None:
        """Let go of its file."""


@define
class Told:
    """How a delivery stands.

    :ivar sent: events that the receiver has taken.
    :ivar failed: attempts that have failed.
    :ivar set_aside: events that it has refused for good, and lines that were no events.
    :ivar last_error: the last that went wrong; empty if nothing has.
    :ivar since: when the receiver has ceased to take events; seconds since the epoch, ``None`` if it takes them.
    """

    sent: int = 0
    failed: int = 0
    set_aside: int = 0
    last_error: str = ""
    since: float | None = None


class Delivery:
    """The delivery of one exporter.

    :param name: its name.
    :param exporter: what is written of it.
    :param source: the journal, from where it is to begin.
    :param sender: sends to the receiver.
    :param clock: timers; a reactor, or one that a test moves.
    :param save: remembers a position.
    :param put_aside: keeps an event that was refused, and why.
    :param now: gives the time; seconds since the epoch.
    :ivar told: how it stands.
    """

    def __init__(
        self,
        name: str,
        exporter: Exporter,
        source: Source[Any],
        sender: Sender,
        clock: Any,
        *,
        save: Callable[[Any], None],
        put_aside: Callable[[Outgoing, str], None],
        now: Callable[[], float],
        random: Callable[[], float] | None = None,
    ) -> None:
        self._name, self._exporter, self._source, self._sender = name, exporter, source, sender
        self._clock, self._save, self._put_aside, self._now = clock, save, put_aside, now
        self._batches: Batches[Any] = Batches(exporter.batch_size, exporter.batch_bytes, exporter.batch_time)
        self._backoff = Backoff(exporter.backoff, exporter.max_backoff)
        if random is not None:
            self._backoff.random = random
        self._aside_in_a_row = self._lost = 0
        self._quiet_until = 0.0
        self._running: Deferred[None] | None = None
        self._stopping = False
        self.told = Told()

    def start(self) -> None:
        """Begin."""
        self._save(self._source.position)
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._ended)

    def stop(self) -> Deferred[None]:
        """End; what is under way is given up, and sent again the next time."""
        self._stopping = True
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        self._sender.close()
        self._source.close()
        return succeed(None)

    def state(self) -> dict[str, Any]:
        """How it stands, as an object for JSON."""
        told = self.told
        return {
            "sent": told.sent,
            "failed": told.failed,
            "set_aside": told.set_aside,
            "lost": self._source.lost,
            "behind_bytes": self._source.behind,
            "last_error": told.last_error,
            "since": told.since,
        }

    def _ended(self, failure: Any) -> None:
        if not (self._stopping and failure.check(CancelledError)):
            _log.failure("exporter {name} has failed, and ends", failure, name=self._name)
            self._failed(f"it has ended: {failure.getErrorMessage()}")

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            lines = [] if self._batches.full else self._read()
            due = self._batches.due(self._clock.seconds())
            if due == 0:
                await self._deliver(self._batches.take())
            elif not lines:
                await self._pause(_POLL if due is None else min(_POLL, due))
            else:
                await self._pause(0)
            position = self._batches.position()
            if position is not None:
                self._save(position)

    def _read(self) -> list[bytes]:
        """Read on; no lines if there is nothing new."""
        try:
            lines = self._source.read(_AT_ONCE)
        except OSError as error:
            self._failed(f"the journal cannot be read: {error}")
            return []
        if self._source.lost > self._lost:
            self._lost, now = self._source.lost, self._source.lost - self._lost
            _log.warn("exporter {name}: {now} bytes were deleted before they were sent", name=self._name, now=now)
        if lines:
            now, places = self._clock.seconds(), self._source.places
            for line, place, behind in zip(lines, places, [*places[1:], self._source.position], strict=True):
                event = self._outgoing(line, str(place))
                # Line by line, so that after a crash the same batch begins where it has begun.
                self._batches.add(() if event is None else (event,), behind, now)
        return lines

    def _outgoing(self, line: bytes, place: str) -> Outgoing | None:
        try:
            return outgoing(line, self._exporter.expression, self._exporter.fields, place)
        except Exception as error:  # of a torn line, most likely; and no line may hold up all others
            self._count_aside(1, f"a line of the journal is no event: {type(error).__name__}: {error}")
            return None

    # -- sending -----------------------------------------------------------------------------------------------------

    async def _deliver(self, batch: Sequence[Outgoing]) -> None:
        """Send a batch until all of it has been dealt with; what is refused as a whole is halved."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                outcome = await self._attempt(part)
            except Unavailable as error:
                parts.append(part)
                await self._pause(self._failed(str(error), error.after))
            except Refused as error:
                if len(part) > 1:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                else:
                    parts += await self._settle(part, Outcome({0: str(error)}))
            else:
                parts += await self._settle(part, outcome)
        self._batches.settle(len(batch))

    async def _attempt(self, part: Sequence[Outgoing]) -> Outcome:
        try:
            return await self._sender.send(part)
        except (Unavailable, Refused):
            raise
        except Exception as error:
            if self._stopping:
                raise CancelledError from None
            _log.failure("exporter {name} could not send", name=self._name)
            raise Unavailable(f"{type(error).__name__}: {error}") from error

    async def _settle(self, part: Sequence[Outgoing], outcome: Outcome) -> list[Sequence[Outgoing]]:
        """Take note of what has become of some events; those that are to be sent again."""
        refused, again = outcome.refused, list(outcome.again)
        taken = len(part) - len(refused) - len(again)
        if taken:
            self._taken(taken - outcome.dropped)
        elif refused:  # it may be the receiver that is wrong, or who has configured it
            first = min(refused)
            refused = {first: refused[first]}
            again = [place for place in range(len(part)) if place != first]
        if outcome.dropped:
            self._count_aside(outcome.dropped, outcome.reason)
        for place, reason in refused.items():
            self._set_aside(part[place], reason)
        if outcome.again:
            await self._pause(self._failed(outcome.reason, outcome.after))
        elif self._aside_in_a_row > 1:  # then no more than one event is lost to it in the time between two attempts
            await self._pause(self._failed(self.told.last_error))
        return [[part[place] for place in again]] if again else []

    def _taken(self, count: int) -> None:
        if self._backoff.failures >= _FAILURES:
            _log.info("exporter {name}: events are taken again", name=self._name)
        self.told.sent += count
        self.told.since = None
        self._aside_in_a_row = 0
        self._backoff.succeeded()

    def _set_aside(self, event: Outgoing, reason: str) -> None:
        self._put_aside(event, reason)
        self._aside_in_a_row += 1
        self._count_aside(1, reason)

    def _count_aside(self, count: int, reason: str) -> None:
        self.told.set_aside += count
        self.told.last_error = reason
        now = self._clock.seconds()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            _log.warn("exporter {name}: what is sent is refused: {reason}", name=self._name, reason=reason)

    # -- waiting -----------------------------------------------------------------------------------------------------

    def _failed(self, reason: str, after: float = 0.0) -> float:
        """Take note of a failure; the time until the next attempt, seconds."""
        told = self.told
        told.failed += 1
        told.last_error = reason
        told.since = self._now() if told.since is None else told.since
        pause = self._backoff.failed(after)
        if self._backoff.failures == _FAILURES:
            _log.warn("exporter {name}: events are not taken: {reason}", name=self._name, reason=reason)
        return pause

    async def _pause(self, seconds: float) -> None:
        if self._stopping:
            raise CancelledError
        await deferLater(self._clock, seconds)
