"""The header of the PROXY protocol on a socket: looked at until it is whole, and then taken off, and no byte more.

Law: what follows the header stays on the socket for whoever is next; and the poller wakes up nobody for bytes that have
been seen (``SO_RCVLOWAT``).
"""

from __future__ import annotations

import socket
from typing import ClassVar

from edgenode.model.proxy_protocol import ProxyHeader
from edgenode.proxy.proxyprotocol.reading import SIGNATURE, read_header

_FIRST = 512
"""Bytes looked at first: nearly every header fits."""


class HeaderBytes:
    """The header on a socket.

    :ivar begun: whether a part of one is there.
    """

    __slots__ = ("_needed", "_socket")

    what: ClassVar[str] = "PROXY header"

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._needed = 0

    @property
    def begun(self) -> bool:
        """Whether a part of a header has been seen, and more is waited for."""
        return self._needed > 0

    def look(self) -> ProxyHeader | None:
        """The header; ``None`` until it is whole, and then the socket is readable when there is more of it.

        :raises EOFError: if the other side has closed within it, or before.
        :raises OSError: if the connection is broken.
        :raises MalformedProxyHeader: if there is none.
        """
        try:
            data = self._socket.recv(max(_FIRST, self._needed), socket.MSG_PEEK)
        except BlockingIOError:
            return None
        if not data or len(data) < self._needed:
            raise EOFError
        found = read_header(data)
        if isinstance(found, int):
            self._needed = found
            self._ask_for(found)
            return None
        header, size = found
        self.end()
        self._socket.recv(size)
        return header

    def end(self) -> None:
        """Have the socket readable from the first byte on."""
        if self._needed:
            self._ask_for(1)

    def _ask_for(self, size: int) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


def begins_with_header(sock: socket.socket) -> bool:
    """Whether what waits on a socket begins as a header of the PROXY protocol does."""
    try:
        return sock.recv(len(SIGNATURE), socket.MSG_PEEK).startswith((SIGNATURE, b"PROXY "))
    except OSError:
        return False
