"""``edgenode``, or ``python -m edgenode``: every command; ``twistd edgenode`` runs the node as well.

The module owns the list of commands; each is imported only when it is called. A configuration that cannot be used ends
every one of them alike: with all its problems, and 1.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence

from cryptography.utils import CryptographyDeprecationWarning

from edgenode.commands.terminal import shown
from edgenode.model.errors import ConfigurationError
from edgenode.model.version import version

COMMANDS = {
    "check": ("check", "check a configuration file and report every problem of it"),
    "demo": ("demo", "run a node, an origin and a throw-away PKI to try out"),
    "explain": ("explain", "tell what would become of a request, and why"),
    "feeds": ("feeds", "ask the sources of lists and datafeeds now, or list them"),
    "import": ("import_", "make sections of the rules of another product"),
    "pki": ("pki", "make certificates for development and tests"),
    "reference": ("reference", "print the reference of the configuration, or of one key"),
    "reload": ("reload", "have a running node read its configuration file again"),
    "replay": ("replay", "tell what would have been decided for recorded requests"),
    "run": ("run", "run the node in the foreground"),
}
"""Every command by its name: its module in ``edgenode.commands``, and what it does. The module's ``main`` takes the
arguments behind the name, and returns the exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 2 if there is no such command."""
    listing = "\n".join(f"  {name:<12}{help}" for name, (_, help) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "edgenode", epilog=f"commands:\n{listing}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"edgenode {version()}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="see COMMAND --help")
    options = parser.parse_args(arguments)
    # What a library tells programmers about somebody's certificate is not for whoever runs a node.
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal has every character
    try:
        module, _ = COMMANDS[options.command]
        status: int = importlib.import_module(f"edgenode.commands.{module}").main(list(options.arguments))
        sys.stdout.flush()
        return status
    except ConfigurationError as error:
        for problem in error.problems:
            print(shown(problem, sys.stderr), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough, as ``head`` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(main())
