"""Sockets in memory, with the few methods that the node uses of real ones, and TLS and an epoll on them.

Law: what a real socket refuses for now, these refuse likewise: nothing to read, or no room to write. So what runs on
them is the same code, in the same order, as on a network.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import weakref
from collections import deque
from typing import Any

from OpenSSL import SSL

from edgenode.net.records import Indirect

_ROOM = 256 * 1024
"""Bytes that wait unread before nothing more is taken: about what a kernel has room for."""

_HEADER = 5
"""Bytes in front of a TLS record (RFC 8446, section 5.1)."""

_numbers = itertools.count(1 << 30)  # no kernel gives these, so nobody takes one for a descriptor of the process's own

SOCKETS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""What stands in the place of a descriptor, by its number."""


class MemorySocket:
    """One end of a connection in memory; nothing blocks.

    :param name: the address of this end.
    :param peer: that of the other.
    """

    def __init__(self, name: tuple[str, int], peer: tuple[str, int]) -> None:
        self.family = socket.AF_INET6 if ":" in name[0] else socket.AF_INET
        self._name = name
        self._peer_name = peer
        self._number = next(_numbers)
        SOCKETS[self._number] = self
        self._unread = bytearray()
        self._least = 1
        self._ended = self._closed = self._reset = False
        self.other: MemorySocket = self

    @classmethod
    def pair(cls, name: tuple[str, int], peer: tuple[str, int]) -> tuple[MemorySocket, MemorySocket]:
        """Two connected ends: one with this name, and the one of its peer."""
        one, other = cls(name, peer), cls(peer, name)
        one.other, other.other = other, one
        return one, other

    @property
    def readable(self) -> bool:
        """Whether a read finds something, or the end."""
        return self._ended or self._reset or len(self._unread) >= self._least

    @property
    def writable(self) -> bool:
        """Whether a write is taken."""
        return self._reset or self.other._closed or len(self.other._unread) < _ROOM

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read what is there."""
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        data = bytes(self._unread[:size])
        if not data and self._reset:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if not data and not self._ended and size:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if not flags & socket.MSG_PEEK:
            del self._unread[:size]
        return data

    def recv_into(self, buffer: memoryview) -> int:
        """Read what is there into a buffer."""
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: bytes | memoryview) -> int:
        """Write all of it, if there is room."""
        if self._closed or self._reset or self.other._closed or self.other._ended:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if not self.writable:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.other._unread += data
        return len(data)

    def shutdown(self, how: int) -> None:
        """Write no more."""
        if how != socket.SHUT_RD:
            self.other._ended = True

    def close(self) -> None:
        """Close it: a reset, if anything was left unread."""
        if not self._closed:
            self._closed = True
            self.other._ended = True
            self.other._reset = bool(self._unread)

    def fileno(self) -> int:
        """A number that is no descriptor's."""
        return -1 if self._closed else self._number

    def getsockname(self) -> tuple[str, int]:
        """The address of this end."""
        return self._name

    def getpeername(self) -> tuple[str, int]:
        """The address of the other end."""
        return self._peer_name

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Only ``SO_RCVLOWAT`` makes a difference."""
        if option == socket.SO_RCVLOWAT and level == socket.SOL_SOCKET:
            self._least = value

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Nothing is set, and nothing went wrong."""
        return bytes(size) if size else 0


