"""``edgenode reload``: has a running node read its configuration file again, and says what came of it."""

from __future__ import annotations

import argparse
import pathlib
import sys

from edgenode.node.control import ask


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pid", type=int, help="the node's process")
    which.add_argument(
        "--pid-file",
        type=pathlib.Path,
        metavar="FILE",
        default="twistd.pid",
        help="the file in which twistd has written it (twistd.pid)",
    )


def main(options: argparse.Namespace) -> int:
    """Have a node read its configuration again.

    :return: 0 if the new one is in use, files and all; 1 if not: the last line says whether nothing has changed, or
        of which sections the old files stay in use.
    """
    try:
        pid = options.pid if options.pid is not None else int(options.pid_file.read_text())
    except OSError as error:
        return _sorry(f"no node is known here: cannot read {options.pid_file}: {error.strerror}")
    except ValueError:
        return _sorry(f"no node is known here: there is no process number in {options.pid_file}")
    try:
        report = ask(pid)
    except OSError as error:
        return _sorry(f"process {pid} cannot be asked: {error.strerror or error}")
    print(report.text, file=sys.stdout if report.done else sys.stderr)
    return 0 if report.done else 1


def _sorry(sentence: str) -> int:
    print(f"edgenode reload: {sentence}", file=sys.stderr)
    return 1
