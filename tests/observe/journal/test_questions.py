"""Questions to a journal: every event is counted once, wherever it is, and as the event itself says."""

from __future__ import annotations

import datetime
import importlib
import json
import pathlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.journal import questions
from edgenode.observe.journal.grouping import FAMILIES, TIMES, WORDS, grouping
from edgenode.observe.journal.parquet import convert
from edgenode.observe.journal.questions import CannotAnswer, OpenJournal, Question
from edgenode.observe.recorded_fields import RECORDED
from tests.observe.journal.test_conditions import LINES, STATE_LINE

pytest.importorskip("duckdb")

FIRST, SECOND, THIRD = (f"events-2026112{day}T120000Z-00000{number}.jsonl" for number, day in enumerate((1, 2, 3), 1))
SLOW = settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)


def event(time: str, **more: Any) -> str:
    """A line with as much of an event as a question needs."""
    return json.dumps({"time": f"{time}Z", "listener": "public", "tags": [], "reasons": [], "status": 200, **more})


def blocked(time: str, *filters: str) -> str:
    """One of a request that the first of some filters has blocked."""
    reasons = [
        {"stage": "s", "filter": name, "entry": "", "annotation": "", "action": "" if place else "block"}
        for place, name in enumerate(filters)
    ]
    return event(time, action="block", reasons=reasons, status=403)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A journal of which one segment is Parquet, one is compressed and one is being written."""
    write(tmp_path / FIRST, blocked("2026-11-21T12:00:01", "a"), event("2026-11-21T12:00:02", tags=["geo-country:fr"]))
    convert(tmp_path / FIRST, tmp_path / "parquet" / FIRST.replace("jsonl", "parquet"))
    write(tmp_path / SECOND, blocked("2026-11-22T12:00:01", "b", "a"), event("2026-11-22T12:00:02", listener="x\ud800"))
    write(tmp_path / THIRD, blocked("2026-11-23T12:00:01", "a"), STATE_LINE, "no event")
    with (tmp_path / THIRD).open("a") as file:
        file.write('{"time":"2026-11-23T12:00:02.0Z","status":20')
    return tmp_path


def write(path: pathlib.Path, *lines: str) -> None:
    """Write a segment."""
    path.write_text("".join(f"{line}\n" for line in lines))


def test_each_event_is_counted_once(folder: pathlib.Path) -> None:
    """Those that are Parquet already, those that have half a character in them, and those that were just written."""
    with OpenJournal.opened(folder) as journal:
        assert journal.count(Question()).total == 6


@pytest.mark.parametrize("damaged", [b"", b"garbage", b"PAR1 the end was cut"])
def test_of_a_damaged_parquet_file_the_lines_are_asked(folder: pathlib.Path, damaged: bytes) -> None:
    """It hides neither what stands in it nor what stands in others."""
    (folder / "parquet" / FIRST.replace("jsonl", "parquet")).write_bytes(damaged)
    with OpenJournal.opened(folder) as journal:
        assert journal.count(Question()).total == 6


def test_events_are_counted_by_the_filter_that_acted_and_by_all_that_matched(folder: pathlib.Path) -> None:
    """So that nobody takes one for the other."""
    where = EventExpression.from_text('edge.action == "block"')
    with OpenJournal.opened(folder) as journal:
        acted = journal.count(Question(where=where), grouping("filter"))
        matched = journal.count(Question(where=where), grouping("filters"))
    assert (acted.total, acted.largest(5)) == (3, [("a", 2), ("b", 1)])
    assert matched.largest(5) == [("a", 3), ("b", 1)]


@pytest.mark.parametrize(
    ("since", "until", "count"),
    [("2026-11-22T12:00:02", None, 2), (None, "2026-11-21T12:00:02", 2), ("2026-11-23T12:00:01", None, 1)],
)
def test_a_span_of_time_has_its_beginning_and_not_its_end(
    folder: pathlib.Path, since: str | None, until: str | None, count: int
) -> None:
    """Whichever segments that leaves out."""
    ends = [
        None if each is None else datetime.datetime.fromisoformat(f"{each}+00:00").timestamp()
        for each in (since, until)
    ]
    with OpenJournal.opened(folder) as journal:
        assert journal.count(Question(ends[0], ends[1])).total == count


def test_what_duckdb_cannot_tell_the_events_are_asked(folder: pathlib.Path) -> None:
    """Beside those that it can tell."""
    where = EventExpression.from_text('to_string(http.response.code) eq "403" or edge.tags[0] eq "geo-country:fr"')
    assert not where.sql.exact
    with OpenJournal.opened(folder) as journal:
        assert journal.count(Question(where=where), grouping("status")).groups == {"403": 3, "200": 1}
        newest = journal.newest(Question(where=where), 2)
    assert [each["time"][:19] for each in newest] == ["2026-11-22T12:00:01", "2026-11-23T12:00:01"]


def test_a_tag_s_family_is_a_word(folder: pathlib.Path) -> None:
    """The country of clients is a tag."""
    with OpenJournal.opened(folder) as journal:
        assert journal.count(Question(), grouping("country")).groups == {"fr": 1}
        assert journal.count(Question(), grouping("day")).groups["2026-11-22"] == 2


@SLOW
@given(st.lists(LINES, min_size=1, max_size=5), st.sampled_from(sorted((*WORDS, *FAMILIES, *TIMES, *RECORDED))))
def test_events_are_counted_by_what_they_hold(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], word: str
) -> None:
    """By every word, and by every field that is no map."""
    folder = tmp_path_factory.mktemp("journal")
    write(folder / FIRST, *lines)
    try:
        by = grouping(word)
    except InvalidValue:
        assert RECORDED[word].type.name == "Map"
        return
    with OpenJournal.opened(folder) as journal:
        found = journal.count(Question(), by)
    events = [json.loads(line) for line in lines]
    if found.total == len(lines) and not any("\\ud" in line for line in lines):
        assert found.groups == Counter(value for each in events for value in by.of_event(each))


@SLOW
@given(st.lists(LINES, min_size=1, max_size=3))
def test_an_event_is_given_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """Key by key, in order, from Parquet too."""
    folder = tmp_path_factory.mktemp("journal")
    write(folder / FIRST, *lines)
    convert(folder / FIRST, folder / "parquet" / FIRST.replace("jsonl", "parquet"))
    with OpenJournal.opened(folder) as journal:
        found = journal.newest(Question(), 10)
    for each in found:
        if all(json.loads(line)["time"] != each["time"] for line in lines):
            pytest.fail("another event")
    if len(found) == len(lines) == 1 and "\\ud" not in lines[0]:
        assert json.dumps(found[0]) == json.dumps(json.loads(lines[0]))


def test_the_newest_events_come_in_the_order_of_time(folder: pathlib.Path) -> None:
    """As in a log, the newest last."""
    with OpenJournal.opened(folder) as journal:
        times = [each["time"] for each in journal.newest(Question(), 3)]
    assert times == sorted(times)
    assert times[-1].startswith("2026-11-23T12:00:01")


def test_nothing_is_written_in_the_folder(folder: pathlib.Path) -> None:
    """It is the node's."""
    before = sorted(folder.rglob("*"))
    with OpenJournal.opened(folder) as journal:
        journal.count(Question(), grouping("client"))
    assert sorted(folder.rglob("*")) == before


