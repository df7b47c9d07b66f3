"""The process of a node: what a reload answers, and what systemd and the log are told of it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.node import control, process, systemd
from edgenode.node.status_of import About


class Edge(Service):
    """In place of the service: it takes whatever is loaded, at once or when it is told to.

    :ivar gates: if there are any, the next change waits for the first of them.
    :ivar cuts: how often everything was cut.
    :ivar about: what is known of its life.
    """

    def __init__(self, configuration: Any, reactor: Any) -> None:
        self.configuration = configuration
        self.gates: list[Deferred[None]] = []
        self.changes = self.cuts = 0
        self.about = About()

    def change(self, load: Callable[[Any], Any]) -> Deferred[Any]:
        """Go on with what is loaded."""
        self.changes += 1
        if self.gates:
            return self.gates.pop(0).addCallback(lambda _: load(self.configuration))
        return maybeDeferred(load, self.configuration)

    def cut(self) -> None:
        """End everything."""
        self.cuts += 1


class Stopping:
    """A reactor that is only stopped."""

    stops = 0

    def stop(self) -> None:
        """Stop."""
        self.stops += 1


class Told:
    """The node, and what it tells systemd.

    :ivar states: in order.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.states: list[str] = []
        self.reactor = Stopping()
        self.node = process.Node(path, None, self.reactor)  # type: ignore[arg-type]
        edge: Any = self.node._edge
        self.edge: Edge = edge

    def reload(self) -> tuple[bool, str, list[LogLevel]]:
        """What a reload that is over at once answers, and how loud the log is."""
        reports: list[control.Report] = []
        with capturedLogs() as logged:
            self.node.reload().addCallback(reports.append)
        (report,) = reports
        return report.done, report.text, [event["log_level"] for event in logged]


@pytest.fixture
def told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """A node that has not been started."""
    monkeypatch.setattr(process, "EdgeService", Edge)
    told = Told(tmp_path / "edgenode.ini")
    monkeypatch.setattr(systemd, "reloading", lambda: told.states.append("reloading"))
    monkeypatch.setattr(systemd, "ready", told.states.append)
    return told


def loads(monkeypatch: pytest.MonkeyPatch, load: Callable[[], Any]) -> None:
    """Let this be what reading the file comes to."""
    monkeypatch.setattr(Configuration, "load", lambda path, running: load())


class _Good:
    warnings = (Problem("edge", "name", "is short", warning=True),)
    kept: tuple[str, ...] = ()


def test_a_reload_says_its_warnings_and_that_it_is_done(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd hears of its beginning and of its end."""
    loads(monkeypatch, _Good)
    done, text, levels = told.reload()
    assert done
    assert text == f"{_Good.warnings[0]}\n{told.node._path}: reloaded"
    assert levels == [LogLevel.warn, LogLevel.info]
    assert told.states == ["reloading", "serving"]
    told_of = told.edge.about
    assert told_of.path == str(told.node._path)
    assert told_of.reload is not None
    assert (told_of.reload.done, told_of.reload.outcome) == (True, "reloaded")
    assert told_of.reload.problems == (str(_Good.warnings[0]),)


def test_a_reload_with_a_file_that_cannot_be_used_is_not_done(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is in use; who asked, the log and systemd hear of which sections the old files are."""

    class Good(_Good):
        kept = ("trust-store a", "list b")

    loads(monkeypatch, Good)
    done, text, levels = told.reload()
    outcome = "the old files stay in use: [trust-store a], [list b]"
    assert not done
    assert text == f"{_Good.warnings[0]}\n{told.node._path}: reloaded, but {outcome}"
    assert levels == [LogLevel.warn, LogLevel.error]
    assert told.states == ["reloading", f"serving; {outcome}"]


def test_a_reload_that_fails_says_every_problem(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are logged as such, and warnings as such; systemd hears that the node serves on as before."""
    problems = (*_Good.warnings, Problem("edge", "name", "is wrong"))

    def load() -> object:
        raise ConfigurationError(problems)

    loads(monkeypatch, load)
    done, text, levels = told.reload()
    assert not done
    assert text == "\n".join([*map(str, problems), f"{told.node._path}: cannot be used, and nothing has changed"])
    assert levels == [LogLevel.warn, LogLevel.error, LogLevel.error]
    last = told.edge.about.reload
    assert last is not None
    assert last.problems == tuple(map(str, reversed(problems)))
    assert told.states == ["reloading", "serving; the last reload failed, and nothing has changed"]


def test_a_defect_in_a_reload_is_logged_and_told_to_nobody(
    told: Told, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """Who asked learns where to look."""
    loads(monkeypatch, lambda: 1 // 0)
    done, text, _ = told.reload()
    assert flush_logged_errors(ZeroDivisionError)
    assert not done
    assert text == f"{told.node._path}: the reload failed, and nothing has changed; the log says why"
    assert told.states == ["reloading", "serving; the last reload failed, and nothing has changed"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_read(
    told: Told, monkeypatch: pytest.MonkeyPatch, make: Callable[[pathlib.Path], None]
) -> None:
    """Nobody writes to a named pipe, and to read it would never end; a file that is not there can be read about."""
    loads(monkeypatch, _Good)
    path = told.node._path
    assert told.reload()[0]
    make(path)
    done, text, _ = told.reload()
    assert not done
    assert f"cannot read {path}: it is no regular file" in text
    path.rmdir() if path.is_dir() else path.unlink()
    path.write_text("")
    assert told.reload()[0]


def test_whoever_asks_during_a_reload_is_answered_by_the_next(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more for all of them, since the file may have changed when they asked."""
    loads(monkeypatch, _Good)
    first: Deferred[None] = Deferred()
    second: Deferred[None] = Deferred()
    told.edge.gates = [first, second]
    answered: list[str] = []
    for name in "abc":
        told.node.reload().addCallback(lambda _, asker: answered.append(asker), name)
    assert (told.edge.changes, answered) == (1, [])
    first.callback(None)
    assert (told.edge.changes, answered) == (2, ["a"])
    second.callback(None)
    assert (told.edge.changes, answered) == (2, ["a", "b", "c"])
    assert told.reload()[0]


def test_the_second_sigterm_waits_for_nobody(told: Told) -> None:
    """The first lets open requests end."""
    told.node._terminate()
    assert (told.reactor.stops, told.edge.cuts) == (1, 0)
    told.node._terminate()
    assert (told.reactor.stops, told.edge.cuts) == (1, 1)
