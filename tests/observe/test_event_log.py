"""The log of events: one line of JSON for each exchange, and never a node that waits for who reads them."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from edgenode.model.complaints import Complaints
from edgenode.observe import event_log
from edgenode.observe.event_log import EventLog
from tests.support.records import EXCHANGE, FakeRecord

MEBIBYTE = 1 << 20


def as_it_is(record: Any) -> str:
    """A line of a record that is a text already; one that is empty cannot be written."""
    if not record:
        raise ValueError("empty")
    return str(record)


def opened(path: pathlib.Path | None, clock: Clock | None = None, **options: Any) -> EventLog:
    """A log whose records are lines."""
    return EventLog(path, clock or Clock(), as_it_is, **options)


def put(log: EventLog, *lines: Any) -> None:
    """Record some lines."""
    for line in lines:
        log.record(line)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the node's log says meanwhile of events that are lost."""
    found: list[str] = []

    def hear(event: LogEvent) -> None:
        found.append(formatEvent(event))

    observer: Any = hear
    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time, in minutes, by which complaints are counted."""
    now = [0.0]
    monkeypatch.setattr(event_log, "Complaints", lambda: Complaints(lambda: now[0]))
    return lambda minutes: now.__setitem__(0, minutes * 60)


class Reader:
    """The reader of a named pipe, who reads when it is told to."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / "pipe"
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self, most: int = 1 << 20) -> bytes:
        """What is there."""
        try:
            return os.read(self._descriptor, most)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


@pytest.fixture
def reader(tmp_path: pathlib.Path) -> Iterator[Reader]:
    """The reader of a named pipe."""
    reader = Reader(tmp_path)
    yield reader
    reader.close()


class Disk:
    """In the place of ``os.write``: takes so many bytes more, and then fails.

    :ivar room: how many.
    :ivar failure: how it fails: a full disk, or a reader that is slow.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        self.failure = errno.ENOSPC
        self._write = os.write
        monkeypatch.setattr("edgenode.observe.event_log.os.write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        """Write as much as there is room for."""
        if not self.room:
            raise OSError(self.failure, os.strerror(self.failure))
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk that is full."""
    return Disk(monkeypatch)


# -- when, and in which order ------------------------------------------------------------------------------------------


def test_an_event_is_a_line_of_json_in_the_file_a_tenth_of_a_second_later(tmp_path: pathlib.Path) -> None:
    """Not at once, for many are written together, and not later; nobody but owner and group may read it."""
    clock, path = Clock(), tmp_path / "events"
    log = EventLog(path, clock)
    log.record(FakeRecord(EXCHANGE))
    clock.advance(0.099)
    assert path.read_text() == ""
    clock.advance(0.002)
    assert json.loads(path.read_text())["listener"] == "public"
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    log.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_events_are_written_in_order_and_none_is_left_at_the_end(tmp_path: pathlib.Path) -> None:
    """Closing writes what still waits, and leaves no timer; what comes after it is dropped."""
    clock, path = Clock(), tmp_path / "events"
    log = opened(path, clock)
    put(log, "1", "2")
    clock.advance(0.2)
    assert path.read_text() == "1\n2\n"
    put(log, "3")
    log.close()
    put(log, "4")
    assert path.read_text() == "1\n2\n3\n"
    assert log.events == 3
    assert not clock.getDelayedCalls()


def test_what_is_there_already_stays(tmp_path: pathlib.Path) -> None:
    """The file is appended to."""
    path = tmp_path / "events"
    path.write_text("old\n")
    log = opened(path)
    put(log, "new")
    log.close()
    assert path.read_text() == "old\nnew\n"


def test_a_full_batch_waits_for_no_timer(tmp_path: pathlib.Path) -> None:
    """So no more than 64 records are kept, however many come between two turns of the reactor."""
    path = tmp_path / "events"
    log = opened(path)
    put(log, *map(str, range(63)))
    assert path.read_text() == ""
    put(log, "63")
    assert path.read_text().split() == list(map(str, range(64)))
    log.close()


def test_without_a_file_nothing_is_kept() -> None:
    """No record, and no timer."""
    clock = Clock()
    log = opened(None, clock)
    put(log, *("1" for _ in range(100)))
    assert not clock.getDelayedCalls()
    log.close()


def test_a_batch_that_takes_long_is_written_in_turns_of_a_millisecond(tmp_path: pathlib.Path) -> None:
    """The reactor gets its turn between them; nothing is lost, nothing overtakes, and nothing piles up."""
    clock, path, now = Clock(), tmp_path / "events", [0.0]

    def slow(record: Any) -> str:
        now[0] += 0.0003
        return str(record)

    log = EventLog(path, clock, slow, lambda: now[0])
    put(log, *map(str, range(64)))
    assert path.read_text().split() == ["0", "1", "2", "3"]
    clock.advance(0)
    assert path.read_text().split() == list(map(str, range(64)))
    many: Any = range(64, 300)
    put(log, *many)
    assert len(path.read_text().split()) >= 300 - 64
    log.close()
    assert path.read_text().split() == list(map(str, range(300)))


