"""A real server for tests: a process on a port of its own, which it keeps when it starts again."""

from __future__ import annotations

import pathlib
import subprocess
from abc import ABC, abstractmethod
from typing import Self

from bench.processes import free_port


class ServerProcess(ABC):
    """A server; it ends with the block.

    :param folder: of its files.
    :param log: the name of the file there in which it writes what it does.
    :ivar port: the port; the same when it starts again.
    """

    def __init__(self, folder: pathlib.Path, log: str) -> None:
        self.folder = folder
        self._log = folder / log
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens; on another port, if somebody was quicker."""
        for _ in range(5):
            port = self.port or free_port()
            if self._started(port):
                self.port = port
                return
        raise AssertionError(self._log.read_text())

    @abstractmethod
    def _started(self, port: int) -> bool:
        """Start it on a port; whether it listens there."""

    @property
    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End it at once, without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
