"""A bound for what one read of a TLS connection may cost, once its handshake is done.

OpenSSL goes on reading until it has application data, as long as the socket delivers records: pyOpenSSL sets
``SSL_MODE_AUTO_RETRY`` on every connection, and has no public way to clear it. OpenSSL itself gives up at empty records
and warning alerts (32 and 5 in a row), but not at handshake messages: a KeyUpdate (RFC 8446, section 4.6.3) costs up to
22 microseconds and 27 bytes, so one read could take seconds, and everybody else would wait for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from OpenSSL import SSL

STEPS = 256
"""Steps of OpenSSL's state machine in a window, 3 to 7 for a KeyUpdate: a millisecond of work, and nobody's need."""

WINDOW = 1.0
"""Seconds of a window."""


def limit_messages(connection: SSL.Connection, sock: socket.socket, clock: Callable[[], float]) -> None:
    """Cut a connection on which more than :data:`STEPS` come within :data:`WINDOW`: the read then fails.

    :param connection: its handshake is done.
    :param sock: the socket below it.
    :param clock: monotonic seconds.
    """
    steps, until = 0, 0.0

    def step(_: SSL.Connection, where: int, value: int) -> None:
        nonlocal steps, until
        now = clock()
        if now >= until:
            steps, until = 0, now + WINDOW
        steps += 1
        if steps == STEPS:
            _cut(sock)

    connection.set_info_callback(step)


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
