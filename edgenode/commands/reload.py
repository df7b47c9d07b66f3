"""``edgenode reload``: has a running node read its configuration file again, and says what came of it."""

from __future__ import annotations

import argparse
import sys

from edgenode.commands import running


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    running.declare(parser)


def main(options: argparse.Namespace) -> int:
    """Have a node read its configuration again.

    :return: 0 if the new one is in use, files and all; 1 if not: the last line says whether nothing has changed, or
        of which sections the old files stay in use.
    """
    report = running.asked(options, "reload")
    if report is None:
        return 1
    print(report.text, file=sys.stdout if report.done else sys.stderr)
    return 0 if report.done else 1
