"""A reactor in memory: a clock of the test's own, listeners and connections, and Twisted's protocols at their ends.

Law: nothing happens by itself. What is due, and what has come, is served by :meth:`MemoryReactor.settle`; time passes
by :meth:`MemoryReactor.pass_time`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import interfaces
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.testing.sockets import SOCKETS, MemoryEpoll, MemoryListening, MemorySocket, MemoryTLS

_ENOUGH = 20_000
"""Turns after which something that never comes to rest has failed."""

_STEP = 0.1
"""Seconds in which time passes at most before everybody is served."""

Place = tuple[str, int]
"""Host and port of a server."""


class MemorySockets:
    """What takes the place of the operating system's sockets.

    :ivar listeners: by their addresses.
    :ivar servers: the factories of servers that are no listeners, by host and port: origins.
    """

    epoll = MemoryEpoll
    tls = MemoryTLS

    def __init__(self, reactor: MemoryReactor) -> None:
        self._reactor = reactor
        self._ports = itertools.count(49152)
        self.listeners: dict[Place, MemoryListening] = {}
        self.servers: dict[Place, interfaces.IProtocolFactory] = {}

    def listening(self, interface: str, port: int) -> MemoryListening:
        """A socket that listens.

        :param port: 0 for any.
        :raises CannotListenError: if somebody else listens there.
        """
        place = interface, port or next(self._ports)
        if place in self.listeners and self.listeners[place].fileno() >= 0:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        self.listeners[place] = MemoryListening(place)
        return self.listeners[place]

    def connect(self, place: Place, address: Place) -> MemorySocket | None:
        """Connect; ``None`` if nobody listens there."""
        listening = self.listeners.get(place)
        if listening is not None and listening.fileno() >= 0:
            return listening.connect(address)
        factory = self.servers.get(place)
        if factory is None or getattr(factory, "down", False):
            return None
        ours, theirs = MemorySocket.pair(address, place)
        protocol = factory.buildProtocol(_address(address))
        if protocol is None:
            theirs.close()
        else:
            MemoryTransport(self._reactor, theirs, protocol)
        return ours

    def connecting(
        self, reactor: Any, host: str, port: int, connected: Callable[[Any], None], failed: Callable[[str], None]
    ) -> _Connecting:
        """What takes the place of :class:`edgenode.net.connecting.Connecting`."""
        return _Connecting(self, (host, port), connected, failed)


class _Connecting:
    def __init__(
        self, sockets: MemorySockets, place: Place, connected: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        self._call = sockets._reactor.callLater(0, self._connect, sockets, place, connected, failed)

    def _connect(
        self, sockets: MemorySockets, place: Place, connected: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        sock = sockets.connect(place, ("127.0.0.1", 40000))
        if sock is None:
            failed("Connection refused")
        else:
            connected(sock)

    def cancel(self) -> None:
        """Give up."""
        if self._call.active():
            self._call.cancel()


class MemoryReactor(Clock):
    """A clock with listeners and connections in memory: a reactor for ``EdgeService`` and ``EdgeEndpoint`` in tests.

    :ivar sockets: its listeners and servers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sockets = MemorySockets(self)
        self._readers: dict[Any, int] = {}
        self._writers: dict[Any, int] = {}
        self._triggers: list[Callable[[], object]] = []
        self._settling = False

    def clock(self) -> float:
        """Monotonic seconds: those of the test."""
        now: float = self.seconds()
        return now

    # -- the test's side ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Serve everybody until nobody is ready; no time passes. Called by one who is being served it does nothing.

        :raises AssertionError: if that never ends.
        """
        if self._settling:
            return
        self._settling = True
        try:
            for _ in range(_ENOUGH):
                if not self._turn():
                    return
        finally:
            self._settling = False
        raise AssertionError("it does not come to rest")

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and serve everybody meanwhile."""
        self.settle()
        end = self.seconds() + seconds
        while self.seconds() < end:
            self.advance(min(_STEP, end - self.seconds()))
            self.settle()

    def client(
        self, place: Place, tls: interfaces.IOpenSSLClientConnectionCreator | None = None, address: str = "127.0.0.1"
    ) -> MemoryClientEndpoint:
        """An endpoint that connects to a listener.

        :param place: its host and port.
        :param tls: what Twisted's ``optionsForClientTLS`` returns; ``None`` for no TLS.
        :param address: where the client comes from.
        """
        return MemoryClientEndpoint(self, place, tls, address)

    def stop(self) -> None:
        """Call what is to be called when a reactor stops."""
        triggers, self._triggers = self._triggers, []
        for trigger in triggers:
            trigger()
        self.settle()

    def _turn(self) -> bool:
        moved = False
        for descriptors, ready, do in ((self._readers, "readable", "doRead"), (self._writers, "writable", "doWrite")):
            for descriptor, number in tuple(descriptors.items()):
                sock = SOCKETS.get(number)
                if descriptor in descriptors and getattr(sock, ready, False):
                    moved = True
                    why = getattr(descriptor, do)()
                    if why is not None:
                        self.removeReader(descriptor)
                        self.removeWriter(descriptor)
                        descriptor.connectionLost(Failure(why))
        now = self.seconds()
        moved = moved or any(call.getTime() <= now for call in self.getDelayedCalls())
        self.advance(0)
        return moved

    # -- the side of whoever lives in it -----------------------------------------------------------------------------

    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` whenever there is something to read."""
        self._readers[reader] = reader.fileno()

    def removeReader(self, reader: Any) -> None:
        """No longer."""
        self._readers.pop(reader, None)

    def addWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` whenever there is room to write."""
        self._writers[writer] = writer.fileno()

    def removeWriter(self, writer: Any) -> None:
        """No longer."""
        self._writers.pop(writer, None)

    def getThreadPool(self) -> MemoryReactor:
        """A pool of no threads: what it is given is called by :meth:`settle`."""
        return self

    def callInThread(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call it in the next turn."""
        self.callLater(0, function, *arguments, **options)

    def callInThreadWithCallback(
        self, told: Callable[[bool, Any], object], function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> None:
        """Call it, and tell of it, in the next turn."""

        def call() -> None:
            try:
                result = function(*arguments, **options)
            except Exception:
                told(False, Failure())
            else:
                told(True, result)

        self.callLater(0, call)

    def callFromThread(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call it."""
        function(*arguments, **options)

    def addSystemEventTrigger(
        self, phase: str, event: str, function: Callable[..., object], *arguments: Any, **options: Any
    ) -> Callable[[], object]:
        """Call it by :meth:`stop`."""

        def trigger() -> object:
            return function(*arguments, **options)

        self._triggers.append(trigger)
        return trigger

    def removeSystemEventTrigger(self, trigger: Callable[[], object]) -> None:
        """No longer."""
        self._triggers.remove(trigger)


def over_tls(
    factory: interfaces.IProtocolFactory, options: Any, reactor: MemoryReactor, client: bool = False
) -> TLSMemoryBIOFactory:
    """A factory of Twisted's with Twisted's TLS.

    :param options: what ``optionsForClientTLS`` returns, or ``CertificateOptions``.
    :param client: whether it is the client.
    """
    # With another clock what is written would wait for a reactor that does not run.
    return TLSMemoryBIOFactory(options, client, factory, reactor)


@implementer(interfaces.ITCPTransport)
class MemoryTransport(FileDescriptor):
    """A transport for any protocol of Twisted's at one end of a connection.

    :param sock: that end.
    """

    def __init__(self, reactor: MemoryReactor, sock: MemorySocket, protocol: interfaces.IProtocol) -> None:
        super().__init__(cast(Any, reactor))
        self._clock = reactor
        self._sock = sock
        self._number = sock.fileno()
        self.protocol = protocol
        self.connected = 1
        protocol.makeConnection(self)
        self.startReading()

    def fileno(self) -> int:
        """The number of the socket."""
        return self._number

    def doRead(self) -> Any:
        """Hand on what has come."""
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        return self.protocol.dataReceived(data) if data else CONNECTION_DONE

    def writeSomeData(self, data: bytes) -> Any:
        """Send what there is room for."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return CONNECTION_LOST

    def connectionLost(self, reason: Failure) -> None:
        """It is over."""
        super().connectionLost(reason)
        self._sock.close()
        self.protocol.connectionLost(reason)

    def abortConnection(self) -> None:
        """End it at once."""
        if self.connected and not self.disconnected:
            self.stopReading()
            self.stopWriting()
            self._clock.callLater(0, self.connectionLost, Failure(ConnectionLost()))

    def loseWriteConnection(self) -> None:
        """Send no more."""
        self._sock.shutdown(1)

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The address of the other end."""
        return _address(self._sock.getpeername())

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address of this end."""
        return _address(self._sock.getsockname())

    def getTcpNoDelay(self) -> bool:
        """Nothing is delayed."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is delayed."""

    def getTcpKeepAlive(self) -> bool:
        """Nothing is lost."""
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing is lost."""


@implementer(interfaces.IStreamClientEndpoint)
class MemoryClientEndpoint:
    """Connects protocols of Twisted's to a listener in memory.

    :param place: host and port of the listener.
    :param tls: what Twisted's ``optionsForClientTLS`` returns; ``None`` for no TLS.
    :param address: where the client comes from.
    """

    def __init__(
        self,
        reactor: MemoryReactor,
        place: Place,
        tls: interfaces.IOpenSSLClientConnectionCreator | None,
        address: str,
    ) -> None:
        self._reactor = reactor
        self._place = place
        self._tls = tls
        self._address = address

    def connect(self, protocolFactory: interfaces.IProtocolFactory) -> Deferred[interfaces.IProtocol]:
        """Connect; fails with ``ConnectionRefusedError`` if nobody listens."""
        sock = self._reactor.sockets.connect(self._place, (self._address, 50000))
        if sock is None:
            return fail(ConnectionRefusedError())
        factory = protocolFactory if self._tls is None else over_tls(protocolFactory, self._tls, self._reactor, True)
        protocol: Any = factory.buildProtocol(_address(self._place))
        if protocol is None:
            sock.close()
            return fail(ConnectionDone())
        MemoryTransport(self._reactor, sock, protocol)
        return succeed(protocol if self._tls is None else protocol.wrappedProtocol)


def _address(place: Place) -> IPv4Address | IPv6Address:
    kind = IPv6Address if ":" in place[0] else IPv4Address
    return kind("TCP", *place)
