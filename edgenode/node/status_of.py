"""What a running node is, gathered: nothing is counted for this on the way of a request.

Law: it is had within :data:`PATIENCE` and does not fail. What lies on a disk is read in a thread, by one look at a
time; if that takes longer, what the last one has found is told.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.config.load import Configuration
from edgenode.model.version import version
from edgenode.node.inventory import Looked, look
from edgenode.node.observation import Observation, Running
from edgenode.node.watch import Watch
from edgenode.observe.metrics.rates import LastMinute
from edgenode.observe.status import (
    CountersStatus,
    ListenerStatus,
    OriginStatus,
    Reload,
    ServerStatus,
    StateServerStatus,
    Status,
)
from edgenode.policy.actions import Monitor, Skip
from edgenode.proxy.listener.port import Port
from edgenode.proxy.origin.pool import OriginPool
from edgenode.state.node_state import NodeState
from edgenode.tls.names import distinguished_name

PATIENCE = 1.0
"""Seconds that are waited for a disk."""

_PAGE = resource.getpagesize()

_MOST_KEYS = 100
"""Keys of the quarantine that are told apart."""

_log = Logger()


@define
class About:
    """What is known of a node's life.

    :ivar path: its configuration file; empty if there is none.
    :ivar started: since when it serves, seconds since 1970; 0 before.
    :ivar loaded: since when it does what its file says, likewise.
    :ivar reload: what came of the last reload, if there was one.
    """

    path: str = ""
    started: float = 0.0
    loaded: float = field(factory=time.time)
    reload: Reload | None = None


class _Losing(Protocol):
    """Who writes events.

    :ivar lost: how many could not be written.
    """

    @property
    def lost(self) -> int:
        """See above."""
        ...


class StatusOf:
    """Says what a node is.

    :param node: the node.
    :param about: what is known of its life.
    :param log: who writes its events.
    :param observation: its parts.
    :param watch: who looks at its files.
    :param reactor: its timers and threads.
    """

    def __init__(
        self, node: Running, about: About, log: _Losing | None, observation: Observation, watch: Watch, reactor: Any
    ) -> None:
        self._node, self._about, self._log = node, about, log
        self._observation, self._watch, self._reactor = observation, watch, reactor
        self._looked = Looked()
        self._looking = False
        self._waiting: list[Deferred[Status]] = []
        self._timer: Any = None
        self._last_minute = LastMinute(node.meter, reactor)

    def start(self) -> None:
        """The node serves: see from now on what it counts."""
        self._last_minute.start()

    def stop(self) -> None:
        """It does not any more; who has asked is answered."""
        self._last_minute.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._late()

    def get(self) -> Deferred[Status]:
        """What it is now."""
        asked: Deferred[Status] = Deferred()
        self._waiting.append(asked)
        if not self._looking:
            self._looking = True
            pool = self._reactor.getThreadPool()
            looked = deferToThreadPool(self._reactor, pool, look, self._node.configuration, self._looked)
            looked.addCallbacks(self._found, self._failed).addCallback(self._over)
        if self._waiting and self._timer is None:
            self._timer = self._reactor.callLater(PATIENCE, self._late)
        return asked

    def _found(self, looked: Looked) -> None:
        self._looked = looked

    def _failed(self, failure: Failure) -> None:
        _log.failure("what the node's files are could not be looked at", failure)

    def _over(self, _: object) -> None:
        self._looking = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._answer()

    def _late(self) -> None:
        self._timer = None
        self._answer()

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            status = self._now()
            for each in waiting:
                each.callback(status)

    def _now(self) -> Status:
        node, about, found = self._node, self._about, self._looked
        configuration, state = node.configuration, node.configuration.state
        counts = _largest(state.quarantine.counts()) if isinstance(state, NodeState) else {}
        return Status(
            at=time.time(),
            version=version(),
            pid=os.getpid(),
            name=configuration.edge.name,
            path=about.path,
            started=about.started,
            loaded=about.loaded,
            reload=about.reload,
            unused=tuple(dict.fromkeys((*configuration.kept, *sorted(self._watch.unused)))),
            memory=_memory(),
            listeners=tuple(_listener(name, port) for name, port in node.ports.items()),
            certificates=found.inventory.certificates,
            trust_stores=found.inventory.trust_stores,
            feeds=found.feeds,
            origins=tuple(_origin(pool, found) for pool in node.pools.values()),
            counters=_counters(state),
            state_server=_state_server(state),
            quarantined=counts,
            events_lost=0 if self._log is None else self._log.lost,
            rates=self._last_minute.rates(_passing(configuration)),
            observer=self._observation.standing,
        )


# -- from memory -------------------------------------------------------------------------------------------------------


def _listener(name: str, port: Port) -> ListenerStatus:
    protocols, streams = Counter[str](), 0
    for each in port.connections:
        protocol = each.protocol
        protocols[protocol or "handshake"] += 1
        if protocol == "h2":
            streams += each.streams
    return ListenerStatus(
        name,
        port.address,
        port.listener.server_groups,
        len(port.connections),
        port.listener.max_connections,
        protocols,
        streams,
        len(port.load.relays),
        len(port.load.streams),
    )


def _origin(pool: OriginPool, found: Looked) -> OriginStatus:
    servers = pool.balancer.servers
    protocols: dict[object, Counter[str]] = {each: Counter() for each in servers}
    streams = dict.fromkeys(servers, 0)
    for connection in pool.connections:
        protocols[connection.server]["h2" if connection.shares else "http/1.1"] += 1
        if connection.shares:
            streams[connection.server] += getattr(connection, "active", 0)
    origin = pool.origin
    tls = any(each.server.tls for each in servers)
    return OriginStatus(
        pool.name,
        tuple(
            ServerStatus(
                each.text,
                each.up,
                protocols[each].total(),
                pool.idle(each),
                protocols[each],
                streams[each],
                pool.standing.checks.get(each.text),
                pool.standing.handshakes.get(each.text),
            )
            for each in servers
        ),
        pool.queued,
        pool.opening,
        origin.protocol,
        tls,
        "" if pool.certificate is None else distinguished_name(pool.certificate.leaf.subject),
        (origin.server_name or "") if tls and origin.verify else None,
        found.path_maps.get(pool.name, ()),
        pool.standing.trial,
    )


def _counters(state: object) -> CountersStatus | None:
    if not isinstance(state, NodeState):
        return None
    local = state.local
    keys, (most, most_size) = local.keys(), local.most
    return CountersStatus(keys, sum(keys.values()), most, local.size, most_size, local.forgotten)


def _state_server(state: object) -> StateServerStatus | None:
    remote = state.remote if isinstance(state, NodeState) else None
    if remote is None:
        return None
    return StateServerStatus(str(remote.server.url), remote.away, remote.since, remote.reason)


def _passing(configuration: Configuration) -> frozenset[str]:
    """The names of the actions that keep nobody from anything."""
    actions = configuration.rules.actions.items()
    return frozenset(name for name, action in actions if isinstance(action, Skip | Monitor))


def _largest(counts: Mapping[str, int]) -> dict[str, int]:
    """The largest counts, and all others together: other nodes may share any number of keys."""
    largest = Counter(counts).most_common(_MOST_KEYS)
    others = sum(counts.values()) - sum(count for _, count in largest)
    return {**dict(largest), **({"other": others} if others else {})}


def _memory() -> int:
    """Bytes of the machine's memory that the process takes (proc(5), ``statm``); 0 if that cannot be known."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
