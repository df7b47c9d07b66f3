"""``edgenode events``: the journal answers on the command line, and nothing that a client sent steers the terminal."""

from __future__ import annotations

import json
import pathlib
import time
from typing import Any

import pytest
from hypothesis import given

from edgenode.__main__ import main
from edgenode.observe.access_log import line
from edgenode.observe.event_record import event_line
from edgenode.observe.event_text import in_full, text_line
from tests.observe.journal.test_conditions import LINES, STATE_LINE, ordinary
from tests.observe.journal.test_questions import FIRST, SECOND, blocked, event, write
from tests.support.records import EXCHANGE, FakeRecord

pytest.importorskip("duckdb")

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\n"


def append(path: pathlib.Path, *lines: str) -> None:
    """Go on with a segment."""
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A journal of a few events."""
    found = tmp_path / "journal"
    found.mkdir()
    write(
        found / FIRST,
        blocked("2026-11-21T12:00:01", "scripts"),
        blocked("2026-11-21T12:00:02", "scripts", "seen"),
        blocked("2026-11-21T12:00:03", "=1+1"),
        event("2026-11-21T12:00:04", status=502, listener=EVIL),
    )
    return found


@pytest.fixture
def file(tmp_path: pathlib.Path, folder: pathlib.Path) -> str:
    """A configuration of which only the journal can be read."""
    path = tmp_path / "edge.ini"
    path.write_text(f"[edge]\nname = x\n\n[journal]\nfolder = {folder}\n\n[origin broken]\nservers = nothing\n")
    return str(path)


def test_which_filter_blocked_how_much_is_one_command(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The first question of whoever runs a node."""
    assert main(["events", file, "--where", 'edge.action == "block"', "--by", "filter"]) == 0
    assert capsys.readouterr().out == "2   66.7%  scripts\n1   33.3%  =1+1\n3 events\n"


def test_the_most_frequent_are_as_many_as_asked_for(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And how many others there are."""
    assert main(["events", file, "--by", "filter", "--top", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 events; 1 more values"


def test_counts_are_json_and_comma_separated_values(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs; and no spreadsheet takes a value for a formula."""
    assert main(["events", file, "--by", "filter", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {"filter": "scripts", "count": 2}
    assert main(["events", file, "--by", "filter", "--csv"]) == 0
    assert capsys.readouterr().out == "filter,count\nscripts,2\n'=1+1,1\n"


def test_nothing_that_was_sent_steers_the_terminal(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is shown."""
    for more in ([], ["--by", "listener"], ["--by", "listener", "--csv"], ["--csv"], ["--json"]):
        assert main(["events", file, *more]) == 0
        out = capsys.readouterr().out
        assert all(each.isascii() and each.isprintable() for each in out.splitlines())
        assert "owned" in out or more == ["--csv"]


def test_a_wrong_expression_is_an_error_with_a_caret(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the configuration."""
    assert main(["events", file, "--where", 'ssl and edge.acton eq "block"']) == 1
    assert capsys.readouterr().err == (
        "--where: there is no field edge.acton; did you mean edge.action?\n"
        '    ssl and edge.acton eq "block"\n            ^\n'
    )


def test_a_header_that_events_do_not_hold_is_an_error(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer of none would be taken for one."""
    assert main(["events", file, "--where", 'http.cookie contains "x"']) == 1
    assert "events do not hold this header: [edge] event-headers does not name cookie" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--by", "filtre"], "did you mean filter?"),
        (["--last", "yesterday"], "expected"),
        (["--last", "1h", "--from", "2026-11-21T12:00:00Z"], "--last stands without --from and --to"),
        (["--from", "noon"], "--from: expected a time such as 2026-11-21T12:00:00Z, not noon"),
        (["--explain", "nobody"], "there is no event nobody"),
    ],
)
def test_what_cannot_be_asked_is_said(
    file: str, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    """In a line, and the status is 1."""
    assert main(["events", file, *more]) == 1
    assert said in capsys.readouterr().err


def test_without_a_journal_there_is_nothing_to_ask(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says what is missing."""
    path = tmp_path / "edge.ini"
    path.write_text("[edge]\nname = x\n")
    assert main(["events", str(path)]) == 1
    assert "has no [journal] with a folder" in capsys.readouterr().err
    assert main(["events"]) == 2
    assert main(["events", "--folder", str(tmp_path / "nowhere")]) == 1


def test_the_last_hour_is_counted_from_now(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The events of the past are not in it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    write(folder / SECOND, event(now))
    assert main(["events", "--folder", str(folder), "--last", "1h", "--by", "status"]) == 0
    assert capsys.readouterr().out == "1  100.0%  200\n1 event\n"


def test_top_lists_again_and_again(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As often as it is told to."""
    span = ["--from", "2026-11-21T12:00:00Z"]
    assert main(["events", "top", file, "--by", "status", "--rounds", "2", "--every", "1ms", *span]) == 0
    assert capsys.readouterr().out == "3   75.0%  403\n1   25.0%  502\n4 events\n" * 2


def test_events_are_followed_as_they_come(
    file: str, folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a rotation too, until it is interrupted, which is no error."""
    steps: list[Any] = [
        lambda: append(folder / FIRST, event("2026-11-21T12:00:05", status=201), "no event"),
        lambda: write(
            folder / SECOND, blocked("2026-11-22T12:00:00", "late"), event("2026-11-22T12:00:01", status=202)
        ),
    ]

    def sleep(_: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(["events", file, "--follow", "--json", "--where", "http.response.code lt 300"]) == 130
    assert [json.loads(each)["status"] for each in capsys.readouterr().out.splitlines()] == [201, 202]


def test_one_event_is_told_in_full_and_what_would_become_of_it_now(
    tmp_path: pathlib.Path, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every reason and certificate that is recorded."""
    record = FakeRecord(EXCHANGE)
    write(folder / FIRST, event_line(record))
    assert main(["events", "--folder", str(folder), "--explain", record.identifier.decode()]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{line(record)}\n")
    assert "    subject          CN=acme,O=Acme\n" in out


@given(ordinary())
def test_a_line_is_that_of_the_access_log(record: FakeRecord) -> None:
    """Whoever knows the one can read the other."""
    client = record.exchange.connection.client
    if client is None or (len(client.subject) < 1024 and client.subject.isascii()):
        told = text_line(json.loads(event_line(record)))
        if told.isascii() and told.isprintable():
            assert told == line(record)


@given(LINES)
def test_every_event_can_be_shown(text: str) -> None:
    """In a line, and in full."""
    found = json.loads(text)
    assert text_line(found)
    assert list(in_full(found))


def test_what_happens_to_the_state_has_a_line_too() -> None:
    """What is held, and why."""
    assert text_line(json.loads(STATE_LINE)) == "1970-01-01T00:00:01Z  quarantine-held  ip 192.0.2.7 | why"
