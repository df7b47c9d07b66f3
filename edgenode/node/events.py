"""One JSON line for each exchange.

Law: an event never holds up the exchange it tells of. Events are collected as they come, told and written in batches;
what cannot be written is dropped and counted, and the count is logged.
"""

from __future__ import annotations

import os
import pathlib
import sys
import time
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from edgenode.model.interfaces import IEventSink, Told
from edgenode.net.poller import Timers
from edgenode.node.event_line import line

_DELAY = 0.1
"""Seconds that an event waits at the most before it is written."""

_BATCH = 64
"""Events that wait at the most: few enough to stay in the processor's cache."""

_MOST_UNWRITTEN = 4 * 1024 * 1024
"""Bytes kept for a reader that is slow; what comes then is dropped."""

_LINE_END = 10

_COMPLAINTS = 60.0
"""Seconds between two lines in the log about events that are lost."""

_log = Logger()


@implementer(IEventSink)
class EventLog:
    """Writes events to a file, or to standard output, as JSON lines.

    :param path: the file, opened for appending; ``-`` is standard output, ``None`` drops the events.
    :raises OSError: if it cannot be opened.
    """

    def __init__(self, path: pathlib.Path | None, reactor: Timers) -> None:
        self._reactor = reactor
        self._path = path
        self._waiting: list[Told] = []
        self._next: Any = None
        self._dropped = 0
        self._complain_at = 0.0
        self._unwritten = b""
        self._begun = False
        self._descriptor = None if path is None else _open(path)

    def reopen(self, path: pathlib.Path | None) -> None:
        """Write to this file from now on, even if it has the old name: that one may have been moved away.

        :raises OSError: if it cannot be opened; then nothing has changed.
        """
        if path == self._path and (path is None or self._is_open(path)):
            return
        descriptor = None if path is None else _open(path)
        self.flush()
        if self._begun and self._unwritten:
            # The rest of a line whose beginning stands in the old file is no line.
            self._unwritten = self._unwritten.partition(b"\n")[2]
            self._begun = False
            self._drop(1, "its reader was too slow")
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._path, self._descriptor = path, descriptor
        self._write()

    def _is_open(self, path: pathlib.Path) -> bool:
        """Whether a path leads to the open file. Then it stays open: who has dropped root could not open it again."""
        assert self._descriptor is not None
        try:
            return str(path) == "-" or os.path.samestat(os.stat(path), os.fstat(self._descriptor))
        except OSError:
            return False

    def record(self, told: Told) -> None:
        """Take an event."""
        if self._descriptor is None:
            return
        self._waiting.append(told)
        if len(self._waiting) >= _BATCH:
            self.flush()
        else:
            self._schedule()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            self._write()
            return
        lines = []
        for told in waiting:
            try:
                lines.append(line(told))
            except Exception:
                _log.failure("an event could not be told")
                self._dropped += 1
        if len(self._unwritten) > _MOST_UNWRITTEN:
            self._drop(len(lines), "whoever reads them is too slow")
        else:
            self._unwritten += ("\n".join(lines) + "\n").encode("ascii")
        self._write()

    def _write(self) -> None:
        if self._descriptor is None:
            self._unwritten = b""
            return
        data = memoryview(self._unwritten)
        try:
            while data:
                written = os.write(self._descriptor, data)
                self._begun = data[written - 1] != _LINE_END
                data = data[written:]
        except BlockingIOError:
            self._schedule()
        except OSError as error:
            self._drop(bytes(data).count(b"\n"), error.strerror or "")
            data = data[:0]
        self._unwritten = bytes(data)

    def _drop(self, count: int, reason: str) -> None:
        self._dropped += count
        now = time.monotonic()
        if now >= self._complain_at:  # else whoever sends requests to a node with a full disk would fill its log too
            self._complain_at = now + _COMPLAINTS
            _log.error("{count} events lost so far: {reason}", count=self._dropped, reason=reason)

    def close(self) -> None:
        """Write what waits and close."""
        self.flush()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _schedule(self) -> None:
        if self._next is None:
            self._next = self._reactor.callLater(_DELAY, self._due)

    def _due(self) -> None:
        self._next = None
        self.flush()


def _open(path: pathlib.Path) -> int:
    if str(path) != "-":
        # Events name people and certificates: they are for the node's owner and group only.
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    try:
        # Opened anew, and not duplicated: the others that write there shall not find it non-blocking as well.
        return os.open("/dev/stdout", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return os.dup(sys.stdout.fileno())
