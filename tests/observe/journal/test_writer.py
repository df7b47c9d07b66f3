"""The writing side of a journal: segments by size and by age, one node to a folder, and nothing that waits."""

from __future__ import annotations

import json
import os
import pathlib
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from edgenode.model.settings import Folder, Seconds, Size
from edgenode.observe.journal.journal import Journal
from edgenode.observe.journal.positions import Positions
from edgenode.observe.journal.reader import JournalReader, Position
from edgenode.observe.journal.segments import PARQUET, segments
from edgenode.observe.journal.writer import JournalWriter
from tests.observe.journal.journals import BEGAN
from tests.support.records import EXCHANGE, FakeRecord

RECORD: Any = FakeRecord(EXCHANGE)


class Writing:
    """A writer in a folder, with a clock.

    :param folder: the folder.
    :param keys: of ``[journal]``.
    """

    def __init__(self, folder: pathlib.Path, **keys: Any) -> None:
        self.clock = Clock()
        self.folder = folder
        self.journal = Journal(folder=Folder(folder), **keys)
        self.writer = JournalWriter(self.clock, lambda: BEGAN.timestamp() + self.clock.seconds())
        self.writer.open(self.journal)

    def record(self, count: int = 1, seconds: float = 1.0) -> None:
        """Record exchanges, and let the time go by."""
        for _ in range(count):
            self.writer.log.record(RECORD)
        self.clock.pump([seconds / 8] * 8)

    @property
    def counts(self) -> dict[int, int]:
        """How many lines each segment has."""
        return {number: each.path.read_bytes().count(b"\n") for number, each in segments(self.folder).items()}


@pytest.fixture
def writing(tmp_path: pathlib.Path) -> Iterator[Writing]:
    """A writer whose segments are small."""
    found = Writing(tmp_path, rotate_size=Size(1 << 16))
    yield found
    found.writer.close()


def test_a_segment_is_closed_by_its_size(writing: Writing) -> None:
    """The next one is begun at the next look, and what comes then is there."""
    writing.record(30)
    assert writing.counts == {1: 30}
    writing.record(30)
    writing.record(30)
    assert writing.counts[1] + writing.counts[2] == 90
    assert writing.counts[1] < 90
    assert writing.writer.segment is not None
    assert writing.writer.segment.number == max(writing.counts)


def test_a_segment_is_closed_by_its_age_if_there_is_anything_in_it(writing: Writing) -> None:
    """An idle node makes no files."""
    writing.clock.pump([60.0] * 120)
    assert writing.counts == {1: 0}
    writing.record()
    writing.record()
    assert sum(writing.counts.values()) == 2
    assert len(writing.counts) > 1


