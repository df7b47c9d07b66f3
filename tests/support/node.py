"""A node on a live listener, and what is at both its ends: blocking TLS clients, and an origin that records every byte.

The node runs in the reactor of the tests; clients and origins are blocking code in threads, so they have nothing in
common with what they test. ``python -m tests.support.node FILE`` runs a node alone, to be looked at from outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Self

import pytest_twisted
from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink, Record
from edgenode.node.service import EdgeService
from edgenode.observe.event_record import event_line
from tests.support.certificates import SERVER, Issued, make_authority, write_pem
from tests.support.clients import PATIENCE, Answer, Client, Hand, Refused, connect, fields, get
from tests.support.origins import OK, Behaviour, Origin, Served, answering

__all__ = [
    "OK", "PATIENCE", "PKI", "Alone", "Answer", "Behaviour", "Client", "Events", "Hand", "Node", "Origin", "Refused",
    "Served",    "alone", "answering", "connect", "fields", "get", "in_thread", "ini", "running", "sections", "started",
    "until",
]  # fmt: skip

GROUPS: Mapping[str, str] = {
    "open": "off",
    "other": "off",
    "optional": "optional",
    "lenient": "optional-no-ca",
    "strict": "on",
    "twin": "on",
}
"""The server groups of every node, each with its mode; ``open`` serves ``open.test``, and so on."""

Changes = Mapping[str, Mapping[str, str | None]]
"""By section what is different from :func:`sections`; ``None`` takes a key out."""


@frozen(eq=False)
class PKI:
    """The certificates of a node, of its clients and of its origin, and the folder of their files.

    :ivar clients: the authority of the clients.
    :ivar servers: the authority of the edge, of its origin, and of the edge as that origin's client.
    :ivar client: a client's certificate with which nothing is wrong.
    """

    folder: pathlib.Path
    clients: Issued
    servers: Issued
    client: Issued

    @classmethod
    def make(cls, folder: pathlib.Path) -> Self:
        """All of them, new."""
        clients, servers = make_authority("Clients"), make_authority("Servers")
        write_pem(folder / "clients.pem", [clients])
        write_pem(folder / "servers.pem", [servers])
        sans = [f"DNS:{name}.test" for name in GROUPS] + ["IP:127.0.0.1"]
        servers.issue("edge", eku=[SERVER], sans=sans).write(folder, "edge")
        servers.issue("origin", eku=[SERVER], sans=["DNS:origin.test"]).write(folder, "origin")
        servers.issue("edge as a client").write(folder, "edge-client")
        return cls(folder, clients, servers, clients.issue("CN=Alice,O=Partners"))


def sections(port: int) -> dict[str, dict[str, str | None]]:
    """The sections of a node with every mode of mTLS, in front of an origin on a port of this host."""
    found: dict[str, dict[str, str | None]] = {
        "edge": {"name": "edge-test", "drain-timeout": "1s", "access-log": "off"},
        "listener public": {
            "endpoint": "tcp:0:interface=127.0.0.1",
            "server-groups": ", ".join(GROUPS),
            "keepalive-timeout": "20s",
        },
        "certificate edge": {"chain": "edge.pem", "key": "edge.key"},
        "certificate edge-client": {
            "chain": "edge-client.pem",
            "key": "edge-client.key",
            "authorities": "servers.pem",
        },
        "trust-store clients": {"authorities": "clients.pem"},
        "trust-store servers": {"authorities": "servers.pem"},
        "security-policy all": {"path-maps": "all"},
        "path-map all": {"origin": "origin"},
        "origin origin": {
            "servers": f"https://127.0.0.1:{port}",
            "server-name": "origin.test",
            "certificate": "edge-client",
            "trust-store": "servers",
            "read-timeout": "10s",
            "max-fails": "0",
        },
    }
    for name, mtls in GROUPS.items():
        group = {"hosts": f"{name}.test", "certificate": "edge", "security-policy": "all", "mtls": mtls}
        found[f"server-group {name}"] = {**group, **({} if mtls == "off" else {"trust-store": "clients"})}
    # No rule asks for the verdict, so somebody else has to be told of it.
    found["server-group lenient"]["certificate-headers"] = "nginx"
    return found


def ini(port: int, changes: Changes | None = None) -> str:
    """The INI of :func:`sections` with changes; sections that it does not have are added."""
    written = sections(port)
    for header, keys in (changes or {}).items():
        written[header] = {**written.get(header, {}), **keys}
    lines = []
    for header, keys in written.items():
        lines += [f"[{header}]", *(f"{key} = {value}" for key, value in keys.items() if value is not None), ""]
    return "\n".join(lines)


@implementer(IEventSink)
@define(eq=False)
class Events:
    """Keeps the events of a node.

    :ivar told: all of them so far, as read from their JSON lines.
    """

    told: list[dict[str, Any]] = Factory(list)
    _waiting: list[tuple[int, Deferred[None]]] = Factory(list)

    def record(self, record: Record) -> None:
        """Take an event."""
        self.told.append(json.loads(event_line(record)))
        due = [each for each in self._waiting if each[0] <= len(self.told)]
        self._waiting = [each for each in self._waiting if each not in due]
        for _, waiting in due:
            waiting.callback(None)

    async def take(self, count: int = 1) -> list[dict[str, Any]]:
        """Take out that many events, waiting for those that are still to come; there must not be more of them."""
        if len(self.told) < count:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((count, waiting))
            await waiting
        told, self.told = self.told, []
        assert len(told) == count, told
        return told


@frozen(eq=False)
class Node:
    """A node that runs in the reactor of the tests.

    :ivar service: the node.
    :ivar events: its events.
    :ivar pki: whose certificates it uses.
    """

    service: EdgeService
    events: Events
    pki: PKI

    @classmethod
    def of(cls, pki: PKI, origin: int, changes: Changes | None = None) -> Self:
        """A node in front of an origin on a port of this host, not started yet."""
        from twisted.internet import reactor  # only now: pytest-twisted installs it

        events = Events()
        configuration = Configuration.from_text(ini(origin, changes), pki.folder, {})
        return cls(EdgeService(configuration, reactor, events), events, pki)

    @property
    def port(self) -> int:
        """The TCP port of its listener."""
        return int(self.service.ports["public"].getHost().port)

    def start(self) -> None:
        """Accept connections."""
        self.service.privilegedStartService()
        self.service.startService()

    async def reload(self, origin: Origin | int, changes: Changes | None = None) -> None:
        """Go on with other changes to :func:`sections`."""
        port = origin if isinstance(origin, int) else origin.port
        await self.service.reload(Configuration.from_text(ini(port, changes), self.pki.folder, {}))

    async def stop(self) -> None:
        """Stop, if that has not been done; nothing of it may be left."""
        if self.service.running:
            await self.service.stopService()
        for name, port in self.service.ports.items():
            assert not port.connections, f"connections left on the listener {name}"
        for name, pool in self.service.pools.items():
            assert not pool.open, f"connections left to the origin {name}"

    def client(self, name: str | None = "open.test", **options: Any) -> Client:
        """A client of this node: blocking, so for a thread; options as :class:`Client`."""
        return Client(self.port, name, **options)

    async def exchange(self, data: bytes, name: str | None = "open.test", **options: Any) -> bytes:
        """Send bytes on a new connection, and return all that comes back until the node closes it.

        :param options: as :class:`Client`.
        """
        received: bytes = await in_thread(_exchange, self.port, data, name, options)
        return received

    async def plain(self, data: bytes) -> bytes:
        """The same without TLS."""
        received: bytes = await in_thread(_plain, self.port, data)
        return received


async def until(true: Callable[[], object]) -> None:
    """Turn the reactor until something is true; the deadline of the test bounds it."""
    from twisted.internet import reactor, task

    while not true():
        await task.deferLater(reactor, 0.005)


def in_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Deferred[Any]:
    """Run blocking code; it begins at once."""
    return deferToThread(function, *arguments, **options)


def _exchange(port: int, data: bytes, name: str | None, options: Mapping[str, Any]) -> bytes:
    with Client(port, name, **options) as client:
        client.send(data)
        return client.rest()


def _plain(port: int, data: bytes) -> bytes:
    with connect(port) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65536), b""))


@contextlib.contextmanager
def running(pki: PKI, origin: Origin | int, changes: Changes | None = None) -> Iterator[Node]:
    """A node that accepts connections; for fixtures, and for tests that are not coroutines."""
    node = Node.of(pki, origin if isinstance(origin, int) else origin.port, changes)
    node.start()
    try:
        yield node
    finally:
        pytest_twisted.blockon(Deferred.fromCoroutine(node.stop()))


@contextlib.asynccontextmanager
async def started(pki: PKI, origin: Origin | int, changes: Changes | None = None) -> AsyncIterator[Node]:
    """The same for coroutines."""
    node = Node.of(pki, origin if isinstance(origin, int) else origin.port, changes)
    node.start()
    try:
        yield node
    finally:
        await node.stop()


@frozen
class Alone:
    """A node in a process of its own.

    :ivar pid: the process.
    :ivar port: its TCP port.
    """

    pid: int
    port: int

    def memory(self, what: str) -> int:
        """A line of /proc/PID/status, in bytes: ``VmRSS`` is the memory now, ``VmHWM`` the most there ever was."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(rf"{what}:\s*(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def seconds(self) -> float:
        """The CPU time that it has used so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def share_while_waiting(self) -> float:
        """The part of a core that it uses while nobody asks it anything.

        The time is real: what a process costs while it waits can be seen in no other.
        """
        before, began = self.seconds(), time.monotonic()
        time.sleep(0.5)
        return (self.seconds() - before) / (time.monotonic() - began)

    def descriptors(self) -> int:
        """How many file descriptors it has open."""
        return len(list(pathlib.Path(f"/proc/{self.pid}/fd").iterdir()))


@contextlib.contextmanager
def alone(pki: PKI, origin: Origin, changes: Changes | None = None) -> Iterator[Alone]:
    """A node in a process of its own, in front of an origin in this one."""
    file = pki.folder / f"{origin.port}.ini"
    file.write_text(ini(origin.port, changes))
    command = [sys.executable, "-m", "tests.support.node", str(file)]
    root = pathlib.Path(__file__).parent.parent.parent
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Alone(process.pid, int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(10)


def _run(path: str) -> None:
    """Run a node by itself: its port is printed, and it ends with its standard input."""
    from twisted.internet import reactor, stdio
    from twisted.internet.protocol import Protocol

    class Lifeline(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            if reactor.running:
                reactor.stop()

    service = EdgeService(Configuration.load(path), reactor)
    service.privilegedStartService()
    service.startService()
    sys.stdout.write(f"{service.ports['public'].getHost().port}\n")
    sys.stdout.flush()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    stdio.StandardIO(Lifeline())
    reactor.run()


if __name__ == "__main__":
    _run(sys.argv[1])