def test_a_line_that_takes_longer_than_a_turn_is_a_turn_of_its_own(tmp_path: pathlib.Path) -> None:
    """However long it takes: each turn writes one at least."""
    clock, path, now = Clock(), tmp_path / "events", [0.0]

    def slow(record: Any) -> str:
        now[0] += 1
        return str(record)

    log = EventLog(path, clock, slow, lambda: now[0])
    put(log, *map(str, range(64)))
    assert path.read_text() == "0\n"
    (call,) = clock.getDelayedCalls()
    assert call.getTime() == clock.seconds()
    clock.advance(0)
    assert len(path.read_text().split()) == 64
    log.close()


# -- what cannot be written --------------------------------------------------------------------------------------------


def test_an_event_that_cannot_be_written_as_json_costs_no_other(
    tmp_path: pathlib.Path, flush_logged_errors: Any, said: list[str]
) -> None:
    """It is counted and the others are written. However many there are, the log has one traceback a minute."""
    log = opened(tmp_path / "events")
    put(log, "1", "", "2", "", "")
    log.close()
    assert (tmp_path / "events").read_text() == "1\n2\n"
    assert len(flush_logged_errors(ValueError)) == 1
    assert [line for line in said if "events lost" in line] == [
        "1 events lost so far: they could not be written as JSON",
        "3 events lost so far: in the last minute",
    ]


def test_a_reader_that_does_not_read_stops_nobody(reader: Reader) -> None:
    """A full pipe neither blocks nor cuts a line in two: what does not fit is kept until it can be written."""
    clock = Clock()
    log = opened(reader.path, clock)
    lines = [f"{number:05d}" + "a" * 1000 for number in range(200)]
    put(log, *lines)
    clock.advance(0.2)
    received = b""
    for _ in range(100):
        received += reader.read()
        clock.advance(0.2)
    assert received.decode().splitlines() == lines
    log.close()


def test_four_mebibytes_are_kept_for_a_slow_reader_and_no_more(
    reader: Reader, said: list[str], minutes: Callable[[float], None]
) -> None:
    """What comes then is dropped, counted and logged; what was kept arrives whole, and what comes later too."""
    minutes(0)
    clock = Clock()
    log = opened(reader.path, clock)
    line = "a" * 65535
    count = 0
    while not said:
        assert count < 100, "nothing is dropped"
        put(log, line)
        log.flush()
        count += 1
    received = reader.read(1 << 30)
    assert said == ["1 events lost so far: whoever reads them is too slow"]
    in_the_pipe = len(received)
    assert 4 * MEBIBYTE - 65536 < (count - 1) * 65536 - in_the_pipe <= 4 * MEBIBYTE
    while clock.getDelayedCalls():
        clock.advance(0.2)
        received += reader.read(1 << 30)
    assert received == (line.encode() + b"\n") * (count - 1)
    put(log, "b")
    log.close()
    assert reader.read() == b"b\n"


def test_whoever_ends_with_lines_unread_says_how_many(reader: Reader, said: list[str]) -> None:
    """Closing does not wait for a slow reader."""
    log = opened(reader.path)
    put(log, *("a" * 65535 for _ in range(3)))
    log.close()
    assert said == ["2 events lost so far: the node ends"]
    assert reader.read(1 << 20) == b"a" * 65535 + b"\n"


def test_a_reader_that_is_gone_is_no_reason_to_stop(tmp_path: pathlib.Path, said: list[str]) -> None:
    """What it does not get is lost; the next reader of the pipe gets what comes then."""
    reader = Reader(tmp_path)
    log = opened(reader.path)
    reader.close()
    put(log, "1", "2")
    log.flush()
    assert said == ["2 events lost so far: Broken pipe"]
    descriptor = os.open(reader.path, os.O_RDONLY | os.O_NONBLOCK)
    put(log, "3")
    log.close()
    assert os.read(descriptor, 100) == b"3\n"
    os.close(descriptor)


def test_what_a_full_disk_did_not_take_is_not_kept(tmp_path: pathlib.Path, disk: Disk, said: list[str]) -> None:
    """It would only come to be more: it is dropped and counted, and when there is room again new lines are written."""
    path = tmp_path / "events"
    log = opened(path)
    put(log, "1", "2", "3")
    log.flush()
    assert said == ["3 events lost so far: No space left on device"]
    disk.room = 100
    log.flush()
    assert path.read_text() == ""
    put(log, "4")
    log.close()
    assert path.read_text() == "4\n"


