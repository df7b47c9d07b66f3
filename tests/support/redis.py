"""A real server of Redis for tests, and a blocking client to look into it."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import tempfile
from typing import Any, Self

import pytest

from bench.processes import free_port
from tests.support.waiting import wait_for

EXECUTABLE = shutil.which("redis-server") or shutil.which("valkey-server")

needs_redis = pytest.mark.skipif(EXECUTABLE is None, reason="there is no redis-server")
"""Marks a test that needs the server."""


class ErrorReply(Exception):
    """The server has refused a command."""


class BlockingClient:
    """A connection that waits for each answer."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self._file = self.sock.makefile("rb")

    def __call__(self, *words: str | bytes | int) -> Any:
        """Send a command, and return what it answers.

        :raises ErrorReply: if it refuses it.
        """
        parts = [each if isinstance(each, bytes) else str(each).encode() for each in words]
        return self.raw(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in parts))

    def raw(self, command: bytes) -> Any:
        """The same with the bytes of a command."""
        self.sock.sendall(command)
        return self._read()

    def close(self) -> None:
        """End it."""
        self._file.close()
        self.sock.close()

    def _read(self) -> Any:
        line = self._file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise ErrorReply(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._read() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest


class RedisServer:
    """A server on a Unix socket, and if wanted on ports; ends with the block.

    :param free_ports: options whose values are ports on which nobody listens; they are kept when it starts again, and
        chosen anew if somebody was quicker.
    :param options: of its configuration, such as ``requirepass``.
    :ivar path: of its socket.
    """

    def __init__(self, *free_ports: str, **options: str) -> None:
        self._free_ports = free_ports
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="redis"))
        self.path = str(self.folder / "redis.sock")
        self.options = {name.replace("_", "-"): value for name, value in options.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._client: BlockingClient | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """As ``[state]`` has it."""
        return f"unix:{self.path}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._spawn(*(name for name in self._free_ports if name not in self.options))
        try:
            wait_for(self._answers, "an answer of redis-server", seconds=30)
        except BaseException:
            self.kill()
            raise

    def _spawn(self, *free_ports: str) -> None:
        assert EXECUTABLE is not None
        self.options |= {name: str(free_port()) for name in free_ports}
        words = {"port": "0", "save": "", "appendonly": "no", "loglevel": "warning", **self.options}
        arguments = [word for name, value in words.items() for word in (f"--{name}", *([value] if value else ['""']))]
        self._process = subprocess.Popen(
            [EXECUTABLE, "--unixsocket", self.path, "--dir", str(self.folder), *arguments],
            stdout=subprocess.DEVNULL,
        )

    def _answers(self) -> bool:
        if self._free_ports and self._process is not None and self._process.poll() is not None:
            self._spawn(*self._free_ports)
        try:
            client = BlockingClient(self.path)
        except OSError:
            return False
        client.close()
        return True

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __call__(self, *words: str | bytes | int) -> Any:
        """Send it a command on a connection of its own."""
        if self._client is None:
            self._client = BlockingClient(self.path)
        return self._client(*words)
