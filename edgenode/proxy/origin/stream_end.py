"""The end of a connection as the kernel sees it, which tells whether the other side has read everything.

Law: it has if it has sent a FIN, and its kernel has acknowledged all that was sent. Who closes a socket with bytes
unread sends a reset in place of a FIN (RFC 1122, section 4.2.2.13), and what comes to a closed socket is never
acknowledged.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import termios
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.net.errors import describe
from edgenode.proxy.origin.pool import OriginPool

_PAUSE = 0.02
"""Seconds between two looks at what is not acknowledged yet."""


@implementer(IReadDescriptor)
class StreamEnd:
    """Waits for the end of a connection, and tells which it was.

    :param pool: whose connection it was.
    :param deadline: until when to wait.
    :param sock: the socket, which is closed then.
    :param told: called with why it was no proper end; empty if it was one.
    """

    def __init__(self, pool: OriginPool, sock: socket.socket, deadline: float, told: Callable[[str], None]) -> None:
        self._pool = pool
        self._sock = sock
        self._fd = sock.fileno()
        self._told = told
        self._later: Any = None
        self.deadline = deadline
        pool.deadlines.watch(self)
        pool.reactor.addReader(self)

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "stream"

    def doRead(self) -> None:
        """There is something."""
        try:
            data = self._sock.recv(1)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(describe(error))
            return
        if data:
            self._end("it goes on behind its end")
        else:
            self._pool.reactor.removeReader(self)  # it is readable from now on, and tells nothing more
            self._look()

    def _look(self) -> None:
        """Whether all that was sent has been acknowledged; or else the connection was reset."""
        self._later = None
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(os.strerror(error))
        elif _unacknowledged(self._sock):
            self._later = self._pool.reactor.callLater(_PAUSE, self._look)
        else:
            self._end("")

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self._end(reason.getErrorMessage())

    def expired(self, now: float) -> None:
        """Neither came."""
        self._end("no end of the connection")

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._end("given up")

    def _end(self, reason: str) -> None:
        if self._sock.fileno() < 0:
            return
        self._pool.deadlines.forget(self)
        self._pool.reactor.removeReader(self)
        if self._later is not None:
            self._later.cancel()
        self._sock.close()
        self._told(reason)


def _unacknowledged(sock: socket.socket) -> int:
    """The bytes that the kernel at the other end has not acknowledged: tcp(7), ``SIOCOUTQ``."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
