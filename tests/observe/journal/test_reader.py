"""The reader of a journal: every line once and in order, whatever happens to the files meanwhile."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edgenode.observe.journal.reader import JournalReader, Position
from edgenode.observe.journal.segments import Segment, segments
from tests.observe.journal.journals import HOWS, Writer


@pytest.fixture
def writer(tmp_path: pathlib.Path) -> Writer:
    """A journal with an empty segment."""
    return Writer(tmp_path)


class Reading:
    """Makes readers, and closes them in the end."""

    def __init__(self) -> None:
        self._made: list[JournalReader] = []

    def __call__(self, folder: pathlib.Path, position: Position | None) -> JournalReader:
        self._made.append(JournalReader(folder, position))
        return self._made[-1]

    def close(self) -> None:
        """Close them."""
        for each in self._made:
            each.close()


@pytest.fixture
def reading() -> Iterator[Reading]:
    """Makes readers."""
    found = Reading()
    yield found
    found.close()


def test_a_reader_from_now_on_is_given_what_comes(reading: Reading, writer: Writer) -> None:
    """What was there before is not returned, nor the end of a line whose beginning was."""
    writer.write(b"before\nhal")
    reader = reading(writer.folder, None)
    assert reader.read() == []
    writer.write(b"f\nafter\n")
    assert reader.read() == [b"half", b"after"]
    assert reader.read() == []
    assert reader.position == Position(1, len(b"before\nhalf\nafter\n"))


def test_a_reader_of_an_empty_folder_waits_for_the_first_segment(reading: Reading, tmp_path: pathlib.Path) -> None:
    """It is given everything that comes, and has lost nothing."""
    reader = reading(tmp_path, None)
    assert reader.read() == []
    writer = Writer(tmp_path)
    writer.write(b"a\n")
    assert (reader.read(), reader.lost, reader.skipped) == ([b"a"], 0, 0)


def test_a_rotation_loses_nothing(reading: Reading, writer: Writer) -> None:
    """What was written behind the last look is returned before the lines of the next segment."""
    reader = reading(writer.folder, Position())
    writer.write(b"a\n")
    assert reader.read() == [b"a"]
    writer.write(b"b\n")
    writer.rotate()
    writer.write(b"c\n")
    assert reader.read() == [b"b"]
    assert reader.read() == [b"c"]
    assert reader.position == Position(2, 2)


def test_what_comes_while_it_looks_for_the_next_segment_is_not_lost(
    reading: Reading, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node may write and rotate between the end of a file and the look at the folder."""
    reader = reading(writer.folder, Position())
    writer.write(b"a\n")
    assert reader.read() == [b"a"]

    def look(folder: pathlib.Path) -> Mapping[int, Segment]:
        writer.write(b"b\n")
        writer.rotate()
        monkeypatch.undo()
        return segments(folder)

    monkeypatch.setattr("edgenode.observe.journal.reader.segments", look)
    assert reader.read() == [b"b"]
    writer.write(b"c\n")
    assert reader.read() == [b"c"]


def test_a_line_that_was_torn_is_no_line(reading: Reading, writer: Writer) -> None:
    """Whoever was killed while writing leaves a line without its end: it is not joined with the next segment's."""
    reader = reading(writer.folder, Position())
    writer.write(b"whole\ntor")
    assert reader.read() == [b"whole"]
    writer.rotate()
    writer.write(b"next\n")
    assert reader.read() == [b"next"]


@pytest.mark.parametrize("how", HOWS)
def test_a_compressed_segment_is_read_from_the_same_place(reading: Reading, writer: Writer, how: str) -> None:
    """A position counts uncompressed bytes: it holds in the compressed file as well."""
    writer.write(b"a\nb\nc\n")
    writer.rotate()
    writer.write(b"d\n")
    writer.compress(1, how)
    reader = reading(writer.folder, Position(1, 2))
    assert reader.read() == [b"b", b"c"]
    assert reader.read() == [b"d"]
    assert reading(writer.folder, Position(1, 6)).read() == [b"d"]


def test_a_segment_that_is_compressed_while_it_is_read_is_read_to_its_end(reading: Reading, writer: Writer) -> None:
    """The file that is open stays what it was, though its name has gone."""
    writer.write(b"a\nb\n")
    reader = reading(writer.folder, Position())
    assert reader.read(2) == [b"a"]
    writer.rotate()
    writer.compress(1, ".gz")
    assert reader.read() == [b"b"]
    assert reader.read() == []


def test_a_compressed_segment_that_is_cut_holds_nobody_up(reading: Reading, writer: Writer) -> None:
    """What can be read of it is returned, and then the next segment; that something is missing is counted."""
    writer.write(b"".join(b"%d\n" % (number * 7919) for number in range(50_000)))
    writer.rotate()
    writer.write(b"next\n")
    writer.compress(1)
    path = segments(writer.folder)[1].path
    path.write_bytes(path.read_bytes()[:-100])
    reader = reading(writer.folder, Position())
    found = []
    while lines := reader.read():
        found += lines
    assert found[-1] == b"next"
    assert reader.skipped == 1


def test_what_retention_takes_is_counted_as_lost(reading: Reading, writer: Writer) -> None:
    """Segments that were deleted before they were read: their bytes, less what had been read of the first."""
    writer.write(b"one\ntwo\n")
    reader = reading(writer.folder, Position())
    assert reader.read(4) == [b"one"]
    position = reader.position
    writer.rotate()
    writer.write(b"three\n")
    writer.rotate()
    writer.write(b"four\n")
    reader = reading(writer.folder, position)
    assert reader.behind == len(b"two\nthree\nfour\n")
    writer.delete(1)
    writer.delete(2)
    assert reader.read() == [b"four"]
    assert (reader.lost, reader.skipped, reader.behind) == (len(b"two\nthree\n"), 2, 0)


