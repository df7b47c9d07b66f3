"""The two logs of exchanges that a node writes, events and the access log: opened, changed and closed together.

Law: either both are where a new configuration has them, or nothing has changed; and a record goes nowhere twice.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from zope.interface import implementer

from edgenode.config.edge import Edge
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.model.interfaces import IEventSink, Record
from edgenode.observe.access_log import FORMATS
from edgenode.observe.event_log import EventLog
from edgenode.state.interface import Happened


class Logs:
    """The logs of a node.

    :param edge: where they are.
    :param reactor: its timers.
    :raises OSError: if the events cannot be written.
    :ivar sink: takes the records: new ones where it is another after a change.
    """

    sink: IEventSink

    def __init__(self, edge: Edge, reactor: Any) -> None:
        self._edge = edge
        self._events = EventLog(edge.events, reactor)
        self._access = EventLog(None, reactor, FORMATS[edge.access_log_format])
        self._open = False
        self._closed = False
        self._choose(edge)

    def open(self) -> None:
        """Open the access log: only now, for a node that leaves its terminal has left it. Both, if they were closed.

        :raises ConfigurationError: if one of them cannot be written.
        """
        if not self._open:
            self._reopen("access-log", self._access, self._edge)
            if self._closed:
                self._reopen("events", self._events, self._edge)
            self._open, self._closed = True, False

    def renew(self, edge: Edge) -> None:
        """Write to where another configuration says, even if it has the old names: those may have been moved away.

        :raises ConfigurationError: if one of them cannot be written; then nothing has changed.
        """
        self._reopen("access-log", self._access, edge)
        try:
            self._reopen("events", self._events, edge)
        except ConfigurationError:
            self._reopen("access-log", self._access, self._edge)
            raise
        self._access.flush()
        self._access.line = FORMATS[edge.access_log_format]
        self._edge = edge
        self._choose(edge)

    @property
    def lost(self) -> int:
        """Events, and lines of the access log, that could not be written."""
        return self._events.lost + self._access.lost

    @property
    def events(self) -> EventLog | None:
        """The log of events; ``None`` if there is none."""
        return None if self._edge.events is None else self._events

    def tell(self, happened: Happened) -> None:
        """Write what has happened to the state; that is an event, and nothing for the access log."""
        self._events.tell(happened)

    def close(self) -> None:
        """Write what waits, and close."""
        self._events.close()
        self._access.close()
        self._open, self._closed = False, True

    def _choose(self, edge: Edge) -> None:
        if edge.access_log is None:
            self.sink = self._events
        else:
            self.sink = self._access if edge.events is None else _Both(self._events, self._access)

    def _reopen(self, key: str, log: EventLog, edge: Edge) -> None:
        path = edge.access_log if key == "access-log" else edge.events
        try:
            log.reopen(path)
        except OSError as error:
            raise ConfigurationError([Problem("edge", key, f"cannot write {path}: {error.strerror}")]) from error


@implementer(IEventSink)
@frozen
class _Both:
    """Hands each record to two."""

    _first: EventLog
    _second: EventLog

    def record(self, record: Record) -> None:
        self._first.record(record)
        self._second.record(record)
