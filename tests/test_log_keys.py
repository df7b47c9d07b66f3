"""The names under which the package logs values: none is one that Twisted's observers read something else from."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import edgenode

RESERVED = frozenset({
    "category", "failure", "filename", "format", "isError", "lineno", "logLevel", "message", "syslogFacility",
    "syslogPriority", "system", "time", "warning", "why",
})  # fmt: skip
"""What ``twisted.logger``, ``twisted.python.log``, its syslog and trial's reporter take out of an event; trial for
one reads ``filename`` of each event that has a ``warning``, and its absence breaks the test. ``log_…`` are Logger's."""

LEVELS = frozenset({"debug", "info", "warn", "error", "critical", "failure", "emit"})


def _logged(source: str) -> Iterator[tuple[int, str]]:
    """The line and the name of every value that is logged."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            taken = {"failure", "level"} if "failure" in called else set()  # parameters of Logger.failure itself
            if "_log" in called and called.strip("()").rpartition(".")[2] in LEVELS:
                yield from ((node.lineno, word.arg or "**") for word in node.keywords if word.arg not in taken)


def test_no_value_is_logged_under_a_reserved_name() -> None:
    """Whoever runs the package under trial, or logs to syslog, finds nothing of it misread."""
    package = pathlib.Path(edgenode.__file__).parent
    found = [
        (f"{file.relative_to(package)}:{line}", name)
        for file in package.rglob("*.py")
        for line, name in _logged(file.read_text())
    ]
    assert len(found) > 30
    assert [each for each in found if each[1] in RESERVED or each[1].startswith(("log_", "**"))] == []


def test_what_is_looked_for_is_found() -> None:
    """Whatever stands in front of the call."""
    assert [*_logged("self._log.warn('{a}', a=1, warning=2)\n(_log.info if x else _log.error)('', time=3)")] == [
        (1, "a"), (1, "warning"), (2, "time"),
    ]  # fmt: skip
    assert [*_logged("_log.failure('', failure=f, why=1)")] == [(1, "why")]
