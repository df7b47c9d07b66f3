"""Processes of a measurement: each on a core of its own choice, with what it starts; their CPU time; and their end."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

PATIENCE = 60.0
"""Seconds that a peer may take until it listens: a thousand filters are compiled first."""

_TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """The core of the peers, and the core of the load generator and the origin; the same one if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


def free_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start(
    command: Sequence[str],
    core: int,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command on a core, as the leader of a process group of its own; it is killed when this process ends."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *command],
        env={**os.environ, "PATH": os.environ.get("PATH", "") + os.pathsep + "/usr/sbin", **(environment or {})},
        bufsize=0,  # a line is read without what follows it
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        process_group=0,
    )


@contextlib.contextmanager
def running(
    command: Sequence[str], core: int, port: int, log: pathlib.Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A server that listens on a port when this is entered, and that has ended when it is left; its process's number.

    :raises SystemExit: if it does not listen in time; what it wrote is told.
    """
    with log.open("wb") as output:
        process = start(command, core, environment, output)
    try:
        if not _listens(process, port):
            raise SystemExit(f"{' '.join(command)} did not start:\n{log.read_text(errors='replace')}")
        yield process.pid
    finally:
        stop(process)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """End a process that :func:`start` started, and all of its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def cpu_seconds(pid: int, alone: bool = False) -> float:
    """The CPU time, user's and system's, that a process has had, and its descendants.

    :param alone: without these.
    """
    ticks = 0
    for each in [pid] if alone else tree(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def kept_waiting(pid: int) -> float:
    """The seconds in which a process's main thread was ready to run, and waited for its core (schedstat of proc(5))."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
