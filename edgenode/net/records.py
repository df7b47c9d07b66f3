"""What reads and writes on a connection whose handshake is done: functions that are made once for each connection.

pyOpenSSL allocates what a read asks for, copies what was read, and looks for errors after each call that has succeeded;
and its connections pass unknown attributes on to their socket, for which CPython pays at the known ones. All of it is
a tenth of what a request takes. So OpenSSL is called here, and pyOpenSSL where a call has failed: it knows why.

Law: of what is in a :class:`Space` only those bytes are looked at that the last read has put there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from edgenode.net.plain import Plain

RECORD = 16384
"""The most plaintext that a TLS record holds (RFC 8446, section 5.1), and so the most that one read returns."""

Fill = Callable[[int, int], int]
"""Reads into the space: given where, and how many bytes at the most, the number of bytes, at least one; raises what
``SSL.Connection.recv`` does."""

Give = Callable[[bytes | memoryview], int]
"""Sends as ``SSL.Connection.send`` does."""


class Indirect(SSL.Connection):
    """A TLS connection that moves its records itself: it is read and written by its own methods, not by OpenSSL's."""


class Space:
    """Where bytes are read to, by all connections of a poller in turn; they are copied from it at once.

    :ivar size: its size, bytes.
    :ivar pointer: it, as OpenSSL takes it.
    :ivar content: it, to be sliced.
    """

    __slots__ = ("content", "pointer", "size")

    def __init__(self, size: int = 3 * RECORD) -> None:
        self.size = size
        self.pointer: Any = ffi.new("char[]", size)
        self.content: Any = ffi.buffer(self.pointer)


def reading(connection: SSL.Connection | Plain, space: Space) -> Fill:
    """What reads from a connection."""
    content, pointer, most = space.content, space.pointer, space.size
    if isinstance(connection, (Plain, Indirect)):
        view, receive = memoryview(content), connection.recv_into
        return lambda at, size: receive(view[at : min(at + size, most)])
    ssl, read, fail = connection._ssl, lib.SSL_read, connection._raise_ssl_error

    def fill(at: int, size: int) -> int:
        count: int = read(ssl, pointer + at, min(size, most - at)) if at else read(ssl, pointer, size)
        if count <= 0:
            fail(ssl, count)
            raise SSL.SysCallError(-1, "Unexpected EOF")
        return count

    return fill


def writing(connection: SSL.Connection | Plain) -> Give:
    """What writes to a connection."""
    if isinstance(connection, (Plain, Indirect)):
        return connection.send
    ssl, write, fail, pointer_to = connection._ssl, lib.SSL_write, connection._raise_ssl_error, ffi.from_buffer

    def give(data: bytes | memoryview) -> int:
        count: int = write(ssl, data if type(data) is bytes else pointer_to(data), len(data))
        if count <= 0:
            fail(ssl, count)
            raise SSL.SysCallError(-1, "Unexpected EOF")
        return count

    return give
