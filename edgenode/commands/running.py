"""Which running node a command is about: its process, by number or by the file in which twistd has written it."""

from __future__ import annotations

import argparse
import pathlib
import sys

from edgenode.node.control import REQUEST, Report, ask


def declare(parser: argparse.ArgumentParser, *, below: bool = False) -> None:
    """Give a parser the arguments that say which.

    :param below: whether they may also have been said before a further command.
    """
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pid", type=int, default=argparse.SUPPRESS if below else None, help="the node's process")
    which.add_argument(
        "--pid-file",
        type=pathlib.Path,
        metavar="FILE",
        default=argparse.SUPPRESS if below else pathlib.Path("twistd.pid"),
        help="the file in which twistd has written it (twistd.pid)",
    )


def asked(options: argparse.Namespace, command: str, request: bytes = REQUEST) -> Report | None:
    """What a node answers; ``None``, with a sentence on standard error, if there is none that can be asked.

    :param command: for the sentence.
    :param request: as :func:`edgenode.node.control.ask` takes it.
    """
    try:
        pid = options.pid if options.pid is not None else int(options.pid_file.read_text())
    except OSError as error:
        sentence = f"no node is known here: cannot read {options.pid_file}: {error.strerror}"
    except ValueError:
        sentence = f"no node is known here: there is no process number in {options.pid_file}"
    else:
        try:
            return ask(pid, request=request)
        except OSError as error:
            sentence = f"process {pid} cannot be asked: {error.strerror or error}"
    print(f"edgenode {command}: {sentence}", file=sys.stderr)
    return None
