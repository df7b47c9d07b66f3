"""Writing what changes in the quarantine to its file, many changes at a time, in a thread.

Law: the reactor never waits for the disk, but to read the file at the start. Changes that could not be written are
kept, and tried again; there are never more of them than entries.
"""

from __future__ import annotations

import pathlib
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from edgenode.state.interface import Entry, Happened, Tell
from edgenode.state.quarantine_file import Changes, QuarantineFile

_DELAY, _RETRY = 0.1, 15.0
"""Seconds that a change waits for others before it is written, and after which it is tried again."""


class Saving:
    """Writes changes.

    :param entries: all that there is, for a file that is new, or has fallen too far behind.
    :param tell: is told if that fails, and when it works again.
    """

    def __init__(self, entries: Callable[[], Iterator[Entry]], tell: Tell) -> None:
        self._entries, self._tell = entries, tell
        self._reactor: Any = None
        self._folder: pathlib.Path | None = None
        self._file: QuarantineFile | None = None
        self._changes: Changes = {}
        self._most = 0
        self._whole = self._failing = False
        self._next: Any = None
        self._writing = False
        self._stopping: list[Deferred[None]] = []
        self._waiting: list[Deferred[bool]] = []
        self._later: list[Deferred[bool]] = []

    def start(self, reactor: Any, folder: pathlib.Path | None, now: float, most: int) -> list[Entry]:
        """Begin with a folder, or go on with another; returns what its file keeps.

        :param now: seconds since the epoch.
        :param most: entries that there may be.
        """
        self._reactor, self._most = reactor, most
        stopping, self._stopping = self._stopping, []
        for each in stopping:
            each.callback(None)
        if folder == self._folder and self._file is not None:
            return []
        self._folder, self._failing = folder, False
        if self._file is not None and not self._writing:
            self._file.close()
        self._file, found = None, []
        self._forget()
        if folder is not None:
            self._file = QuarantineFile(folder)
            found = self._read(self._file, now)
            # What was held before there was this file belongs into it.
            self._changes |= {each.identity: each for each in self._entries()}
            self._plan(_DELAY)
        return found

    def stop(self) -> Deferred[None]:
        """Write what is left, and close; the Deferred fires once that is done, or has failed."""
        if self._file is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        self._write()
        return stopped

    def change(self, entry: Entry, *, held: bool) -> None:
        """Take a change: an entry is held from now on, or no more."""
        if self._file is not None:
            self._changes[entry.identity] = entry if held else None
            if len(self._changes) > self._most:
                self.rewrite()
            self._plan(_DELAY)

    def saved(self) -> Deferred[bool]:
        """Fires once all changes so far have been written; with false if they could not be."""
        if self._file is None or not (self._writing or self._changes or self._whole):
            return succeed(not self._failing)
        waiting: Deferred[bool] = Deferred()
        (self._later if self._writing else self._waiting).append(waiting)  # what is being written began before
        self._write()
        return waiting

    def rewrite(self) -> None:
        """Write all that there is, in the place of what is there."""
        self._changes.clear()
        self._whole = True
        self._plan(_DELAY)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _read(self, file: QuarantineFile, now: float) -> list[Entry]:
        try:
            found, damage = file.read(now, self._most)
        except (OSError, sqlite3.Error) as error:
            self._fail(str(error))
            return []
        if damage:
            self._tell(Happened("quarantine-unsaved", f"{file.path} was damaged, and is put aside: {damage}"))
            self._whole = True
        return found

    def _plan(self, delay: float) -> None:
        idle = self._next is None and not self._writing and self._file is not None
        if idle and (self._changes or self._whole):
            self._next = self._reactor.callLater(_RETRY if self._failing else delay, self._write)

    def _forget(self) -> None:
        self._changes = {}
        self._whole = False
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _write(self) -> None:
        """Write what has changed so far, and close if there shall be nothing more."""
        if self._writing or self._file is None:
            return
        file, changes, whole, last = self._file, self._changes, self._whole, bool(self._stopping)
        if whole:
            changes = {each.identity: each for each in self._entries()}
        self._forget()
        self._writing = True

        def write() -> None:
            if changes or whole:
                file.write(changes, whole)
            if last:
                file.close()

        written = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), write)
        written.addBoth(partial(self._written, file, changes, whole))

    def _written(self, file: QuarantineFile, changes: Changes, whole: bool, result: object) -> None:
        self._writing = False
        waiting, self._waiting, self._later = self._waiting, self._later, []
        if file is not self._file:
            file.close()
        elif isinstance(result, Failure):
            put_aside = type(result.value) is sqlite3.DatabaseError  # a new file has nothing in it
            self._whole = self._whole or whole or put_aside
            self._changes = {} if self._whole else {**changes, **self._changes}
            self._fail(result.getErrorMessage())
        elif self._failing:
            self._failing = False
            self._tell(Happened("quarantine-saved", f"{file.path} has been written"))
        if isinstance(result, Failure):
            waiting, self._waiting = waiting + self._waiting, []
        for answered in waiting:
            answered.callback(not isinstance(result, Failure))
        if self._writing:  # who was told has had more written
            return
        if self._waiting:
            self._write()
        elif not self._stopping:
            self._plan(_DELAY)
        elif (self._changes or self._whole) and not isinstance(result, Failure):
            self._write()
        else:
            file.close()
            self._file = None
            stopping, self._stopping = self._stopping, []
            for each in stopping:
                each.callback(None)

    def _fail(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            path = "" if self._file is None else self._file.path
            self._tell(Happened("quarantine-unsaved", f"{path} cannot be used: {why}"))
