"""What observes a node: each part of it takes records, lives with the node, and follows its reloads.

Law: a part that fails takes nothing from an exchange, and nothing from another part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink, Record
from edgenode.observe.event_log import EventLog
from edgenode.observe.metrics.meter import Meter
from edgenode.observe.status import Status
from edgenode.proxy.listener.port import Port
from edgenode.proxy.origin.pool import OriginPool
from edgenode.state.interface import Happened

_log = Logger()


class Running(Protocol):
    """What parts may know of the node: what is in use now; look again after a reload."""

    @property
    def configuration(self) -> Configuration:
        """What it does."""

    @property
    def pools(self) -> Mapping[str, OriginPool]:
        """The connections to each origin, by name."""

    @property
    def ports(self) -> Mapping[str, Port]:
        """The port of each listener, by name."""

    @property
    def event_log(self) -> EventLog | None:
        """The log of events that the configuration has, if there is one: it can be asked for copies of its lines."""

    @property
    def meter(self) -> Meter:
        """What has been counted since the node was made."""

    def tell(self, happened: Happened) -> None:
        """Take what has happened to the state, or to an origin: it becomes an event, and every part hears of it."""

    def status(self) -> Deferred[Status]:
        """What the node is: had within a second or so, without a failure, and cheap enough for every scrape."""


class Part(Protocol):
    """One way to look at a node.

    :ivar sink: takes the record of every exchange; ``None`` if it wants none. It is looked at after :meth:`renew`.

    A part that has something to tell of itself, for ``edgenode status`` and metrics, has besides an attribute
    ``standing``: a mapping as JSON has it, such as ``{"journal": {...}}``.
    """

    sink: IEventSink | None

    def renew(self, configuration: Configuration) -> None:
        """Follow a configuration from now on: called before :meth:`start`, and at each reload. It must not fail."""

    def tell(self, happened: Happened) -> None:
        """Take what has happened to the state."""

    def start(self) -> None:
        """The node serves: open what is to be open."""

    def stop(self) -> Deferred[Any] | None:
        """The node's requests are over: close it."""


class Observation:
    """All parts.

    :param parts: the parts.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._sinks = _Sinks(())

    def events(self, first: IEventSink) -> IEventSink:
        """A sink that hands each record to the parts that want them, and to another."""
        return _Several(self._sinks, first)

    @property
    def standing(self) -> dict[str, Any]:
        """What the parts tell of themselves."""
        found: dict[str, Any] = {}
        for each in self._parts:
            found.update(getattr(each, "standing", {}))
        return found

    def renew(self, configuration: Configuration) -> None:
        """Follow a configuration."""
        for each in self._parts:
            self._guarded(each.renew, configuration)
        self._sinks.all = tuple(each.sink for each in self._parts if each.sink is not None)

    def tell(self, happened: Happened) -> None:
        """Hand on what has happened to the state."""
        for each in self._parts:
            self._guarded(each.tell, happened)

    def start(self) -> None:
        """Start them."""
        for each in self._parts:
            self._guarded(each.start)

    def stop(self) -> Deferred[Any]:
        """Stop them; the Deferred does not fail."""
        stopped = [maybeDeferred(each.stop) for each in self._parts]
        for each in stopped:
            each.addErrback(lambda failure: _log.failure("an observer could not be stopped", failure))
        return DeferredList(stopped)

    def _guarded(self, function: Any, *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception:
            _log.failure("an observer failed")


@define
class _Sinks:
    all: tuple[IEventSink, ...]


@implementer(IEventSink)
@define
class _Several:
    _sinks: _Sinks
    _first: IEventSink

    def record(self, record: Record) -> None:
        for each in self._sinks.all:
            each.record(record)
        self._first.record(record)
