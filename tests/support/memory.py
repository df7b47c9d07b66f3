"""A whole node in one thread and on one clock: listener, TLS, HTTP/1.1, exchange and pool are real, and so are the
socket pairs that take the place of TCP; clients and origins are played by the test.

The tests read as a dialogue: a client says something, the origin is asked, it answers, the client hears.
"""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from attrs import Factory, define
from OpenSSL import SSL
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink, Record
from edgenode.net.deadlines import Deadlines
from edgenode.node.assembly import Assembly
from edgenode.observe.event_record import event_line
from edgenode.proxy.http1.server import ServerConnection
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.port import Port
from edgenode.proxy.origin import opening
from edgenode.proxy.origin.pool import OriginPool
from tests.support.certificates import SERVER, Issued
from tests.support.clients import Answer, fields
from tests.support.handshakes import client as client_context
from tests.support.handshakes import server
from tests.support.loop import Loop, pair, tcp_pair
from tests.support.misbehaviours import Misbehaviour
from tests.support.node import PKI, Changes, ini
from tests.support.transports import PlainPeer

PLAIN: Changes = {
    "origin origin": {
        "servers": "http://127.0.0.1:80",
        "server-name": None,
        "certificate": None,
        "trust-store": None,
        "read-timeout": "60s",
    },
    "listener public": {"keepalive-timeout": None},
}
"""What is different from :func:`tests.support.node.sections`: the origin speaks no TLS, and nobody is in a hurry."""

PATIENT: Changes = {"origin origin": {"read-timeout": "60s"}, "listener public": {"keepalive-timeout": None}}
"""The same with TLS."""


class OriginEnd:
    """An origin's end of a connection that the node has opened.

    :param context: in TLS the origin's.
    :ivar address: host and port that the node has connected to.
    :ivar received: all that has come.
    :ivar ended: whether the node has ended it.
    """

    def __init__(
        self, loop: Loop, sock: socket.socket, address: tuple[str, int], context: SSL.Context | None = None
    ) -> None:
        self._loop = loop
        self.sock = sock
        self.address = address
        self.received = bytearray()
        self.ended = False
        self.connection: Any = PlainPeer(sock)
        if context is not None:
            self.connection = SSL.Connection(context, sock)
            self.connection.set_accept_state()

    def shake(self) -> None:
        """Do the origin's part of the handshake."""
        for _ in range(4):
            self._loop.settle()
            with contextlib.suppress(SSL.Error):
                self.connection.do_handshake()
        self._loop.settle()

    def read(self) -> bytes:
        """What has come since the last time."""
        before = len(self.received)
        while not self.ended:
            self._loop.settle()
            try:
                self.received += self.connection.recv(1 << 20)
            except SSL.WantReadError:
                break
            except SSL.Error:
                self.ended = True
        return bytes(self.received[before:])

    def send(self, data: bytes) -> int:
        """Send as much as the node takes; how much that was."""
        sent = 0
        while sent < len(data):
            try:
                sent += self.connection.send(data[sent : sent + 16384])
            except SSL.WantWriteError:
                if not self._loop.turn():
                    break
            except SSL.Error:
                break
        self._loop.settle()
        return sent

    def finish(self) -> None:
        """Send no more, in the words of the protocol."""
        with contextlib.suppress(SSL.Error):
            self.connection.shutdown()
        self._loop.settle()

    def close(self) -> None:
        """Close the socket, without a word in TLS."""
        self.sock.close()
        self._loop.settle()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def misbehave(self, misbehaviour: Misbehaviour) -> None:
        """Answer as it is written there; what takes moments takes them on the clock of the loop."""
        for number, piece in enumerate(misbehaviour.pieces):
            if number and misbehaviour.moment:
                self._loop.wait(misbehaviour.moment, 0.05)
            self.send(piece)
        while misbehaviour.endless and self.send(misbehaviour.endless * 8) and not self.ended:
            self.read()
        match misbehaviour.then:
            case "notify":
                self.finish()
                self.close()
            case "cut":
                self.close()
            case "reset":
                self.reset()


