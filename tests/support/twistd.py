"""``twistd edgenode`` in a process of its own, as it is run in earnest, and everything that it writes."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from attrs import define

ROOT = pathlib.Path(__file__).parent.parent.parent
COMMAND = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")
PATIENCE = 30.0
"""Seconds that a node may take for all that is asked of it, unless a test says otherwise."""

BYTES = "latin-1"
"""Reads any output as it is, each byte a character."""

LISTENING = re.compile(r"listener (\S+) on \S*:(\d+): ")


@define
class Twistd:
    """A running node.

    :ivar process: its process.
    :ivar port: the TCP port of its first listener.
    :ivar log: what it has logged; all of it once it has ended.
    """

    process: subprocess.Popen[bytes]
    port: int = 0
    log: str = ""


def start(
    file: pathlib.Path,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
    shell: Sequence[str] = (),
    **popen: Any,
) -> subprocess.Popen[bytes]:
    """Start a node that logs to its standard output.

    :param options: of ``twistd``.
    :param shell: a command that executes the arguments behind its own.
    """
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [*shell, *COMMAND, "--logfile=-", *options, "edgenode", "--config", str(file)]
    return subprocess.Popen(
        command, env=surroundings, cwd=file.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **popen
    )


@contextlib.contextmanager
def twistd(
    file: pathlib.Path,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    patience: float = PATIENCE,
    **popen: Any,
) -> Iterator[Twistd]:
    """A node that listens; at the end it is asked to stop, and must do so with status 0.

    :param options: of ``twistd``.
    :param patience: seconds after which it is killed.
    """
    with start(file, environment or {}, options, **popen) as process:
        node = Twistd(process)
        impatience = threading.Timer(patience, process.kill)
        impatience.start()
        try:
            assert process.stdout is not None
            _await(node, process.stdout)
            yield node
            process.send_signal(signal.SIGTERM)
            node.log += process.communicate()[0].decode(BYTES)
        finally:
            impatience.cancel()
            process.kill()
    assert process.returncode == 0, node.log


def failing(file: pathlib.Path, environment: Mapping[str, str] | None = None) -> str:
    """What a node writes that cannot start, and does end with status 1."""
    with start(file, environment or {}) as process:
        written = process.communicate(timeout=PATIENCE)[0].decode(BYTES)
    assert process.returncode == 1, written
    return written


def _await(node: Twistd, output: IO[bytes]) -> None:
    for data in output:
        line = data.decode(BYTES)
        node.log += line
        found = LISTENING.search(line.rstrip("\n"))
        if found:
            node.port = int(found[2])
            return
    raise AssertionError(node.log)
