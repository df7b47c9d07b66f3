"""What becomes of a closed segment: Parquet, and compressed, with nothing lost at any moment."""

from __future__ import annotations

import gzip
import json
import os
import pathlib

import duckdb
import pytest
import zstandard

from edgenode.observe.event_record import event_line
from edgenode.observe.journal.closing import close, main
from edgenode.observe.journal.reader import JournalReader, Position
from edgenode.observe.journal.segments import parquet_files, segments
from tests.observe.journal.journals import Writer
from tests.support.records import EXCHANGE, FakeRecord

LINE = event_line(FakeRecord(EXCHANGE)).encode("ascii") + b"\n"


@pytest.fixture
def closed(tmp_path: pathlib.Path) -> Writer:
    """A journal whose first segment is closed, with two events and what is none."""
    writer = Writer(tmp_path)
    writer.write(LINE + b"torn\n" + LINE)
    os.utime(writer.segment.path, (1e9, 1e9))
    writer.rotate()
    return writer


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_closed_segment_is_parquet_and_compressed(closed: Writer, compression: str) -> None:
    """Both have all of its events; the time of its last change is kept."""
    assert close(closed.folder, 1, parquet=True, compression=compression) == {"rows": 2, "broken": 1}
    segment, parquet = segments(closed.folder)[1], parquet_files(closed.folder)[1]
    data = segment.path.read_bytes()
    read = zstandard.decompress if compression == "zstd" else gzip.decompress
    assert read(data) == LINE + b"torn\n" + LINE
    assert segment.path.stat().st_mtime == 1e9
    assert {each.suffix for each in closed.folder.iterdir()} == {segment.path.suffix, ".jsonl", ""}
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM '{parquet.path}'").fetchone() == (2,)


def test_what_is_done_is_not_done_again(closed: Writer) -> None:
    """Whatever was interrupted between the two is finished, and no more."""
    assert close(closed.folder, 1, parquet=True, compression="off") == {"rows": 2, "broken": 1}
    before = parquet_files(closed.folder)[1].path.stat().st_ino
    assert close(closed.folder, 1, parquet=True, compression="zstd") == {}
    assert close(closed.folder, 1, parquet=True, compression="gzip") == {}
    assert parquet_files(closed.folder)[1].path.stat().st_ino == before
    assert segments(closed.folder)[1].path.suffix == ".zst"


def test_a_segment_that_has_gone_is_no_fault(closed: Writer) -> None:
    """Retention may take it at any time."""
    assert close(closed.folder, 7, parquet=True, compression="zstd") == {}


def test_readers_do_not_notice(closed: Writer) -> None:
    """A position in the segment is the same place when it is compressed."""
    close(closed.folder, 1, parquet=False, compression="zstd")
    reader = JournalReader(closed.folder, Position(1, len(LINE)))
    assert reader.read() == [b"torn", LINE[:-1]]
    reader.close()


def test_the_process_prints_what_it_has_made(closed: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON; or a sentence, with the status 1."""
    before = os.umask(0o022)
    try:
        main(str(closed.folder), "1", "yes", "zstd")
        assert json.loads(capsys.readouterr().out) == {"rows": 2, "broken": 1}
        assert parquet_files(closed.folder)[1].path.stat().st_mode & 0o777 == 0o640
        parquet_files(closed.folder)[1].path.unlink()
        segments(closed.folder)[1].path.write_bytes(b"\x28\xb5\x2f\xfdnot at all")
        with pytest.raises(SystemExit) as ended:
            main(str(closed.folder), "1", "yes", "zstd")
        assert ended.value.code == 1
        assert "frame" in capsys.readouterr().err
    finally:
        os.umask(before)
