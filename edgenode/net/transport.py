"""A connection: an ``SSL.Connection`` directly on a non-blocking socket, registered with the reactor.

No memory BIO, no second transport, no copy. Law: a byte is delivered once, in order, and never after the end; what is
written is sent at once if the socket takes it, queued otherwise; nothing is read while the receiver is paused.
The same object serves both directions, and, with :class:`Plain` in place of TLS, connections without TLS.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from typing import Protocol

from OpenSSL import SSL
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.net.plain import Plain
from edgenode.net.poller import Reactor

RECORD = 16384
"""The most plaintext a TLS record holds, and so the most that one read returns."""

READ_AHEAD = 16
"""How many full records are read before the reactor gets its turn."""

WRITE_AHEAD = 64
"""How many records are sent before the reactor gets its turn: who writes much to a fast reader is not the only one."""

HIGH_WATER = 65536
"""With more than this many bytes unsent a transport is full: stop writing."""

_log = Logger()


class Receiver(Protocol):
    """Whom a transport tells what happens."""

    def handshaken(self) -> None:
        """The handshake is done; nothing has been received yet."""

    def received(self, data: bytes) -> None:
        """Bytes arrived."""

    def drained(self) -> None:
        """All that was queued has been sent."""

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over; nothing follows.

        :param reason: why, empty if the other side just closed it.
        :param clean: whether it ended as its protocol ends: by close_notify in TLS, by FIN without.
        """


class _Nobody:
    """The receiver of a connection that is over."""

    def handshaken(self) -> None:
        """Nothing."""

    def received(self, data: bytes) -> None:
        """Nothing."""

    def drained(self) -> None:
        """Nothing."""

    def lost(self, reason: str, clean: bool) -> None:
        """Nothing."""


_NOBODY = _Nobody()


