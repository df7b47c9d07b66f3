"""Bytes between two plain sockets, in both directions, moved by the kernel from one to the other (splice(2)).

They pass through a pipe and are never copied into this process: half of what a relay costs that reads and writes.

Law: what one side has sent the other gets, in order and nothing else; from a side nothing is read while something of
it waits for the other to take it. A FIN is passed on behind the last byte, and the other direction goes on. A call of
the reactor takes about :data:`SLICE` seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.net.poller import Reactor

AT_ONCE = 262_144
"""Bytes that are asked for at once."""

PIPE = 1_048_576
"""Bytes of a pipe. It has a slot for each 4 KiB, and a short packet takes a whole one."""

SLICE = 0.001
"""Seconds after which others get their turn."""

_PIPES = 64
"""Pipes at most: so many that are full take as much memory as the kernel lets a user without privileges have
(pipe-user-pages-soft of pipe(7)). Who gets none has its bytes copied."""

_COPIED = 65_536
"""Bytes that are copied at once."""

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@frozen
class Pipe:
    """A pipe that does not block.

    :ivar outlet: the descriptor that is read.
    :ivar inlet: the descriptor that is written.
    """

    outlet: int
    inlet: int

    @classmethod
    def open(cls) -> Pipe:
        """A new one, of :data:`PIPE` bytes if the kernel allows it.

        :raises OSError: if there is none to be had.
        """
        pipe = cls(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.inlet, fcntl.F_SETPIPE_SZ, PIPE)
        return pipe

    def close(self) -> None:
        """Close it, with what is in it."""
        os.close(self.outlet)
        os.close(self.inlet)


class Pipes:
    """The pipes of a process: a relay has one only while it moves something.

    :param most: how many there are at most.
    """

    def __init__(self, most: int = _PIPES) -> None:
        self._most = most
        self._count = 0
        self._spare: list[Pipe] = []

    def take(self) -> Pipe | None:
        """An empty pipe; ``None`` if there is none to be had."""
        if self._spare:
            return self._spare.pop()
        if self._count >= self._most:
            return None
        try:
            pipe = Pipe.open()
        except OSError:
            return None
        self._count += 1
        return pipe

    def give_back(self, pipe: Pipe, empty: bool) -> None:
        """Take a pipe back.

        :param empty: whether nothing is in it.
        """
        if empty:
            self._spare.append(pipe)
        else:
            self._count -= 1
            pipe.close()

    def close(self) -> None:
        """Close those that nobody has."""
        while self._spare:
            self.give_back(self._spare.pop(), False)


PIPES = Pipes()
"""Those of this process."""


class _Flow:
    """One direction.

    :ivar held: bytes that have been read, and that the other side has not taken.
    :ivar moved: bytes that it has taken.
    :ivar over: whether nothing more comes.
    """

    __slots__ = ("_pipe", "_pipes", "_rest", "_sink", "_source", "held", "moved", "over")

    def __init__(self, source: socket.socket, sink: socket.socket, pipes: Pipes) -> None:
        self._source = source
        self._sink = sink
        self._pipes = pipes
        self._pipe: Pipe | None = None
        self._rest = memoryview(b"")
        self.held = self.moved = 0
        self.over = False

    def fill(self) -> None:
        """Read some; or the end, which is passed on.

        :raises BlockingIOError: if nothing is there.
        :raises OSError: if the source is broken.
        """
        pipe = self._pipes.take()
        if pipe is None:
            self._rest = memoryview(self._source.recv(_COPIED))
            self.held = len(self._rest)
        else:
            try:
                self.held = os.splice(self._source.fileno(), pipe.inlet, AT_ONCE, flags=_FLAGS)
            finally:
                if self.held:
                    self._pipe = pipe
                else:
                    self._pipes.give_back(pipe, True)
        if not self.held:
            self.over = True
            with contextlib.suppress(OSError):  # who has reset the connection needs no end
                self._sink.shutdown(socket.SHUT_WR)

    def empty(self) -> None:
        """Have all that is held taken.

        :raises BlockingIOError: if the sink takes no more for now.
        :raises OSError: if it is broken.
        """
        pipe = self._pipe
        while self.held:
            if pipe is None:
                count = self._sink.send(self._rest)
                self._rest = self._rest[count:]
            else:
                count = os.splice(pipe.outlet, self._sink.fileno(), self.held, flags=_FLAGS)
            self.held -= count
            self.moved += count
        self.drop()

    def drop(self) -> None:
        """Hold nothing any more."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._pipes.give_back(pipe, not self.held)
        self.held, self._rest = 0, memoryview(b"")


