"""Exporters at work in an observer: a journal on the disk, receivers over TLS, and an end at any moment."""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from attrs import define, evolve, field

from edgenode.observe.exporters.exporter import Exporter
from edgenode.observe.exporters.exporting import Exporting
from edgenode.observe.exporters.set_aside import FOLDER
from edgenode.observe.journal.journal import Journal
from edgenode.observe.journal.positions import Positions
from edgenode.observe.journal.reader import Position, beginning
from edgenode.observe.journal.segments import Segment
from edgenode.observe.observing import Observing
from tests.observe.exporters.support import Received, event_line, exporter, page
from tests.support.node import PKI, until
from tests.support.origins import OK, Origin, Served, answering
from tests.support.pools import pool_to

BEGAN = datetime.datetime(2026, 11, 30, 17, tzinfo=datetime.UTC)
WEBHOOK = "type = webhook\nsecret = s\nbatch-time = 0\nbackoff = 10ms\nmax-backoff = 20ms"


def write(folder: pathlib.Path, *numbers: int, segment: int = 1) -> None:
    """Append events to a segment of the journal."""
    with Segment.new(folder, segment, BEGAN).path.open("ab") as file:
        file.write(b"".join(event_line(each) + b"\n" for each in numbers))


@define
class Receiver:
    """A webhook.

    :ivar taken: the keys of every event that came, by its identifier.
    :ivar count: how many came.
    :ivar stuck: whether it takes requests, and answers nothing.
    :ivar poison: the identifier of an event that it refuses.
    """

    taken: dict[str, set[str]] = field(factory=dict)
    count: int = 0
    stuck: bool = False
    poison: str = ""

    def behave(self, served: Served) -> None:
        """Serve a connection."""
        while (request := served.request()) is not None:
            found = [json.loads(line) for line in Received.of(request).body.splitlines()]
            if self.poison in {each["id"] for each in found}:
                served.send(page("400 Bad Request", b"poison"))
                continue
            for each in found:
                self.taken.setdefault(each["id"], set()).add(each["_id"])
                self.count += 1
            if self.stuck:
                served.stall()
                return
            served.send(OK)


@contextlib.asynccontextmanager
async def exporting(
    pki: PKI, folder: pathlib.Path, exporters: Mapping[str, tuple[Exporter, Origin]]
) -> AsyncIterator[list[Mapping[str, Any]]]:
    """An observer's part; gives what it tells."""
    told: list[Mapping[str, Any]] = []
    with contextlib.ExitStack() as stack:
        pools = {name: stack.enter_context(pool_to(pki, origin.port)) for name, (_, origin) in exporters.items()}
        reactor = next(iter(pools.values())).reactor
        observing = Observing(
            "edge-1",
            Journal(),
            folder,
            {name: evolve(each, origin=name) for name, (each, _) in exporters.items()},
            {},
            pools,
            Positions(folder),
            reactor,
            told.append,
        )
        part = Exporting(observing)
        part.start()
        try:
            yield told
        finally:
            await part.stop()


async def test_events_of_the_journal_are_sent_and_the_position_is_kept(pki: PKI, tmp_path: pathlib.Path) -> None:
    """From one segment to the next, as they come."""
    write(tmp_path, *range(5))
    receiver = Receiver()
    with Origin(pki, receiver.behave) as origin:
        async with exporting(pki, tmp_path, {"x": (exporter(WEBHOOK), origin)}) as told:
            await until(lambda: len(receiver.taken) == 5)
            write(tmp_path, 5, 6)
            write(tmp_path, 7, segment=2)
            await until(lambda: len(receiver.taken) == 8)
            position = Position(2, len(event_line(7)) + 1)
            await until(lambda: Positions(tmp_path).get("exporter x") == position)
    assert told[0]["exporters"]["x"].keys() == {
        "sent", "failed", "set_aside", "lost", "behind_bytes", "last_error", "since"
    }  # fmt: skip