def test_a_segment_is_whole_before_the_next_is_there(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees the next one finds all lines of this: at that moment nothing waits."""
    seen = []
    reopen = writing.writer.log.reopen

    def look(path: pathlib.Path) -> None:
        seen.append(writing.counts)
        reopen(path)

    monkeypatch.setattr(writing.writer.log, "reopen", look)
    for _ in range(4):
        writing.record(60, 0.9375)
        writing.writer.log.record(RECORD)
        writing.clock.advance(0.0625)  # the next look is due, and a batch is not
    assert seen
    for before in seen:
        assert before[max(before)] == writing.counts[max(before)]


def test_events_are_for_the_nodes_user_and_group_only(writing: Writing) -> None:
    """They name people."""
    assert {each.path.stat().st_mode & 0o777 for each in segments(writing.folder).values()} == {0o640}


def test_numbers_go_on_for_ever(tmp_path: pathlib.Path) -> None:
    """Behind the segments, the Parquet files and the positions that there are: no position ever means another place."""
    (tmp_path / PARQUET).mkdir()
    (tmp_path / PARQUET / "events-20261130T160000Z-000007.parquet").touch()
    first = Writing(tmp_path)
    first.record()
    assert first.counts == {8: 1}
    first.writer.close()
    Positions(tmp_path).keep("exporter x", Position(11, 0))
    second = Writing(tmp_path)
    assert second.counts == {8: 1, 12: 0}
    second.writer.close()
    third = Writing(tmp_path)
    third.record()
    third.writer.close()
    assert third.counts == {8: 1, 12: 1}, "an empty one is gone on with"


def test_a_line_that_was_torn_by_a_kill_is_the_last_of_its_segment(tmp_path: pathlib.Path) -> None:
    """The next node begins another one, so readers find whole lines only."""
    first = Writing(tmp_path)
    first.record(2)
    first.writer.close()
    path = segments(tmp_path)[1].path
    path.write_bytes(path.read_bytes()[:-7])
    second = Writing(tmp_path)
    second.record()
    second.writer.close()
    reader = JournalReader(tmp_path, Position())
    found = [*reader.read(), *reader.read()]
    reader.close()
    assert [json.loads(line)["status"] for line in found] == [200, 200]


def test_a_folder_has_one_node(writing: Writing) -> None:
    """Another one is refused, says so, and takes over once the first has ended."""
    with capturedLogs() as logged:
        second = Writing(writing.folder)
        second.record(3)
    assert second.writer.fault == f"{writing.folder}: another node writes there"
    assert [formatEvent(each) for each in logged] == [f"the journal cannot be written: {second.writer.fault}"]
    assert writing.counts == {1: 0}
    writing.writer.close()
    second.record(3, 10.0)
    second.record(3)
    assert second.writer.fault == ""
    assert writing.counts == {1: 3}
    second.writer.close()


def test_another_folder_is_another_journal(writing: Writing, tmp_path: pathlib.Path) -> None:
    """A reload may name one: what waits is written to the first, and the first is free for others."""
    other = tmp_path / "other"
    other.mkdir()
    writing.writer.log.record(RECORD)
    writing.writer.open(Journal(folder=Folder(other)))
    writing.record()
    assert writing.counts == {1: 1}
    assert {number: each.path.read_bytes().count(b"\n") for number, each in segments(other).items()} == {1: 1}
    second = Writing(writing.folder)
    assert second.writer.fault == ""
    second.writer.close()


def test_a_journal_that_cannot_be_opened_is_tried_again(tmp_path: pathlib.Path) -> None:
    """Nothing fails meanwhile, and the log says why it cannot, once a minute at the most."""
    folder = tmp_path / "later"
    with capturedLogs() as logged:
        writing = Writing(folder)
        writing.record(5, 30.0)
    assert [formatEvent(each) for each in logged] == [
        f"the journal cannot be written: {folder}: No such file or directory"
    ]
    folder.mkdir()
    writing.record(0, 10.0)
    writing.record(5)
    assert (writing.counts, writing.writer.fault) == ({1: 5}, "")
    writing.writer.close()


def test_a_segment_that_somebody_deletes_is_followed_by_another(writing: Writing) -> None:
    """Nobody would read what is written to a file without a name."""
    segments(writing.folder)[1].path.unlink()
    writing.record()
    writing.record(2)
    assert sum(writing.counts.values()) >= 2


def test_a_full_disk_costs_events_and_nothing_else(writing: Writing) -> None:
    """What cannot be written is dropped and counted; once there is room again it goes on, on a line of its own."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writing.record(2)
    with capturedLogs():
        resource.setrlimit(resource.RLIMIT_FSIZE, (segments(writing.folder)[1].path.stat().st_size + 100, limits[1]))
        try:
            writing.record(5)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert writing.writer.log.lost == 5
        writing.record(3)
    reader = JournalReader(writing.folder, Position())
    found = reader.read()
    reader.close()
    assert len(found) == 6
    assert len(found[2]) == 100
    assert [len(each) for each in (*found[:2], *found[3:])] == [len(found[0])] * 5


def test_nothing_is_left_behind(tmp_path: pathlib.Path) -> None:
    """Neither a timer nor a descriptor, once it is closed; and it can be opened again."""
    before = len(os.listdir("/proc/self/fd"))
    writing = Writing(tmp_path)
    writing.record(3)
    for _ in range(2):
        writing.writer.close()
        assert writing.clock.getDelayedCalls() == []
        assert len(os.listdir("/proc/self/fd")) == before
        writing.writer.open(writing.journal)
    writing.writer.close()


@pytest.mark.parametrize("age", [60.0, 3600.0])
def test_the_age_is_that_of_the_configuration(tmp_path: pathlib.Path, age: float) -> None:
    """A reload changes it for the segment that is open."""
    writing = Writing(tmp_path)
    writing.writer.open(Journal(folder=Folder(tmp_path), rotate_time=Seconds(age)))
    writing.record(1, 90.0)
    assert len(writing.counts) == (2 if age == 60.0 else 1)
    writing.writer.close()
