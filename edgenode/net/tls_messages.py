"""Records of a TLS connection that carry no application data, once its handshake is done: what they may cost.

OpenSSL goes on reading until it has application data, as long as the socket delivers records; pyOpenSSL asks for that
(``SSL_MODE_AUTO_RETRY``), and has no public way to take it back. Without it a read returns after each handshake
message: a KeyUpdate or a session ticket (RFC 8446, section 4.6), or a renegotiation that is refused (RFC 5246, section
7.4.1.1). Between two of them OpenSSL itself gives up at empty records and warning alerts: 32 and 5 in a row, 2 ms of
work at the most.

Law: a read costs one message, and what a connection sends of them in a slice, or in a second, is bounded: else it is
cut. What stands behind a message is read in the same slice nevertheless: an origin's connection of which nothing is
told has nothing unread, or it would not be lent again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from OpenSSL import SSL
from OpenSSL._util import lib

STEPS = 256
"""Steps of OpenSSL's state machine in a window, 3 to 7 for a message: a millisecond of work, and nobody's need."""

WINDOW = 1.0
"""Seconds of a window."""

PATIENCE = 0.005
"""Seconds of CPU for messages between which no application data comes, in one slice."""

_HANDSHAKE_START, _HANDSHAKE_DONE = 0x10, 0x20
"""``where`` in an info callback. After the handshake TLS 1.3 tells neither; TLS 1.2 tells both of a renegotiation."""

_HANDSHAKE = b"\x16"
"""The type of a record with handshake messages (RFC 5246, section 6.2.1), in clear in TLS 1.2."""


class Messages:
    """The handshake messages of one connection after its handshake.

    :param connection: its handshake is done.
    :param sock: the socket below it.
    :param clock: monotonic seconds.
    :ivar came: whether one has come since this was last set to false: then more may be there, though a read had none.
    """

    __slots__ = ("_clock", "_end", "_renegotiating", "_sock", "_steps", "_until", "came")

    def __init__(self, connection: SSL.Connection, sock: socket.socket, clock: Callable[[], float]) -> None:
        self._sock = sock
        self._clock = clock
        self._steps = 0
        self._until = self._end = 0.0
        self.came = self._renegotiating = False
        connection.set_info_callback(self._step)
        lib.SSL_clear_mode(connection._ssl, lib.SSL_MODE_AUTO_RETRY)

    def begin(self) -> None:
        """A read found nothing but a message, and others follow."""
        self._end = time.thread_time() + PATIENCE

    @property
    def excess(self) -> bool:
        """Whether that was more than anybody needs."""
        return self._steps >= STEPS or self._renegotiating or time.thread_time() > self._end

    def _step(self, _: SSL.Connection, where: int, value: int) -> None:
        """OpenSSL is in the middle of a read: it has begun with a message, or has come a step further."""
        self.came = True
        now = self._clock()
        if now >= self._until:
            self._steps, self._until = 0, now + WINDOW
        self._steps += 1
        if where == _HANDSHAKE_START:
            # It has the first four bytes of a message of up to 128 KiB, and reads the rest of it without a pause. That
            # may be in records of one byte, a fifth of a second of work; an honest client sends one record, and waits.
            self._renegotiating = True
            if _next_byte(self._sock) == _HANDSHAKE:
                _cut(self._sock)
        elif where == _HANDSHAKE_DONE:
            self._renegotiating = False


def _next_byte(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return b""


def _cut(sock: socket.socket) -> None:
    """Let every further read and write of OpenSSL fail: it is in the middle of a read, and a callback cannot stop that.

    Closing the socket would free its number for another thread, and a shutdown leaves what is in the kernel's buffer.
    So the number is given a file that can neither be read nor written (``EBADF``); the kernel closes the socket.
    """
    try:
        nothing = os.open(os.devnull, os.O_PATH)
    except OSError:  # no more descriptors
        sock.shutdown(socket.SHUT_RDWR)
        return
    os.dup2(nothing, sock.fileno(), inheritable=False)
    os.close(nothing)