def test_a_folder_without_events_has_none(tmp_path: pathlib.Path) -> None:
    """That is an answer, and no error."""
    with OpenJournal.opened(tmp_path) as journal:
        assert (journal.count(Question()).total, journal.newest(Question(), 5)) == (0, [])


def test_a_journal_that_is_not_there_cannot_be_asked(tmp_path: pathlib.Path) -> None:
    """The error says which folder."""
    with OpenJournal.opened(tmp_path / "nowhere") as journal, pytest.raises(CannotAnswer, match="nowhere"):
        journal.count(Question())


def test_without_the_package_it_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(CannotAnswer, match="pip install duckdb"), OpenJournal.opened(tmp_path):
        pass
    assert "duckdb" in questions.MISSING


def test_a_file_that_goes_while_it_is_read_is_looked_for_anew(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The observer compresses and deletes at any time."""
    ask = OpenJournal._source
    gone = iter((True, False, False))

    def source(self: OpenJournal, question: Question) -> str:
        found = ask(self, question)
        return found.replace(SECOND, "events-gone.jsonl") if next(gone) else found

    monkeypatch.setattr(OpenJournal, "_source", source)
    with OpenJournal.opened(folder) as journal:
        assert journal.count(Question()).total >= 4


@pytest.mark.parametrize(
    ("word", "sentence"),
    [("filtre", "did you mean filter?"), ("http.request.headers", "is a map")],
)
def test_a_wrong_word_says_what_there_is(word: str, sentence: str) -> None:
    """A guess, and all words."""
    with pytest.raises(InvalidValue, match=sentence.replace("?", r"\?")):
        grouping(word)
