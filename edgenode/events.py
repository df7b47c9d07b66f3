"""One JSON line for each exchange.

Law: an event never holds up the exchange it tells of. Events are collected as they come, told and written in batches;
what cannot be written is dropped and counted, and the count is logged.
"""

from __future__ import annotations

import os
import pathlib
import sys

from twisted.logger import Logger
from zope.interface import implementer

from edgenode.interfaces import IEventSink, Told
from edgenode.tls.poller import Reactor

_DELAY = 0.1
"""Seconds that an event waits at the most before it is written."""

_BATCH = 64
"""Events that wait at the most."""

_log = Logger()


@implementer(IEventSink)
class NoEvents:
    """Takes events and does nothing with them."""

    def record(self, told: Told) -> None:
        """Do nothing."""


@implementer(IEventSink)
class EventLog:
    """Writes events to a file, or to standard output, as JSON lines.

    :param path: the file, opened for appending; ``-`` is standard output.
    :raises OSError: if it cannot be opened.
    """

    def __init__(self, path: pathlib.Path, reactor: Reactor) -> None:
        self._reactor = reactor
        self._path = path
        self._waiting: list[Told] = []
        self._scheduled = False
        self._dropped = 0
        self._descriptor = self._open()

    def _open(self) -> int:
        if str(self._path) == "-":
            return os.dup(sys.stdout.fileno())
        # Events name people and certificates: they are for the node's owner and group only.
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def record(self, told: Told) -> None:
        """Take an event."""
        self._waiting.append(told)
        if len(self._waiting) >= _BATCH:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._reactor.callLater(_DELAY, self._due)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        lines = []
        for told in waiting:
            try:
                lines.append(told.line())
            except Exception:
                _log.failure("an event could not be told")
                self._dropped += 1
        data = memoryview(("\n".join(lines) + "\n").encode("ascii"))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self._dropped += len(lines)
            _log.error("{count} events lost: {reason}", count=self._dropped, reason=error.strerror)

    def close(self) -> None:
        """Write what waits and close."""
        self.flush()
        os.close(self._descriptor)

    def _due(self) -> None:
        self._scheduled = False
        self.flush()
