"""The node as one Twisted service: a configuration becomes contexts, pools, pipelines and ports.

Law: everything that can fail for the configuration's sake has failed before the first port is opened.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from edgenode.config.configuration import Configuration
from edgenode.events import EventLog, NoEvents
from edgenode.interfaces import IEventSink
from edgenode.proxy.deadlines import Deadlines
from edgenode.proxy.forwarding import Surroundings
from edgenode.proxy.pool import OriginPool
from edgenode.proxy.port import Port
from edgenode.proxy.routing import Router, ServedGroup, ServedPathMap
from edgenode.proxy.trustedproxies import TrustedProxies
from edgenode.rules.compiling import compile_section
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.policies import TLSPolicy, client_context, server_context
from edgenode.tls.poller import Poller
from edgenode.tls.trust import Trust

_log = Logger()


@frozen
class _Builder:
    """Makes what serves out of what is configured; an origin has one pool, whoever names it."""

    configuration: Configuration
    reactor: Any
    deadlines: Deadlines
    trusts: dict[TLSPolicy, Trust] = field(factory=dict)

    def pools(self) -> dict[str, OriginPool]:
        """The pool of every origin."""
        return {name: self._pool(name) for name in self.configuration.origins}

    def _pool(self, name: str) -> OriginPool:
        origin, credentials = self.configuration.origins[name], self.configuration.credentials
        context = None
        if any(server.tls for server in origin.servers):
            context = client_context(
                minimum_version=origin.minimum_version,
                certificate=credentials.certificates[origin.certificate] if origin.certificate is not None else None,
                trust_store=credentials.trust_stores[origin.trust_store] if origin.trust_store is not None else None,
                verify=origin.verify,
            )
        return OriginPool(name, origin, context, verify_origin if origin.verify else None, self.reactor, self.deadlines)

    def router(self, listener: str, pools: dict[str, OriginPool]) -> Router:
        """The server groups of a listener."""
        section = self.configuration.listeners[listener]
        groups = {name: self._group(name, pools) for name in section.server_groups}
        default = groups[section.default_server_group] if section.default_server_group is not None else None
        return Router(groups.values(), default)

    def _group(self, name: str, pools: dict[str, OriginPool]) -> ServedGroup:
        configuration, group = self.configuration, self.configuration.server_groups[name]
        credentials = configuration.credentials
        stores = tuple(credentials.trust_stores[store] for store in group.trust_store)
        policy = configuration.security_policies[group.security_policy]
        tls_policy = TLSPolicy.of(group, stores)
        trust = Trust(stores if group.mtls != "off" else (), verify_depth=group.verify_depth)
        return ServedGroup(
            name,
            group,
            tls_policy,
            server_context(group, [credentials.certificates[each] for each in group.certificate], stores),
            self.trusts.setdefault(tls_policy, trust),
            group.security_policy,
            tuple(self._path_map(each, pools) for each in policy.path_maps),
        )

    def _path_map(self, name: str, pools: dict[str, OriginPool]) -> ServedPathMap:
        section = self.configuration.path_maps[name]
        matches = None
        if section.entries or section.sections or section.relation == "or":
            matches = compile_section(section, self.configuration.sections)
        return ServedPathMap(
            name, matches, self.configuration.pipeline(name), pools[section.origin], section.max_body_size
        )


class EdgeService(Service):
    """The whole node: ``EdgeService(configuration, reactor).setServiceParent(application)``.

    :param configuration: what it does.
    :param reactor: a reactor with descriptors, timers and a thread pool.
    :param events: who takes the events; the file that the configuration names if absent.
    :ivar ports: the port of each listener, by name.
    :ivar pools: the connections to each origin, by name.
    """

    name = "edgenode"

    def __init__(self, configuration: Configuration, reactor: Any, events: IEventSink | None = None) -> None:
        self._configuration = configuration
        self._reactor = reactor = Poller(reactor)
        self._deadlines = Deadlines(reactor)
        edge = configuration.edge
        self._log: EventLog | None = None
        if events is None:
            if edge.events is None:
                events = NoEvents()
            else:
                events = self._log = EventLog(edge.events, reactor)
        builder = _Builder(configuration, reactor, self._deadlines)
        self.pools = builder.pools()
        self.ports: dict[str, Port] = {}
        for name, listener in configuration.listeners.items():
            surroundings = Surroundings(
                name,
                builder.router(name, self.pools),
                edge.name.encode("ascii"),
                TrustedProxies(edge.trusted_proxies),
                events,
            )
            self.ports[name] = Port(listener, surroundings, reactor, self._deadlines)

    def privilegedStartService(self) -> None:
        """Bind every port, while the process may still be root.

        :raises CannotListenError: if one cannot be had.
        """
        super().privilegedStartService()
        for port in self.ports.values():
            port.bind()

    def startService(self) -> None:
        """Accept connections.

        :raises CannotListenError: if a port that was not bound yet cannot be had.
        """
        super().startService()
        for name, port in self.ports.items():
            port.startListening()
            _log.info("listener {name} on {address}", name=name, address=port.getHost())

    def stopService(self) -> Deferred[Any]:
        """Accept no more, let open requests finish within ``drain-timeout``, then end."""
        super().stopService()
        ports = tuple(self.ports.values())
        stopped = DeferredList([port.stopListening() for port in ports])
        for port in ports:
            port.drain()
        patience = self._reactor.callLater(self._configuration.edge.drain_timeout, self._cut, ports)

        def end(result: object) -> None:
            if patience.active():
                patience.cancel()
            for pool in self.pools.values():
                pool.abort()
            self._deadlines.stop()
            if self._log is not None:
                self._log.close()

        return stopped.addCallback(end)

    def _cut(self, ports: tuple[Port, ...]) -> None:
        _log.warn("requests still open at the end of drain-timeout are cut")
        for port in ports:
            port.abort()
