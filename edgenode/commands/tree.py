"""Every command with its arguments: one ``argparse`` tree, of which help, completion and the manual page are made.

A command is a module of this room: ``declare`` gives a parser its arguments, ``main`` takes what was parsed and returns
the exit status. The module is imported only when its command is called, or the whole tree is asked for.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Container, Sequence
from typing import Any

from edgenode.model.version import version

COMMANDS = {
    "alerts": ("alerts", "tell what alerts would have said of the journal, or have one tell who it tells"),
    "check": ("check", "check a configuration file and report every problem of it"),
    "completion": ("completion", "print a script with which a shell completes commands, options and files"),
    "content-filter": ("content_filter", "ask rules of a content filter about a request, without a configuration"),
    "demo": ("demo", "run a node, an origin and a throw-away PKI to try out"),
    "events": ("events", "ask the journal: which events, how many of what, and as they come"),
    "explain": ("explain", "tell what would become of a request, and why"),
    "feeds": ("feeds", "ask the sources of lists and datafeeds now, or list them"),
    "import": ("import_", "make sections of the rules of another product"),
    "origins": ("origins", "tell how the servers of a running node's origins are, and drain one"),
    "pki": ("pki", "make certificates for development and tests"),
    "quarantine": ("quarantine", "list, hold and release what a running node refuses for a time"),
    "reference": ("reference", "print the reference of the configuration, or of one key"),
    "reload": ("reload", "have a running node read its configuration file again"),
    "replay": ("replay", "tell what would have been decided for recorded requests"),
    "run": ("run", "run the node in the foreground"),
    "status": ("status", "tell what a running node is: listeners, certificates, lists, origins"),
}
"""Every command by its name: its module, and what it does."""


class Parser(argparse.ArgumentParser):
    """A command's parser: options may stand between its other arguments, and its own usage says what is wrong."""

    _as_argparse = False  # a parser with commands below it, or one that is asked by argparse itself

    def add_subparsers(self, **options: Any) -> Any:
        """Have commands below this one."""
        self._as_argparse = True
        return super().add_subparsers(**options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse the arguments; of a command without others below it none may remain."""
        if self._as_argparse:
            return super().parse_known_args(args, namespace)
        self._as_argparse = True
        try:
            options, rest = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._as_argparse = False
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return options, rest


def tree(wanted: Container[str] = COMMANDS) -> Parser:
    """The parser of ``edgenode``: parsed options have ``main``, the command's function, and ``at``, its name.

    :param wanted: the commands whose arguments are declared; the others have their names and help alone.
    """
    parser = Parser("edgenode", description="A multi-protocol mTLS edge node: judges, filters and forwards.")
    parser.add_argument("-V", "--version", action="version", version=f"edgenode {version()}", help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (module, does) in COMMANDS.items():
        # An abbreviated option of explain would be taken for one of curl's.
        command = commands.add_parser(
            name, help=does, description=f"{does[0].upper()}{does[1:]}.", allow_abbrev=name != "explain"
        )
        if name in wanted:
            imported = importlib.import_module(f"edgenode.commands.{module}")
            imported.declare(command)
            command.set_defaults(main=imported.main)
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What a command line asks for: only the module of its command is imported."""
    return tree(arguments).parse_args(arguments)
