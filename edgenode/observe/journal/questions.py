"""Questions to a journal, answered by DuckDB: which events, and how many of what.

Law: every event is looked at once, whether it is Parquet already or still lines, the last file too. What DuckDB cannot
tell, the event itself is asked. Nothing is written in the journal's folder.
"""

# ruff: noqa: S608  # queries are made of our own names, and of literals that are quoted

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

from attrs import field, frozen

from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.journal.columns import COLUMNS, COMPUTED, quoted
from edgenode.observe.journal.field_values import literal
from edgenode.observe.journal.grouping import Grouping
from edgenode.observe.journal.parquet import from_lines, repair
from edgenode.observe.journal.restoring import restored
from edgenode.observe.journal.segments import parquet_files, segments
from edgenode.observe.recorded_fields import RECORDED
from edgenode.rules.language.nodes import FieldValue, walk

MISSING = "questions to a journal need the package duckdb: pip install duckdb"

_MEMORY = "2GB"
_AT_ONCE = 2048
_PAUSE = 0.25
"""Seconds between two looks at how far DuckDB is."""


_TRIES = 3

T = TypeVar("T")


class CannotAnswer(Exception):
    """A journal cannot be asked; the text says why."""


@frozen
class Question:
    """Which events are asked about.

    :ivar since: not before, seconds since the epoch; ``None`` for all from the first.
    :ivar until: before, likewise; ``None`` for all up to the last.
    :ivar where: only those that it matches.
    """

    since: float | None = None
    until: float | None = None
    where: EventExpression | None = None

    @property
    def condition(self) -> str:
        """It as a condition of DuckDB; ``NULL`` where only the event can tell."""
        parts = [] if self.where is None else [f"({self.where.sql.text})"]
        parts += [] if self.since is None else [f"time >= make_timestamptz({_microseconds(self.since)})"]
        parts += [] if self.until is None else [f"time < make_timestamptz({_microseconds(self.until)})"]
        return " AND ".join(reversed(parts)) or "TRUE"

    @property
    def exact(self) -> bool:
        """Whether the condition is never ``NULL``."""
        return self.where is None or self.where.sql.exact

    @property
    def keys(self) -> set[str]:
        """The keys of events that the expression looks at."""
        nodes = () if self.where is None else walk(self.where.root)
        return {key for node in nodes if isinstance(node, FieldValue) for key in RECORDED[node.name].keys}


@frozen
class Counts:
    """How many events there are of what.

    :ivar total: all events that were asked about.
    :ivar groups: how many have each value, by the value; an event may have several, or none.
    """

    total: int
    groups: Mapping[str, int]

    def largest(self, count: int) -> list[tuple[str, int]]:
        """The most frequent values, and how often they are there."""
        return sorted(self.groups.items(), key=lambda each: (-each[1], each[0]))[:count]


Progress = Callable[[str], None]
"""Is told from time to time how far an answer is."""