class MemoryListening:
    """A listening socket in memory.

    :param name: its address.
    """

    def __init__(self, name: tuple[str, int]) -> None:
        self.name = name
        self._arrived: deque[MemorySocket] = deque()
        self._number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # a port looks if descriptors are left
        SOCKETS[self._number] = self

    @property
    def readable(self) -> bool:
        """Whether somebody waits."""
        return bool(self._arrived)

    writable = False

    def connect(self, address: tuple[str, int]) -> MemorySocket:
        """Connect from an address: the client's end."""
        client, server = MemorySocket.pair(address, self.name)
        self._arrived.append(server)
        return client

    def accept(self) -> tuple[MemorySocket, tuple[str, int]]:
        """Whoever waits longest."""
        if not self._arrived:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        sock = self._arrived.popleft()
        return sock, sock.getpeername()

    def listen(self, backlog: int) -> None:
        """There is room for everybody."""

    def getsockname(self) -> tuple[str, int]:
        """Its address."""
        return self.name

    def fileno(self) -> int:
        """A descriptor of its own."""
        return self._number

    def close(self) -> None:
        """Accept no more."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1


class MemoryEpoll:
    """An epoll for sockets in memory, whatever their numbers.

    :ivar watched: by its number what is watched, and for which events.
    """

    def __init__(self) -> None:
        self._number = next(_numbers)
        SOCKETS[self._number] = self
        self.watched: dict[int, tuple[Any, int]] = {}

    def register(self, number: int, events: int) -> None:
        """Watch a descriptor."""
        self.modify(number, events)

    def modify(self, number: int, events: int) -> None:
        """Watch it for other events."""
        self.watched[number] = SOCKETS[number], events

    def unregister(self, number: int) -> None:
        """Watch it no more."""
        self.watched.pop(number, None)

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """Who is ready, at most so many."""
        found = []
        for number, (sock, asked) in self.watched.items():
            ready = (select.EPOLLIN if sock.readable else 0) | (select.EPOLLOUT if sock.writable else 0)
            if ready & asked:
                found.append((number, ready & asked))
        return found[:most]

    @property
    def readable(self) -> bool:
        """Whether anybody is ready."""
        return bool(self.poll(0, 1))

    writable = False

    def fileno(self) -> int:
        """A number that is no descriptor's."""
        return self._number


class MemoryTLS(Indirect):
    """A TLS connection on a socket in memory: OpenSSL is given one record after the other, as it asks for them."""

    def __init__(self, context: SSL.Context, sock: MemorySocket) -> None:
        super().__init__(context, None)
        self._sock = sock
        self._header = b""
        self._missing = 0

    def do_handshake(self) -> None:
        """Go as far as the records that have come lead."""
        self._reading(super().do_handshake)

    def recv(self, size: int, flags: int | None = None) -> bytes:
        """Read what is there."""
        data: bytes = self._reading(super().recv, size)
        return data

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int | None = None) -> int:
        """Read what is there into a buffer."""
        count: int = self._reading(super().recv_into, buffer)
        return count

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:  # type: ignore[override]
        """Write all of it, if there is room."""
        if not self._sock.writable:
            raise SSL.WantWriteError
        size = super().send(data)
        self._take()
        return size

    def shutdown(self) -> bool:
        """Say that nothing follows."""
        try:
            return super().shutdown()
        finally:
            self._take()

    def _reading(self, read: Any, *arguments: Any) -> Any:
        while True:
            try:
                return read(*arguments)
            except SSL.WantReadError:
                self._give()
            finally:
                self._take()

    def _give(self) -> None:
        """Give OpenSSL one record, or as much of it as has come."""
        try:
            data = self._sock.recv(self._missing or _HEADER - len(self._header))
        except BlockingIOError:
            raise SSL.WantReadError from None
        except OSError as error:
            raise SSL.SysCallError(error.errno, os.strerror(error.errno or 0)) from error
        if not data:
            self.bio_shutdown()  # what OpenSSL thinks of that depends on the context's options
            return
        self.bio_write(data)
        if self._missing:
            self._missing -= len(data)
            return
        self._header += data
        if len(self._header) == _HEADER:
            self._missing = int.from_bytes(self._header[3:], "big")
            self._header = b""

    def _take(self) -> None:
        """Send what OpenSSL has written."""
        while True:
            try:
                data = self.bio_read(1 << 16)
            except SSL.WantReadError:
                return
            self._sock.other._unread += b"" if self._sock.other._closed else data
