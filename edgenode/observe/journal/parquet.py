"""A segment of a journal as Parquet, by DuckDB.

Law: every event of the segment is a row, with the values that stand in its line; what is no event is counted, and stops
nothing. A Parquet file is there as a whole, or not at all.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import re
import zlib
from typing import Any

from attrs import frozen

from edgenode.observe.compressed_files import uncompressed
from edgenode.observe.journal.columns import COLUMNS, COMPUTED, TIME, quoted
from edgenode.observe.journal.segments import partial

_MEMORY = "512MB"

_ROWS_OF_A_GROUP, _LEAST_ROWS, _BYTES_OF_A_GROUP = 20480, 2048, 32 * 1024 * 1024
"""Rows of which a reader finds out by their least and greatest values whether it needs them, and all of which are in
memory while they are written: fewer if their lines are long."""

_LONGEST = 8 * 1024 * 1024
"""Bytes of a line; DuckDB gives up at twice as many. Events have hundreds of kilobytes at the most."""

_ESCAPED = re.compile(
    rb"""\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"""
)
"""An escape in a text of JSON: the two halves of a character, a half without the other, or anything else."""

_REPLACEMENT = rb"\ufffd"


@frozen
class Converted:
    """What has become of a segment.

    :ivar rows: its events.
    :ivar broken: its lines that are no events; they are left in the segment.
    """

    rows: int
    broken: int


def from_lines(path: pathlib.Path) -> str:
    """The events of a segment that is not Parquet as a table for DuckDB, with the same columns.

    :param path: the segment, as it was written or compressed.
    """
    columns = ", ".join(f"{_text(name)}: {_text(type)}" for name, type in COLUMNS.items())
    computed = ", ".join(f"{each.sql} AS {quoted(name)}" for name, each in COMPUTED.items())
    lines = (
        f"read_json({_text(os.fspath(path))}, format='newline_delimited', ignore_errors=true, columns={{{columns}}})"
    )
    return f"(SELECT *, {computed} FROM {lines})"  # noqa: S608  # of our own names


def convert(segment: pathlib.Path, target: pathlib.Path) -> Converted:
    """Write a segment as Parquet.

    :param segment: the segment, closed.
    :param target: the file, which is there once all of it is on the disk.
    :raises OSError: if it cannot be written.
    :raises ImportError: if DuckDB is not here.
    """
    duckdb: Any = importlib.import_module("duckdb")
    part = partial(target)
    target.parent.mkdir(mode=0o750, exist_ok=True)
    options = {"threads": 1, "memory_limit": _MEMORY, "temp_directory": os.fspath(target.parent / ".temporary")}
    options |= {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    repaired = partial(target.with_suffix(".jsonl"))
    try:
        lines, rows_of_a_group = _measured(segment)
        with contextlib.closing(duckdb.connect(config=options)) as connection:
            try:
                rows = _copy(connection, segment, part, rows_of_a_group)
            except duckdb.Error:
                if not repair(segment, repaired):
                    raise
                rows = _copy(connection, repaired, part, rows_of_a_group)
            else:
                if rows < lines and repair(segment, repaired):
                    rows = _copy(connection, repaired, part, rows_of_a_group)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except (duckdb.Error, EOFError, zlib.error) as error:
        raise OSError(0, str(error)) from None
    finally:
        for each in (part, repaired):
            each.unlink(missing_ok=True)
    return Converted(rows, lines - rows)


def _copy(connection: Any, segment: pathlib.Path, target: pathlib.Path, rows_of_a_group: int) -> int:
    """Write the events of a segment as Parquet; how many they are."""
    how = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows_of_a_group}, USE_TMP_FILE false"
    found = f"SELECT * FROM {from_lines(segment)} WHERE {TIME} IS NOT NULL"  # noqa: S608  # of our own names
    count: int = connection.execute(f"COPY ({found}) TO {_text(os.fspath(target))} ({how})").fetchone()[0]
    return count


def _measured(segment: pathlib.Path) -> tuple[int, int]:
    """The lines of a segment that are not empty, and how many of them are to be in memory at once."""
    count = size = 0
    with segment.open("rb") as file:
        for line in uncompressed(file):
            count += not line.isspace()
            size += len(line)
    return count, max(_LEAST_ROWS, min(_ROWS_OF_A_GROUP, _BYTES_OF_A_GROUP * count // max(size, 1)))


def repair(segment: pathlib.Path, target: pathlib.Path) -> bool:
    """Copy a segment without what JSON has no character for (RFC 8259, section 8.2), of which DuckDB takes the line for
    broken: a client can have it written where texts of others stand. And without lines that are too long for it.
    Whether there was any such."""
    found = False

    def whole(match: re.Match[bytes]) -> bytes:
        nonlocal found
        found = found or match["lone"] is not None
        return match[0] if match["lone"] is None else _REPLACEMENT

    with segment.open("rb") as file, target.open("wb") as copy:
        for line in uncompressed(file):
            if len(line) > _LONGEST:
                found = True
            else:
                copy.write(_ESCAPED.sub(whole, line) if b"\\ud" in line else line)
    return found


def _text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"
