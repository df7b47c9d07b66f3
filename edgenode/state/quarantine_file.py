"""The file of the quarantine: SQLite in the folder ``[edge] state``, so that entries outlast the process.

Law: a file is opened only if it is a regular one of the node's own user, or root's, and nobody else may write to it;
one that is damaged is put aside, and a new one begun. All of it blocks: the reactor's thread reads it at the start, and
leaves writing to another.
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import sqlite3
import stat
from collections.abc import Iterable

from edgenode.state.interface import Entry

NAME = "quarantine.sqlite"
_VERSION = 1
_BUSY = 2.0
"""Seconds to wait for another process that writes: a node of the same folder, or somebody with a shell."""

_ASIDE = (".damaged", ".damaged.1", ".damaged.2")
"""What is appended to the name of a file that is damaged; the last is used again and again."""

_COLUMNS = "key, value, until, since, who, why, action"
_TABLE = f"""
CREATE TABLE IF NOT EXISTS held ({_COLUMNS}, PRIMARY KEY (key, value, action)) WITHOUT ROWID
"""

Changes = dict[tuple[str, str, str], Entry | None]
"""What is to be written: by its identity the entry; ``None``: it is to be taken out."""


class QuarantineFile:
    """The file of one folder.

    :param folder: the folder, which must be there.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / NAME
        self._connection: sqlite3.Connection | None = None

    def read(self, now: float, most: int) -> tuple[list[Entry], str]:
        """The entries that are kept, those that end last first; what is over is taken out.

        :param now: seconds since the epoch.
        :param most: so many at the most.
        :returns: the entries, and what was wrong if the file was damaged; then it is put aside, and what could be read
            of it is among them.
        :raises OSError: if it cannot be opened, as ``sqlite3.Error`` too.
        """
        found: list[Entry] = []
        try:
            connection = self._opened()
            with connection:
                connection.execute("DELETE FROM held WHERE until <= ?", (now,))
            rows = connection.execute(f"SELECT {_COLUMNS} FROM held ORDER BY until DESC LIMIT ?", (most,))  # noqa: S608
            for row in rows:
                entry = _entry(row)
                if entry is not None:
                    found.append(entry)
        except sqlite3.Error as error:
            if not self._failed(error):
                raise
            return found, str(error)
        return found, ""

    def write(self, changes: Changes, whole: bool = False) -> None:
        """Write changes, all of them or none.

        :param whole: whether they are all that there is.
        :raises OSError: if that cannot be done, as ``sqlite3.Error`` too. The next time the file is opened anew, and
            may be empty.
        """
        try:
            connection = self._opened()
            with connection:
                if whole:
                    connection.execute("DELETE FROM held")
                gone = [_texts(each) for each, entry in changes.items() if entry is None]
                connection.executemany("DELETE FROM held WHERE key = ? AND value = ? AND action = ?", gone)
                rows = [_row(entry) for entry in changes.values() if entry is not None]
                marks = ", ".join("?" * 7)
                connection.executemany(f"REPLACE INTO held ({_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608
        except sqlite3.Error as error:
            self._failed(error)
            raise

    def close(self) -> None:
        """Close it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            _check(self.path)
            connection = sqlite3.connect(self.path, timeout=_BUSY, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # an entry shall survive a power failure too
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version not in (0, _VERSION):
                    raise sqlite3.OperationalError(f"{self.path} is of another version, {version}")
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _failed(self, error: sqlite3.Error) -> bool:
        """Close it; whether it was damaged, and is put aside now."""
        self.close()
        if type(error) is not sqlite3.DatabaseError:  # all others are derived from it
            return False
        self._put_aside()
        return True

    def _put_aside(self) -> None:
        for end in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}{end}")
        names = [self.path.with_name(self.path.name + each) for each in _ASIDE]
        os.replace(self.path, next((each for each in names if not each.exists()), names[-1]))


def _check(path: pathlib.Path) -> None:
    """Make the file if it is missing, readable for its owner only: entries name people.

    :raises OSError: if it cannot be had, or is not to be trusted. SQLite would follow a link out of the folder.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_uid not in (0, os.geteuid()):
            raise PermissionError(1, f"{path} is no regular file of the node's user")
        if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(1, f"others may write to {path}")
    finally:
        os.close(descriptor)


def _text(value: str) -> str | bytes:
    """What SQLite takes: a text with half of a surrogate pair, which a client may have sent, as bytes."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
    return value


def _texts(values: Iterable[str]) -> tuple[str | bytes, ...]:
    return tuple(map(_text, values))


def _row(entry: Entry) -> tuple[object, ...]:
    texts = _texts((entry.key, entry.value, entry.who, entry.why, entry.action))
    return texts[0], texts[1], entry.until, entry.since, *texts[2:]


def _entry(row: tuple[object, ...]) -> Entry | None:
    """An entry; ``None`` if somebody has written what is none."""
    values = [each.decode("utf-8", "surrogatepass") if isinstance(each, bytes) else each for each in row]
    key, value, until, since, who, why, action = values
    if not all(isinstance(each, str) for each in (key, value, who, why, action)):
        return None
    if not isinstance(until, float | int) or not isinstance(since, float | int) or math.isnan(until + since):
        return None
    return Entry(key, value, float(until), float(since), who, why, action)  # type: ignore[arg-type]
