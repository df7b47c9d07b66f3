"""A plain socket behind the few methods of ``SSL.Connection`` that a transport uses, for connections without TLS."""

from __future__ import annotations

import contextlib
import os
import socket

from OpenSSL import SSL


class Plain:
    """A plain socket with the few methods of ``SSL.Connection`` that a transport uses."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def do_handshake(self) -> None:
        """There is none."""

    def recv_into(self, buffer: memoryview) -> int:
        """The number of bytes read into a buffer, at least one; raises as ``SSL.Connection.recv_into`` does."""
        try:
            count = self._socket.recv_into(buffer)
        except BlockingIOError as error:
            raise SSL.WantReadError from error
        except OSError as error:
            raise SSL.SysCallError(error.errno, os.strerror(error.errno or 0)) from error
        if not count:
            raise SSL.ZeroReturnError
        return count

    def send(self, data: bytes | memoryview) -> int:
        """Send what the socket takes; raises as ``SSL.Connection.send`` does."""
        try:
            return self._socket.send(data)
        except BlockingIOError as error:
            raise SSL.WantWriteError from error
        except OSError as error:
            raise SSL.SysCallError(error.errno, os.strerror(error.errno or 0)) from error

    def pending(self) -> int:
        """No decrypted bytes can wait."""
        return 0

    def shutdown(self) -> bool:
        """End the sending side."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        return True
