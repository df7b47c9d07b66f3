"""What is typed behind ``edgenode origins``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pytest

from edgenode.commands import origins


@pytest.mark.parametrize(
    ("words", "command", "pid"),
    [
        ((), "list", None),
        (("--pid", "7"), "list", 7),
        (("--pid", "7", "list", "shop"), "list", 7),
        (("drain", "shop", "10.0.0.11:8443", "--pid", "8"), "drain", 8),
        (("--pid", "7", "drain", "shop", "10.0.0.11:8443"), "drain", 7),
    ],
)
def test_without_a_command_all_are_listed(words: Sequence[str], command: str, pid: int | None) -> None:
    """It lists without a further word, and takes the node's process before the command or behind it."""
    parser = argparse.ArgumentParser()
    origins.declare(parser)
    options = parser.parse_args(words)
    assert (options.command, options.pid) == (command, pid)
    assert str(options.pid_file) == "twistd.pid"
