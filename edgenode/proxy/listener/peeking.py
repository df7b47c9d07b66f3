"""The first bytes of a connection: looked at on the socket, and left there for whoever is chosen by them.

Law: the poller wakes up nobody for bytes that have been seen. The kernel is told how many are needed (``SO_RCVLOWAT``),
and makes room for them: a ClientHello may be larger than a socket's buffer at first.
"""

from __future__ import annotations

import socket
from typing import ClassVar

from edgenode.tls.clienthello import MOST_BYTES, ClientHello, ClientHelloReader

_FIRST = 4096
"""Bytes looked at first: nearly every ClientHello fits."""

_ROOM = 32 * 1024
"""Bytes for which there is room in the kernel's buffer in any case: half of what Linux begins with."""

_ESTABLISHED = 1
"""A state of a TCP connection, as the first byte of ``TCP_INFO`` (tcp(7)) has it."""

LINGER, LINGER_BYTES = 2.0, 256 * 1024
"""Seconds, and bytes, for which a client that is turned away is read on."""


class FirstBytes:
    """The ClientHello on a socket.

    :ivar begun: whether a part of one is there.
    """

    __slots__ = ("_needed", "_reader", "_seen", "_socket")

    what: ClassVar[str] = "ClientHello"

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._reader = ClientHelloReader()
        self._needed = self._seen = 0

    @property
    def begun(self) -> bool:
        """Whether a part of a ClientHello has been seen, and more is waited for."""
        return self._needed > 0

    def look(self) -> ClientHello | None:
        """The ClientHello; ``None`` until it is whole, and then the socket is readable when there is more of it.

        :raises EOFError: if the client has closed within it, or before.
        :raises OSError: if the connection is broken.
        :raises NotTLS: if it is something else.
        :raises MalformedClientHello: likewise.
        """
        try:
            data = self._socket.recv(max(_FIRST, min(2 * self._needed, MOST_BYTES)), socket.MSG_PEEK)
        except BlockingIOError:
            return None
        if not data or len(data) < self._needed:
            if self._seen < len(data) and _may_send(self._socket):
                # The kernel's buffer was full. It has more room by now: another look has it tell the client so.
                self._seen = len(data)
                self._socket.recv(1, socket.MSG_PEEK)
                return None
            raise EOFError
        hello = self._reader.read(data)
        if isinstance(hello, int):
            self._needed = hello
            if hello > _ROOM:
                self._ask_for(2 * hello)  # makes room for so many, and so for these with all that the kernel adds
            self._ask_for(hello)
            return None
        return hello

    def end(self) -> None:
        """Have the socket readable from the first byte on."""
        if self._needed:
            self._ask_for(1)

    def _ask_for(self, size: int) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


def _may_send(sock: socket.socket) -> bool:
    """Whether the other side has not ended its side of a TCP connection."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED
    except OSError:
        return False
