"""What a measurement consists of: the origin, the peers in front of it, the certificates between them, and the clients.

Everything is on the loopback interface, on free ports, in a folder that goes away. The peers share one core, the origin
and the load generators another one. A client certificate is required at the peers and at the origin.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence

from attrs import frozen

from bench import certificates
from bench.load import Generator, compiled
from bench.nginx import Nginx
from bench.processes import cores, cpu_seconds, free_port, kept_waiting, running

HERE = pathlib.Path(__file__).resolve().parent

LARGE = 64 * 1024 * 1024
"""Bytes of what is served as ``/large``."""


@frozen
class Peer:
    """A proxy that is measured.

    :ivar name: how it is called.
    :ivar port: where it listens.
    :ivar pid: its first process.
    :ivar alone: whether what its further processes do does not count.
    """

    name: str
    port: int
    pid: int
    alone: bool = False

    def cpu(self) -> float:
        """Seconds of CPU time that all of its processes have had, or the first alone."""
        return cpu_seconds(self.pid, self.alone)

    def kept_waiting(self) -> float:
        """Seconds in which it was ready to run, and its core did something else."""
        return kept_waiting(self.pid)


@frozen
class Bench:
    """The place where peers are measured.

    :ivar folder: where everything lies.
    :ivar generator: the program that makes load.
    :ivar origin: the port of the origin, of HTTP/1.1 and HTTP/2 by ALPN.
    :ivar echo: the port of the origin of gRPC and WebSocket.
    """

    folder: pathlib.Path
    generator: pathlib.Path
    origin: int
    echo: int

    @contextlib.contextmanager
    def nginx(self, name: str = "nginx", *, limited: bool = False, rules: pathlib.Path | None = None) -> Iterator[Peer]:
        """nginx with one worker and without an access log.

        :param limited: whether it counts requests, by ``limit_req``.
        :param rules: a file of rules for ModSecurity; none if absent.
        """
        port = free_port()
        command = Nginx(self.folder / name, self.folder, port, self.origin, self.echo, limited, rules).command()
        with running(command, cores()[0], port, self.folder / f"{name}.log") as pid:
            yield Peer(name, port, pid)

    @contextlib.contextmanager
    def script(self, name: str, path: pathlib.Path, python: str, **environment: str) -> Iterator[Peer]:
        """A peer that a script starts in the foreground: ``SCRIPT PORT ORIGIN_PORT``, see ``start.sh``."""
        port = free_port()
        run = self.folder / name
        run.mkdir()
        surroundings = {"RUN": str(run), "PKI": str(self.folder), "PY": python, "ECHO": str(self.echo), **environment}
        log = self.folder / f"{name}.log"
        with running([str(path), str(port), str(self.origin)], cores()[0], port, log, surroundings) as pid:
            yield Peer(name, port, pid)

    def edgenode(self, python: str, checkout: str, filters: int = 10) -> contextlib.AbstractContextManager[Peer]:
        """The node of a checkout, with so many global filters, of which one matches."""
        environment = {"FILTERS": str(filters), "CHECKOUT": str(pathlib.Path(checkout).resolve())}
        return self.script(f"edgenode-{filters}", HERE / "start.sh", python, **environment)

    def forget_events(self) -> None:
        """Empty the files that the nodes append events to: a long measurement writes gigabytes."""
        for file in self.folder.glob("*/*/events.jsonl"):
            os.truncate(file, 0)

    def load(
        self,
        peer: Peer,
        words: Sequence[str],
        seconds: float,
        warming: float,
        *,
        client: str = "client",
        niceness: int = 0,
    ) -> Generator:
        """Start a load generator against a peer, with a client's certificate; arguments as :class:`Generator`'s.

        :param words: with ``-M`` as the first of them those of ``multiplexed.py``, else those of ``load.c``.
        """
        certificate = self.folder / f"{client}.pem"
        other = words[:1] == ("-M",)
        program = [sys.executable, str(HERE / "multiplexed.py")] if other else [str(self.generator)]
        return Generator(program, cores()[1], peer.port, certificate, words, seconds, warming, niceness)


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A place to measure in, with certificates and an origin; when it is left, or SIGTERM comes, all of it is gone."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, before)
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgenode-bench-"))
        folder = pathlib.Path(name)
        certificates.write(folder)
        generator = compiled(folder)
        port = free_port()
        www = folder / "origin" / "www"
        www.mkdir(parents=True)
        www.joinpath("1k").write_bytes(b"x" * 1024)
        www.joinpath("1m").write_bytes(os.urandom(1024 * 1024))
        with www.joinpath("large").open("wb") as file:
            file.truncate(LARGE)
        command = Nginx(folder / "origin", folder, port).command()
        stack.enter_context(running(command, cores()[1], port, folder / "origin.log"))
        echo = free_port()
        command = [sys.executable, str(HERE / "echo.py"), str(echo), str(folder)]
        stack.enter_context(running(command, cores()[1], echo, folder / "echo.log"))
        yield Bench(folder, generator, port, echo)
