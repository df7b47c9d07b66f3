"""Segments as Parquet: every event a row, with the values of its line; what is no event is counted."""

from __future__ import annotations

import ipaddress
import json
import pathlib
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgenode.observe.event_record import event_line
from edgenode.observe.journal.columns import COLUMNS, COMPUTED
from edgenode.observe.journal.parquet import Converted, convert
from edgenode.observe.state_events import state_line
from edgenode.state.interface import Entry, Happened
from tests.observe.journal.journals import HOWS
from tests.support.records import EXCHANGE, FakeRecord, records

HELD = Entry("header.user-agent", "bad\n\x1b\ud800", 1.8e9 + 60, 1.8e9, "dynamic-rule x", "too often")
LINE = event_line(FakeRecord(EXCHANGE)).encode("ascii")


def converted(folder: pathlib.Path, data: bytes, ending: str = "") -> tuple[Converted, list[dict[str, Any]]]:
    """What is made of a segment: the count, and its rows."""
    segment, target = folder / f"events-20261130T170000Z-000001.jsonl{ending}", folder / "parquet" / "1.parquet"
    segment.write_bytes(HOWS[ending](data) if ending else data)
    found = convert(segment, target)
    with duckdb.connect() as connection:
        read = connection.execute(f"SELECT * FROM '{target}'")
        names = [each[0] for each in read.description]
        return found, [dict(zip(names, row, strict=True)) for row in read.fetchall()]


def known(value: Any) -> Any:
    """What a line says, as far as a column can hold it: texts have no halves of characters, numbers 63 bits."""
    match value:
        case dict():
            return {name: known(each) for name, each in value.items()}
        case list():
            return [known(each) for each in value]
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case int() if value >= 1 << 63:
            return None
    return value


def without_absent(value: Any, like: Any) -> Any:
    """A row without the keys that its line does not have: they are NULL."""
    if isinstance(value, dict) and isinstance(like, dict):
        assert all(each is None for name, each in value.items() if name not in like)
        return {name: without_absent(each, like[name]) for name, each in value.items() if name in like}
    if isinstance(value, list) and isinstance(like, list):
        return [without_absent(each, other) for each, other in zip(value, like, strict=True)]
    return value


@given(st.lists(records, min_size=1, max_size=4))
@settings(max_examples=25, phases=(Phase.generate,))
def test_a_row_has_the_values_of_its_line(tmp_path_factory: pytest.TempPathFactory, several: list[FakeRecord]) -> None:
    """Every field, also within others, and in the order of the lines; what is absent is NULL."""
    lines = [event_line(each) for each in several]
    found, rows = converted(tmp_path_factory.mktemp("journal"), "".join(f"{each}\n" for each in lines).encode("ascii"))
    assert (found.rows, found.broken) == (len(lines), 0)
    for record, line, row in zip(several, lines, rows, strict=True):
        event = known(json.loads(line))
        assert row.pop("time").timestamp() == pytest.approx(record.time, abs=1e-3)
        event.pop("time")
        assert without_absent({name: row[name] for name in COLUMNS if name in row}, event) == event


def test_what_happens_to_the_state_is_a_row_too(tmp_path: pathlib.Path) -> None:
    """In the same columns, beside those of exchanges, which are NULL; what is no text is told as far as it is."""
    line = state_line(Happened("quarantine-held", "too often", HELD), 1.8e9)
    found, (row,) = converted(tmp_path, f"{line}\n".encode())
    assert found == Converted(1, 0)
    assert (row["event"]["action"], row["listener"], row["request"]) == ("quarantine-held", None, None)
    assert row["entry"]["value"] == "bad\n\x1b\ufffd"


def test_what_is_no_event_is_counted_and_stops_nothing(tmp_path: pathlib.Path) -> None:
    """A line that was torn, zeros of a file system, another program's: the events before and behind are rows."""
    broken = [LINE[:100], b"\0" * 50, b"hello", b"{}", b'{"time":"never"}', b"[1]", b'"\xff"']
    data = LINE + b"\n" + b"".join(each + b"\n" for each in broken) + b"\n" + LINE + b"\n" + LINE[:30]
    found, rows = converted(tmp_path, data)
    assert found == Converted(2, len(broken) + 1)
    assert [row["status"] for row in rows] == [200, 200]