class ClientEnd:
    """A client of the node.

    :ivar tls: its TLS connection.
    :ivar received: all that has come.
    :ivar ended: how the node has ended it: ``close_notify`` or ``cut``; empty before that.
    :ivar connection: the node's end.
    """

    def __init__(
        self, node: MemoryNode, name: str, chain: Sequence[Issued], address: str, alpn: Sequence[bytes] = ()
    ) -> None:
        self._node = node
        self._taken = self._begun = 0
        self.received = bytearray()
        self.ended = ""
        self.sock, other = pair()
        self.tls = SSL.Connection(client_context(chain=chain, alpn=alpn), self.sock)
        self.tls.set_tlsext_host_name(name.encode())
        self.tls.set_connect_state()
        before = set(node.port.connections)
        node.port._arrived(other, (address, 50000))
        self.connection: ClientConnection | None = next(iter(node.port.connections - before), None)
        for _ in range(4):
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                node.loop.settle()
            except SSL.Error as error:
                self.ended = str(error)
                return
        node.loop.settle()

    @property
    def speaker(self) -> ServerConnection:
        """What speaks with it in the node."""
        assert self.connection is not None
        speaker = self.connection._speaker
        assert isinstance(speaker, ServerConnection)
        return speaker

    def send(self, data: bytes) -> int:
        """Send as much as the node takes; how much that was.

        What did not fit at the last call is begun with again, and no less of it: OpenSSL has it in a record already.
        """
        sent = 0
        while self._begun <= len(data) - sent > 0:
            piece = data[sent : sent + 16384]
            try:
                sent += self.tls.send(piece)
                self._begun = 0
            except SSL.WantWriteError:
                self._begun = len(piece)
                if not self._node.loop.turn():
                    break
            except SSL.Error:
                break
        self._node.loop.settle()
        return sent

    def read(self) -> bytes:
        """What has come since the last time."""
        while not self.ended:
            self._node.loop.settle()
            try:
                self.received += self.tls.recv(1 << 20)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self.ended = "close_notify"
            except SSL.Error:
                self.ended = "cut"
        data = bytes(self.received[self._taken :])
        self._taken = len(self.received)
        return data

    def answer(self, method: str = "GET") -> Answer:
        """One whole response, which has come by now."""
        data = self.read()
        self._taken -= len(data)
        head, _, rest = data.partition(b"\r\n\r\n")
        head += b"\r\n\r\n"
        status = int(head.split(b" ", 2)[1])
        body, used = rest, len(rest)
        if method == "HEAD" or status < 200 or status in (204, 304):
            body, used = b"", 0
        elif lengths := fields(head, "content-length"):
            used = int(lengths[0])
            body = rest[:used]
            assert len(body) == used, "the response is not complete"
        self._taken += len(head) + used
        return Answer(status, head, body)

    def ask(self, data: bytes) -> Answer:
        """Send a request that is answered without the origin, and read the response."""
        self.send(data)
        return self.answer(data.split(b" ", 1)[0].decode("latin-1"))

    def notify(self) -> None:
        """Say that nothing more comes: close_notify."""
        self.tls.shutdown()
        self._node.loop.settle()

    def fin(self) -> None:
        """Send no more, without a word in TLS."""
        self.sock.shutdown(socket.SHUT_WR)
        self._node.loop.settle()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()
        self._node.loop.settle()


class RawEnd:
    """A client that sends bytes of its own making.

    :ivar connection: the node's end; ``None`` if it was not let in.
    """

    def __init__(self, node: MemoryNode, address: str) -> None:
        self._node = node
        self.sock, other = tcp_pair()
        before = set(node.port.connections)
        node.port._arrived(other, (address, 50000))
        self.connection = next(iter(node.port.connections - before), None)

    def send(self, data: bytes) -> None:
        """Send it."""
        self.sock.send(data)
        self._node.loop.settle()

    def read(self) -> bytes:
        """What has come; ``EOF`` stands for the end, ``RESET`` for another."""
        received = b""
        while True:
            self._node.loop.settle()
            try:
                data = self.sock.recv(1 << 16)
            except BlockingIOError:
                return received
            except ConnectionResetError:
                return received + b"RESET"
            if not data:
                return received + b"EOF"
            received += data


