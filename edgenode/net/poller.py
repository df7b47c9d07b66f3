"""An epoll of our own inside the reactor's: one call of the reactor serves every transport that is ready.

A reactor wraps each event of each descriptor in a logging context, which costs more than reading a request's bytes.
So the transports register here, with the same methods as on a reactor, and the reactor sees one descriptor that is
readable whenever any of theirs is ready. Law: the same events, in turns of a bounded time, so that nobody starves:
handshakes cost a millisecond each, and a thousand may come at once.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_ROUND = 128
"""Events in a round; who is not served in it is behind all others in the next, for epoll tells of them in turn."""

_TURN = 0.01
"""Seconds before the reactor gets its turn."""

_log = Logger()


class Timers(Protocol):
    """Twisted's ``IReactorTime``, as far as it is needed."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> Any:
        """Call after a delay in seconds."""


class Reactor(Timers, Protocol):
    """What this room needs of a reactor: Twisted's ``IReactorFDSet`` and ``IReactorTime``."""

    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` whenever its descriptor is readable."""

    def removeReader(self, reader: Any) -> None:
        """No longer."""

    def addWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` whenever its descriptor is writable."""

    def removeWriter(self, writer: Any) -> None:
        """No longer."""


@implementer(IReadDescriptor)
class Poller:
    """Registers descriptors, and calls them when they are ready.

    :param reactor: the reactor to live in; its timers and threads are passed through.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._descriptors: dict[int, Any] = {}
        self._masks: dict[int, int] = {}
        self.callLater: Callable[..., Any] = reactor.callLater

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead`` whenever its descriptor is readable."""
        self._add(reader, _READ)

    def addWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite`` whenever its descriptor is writable."""
        self._add(writer, _WRITE)

    def removeReader(self, reader: Any) -> None:
        """No longer."""
        self._remove(reader, _READ)

    def removeWriter(self, writer: Any) -> None:
        """No longer."""
        self._remove(writer, _WRITE)

    def _add(self, descriptor: Any, event: int) -> None:
        number = descriptor.fileno()
        before = self._masks.get(number, 0)
        if before:
            self._epoll.modify(number, before | event)
        else:
            if not self._masks:
                self._reactor.addReader(self)
            self._epoll.register(number, event)
        self._masks[number] = before | event
        self._descriptors[number] = descriptor

    def _remove(self, descriptor: Any, event: int) -> None:
        number = descriptor.fileno()
        before = self._masks.get(number, 0)
        if self._descriptors.get(number) is not descriptor or not before & event:
            return
        rest = before & ~event
        if rest:
            self._epoll.modify(number, rest)
            self._masks[number] = rest
            return
        self._epoll.unregister(number)
        del self._masks[number], self._descriptors[number]
        if not self._masks:
            self._reactor.removeReader(self)

    # -- the reactor's side ------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor of the epoll."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "poller"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the epoll up."""
        _log.error("the poller failed: {reason}", reason=reason.getErrorMessage())

    def doRead(self) -> None:
        """Some descriptors are ready: serve them, and those that became ready meanwhile."""
        end = monotonic() + _TURN
        while self._serve_round(end):
            pass

    def _serve_round(self, end: float) -> bool:
        """Serve whoever is ready; false if that is all, or time is up."""
        descriptors, masks = self._descriptors, self._masks
        ready = self._epoll.poll(0, _ROUND)
        for number, events in ready:
            if monotonic() > end:
                return False
            if number not in descriptors:
                continue
            descriptor: Any = descriptors[number]
            try:
                if events == _READ:
                    if masks[number] & _READ:
                        descriptor.doRead()
                    continue
                # An error or a hang-up is told to whoever waits: reading, or writing, then says what it is.
                if events & ~_WRITE and masks[number] & _READ:
                    descriptor.doRead()
                unchanged = descriptors.get(number) is descriptor
                if unchanged and events & ~_READ and masks[number] & _WRITE:
                    descriptor.doWrite()
            except Exception:
                _log.failure("a descriptor failed")
                self.removeReader(descriptor)
                self.removeWriter(descriptor)
                descriptor.connectionLost(Failure())
        return bool(ready)
