"""A connection: an ``SSL.Connection`` directly on a non-blocking socket, registered with the reactor.

No memory BIO, no second transport. Law: a byte is delivered once, in order, and never after the end. What is written
is sent at once if the socket takes it, and queued otherwise. Nothing is read while the receiver is paused, and no byte
that has been read stays here: a slice, which is what one call of the reactor does, reads at most :data:`READ_AHEAD`
bytes and delivers them, and takes about :data:`SLICE` seconds besides what the receiver takes.
The same object serves both directions, and, with :class:`Plain` in place of TLS, connections without TLS.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.model.errors import without_frames
from edgenode.net.errors import TOO_MANY_MESSAGES, describe, unread_alert
from edgenode.net.plain import Plain
from edgenode.net.poller import Reactor
from edgenode.net.receiver import NOBODY, Receiver
from edgenode.net.records import RECORD, Fill, Give, reading, writing
from edgenode.net.tls_messages import Messages

READ_AHEAD = 3 * RECORD
"""Bytes that one slice reads, and delivers as one, at most: a request head of 32 KiB, as much again of what follows it,
and as much of a response that the client does not take are 128 KiB."""

CHUNK = 4 * RECORD
"""Bytes given to OpenSSL at once. If the socket takes only a part of them, OpenSSL does not say which, and has to be
given the same again; so this is also the step in which progress is seen."""

WRITE_AHEAD = 2 * CHUNK
"""Bytes that one call of ``write`` sends at once, at most."""

SLICE = 0.001
"""Seconds after which a slice ends, once the read or write is done that it is at."""

_log = Logger()


@implementer(IReadDescriptor, IWriteDescriptor)
class Transport:
    """One connection on a non-blocking socket.

    In TLS, a FIN without close_notify is no proper end but a loss: something may be missing. If the receiver sees that
    by itself, as in HTTP requests, set ``SSL.OP_IGNORE_UNEXPECTED_EOF`` on the TLS connection: then it is an end, and
    a client that has only shut down its sending side can be answered. (Otherwise OpenSSL sends nothing after it.)

    :param keep_refused: whether the socket of a handshake that is refused, with an alert, is left open when ``lost`` is
        called, for the receiver to close: it may first read what would turn the close into a reset.
    :ivar sock: the socket; owned by the transport.
    :ivar connection: the TLS connection on it, or :class:`Plain`.
    :ivar error: with which reading or writing has failed, if that has ended it.
    :ivar receiver: whom it tells what happens.
    :ivar established: whether the handshake is done.
    :ivar queued: the bytes that wait to be sent; while there are any, the writer should wait for ``drained``.
    :ivar lost: whether the connection is over.
    :ivar side: the same number for those whose first receiver was of the same class: clients', origins'.
    :ivar sent: the bytes that the socket has taken so far, to see progress by.
    :ivar wary: whether the other side may end this before it has read everything, as a TLS 1.3 server may that refuses
        our certificate, or an upload: then no record is written before what has come is read. For after a failed write
        OpenSSL reads nothing, neither an alert nor an answer.
    """

    __slots__ = (
        "_again", "_asked", "_closing", "_content", "_direct", "_ended", "_fd", "_fill", "_give", "_half",
        "_keep_refused", "_messages", "_open", "_paused", "_queue", "_reactor", "_read", "_reading", "_unsent",
        "_writing", "connection", "error", "established", "lost", "queued", "receiver", "sent", "side", "sock", "wary",
    )  # fmt: skip

    _content: Any  # like the two that follow set once the handshake is done
    _fill: Fill
    _give: Give

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        connection: SSL.Connection | Plain,
        receiver: Receiver,
        keep_refused: bool = False,
    ) -> None:
        self._reactor = reactor
        self.sock = sock
        self.connection = connection
        self.receiver = receiver
        self.side = id(type(receiver))
        self._fd = sock.fileno()
        self._queue: deque[bytes | memoryview] | None = None
        self._messages: Messages | None = None
        self._read = self._unsent = b""  # of the round that the reactor is at
        self.queued = self.sent = 0
        self.error: SSL.Error | None = None
        self.established = self.lost = self.wary = False
        self._open = self._direct = False  # what follows from all the others: may it read, may it send unqueued
        self._again = self._asked = self._paused = self._reading = self._writing = False
        self._closing = self._half = self._ended = False
        self._keep_refused = keep_refused

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
        """Read and deliver what is there, for one slice: called by the reactor when the socket is readable."""
        if not self._open:
            if not self.established and not self.lost:
                self._handshake()
            return
        try:
            size = self._fill(0, RECORD)
            if size >= RECORD:
                self._read_on(size)
            elif (batch := self._reactor.batch) is None:
                # That was all: OpenSSL decrypts no record before the last one is read.
                self.receiver.received(self._content[:size])
            else:
                self._read = self._content[:size]
                batch.append(self)
        except SSL.Error as error:
            self._not_read(error)
        except BaseException:
            self.failed()

    def doWrite(self) -> None:
        """Send what is queued, for one slice: called by the reactor when the socket is writable."""
        if self._read:
            self.deliver()  # before anything else is read, or the connection turns out to be broken
        if not self.queued or not self.established:
            self._stop_writing()
            self.doRead()  # the handshake, or a read, had something to send
            return
        queue, clock = self._queue, self._reactor.clock
        assert queue is not None
        end = clock() + SLICE
        wary = self.wary
        step = RECORD if wary else CHUNK
        try:
            while queue:
                if wary and self._heard():
                    return  # it is read first, in the next round
                data = queue[0]
                count = self._give(data if len(data) <= step else memoryview(data)[:step])
                self.sent += count
                self.queued -= count
                if count < len(data):
                    queue[0] = memoryview(data)[count:]
                else:
                    queue.popleft()
                if clock() > end:
                    break
        except (SSL.WantWriteError, SSL.WantReadError):
            return
        except SSL.Error as error:
            self._broken(self._not_sent(error))
            return
        if not queue:
            self._all_sent()

    def deliver(self) -> None:
        """Hand on what was read in this round: called by the reactor once everybody's bytes have been read.

        If the receiver has been paused since, it waits for :meth:`resume`.
        """
        if self._paused:
            return
        data, self._read = self._read, b""
        if data and not self.lost:
            try:
                self.receiver.received(data)
            except BaseException:
                self.failed()

    def catch_up(self, look: bool) -> None:
        """Hand on at once what has been read in this round.

        This is for a receiver to whom it makes a difference whether bytes were there before it goes on.

        :param look: whether to read what has come by now as well, though no poll has told of it yet.
        """
        if not self._read:
            if not look:
                return
            if self._peek() is None and not self.connection.pending():
                return
            self.doRead()
        self.deliver()

    def flush(self) -> None:
        """Send what was written in this round: called by the reactor once everybody's bytes have been handed on."""
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            if not self.lost:
                self._send(unsent)

    def doAgain(self) -> None:
        """Go on with what was left: called by the reactor after everybody else."""
        self._again = False
        if self._paused:
            return
        if self._read:
            self.deliver()
        elif self._asked:
            self._asked = False
            self._reopen()
            self._tell(self.receiver.received, b"")
        elif self._open and self.connection.pending():
            self.doRead()
            return
        self._reopen()
        if self._asked or (self._open and self.connection.pending()):
            self._go_on()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the socket hung up."""
        self._end(reason.getErrorMessage(), clean=False)

    # -- the receiver's side -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes, at once if possible. After the end they are dropped: the receiver has been, or will be, told."""
        if not self._direct:
            if data and not self._closing and not self.lost:
                self._enqueue(data)
            return
        unsent = self._reactor.unsent
        before = self._unsent
        if unsent is not None and len(before) + len(data) <= RECORD:
            if not before:
                unsent.append(self)
            self._unsent = before + data
            return
        if before:
            data, self._unsent = before + data, b""
        self._send(data)

    def _send(self, data: bytes) -> None:
        """Send bytes now; queue what the socket does not take."""
        size = len(data)
        at = 0
        try:
            if self.wary:
                while at < size and at < WRITE_AHEAD and not self._heard():
                    at += self._give(memoryview(data)[at : at + RECORD])
            elif 0 < size <= CHUNK:  # nothing is no record: what OpenSSL does with it is undefined
                at = self._give(data)
            else:
                while at < size and at < WRITE_AHEAD:
                    at += self._give(memoryview(data)[at : at + CHUNK])
        except (SSL.WantWriteError, SSL.WantReadError):
            pass
        except SSL.Error as error:
            # The receiver is in the middle of writing: let it finish before it hears of the end.
            self._closing = True
            self._direct = False
            self._reactor.callLater(0, self._broken, self._not_sent(error))
            return
        self.sent += at
        if at < size:
            self._direct = False
            self._enqueue(memoryview(data)[at:])
            self._want_write()

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""
        self._paused = True
        self._open = False
        if self.established:
            self._stop_reading()

    def resume(self) -> None:
        """Deliver again; bytes already decrypted come in the reactor's next round, for no poll tells of them."""
        if not self._paused:
            return
        self._paused = False
        self._reopen()
        if self._asked or self._read or (self._open and self.connection.pending()):
            self._go_on()

    def soon(self, call: Callable[[], None]) -> None:
        """Call once everybody's bytes of this round have been handed on; at once if there is no round.

        This is for work that costs less if it is done for several connections in a row; see ``Poller``. It is not
        called if the connection is over by then.
        """
        steps = self._reactor.steps
        if steps is None:
            call()
        else:
            steps.append((self, call))

    def call_again(self) -> None:
        """Give everybody else a turn, then have ``received(b"")`` called; nothing is read before.

        This is for a receiver that has bytes left whose work would take longer than a slice. It waits for ``resume`` if
        the receiver is paused then.
        """
        self._asked = True
        self._open = False
        self._go_on()

    def close(self) -> None:
        """End the connection properly once everything queued is sent."""
        self.flush()
        if self.lost or self._closing:
            return
        self._closing = True
        self._direct = False
        if not self.queued:
            self._shutdown()

    def half_close(self) -> None:
        """As :meth:`close`, but go on reading: for a client whose unread bytes would turn the close into a reset."""
        self._half = True
        self.close()

    def abort(self, reason: str = "") -> None:
        """End the connection at once, without close_notify: the other side must not take it for a proper end."""
        self.flush()
        self._end(reason, clean=False)

    # -- inside: reading ---------------------------------------------------------------------------------------------

    def _read_on(self, size: int) -> None:
        """Read on after a full read, as long as records are full; deliver everything as one."""
        fill, clock = self._fill, self._reactor.clock
        end = clock() + SLICE
        failure = None
        try:
            while size < READ_AHEAD and clock() < end:
                more = fill(size, RECORD)
                size += more
                if more < RECORD:
                    break
        except SSL.Error as error:
            failure = without_frames(error)  # its traceback holds this frame, which holds the error
        data = self._content[:size]
        batch = self._reactor.batch
        if batch is not None and failure is None and size <= RECORD and not self.connection.pending():
            self._read = data
            batch.append(self)
            return
        self.receiver.received(data)
        if failure is not None:
            self._not_read(failure, more=False)
        elif self._open and self.connection.pending():
            self._go_on()

    def _not_read(self, error: SSL.Error, more: bool = True) -> None:
        """Reading raised an error; most say only that nothing is there.

        :param more: whether this slice may read on after a message of TLS's own.
        """
        if self.lost:
            return
        if isinstance(error, SSL.WantReadError):
            if self._messages is not None and self._messages.came:
                self._read_past(self._messages, more)
        elif isinstance(error, SSL.WantWriteError):
            self._want_write()
        elif isinstance(error, SSL.ZeroReturnError):
            self._other_side_ended()
        else:
            self.error = without_frames(error)
            self._end(describe(error), clean=False)

    def _read_past(self, messages: Messages, more: bool) -> None:
        """Read on after a message of TLS's own, to the first bytes or until nothing is there."""
        messages.begin()
        while messages.came:
            messages.came = False
            if messages.excess:
                self._end(TOO_MANY_MESSAGES, clean=False)
            if not more or not self._open:
                return
            try:
                size = self._fill(0, RECORD)
            except SSL.WantReadError:
                continue
            except SSL.Error as error:
                self._not_read(error)
            else:
                self._read_on(size)
            return

    def _other_side_ended(self) -> None:
        self._ended = True
        self._open = False
        self._stop_reading()
        if not self._closing:
            self._tell(self.receiver.ended)
        elif not self.queued:
            self._end("", clean=True)

    def _reopen(self) -> None:
        """Read again, unless there is a reason not to; a handshake goes on even while the receiver is paused."""
        if self._ended or (self._paused and self.established):
            return
        self._open = self.established and not self._asked and not self._read
        if not self._reading:
            self._reading = True
            self._reactor.addReader(self)

    def _go_on(self) -> None:
        if not self._again:
            self._again = True
            self._reactor.again(self)

    def _tell(self, told: Callable[..., None], *arguments: object) -> None:
        try:
            told(*arguments)
        except BaseException:
            self.failed()

    def failed(self) -> None:
        """The receiver has raised an exception: that ends its connection."""
        _log.failure("the receiver failed")
        self.abort("an internal error")

    # -- inside: the handshake, writing, the end ---------------------------------------------------------------------

    def _handshake(self) -> None:
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            self._reopen()
            return
        except SSL.WantWriteError:
            self._want_write()
            self._stop_reading()  # what comes is not read before all is sent, and would wake us up again and again
            return
        except SSL.Error as error:
            gone = isinstance(error, (SSL.SysCallError, SSL.ZeroReturnError))
            self._end(describe(error), clean=False, close=gone or not self._keep_refused)
            return
        except Exception as error:  # whatever a callback of the handshake raised: fail closed, without a traceback
            _log.debug("in a handshake: {error}", error=repr(error))
            self._end("something of our own failed in the handshake", clean=False)
            return
        self.established = True
        space = self._reactor.space
        self._content, self._fill, self._give = space.content, reading(self.connection, space), writing(self.connection)
        if isinstance(self.connection, SSL.Connection):
            self._messages = Messages(self.connection, self.sock, self._reactor.clock)
        if self.queued:
            self._want_write()
        else:
            self._direct = True
        self._tell(self.receiver.handshaken)
        if self._paused:
            self.pause()
        else:
            self._reopen()

    def _enqueue(self, data: bytes | memoryview) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(data)
        self.queued += len(data)

    def _want_write(self) -> None:
        if not self._writing:
            self._writing = True
            self._reactor.addWriter(self)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)

    def _stop_writing(self) -> None:
        """A socket is nearly always writable: whoever waits for something else must not be woken up for that."""
        if self._writing:
            self._writing = False
            self._reactor.removeWriter(self)

    def _peek(self) -> bytes | None:
        """A byte that waits in the socket; empty at its end, ``None`` if there is neither."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:  # reading says what it is
            return b""

    def _heard(self) -> bool:
        """Whether there is something to read, or the end, and it will be read."""
        return not (self._paused or self._ended) and self._peek() is not None

    def _not_sent(self, error: SSL.Error) -> str:
        """Why a write has failed: what the other side has said last, if that is known."""
        self.error = without_frames(error)
        if isinstance(self.connection, SSL.Connection):
            self._ended = True  # OpenSSL reads nothing any more, and would not say why
            self._open = False
        return (self.wary and unread_alert(self.sock)) or describe(error)

    def _broken(self, reason: str) -> None:
        """End, since a write has failed; first hand on what has come, if it can still be read: without TLS."""
        if self._open and self._peek():
            self.doRead()
            self.deliver()
        self._end(reason, clean=False)

    def _all_sent(self) -> None:
        self._stop_writing()
        if self._closing:
            self._shutdown()
            return
        self._direct = True
        self._tell(self.receiver.drained)

    def _shutdown(self) -> None:
        with contextlib.suppress(SSL.Error):
            self.connection.shutdown()
        if self._ended or not self._half:
            self._end("", clean=True)
            return
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def _end(self, reason: str, clean: bool, close: bool = True) -> None:
        if self.lost:
            return
        self.lost = self._ended = True
        self._open = self._direct = False
        if self._reading:
            self._reactor.removeReader(self)
        if self._writing:
            self._reactor.removeWriter(self)
        self._queue = None
        self.queued = 0
        if close:
            self.sock.close()
        receiver, self.receiver = self.receiver, NOBODY  # so that both can go without the garbage collector
        try:
            receiver.lost(reason, clean)
        except BaseException:
            _log.failure("the receiver failed")
