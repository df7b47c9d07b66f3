"""What a journal deletes: the oldest first, by size and by age, and never what is written now."""

from __future__ import annotations

import pathlib

from hypothesis import given
from hypothesis import strategies as st

from edgenode.observe.journal.retention import Holding, delete, holdings, left_over, outdated, unsent
from edgenode.observe.journal.segments import PARQUET, partial
from tests.observe.journal.journals import BEGAN, Writer

HELD = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50)), max_size=12).map(
    lambda pairs: [
        Holding(number, float(sum(age for age, _ in pairs[:number])), (), size)
        for number, (_, size) in enumerate(pairs, 1)
    ]
)


@given(HELD, st.integers(0, 400), st.integers(0, 1200), st.integers(0, 800))
def test_what_is_left_is_within_both_bounds(held: list[Holding], size: int, now: int, age: int) -> None:
    """Unless it is only the last segment; and of what goes, all that is left without it would have been too much."""
    gone = outdated(held, now, size, age)
    left = held[len(gone) :]
    assert gone == held[: len(gone)]
    assert bool(left) == bool(held)
    if len(left) > 1:
        assert sum(each.size for each in left) <= size
        assert now - left[1].began <= age
    if gone:
        before = held[len(gone) - 1 :]
        assert sum(each.size for each in before) > size or now - before[1].began > age


def test_a_segment_is_held_with_all_its_files(tmp_path: pathlib.Path) -> None:
    """As it was written, compressed, and as Parquet: together they have a size, and go together."""
    writer = Writer(tmp_path)
    writer.write(b"a" * 100)
    writer.compress(1, keep=True)
    (tmp_path / PARQUET).mkdir()
    writer.segment.parquet.write_bytes(b"p" * 50)
    (tmp_path / "positions.json").write_text("{}")
    (held,) = holdings(tmp_path)
    assert (held.number, held.began, len(held.files)) == (1, BEGAN.timestamp(), 3)
    assert held.size == 150 + len((tmp_path / f"{writer.segment.path.name}.zst").read_bytes())
    delete(held)
    assert holdings(tmp_path) == []
    assert (tmp_path / "positions.json").exists()


def test_what_was_written_in_part_is_found(tmp_path: pathlib.Path) -> None:
    """Files of a process that has ended meanwhile; nobody else's."""
    writer = Writer(tmp_path)
    (tmp_path / PARQUET).mkdir()
    parts = [
        partial(writer.segment.path.with_name(f"{writer.segment.path.name}.zst")),
        partial(writer.segment.parquet),
        partial(writer.segment.parquet.with_suffix(".jsonl")),
    ]
    for path in (*parts, tmp_path / "positions.part", tmp_path / ".mine.part"):
        path.touch()
    assert {*left_over(tmp_path)} == {*parts}


def test_who_has_not_read_what_goes_is_named() -> None:
    """Those that are in it, or before it."""
    gone = Holding(3, 0.0, (), 1)
    assert unsent(gone, {"exporter b": 3, "exporter a": 1, "exporter c": 4}) == ["exporter a", "exporter b"]
