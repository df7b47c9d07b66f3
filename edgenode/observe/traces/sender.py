"""Spans on their way to a collector: they wait for others, and are sent together, by OTLP over HTTP.

Law: who is traced waits for nobody. What waits has a bound, and so has every turn of the reactor; what a collector does
not take is dropped and counted, whether it is down, slow, full or lying. Nothing of a request to it is traced.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from edgenode.model.complaints import Complaints
from edgenode.model.interfaces import IEventSink, Record
from edgenode.observe.exporters.backoff import Backoff
from edgenode.observe.exporters.http import Answer, HTTPReceiver, HTTPRequest, HTTPSender
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing, Refused, Unavailable
from edgenode.observe.traces.traces import Traces
from edgenode.proxy.origin.pool import OriginPool

PIECE = 8
"""Requests whose spans are made in one turn of the reactor."""

TRIES = 6
"""How often a batch is sent; then it is dropped."""

FAREWELL = 5.0
"""Seconds for what still waits when the node stops."""

_AGAIN = frozenset((429, 502, 503, 504))
"""The statuses after which a batch is sent again (https://opentelemetry.io/docs/specs/otlp/#failures-1)."""

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0

_log = Logger()


class Writer(Protocol):
    """Writes spans: :class:`edgenode.observe.traces.spans.SpanWriter`."""

    def write(self, records: Sequence[Record]) -> bytes:
        """See there."""


@define
class Counts:
    """What became of requests whose spans are made.

    :ivar sent: those whose spans were taken.
    :ivar dropped: those for which there was no place.
    :ivar failed: those whose spans could not be made, or were not taken.
    :ivar rejected: spans that the collector has refused of those that it took.
    :ivar fault: why the last attempt failed; empty if it did not.
    """

    sent: int = 0
    dropped: int = 0
    failed: int = 0
    rejected: int = 0
    fault: str = ""


@frozen
class _Collector(HTTPReceiver):
    """What takes spans.

    :ivar section: ``[traces]``.
    :ivar heard: takes what it answers to those that it has taken.
    """

    needs_body: ClassVar[bool] = False
    """Spans that were taken are not sent again because the answer has no end."""

    section: Traces = field(kw_only=True)
    heard: Callable[[bytes], None] = field(kw_only=True)

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """The request for a batch."""
        (batch,) = events
        return HTTPRequest(batch.line, {"content-type": "application/x-protobuf"})

    def authorization(self) -> Mapping[str, str]:
        """The token."""
        token, name = self.section.read_token(), self.section.token_header.lower()
        return {} if token is None else {name: f"{'Bearer ' if name == 'authorization' else ''}{token}"}

    def refuses(self, answer: Answer) -> bool:
        """Whether it never will be taken."""
        return answer.status not in _AGAIN

    def outcome(self, events: Sequence[Outgoing], answer: Answer) -> Outcome:
        """It was taken; how much of it, the answer says."""
        self.heard(answer.body)
        return TAKEN


@implementer(IEventSink)
class SpanSender:
    """Takes records, and sends their spans.

    :param section: ``[traces]``.
    :param pool: the connections to the collector.
    :param writer: writes spans.
    :param rejected: reads what a collector answers: see :func:`edgenode.observe.traces.spans.rejected`.
    :param reactor: its timers.
    :ivar counts: what became of them.
    :ivar pool: may be replaced by one that takes its place.
    """

    def __init__(
        self,
        section: Traces,
        pool: OriginPool,
        writer: Writer,
        rejected: Callable[[bytes], tuple[int, str]],
        reactor: Any,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.pool = pool
        self.counts = Counts()
        self._section = section
        self._writer = writer
        self._rejected = rejected
        self._reactor = reactor
        self._jitter = jitter
        self._collector = _Collector(path=section.path, section=section, heard=self._taken)
        self._queue: deque[Record] = deque()
        self._timer: Any = None
        self._sending: Deferred[None] | None = None
        self._in_hand = 0
        self._pausing = self._stopped = False
        self._complaints = Complaints()

    @property
    def waiting(self) -> int:
        """How many requests have spans that are not sent yet."""
        return len(self._queue) + self._in_hand

    def record(self, record: Record) -> None:
        """Take a record, if it is sampled."""
        trace = record.trace
        if trace is None or not trace.sampled:
            return
        if record.websocket is not None and record.websocket.code is None:  # one of its messages
            return
        queue, section = self._queue, self._section
        if self._stopped or len(queue) >= section.queue:
            self.counts.dropped += 1
            return
        queue.append(record)
        if self._sending is None:
            if len(queue) >= section.batch:
                self._begin_in(0.0)
            elif self._timer is None:
                self._begin_in(section.interval)

    def start(self) -> None:
        """Take records, if that was ended by :meth:`stop`."""
        self._stopped = False

    def stop(self) -> Deferred[None]:
        """Send what waits, within :data:`FAREWELL`, and take no more; the Deferred does not fail. A collector that is
        waited for is not asked again."""
        self._stopped = True
        self._end_timer()
        if self._pausing and self._sending is not None:
            self._sending.cancel()
        elif self._sending is None:
            self._begin()
        if self._sending is None:
            return succeed(None)
        over: Deferred[None] = Deferred()
        patience = self._reactor.callLater(FAREWELL, self._sending.cancel)

        def end(result: object) -> None:
            if patience.active():
                patience.cancel()
            over.callback(None)

        self._sending.addBoth(end)
        return over

    # -- when ---------------------------------------------------------------------------------------------------------

    def _begin_in(self, seconds: float) -> None:
        self._end_timer()
        self._timer = self._reactor.callLater(seconds, self._begin)

    def _end_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _begin(self) -> None:
        self._timer = None
        if self._queue and self._sending is None:
            sending = Deferred.fromCoroutine(self._send())
            if not sending.called:
                self._sending = sending
            sending.addBoth(self._ended)

    def _ended(self, result: object) -> None:
        """Nothing is under way any more: what is left has failed, or waits for others."""
        self._sending = None
        if self._in_hand:
            self._lose(self._in_hand, "it was not taken in time")
        if self._stopped and self._queue:
            left = len(self._queue)
            self._queue.clear()
            self._lose(left, "it was not taken before the node stopped")
        elif self._queue:
            self._begin_in(0.0 if len(self._queue) >= self._section.batch else self._section.interval)

    async def _send(self) -> None:
        """Send a batch; when the node stops, all there is."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._section.batch))]
            self._in_hand = len(batch)
            body = await self._written(batch)
            if body:
                await self._deliver(body)
            if not self._stopped:
                return

    async def _written(self, batch: list[Record]) -> bytes:
        """The spans of a batch, in turns."""
        parts = []
        for at in range(0, len(batch), PIECE):
            piece = batch[at : at + PIECE]
            try:
                parts.append(self._writer.write(piece))
            except Exception:
                _log.failure("spans could not be made")
                self.counts.failed += len(piece)
                self._in_hand -= len(piece)
            await deferLater(self._reactor, 0)
        return b"".join(parts)

    # -- to the collector ---------------------------------------------------------------------------------------------

    async def _deliver(self, body: bytes) -> None:
        """Send a batch until it is taken, or refused, or was sent often enough."""
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, self._jitter)
        batch = Outgoing("", time.time(), {}, {}, body)
        for number in range(TRIES):
            sender = HTTPSender(self._collector, self.pool, self._section.timeout)
            try:
                await sender.send([batch])
            except Unavailable as error:
                why, after = str(error), min(error.after, _LONGEST_PAUSE)
            except Refused as error:
                self._lose(self._in_hand, str(error))
                return
            else:
                return
            self.counts.fault = why
            if self._stopped or number + 1 == TRIES:
                break
            self._pausing = True
            try:
                await deferLater(self._reactor, backoff.failed(after))
            finally:
                self._pausing = False
        self._lose(self._in_hand, why)

    def _taken(self, answer: bytes) -> None:
        self.counts.sent += self._in_hand
        self.counts.fault = ""
        self._in_hand = 0
        rejected, why = self._rejected(answer)
        if rejected:
            self.counts.rejected += rejected
            self._complain(f"the collector rejects {rejected} spans: {_printable(why)}")

    def _lose(self, requests: int, why: str) -> None:
        self.counts.failed += requests
        self.counts.fault = why
        self._in_hand = 0
        self._complain(why)

    def _complain(self, why: str) -> None:
        if self._complaints.due():
            counts = self.counts
            _log.warn(
                "traces: {sentence}; of {failed} requests so far spans were not taken, of {dropped} not even kept",
                sentence=why,
                failed=counts.failed,
                dropped=counts.dropped,
            )


def _printable(text: str) -> str:
    return "".join(each for each in text[:200] if " " <= each <= "~")
