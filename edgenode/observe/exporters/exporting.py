"""All exporters of a node at work, as a part of its observer.

Law: each has its own place in the journal, its own pauses and its own failures; none waits for another.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from edgenode.observe.exporters.delivery import Delivery
from edgenode.observe.exporters.exporter import Exporter
from edgenode.observe.exporters.set_aside import SetAside
from edgenode.observe.journal.reader import JournalReader, Position, beginning
from edgenode.observe.observing import Observing

_TELL = 2.0
"""Seconds between two looks at how things stand."""

_log = Logger()


class Exporting:
    """The deliveries to all receivers.

    :param observing: what they work with.
    """

    def __init__(self, observing: Observing) -> None:
        self._observing = observing
        self._unsaved = False
        self._told: dict[str, Any] = {}
        self._telling: Any = None
        self._deliveries = {name: self._delivery(name, each) for name, each in observing.exporters.items()}

    def start(self) -> None:
        """Begin."""
        for each in self._deliveries.values():
            each.start()
        if self._deliveries:
            self._tell()

    def stop(self) -> Deferred[Any]:
        """End; what was not sent is sent by the next observer."""
        if self._telling is not None:
            self._telling.cancel()
        return DeferredList([each.stop() for each in self._deliveries.values()])

    def _delivery(self, name: str, exporter: Exporter) -> Delivery:
        observing, reader = self._observing, f"{exporter.kind} {name}"
        pool = observing.pools[exporter.origin]
        return Delivery(
            name,
            exporter,
            JournalReader(
                observing.folder, observing.positions.get(reader) or beginning(observing.folder, time.time())
            ),
            exporter.receiver.sender(pool, exporter.timeout, observing.node),
            observing.reactor,
            save=lambda position: self._save(reader, position),
            put_aside=SetAside(observing.folder, name).put,
            now=time.time,
        )

    def _save(self, reader: str, position: Position) -> None:
        try:
            self._observing.positions.keep(reader, position)
            self._unsaved = False
        except OSError as error:  # then more is sent twice than need be, if the process ends now
            if not self._unsaved:
                _log.error("where exporters are cannot be written: {error}", error=error)
            self._unsaved = True

    def _tell(self) -> None:
        self._telling = self._observing.reactor.callLater(_TELL, self._tell)
        states = {name: each.state() for name, each in self._deliveries.items()}
        if states != self._told:
            self._told = states
            self._observing.tell({"exporters": states})
