"""Transports without a reactor and without waiting: a loop turned by hand, a clock that is set, socket pairs."""

from __future__ import annotations

import functools
import socket
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import Factory, define, field
from OpenSSL import SSL

from edgenode.net.plain import Plain
from edgenode.net.poller import Poller
from edgenode.net.transport import Transport
from tests.support.certificates import SERVER, Issued, make_authority
from tests.support.handshakes import client, server

PARTIAL_WRITE = 0x1
"""SSL_MODE_ENABLE_PARTIAL_WRITE, which our contexts clear."""


@define(eq=False)
class Loop:
    """A reactor as far as a poller needs one.

    :ivar now: the time, which passes when it is set, and by a microsecond when it is asked for: no turn is endless.
    :ivar readers: what is registered; a poller, or nothing.
    :ivar later: the calls of ``callLater``, which all come in the next turn.
    """

    now: float = 0.0
    readers: list[Any] = Factory(list)
    later: list[tuple[Callable[..., object], tuple[object, ...]]] = Factory(list)
    poller: Poller = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.poller = Poller(self, self.clock)

    def clock(self) -> float:
        """The time."""
        self.now += 1e-6
        return self.now

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> None:
        """Call in the next turn."""
        assert delay == 0
        self.later.append((callable, args))

    def addReader(self, reader: Any) -> None:
        """Register the poller."""
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        """Register the poller no longer."""
        self.readers.remove(reader)

    def turn(self) -> None:
        """What a reactor does in one turn: what is due, then what is ready."""
        due, self.later = self.later, []
        for call, arguments in due:
            call(*arguments)
        for reader in tuple(self.readers):
            reader.doRead()

    def until(self, condition: Callable[[], object]) -> None:
        """Turn until something holds, for nothing here takes time."""
        for _ in range(20_000):
            if condition():
                return
            self.turn()
        raise AssertionError("it never holds")

    def settle(self) -> None:
        """Turn as often as nothing that is under way could need more."""
        for _ in range(20):
            self.turn()


@define(eq=False)
class Told:
    """A receiver that keeps what it is told.

    :ivar pieces: what was received, call by call.
    :ivar calls: the names of the calls in their order.
    :ivar ends: what ``lost`` was told.
    :ivar then: what else is done in a call, by its name.
    """

    pieces: list[bytes] = Factory(list)
    calls: list[str] = Factory(list)
    ends: list[tuple[str, bool]] = Factory(list)
    then: dict[str, Callable[[], object]] = Factory(dict)

    @property
    def data(self) -> bytes:
        """Everything that was received."""
        return b"".join(self.pieces)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.then:
            self.then[name]()

    def handshaken(self) -> None:
        """As a receiver's."""
        self._called("handshaken")

    def received(self, data: bytes) -> None:
        """As a receiver's."""
        self.pieces.append(data)
        self._called("received")

    def drained(self) -> None:
        """As a receiver's."""
        self._called("drained")

    def ended(self) -> None:
        """As a receiver's."""
        self._called("ended")

    def lost(self, reason: str, clean: bool) -> None:
        """As a receiver's."""
        self.ends.append((reason, clean))
        self._called("lost")


class Watched:
    """A connection whose reads and writes are counted, and take time.

    :ivar recvs: the sizes that were asked for.
    :ivar sends: the bytes that were given, whether they were taken or not.
    :ivar raised: the errors that reading raised.
    :ivar shutdowns: how often it was shut down.
    """

    def __init__(self, transport: Transport, loop: Loop, cost: float = 0.0) -> None:
        self._connection = transport.connection
        self._fill, self._give = transport._fill, transport._give
        self._loop = loop
        self._cost = cost
        self.recvs: list[int] = []
        self.sends: list[bytes] = []
        self.raised: list[BaseException] = []
        self.shutdowns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def fill(self, at: int, size: int) -> int:
        """As :func:`edgenode.net.records.reading` has it."""
        self._loop.now += self._cost
        self.recvs.append(size)
        try:
            return self._fill(at, size)
        except SSL.Error as error:
            self.raised.append(error)
            raise

    def send(self, data: bytes | memoryview) -> int:
        """As a connection's."""
        self._loop.now += self._cost
        self.sends.append(bytes(data))
        return self._give(data)

    def pending(self) -> int:
        """As a connection's."""
        count: int = self._connection.pending()
        return count

    def shutdown(self) -> bool:
        """As a connection's."""
        self.shutdowns += 1
        done: bool = self._connection.shutdown()
        return done


class PlainPeer(Plain):
    """A plain socket for one who reads as from an ``SSL.Connection``."""

    def recv(self, size: int) -> bytes:
        """As a connection's."""
        space = bytearray(size)
        return bytes(space[: self.recv_into(memoryview(space))])


class WatchedPlain(Watched, Plain):
    """The same without TLS."""


def put(transport: Transport, connection: Any) -> None:
    """Let a transport read and write on another connection, which has ``fill`` and ``send``, or one of them."""
    transport.connection = connection
    transport._fill = getattr(connection, "fill", transport._fill)
    transport._give = getattr(connection, "send", transport._give)


class Ends:
    """Two transports that talk to each other, in one loop: ``left`` is the client, ``right`` the server.

    :param issued: the server's certificate; without one they talk without TLS.
    :param partial: whether OpenSSL returns after each record that it writes.
    """

    def __init__(self, issued: Issued | None, *, partial: bool = False, version: str = "1.3") -> None:
        self.loop = Loop()
        self.told = Told(), Told()
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        connections: list[Any] = [Plain(end) for end in ends]
        if issued is not None:
            contexts = client(version=version), server(issued)
            for context in contexts:
                if not partial:
                    context.clear_mode(PARTIAL_WRITE)
            connections = [SSL.Connection(context, end) for context, end in zip(contexts, ends, strict=True)]
            connections[0].set_connect_state()
            connections[1].set_accept_state()
        self.left, self.right = (
            Transport(self.loop.poller, end, connection, told)
            for end, connection, told in zip(ends, connections, self.told, strict=True)
        )

    def shake(self) -> None:
        """Start both ends, until their handshake is done and all that belongs to it has been read."""
        self.left.start()
        self.right.start()
        self.loop.until(lambda: self.left.established and self.right.established)
        self.loop.settle()

    def watch(self, transport: Transport, cost: float = 0.0) -> Watched:
        """Count what a transport reads and writes from now on."""
        kind = WatchedPlain if isinstance(transport.connection, Plain) else Watched
        watched = kind(transport, self.loop, cost)
        put(transport, watched)
        return watched

    def registered(self, transport: Transport) -> tuple[bool, bool]:
        """Whether the poller calls it to read, and to write."""
        poller = self.loop.poller
        return transport in poller._readers.values(), transport in poller._writers.values()


def numbered(size: int) -> bytes:
    """Bytes of which no two stretches are alike."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]


@functools.cache
def certificate() -> Issued:
    """A server's certificate, the same for all."""
    return make_authority().issue("server", eku=[SERVER])


@contextmanager
def talking(kind: str = "TLS", **options: Any) -> Iterator[Ends]:
    """A pair whose handshake is done; aborted at the end.

    :param kind: ``TLS`` or ``plain``.
    """
    ends = Ends(None if kind == "plain" else certificate(), **options)
    try:
        ends.shake()
        yield ends
    finally:
        ends.left.abort()
        ends.right.abort()
        assert not ends.loop.readers, "something is still registered"
