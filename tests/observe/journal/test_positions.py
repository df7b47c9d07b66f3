"""How far readers of a journal have come, on the disk."""

from __future__ import annotations

import pathlib

import pytest
from twisted.logger import capturedLogs, formatEvent

from edgenode.observe.journal.positions import NAME, Positions
from edgenode.observe.journal.reader import Position


def test_a_position_outlasts_the_process(tmp_path: pathlib.Path) -> None:
    """Each under the name of its reader; who has never been there has none."""
    positions = Positions(tmp_path)
    assert positions.get("exporter a") is None
    positions.keep("exporter a", Position(1, 20))
    positions.keep("exporter b", Position(3, 0))
    positions.keep("exporter a", Position(2, 7))
    again = Positions(tmp_path)
    assert again.all == {"exporter a": Position(2, 7), "exporter b": Position(3, 0)}
    assert again.get("exporter a") == Position(2, 7)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_who_is_no_more_is_forgotten(tmp_path: pathlib.Path) -> None:
    """For nobody waits for what it has not read."""
    positions = Positions(tmp_path)
    for name in "ab":
        positions.keep(name, Position(1, 1))
    positions.only(frozenset("b"))
    assert [*Positions(tmp_path).all] == ["b"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": {"segment": -1, "offset": 0}}', '{"a": 3}', "\0\0"])
def test_a_file_that_is_damaged_is_none(tmp_path: pathlib.Path, text: str) -> None:
    """All begin anew, so that nothing is missing; the log says so."""
    (tmp_path / NAME).write_text(text)
    with capturedLogs() as logged:
        assert Positions(tmp_path).all == {}
    assert ["begin anew" in formatEvent(each) for each in logged] == [True]


def test_what_cannot_be_written_is_remembered(tmp_path: pathlib.Path) -> None:
    """A full disk costs no more than that lines come again after a restart; and the old file stays as it was."""
    positions = Positions(tmp_path)
    positions.keep("a", Position(1, 1))
    (tmp_path / "positions.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        positions.keep("a", Position(2, 2))
    assert positions.get("a") == Position(2, 2)
    assert Positions(tmp_path).get("a") == Position(1, 1)
