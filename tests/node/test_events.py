"""Events: one JSON line for each exchange, and never a node that waits for who reads them."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Address, Connection, Exchange
from edgenode.node.events import EventLog
from edgenode.proxy.event_record import Account
from edgenode.proxy.judging import Judgement

CONNECTION = Connection(Address("192.0.2.1", 4711), Address("192.0.2.2", 443))


@frozen
class Line:
    """Something to tell."""

    text: str

    def line(self) -> str:
        """Tell it, or fail to."""
        if not self.text:
            raise ValueError
        return self.text


def test_events_are_written_in_order_and_soon(tmp_path: pathlib.Path) -> None:
    """What was recorded stands in the file a tenth of a second later; nobody but owner and group may read it."""
    clock, path = Clock(), tmp_path / "events"
    log = EventLog(path, clock)
    log.record(Line("1"))
    log.record(Line("2"))
    clock.advance(0.2)
    assert path.read_text() == "1\n2\n"
    assert path.stat().st_mode & 0o007 == 0
    log.record(Line("3"))
    log.close()
    assert path.read_text() == "1\n2\n3\n"
    assert not clock.getDelayedCalls()


def test_an_event_that_cannot_be_told_costs_no_other(tmp_path: pathlib.Path, flush_logged_errors: object) -> None:
    """It is counted, and the others are written."""
    log = EventLog(tmp_path / "events", Clock())
    for text in ("1", "", "2"):
        log.record(Line(text))
    log.close()
    assert (tmp_path / "events").read_text() == "1\n2\n"
    assert callable(flush_logged_errors)
    assert flush_logged_errors(ValueError)


def test_a_reader_that_does_not_read_stops_nobody(tmp_path: pathlib.Path) -> None:
    """A full pipe neither blocks nor cuts a line in two: what fits is kept until it can be written."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    clock = Clock()
    log = EventLog(pipe, clock)
    lines = [f"{number:05d}" + "a" * 1000 for number in range(200)]
    for text in lines:
        log.record(Line(text))
    clock.advance(0.2)
    received = b""
    for _ in range(100):
        try:
            received += os.read(reader, 1 << 20)
        except BlockingIOError:
            clock.advance(0.2)
    assert received.decode().splitlines() == lines
    log.close()
    os.close(reader)


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: pathlib.Path) -> None:
    """What waits goes where it was going; a file that is still there stays open, for it may not be openable again."""
    path, rotated = tmp_path / "events", tmp_path / "events.1"
    log = EventLog(path, Clock())
    log.record(Line("1"))
    log.reopen(path)
    log.record(Line("2"))
    path.rename(rotated)
    log.reopen(path)
    log.record(Line("3"))
    log.reopen(tmp_path / "other")
    log.record(Line("4"))
    log.reopen(None)
    log.record(Line("5"))
    log.reopen(path)
    log.record(Line("6"))
    log.close()
    written = [each.read_text() for each in (rotated, path, tmp_path / "other")]
    assert written == ["1\n2\n", "3\n6\n", "4\n"]


def test_a_file_that_cannot_be_opened_leaves_the_old_one(tmp_path: pathlib.Path) -> None:
    """And nothing that waits is lost."""
    log = EventLog(tmp_path / "events", Clock())
    log.record(Line("1"))
    with pytest.raises(IsADirectoryError):
        log.reopen(tmp_path)
    log.record(Line("2"))
    log.close()
    assert (tmp_path / "events").read_text() == "1\n2\n"


def test_a_new_file_does_not_begin_within_a_line(tmp_path: pathlib.Path) -> None:
    """A line that a slow reader has had the beginning of is not continued elsewhere; those behind it are."""
    pipe, path = tmp_path / "pipe", tmp_path / "events"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = EventLog(pipe, Clock())
    for number in range(60):
        log.record(Line(f"{number:02d}" + "a" * 5000))
    log.reopen(path)
    log.close()
    read = os.read(reader, 1 << 20)
    os.close(reader)
    whole, part = read.count(b"\n"), not read.endswith(b"\n")
    assert part
    assert [line[:2] for line in path.read_text().splitlines()] == [f"{each:02d}" for each in range(whole + 1, 60)]


def test_no_event_can_forge_another() -> None:
    """Whatever a client sends, its event is one line of printable ASCII, and JSON."""
    judgement = Judgement(Exchange(CONNECTION, client="192.0.2.1"))
    account = Account("public", judgement, 0.0)
    account.error = ClientError(400, 'a\n{"status":200}\x1b[2J\u009b\u2028"')
    line = account.line()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["error"]["reason"] == account.error.reason


def test_a_full_disk_is_one_line_a_minute() -> None:
    """However many events are lost: else whoever sends requests would fill the log as well."""
    said: list[str] = []

    def hear(event: LogEvent) -> None:
        said.append(formatEvent(event))

    observer: Any = hear
    globalLogPublisher.addObserver(observer)
    try:
        log = EventLog(pathlib.Path("/dev/full"), Clock())
        for _ in range(1000):
            log.record(Line("1"))
        log.close()
    finally:
        globalLogPublisher.removeObserver(observer)
    assert [line for line in said if "events lost so far" in line] == [said[0]]