async def test_an_end_in_the_middle_loses_nothing(pki: PKI, tmp_path: pathlib.Path) -> None:
    """What was sent, but not acknowledged, is sent again by the next process, under the same key."""
    write(tmp_path, *range(50))
    keys = f"{WEBHOOK}\nbatch-size = 10"
    receiver = Receiver(stuck=True)
    with Origin(pki, receiver.behave) as origin:
        async with exporting(pki, tmp_path, {"x": (exporter(keys), origin)}):
            await until(lambda: receiver.count >= 10)
    receiver.stuck = False
    with Origin(pki, receiver.behave) as origin:
        async with exporting(pki, tmp_path, {"x": (exporter(keys), origin)}):
            await until(lambda: len(receiver.taken) == 50)
    assert receiver.count > 50
    assert all(len(each) == 1 for each in receiver.taken.values())


async def test_one_receiver_does_not_hold_up_another(pki: PKI, tmp_path: pathlib.Path) -> None:
    """One that answers nothing lags alone."""
    write(tmp_path, *range(20))
    receiver = Receiver()

    def silent(served: Served) -> None:
        served.stall()

    with Origin(pki, receiver.behave) as origin, Origin(pki, silent) as other:
        several = {"x": (exporter(WEBHOOK), origin), "y": (exporter(WEBHOOK), other)}
        async with exporting(pki, tmp_path, several) as told:
            await until(lambda: told and told[-1]["exporters"]["x"]["sent"] == 20)
    assert len(receiver.taken) == 20
    assert told[-1]["exporters"]["y"]["sent"] == 0


async def test_what_is_refused_is_kept_for_people(pki: PKI, tmp_path: pathlib.Path) -> None:
    """With the reason, in a file that others cannot read."""
    write(tmp_path, *range(4))
    receiver = Receiver(poison="00000002")
    with Origin(pki, receiver.behave) as origin:
        async with exporting(pki, tmp_path, {"x": (exporter(WEBHOOK), origin)}):
            await until(lambda: len(receiver.taken) == 3)
            path = tmp_path / FOLDER / "x.jsonl"
            await until(path.exists)
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["event"]["id"] == "00000002"
    assert "poison" in json.loads(line)["reason"]
    assert path.stat().st_mode & 0o007 == 0


async def test_the_expression_says_what_is_sent(pki: PKI, tmp_path: pathlib.Path) -> None:
    """The rest is passed over, and nothing of it comes later."""
    write(tmp_path, *range(20))
    receiver = Receiver()
    with Origin(pki, receiver.behave) as origin:
        keys = f'{WEBHOOK}\nexpression = http.request.uri.path in {{"/3" "/17"}}'
        async with exporting(pki, tmp_path, {"x": (exporter(keys), origin)}):
            await until(lambda: len(receiver.taken) == 2)
    assert list(receiver.taken) == ["00000003", "00000011"]


def test_a_new_exporter_begins_with_the_file_of_now(tmp_path: pathlib.Path) -> None:
    """Nothing that the node has done since it began is passed over, and nothing old is sent."""
    later, soon = BEGAN.timestamp() + 3600, BEGAN.timestamp() + 5
    assert beginning(tmp_path, later) == Position(0)
    write(tmp_path, 1, segment=6)
    write(tmp_path, 2, segment=7)
    assert beginning(tmp_path, later) == Position(7)
    path = Segment.new(tmp_path, 8, BEGAN).path
    path.with_suffix(".jsonl.gz").write_bytes(b"")
    assert beginning(tmp_path, later) == Position(9)
    # The observer takes a while to start, and meanwhile the node may have begun several.
    assert beginning(tmp_path, soon) == Position(6)


async def test_positions_that_cannot_be_written_are_no_end(
    pki: PKI, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk events are sent all the same; more may be sent twice."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Positions, "keep", full)
    write(tmp_path, *range(3))
    with Origin(pki, answering(OK)) as origin:
        async with exporting(pki, tmp_path, {"x": (exporter(WEBHOOK), origin)}) as told:
            await until(lambda: told and told[-1]["exporters"]["x"]["sent"] == 3)
    assert Positions(tmp_path).get("exporter x") is None
