"""A TLS connection whose handshake is given its records by and by, so that a step of it is bounded in time.

OpenSSL reads a message to its end for as long as the socket delivers records, and a message may have 128 KiB: a second
ClientHello, a client's certificates, an origin's. In records of a byte that is half a second of work in one call, and
anybody can send the 750 KB that it takes. So OpenSSL has no socket until the handshake is done: the records are read
here, and none behind the last; then it gets the socket, and works on that alone.
"""

from __future__ import annotations

import contextlib
import os
import socket

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

AT_ONCE = 64
"""Records that one step takes, a few microseconds each besides what is in them: more than most handshakes have."""

MOST = 4096
"""Records of a whole handshake: a ClientHello may have half of them."""

_HEADER = 5
_PIECE = 4096
_CONTENT_TYPES = range(20, 25)


class SteppedConnection(SSL.Connection):
    """A TLS connection on a non-blocking socket, which somebody else owns and keeps open for as long."""

    def __init__(self, context: SSL.Context, sock: socket.socket) -> None:
        super().__init__(context, None)
        self._sock = sock
        self._unsent = self._header = b""
        self._missing = self._records = 0
        self._waits = False  # OpenSSL, for a record

    def set_accept_state(self) -> None:
        """Be the server: it is the client that begins."""
        super().set_accept_state()
        self._waits = True

    def do_handshake(self) -> None:
        """Go a step further; the handshake is done if nothing is raised.

        :raises SSL.WantReadError: if more records are needed, which may be there: the socket says.
        :raises SSL.WantWriteError: if the socket takes no more.
        :raises SSL.Error: if it has failed.
        """
        self._send()
        given = self._give() if self._waits else 0
        try:
            super().do_handshake()
        except SSL.WantReadError:
            self._waits = True
            self._sock.recv(given)
            self._take()
            raise
        except Exception:
            self._sock.recv(given)
            with contextlib.suppress(SSL.Error):
                self._take()  # the alert
            raise
        if self._waits:  # not, if only what OpenSSL has written last was still to be sent
            self._sock.recv(given - lib.BIO_get_mem_data(self._into_ssl, ffi.NULL))
            self._waits = False
        self._take()
        # pyOpenSSL gives a socket only to a new connection. This frees the buffers that were in its place.
        self._into_ssl = self._from_ssl = None
        lib.SSL_set_fd(self._ssl, self._sock.fileno())

    def _take(self) -> None:
        """Send what OpenSSL has written, if it has."""
        if size := lib.BIO_get_mem_data(self._from_ssl, ffi.NULL):
            self._unsent += self.bio_read(size)
            self._send()

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            raise SSL.WantWriteError from None
        except OSError as error:
            raise _broken(error) from error

    def _give(self) -> int:
        """Show OpenSSL records that are in the socket, and say how many bytes: those that it reads are taken after."""
        try:
            data = self._sock.recv(_PIECE, socket.MSG_PEEK)
        except BlockingIOError:
            raise SSL.WantReadError from None
        except OSError as error:
            raise _broken(error) from error
        if not data:
            raise SSL.SysCallError(-1, "Unexpected EOF")
        data = data[: self._step(data)]
        if self._records > MOST:
            raise SSL.Error([("", "", "too many records in a handshake")])
        return self.bio_write(data)

    def _step(self, data: bytes) -> int:
        """How many of these bytes one step takes: those of so many records, the last of which need not be whole."""
        kept = len(self._header)
        records, self._header = self._header + data, b""
        size = len(records)
        at = min(self._missing, size)
        self._missing -= at
        for _ in range(AT_ONCE):
            if at + _HEADER > size:
                self._header = records[at:]
                return len(data)
            self._records += 1
            if records[at] not in _CONTENT_TYPES or records[at + 1] != 3:
                return len(data)  # this is no TLS, and OpenSSL says so
            end = at + _HEADER + (records[at + 3] << 8 | records[at + 4])
            at = min(end, size)
            self._missing = end - at
        return at - kept


def _broken(error: OSError) -> SSL.SysCallError:
    return SSL.SysCallError(error.errno, os.strerror(error.errno or 0))
