"""A connection being opened, over TCP or to a Unix socket, without a byte sent on it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from twisted.internet.interfaces import IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.net.poller import Reactor


def _address(host: str, port: int) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    if host.startswith("/"):
        return socket.AF_UNIX, host
    return socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)


@implementer(IWriteDescriptor)
class Connecting:
    """A connection being opened.

    :param host: an IP address, not a name; or the absolute path of a Unix socket, and then the port is nothing.
    :param connected: called with the non-blocking socket.
    :param failed: called with the reason and its ``errno``, never from within the constructor.
    """

    __slots__ = ("_connected", "_failed", "_fd", "_reactor", "_socket")

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        connected: Callable[[socket.socket], None],
        failed: Callable[[str, int], None],
    ) -> None:
        self._reactor = reactor
        self._connected = connected
        self._failed = failed
        self._socket: socket.socket | None = None
        self._fd = -1
        family, address = _address(host, port)
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no more descriptors
            reactor.callLater(0, failed, os.strerror(error.errno or 0), error.errno or 0)
            return
        self._socket.setblocking(False)
        if family != socket.AF_UNIX:
            # Without it Nagle and delayed acknowledgements add 40 ms to every other request.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._fd = self._socket.fileno()
        number = self._socket.connect_ex(address)
        if number not in (0, errno.EINPROGRESS):
            # Not from within the constructor: who opens it does not have it yet.
            reactor.callLater(0, self._refused, os.strerror(number), number)
            return
        reactor.addWriter(self)

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "connecting"

    def doWrite(self) -> None:
        """The connection is there, or has failed."""
        sock = self._take()
        if sock is None:
            return
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            sock.close()
            self._failed(os.strerror(number), number)
        else:
            self._connected(sock)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the socket hung up: refused, most likely."""
        self.doWrite()

    def cancel(self) -> None:
        """Give up; nobody is called."""
        sock = self._take()
        if sock is not None:
            sock.close()

    def _refused(self, reason: str, number: int) -> None:
        sock = self._take()
        if sock is not None:
            sock.close()
            self._failed(reason, number)

    def _take(self) -> socket.socket | None:
        sock, self._socket = self._socket, None
        if sock is not None:
            self._reactor.removeWriter(self)
        return sock
