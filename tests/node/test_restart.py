"""A service that is stopped and started again, in whatever order, is the same as one that was never stopped."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.model.interfaces import IEventSink, Record
from edgenode.node.service import EdgeService
from tests.support.node import OK, PKI, Client, Origin, Served, get, in_thread, ini, until


@implementer(IEventSink)
@define(eq=False)
class Sink:
    """Keeps the statuses of the exchanges."""

    statuses: list[int] = field(factory=list)

    def record(self, record: Record) -> None:
        """Keep it."""
        self.statuses.append(record.status)


def service(pki: PKI, origin: Origin, changes: Any = None, events: IEventSink | None = None) -> EdgeService:
    """A node that is not started."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    return EdgeService(Configuration.from_text(ini(origin.port, changes), pki.folder, {}), reactor, events)


def client(service: EdgeService) -> Client:
    """A client of it."""
    return Client(service.ports["public"].getHost().port, "open.test")


def _status(service: EdgeService) -> int:
    with client(service) as asking:
        return asking.ask(get()).status


async def status(service: EdgeService) -> int:
    """Of the answer to one request."""
    answered: int = await in_thread(_status, service)
    return answered


def gone(service: EdgeService) -> None:
    """Nothing of it is left."""
    assert not any(port.connections for port in service.ports.values())
    assert not any(pool.open for pool in service.pools.values())


# -- one after the other -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("parent", [False, True])
async def test_every_life_serves_as_the_first(pki: PKI, origin: Origin, privileged: bool, parent: bool) -> None:
    """Requests reach the origin, events are taken, and a stop waits for what is under way, each time."""
    sink = Sink()
    edge = service(pki, origin, None, sink)
    started: Any = edge
    if parent:
        started = MultiService()
        edge.setServiceParent(started)
    pools = edge.pools
    for life in range(1, 4):
        if privileged:
            started.privilegedStartService()
        started.startService()
        assert [await status(edge), await status(edge)] == [200, 200]
        assert edge.pools == pools
        await started.stopService()
        assert sink.statuses == [200] * 2 * life
        gone(edge)


