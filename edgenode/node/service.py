"""The node as one Twisted service: a configuration becomes contexts, pools, pipelines and ports.

Law: everything that can fail for the configuration's sake has failed before the first port is opened; and a reload has
either taken over as a whole, without a request dropped, or nothing has changed. A node may be started and stopped any
number of times, also while an earlier stop still waits for its requests: each life has ports of its own.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from edgenode.config.load import Configuration
from edgenode.feeds.fetch import Fetcher
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.model.exchange import Address
from edgenode.model.interfaces import IEventSink, Stage
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node.admin_use import AdminUse
from edgenode.node.assembly import Assembly
from edgenode.node.extensions import Extensions, keeping
from edgenode.node.feed_updates import FeedUpdates
from edgenode.node.logs import Logs
from edgenode.node.observation import Observation
from edgenode.node.observers import PARTS
from edgenode.node.state_use import StateUse
from edgenode.node.status_of import About, StatusOf
from edgenode.node.watch import Watch
from edgenode.observe.event_log import EventLog
from edgenode.observe.guarded_sink import GuardedSink
from edgenode.observe.metrics.meter import Meter
from edgenode.observe.status import Status
from edgenode.policy.stages import Placed
from edgenode.proxy.listener.binding import sentence
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.listener.listener import Listener
from edgenode.proxy.listener.port import Port
from edgenode.proxy.origin.pool import OriginPool
from edgenode.state.interface import Happened

_log = Logger()

_AT_ONCE = 500
"""Pieces that are freed in one turn."""


class EdgeService(Service):
    """The whole node: ``EdgeService(configuration, reactor).setServiceParent(application)``.

    :param configuration: what it does.
    :param reactor: a reactor with descriptors, timers and a thread pool.
    :param events: who takes the events; the files that the configuration names if absent, the access log among them.
        The sinks of the configuration take them in either case.
    :param stages: stages of one's own, for every configuration: see :meth:`Configuration.pipeline`.
    :ivar ports: the port of each listener, by name; look them up again after a reload, and after a stop.
    :ivar meter: what has been counted since it was made: ``settle`` it before you look.
    :ivar about: what :meth:`status` tells of its life; whoever reads the file for it says which, and what came of that.
    """

    name = "edgenode"

    def __init__(
        self,
        configuration: Configuration,
        reactor: Any,
        events: IEventSink | None = None,
        stages: Sequence[Stage | Placed] = (),
    ) -> None:
        self._reactor: Any = Poller(reactor)
        reactor = self._reactor
        self._deadlines = Deadlines(reactor)
        self._stages = tuple(stages)
        self._assembly = Assembly.of(configuration, reactor, self._deadlines, stages=self._stages)
        self._logs = Logs(configuration.edge, reactor) if events is None else None
        self._own = None if events is None else GuardedSink(events)
        self._extensions = Extensions(configuration)
        self.meter = Meter()
        self._observation = Observation([make(self, self._reactor) for make in PARTS])
        self._observation.renew(configuration)
        self._admin = AdminUse(self, self._reactor, self._deadlines)
        self._state = StateUse(self._reactor, self.tell)
        self._reloading = DeferredLock()
        self._watch = Watch(reactor, lambda: self.configuration, self.change)
        self._feeds = FeedUpdates(Fetcher(reactor, self._deadlines), lambda: self.configuration, self.change)
        self._leaving: set[Port] = set()
        self._retired: weakref.WeakSet[OriginPool] = weakref.WeakSet()
        self._replaced: list[object] = []
        self._freeing: Any = None
        self._stopped = False
        self.ports = self._new_ports()
        self.about = About()
        log = self._logs or self._own
        self._status = StatusOf(self, self.about, log, self._observation, self._watch, self._reactor)

    def _new_ports(self) -> dict[str, Port]:
        listeners = self.configuration.listeners
        return {name: self._port(name, listener, self._assembly) for name, listener in listeners.items()}

    def _port(self, name: str, listener: Listener, assembly: Assembly) -> Port:
        context = self._context(name, assembly)
        return Port(listener, context, self._reactor, self._deadlines, handshakes=self.meter.handshakes)

    def _context(self, name: str, assembly: Assembly) -> ListenerContext:
        events = self._extensions.events(self._events, assembly.configuration)
        return assembly.context(name, self._observation.events(events))

    @property
    def _events(self) -> IEventSink:
        """Who takes the events now."""
        if self._logs is not None:
            return self._logs.sink
        assert self._own is not None
        return self._own

    @property
    def event_log(self) -> EventLog | None:
        """The log of events that the configuration has, if there is one; ``None`` also if they go to a sink instead."""
        return None if self._logs is None else self._logs.events

    @property
    def configuration(self) -> Configuration:
        """What it does now."""
        return self._assembly.configuration

    @property
    def pools(self) -> dict[str, OriginPool]:
        """The connections to each origin, by name; look them up again after a reload."""
        return dict(self._assembly.pools)

    @property
    def unready(self) -> str:
        """Why it does not serve, in words; empty if it does."""
        if not self.running:
            return "the node stops, and its last requests end" if self._stopped else "the node starts"
        return "" if any(port.listening for port in self.ports.values()) else "no listener is open"

    def status(self) -> Deferred[Status]:
        """What it is now; had within a second or so, and without a failure."""
        return self._status.get()

    def tell(self, happened: Happened) -> None:
        """Take what happens to the state, or to an origin."""
        self._observation.tell(happened)
        if self._logs is not None:
            self._logs.tell(happened)
        elif self._own is not None:
            self._own.tell(happened)

    # -- life --------------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Bind every port, while the process may still be root.

        :raises CannotListenError: if one cannot be had.
        :raises ConfigurationError: if the access log cannot be written.
        """
        super().privilegedStartService()
        self._open()

    def startService(self) -> None:
        """Accept connections. If that fails nothing is left open, and it may be tried again.

        :raises CannotListenError: if a port that was not bound yet cannot be had.
        :raises ConfigurationError: if a log that was not open yet cannot be written.
        """
        if self.running:
            return
        self._open()
        super().startService()
        self.about.started = time.time()
        self._state.start(self.configuration)  # no client is heard before this turn of the reactor is over
        for name, port in self.ports.items():
            port.startListening()
            host, groups = port.getHost(), ", ".join(port.listener.server_groups)
            address = Address(host.host, host.port)
            _log.info("listener {name} on {address}: {groups}", name=name, address=address, groups=groups)
            if not self.running:  # whoever reads the log has stopped it
                return
        self._extensions.start()
        self._observation.start()
        self._status.start()
        self._watch.start()
        self._feeds.start()

    def _open(self) -> None:
        """Have all that a life needs: pools that lend, logs that can be written, ports that are bound."""
        if self._stopped:
            self._stopped = False
            for pool in self.pools.values():
                pool.reopen()
            self.ports = self._new_ports()
        try:
            if self._logs is not None:
                self._logs.open()
            for port in self.ports.values():
                port.bind()
            self._admin.open(self.configuration.admin)
        except BaseException:
            self._shut()
            raise

    def _shut(self) -> Deferred[Any]:
        """End this life: accept no more, and close everything once the open requests are over."""
        self._stopped = True
        self._leaving.update(self.ports.values())
        return self._drain({*self._leaving}).addCallback(self._close)

    def _close(self, result: object) -> Deferred[Any] | None:
        if not self._stopped or self._leaving:  # another life has begun meanwhile
            return None
        self._replaced.clear()
        if self._freeing is not None:
            self._freeing.cancel()
            self._freeing = None
        return self._state.stop().addCallback(self._close_logs)

    def _close_logs(self, result: object) -> Deferred[Any] | None:
        if not self._stopped:
            return None
        self._admin.close()
        if self._logs is not None:
            self._logs.close()
        if self._own is not None:
            self._own.close()
        return DeferredList([self._extensions.stop(), self._observation.stop()]).addCallback(self._disconnect)

    def _disconnect(self, result: object) -> None:
        """Leave the origins, once nobody has anything to send to one."""
        if self._stopped:
            for pool in (*self.pools.values(), *self._retired):
                pool.abort()
            self._deadlines.stop()

    def stopService(self) -> Deferred[Any]:
        """Accept no more, let open requests finish within ``drain-timeout``, then end.

        :returns: fires when they are over; by then the node may have been started again.
        """
        super().stopService()
        self._watch.stop()
        self._feeds.stop()
        self._status.stop()
        return self._shut()

    def cut(self) -> None:
        """End every connection now, whatever is under way on it."""
        for port in (*self.ports.values(), *self._leaving):
            port.abort()

    def _drain(self, ports: Collection[Port]) -> Deferred[Any]:
        """Accept no more on these ports; the Deferred fires when their requests are over, or cut for their time."""
        over = DeferredList([port.stopListening() for port in ports])
        for port in ports:
            port.drain()

        def cut() -> None:
            _log.warn("requests still open at the end of drain-timeout are cut")
            for port in ports:
                port.abort()

        patience = self._reactor.callLater(self.configuration.edge.drain_timeout, cut)

        def end(result: object) -> None:
            self._leaving.difference_update(ports)
            if patience.active():
                patience.cancel()

        return over.addCallback(end)

    # -- reload ------------------------------------------------------------------------------------------------------

    def reload(self, configuration: Configuration) -> Deferred[Configuration]:
        """Go on with another configuration, with no connection cut and no request dropped.

        Every request that begins after the Deferred has fired is judged and forwarded by the new one, on kept
        connections too; those under way end as they have begun. Listeners are known by their endpoint, and keep their
        socket. Reloads take their turns.

        :return: fires with the new configuration; fails with :class:`~edgenode.model.errors.ConfigurationError` if it
            cannot be used here, such as for a port that cannot be had, and then nothing has changed.
        """
        return self.change(lambda _: configuration)

    def change(self, change: Callable[[Configuration], Configuration]) -> Deferred[Configuration]:
        """The same with what a function makes of the configuration at that time.

        :param change: is called in a thread, so it may take its time; returns its argument if nothing shall change.
        """
        return self._reloading.run(lambda: Deferred.fromCoroutine(self._change(change)))

    async def _change(self, change: Callable[[Configuration], Configuration]) -> Configuration:
        before = self._assembly

        def make(configuration: Configuration) -> Assembly:
            configuration = keeping(configuration, before.configuration)
            return Assembly.of(configuration, self._reactor, self._deadlines, before, self._stages)

        assembly = await before.successor(self._reactor, change, make)
        if not self.running:
            raise ConfigurationError([Problem("", "", "the node is not running")])
        if assembly is not before:
            self._succeed(before, assembly)
        return self.configuration

    def _succeed(self, before: Assembly, assembly: Assembly) -> None:
        """One configuration takes over from another, or nothing has changed."""
        configuration = assembly.configuration
        kept = {port.listener.endpoint.place(name): port for name, port in self.ports.items()}
        opened: dict[str, Port] = {}
        problems: list[Problem] = []
        for name, listener in configuration.listeners.items():
            if listener.endpoint.place(name) not in kept:
                port = self._port(name, listener, assembly)
                try:
                    port.bind()
                    opened[name] = port
                except CannotListenError as error:
                    problems.append(Problem(f"listener {name}", "endpoint", sentence(error)))
        if configuration.admin != before.configuration.admin:
            problems += self._admin.prepare(configuration.admin)
        try:
            # A refresh of credentials leaves it alone: it shall not fail for what it has nothing to do with.
            if self._logs is not None and not problems and configuration.edge is not before.configuration.edge:
                self._logs.renew(configuration.edge)
        except ConfigurationError as error:
            problems += error.problems
        if problems:
            for port in opened.values():
                port.stopListening()
            self._admin.discard()
            raise ConfigurationError(problems)
        # From here on nothing can fail.
        self._assembly = assembly
        if configuration.edge is not before.configuration.edge:
            self.about.loaded = time.time()
        self._extensions.renew(configuration)
        self._observation.renew(configuration)
        self._admin.renew(configuration.admin)
        self._state.start(configuration)
        ports = {}
        for name, listener in configuration.listeners.items():
            if name in opened:
                ports[name] = opened[name]
                ports[name].startListening()
            else:
                ports[name] = kept.pop(listener.endpoint.place(name))
                ports[name].renew(listener, self._context(name, assembly))
        self.ports = ports
        self._leave(kept.values())
        for name, pool in before.pools.items():
            successor = assembly.pools.get(name)
            if successor is not pool:
                if successor is not None:
                    successor.balancer.inherit(pool.balancer)
                pool.close()
                self._retired.add(pool)
        self._feeds.renew()
        if configuration.rules is not before.configuration.rules:
            self._replaced += before.configuration.rules.pieces
            if self._freeing is None:
                self._let_go()

    def _let_go(self) -> None:
        """Free what was replaced, a little in each turn of the reactor: many filters at once take too long for one."""
        del self._replaced[-_AT_ONCE:]
        self._freeing = self._reactor.callLater(0, self._let_go) if self._replaced else None

    def _leave(self, ports: Collection[Port]) -> None:
        """Listeners that are no more."""
        gone = set(ports)
        if gone:
            self._leaving |= gone
            self._drain(gone)
