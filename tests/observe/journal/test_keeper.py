"""The keeper of a journal: one closed segment after another, and what is too old goes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from edgenode.model.settings import Folder, Seconds, Size
from edgenode.observe.journal.journal import Journal
from edgenode.observe.journal.keeper import JournalKeeper
from edgenode.observe.journal.positions import Positions
from edgenode.observe.journal.reader import Position
from edgenode.observe.journal.segments import PARQUET, partial, segments
from edgenode.observe.observing import Observing
from tests.observe.journal.journals import BEGAN, Writer


class Process:
    """A process that was started, of which the test says how it ends."""

    def __init__(self, protocol: Any, command: tuple[str, ...]) -> None:
        self.protocol = protocol
        self.number = int(command[5])
        self.options = command[6:8]
        self.signals: list[str] = []
        protocol.transport = self

    def signalProcess(self, name: str) -> None:
        """End it."""
        self.signals.append(name)
        self.end("", status=9)

    def end(self, out: str = "{}", err: str = "", status: int = 0) -> None:
        """It has ended."""
        if out:
            self.protocol.outReceived(out.encode())
        if err:
            self.protocol.errReceived(err.encode())
        self.protocol.processEnded(Failure(ProcessTerminated(status) if status else ProcessDone(0)))


class Reactor(Clock):
    """A clock that starts processes.

    :ivar started: all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Process] = []

    def spawnProcess(self, protocol: Any, program: str, command: tuple[str, ...], **options: Any) -> Process:
        """Start one."""
        self.started.append(Process(protocol, command))
        return self.started[-1]


class Kept:
    """A journal with a keeper.

    :ivar told: what the node was told last.
    """

    def __init__(self, folder: pathlib.Path, **keys: Any) -> None:
        self.writer = Writer(folder, 60.0)
        self.reactor = Reactor()
        self.positions = Positions(folder)
        self.told: dict[str, Any] = {}
        keys = {"rotate_size": Size(1 << 16), "rotate_time": Seconds(60.0), **keys}
        journal = Journal(folder=Folder(folder), **keys)
        observing = Observing(
            "edge", journal, folder, {}, {}, {}, self.positions, self.reactor, lambda told: self.told.update(told)
        )
        self.keeper = JournalKeeper(observing, lambda: BEGAN.timestamp() + self.reactor.seconds())

    def write(self, *sizes: int) -> None:
        """Segments of these sizes, of which the last is not closed."""
        for number, size in enumerate(sizes):
            if number:
                self.writer.rotate()
            self.writer.write(b"x" * size)


@pytest.fixture
def kept(tmp_path: pathlib.Path) -> Callable[..., Kept]:
    """Makes one in a folder."""
    return lambda **keys: Kept(tmp_path, **keys)


def test_closed_segments_are_closed_one_after_another(kept: Callable[..., Kept]) -> None:
    """The oldest first, and never the one that the node writes to."""
    journal = kept(compression="gzip")
    journal.write(10, 10, 10)
    journal.keeper.start()
    assert [(each.number, each.options) for each in journal.reactor.started] == [(1, ("yes", "gzip"))]
    journal.reactor.advance(5)
    assert len(journal.reactor.started) == 1
    journal.writer.compress(1, ".gz")
    journal.writer.segment.parquet.parent.mkdir()
    journal.told.clear()
    segments(journal.writer.folder)[1].parquet.touch()
    journal.reactor.started[0].end('{"rows": 3, "broken": 0}')
    journal.reactor.advance(0)
    assert [each.number for each in journal.reactor.started] == [1, 2]
    assert (journal.told["journal"]["rows"], journal.told["journal"]["waiting"]) == (3, 1)
    journal.keeper.stop()


def test_what_is_not_wanted_is_not_done(kept: Callable[..., Kept]) -> None:
    """Neither Parquet nor compression: then there is nothing to do."""
    journal = kept(compression="off", parquet=False)
    journal.write(10, 10, 10)
    journal.keeper.start()
    journal.reactor.advance(5)
    assert journal.reactor.started == []
    journal.keeper.stop()


