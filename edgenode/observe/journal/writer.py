"""The writing side of a journal: the node appends to the last segment, and begins the next by size and time.

Law: nothing of it waits; what cannot be written is dropped and counted. A segment has all its bytes before the next one
is there.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from edgenode.model.complaints import Complaints
from edgenode.observe.event_log import EventLog
from edgenode.observe.journal.journal import Journal
from edgenode.observe.journal.positions import Positions
from edgenode.observe.journal.segments import Segment, parquet_files, segments

LOCK = "lock"
"""The file in the folder that the node which writes there has locked."""

_LOOK = 1.0
"""Seconds between two looks at the size and the age of the segment."""

_AGAIN = 10.0
"""Seconds between two tries to open a journal that could not be opened."""

_log = Logger()


class JournalWriter:
    """Writes a journal.

    :param reactor: its timers.
    :param clock: seconds since the epoch.
    :ivar log: takes the records.
    :ivar segment: where they are written now; ``None`` while the journal is not open.
    :ivar fault: why it is not open, or no segment can be begun; empty if all is well.
    """

    def __init__(self, reactor: Any, clock: Callable[[], float] = time.time) -> None:
        self._reactor = reactor
        self._clock = clock
        self._journal = Journal()
        self._lock: int | None = None
        self._next: Any = None
        self._complaints = Complaints()
        self.log = EventLog(None, reactor)
        self.segment: Segment | None = None
        self.fault = ""

    def open(self, journal: Journal) -> None:
        """Write there from now on; what keeps it from doing so is logged, and it tries again."""
        if self.segment is not None and journal.folder != self._journal.folder:
            self.close()
        self._journal = journal
        if self._next is None and journal.folder is not None:
            self._look()

    def close(self) -> None:
        """Write what waits, and end."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self.log.close()
        self.segment, self.fault = None, ""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- inside ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Open it, or begin the next segment, if it is time."""
        self._next = None
        try:
            if self.segment is None:
                self._open()
            elif self._due(self.segment):
                self._begin(self.segment.number + 1)
            self.fault = ""
        except OSError as error:
            self._complain(f"{self._journal.folder}: {error.strerror or error}")
        self._next = self._reactor.callLater(_AGAIN if self.segment is None else _LOOK, self._look)

    def _due(self, segment: Segment) -> bool:
        size, age = self.log.written, self._clock() - segment.began.timestamp()
        if not segment.path.exists():  # somebody has deleted it: nobody would read what goes there
            return True
        return size > 0 and (size >= self._journal.rotate_size or age >= self._journal.rotate_time)

    def _open(self) -> None:
        """Lock the folder, and begin a segment behind all that there have been; or go on with one that is empty."""
        folder = self._journal.folder
        assert folder is not None
        if self._lock is None:
            self._lock = _locked(folder / LOCK)
        found = segments(folder)
        numbers = [*found, *parquet_files(folder), *(each.segment for each in Positions(folder).all.values())]
        last = max(numbers, default=0)
        self._begin(last if last in found and not found[last].path.stat().st_size else last + 1)

    def _begin(self, number: int) -> None:
        folder = self._journal.folder
        assert folder is not None
        began = datetime.datetime.fromtimestamp(int(self._clock()), datetime.UTC)
        segment = segments(folder).get(number) or Segment.new(folder, number, began)
        self.log.flush()  # whoever sees the next segment may rely on this one
        self.log.reopen(segment.path)
        self.segment = segment

    def _complain(self, sentence: str) -> None:
        self.fault = sentence
        if self._complaints.due():
            _log.error("the journal cannot be written: {sentence}", sentence=sentence)


def _locked(path: pathlib.Path) -> int:
    """A file, locked for as long as it is open.

    :raises OSError: if another node has locked it, or it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(0, "another node writes there") from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