async def test_the_logs_of_every_life_are_written(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """To the same files: events and access log; what was moved away meanwhile is left alone."""
    events, access = tmp_path / "events", tmp_path / "access"
    edge = service(pki, origin, {"edge": {"events": str(events), "access-log": str(access)}})
    for life in (1, 2, 3):
        edge.startService()
        assert await status(edge) == 200
        await edge.stopService()
        if life == 2:
            events.rename(tmp_path / "moved")
    lines = (tmp_path / "moved").read_text().splitlines(), events.read_text().splitlines()
    assert [len(each) for each in lines] == [2, 1]
    assert {json.loads(line)["status"] for each in lines for line in each} == {200}
    assert len(access.read_text().splitlines()) == 3


@contextlib.contextmanager
def _slow(pki: PKI) -> Iterator[tuple[Origin, threading.Event, threading.Event]]:
    asked, answer = threading.Event(), threading.Event()

    def behave(served: Served) -> None:
        asked.set()
        answer.wait(20)
        served.send(OK)

    try:
        with Origin(pki, behave) as origin:
            yield origin, asked, answer
    finally:
        answer.set()


async def test_every_stop_drains(pki: PKI) -> None:
    """The request under way is answered, and only then is the stop over, the second time too."""
    with _slow(pki) as (origin, asked, answer):
        edge = service(pki, origin, {"edge": {"drain-timeout": "20s"}})
        for _ in range(2):
            edge.startService()
            answered = in_thread(_status, edge)
            await until(asked.is_set)
            stopped = edge.stopService()
            assert not stopped.called
            answer.set()
            assert await answered == 200
            await stopped
            asked.clear()
            answer.clear()
            gone(edge)


async def test_the_watch_goes_on_in_the_next_life(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Files that change are read, by one watch and not by two."""
    from twisted.internet import reactor

    def looks() -> int:
        return sum("Watch._look" in str(call) for call in reactor.getDelayedCalls())

    listed = tmp_path / "listed"
    listed.write_text("192.0.2.1\n")
    edge = service(
        pki, origin, {"edge": {"watch-interval": "20ms"}, "list own": {"type": "ip", "source": f"file:{listed}"}}
    )
    for life in range(2, 5):
        edge.startService()
        before = edge.configuration
        listed.write_text("".join(f"192.0.2.{number}\n" for number in range(1, life + 1)))
        await until(lambda: edge.configuration is not before)  # noqa: B023
        assert looks() <= 1
        await edge.stopService()
        assert looks() == 0


async def test_a_node_reloads_in_every_life_and_in_none_between(pki: PKI, origin: Origin) -> None:
    """What was loaded last is what the next life does."""
    edge = service(pki, origin)
    blocked = {"global-filter all": {"path": "^/", "action": "block"}}
    for changes, expected in ((blocked, 403), (None, 200), (blocked, 403)):
        edge.startService()
        await edge.reload(Configuration.from_text(ini(origin.port, changes), pki.folder, {}))
        await edge.stopService()
        with pytest.raises(ConfigurationError, match="not running"):
            await edge.reload(Configuration.from_text(ini(origin.port), pki.folder, {}))
        edge.startService()
        assert await status(edge) == expected
        await edge.stopService()
    gone(edge)


# -- out of turn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restops", [False, True])
async def test_a_start_does_not_wait_for_the_stop_before(pki: PKI, restops: bool) -> None:
    """New requests are served while the old ones end; their end ends nothing of the new life, and each stop waits for
    all that is under way."""
    sink = Sink()
    with _slow(pki) as (origin, asked, answer):
        edge = service(pki, origin, {"edge": {"drain-timeout": "20s"}}, sink)
        edge.startService()
        old = in_thread(_status, edge)
        await until(asked.is_set)
        first = edge.stopService()
        edge.startService()
        asked.clear()
        new = in_thread(_status, edge)
        await until(asked.is_set)
        second = edge.stopService() if restops else None
        assert not first.called
        answer.set()
        assert [await old, await new] == [200, 200]
        await first
        if second is None:
            assert await status(edge) == 200
            second = edge.stopService()
        await second
        assert set(sink.statuses) == {200}
        gone(edge)


async def test_what_takes_too_long_is_cut_without_the_new_life(pki: PKI) -> None:
    """``drain-timeout`` of a stop is for the connections of that life."""
    with _slow(pki) as (origin, asked, answer):
        edge = service(pki, origin, {"edge": {"drain-timeout": "100ms"}})
        edge.startService()
        with await in_thread(client, edge) as old:
            await in_thread(old.send, get())
            await until(asked.is_set)
            stopped = edge.stopService()
            edge.startService()
            asked.clear()
            new = in_thread(_status, edge)
            await until(asked.is_set)
            await stopped
            answer.set()
            assert await new == 200
        await edge.stopService()
        gone(edge)


async def test_a_stop_may_come_before_the_start_is_over(pki: PKI, origin: Origin) -> None:
    """Between its two halves, in the middle of it, twice, or without any start."""
    edge = service(pki, origin)
    await edge.stopService()
    edge.privilegedStartService()
    await edge.stopService()
    stops = list[Deferred[Any]]()

    @implementer(ILogObserver)
    def stop(event: Any) -> None:
        if str(event.get("log_format")).startswith("listener ") and not stops:
            stops.append(edge.stopService())

    globalLogPublisher.addObserver(stop)
    try:
        edge.startService()
    finally:
        globalLogPublisher.removeObserver(stop)
    await stops[0]
    assert not edge.running
    edge.startService()
    edge.startService()
    assert await status(edge) == 200
    both = edge.stopService(), edge.stopService()
    for each in both:
        await each
    gone(edge)


async def test_a_start_that_fails_leaves_nothing_and_may_be_tried_again(pki: PKI, origin: Origin) -> None:
    """Such as for a port that is taken; no port that could be had is kept."""
    with socket.socket() as taken, socket.socket() as free:
        for each in (taken, free):
            each.bind(("127.0.0.1", 0))
        taken.listen()
        number = free.getsockname()[1]
        free.close()
        listener = {"endpoint": f"tcp:{number}:interface=127.0.0.1", "server-groups": "open"}
        second = {"endpoint": f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1", "server-groups": "open"}
        edge = service(pki, origin, {"listener public": listener, "listener second": second})
        for start in (edge.privilegedStartService, edge.startService, edge.startService):
            with pytest.raises(CannotListenError):
                start()
            assert not edge.running
            with socket.create_server(("127.0.0.1", number)):
                pass
    edge.startService()
    assert await status(edge) == 200
    await edge.stopService()


async def test_a_node_that_joins_and_leaves_a_running_parent_starts_and_stops(pki: PKI, origin: Origin) -> None:
    """As every service of Twisted's."""
    parent, edge = MultiService(), service(pki, origin)
    parent.startService()
    for _ in range(2):
        edge.setServiceParent(parent)
        assert await status(edge) == 200
        stopped: Any = edge.disownServiceParent()
        await stopped
    gone(edge)
    parent.stopService()


async def test_a_reload_that_outlives_its_life_is_the_next_ones(pki: PKI, origin: Origin) -> None:
    """It takes over if the node runs when it is ready."""
    edge = service(pki, origin)
    edge.startService()
    ready = threading.Event()

    def change(running: Configuration) -> Configuration:
        ready.wait(20)
        blocked = {"global-filter all": {"path": "^/", "action": "block"}}
        return Configuration.from_text(ini(origin.port, blocked), pki.folder, {})

    changed = edge.change(change)
    await edge.stopService()
    edge.startService()
    ready.set()
    await changed
    assert await status(edge) == 403
    await edge.stopService()
    gone(edge)


async def test_nothing_is_left_in_the_reactor_by_a_reload_before_a_stop(pki: PKI, origin: Origin) -> None:
    """What was replaced is freed with the node, though many filters are freed in many turns."""
    from twisted.internet import reactor

    filters = {f"global-filter f{number}": {"path": f"^/{number}$", "tags": "t"} for number in range(1500)}
    edge = service(pki, origin, filters)
    edge.startService()
    await edge.reload(Configuration.from_text(ini(origin.port), pki.folder, {}))
    await edge.stopService()
    assert not [call for call in reactor.getDelayedCalls() if "_let_go" in str(call)]


_PROCESS = """
import os, pathlib, signal, sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from edgenode.config.load import Configuration
from edgenode.node import control
from edgenode.node.process import Node

path = pathlib.Path(sys.argv[1])
node = Node(path, Configuration.load(path), reactor)
node.install_signal_handlers()


async def ask():
    while node._control is None:  # the socket of the life before is closed a turn after its stop
        await deferLater(reactor, 0)
    return await deferToThread(control.ask, os.getpid())


async def live():
    handlers = set()
    for _ in range(3):
        node.startService()
        report = await ask()
        print(report.done)
        handlers.add((signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGINT)))
        stopped = node.stopService()
        node.startService()  # in the same turn
        report = await ask()
        print(report.done)
        await stopped
        await node.stopService()
        await node.stopService()
    print(len(handlers), len(list(handlers)[0]))


Deferred.fromCoroutine(live()).addErrback(print).addCallback(lambda _: reactor.stop())
reactor.run()
"""


def test_a_process_that_is_started_again_obeys_again(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """``edgenode reload`` reaches it in every life, and signals mean what they did."""
    file = pki.folder / "restarted.ini"
    file.write_text(ini(origin.port))
    command = [sys.executable, "-c", _PROCESS, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["True"] * 6 + ["1 2"], done