def test_a_folder_that_begins_anew_is_read_from_its_beginning(reading: Reading, writer: Writer) -> None:
    """A position that the journal has never come to, or not in this folder, is no reason to wait for it."""
    writer.write(b"a\n")
    assert reading(writer.folder, Position(7, 3)).read() == [b"a"]
    assert reading(writer.folder, Position(1, 100)).read() == [b"a"]


def test_a_line_that_is_longer_than_what_is_read_at_once_comes_whole(reading: Reading, writer: Writer) -> None:
    """The number of bytes is no bound for a line."""
    long = b"x" * 5000
    writer.write(long + b"\ny\n")
    reader = reading(writer.folder, Position())
    found: list[bytes] = []
    while lines := reader.read(100):
        found += lines
    assert found == [long, b"y"]


def test_the_place_of_each_line_is_known(reading: Reading, writer: Writer) -> None:
    """Whoever begins there is given it first; empty lines and what was read before do not move it."""
    writer.write(b"one\ntwo\n\n\nthree\nfo")
    reader = reading(writer.folder, Position())
    assert reader.read() == [b"one", b"two", b"three"]
    assert reader.places == [Position(1, 0), Position(1, 4), Position(1, 10)]
    writer.write(b"ur\nfive\n")
    assert reader.read() == [b"four", b"five"]
    assert reader.places == [Position(1, 16), Position(1, 21)]
    writer.rotate()
    writer.write(b"six\n")
    assert reader.read() == [b"six"]
    assert reader.places == [Position(2, 0)]
    for place, line in ((Position(1, 10), b"three"), (Position(1, 21), b"five"), (Position(2, 0), b"six")):
        assert reading(writer.folder, place).read()[0] == line
    assert str(Position(1, 21)) == "000001-000000000021"


def test_a_line_without_an_end_is_not_kept_for_ever(
    reading: Reading, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long for an event is passed over in pieces, and what comes behind it is read."""
    monkeypatch.setattr("edgenode.observe.journal.reader._LONGEST", 1000)
    writer.write(b"x" * 5500 + b"\ny\n")
    reader = reading(writer.folder, Position())
    found: list[bytes] = []
    while lines := reader.read(100):
        found += lines
    assert found[-1] == b"y"
    assert all(len(line) < 2000 for line in found)


@given(st.builds(Position, st.integers(0, 10**9), st.integers(0, 10**12)))
def test_a_position_is_read_as_it_is_written(position: Position) -> None:
    """As JSON and back it is the same."""
    assert Position.from_json(json.loads(json.dumps(position.as_json()))) == position


@pytest.mark.parametrize("wrong", [None, [], {}, {"segment": 1}, {"segment": "1", "offset": 0}, {"segment": -1}])
def test_what_is_no_position_is_an_error(wrong: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="no position"):
        Position.from_json(wrong)


def test_other_files_in_the_folder_are_no_segments(writer: Writer) -> None:
    """What is being written under another name, or is somebody's own, is left alone."""
    for name in (
        "events-20261130T170000Z-000009.jsonl.zst.part",
        "events.jsonl",
        "events-20269930T170000Z-000008.jsonl",
    ):
        (writer.folder / name).write_bytes(b"no\n")
    assert list(segments(writer.folder)) == [1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 40)),
        st.tuples(st.just("rotate"), st.just(0)),
        st.tuples(st.just("compress"), st.integers(0, 9)),
        st.tuples(st.just("read"), st.integers(1, 60)),
        st.tuples(st.just("again"), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
@examples(max_examples=60)
def test_every_line_is_returned_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Whatever order of writing, rotating, compressing, reading, and beginning again at the position."""
    writer, found = Writer(tmp_path_factory.mktemp("journal")), list[bytes]()
    reading = Reading()
    reader = reading(writer.folder, Position())
    data = b"".join(b"%d\n" % number for number in range(2000))
    end = 0
    for step, count in steps:
        if step == "write":  # pieces, not lines
            writer.write(data[end : end + count])
            end += count
        elif step == "rotate":
            whole = data.index(b"\n", max(0, end - 1)) + 1  # the node ends no segment within a line
            writer.write(data[end:whole])
            end = whole
            writer.rotate()
        elif step == "compress":
            plain = [number for number, each in segments(writer.folder).items() if not each.compressed][:-1]
            if plain:
                writer.compress(plain[count % len(plain)], (".gz", ".zst")[count % 2])
        elif step == "read":
            found += reader.read(count)
        else:
            lost = reader.lost
            reader.close()
            reader = reading(writer.folder, reader.position)
            assert lost == 0
    while lines := reader.read():
        found += lines
    assert found == data[:end].split(b"\n")[:-1]
    assert (reader.lost, reader.skipped) == (0, 0)
    reading.close()


def test_how_far_it_is_behind_is_told_of_a_folder_that_has_gone(reading: Reading, writer: Writer) -> None:
    """It is what was known last: whoever asks how an exporter stands is answered, and not raised at."""
    reader = reading(writer.folder, Position())
    writer.write(b"one\ntwo\n")
    assert reader.behind == len(b"one\ntwo\n")
    writer.folder.rename(writer.folder.with_name("elsewhere"))
    assert reader.behind == len(b"one\ntwo\n")