def test_a_line_that_a_full_disk_cut_is_ended_before_the_next(
    tmp_path: pathlib.Path, disk: Disk, said: list[str]
) -> None:
    """Else two events would be one line, and neither could be read."""
    path = tmp_path / "events"
    log = opened(path)
    disk.room = 5
    put(log, "123", "4567", "89")
    log.flush()
    assert said == ["2 events lost so far: No space left on device"]
    put(log, "lost")
    log.close()
    assert said[1:] == ["3 events lost so far: in the last minute"]  # a line end that ends a part of one is no event
    assert path.read_text() == "123\n4"


def test_after_a_cut_line_every_further_one_can_be_read(tmp_path: pathlib.Path, disk: Disk) -> None:
    """Only what the disk did not take is lost."""
    path = tmp_path / "events"
    log = opened(path)
    disk.room = 5
    put(log, "123", "4567")
    log.flush()
    disk.room = 100
    put(log, "89")
    log.flush()
    put(log, "10")
    log.close()
    assert path.read_text() == "123\n4\n89\n10\n"


def test_a_line_that_is_written_in_parts_stays_one_line(tmp_path: pathlib.Path, disk: Disk) -> None:
    """What its reader has not taken yet follows when it can be written, and then the next line, without one between."""
    path, clock = tmp_path / "events", Clock()
    log = opened(path, clock)
    disk.room, disk.failure = 5, errno.EAGAIN
    put(log, "123", "4567")
    log.flush()
    put(log, "89")
    log.flush()
    assert path.read_text() == "123\n4"
    disk.room = 100
    clock.advance(0.2)
    assert path.read_text() == "123\n4567\n89\n"
    assert log.events == 3
    log.close()


def test_what_was_lost_takes_no_place(tmp_path: pathlib.Path, disk: Disk) -> None:
    """However much a full disk has not taken: once there is room, events are written again."""
    log = opened(tmp_path / "events")
    put(log, "a" * (4 * MEBIBYTE - 1))
    log.flush()
    disk.room = 100
    put(log, "b")
    log.close()
    assert (tmp_path / "events").read_text() == "b\n"


def test_a_full_disk_is_one_line_a_minute_in_the_log(
    disk: Disk, tmp_path: pathlib.Path, said: list[str], minutes: Callable[[float], None]
) -> None:
    """However many events are lost: else whoever sends requests would fill the log as well. All are counted."""
    log = opened(tmp_path / "events")
    for number in range(1000):
        minutes(number / 500)
        put(log, "1")
        log.flush()
    assert len(said) == 2
    assert said[0].startswith("1 events lost so far: No space left")
    assert said[1].startswith("501 events lost so far: No space left")
    log.close()
    assert said[2:] == ["1000 events lost so far: in the last minute"]


def test_nothing_lost_is_nothing_said(tmp_path: pathlib.Path, said: list[str]) -> None:
    """The log of a node that is well has nothing about events."""
    log = opened(tmp_path / "events")
    put(log, "1")
    log.close()
    assert said == []


# -- another file ------------------------------------------------------------------------------------------------------


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: pathlib.Path) -> None:
    """What waits goes where it was going; a file that is still there stays open, for it may not be openable again."""
    path, rotated = tmp_path / "events", tmp_path / "events.1"
    log = opened(path)
    put(log, "1")
    log.reopen(path)
    put(log, "2")
    path.rename(rotated)
    log.reopen(path)
    put(log, "3")
    log.reopen(tmp_path / "other")
    put(log, "4")
    log.reopen(None)
    put(log, "5")
    log.reopen(path)
    put(log, "6")
    log.close()
    written = [each.read_text() for each in (rotated, path, tmp_path / "other")]
    assert written == ["1\n2\n", "3\n6\n", "4\n"]


def test_a_file_in_the_place_of_one_that_was_moved_away_is_another(tmp_path: pathlib.Path) -> None:
    """Logrotate makes a new one before it has the node reload."""
    path = tmp_path / "events"
    log = opened(path)
    path.rename(tmp_path / "events.1")
    path.touch()
    log.reopen(path)
    put(log, "1")
    log.close()
    assert path.read_text() == "1\n"


