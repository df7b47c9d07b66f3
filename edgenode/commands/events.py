"""``edgenode events``: asks the journal which events there were, how many of what, and shows them as they come."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgenode.commands.terminal import BOLD, RED, YELLOW, harmless, painted
from edgenode.config.checks.event_expressions import header_fault
from edgenode.config.load import Configuration, load_journal
from edgenode.model.durations import seconds
from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.event_text import in_full, text_line
from edgenode.observe.journal.grouping import FAMILIES, TIMES, WORDS, Grouping, grouping
from edgenode.observe.journal.questions import CannotAnswer, Counts, OpenJournal, Question
from edgenode.observe.journal.reader import JournalReader
from edgenode.simulation.curl import InvalidRequest, moment
from edgenode.simulation.explain_event import present_verdict

_POLL = 0.2
"""Seconds between two looks for new events."""

_QUIET = 1.0
"""Seconds until something is shown of the progress."""

_CSV = ("time", "id", "status", "client", "method", "authority", "target", "action", "filter")


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    words = ", ".join(sorted((*WORDS, *FAMILIES, *TIMES)))
    parser.description = (
        "Ask the journal. Without --by, --follow, --explain or top it shows the newest events, one on a line as in the "
        "access log. The exit status is 0; 1 if the journal cannot be asked, or there is no such event."
    )
    parser.add_argument(
        "words", metavar="[top] FILE", nargs="*",
        help="the configuration file; in front of it 'top': a list of the most frequent, again and again",
    )  # fmt: skip
    parser.add_argument("--folder", metavar="FOLDER", help="the journal's folder, instead of FILE")
    parser.add_argument("--last", metavar="TIME", help="events of the last 15m, 1h, 7d")
    parser.add_argument("--from", dest="since", metavar="TIME", help="not before 2026-11-21T12:00:00Z")
    parser.add_argument("--to", dest="until", metavar="TIME", help="before this time")
    parser.add_argument("--where", metavar="EXPRESSION", help="events that match, in the Rules language")
    parser.add_argument("--by", metavar="WORD", help=f"count them by {words}, or any field that events hold")
    parser.add_argument("--top", type=_count, default=20, metavar="N", help="the N most frequent (20)")
    parser.add_argument("--limit", type=_count, default=20, metavar="N", help="the N newest events (20)")
    parser.add_argument("--json", action="store_true", help="as JSON, one object a line")
    parser.add_argument("--csv", action="store_true", help="as comma-separated values")
    parser.add_argument("--follow", action="store_true", help="events as they come, until interrupted")
    parser.add_argument("--explain", metavar="ID", help="one event in full, and what the configuration now says of it")
    parser.add_argument("--every", default="2s", metavar="TIME", help="with top: the time between two lists (2s)")
    parser.add_argument("--rounds", type=_count, metavar="N", help="with top: end after N lists")


def main(options: argparse.Namespace) -> int:
    """Ask: 0; 1 if the journal cannot be asked, or there is no such event."""
    live = options.words[:1] == ["top"] and (len(options.words) > 1 or options.folder is not None)
    files = options.words[live:]
    if len(files) + (options.folder is not None) < 1 or len(files) > 1:
        print("edgenode events: one configuration file, or --folder", file=sys.stderr)
        return 2
    try:
        configuration = load_journal(files[0]) if files else None
        folder = _folder(options, configuration)
        where = None if options.where is None else _expression(options.where, configuration)
        by = None if options.by is None else grouping(options.by)
        every = seconds(options.every)
        if options.explain is not None:
            return _explain(options, folder, files)
        if options.follow:
            return _follow(options, folder, where)
        if live:
            return _top(options, folder, where, by or grouping("client"), every)
        return _answer(options, folder, _question(options, where), by)
    except InvalidValue as problem:
        print(f"edgenode events: {harmless(problem.sentence)}", file=sys.stderr)
    except (InvalidRequest, CannotAnswer) as error:
        print(f"edgenode events: {harmless(str(error))}", file=sys.stderr)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"edgenode events: cannot read the journal: {error.strerror or error}", file=sys.stderr)
    return 1


# -- what is asked -----------------------------------------------------------------------------------------------------


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("expected a number from 1 to 1,000,000")
    return int(text)


def _folder(options: argparse.Namespace, configuration: Configuration | None) -> pathlib.Path:
    if options.folder is not None:
        return pathlib.Path(options.folder)
    if configuration is None or configuration.journal.folder is None:
        raise CannotAnswer("the configuration has no [journal] with a folder")
    return pathlib.Path(configuration.journal.folder)


def _expression(text: str, configuration: Configuration | None) -> EventExpression:
    """:raises ConfigurationError: if it is none, with a caret."""
    try:
        found = EventExpression.from_text(text)
        for name, column in () if configuration is None else found.headers():
            fault = header_fault(configuration, name) if configuration is not None else ""
            if fault:
                raise InvalidValue(fault, column)
    except InvalidValue as problem:
        line = " ".join(text.split("\n"))
        raise ConfigurationError([Problem("", "--where", problem.sentence, line, problem.column)]) from None
    return found


def _question(options: argparse.Namespace, where: EventExpression | None) -> Question:
    if options.last is not None and (options.since is not None or options.until is not None):
        raise InvalidRequest("--last stands without --from and --to")
    if options.last is not None:
        return Question(time.time() - seconds(options.last), None, where)
    since = None if options.since is None else moment(options.since, "--from")
    until = None if options.until is None else moment(options.until, "--to")
    return Question(since, until, where)


# -- answers -----------------------------------------------------------------------------------------------------------


def _answer(options: argparse.Namespace, folder: pathlib.Path, question: Question, by: Grouping | None) -> int:
    with _progress() as progress, OpenJournal.opened(folder, progress) as journal:
        if by is not None:
            counts = journal.count(question, by)
        else:
            events = journal.newest(question, options.limit)
    if by is not None:
        for line in _counted(options, counts):
            print(line)
        return 0
    if options.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerow(_CSV)
    for event in events:
        _show(options, event)
    return 0


def _counted(options: argparse.Namespace, counts: Counts) -> Iterator[str]:
    largest = counts.largest(options.top)
    if options.json:
        for value, count in largest:
            yield json.dumps({options.by or "client": value, "count": count})
        return
    if options.csv:
        yield _row((options.by or "client", "count"))
        yield from (_row((value, count)) for value, count in largest)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    digits = max([len(f"{count:,}") for _, count in largest], default=1)
    for value, count in largest:
        line = f"{count:>{digits},}  {count / max(counts.total, 1):6.1%}  {harmless(value) or '-'}"
        yield line if width is None else line[:width]
    more = len(counts.groups) - len(largest)
    others = f"; {more:,} more values" if more else ""
    yield f"{counts.total:,} event{'' if counts.total == 1 else 's'}{others}"


def _row(values: tuple[object, ...]) -> str:
    """A row of comma-separated values (RFC 4180) that no spreadsheet takes for a formula."""
    cells = []
    for value in values:
        cell = harmless("" if value is None else str(value))
        cell = f"'{cell}" if cell[:1] in ("=", "+", "-", "@") and not isinstance(value, int) else cell
        quoted = cell.replace('"', '""')
        cells.append(f'"{quoted}"' if set(cell) & set('",') else cell)
    return ",".join(cells)


def _show(options: argparse.Namespace, event: Mapping[str, Any]) -> None:
    """Print one event, and have it seen at once."""
    if options.json:
        print(json.dumps(event, separators=(",", ":")), flush=options.follow)
    elif options.csv:
        print(_row(_cells(event)), flush=options.follow)
    else:
        line = harmless(text_line(event))
        print(painted(line, _colour(event), sys.stdout), flush=options.follow)


def _cells(event: Mapping[str, Any]) -> tuple[object, ...]:
    request, reasons = event.get("request") or {}, event.get("reasons") or []
    acting = next((each.get("filter") for each in reasons if each.get("action") == event.get("action")), None)
    asked = (request.get(name) for name in ("method", "authority", "target"))
    told = (event.get(name) for name in ("time", "id", "status", "client"))
    return (*told, *asked, event.get("action"), acting)


def _colour(event: Mapping[str, Any]) -> str:
    status, action = event.get("status"), event.get("action")
    if "event" in event:
        return BOLD
    if isinstance(status, int) and status >= 500:
        return RED
    return YELLOW if action or (isinstance(status, int) and status >= 400) else ""


# -- as they come ------------------------------------------------------------------------------------------------------


def _follow(options: argparse.Namespace, folder: pathlib.Path, where: EventExpression | None) -> int:
    with contextlib.closing(JournalReader(folder, None)) as reader:
        if options.csv:
            print(_row(_CSV), flush=True)
        _show_coming(options, reader, where)
    return 0


def _show_coming(options: argparse.Namespace, reader: JournalReader, where: EventExpression | None) -> None:
    while True:
        lines = reader.read()
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                if isinstance(event, dict) and (where is None or where.matches(event)):
                    _show(options, event)
        if not lines:
            time.sleep(_POLL)


def _top(
    options: argparse.Namespace, folder: pathlib.Path, where: EventExpression | None, by: Grouping, every: float
) -> int:
    """The most frequent values of the last time, again and again."""
    options.last = options.last or ("5m" if options.since is None and options.until is None else None)
    rounds = 0
    with OpenJournal.opened(folder) as journal:
        while True:
            lines = list(_counted(options, journal.count(_question(options, where), by)))
            if sys.stdout.isatty():
                sys.stdout.write("\033[H\033[2J")
                print(painted(f"{options.by or 'client'}, {options.last or 'all'}", BOLD, sys.stdout))
            print("\n".join(lines), flush=True)
            rounds += 1
            if rounds == options.rounds:
                return 0
            time.sleep(every)


# -- one event ---------------------------------------------------------------------------------------------------------


def _explain(options: argparse.Namespace, folder: pathlib.Path, files: list[str]) -> int:
    quoted = options.explain.replace("\\", "\\\\").replace('"', '\\"')
    question = Question(None, None, EventExpression.from_text(f'edge.id eq "{quoted}"'))
    with _progress() as progress, OpenJournal.opened(folder, progress) as journal:
        events = journal.newest(question, 100)
    if not events:
        print(f"edgenode events: there is no event {harmless(options.explain)}", file=sys.stderr)
        return 1
    configuration = Configuration.load(files[0]) if files else None
    for event in events:
        if options.json:
            _show(options, event)
            continue
        print(painted(harmless(text_line(event)), BOLD, sys.stdout))
        print("\n".join(f"  {harmless(line)}" for line in in_full(event)))
        if configuration is not None:
            told = present_verdict(configuration, json.dumps(event))
            print("\n".join(f"  {harmless(line)}" for line in told))
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows on a terminal how far an answer is, once it takes long."""
    due, shown = time.monotonic() + _QUIET, False

    def show(text: str) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() >= due:
            sys.stderr.write(f"\r{text}\033[K")
            sys.stderr.flush()
            shown = True

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
