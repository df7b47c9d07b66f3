"""``edgenode check``: every problem of a configuration file, for people, for editors and for pipelines."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from edgenode.commands.terminal import shown
from edgenode.config import ini
from edgenode.config.data import Sections
from edgenode.config.effective import effective
from edgenode.config.load import Configuration
from edgenode.config.places import placed
from edgenode.config.system_filters import is_system
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.node.privileges import HOW, privileged

WITHOUT_EVENTS = (
    "nothing of what the node decides is recorded, and replay has nothing to read; events = FILE or a [journal] "
    "records it, and events = off says that this is meant"
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.description = "Report every problem of a configuration file. The exit status is 0 if it can be used, else 1."
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("--strict", action="store_true", help="fail for warnings, too")
    parser.add_argument(
        "--endpoint", action="store_true", help="the file is for the endpoint edgenode: and needs nothing for requests"
    )
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--effective", action="store_true", help="print the whole configuration as it is in effect")
    printed.add_argument("--json", action="store_true", help="as JSON, on standard output")


def main(options: argparse.Namespace) -> int:
    """Report every problem of a configuration file: 0 if it can be used, else 1; with ``--strict`` 1 for warnings."""
    configuration, problems = _loaded(options.file, requests=not options.endpoint)
    notes = () if configuration is None else _notes(configuration, options.file)
    failed = configuration is None or (options.strict and bool(problems))
    if options.json:
        told = [*map(_told, problems), *(_told(note) | {"severity": "note"} for note in notes)]
        counts = {} if configuration is None else {name: len(part) for name, part in _parts(configuration).items()}
        print(json.dumps({"file": options.file, "ok": not failed, "problems": told, "sections": counts}, indent=2))
        return int(failed)
    for problem in problems:
        print(shown(problem, sys.stderr), file=sys.stderr)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    errors = sum(not problem.warning for problem in problems)
    if failed:
        warnings = _counted(len(problems) - errors, "warning") if options.strict else ""
        print(f"{options.file}: {', '.join(filter(None, (_counted(errors, 'error'), warnings)))}", file=sys.stderr)
    elif configuration is not None and options.effective:
        print(effective(configuration, ini.decode(pathlib.Path(options.file).read_bytes())[0]), end="")
    elif configuration is not None:
        parts = {**_parts(configuration), "warning": problems}
        print(f"{options.file}: ok, {', '.join(_counted(len(part), name) for name, part in parts.items())}")
    return int(failed)


def _loaded(path: str, *, requests: bool) -> tuple[Configuration | None, Sequence[Problem]]:
    """The configuration, ``None`` if it cannot be used; and every problem."""
    try:
        configuration = Configuration.load(path, requests=requests)
    except ConfigurationError as error:
        return None, error.problems
    return configuration, (*_without_events(configuration, path), *configuration.warnings)


def _without_events(configuration: Configuration, path: str) -> Sequence[Problem]:
    """A node that records nothing, unless somebody has written that it shall not."""
    text = ini.decode(pathlib.Path(path).read_bytes())[0]
    written, _ = ini.read(text, ())
    edge = next((section for section in written if section.kind == "edge"), None)
    kept = configuration.edge.events is not None or configuration.journal.folder is not None
    if kept or (edge is not None and "events" in edge.values):
        return ()
    return placed([Problem("edge", "events", WITHOUT_EVENTS, warning=True)], written, text, path)


def _notes(configuration: Configuration, path: str) -> Sequence[Problem]:
    """What is not wrong with the file, but with whoever runs a node of it as this user."""
    text = ini.decode(pathlib.Path(path).read_bytes())[0]
    problems = [
        Problem(f"listener {name}", "endpoint", f"port {port} needs a privilege that this user does not have: {HOW}")
        for name, port in privileged(configuration).items()
    ]
    problems += [
        Problem(f"stage {name}", "", "the program in which the node is embedded has to give it; there is no factory")
        for name, stage in configuration.stages.items()
        if stage.factory is None
    ]
    return placed(problems, ini.read(text, ())[0], text, path)


def _told(problem: Problem) -> dict[str, Any]:
    return {
        "severity": "warning" if problem.warning else "error",
        "file": problem.file,
        "line": problem.line or None,
        "section": problem.section,
        "key": problem.key,
        "message": problem.sentence,
        "text": problem.text,
        "column": problem.column,
    }


def _parts(configuration: Sections) -> Mapping[str, Any]:
    """What there is of it, by what it is called."""
    return {
        "listener": configuration.listeners,
        "server group": configuration.server_groups,
        "path map": configuration.path_maps,
        "origin": configuration.origins,
        "global filter": [name for name in configuration.global_filters if not is_system(name)],
        **({"stage": configuration.stages} if configuration.stages else {}),
        **({"sink": configuration.sinks} if configuration.sinks else {}),
    }


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