@define(eq=False)
class MemoryNode:
    """The node.

    :ivar loop: its reactor and its clock.
    :ivar port: its listening port, which listens nowhere.
    :ivar pool: the pool of its origin.
    :ivar records: what was handed to it to write events of.
    :ivar opened: the connections that it has opened to origins.
    :ivar refusing: whether no connection to an origin can be opened.
    :ivar hanging: whether none is, nor refused.
    :ivar tcp: whether they are TCP connections, which can be reset.
    """

    loop: Loop
    port: Port
    pool: OriginPool
    records: list[Record]
    opened: list[OriginEnd] = Factory(list)
    refusing: bool = False
    hanging: bool = False
    tcp: bool = False
    _tls: SSL.Context | None = None
    _taken: int = 0
    _clients: list[ClientEnd | RawEnd] = Factory(list)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        return [json.loads(event_line(record)) for record in self.records]

    def client(
        self,
        name: str = "open.test",
        chain: Sequence[Issued] = (),
        address: str = "127.0.0.1",
        alpn: Sequence[bytes] = (),
    ) -> ClientEnd:
        """A client whose handshake is over."""
        client = ClientEnd(self, name, chain, address, alpn)
        self._clients.append(client)
        return client

    def raw(self, address: str = "127.0.0.1") -> RawEnd:
        """A client that has not said a word."""
        client = RawEnd(self, address)
        self._clients.append(client)
        return client

    def origin(self) -> OriginEnd:
        """The next connection that the node has opened to its origin."""
        self.loop.settle()
        assert len(self.opened) > self._taken, "the node has opened no connection"
        self._taken += 1
        origin = self.opened[self._taken - 1]
        origin.shake()
        return origin

    def asked(self) -> OriginEnd:
        """The connection to its origin that the node uses now: a new one, or the last one again."""
        self.loop.settle()
        return self.origin() if len(self.opened) > self._taken else self.opened[-1]

    def connecting(
        self, reactor: Any, host: str, port: int, connected: Callable[[Any], None], failed: Callable[[str], None]
    ) -> _Connecting:
        """In place of :class:`edgenode.net.connecting.Connecting`."""
        return _Connecting(self, (host, port), connected, failed)


class _Connecting:
    def __init__(
        self,
        node: MemoryNode,
        address: tuple[str, int],
        connected: Callable[[Any], None],
        failed: Callable[[str], None],
    ) -> None:
        self._node = node
        self._address = address
        self._connected = connected
        self._failed = failed
        self._call = node.loop.callLater(0, self._connect)

    def _connect(self) -> None:
        if self._node.hanging:
            return
        if self._node.refusing:
            self._failed("Connection refused")
            return
        node = self._node
        ours, theirs = tcp_pair() if node.tcp else pair()
        node.opened.append(OriginEnd(node.loop, theirs, self._address, node._tls))
        self._connected(ours)

    def cancel(self) -> None:
        """Give up."""
        if self._call.active():
            self._call.cancel()


@implementer(IEventSink)
class _Events:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        """Keep it."""
        self.records.append(record)


def merged(*several: Changes) -> dict[str, dict[str, str | None]]:
    """Changes one after another."""
    found: dict[str, dict[str, str | None]] = {}
    for changes in several:
        for header, keys in changes.items():
            found.setdefault(header, {}).update(keys)
    return found


@functools.lru_cache(8)
def _configuration(text: str, folder: pathlib.Path) -> Configuration:
    return Configuration.from_text(text, folder, {})


@contextlib.contextmanager
def node(
    pki: PKI,
    changes: Changes | None = None,
    change: Callable[[Configuration], Configuration] = lambda each: each,
    *,
    tls: bool = False,
) -> Iterator[MemoryNode]:
    """A node; nothing of it is left at the end.

    :param changes: to :func:`tests.support.node.sections`, besides :data:`PLAIN`.
    :param change: to the configuration that was read.
    :param tls: whether its origin speaks TLS.
    """
    loop = Loop()
    deadlines = Deadlines(loop, loop.clock)
    configuration = change(_configuration(ini(80, merged(PATIENT if tls else PLAIN, changes or {})), pki.folder))
    assembly = Assembly.of(configuration, loop, deadlines)
    events = _Events()
    port = Port(configuration.listeners["public"], assembly.context("public", events), loop, deadlines)
    made = MemoryNode(loop, port, assembly.pools["origin"], events.records)
    if tls:
        made._tls = server(pki.servers.issue("origin", eku=[SERVER], sans=["DNS:origin.test"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "Connecting", made.connecting)
        try:
            yield made
        finally:
            port.abort()
            for pool in assembly.pools.values():
                pool.abort()
            loop.settle()
            assert not port.connections, "connections of clients are left"
            assert not any(pool.open for pool in assembly.pools.values()), "connections to origins are left"
            for sock in [each.sock for each in made.opened] + [each.sock for each in made._clients]:
                sock.close()


__all__ = ["ClientConnection", "ClientEnd", "MemoryNode", "OriginEnd", "merged", "node"]