@frozen(eq=False)
class OpenJournal:
    """A journal that can be asked; of one thread.

    :ivar folder: its folder.
    """

    folder: pathlib.Path
    _connection: Any
    _scratch: pathlib.Path
    _progress: Progress
    _duckdb: Any = field(repr=False)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: pathlib.Path, progress: Progress = lambda _: None) -> Iterator[Self]:
        """Open a journal.

        :raises CannotAnswer: if it cannot be asked.
        """
        try:
            duckdb: Any = importlib.import_module("duckdb")
        except ImportError:
            raise CannotAnswer(MISSING) from None
        with tempfile.TemporaryDirectory(prefix="edgenode-events-") as scratch:
            options = {"memory_limit": _MEMORY, "temp_directory": scratch, "autoinstall_known_extensions": False}
            options |= {"autoload_known_extensions": False}
            try:
                with contextlib.closing(duckdb.connect(config=options)) as connection:
                    connection.execute("SET TimeZone = 'UTC'")
                    yield cls(folder, connection, pathlib.Path(scratch), progress, duckdb)
            except duckdb.Error as error:
                raise CannotAnswer(str(error)) from None

    def count(self, question: Question, by: Grouping | None = None) -> Counts:
        """How many events there are, and of each value if it is asked by what."""
        return self._steadily(question, lambda source: self._count(source, question, by))

    def newest(self, question: Question, limit: int) -> list[dict[str, Any]]:
        """The newest events, the oldest of them first, as :mod:`json` reads their lines."""
        return self._steadily(question, lambda source: self._newest(source, question, limit))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _steadily(self, question: Question, ask: Callable[[str], T]) -> T:
        """An answer, though files are compressed and deleted meanwhile."""
        for _ in range(_TRIES):
            with contextlib.suppress(self._duckdb.IOException, FileNotFoundError):
                return ask(self._source(question))
        return ask(self._source(question))

    def _count(self, source: str, question: Question, by: Grouping | None) -> Counts:
        condition, keys = question.condition, question.keys
        if by is None:
            known, value = "TRUE", "NULL"
        else:
            keys |= set(by.field.keys)
            known = f"coalesce({by.sql.known}, TRUE)" if by.sql.known else "TRUE" if by.sql.text else "FALSE"
            value = "NULL" if by.many or not by.sql.text else by.sql.text
        told, only = "TRUE", condition
        if not question.exact:
            told, only = f"({condition})", f"({condition}) IS NOT FALSE"
        found = f"SELECT {told} AS sure, {known} AS known, {value} AS value FROM {source} WHERE {only}"
        rows = self._rows(f"SELECT *, count(*) FROM ({found}) GROUP BY ALL")
        total = sum(count for sure, _, _, count in rows if sure)
        groups: Counter[str] = Counter()
        if by is not None and by.many and by.sql.text:
            found = f"SELECT {by.values} AS value FROM {source} WHERE {condition} AND {known}"
            rows += [(True, True, *row) for row in self._rows(f"SELECT value, count(*) FROM ({found}) GROUP BY ALL")]
        for sure, is_known, found_value, count in rows:
            if by is not None and sure and is_known and found_value not in (None, ""):
                groups[by.of_sql(found_value)] += count
        if any(sure is None or not is_known for sure, is_known, _, _ in rows):
            unknown = f"({condition}) IS NULL OR (({condition}) AND NOT {known})"
            for event, sure in self._asked(source, unknown, keys, condition):
                if sure or self._matches(question, event):
                    total += not sure
                    groups.update(by.of_event(event) if by is not None else ())
        return Counts(total, groups)

    def _newest(self, source: str, question: Question, limit: int) -> list[dict[str, Any]]:
        wanted = limit
        columns = ", ".join(f"{literal(name)}: {quoted(name)}" for name in COLUMNS if name != "time")
        while True:
            rows = self._rows(
                f"SELECT epoch_us(time), to_json({{{columns}}}), ({question.condition}) FROM {source} "
                f"WHERE ({question.condition}) IS NOT FALSE ORDER BY time DESC LIMIT {wanted}"
            )
            events = [(restored(json.loads(text), time), sure) for time, text, sure in rows]
            found = [event for event, sure in events if sure or self._matches(question, event)]
            if len(found) >= limit or len(rows) < wanted:
                return found[:limit][::-1]
            wanted *= 8

    @staticmethod
    def _matches(question: Question, event: Mapping[str, Any]) -> bool:
        return question.where is not None and question.where.matches(event)

    def _asked(
        self, source: str, unknown: str, keys: set[str], condition: str
    ) -> Iterator[tuple[dict[str, Any], bool]]:
        """Events of which DuckDB cannot tell all, with the keys that tell, and whether they are asked about."""
        columns = ", ".join(f"{literal(name)}: {quoted(name)}" for name in sorted(keys - {"time"}) or ["id"])
        self._run(f"SELECT epoch_us(time), to_json({{{columns}}}), ({condition}) FROM {source} WHERE {unknown}")
        count = 0
        while rows := self._connection.fetchmany(_AT_ONCE):
            for time, text, sure in rows:
                yield restored(json.loads(text), time), bool(sure)
            count += len(rows)
            self._progress(f"{count:,} events looked at one by one")

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        self._run(query)
        rows: list[tuple[Any, ...]] = self._connection.fetchall()
        return rows

    def _run(self, query: str) -> None:
        """Have a query run in a thread, so that it can be interrupted, and its progress told."""
        failed: list[BaseException] = []

        def run() -> None:
            try:
                self._connection.execute(query)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_PAUSE)
                share = self._connection.query_progress() if thread.is_alive() else -1.0
                if share > 0:
                    self._progress(f"{share:3.0f}%")
        except BaseException:
            self._connection.interrupt()
            thread.join()
            raise
        if failed:
            raise failed[0]

    def _source(self, question: Question) -> str:
        """The events as a table: of Parquet files, and of the segments that are none yet."""
        try:
            lines = segments(self.folder)
        except OSError as error:
            raise CannotAnswer(f"cannot read {self.folder}: {error.strerror}") from None
        written = {number: each for number, each in parquet_files(self.folder).items() if _is_whole(each.path)}
        every = sorted({**lines, **written}.items())
        begins = [segment.began.timestamp() for _, segment in every]
        # What is in a segment is no later than the beginning of the next.
        recent = {
            number
            for (number, _), ends in zip(every, [*begins, float("inf")][1:], strict=True)
            if question.since is None or ends + 1 >= question.since
        }
        columns = ", ".join(map(quoted, (*COLUMNS, *COMPUTED)))
        files = ", ".join(literal(os.fspath(each.path)) for number, each in written.items() if number in recent)
        parts = [f"SELECT {columns} FROM {_empty()}"]
        parts += [f"SELECT {columns} FROM read_parquet([{files}], union_by_name=true)"] if files else []
        parts += [
            f"SELECT {columns} FROM {from_lines(self._whole(each.path))} WHERE time IS NOT NULL"
            for number, each in lines.items()
            if number in recent and number not in written and each.path.stat().st_size
        ]
        return f"({' UNION ALL BY NAME '.join(parts)})"

    def _whole(self, path: pathlib.Path) -> pathlib.Path:
        """A segment that DuckDB can read every event of."""
        copy = self._scratch / f"{path.name.partition('.')[0]}.jsonl"
        with contextlib.suppress(OSError, EOFError, zlib.error):
            plain = path.suffix == ".jsonl" and b"\\ud" not in path.read_bytes()
            return copy if not plain and repair(path, copy) else path
        return path


_MAGIC = b"PAR1"


def _is_whole(path: pathlib.Path) -> bool:
    """Whether a Parquet file begins and ends as one: of one that a disk has damaged the lines are asked instead."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        return size >= 2 * len(_MAGIC) and all(
            os.pread(file.fileno(), len(_MAGIC), place) == _MAGIC for place in (0, size - len(_MAGIC))
        )


def _empty() -> str:
    types = (*COLUMNS.items(), *((name, each.type) for name, each in COMPUTED.items()))
    return f"(SELECT {', '.join(f'CAST(NULL AS {type}) AS {quoted(name)}' for name, type in types)} WHERE FALSE)"


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
