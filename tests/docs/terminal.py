"""A terminal in a network of its own, in which the commands of a page run with the ports that the page prints.

``unshare -n python -m tests.docs.terminal FOLDER`` reads commands from standard input, as a list in JSON, and writes
what came of each. One that serves goes on in the background until the last one has ended; ``PID`` is the process of the
one that was started last.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any

SERVES = re.compile(
    r"(?:make run|openssl s_server|\S*edgenode run|twistd|\S*/twistd|"
    r"python examples/[\w/]+(?:site|endpoint|protocol)\.py)\b"
)
SERVING = re.compile(r"listener \S+ on |listening on |starting on |Requests, as they come:|ACCEPT")
PATIENCE = 90.0
"""Seconds until what serves must say so."""

LONGEST = 120.0
"""Seconds until any other must have ended."""


def main(folder: pathlib.Path) -> None:
    """Run the commands, one behind another, in one shell."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # the loopback interface is down at first
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP: netdevice(7)
    commands: list[str] = json.load(sys.stdin)
    with subprocess.Popen(
        ["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as shell:
        try:
            json.dump(list(_outcomes(shell, folder, commands)), sys.stdout)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def _outcomes(shell: subprocess.Popen[str], folder: pathlib.Path, commands: list[str]) -> Any:
    pid = "PID"
    out, err = folder / ".out", folder / ".err"
    for number, command in enumerate(commands):
        line = re.sub(r"\bPID\b", pid, command)
        if SERVES.match(line):
            log = folder / f".log{number}"
            log.touch()
            pid = _answer(shell, f"{line} >{log} 2>&1 </dev/null & echo $!")
            status = _until_it_serves(pid, log) and _give_up(folder, line, PATIENCE)
            yield {"status": status, "out": log.read_text(), "err": ""}
        else:
            ended = _answer(shell, f"{{ {line}\n}} >{out} 2>{err} </dev/null; echo $?")
            status = int(ended or _give_up(folder, line, LONGEST))
            if status:  # what stands behind it may not be done in time, for it is not
                shutil.copy(err, folder / f".err{number}")
            yield {"status": status, "out": out.read_text(), "err": err.read_text()}


def _answer(shell: subprocess.Popen[str], line: str) -> str:
    """The line that a command prints; none if it does not end."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{line}\n")
    shell.stdin.flush()
    ready, _, _ = select.select([shell.stdout], [], [], LONGEST)
    return shell.stdout.readline().strip() if ready else ""


def _give_up(folder: pathlib.Path, line: str, seconds: float) -> int:
    """What stands behind it waits for what it has not done, and would wait for ever."""
    said = "".join(f"\n{path.name}:\n{path.read_text()[-8000:]}" for path in sorted(folder.glob(".[eol]*[0-9rtu]")))
    raise SystemExit(f"it is not done in {seconds:g} s: {line}{said}")


def _until_it_serves(pid: str, log: pathlib.Path) -> int:
    """0 once it has said that it serves; 1 if it ends before, or says nothing in time."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if SERVING.search(log.read_text()):
            return 0
        time.sleep(0.05)
    return 1


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
