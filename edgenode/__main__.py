"""``python -m edgenode``: the commands besides running the node, which is ``twistd edgenode``.

The module owns the list of commands; each is imported only when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from attrs import frozen


@frozen
class Command:
    """One command.

    :ivar help: what it does, in one line.
    :ivar run: takes the arguments behind the command's name, and returns the exit status.
    """

    help: str
    run: Callable[[Sequence[str]], int]


def check(arguments: Sequence[str]) -> int:
    """Report every problem of a configuration file: 0 if it can be used, else 1."""
    from edgenode.config import ini
    from edgenode.config.effective import effective
    from edgenode.config.load import Configuration
    from edgenode.config.system_filters import is_system
    from edgenode.model.errors import ConfigurationError

    parser = argparse.ArgumentParser("edgenode check", description=COMMANDS["check"].help)
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


def reference(arguments: Sequence[str]) -> int:
    """Print the reference of the configuration, reStructuredText."""
    from edgenode.config.reference import reference

    argparse.ArgumentParser("edgenode reference", description=COMMANDS["reference"].help).parse_args(arguments)
    print(reference(), end="")
    return 0


def delegated(module: str) -> Callable[[Sequence[str]], int]:
    """A command that is the function ``main`` of a module."""

    def run(arguments: Sequence[str]) -> int:
        status: int = importlib.import_module(module).main(list(arguments))
        return status

    return run


COMMANDS = {
    "check": Command("check a configuration file and report every problem of it", check),
    "demo": Command("run a node, an origin and a throw-away PKI to try out", delegated("edgenode.commands.demo")),
    "explain": Command("tell what would become of a request, and why", delegated("edgenode.commands.explain")),
    "feeds": Command("ask the sources of lists and datafeeds now, or list them", delegated("edgenode.commands.feeds")),
    "import": Command("make sections of the rules of another product", delegated("edgenode.commands.import_")),
    "pki": Command("make certificates for development and tests", delegated("edgenode.commands.pki")),
    "reference": Command("print the reference of the configuration", reference),
    "reload": Command("have a running node read its configuration file again", delegated("edgenode.node.control")),
    "replay": Command("tell what would have been decided for recorded requests", delegated("edgenode.commands.replay")),
}
"""Every command by its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 2 if there is no such command."""
    listing = "\n".join(f"  {name:<12}{command.help}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "edgenode", epilog=f"commands:\n{listing}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="see COMMAND --help")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal has every character
    try:
        status = COMMANDS[options.command].run(options.arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough, as ``head`` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


if __name__ == "__main__":
    sys.exit(main())
