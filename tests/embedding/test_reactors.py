"""Every reactor that Twisted has here: a whole program on each, in a process of its own."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("reactor", "name"),
    [
        ("select", "SelectReactor"),
        ("poll", "PollReactor"),
        ("epoll", "EPollReactor"),
        ("asyncio", "AsyncioSelectorReactor"),
    ],
)
def test_node_endpoint_site_and_agent_run_on_every_reactor(reactor: str, name: str, tmp_path: pathlib.Path) -> None:
    """They serve, reload and end, and leave nothing in the reactor."""
    command = [sys.executable, "-m", "tests.embedding.reactor_program", reactor, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, f"{name} is fine\n"), done.stderr