def test_half_a_character_hides_no_event(tmp_path: pathlib.Path) -> None:
    """JSON can have halves of characters, of which DuckDB takes a line for broken: clients can have it so."""
    odd = LINE.replace(b"curl/8", rb"\ud800 \uDC00\ud83d\ude00 \\ud800")
    _, (row,) = converted(tmp_path, odd + b"\n")
    assert row["request"]["headers"]["user-agent"] == ["\ufffd \ufffd\U0001f600 \\ud800"]


@pytest.mark.parametrize("ending", HOWS)
def test_a_segment_that_is_compressed_already_becomes_parquet(tmp_path: pathlib.Path, ending: str) -> None:
    """As if it were not."""
    found, rows = converted(tmp_path, LINE + b"\nx\n", ending)
    assert found == Converted(1, 1)
    assert rows[0]["client"] == "192.0.2.7"


def hexadecimal(client: str) -> str | None:
    """What :mod:`ipaddress` makes of an address."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return None
    return ipaddress.IPv6Address(f"::ffff:{client}" if address.version == 4 else client).packed.hex()


@given(
    st.lists(
        st.ip_addresses().map(str) | st.sampled_from(("::", "::1", "1::", "unknown", "", "1.2.3.4.5", "a.b")),
        min_size=1,
    )
)
@settings(max_examples=30)
def test_addresses_are_written_so_that_networks_are_ranges(clients: list[str]) -> None:
    """Thirty-two hexadecimal digits, whatever the version; nothing for what is no address."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE events (client VARCHAR)")
        connection.executemany("INSERT INTO events VALUES (?)", [[each] for each in clients])
        found = connection.execute(f"SELECT client, {COMPUTED['client_hex'].sql} FROM events").fetchall()
    assert found == [(each, hexadecimal(each)) for each in clients]


def test_further_columns_say_the_day_and_the_hour(tmp_path: pathlib.Path) -> None:
    """In UTC, wherever the node is."""
    _, (row,) = converted(tmp_path, LINE + b"\n")
    assert (str(row["date"]), row["hour"]) == ("2023-11-14", 22)
    assert row["client_hex"] == hexadecimal("192.0.2.7")


def test_parquet_is_there_as_a_whole_or_not(tmp_path: pathlib.Path) -> None:
    """A segment that cannot be read, or a place that cannot be written, leaves nothing behind, and says why."""
    missing, target = tmp_path / "events-20261130T170000Z-000002.jsonl", tmp_path / "parquet" / "2.parquet"
    with pytest.raises(OSError, match="No such file"):
        convert(missing, target)
    assert [*target.parent.iterdir()] == []


def test_a_line_that_is_too_long_for_duckdb_hides_no_other(tmp_path: pathlib.Path) -> None:
    """Such as what a file system has made of a crash: DuckDB gives up a whole file for it."""
    found, rows = converted(tmp_path, LINE + b"\n" + b"\0" * (17 << 20) + b"\n" + LINE + b"\n")
    assert (found, len(rows)) == (Converted(2, 1), 2)


def test_long_lines_are_written_a_few_at_a_time(tmp_path: pathlib.Path) -> None:
    """All rows of a group are in memory at once: as many as 32 MiB of lines, and a few thousand at the least."""
    long = LINE.replace(b"curl/8", b"x" * 10_000) + b"\n"
    converted(tmp_path, long * 6000)
    with duckdb.connect() as connection:
        sizes = connection.execute(
            f"SELECT DISTINCT row_group_num_rows FROM parquet_metadata('{tmp_path}/parquet/1.parquet') ORDER BY 1"
        ).fetchall()
    assert len(sizes) > 1
    assert 2048 <= sizes[-1][0] <= 4096
