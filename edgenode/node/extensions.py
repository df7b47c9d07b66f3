"""Stages and sinks of one's own while a node runs: those that are services of Twisted's live and end with it.

Law: a sink that fails takes no record from another. A record goes to the sinks that are in use when its exchange ends,
once to each, whatever configuration the exchange began with; and what one configuration no longer has ends before what
is new begins.
"""

from __future__ import annotations

from typing import Any

from attrs import define, evolve
from twisted.application.service import IService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from edgenode.config.extensions import Own
from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink, Record
from edgenode.observe.guarded_sink import GuardedSink

_log = Logger()

_in_use: dict[int, list[Any]] = {}
"""Every service that was started, and by how many: ports of one endpoint have the same."""


def keeping(configuration: Configuration, before: Configuration) -> Configuration:
    """A configuration with the state of another one, and with its stages and sinks where their sections are the same,
    for what they have counted, or opened, goes on; itself if all that is its own."""
    stages = _kept(configuration.own_stages, before.own_stages)
    sinks = _kept(configuration.own_sinks, before.own_sinks)
    if not (stages or sinks) and configuration.state is before.state:
        return configuration
    return evolve(configuration, own_stages=stages, own_sinks=sinks, state=before.state)


def _kept(own: Own, before: Own) -> Own:
    return {name: before[name] if name in before and before[name][0] == made[0] else made for name, made in own.items()}


class Extensions:
    """The services among the stages and sinks of a configuration, and its sinks.

    :param configuration: the configuration.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._services = _services(configuration)
        self._sinks = _Sinks(_guarded(configuration, ()))
        self._running = False

    def events(self, first: IEventSink, configuration: Configuration) -> IEventSink:
        """A sink that hands each record to another, and to those in use; that one itself if a configuration has none.

        :param first: the other one.
        """
        return _Several(first, self._sinks) if configuration.own_sinks else first

    def start(self) -> None:
        """Start them, unless they still run: a node may be started before its last stop is over."""
        if self._running:
            return
        self._running = True
        for each in self._services:
            _start(each)

    def renew(self, configuration: Configuration) -> None:
        """End those that are no more, and start those that are new."""
        before, self._services = self._services, _services(configuration)
        sinks, self._sinks.all = self._sinks.all, _guarded(configuration, self._sinks.all)
        for sink in sinks:
            if sink not in self._sinks.all:
                sink.close()
        if self._running:
            for each in before:
                if not any(each is other for other in self._services):
                    _stop(each)
            for each in self._services:
                if not any(each is other for other in before):
                    _start(each)

    def stop(self) -> Deferred[Any]:
        """End them; the Deferred fires when all have ended, and does not fail."""
        running, self._running = self._running, False
        for sink in self._sinks.all if running else ():
            sink.close()
        return DeferredList([_stop(each) for each in self._services if running])


def _services(configuration: Configuration) -> list[IService]:
    made = (*configuration.own_stages.values(), *configuration.own_sinks.values())
    return [each for _, each in made if IService.providedBy(each)]


def _start(each: IService) -> None:
    users = _in_use.setdefault(id(each), [each, 0])
    users[1] += 1
    if users[1] > 1:
        return
    try:
        each.privilegedStartService()
        each.startService()
    except Exception:
        _log.failure("an extension could not be started")


def _stop(each: IService) -> Deferred[Any]:
    users = _in_use[id(each)]
    users[1] -= 1
    if users[1]:
        return succeed(None)
    del _in_use[id(each)]
    ended = maybeDeferred(each.stopService)
    return ended.addErrback(lambda failure: _log.failure("an extension could not be ended", failure))


def _guarded(configuration: Configuration, before: tuple[GuardedSink, ...]) -> tuple[GuardedSink, ...]:
    """The sinks of a configuration, each as it is already if it is: with its count of events that are lost."""
    known = {id(each.sink): each for each in before}
    return tuple(
        known.get(id(sink)) or GuardedSink(sink, f"[sink {name}]")
        for name, (_, sink) in configuration.own_sinks.items()
    )


@define
class _Sinks:
    all: tuple[GuardedSink, ...]


@implementer(IEventSink)
@define
class _Several:
    _first: IEventSink
    _own: _Sinks

    def record(self, record: Record) -> None:
        self._first.record(record)
        for each in self._own.all:
            each.record(record)