@implementer(IReadDescriptor, IWriteDescriptor)
class Transport:
    """One connection on a non-blocking socket.

    :ivar sock: the socket; owned by the transport.
    :ivar connection: the TLS connection on it, or :class:`Plain`.
    :ivar receiver: whom it tells what happens.
    :ivar established: whether the handshake is done.
    :ivar full: whether so much is unsent that the writer should wait for ``drained``.
    :ivar queued: the bytes that wait to be sent.
    :ivar lost: whether the connection is over.
    :ivar sent: the bytes that the socket has taken so far, to see progress by.
    """

    __slots__ = (
        "_closing", "_fd", "_half", "_paused", "_queue", "_reactor", "_reading", "_writing",
        "connection", "established", "full", "lost", "queued", "receiver", "sent", "sock",
    )  # fmt: skip

    def __init__(
        self, reactor: Reactor, sock: socket.socket, connection: SSL.Connection | Plain, receiver: Receiver
    ) -> None:
        self._reactor = reactor
        self.sock = sock
        self.connection = connection
        self.receiver = receiver
        self._fd = sock.fileno()
        self._queue: deque[bytes | memoryview] = deque()
        self.queued = 0
        self._closing = False
        self._half = False
        self._paused = False
        self._reading = False
        self._writing = False
        self.lost = False
        self.full = False
        self.established = False
        self.sent = 0

    # -- the reactor's side ------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor; the same number even after the end, so that the reactor does not report the end again."""
        return self._fd

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "transport"

    def start(self) -> None:
        """Begin the handshake; call this once."""
        self._handshake()

    def doRead(self) -> None:
        """Read what is there: called by the reactor when the socket is readable."""
        if self.lost:
            return
        if not self.established:
            self._handshake()
            return
        recv = self.connection.recv
        try:
            for _ in range(READ_AHEAD):
                data = recv(RECORD)
                self.receiver.received(data)
                # A short read has emptied the record, and asking again would cost an exception.
                if self._paused or self.lost or (len(data) < RECORD and not self.connection.pending()):
                    return
            while not self._paused and not self.lost and self.connection.pending():
                self.receiver.received(recv(RECORD))
        except SSL.WantReadError:
            pass
        except SSL.WantWriteError:
            self._want_write()
        except SSL.ZeroReturnError:
            self._want_no_read()
            self.receiver.ended(True)
        except SSL.Error as error:
            self._end(describe(error), clean=False)
        except Exception:
            _log.failure("the receiver failed")
            self.abort("an internal error")

    def doWrite(self) -> None:
        """Send what is queued: called by the reactor when the socket is writable."""
        if self.lost:
            return
        if not self.established:
            self._handshake()
            return
        try:
            for _ in range(WRITE_AHEAD):
                if not self._queue:
                    break
                chunk = self._queue[0]
                count = self.connection.send(chunk)
                self.sent += count
                self.queued -= count
                if count < len(chunk):
                    self._queue[0] = memoryview(chunk)[count:]
                else:
                    self._queue.popleft()
        except (SSL.WantWriteError, SSL.WantReadError):
            return
        except SSL.Error as error:
            self._end(describe(error), clean=False)
            return
        if self._queue:
            return
        self.full = False
        self._writing = False
        self._reactor.removeWriter(self)
        if self._closing:
            self._shutdown()
        else:
            try:
                self.receiver.drained()
            except Exception:
                _log.failure("the receiver failed")
                self.abort("an internal error")

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the socket hung up."""
        self._end(reason.getErrorMessage(), clean=False)

    # -- the receiver's side -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes, at once if possible. After the end they are dropped: the receiver has been, or will be, told."""
        if self.lost or self._closing or not data:
            return
        if self._queue:
            self._enqueue(data)
            return
        rest: bytes | memoryview = data
        try:
            for _ in range(WRITE_AHEAD):
                count = self.connection.send(rest)
                self.sent += count
                if count == len(rest):
                    return
                rest = memoryview(rest)[count:]
            self._enqueue(rest)
            self._want_write()
        except (SSL.WantWriteError, SSL.WantReadError):
            self._enqueue(rest)
            self._want_write()
        except SSL.Error as error:
            # The receiver is in the middle of writing: let it finish before it hears of the end.
            reason = describe(error)
            self._closing = True
            self._reactor.callLater(0, lambda: self._end(reason, clean=False))

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""
        self._paused = True
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)

    def resume(self) -> None:
        """Deliver again; bytes already decrypted come from the reactor's next turn, for no poll wakes up for them."""
        if not self._paused or self.lost:
            return
        self._paused = False
        self._want_read()
        if self.connection.pending():
            self._reactor.callLater(0, self._read_pending)

    def call_again(self) -> None:
        """Call ``received`` without bytes in a later turn."""
        self._reactor.callLater(0, lambda: self.lost or self.receiver.received(b""))

    def close(self) -> None:
        """End the connection properly once everything queued is sent."""
        if self.lost or self._closing:
            return
        self._closing = True
        if not self._queue:
            self._shutdown()

    def half_close(self) -> None:
        """As :meth:`close`, but go on reading: for a client whose unread bytes would turn the close into a reset."""
        self._half = True
        self.close()

    def abort(self, reason: str = "") -> None:
        """End the connection at once, without close_notify: the other side must not take it for a proper end."""
        self._end(reason, clean=False)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _enqueue(self, data: bytes | memoryview) -> None:
        self._queue.append(data)
        self.queued += len(data)
        self.full = self.queued > HIGH_WATER

    def _read_pending(self) -> None:
        if not self._paused and not self.lost and self.connection.pending():
            self.doRead()

    def _handshake(self) -> None:
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            self._stop_writing()
            self._want_read()
            return
        except SSL.WantWriteError:
            self._want_write()
            return
        except SSL.Error as error:
            self._end(describe(error), clean=False)
            return
        except Exception as error:  # whatever a callback of the handshake raised: fail closed, without a traceback
            self._end(f"{type(error).__name__} in the handshake", clean=False)
            return
        self.established = True
        self._stop_writing()
        try:
            self.receiver.handshaken()
        except Exception:
            _log.failure("the receiver failed")
            self.abort("an internal error")
            return
        if not self._paused and not self.lost:
            self._want_read()

    def _want_read(self) -> None:
        if not self._reading:
            self._reading = True
            self._reactor.addReader(self)

    def _want_no_read(self) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)

    def _want_write(self) -> None:
        if not self._writing:
            self._writing = True
            self._reactor.addWriter(self)

    def _stop_writing(self) -> None:
        """A socket is nearly always writable: whoever waits for something else must not be woken up for that."""
        if self._writing:
            self._writing = False
            self._reactor.removeWriter(self)

    def _shutdown(self) -> None:
        with contextlib.suppress(SSL.Error):
            self.connection.shutdown()
        if not self._half:
            self._end("", clean=True)
            return
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def _end(self, reason: str, clean: bool) -> None:
        if self.lost:
            return
        self.lost = True
        if self._reading:
            self._reactor.removeReader(self)
        if self._writing:
            self._reactor.removeWriter(self)
        self._queue.clear()
        self.queued = 0
        self.full = False
        self.sock.close()
        receiver, self.receiver = self.receiver, _NOBODY  # so that both can go without the garbage collector
        try:
            receiver.lost(reason, clean)
        except Exception:
            _log.failure("the receiver failed")


def describe(error: BaseException) -> str:
    """An OpenSSL or socket error in one sentence: OpenSSL's words where it has any.

    :param error: ``SSL.Error`` and its kinds, or ``OSError``.
    """
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0)
    if isinstance(error, SSL.SysCallError):
        number = error.args[0] if error.args else -1
        return os.strerror(number) if isinstance(number, int) and number > 0 else "closed without close_notify"
    reasons = error.args[0] if error.args else ()
    words = [entry[2] for entry in reasons if isinstance(entry, tuple) and len(entry) > 2] if reasons else []
    return "; ".join(dict.fromkeys(words)) or type(error).__name__
