"""Stages and sinks of one's own while a node runs: those that are services of Twisted's live and end with it.

Law: a sink that fails takes no record from another; and what one configuration no longer has ends once the next has
taken over.
"""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.application.service import IService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink, Record
from edgenode.node.guarded_sink import GuardedSink

_log = Logger()


class Extensions:
    """The services among the stages and sinks of a configuration.

    :param configuration: the configuration.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._services = _services(configuration)
        self._running = False

    def start(self) -> None:
        """Start them, unless they still run: a node may be started before its last stop is over."""
        if self._running:
            return
        self._running = True
        for each in self._services:
            _start(each)

    def renew(self, configuration: Configuration) -> None:
        """Start those that are new, and end those that are no more."""
        before, self._services = self._services, _services(configuration)
        if self._running:
            for each in self._services:
                if not any(each is other for other in before):
                    _start(each)
            for each in before:
                if not any(each is other for other in self._services):
                    _stop(each)

    def stop(self) -> Deferred[Any]:
        """End them; the Deferred fires when all have ended, and does not fail."""
        running, self._running = self._running, False
        return DeferredList([_stop(each) for each in self._services if running])


def _services(configuration: Configuration) -> list[IService]:
    made = (*configuration.own_stages.values(), *configuration.own_sinks.values())
    return [each for _, each in made if IService.providedBy(each)]


def _start(each: IService) -> None:
    try:
        each.privilegedStartService()
        each.startService()
    except Exception:
        _log.failure("an extension could not be started")


def _stop(each: IService) -> Deferred[Any]:
    ended = maybeDeferred(each.stopService)
    return ended.addErrback(lambda failure: _log.failure("an extension could not be ended", failure))


def with_sinks(sink: IEventSink, configuration: Configuration) -> IEventSink:
    """A sink that hands each record to another, and to those of a configuration; that one itself if it has none."""
    own = configuration.own_sinks
    if not own:
        return sink
    return _Several(sink, tuple(GuardedSink(each, f"[sink {name}]") for name, (_, each) in own.items()))


@implementer(IEventSink)
@define
class _Several:
    _first: IEventSink
    _own: tuple[GuardedSink, ...]

    def record(self, record: Record) -> None:
        self._first.record(record)
        for each in self._own:
            each.record(record)
