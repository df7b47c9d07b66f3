"""The log of events: one line of JSON for each exchange, and for what happens to the state, to a file, a pipe or
standard output.

Law: an event never holds up an exchange. Records are collected as they come; lines are made of them and written in
batches, each in a bounded time. Nothing waits for a reader: what cannot be written is dropped and counted, and the
count is logged. Two events never share a line: one of which only a part could be written is ended before the next.
"""

from __future__ import annotations

import os
import pathlib
import select
import socket
import stat
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from edgenode.model.complaints import Complaints
from edgenode.model.interfaces import IEventSink, Record
from edgenode.net.poller import Timers
from edgenode.observe.event_record import event_line
from edgenode.observe.state_events import state_line
from edgenode.state.interface import Happened

_DELAY = 0.1
"""Seconds that an event waits at the most before it is written."""

_BATCH = 64
"""Records that wait at the most: few enough to stay in the processor's cache."""

_TURN = 0.001
"""Seconds after which the reactor gets its turn; lines of ordinary requests take about 6 µs each."""

_MOST_UNWRITTEN = 4 * 1024 * 1024
"""Bytes kept for a reader that is slow; what comes then is dropped."""

_LINE_END = b"\n"

_log = Logger()


@implementer(IEventSink)
class EventLog:
    """Writes events to a file, or to standard output, as JSON lines.

    :param path: the file, opened for appending; ``-`` is standard output, ``None`` drops the events.
    :param reactor: its timers.
    :param line: makes a line of a record, in ASCII and without its end.
    :param clock: seconds, for the length of a turn.
    :ivar line: makes a line of a record from now on.
    :ivar copies: other logs, which are given the lines that are made of records here.
    :ivar lost: events that were lost.
    :ivar written: bytes that were written to the file that is open.
    :ivar events: events that were written; one that was torn, and ended, as well.
    :raises OSError: if the file cannot be opened.
    """

    def __init__(
        self,
        path: pathlib.Path | None,
        reactor: Timers,
        line: Callable[[Record], str] = event_line,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._reactor = reactor
        self.line = line
        self._clock = clock
        self._path = path
        self._output = None if path is None else _Output(path)
        self.copies: tuple[EventLog, ...] = ()
        self._waiting: list[Record] = []
        self._next: Any = None
        self._unwritten: deque[bytes] = deque()
        self._size = 0
        self._torn = False
        self.lost = self._logged = self.written = self.events = 0
        self._complaints = Complaints()

    def record(self, record: Record) -> None:
        """Take a record."""
        if self._output is None:
            return
        self._waiting.append(record)
        if len(self._waiting) >= _BATCH:
            self._take_turn()
        elif self._next is None:
            self._schedule(_DELAY)

    def tell(self, happened: Happened) -> None:
        """Take what has happened to the state: a line behind those of the records that wait."""
        if self._output is not None:
            self._make_lines()
            self._keep(state_line(happened).encode("ascii") + _LINE_END, 1)
            self._schedule(_DELAY)

    def take(self, data: bytes, count: int) -> None:
        """Take so many lines that another log has made."""
        if self._output is not None:
            self._keep(data, count)
            self._write()

    def flush(self) -> None:
        """Write all that waits, however long that takes."""
        while self._waiting:
            self._make_lines()
        self._write()

    def reopen(self, path: pathlib.Path | None) -> None:
        """Write to this file from now on, even if it has the old name: that one may have been moved away.

        :raises OSError: if it cannot be opened; then nothing has changed.
        """
        if path == self._path and (self._output is None or self._output.is_at(path)):
            return
        output = None if path is None else _Output(path)
        self.flush()
        if self._torn and self._unwritten:
            # The rest of a line whose beginning stands in the old file is no line.
            first = self._unwritten.popleft()
            rest = first.partition(_LINE_END)[2]
            self._size -= len(first) - len(rest)
            if rest:
                self._unwritten.appendleft(rest)
            self._drop(1, "its reader was too slow")
        self._torn = False
        if self._output is not None:
            self._output.close()
        self._path, self._output = path, output
        self.written = 0
        self._write()

    def close(self) -> None:
        """Write what waits, as far as its reader takes it, and close; what comes is dropped until :meth:`reopen`."""
        self.flush()
        if self._unwritten:
            self._give_up("the node ends")
        if self.lost > self._logged:
            self._complain("in the last minute")
        if self._output is not None:
            self._output.close()
            self._output = None
        self._path = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    # -- inside ------------------------------------------------------------------------------------------------------

    def _schedule(self, delay: float) -> None:
        if self._next is None:
            self._next = self._reactor.callLater(delay, self._due)

    def _due(self) -> None:
        self._next = None
        self._take_turn()

    def _take_turn(self) -> None:
        """Write what waits, or as much of it as there is time for."""
        self._make_lines()
        self._write()
        if self._waiting:
            if self._next is not None:
                self._next.cancel()
                self._next = None
            self._schedule(0)

    def _make_lines(self) -> None:
        """Make lines of what waits; at least one, and no more once the turn is over."""
        lines = []
        until, taken = self._clock() + _TURN, 0
        for record in self._waiting:
            taken += 1
            try:
                lines.append(self.line(record))
            except Exception:
                if self._drop(1, "they could not be written as JSON"):
                    _log.failure("an event could not be written as JSON")
            if self._clock() >= until:
                break
        del self._waiting[:taken]
        if lines:
            data = ("\n".join(lines) + "\n").encode("ascii")
            self._keep(data, len(lines))
            for each in self.copies:
                each.take(data, len(lines))

    def _keep(self, data: bytes, count: int) -> None:
        """Keep lines until they can be written."""
        if self._size + len(data) > _MOST_UNWRITTEN:
            self._drop(count, "whoever reads them is too slow")
            return
        if self._torn and not self._unwritten:
            data = _LINE_END + data
        self._unwritten.append(data)
        self._size += len(data)

    def _write(self) -> None:
        """Write what is kept, as far as its reader takes it."""
        output, unwritten = self._output, self._unwritten
        if output is None:
            unwritten.clear()
            self._size = 0
            return
        try:
            while unwritten:
                data = unwritten[0]
                written = output.write(data)
                self.written += written
                self._size -= written
                self.events += data.count(_LINE_END, 0, written)
                self._torn = not data.endswith(_LINE_END, 0, written)
                if written == len(data):
                    unwritten.popleft()
                else:
                    unwritten[0] = data[written:]
        except BlockingIOError:
            self._schedule(_DELAY)
        except OSError as error:
            self._give_up(error.strerror or "")

    def _give_up(self, reason: str) -> None:
        """Drop what could not be written."""
        unwritten = self._unwritten
        # A line end in front is that of a line of which all the rest has been written.
        count = sum(data.count(_LINE_END) for data in unwritten) - unwritten[0].startswith(_LINE_END)
        unwritten.clear()
        self._size = 0
        self._drop(count, reason)

    def _drop(self, count: int, reason: str) -> bool:
        """Count events that are lost; whether that is logged at once."""
        self.lost += count
        due = self._complaints.due()
        if due:
            self._complain(reason)
        return due

    def _complain(self, reason: str) -> None:
        self._logged = self.lost
        _log.error("{count} events lost so far: {reason}", count=self.lost, reason=reason)


class _Output:
    """An open file that never blocks.

    :param path: ``-`` is standard output.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._descriptor = _open(path)
        self._socket: socket.socket | None = None
        mode = os.fstat(self._descriptor).st_mode
        # A pipe or a terminal that somebody else has opened, and that others write to as well, stays as it is.
        self._may_block = os.get_blocking(self._descriptor) and not stat.S_ISREG(mode)
        if stat.S_ISSOCK(os.fstat(self._descriptor).st_mode):
            self._socket = socket.socket(fileno=self._descriptor)

    def write(self, data: bytes) -> int:
        """Write what can be written at once: the number of bytes.

        :raises OSError: if nothing can be.
        """
        if self._socket is None and self._may_block:
            if not select.select((), (self._descriptor,), (), 0)[1]:
                raise BlockingIOError
            return os.write(self._descriptor, data[: select.PIPE_BUF])  # what fits for certain (pipe(7))
        if self._socket is None:
            return os.write(self._descriptor, data)
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def is_at(self, path: pathlib.Path | None) -> bool:
        """Whether a path leads to it. Then it stays open: who has dropped root could not open it again."""
        try:
            return str(path) == "-" or os.path.samestat(os.stat(path or ""), os.fstat(self._descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Close it."""
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)


def _open(path: pathlib.Path) -> int:
    if str(path) != "-":
        # Events name people and certificates: they are for the node's owner and group only.
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    if sys.__stdout__ is None:  # it was closed, and its number may be that of any other file
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    stdout = sys.__stdout__.fileno()  # ``sys.stdout`` may be a log by now
    if stat.S_ISREG(os.fstat(stdout).st_mode):
        return os.dup(stdout)  # the others that write there and we go on where the other has ended
    try:
        # Opened anew, and not duplicated: the others that write there shall not find it non-blocking as well.
        return os.open("/dev/stdout", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a socket, as of journald, cannot be opened by a name, nor what is another user's
        return os.dup(stdout)
