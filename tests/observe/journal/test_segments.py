"""What is a segment of a journal, and what only has the name of one."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable

import pytest

from edgenode.observe.journal.reader import JournalReader, Position
from edgenode.observe.journal.segments import PARQUET, parquet_files, segments

_LAST = "events-20261130T170000Z-000009.jsonl"


def _pipe(path: pathlib.Path) -> None:
    os.mkfifo(path)


def _link_to_nothing(path: pathlib.Path) -> None:
    path.symlink_to("nowhere")


def _link_to_a_file(path: pathlib.Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("make", [_pipe, pathlib.Path.mkdir, _link_to_nothing, _link_to_a_file])
class TestWhatIsNoFile:
    """Only a file is a segment."""

    def test_is_no_segment(self, make: Callable[[pathlib.Path], None], tmp_path: pathlib.Path) -> None:
        """A pipe, a folder or a link is neither a segment nor a Parquet file, whatever its name is."""
        (tmp_path / PARQUET).mkdir()
        make(tmp_path / _LAST)
        make(tmp_path / PARQUET / f"{_LAST.partition('.')[0]}.parquet")
        assert (segments(tmp_path), parquet_files(tmp_path)) == ({}, {})

    def test_holds_no_reader_up(self, make: Callable[[pathlib.Path], None], tmp_path: pathlib.Path) -> None:
        """What was written is read, and nobody waits at what has the name of a later segment."""
        (tmp_path / "events-20261130T160000Z-000001.jsonl").write_bytes(b"{}\n")
        make(tmp_path / _LAST)
        with contextlib.closing(JournalReader(tmp_path, Position())) as reader:
            assert reader.read() == [b"{}"]
