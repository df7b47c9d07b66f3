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
from OpenSSL._util import lib

AT_ONCE = 64
"""Records that one step takes, a few microseconds each besides what is in them: more than most handshakes have."""

MOST = 4096
"""Records of a whole handshake: a ClientHello may have half of them."""

_HEADER = 5
_PIECE = 4096
_CHANGE_CIPHER_SPEC, _HANDSHAKE = 20, 22
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

        :raises SSL.WantReadError: if a record is not all there, or if this was enough for one step: the socket says.
        :raises SSL.WantWriteError: if the socket takes no more.
        :raises SSL.Error: if it has failed.
        """
        self._send()
        until = self._records + AT_ONCE
        while self._records < until:
            if self._waits:
                self._read()
            try:
                super().do_handshake()
            except SSL.WantReadError:
                self._waits = True
                self._take()
            except Exception:
                with contextlib.suppress(SSL.Error):
                    self._take()  # the alert
                raise
            else:
                self._waits = False
                self._take()
                # pyOpenSSL gives a socket only to a new connection. This frees the buffers that were in its place.
                self._into_ssl = self._from_ssl = None
                lib.SSL_set_fd(self._ssl, self._sock.fileno())
                return
        raise SSL.WantReadError

    def _take(self) -> None:
        """Send what OpenSSL has written, if it has."""
        with contextlib.suppress(SSL.WantReadError):
            while len(data := self.bio_read(_PIECE)) == _PIECE:
                self._unsent += data
            self._unsent += data
        self._send()

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            raise SSL.WantWriteError from None
        except OSError as error:
            raise _broken(error) from error

    def _read(self) -> None:
        """Hand records to OpenSSL, one at the least."""
        whole = False
        while not whole:
            try:
                data = self._sock.recv(_PIECE, socket.MSG_PEEK)
                size, whole = self._split(data)
                self._sock.recv(size)
            except BlockingIOError:
                raise SSL.WantReadError from None
            except OSError as error:
                raise _broken(error) from error
            if not data:
                raise SSL.SysCallError(-1, "Unexpected EOF")
            if self._records > MOST:
                raise SSL.Error([("", "", "too many records in a handshake")])
            self.bio_write(data[:size])

    def _split(self, data: bytes) -> tuple[int, bool]:
        """How many of these bytes the handshake needs in any case, and whether a record is whole with them.

        Those are all handshake records, for TLS 1.2 has another type behind them; but of the encrypted ones of TLS 1.3
        each may be the last.
        """
        at = min(self._missing, len(data))
        self._missing -= at
        if at:
            return at, not self._missing
        whole, first = False, _CHANGE_CIPHER_SPEC
        while at < len(data):
            header = self._header + data[at : at + _HEADER - len(self._header)]
            if len(header) < _HEADER:
                if not whole:
                    self._header, at = header, len(data)
                break
            kind, end = header[0], at + _HEADER - len(self._header) + int.from_bytes(header[3:], "big")
            if whole and (end > len(data) or (kind != _HANDSHAKE and first != _CHANGE_CIPHER_SPEC)):
                break
            self._header = b""
            self._records += 1
            if kind not in _CONTENT_TYPES or header[1] != 3:
                return len(data), True  # this is no TLS, and OpenSSL says so
            whole, first = end <= len(data), max(first, kind)
            self._missing, at = max(end - len(data), 0), min(end, len(data))
            if kind not in (_CHANGE_CIPHER_SPEC, _HANDSHAKE):
                break
        return at, whole


def _broken(error: OSError) -> SSL.SysCallError:
    return SSL.SysCallError(error.errno, os.strerror(error.errno or 0))
