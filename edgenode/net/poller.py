"""An epoll of our own inside the reactor's: one call of the reactor serves every descriptor that is ready.

A reactor wraps each event of each descriptor in a logging context, which costs more than reading a request's bytes.
So transports and ports register here, with the same methods as on a reactor, and the reactor sees one descriptor that
is readable whenever any of theirs is ready.

Law: nobody waits for more than one slice of each other descriptor. A round serves everyone of whom the epoll has told,
once each and in its order; only then the epoll is asked again. A turn ends after about 10 ms, and the rest of its round
comes first in the next turn. The reactor's own timers and descriptors are served between two turns. Whatever a
descriptor raises, ``SystemExit`` too, is its own end: if it reached the reactor that would drop the poller, and with it
everybody.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator
from operator import attrgetter
from time import monotonic
from typing import Any, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.net.records import Space

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_ROUND = 128
"""Events asked for at once; the epoll tells of the others first when it is asked again."""

_TURN = 0.01
"""Seconds before the reactor gets its turn."""

_log = Logger()


Step = tuple[Any, Callable[[], None]]
"""A transport, and what is to be done on it: see ``Transport.soon``."""


class Timers(Protocol):
    """Twisted's ``IReactorTime``, as far as it is needed."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> Any:
        """Call after a delay in seconds."""


