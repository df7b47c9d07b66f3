"""The keeper of a journal, a part of the observer: closed segments become Parquet and are compressed, old ones go.

Law: one segment at a time, the oldest first; what fails is tried again, ever more rarely, and holds up no other.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.observe.journal.journal import Journal
from edgenode.observe.journal.retention import Holding, delete, holdings, left_over, outdated, unsent
from edgenode.observe.journal.segments import Segment, parquet_files, segments
from edgenode.observe.observing import Observing

_LOOK = 1.0
"""Seconds between two looks at the folder."""

_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0
"""Seconds until a segment is tried again that could not be closed: twice as long each time."""

_CHILD = (
    "import sys; sys.path[:] = sys.argv[5:]; from edgenode.observe.journal.closing import main; main(*sys.argv[1:5])"
)

_log = Logger()


class JournalKeeper:
    """Keeps a journal: an :class:`~edgenode.observe.observing.ObserverPart`.

    :param observing: what it works with.
    :param clock: seconds since the epoch.
    """

    def __init__(self, observing: Observing, clock: Callable[[], float] = time.time) -> None:
        self._observing = observing
        self._clock = clock
        self._folder = observing.folder
        self._journal: Journal = observing.journal
        self._reactor = observing.reactor
        self._closing: _Closing | None = None
        self._next: Any = None
        self._failed: dict[int, tuple[float, float]] = {}
        self._counts = {"rows": 0, "broken": 0, "deleted": 0, "unsent": 0}
        self._told: dict[str, Any] = {}
        self._fault = ""

    def start(self) -> None:
        """Begin: with what an earlier one has left."""
        for path in left_over(self._folder):
            with contextlib.suppress(OSError):
                path.unlink()
        self._look()

    def stop(self) -> Deferred[Any] | None:
        """End; a segment that is being closed is closed by the next one."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        return None if self._closing is None else self._closing.end()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._next = self._reactor.callLater(_LOOK, self._look)
        try:
            held = self._retain(holdings(self._folder))
            waiting = self._waiting()
            self._tell(held, len(waiting))
            self._fault = ""
        except OSError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                _log.error("the journal cannot be kept: {error}", error=error)
            return
        if self._closing is None:
            self._close(waiting)

    def _retain(self, held: list[Holding]) -> list[Holding]:
        """Delete what is too old, or too much; what is left."""
        journal, positions = self._journal, self._observing.positions.all
        reading = {name: position.segment for name, position in positions.items()}
        gone = outdated(held, self._clock(), journal.keep_size, journal.keep_time)
        for each in gone:
            delete(each)
            self._counts["deleted"] += 1
            names = unsent(each, reading)
            if names:
                self._counts["unsent"] += 1
                _log.warn("segment {number} is deleted, which {names} had not sent", number=each.number, names=names)
        return held[len(gone) :]

    def _waiting(self) -> list[Segment]:
        """The closed segments with which something is to be done."""
        journal, closed = self._journal, [*segments(self._folder).values()][:-1]
        done = parquet_files(self._folder) if journal.parquet else {each.number for each in closed}
        compressing = journal.compression != "off"
        return [each for each in closed if each.number not in done or (compressing and not each.compressed)]

    def _close(self, waiting: list[Segment]) -> None:
        now = self._reactor.seconds()
        due = [each for each in waiting if self._failed.get(each.number, (0.0, 0.0))[1] <= now]
        if not due:
            return
        number, journal = due[0].number, self._journal
        package = str(pathlib.Path(__file__).parents[3])
        options = (str(self._folder), str(number), "yes" if journal.parquet else "no", journal.compression)
        command = (sys.executable, "-I", "-c", _CHILD, *options, package, *sys.path)
        self._closing = _Closing(lambda found, fault: self._closed(number, found, fault))
        try:
            self._reactor.spawnProcess(self._closing, command[0], command, env=None, path="/")
        except OSError as error:
            self._closed(number, {}, str(error))

    def _closed(self, number: int, found: dict[str, int], fault: str) -> None:
        self._closing = None
        if self._next is None:
            return
        if fault:
            pause = min(2 * self._failed.get(number, (_FIRST_PAUSE / 2, 0.0))[0], _LONGEST_PAUSE)
            self._failed[number] = pause, self._reactor.seconds() + pause
            _log.error("segment {number} cannot be closed: {fault}", number=number, fault=fault)
            return
        self._failed.pop(number, None)
        self._counts["rows"] += found.get("rows", 0)
        broken = found.get("broken", 0)
        self._counts["broken"] += broken
        if broken:
            _log.warn("{broken} lines of segment {number} are no events", broken=broken, number=number)
        self._next.reset(0)

    def _tell(self, held: list[Holding], waiting: int) -> None:
        told = {
            "segments": len(held),
            "bytes": sum(each.size for each in held),
            "oldest": held[0].began if held else None,
            "waiting": waiting,
            "failed": len(self._failed),
            **self._counts,
        }
        if told != self._told:
            self._told = told
            self._observing.tell({"journal": told})


class _Closing(ProcessProtocol):
    """The process that closes a segment.

    :param done: takes what it has made, and why it could not; that is empty if it could.
    """

    transport: Any

    def __init__(self, done: Callable[[dict[str, int], str], None]) -> None:
        self._done = done
        self._out = self._err = b""
        self._ending: Deferred[None] | None = None

    def end(self) -> Deferred[None]:
        """End it, whatever it does."""
        self._ending = Deferred()
        self.transport.signalProcess("KILL")
        return self._ending

    def outReceived(self, data: bytes) -> None:
        """What it has made."""
        self._out += data

    def errReceived(self, data: bytes) -> None:
        """Why it could not."""
        self._err = (self._err + data)[-4096:]

    def processEnded(self, reason: Failure) -> None:
        """It has ended."""
        found: dict[str, int] = {}
        fault = self._err.decode("utf-8", "backslashreplace").strip()
        try:
            found = json.loads(self._out)
        except ValueError:
            fault = fault or reason.getErrorMessage()
        self._done(found, "" if found or self._out else fault)
        if self._ending is not None:
            self._ending.callback(None)
