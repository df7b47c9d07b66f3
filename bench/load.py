"""The load generator (``load.c``): compiled when it is first needed, started, and what it reports."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
from collections.abc import Callable, Sequence

from attrs import frozen

from bench.processes import start, stop

SOURCE = pathlib.Path(__file__).with_name("load.c")


@frozen
class Report:
    """What a generator saw while it measured. Waits are milliseconds.

    :ivar requests: answered requests, or handshakes if it makes nothing else.
    :ivar seconds: for how long it measured.
    :ivar worst: the longest wait, one that had not ended included.
    :ivar errors: connections that ended where they must not.
    :ivar refused: responses other than 2xx.
    :ivar repeated: response heads that were those of the response before.
    :ivar bytes: of responses' bodies.
    :ivar least: bytes of the connection that got least.
    :ivar most: bytes of the connection that got most.
    :ivar sent: bytes of requests.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    worst: float
    errors: int
    refused: int
    repeated: int
    handshakes: int
    bytes: int
    least: int
    most: int
    sent: int


def compiled(folder: pathlib.Path) -> pathlib.Path:
    """The generator, compiled into a folder.

    :raises SystemExit: if there is no compiler, or are no headers of OpenSSL.
    """
    program = folder / "load"
    try:
        subprocess.run(["cc", "-O2", "-o", str(program), str(SOURCE), "-lssl", "-lcrypto"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{error}\nDebian and Ubuntu: apt-get install gcc libc6-dev libssl-dev") from error
    return program


class Generator:
    """A generator at work, in a process of its own.

    :param program: the command: what :func:`compiled` returned, or what takes the same options.
    :param core: the core to run on.
    :param port: the port of the peer.
    :param certificate: the client's certificate with its key, PEM.
    :param words: further options of the program.
    :param seconds: how long it measures.
    :param warming: how long it runs before it measures, seconds.
    :param niceness: how much it lets others on its core go first, as ``nice`` has it.
    """

    def __init__(
        self,
        program: Sequence[str],
        core: int,
        port: int,
        certificate: pathlib.Path,
        words: Sequence[str],
        seconds: float,
        warming: float,
        niceness: int = 0,
    ) -> None:
        command = [
            *program,
            "-P",
            str(port),
            "-E",
            str(certificate),
            "-d",
            str(seconds),
            "-w",
            str(warming),
            *words,
        ]
        self._words = shlex.join(command)
        self._process = start(command, core, output=subprocess.PIPE)
        self._patience = seconds + warming + 10

    def report(self, measuring: Callable[[], None] = lambda: None) -> Report:
        """Wait until it has ended.

        :param measuring: called when warming up is over.
        :raises SystemExit: if it failed.
        """
        output = self._process.stdout
        assert output is not None
        try:
            first = output.readline()
            measuring()
            last, _ = self._process.communicate(timeout=self._patience)
            if self._process.returncode or first != b"measuring\n":
                raise SystemExit(f"{self._words} failed: {(first + last).decode(errors='replace')}")
        finally:
            self.stop()
        return Report(**json.loads(last))

    def stop(self) -> None:
        """End it, whether it is ready or not."""
        stop(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