class Reactor(Timers, Protocol):
    """What this room needs of a reactor: Twisted's ``IReactorFDSet`` and ``IReactorTime``, and the two of a poller.

    :ivar clock: monotonic seconds.
    :ivar sockets: what takes the place of the operating system's sockets; ``None`` for nothing.
    :ivar polls: how often the epoll has been asked.
    :ivar heard: the last of these polls after which everybody who had anything to read has been read.
    :ivar batch: takes whoever has read something to be handed on later in the round; ``None``: hand it on at once.
    :ivar steps: likewise what is to be done once everybody's bytes were handed on, each with the transport it is for.
    :ivar unsent: likewise whoever has something to send.
    :ivar space: where everybody reads to.
    """

    clock: Callable[[], float]
    sockets: Any
    polls: int
    heard: int
    batch: deque[Any] | None
    steps: deque[Step] | None
    unsent: list[Any] | None
    space: Space

    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` whenever its descriptor is readable."""

    def removeReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` no longer."""

    def addWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` whenever its descriptor is writable."""

    def removeWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` no longer."""

    def again(self, continued: Any) -> None:
        """Call ``continued.doAgain`` once, after everybody else who is ready."""


_by_side = attrgetter("side")


@implementer(IReadDescriptor)
class Poller:
    """Registers descriptors, and calls them when they are ready. Remove a descriptor before its number is closed.

    It has no ``__getattr__`` that passes everything else through, for that makes every attribute five times as slow.

    :param reactor: the reactor to live in; its timers and threads are passed through. It may bring sockets of its own,
        and a clock: see :class:`edgenode.testing.reactor.MemoryReactor`.
    :ivar clock: by which turns and deadlines are measured, monotonic seconds.
    :ivar sockets: what takes the place of the operating system's sockets; ``None`` for nothing.
    """

    def __init__(self, reactor: Any, clock: Callable[[], float] | None = None) -> None:
        self._reactor = reactor
        self.sockets: Any = getattr(reactor, "sockets", None)
        self._epoll: select.epoll = select.epoll() if self.sockets is None else self.sockets.epoll()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        self._ready: Iterator[tuple[int, int]] = iter(())
        self._fresh: set[int] = set()
        self._again: deque[Any] = deque()
        self._read: deque[Any] = deque()
        self._waiting: deque[Step] = deque()
        self.batch: deque[Any] | None = None
        self.steps: deque[Step] | None = None
        self.unsent: list[Any] | None = None
        self.space = Space()
        self._waking = False
        self._whole = True  # whether the last poll has told of everybody
        self.polls = self.heard = 0
        of_the_reactor: Callable[[], float] = getattr(reactor, "clock", monotonic)
        self.clock = clock or of_the_reactor
        self.callLater: Callable[..., Any] = reactor.callLater

    def seconds(self) -> float:
        """The time of the reactor's timers."""
        now: float = self._reactor.seconds()
        return now

    def callFromThread(self, callable: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call in the reactor's thread: this one alone may be called in others."""
        self._reactor.callFromThread(callable, *args, **kwargs)

    def getThreadPool(self) -> Any:
        """The reactor's threads."""
        return self._reactor.getThreadPool()

    def spawnProcess(self, *arguments: Any, **options: Any) -> Any:
        """Start a process: as for the reactor."""
        return self._reactor.spawnProcess(*arguments, **options)

    def listenUDP(self, *arguments: Any, **options: Any) -> Any:
        """Have a port of UDP: as for the reactor."""
        return self._reactor.listenUDP(*arguments, **options)

    def connectTCP(self, *arguments: Any, **options: Any) -> Any:
        """Open a connection that is none of ours, such as to a name server: as for the reactor."""
        return self._reactor.connectTCP(*arguments, **options)

    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` whenever its descriptor is readable."""
        self._add(reader, _READ, self._readers, self._writers)

    def addWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` whenever its descriptor is writable."""
        self._add(writer, _WRITE, self._writers, self._readers)

    def removeReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` no longer."""
        self._remove(reader, _WRITE, self._readers, self._writers)

    def removeWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` no longer."""
        self._remove(writer, _READ, self._writers, self._readers)

    def again(self, continued: Any) -> None:
        """Call ``continued.doAgain`` once, after everybody else who is ready, whatever the epoll says of it."""
        self._again.append(continued)
        self._wake()

    def _add(self, descriptor: Any, event: int, mine: dict[int, Any], others: dict[int, Any]) -> None:
        number = descriptor.fileno()
        if number in others:
            self._epoll.modify(number, _READ | _WRITE)
        elif number not in mine:
            if not mine and not others:
                self._reactor.addReader(self)
            self._epoll.register(number, event)
            self._fresh.add(number)
        mine[number] = descriptor

    def _remove(self, descriptor: Any, rest: int, mine: dict[int, Any], others: dict[int, Any]) -> None:
        number = descriptor.fileno()
        if mine.get(number) is not descriptor:
            return
        del mine[number]
        try:
            if number in others:
                self._epoll.modify(number, rest)
            else:
                self._epoll.unregister(number)
        except OSError:
            pass  # another file has that number: the epoll has forgotten the old one already
        if not mine and not others:
            self._reactor.removeReader(self)

    # -- the reactor's side ------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor of the epoll."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "poller"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends and gives up all that is registered with it: and so all that is registered here."""
        for descriptor in {*self._readers.values(), *self._writers.values()}:
            try:
                descriptor.connectionLost(reason)
            except BaseException:
                _log.failure("a descriptor failed")

    def doRead(self) -> None:
        """Serve the rest of the last round, then whoever is ready, until nobody is or time is up."""
        clock, fresh, again = self.clock, self._fresh, self._again
        readers, writers = self._readers, self._writers
        end = clock() + _TURN
        while True:
            left_over, over = self._left_over, False
            self.batch = self._read
            for number, events in () if left_over else self._ready:
                if fresh and number in fresh:
                    continue  # registered since: the event is of whoever had that number before
                try:
                    # An error or a hang-up is told to whoever waits: reading, or writing, then says what it is.
                    if events != _WRITE and number in readers:
                        descriptor = readers[number]
                        descriptor.doRead()
                    if events != _READ and number in writers and number not in fresh:
                        descriptor = writers[number]
                        descriptor.doWrite()
                except BaseException:
                    self._failed(descriptor)
                if clock() > end:
                    over = True
                    break
            else:
                if self._whole and not left_over:
                    self.heard = self.polls
            self.batch = None
            if self._read or left_over:
                self._deliver(end)
                over = over or clock() > end
            if over:
                if self._left_over:
                    self._wake()  # their sockets may have nothing more to tell
                return
            if left_over:
                continue
            if again and not self._serve_again(end):
                return
            ready = self._epoll.poll(0, _ROUND)
            self.polls += 1
            self._whole = len(ready) < _ROUND
            if fresh:
                fresh.clear()
            if ready:
                self._ready = iter(ready)
            else:
                self.heard = self.polls
                if not again:
                    return

    def _deliver(self, end: float) -> None:
        """Hand on what was read, do what follows from it, and send what is written: each for everybody, one after the
        other.

        The same work for several connections in a row costs a good deal less than all the work for one and then for
        another: the processor's caches hold the code of one step, and not that of all.
        """
        read = self._read
        if len(read) > 2:  # clients' and origins' connections each together
            read = self._read = deque(sorted(read, key=_by_side))
        steps, clock = self._waiting, self.clock
        unsent: list[Any] = []
        self.steps, self.unsent = steps, unsent
        try:
            while read:
                read.popleft().deliver()
                if clock() > end:
                    break
            while steps and clock() <= end:
                transport, call = steps.popleft()
                if not transport.lost:
                    try:
                        call()
                    except BaseException:
                        transport.failed()
        finally:
            self.steps = self.unsent = None
            for transport in unsent:
                try:
                    transport.flush()
                except BaseException:
                    self._failed(transport)

    def _serve_again(self, end: float) -> bool:
        """Serve everyone who asked for it before now; false if time is up."""
        again = self._again
        for _ in range(len(again)):
            descriptor = again.popleft()
            try:
                descriptor.doAgain()
            except BaseException:
                self._failed(descriptor)
            if self.clock() > end:
                return False
        return True

    def _failed(self, descriptor: Any) -> None:
        """Drop a descriptor that raised an exception; who only asks to be called again, as a pool does, is none."""
        _log.failure("a descriptor failed")
        if hasattr(descriptor, "fileno"):
            self.removeReader(descriptor)
            self.removeWriter(descriptor)
            descriptor.connectionLost(Failure())

    @property
    def _left_over(self) -> bool:
        """Whether the last turn has ended in the middle of a round."""
        return bool(self._read or self._waiting)

    def _wake(self) -> None:
        """Have a turn soon, though the epoll may have nothing to tell."""
        if not self._waking:
            self._waking = True
            self._reactor.callLater(0, self._woken)

    def _woken(self) -> None:
        self._waking = False
        if self._again or self._left_over:
            self.doRead()
        if self._again or self._left_over:
            self._wake()
