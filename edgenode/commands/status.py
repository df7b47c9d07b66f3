"""``edgenode status``: what a running node is, in a screenful, or all of it as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time

from edgenode.commands import running
from edgenode.commands.status_screen import MOST, screen
from edgenode.node.control import STATUS

_PAUSE = 2.0
"""Seconds between two looks of ``--watch``."""

_CLEAR = "\033[H\033[J"


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    running.declare(parser)
    parser.add_argument("--json", action="store_true", help="print all values, as JSON")
    parser.add_argument("--all", action="store_true", help=f"show all rows of each table, not only {MOST}")
    parser.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")


def main(options: argparse.Namespace) -> int:
    """Show what a node is.

    :return: 0; 1 if no node can be asked.
    """
    while True:
        report = running.asked(options, "status", STATUS)
        if report is None:
            return 1
        if not report.done:
            print(f"edgenode status: {report.text}", file=sys.stderr)
            return 1
        told = json.loads(report.text)
        try:
            text = json.dumps(told, indent=2) if options.json else screen(told, every_row=options.all)
        except (LookupError, TypeError, ValueError, AttributeError):
            print("edgenode status: the node is of another version: --json prints what it says", file=sys.stderr)
            return 1
        print(_CLEAR + text if options.watch and sys.stdout.isatty() else text, flush=True)
        if not options.watch:
            return 0
        time.sleep(_PAUSE)