def test_a_segment_that_cannot_be_closed_holds_up_no_other(kept: Callable[..., Kept]) -> None:
    """The next has its turn, and it is tried again after a minute, then after two."""
    journal = kept()
    journal.write(10, 10, 10)
    with capturedLogs() as logged:
        journal.keeper.start()
        journal.reactor.started[0].end("", "No space left on device", 1)
        journal.reactor.advance(1)
        assert [each.number for each in journal.reactor.started] == [1, 2]
        journal.reactor.started[1].end("", "", 11)
        journal.reactor.pump([1] * 58)
        assert len(journal.reactor.started) == 2
        journal.reactor.pump([1] * 3)
        assert [each.number for each in journal.reactor.started] == [1, 2, 1]
        journal.reactor.started[2].end("", "No space left on device", 1)
        journal.reactor.advance(1)
        assert [each.number for each in journal.reactor.started] == [1, 2, 1, 2]
        journal.reactor.started[3].end("", "", 11)
        journal.reactor.pump([1] * 100)
        assert len(journal.reactor.started) == 4
    assert "segment 1 cannot be closed: No space left on device" in [formatEvent(each) for each in logged]
    assert journal.told["journal"]["failed"] == 2
    journal.keeper.stop()


def test_an_end_ends_the_process_too(kept: Callable[..., Kept]) -> None:
    """And nothing is begun any more."""
    journal = kept()
    journal.write(10, 10)
    journal.keeper.start()
    ended = journal.keeper.stop()
    assert isinstance(ended, Deferred)
    assert ended.called
    assert journal.reactor.started[0].signals == ["KILL"]
    assert journal.reactor.getDelayedCalls() == []


def test_what_an_earlier_one_has_left_goes(kept: Callable[..., Kept]) -> None:
    """Files of which only a part was written."""
    journal = kept()
    part = partial(journal.writer.segment.parquet)
    part.parent.mkdir()
    part.touch()
    journal.keeper.start()
    assert not part.exists()
    journal.keeper.stop()


def test_the_oldest_go_by_size(kept: Callable[..., Kept]) -> None:
    """With their Parquet; what an exporter has not sent is counted, and the log says whose it was."""
    journal = kept(keep_size=Size(1 << 17), compression="off", parquet=False)
    journal.write(60_000, 60_000, 60_000, 60_000)
    (journal.writer.folder / PARQUET).mkdir()
    segments(journal.writer.folder)[1].parquet.write_bytes(b"p" * 60_000)
    journal.positions.keep("exporter late", Position(1, 50))
    with capturedLogs() as logged:
        journal.keeper.start()
    assert [*segments(journal.writer.folder)] == [3, 4]
    assert [*(journal.writer.folder / PARQUET).iterdir()] == []
    assert (journal.told["journal"]["deleted"], journal.told["journal"]["unsent"]) == (2, 2)
    assert "segment 1 is deleted, which ['exporter late'] had not sent" in [formatEvent(each) for each in logged]
    journal.keeper.stop()


def test_the_oldest_go_by_age(kept: Callable[..., Kept]) -> None:
    """Once even the last event of a segment is too old: that is not later than the beginning of the next."""
    journal = kept(keep_time=Seconds(100.0), compression="off", parquet=False)
    journal.write(10, 10, 10)
    journal.keeper.start()
    journal.reactor.pump([1] * 159)
    assert [*segments(journal.writer.folder)] == [1, 2, 3]
    journal.reactor.pump([1] * 3)
    assert [*segments(journal.writer.folder)] == [2, 3]
    journal.keeper.stop()


def test_a_folder_that_cannot_be_read_is_told_once(kept: Callable[..., Kept]) -> None:
    """It is looked at again all the same."""
    journal = kept()
    journal.keeper.start()
    moved = journal.writer.folder.rename(journal.writer.folder.with_name("moved"))
    with capturedLogs() as logged:
        journal.reactor.pump([1] * 5)
    assert len([each for each in logged if "cannot be kept" in formatEvent(each)]) == 1
    moved.rename(journal.writer.folder)
    journal.write(1, 1)
    journal.reactor.advance(1)
    assert len(journal.reactor.started) == 1
    journal.keeper.stop()