def test_a_file_that_is_still_there_stays_open(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has given up root could not open it again."""
    path = tmp_path / "events"
    log = opened(path)
    monkeypatch.setattr("edgenode.observe.event_log.os.open", None)
    log.reopen(path)
    put(log, "1")
    log.close()
    assert path.read_text() == "1\n"


def test_a_file_that_cannot_be_opened_leaves_the_old_one(tmp_path: pathlib.Path) -> None:
    """And nothing that waits is lost."""
    log = opened(tmp_path / "events")
    put(log, "1")
    with pytest.raises(IsADirectoryError):
        log.reopen(tmp_path)
    put(log, "2")
    log.close()
    assert (tmp_path / "events").read_text() == "1\n2\n"


def test_no_descriptor_is_left_open(tmp_path: pathlib.Path) -> None:
    """Neither by opening anew nor by closing."""
    before = os.listdir("/proc/self/fd")
    log = opened(tmp_path / "events")
    for name in ("a", "b", None, "c"):
        log.reopen(None if name is None else tmp_path / name)
    log.close()
    assert os.listdir("/proc/self/fd") == before


def test_a_new_file_does_not_begin_within_a_line(reader: Reader, tmp_path: pathlib.Path, said: list[str]) -> None:
    """A line that a slow reader has had the beginning of is not continued elsewhere; those behind it are."""
    path = tmp_path / "events"
    log = opened(reader.path)
    put(log, *(f"{number:02d}" + "a" * 5000 for number in range(60)))
    log.reopen(path)
    log.close()
    read = reader.read()
    whole, part = read.count(b"\n"), not read.endswith(b"\n")
    assert part
    assert [line[:2] for line in path.read_text().splitlines()] == [f"{each:02d}" for each in range(whole + 1, 60)]
    assert said == ["1 events lost so far: its reader was too slow"]


def test_a_new_file_gets_whole_lines_if_the_old_one_did(reader: Reader, tmp_path: pathlib.Path) -> None:
    """What a slow reader has not had the beginning of goes to the new file as it is."""
    path = tmp_path / "events"
    log = opened(reader.path)
    put(log, *(str(number) + "a" * 65534 for number in range(4)))
    log.reopen(path)
    assert [line[0] for line in path.read_text().splitlines()] == ["1", "2", "3"]
    log.close()
    assert reader.read() == b"0" + b"a" * 65534 + b"\n"


def test_the_last_line_that_was_cut_leaves_nothing_for_a_new_file(tmp_path: pathlib.Path, reader: Reader) -> None:
    """The new file begins with the next event."""
    path = tmp_path / "events"
    log = opened(reader.path)
    put(log, "a" * 70000)
    log.reopen(path)
    put(log, "b")
    log.flush()
    put(log, "c")
    log.close()
    assert path.read_text() == "b\nc\n"


# -- standard output ---------------------------------------------------------------------------------------------------

TO_STDOUT = textwrap.dedent(
    """
    import fcntl, os, pathlib, sys
    from twisted.internet.task import Clock
    from edgenode.observe.event_log import EventLog
    clock = Clock()
    log = EventLog(pathlib.Path("-"), clock, str)
    log.reopen(pathlib.Path("-"))
    for number in range(int(sys.argv[1])):
        log.record(str(number))
    clock.advance(1)
    assert not fcntl.fcntl(1, fcntl.F_GETFL) & os.O_NONBLOCK, "others write there as well"
    print("written", file=sys.stderr, flush=True)
    if sys.argv[1] == "1":
        log.close()
    """
)


def test_standard_output_gets_the_events_and_stays_blocking_for_others(tmp_path: pathlib.Path) -> None:
    """A pipe, or a file, which is appended to."""
    command = [sys.executable, "-c", TO_STDOUT, "1"]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"0\n"
    with (tmp_path / "out").open("wb") as file:
        file.write(b"before\n")
        file.flush()
        subprocess.run(command, stdout=file, check=True)
        file.write(b"")
    assert (tmp_path / "out").read_bytes() == b"before\n0\n"


def test_a_socket_as_standard_output_holds_up_nobody() -> None:
    """Journald's is one: it cannot be opened by a name, and others write there too."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", TO_STDOUT, "300000"]
        with subprocess.Popen(command, stdout=theirs.fileno(), stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == b"written\n"
            process.wait()
        theirs.close()
        received = b"".join(iter(lambda: ours.recv(1 << 20), b""))
    lines = received.split(b"\n")
    assert 100 < len(lines) < 300000
    assert lines[:100] == [b"%d" % number for number in range(100)]


def test_a_copy_has_the_same_lines(tmp_path: pathlib.Path) -> None:
    """Made once; what happens to the state is nothing of it; and one that is closed takes none."""
    clock = Clock()
    made: list[object] = []

    def line(record: Any) -> str:
        made.append(record)
        return str(record)

    log, copy = EventLog(tmp_path / "log", clock, line), opened(tmp_path / "copy", clock)
    log.copies = (copy, opened(None))
    put(log, "a", "b")
    clock.advance(1)
    assert (tmp_path / "copy").read_text() == (tmp_path / "log").read_text() == "a\nb\n"
    put(log, "c")
    log.close()
    copy.close()
    assert (tmp_path / "copy").read_text() == "a\nb\nc\n"
    assert made == ["a", "b", "c"]
