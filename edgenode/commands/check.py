"""``python -m edgenode check``: every problem of a configuration file."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from edgenode.config import ini
from edgenode.config.effective import effective
from edgenode.config.load import Configuration
from edgenode.config.system_filters import is_system
from edgenode.model.errors import ConfigurationError


def main(arguments: Sequence[str]) -> int:
    """Report every problem of a configuration file: 0 if it can be used, else 1."""
    parser = argparse.ArgumentParser(
        "edgenode check", description="check a configuration file and report every problem of it"
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("--effective", action="store_true", help="print the whole configuration as it is in effect")
    options = parser.parse_args(arguments)
    path = options.file
    try:
        configuration = Configuration.load(path)
    except ConfigurationError as error:
        errors = sum(not problem.warning for problem in error.problems)
        print(*error.problems, sep="\n", file=sys.stderr)
        print(f"{path}: {_counted(errors, 'error')}", file=sys.stderr)
        return 1
    for problem in configuration.warnings:
        print(problem, file=sys.stderr)
    if options.effective:
        print(effective(configuration, ini.decode(pathlib.Path(path).read_bytes())[0]), end="")
        return 0
    parts = {
        "listener": configuration.listeners,
        "server group": configuration.server_groups,
        "path map": configuration.path_maps,
        "origin": configuration.origins,
        "global filter": [name for name in configuration.global_filters if not is_system(name)],
        "warning": configuration.warnings,
    }
    print(f"{path}: ok, {', '.join(_counted(len(part), name) for name, part in parts.items())}")
    return 0


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
