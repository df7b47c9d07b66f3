"""Sinks of others, which may do whatever they like, and no exchange is cut or hangs for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import capturedLogs
from twisted.web.resource import Resource
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.embedding.filtered_resource import FilteredResource
from edgenode.model.exchange import Exchange
from edgenode.model.interfaces import IEventSink
from edgenode.node.service import EdgeService
from edgenode.observe.guarded_sink import GuardedSink
from edgenode.proxy.event_record import EventRecord
from tests.support.node import PKI, Client, Origin, get, in_thread, ini
from tests.support.node import Node as RunningNode
from tests.support.strategies import CONNECTION

Flush = Callable[..., list[Any]]
RECORD = EventRecord("public", Exchange(CONNECTION))


@implementer(IEventSink)
@define(eq=False)
class Sink:
    """Does what it is told to.

    :ivar taken: how often it was asked.
    """

    do: Callable[[], Any] = lambda: None
    taken: int = 0

    def record(self, record: Any) -> Any:
        """Do it."""
        self.taken += 1
        return self.do()


@define
class Seconds:
    """A clock."""

    now: float = field(default=0.0)

    def __call__(self) -> float:
        """The time."""
        return self.now


def _raise(error: BaseException) -> Any:
    raise error


async def _fail(error: BaseException) -> None:
    raise error


ERRORS = (ZeroDivisionError, CancelledError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("how", [_raise, _fail, fail])
def test_what_a_sink_raises_is_logged_once_a_minute_and_counted(
    error: type[BaseException], how: Callable[[BaseException], Any], flush_logged_errors: Flush
) -> None:
    """At once, as a coroutine or in a Deferred; the events of the minute since are told of when it is closed."""
    clock, sink = Seconds(), Sink(lambda: how(error()))
    guarded = GuardedSink(sink, clock=clock)
    with capturedLogs() as logged:
        for now in (0, 1, 59, 60, 119):
            clock.now = now
            guarded.record(RECORD)
        guarded.close()
        guarded.close()
    assert (sink.taken, guarded.lost) == (5, 5)
    assert [event["count"] for event in logged] == [1, 4, 5]
    assert len(flush_logged_errors()) == 2


@pytest.mark.parametrize("returned", [None, 5, "taken", succeed(None), Deferred()])
def test_what_a_sink_returns_is_nobodys_concern(returned: object) -> None:
    """It has taken the event."""
    guarded = GuardedSink(Sink(lambda: returned))
    guarded.record(RECORD)
    assert guarded.lost == 0


def test_a_sink_may_be_a_coroutine() -> None:
    """It is run, and nothing waits for it."""
    taken, waits = list[Any](), Deferred[None]()

    class Async:
        async def record(self, record: Any) -> None:
            await waits
            taken.append(record)

    guarded: Any = GuardedSink(Async())  # type: ignore[arg-type]
    guarded.record(RECORD)
    assert not taken
    waits.callback(None)
    assert taken == [RECORD]


def _statuses(service: EdgeService) -> list[int]:
    with Client(service.ports["public"].getHost().port, "open.test") as client:
        return [client.ask(get()).status for _ in range(3)]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
async def test_exchanges_do_not_depend_on_the_sink(
    pki: PKI, origin: Origin, error: type[BaseException], flush_logged_errors: Flush
) -> None:
    """On a kept connection, and on new ones: every request is answered; and one line in the log."""
    sink = Sink(lambda: _raise(error()))
    configuration = RunningNode.of(pki, origin.port).service.configuration
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    service = EdgeService(configuration, reactor, sink)
    service.startService()
    for _ in range(2):
        assert await in_thread(_statuses, service) == [200, 200, 200]
    await service.stopService()
    assert sink.taken == 6
    assert len(flush_logged_errors(error)) == 1


def test_what_has_no_method_record_is_no_sink(pki: PKI) -> None:
    """An error where it is given, and not with every event."""
    from twisted.internet import reactor

    none: Any = object()
    configuration = Configuration.from_text(ini(1), pki.folder, {})
    with pytest.raises(TypeError, match="the event sink is asked by its method record"):
        EdgeService(configuration, reactor, none)
    with pytest.raises(TypeError, match="the event sink is asked by its method record"):
        FilteredResource(configuration.pipeline("all"), Resource(), events=none)
