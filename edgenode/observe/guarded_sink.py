"""A sink of events that others have written, and that no exchange has to be afraid of.

Law: whatever a sink raises, the exchange ends as if it had not. An event that it did not take is lost: it is counted,
and the count is logged, once a minute at the most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from inspect import iscoroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.model.complaints import Complaints
from edgenode.model.interfaces import IEventSink, Record
from edgenode.state.interface import Happened

_log = Logger()


@implementer(IEventSink)
class GuardedSink:
    """Hands records to a sink.

    :param sink: the sink; its ``record`` may be an ``async def``, or return a Deferred, for which nothing waits.
    :param name: of the sink, for the log.
    :param clock: monotonic seconds.
    :raises TypeError: if it has no such method.
    :ivar sink: the sink.
    :ivar lost: how many events it has failed to take.
    """

    def __init__(
        self, sink: IEventSink, name: str = "the event sink", clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not callable(getattr(sink, "record", None)):
            raise TypeError(f"{name} is asked by its method record, and has none: {sink!r}")
        self.sink: Any = sink
        self._name = name
        self.lost = self._logged = 0
        self._complaints = Complaints(clock)

    def record(self, record: Record) -> None:
        """Hand it on."""
        self._hand("record", record)

    def tell(self, happened: Happened) -> None:
        """Hand on what has happened to the state, if the sink wants to know."""
        if callable(getattr(self.sink, "tell", None)):
            self._hand("tell", happened)

    def _hand(self, method: str, what: object) -> None:
        try:
            returned = getattr(self.sink, method)(what)
            if returned is not None:
                self._follow(returned)
        except BaseException:  # what passes the reactor, be it ``SystemExit``, has it drop the node's poller
            self._failed(Failure())

    def close(self) -> None:
        """Say how many events were lost since the log said so last."""
        if self.lost > self._logged:
            self._logged = self.lost
            _log.error("{count} events lost so far: {name} failed in the last minute", name=self._name, count=self.lost)

    def _follow(self, returned: object) -> None:
        if iscoroutine(returned):
            returned = Deferred.fromCoroutine(returned)
        if isinstance(returned, Deferred):
            returned.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.lost += 1
        if self._complaints.due():
            self._logged = self.lost
            _log.failure("{count} events lost so far: {name} failed", failure, name=self._name, count=self.lost)