@implementer(IReadDescriptor, IWriteDescriptor)
class _Side:
    """One of the two sockets, as a descriptor.

    :ivar out: what comes from it.
    :ivar back: what goes to it.
    :ivar reads: whether it is registered to be read.
    :ivar writes: whether it is registered to be written.
    """

    __slots__ = ("_fd", "_splice", "back", "other", "out", "reads", "writes")

    other: _Side

    def __init__(self, splice: Splice, sock: socket.socket, out: _Flow, back: _Flow) -> None:
        self._splice = splice
        self._fd = sock.fileno()
        self.out = out
        self.back = back
        self.reads = self.writes = False

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "splice"

    def doRead(self) -> None:
        """Something is there, or the end."""
        self._splice.move(self)

    def doWrite(self) -> None:
        """It takes something again, of what the other side has sent."""
        self._splice.move(self.other)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self._splice.stop(reason.getErrorMessage())


class Splice:
    """Relays between two connected non-blocking sockets, from now on until both have ended, or one is broken.

    The sockets stay their owner's: he neither reads, writes nor closes them before ``done`` is called, nor has them
    registered with the reactor, and closes them then.

    :param left: a TCP or Unix socket.
    :param right: likewise.
    :param done: called once when it is over, with the reason; an empty one if both have ended by FIN. Not from within.
    :param pipes: where pipes come from.
    :ivar moved_at: when the last bytes were taken, on the clock of the reactor; at first now.
    :ivar by: ``left`` or ``right``: who has ended first, or whose connection is broken; empty before that.
    :ivar over: whether it is over.
    """

    def __init__(
        self,
        reactor: Reactor,
        left: socket.socket,
        right: socket.socket,
        done: Callable[[str], None],
        pipes: Pipes = PIPES,
    ) -> None:
        self._reactor = reactor
        self._done = done
        self._to_right, self._to_left = _Flow(left, right, pipes), _Flow(right, left, pipes)
        self._sides = (
            _Side(self, left, self._to_right, self._to_left),
            _Side(self, right, self._to_left, self._to_right),
        )
        self._sides[0].other, self._sides[1].other = self._sides[1], self._sides[0]
        self.moved_at = reactor.clock()
        self.by = ""
        self.over = False
        for side in self._sides:
            self._read(side, True)

    @property
    def bytes_left_to_right(self) -> int:
        """How many bytes of the left side's the right one has taken."""
        return self._to_right.moved

    @property
    def bytes_right_to_left(self) -> int:
        """How many bytes of the right side's the left one has taken."""
        return self._to_left.moved

    def stop(self, reason: str) -> None:
        """End it now; what is on its way is lost.

        :param reason: what ``done`` is told.
        """
        if self.over:
            return
        self.over = True
        for side in self._sides:
            self._read(side, False)
            self._write(side, False)
            side.out.drop()
        self._done(reason)

    # -- the sides' side ---------------------------------------------------------------------------------------------

    def move(self, side: _Side) -> None:
        """Move what a side sends, for one slice."""
        flow, clock = side.out, self._reactor.clock
        end = clock() + SLICE
        before = flow.moved
        try:
            while not self.over:
                if flow.held:
                    flow.empty()
                    if side.other.writes:
                        self._write(side.other, False)
                        self._read(side, True)
                    if clock() > end:
                        break
                flow.fill()
                if flow.over:
                    self._read(side, False)
                    self.by = self.by or self._name(side)
                    if side.back.over:
                        self.stop("")
                    return
        except BlockingIOError:
            if flow.held and not side.other.writes:
                self._read(side, False)
                self._write(side.other, True)
        except OSError as error:
            self.by = self._name(side.other if flow.held else side)
            self.stop(error.strerror or str(error))
        finally:
            if flow.moved != before:
                self.moved_at = clock()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _name(self, side: _Side) -> str:
        return "left" if side is self._sides[0] else "right"

    def _read(self, side: _Side, wanted: bool) -> None:
        if side.reads is not wanted:
            side.reads = wanted
            (self._reactor.addReader if wanted else self._reactor.removeReader)(side)

    def _write(self, side: _Side, wanted: bool) -> None:
        if side.writes is not wanted:
            side.writes = wanted
            (self._reactor.addWriter if wanted else self._reactor.removeWriter)(side)
