"""A configuration as what serves it: TLS contexts, pools, pipelines, routers, and what the exchanges of each listener
share; with nothing opened yet. The service, the endpoint and the simulator have it from here.

Law: it is made beside the one that serves and touches nothing of it. What is the same in both is the same object: then
connections to origins stay warm, sessions can be resumed, and clients are not verified again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import evolve, field, frozen
from twisted.internet.threads import deferToThreadPool

from edgenode.config.checks.sections import security_policies
from edgenode.config.load import Configuration
from edgenode.config.sticky_keys import secrets_of
from edgenode.model.errors import ConfigurationError
from edgenode.model.interfaces import IEventSink, Stage
from edgenode.model.timers import Later, call_later
from edgenode.net.deadlines import Deadlines
from edgenode.node import identities
from edgenode.observe.masked_records import MaskingSink
from edgenode.policy.inspection import Inspection
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.responses import Responses
from edgenode.policy.stages import Placed
from edgenode.proxy.certificate_headers import uris_of
from edgenode.proxy.header_names import NOT_TO_CLIENTS
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.maintenance import Maintenance
from edgenode.proxy.mirroring import Mirror
from edgenode.proxy.origin.opening import TLSOpening
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.sticky import StickyCookie
from edgenode.proxy.origin.stream import StreamOpening
from edgenode.proxy.routing import NEVER, PathMap, Router, ServedGroup, ServedPathMap
from edgenode.proxy.stream.settings import StreamLimits
from edgenode.proxy.trusted_proxies import TrustedProxies
from edgenode.proxy.websocket.settings import Settings
from edgenode.rules.section_formulas import formula_of
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.policies import PLAIN, TLSPolicy, server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore

T = TypeVar("T")


@frozen
class _Identity:
    """All that a pool or a TLS context is made of; equal ones make equal ones."""

    name: str
    section: Origin | ServerGroup
    certificates: tuple[LoadedCertificate | None, ...]
    trust_stores: tuple[LoadedTrustStore | None, ...]
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether nothing else counts: the system's authorities may have changed without a change here."""
        section = self.section
        return not (isinstance(section, Origin) and _tls(section) and section.verify and section.trust_store is None)


@frozen(eq=False)
class Assembly:
    """What serves a configuration.

    :ivar configuration: the configuration.
    :ivar pools: the connections to each origin, by its name.
    :ivar routers: the server groups of each listener, by the listener's name.
    """

    configuration: Configuration
    pools: Mapping[str, OriginPool]
    routers: Mapping[str, Router]
    _made: Mapping[_Identity, Any]
    _trusts: Mapping[TLSPolicy, Trust]
    _protocols: tuple[bytes, ...] | None = None

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        reactor: Any,
        deadlines: Deadlines,
        before: Assembly | None = None,
        stages: Sequence[Stage | Placed] = (),
    ) -> Assembly:
        """Make it, for HTTP; this takes a while, and may be done in a thread.

        :param before: the one that it shall succeed.
        :param stages: stages of one's own: see :meth:`edgenode.config.load.Configuration.pipeline`.
        :raises ConfigurationError: if they do not fit the configuration, or if that was not read for requests, and has
            not what they need.
        """
        problems = [*security_policies(configuration)]
        if problems:
            raise ConfigurationError(problems)
        builder = _Builder(configuration, before, stages, call_later=reactor.callLater)
        for name in configuration.origins:
            builder.add_pool(name, reactor, deadlines)
        return builder.assembly(configuration.listeners, builder.path_maps)

    @classmethod
    def for_protocol(
        cls,
        configuration: Configuration,
        listener: str,
        protocols: Sequence[bytes],
        before: Assembly | None = None,
    ) -> Assembly:
        """Make it for a protocol that has no requests: without path maps and pools.

        :param listener: the listener that it comes in by; no other is served.
        :param protocols: the protocol's names for ALPN, the preferred first.
        :param before: the one that it shall succeed.
        """
        return _Builder(configuration, before).assembly((listener,), lambda group: (), tuple(protocols))

    @classmethod
    def for_origins(
        cls,
        configuration: Configuration,
        origins: Iterable[str],
        reactor: Any,
        deadlines: Deadlines,
        before: Assembly | None = None,
    ) -> Assembly:
        """Make it for some origins alone: without listeners.

        :param origins: their names.
        :param before: the one that it shall succeed.
        """
        builder = _Builder(configuration, before)
        for name in origins:
            builder.add_pool(name, reactor, deadlines)
        return builder.assembly((), lambda group: ())

    async def successor(
        self,
        reactor: Any,
        change: Callable[[Configuration], Configuration],
        make: Callable[[Configuration], Assembly],
    ) -> Assembly:
        """What is made of another configuration, in a thread of a reactor; itself if nothing shall change.

        :param change: makes a configuration of this one, or returns it.
        :param make: makes an assembly of the other.
        """

        def assemble() -> Assembly:
            configuration = change(self.configuration)
            return self if configuration is self.configuration else make(configuration)

        return await deferToThreadPool(reactor, reactor.getThreadPool(), assemble)

    def context(self, listener: str, events: IEventSink) -> ListenerContext:
        """What all exchanges of a listener share.

        :param listener: its name.
        :param events: takes the events.
        """
        edge = self.configuration.edge
        return ListenerContext(
            listener,
            self.routers[listener],
            edge.name.encode("ascii"),
            TrustedProxies(edge.trusted_proxies, edge.client_address),
            MaskingSink.of(events, {name: self.configuration.masks(name) for name in self.configuration.path_maps}),
            edge.told_headers,
            self.configuration.listeners[listener].alpn if self._protocols is None else self._protocols,
            edge.drain_timeout,
            self.configuration.traces.tracing,
        )


@frozen(eq=False)
class _Builder:
    """Makes what is new, and takes over what is not; an origin has one pool, whoever names it."""

    configuration: Configuration
    before: Assembly | None
    stages: Sequence[Stage | Placed] = ()
    call_later: Later = call_later
    pools: dict[str, OriginPool] = field(factory=dict)
    made: dict[_Identity, Any] = field(factory=dict)
    trusts: dict[TLSPolicy, Trust] = field(factory=dict)
    responses: dict[tuple[str, ...], Responses | None] = field(factory=dict)

    def assembly(
        self,
        listeners: Iterable[str],
        path_maps: Callable[[str], tuple[ServedPathMap, ...]],
        protocols: tuple[bytes, ...] | None = None,
    ) -> Assembly:
        """The assembly for some listeners.

        :param path_maps: makes those of a server group.
        :param protocols: the ALPN protocols that are spoken there, if they are not HTTP.
        """
        configuration, groups, routers = self.configuration, dict[str, ServedGroup](), dict[str, Router]()
        for name in listeners:
            listener = configuration.listeners[name]
            for each in listener.server_groups:
                if each not in groups:
                    groups[each] = self._group(each, path_maps(each))
            served = {each: groups[each] for each in listener.server_groups}
            if listener.tls != "yes":
                served = {each: evolve(group, policy=PLAIN, context=None) for each, group in served.items()}
            default = None if listener.default_server_group is None else served[listener.default_server_group]
            if listener.only_group is not None:
                default = served[listener.only_group]
            routers[name] = Router(served.values(), default)
        return Assembly(configuration, self.pools, routers, self.made, self.trusts, protocols)

    def _same(self, identity: _Identity, make: Callable[[], T]) -> T:
        """What is there already, or else is made."""
        if self.before is not None and identity in self.before._made and identity.complete:
            self.made[identity] = self.before._made[identity]
        else:
            self.made[identity] = make()
        made: T = self.made[identity]
        return made

    def add_pool(self, name: str, reactor: Any, deadlines: Deadlines) -> None:
        """Make the pool of an origin; the certificate that its servers know stays until they accept another."""
        origin = self.configuration.origins[name]
        known = None if self.before is None else self.before.pools.get(name)
        certificate, trust_store = identities.of_origin(self.configuration, name)
        if known is not None and identities.stays(known, origin, certificate):
            certificate = known.certificate
        secrets = secrets_of(name, origin)

        def make() -> OriginPool:
            context = identities.context_of(origin, certificate, trust_store) if _tls(origin) else None
            verify = verify_origin if origin.verify else None
            opening = StreamOpening if origin.stream else TLSOpening
            sticky = StickyCookie(name, origin, secrets) if secrets else None
            return OriginPool(name, origin, context, verify, reactor, deadlines, opening, sticky, certificate)

        section = evolve(origin, certificate=None, health_check=None)
        identity = _Identity(name, section, (None,), (trust_store,), secrets)
        if known is None or not identities.same(known.certificate, certificate):
            self.pools[name] = self.made[identity] = make()
        else:
            self.pools[name] = self._same(identity, make)

    def _group(self, name: str, path_maps: tuple[ServedPathMap, ...]) -> ServedGroup:
        """A server group; it is always a new object, for that is how a reload is noticed."""
        group, credentials = self.configuration.server_groups[name], self.configuration.credentials
        certificates = tuple(credentials.certificates[each] for each in group.certificate)
        stores = tuple(credentials.trust_stores[each] for each in group.trust_store)
        policy = TLSPolicy.of(group, stores)
        if policy not in self.trusts:
            known = None if self.before is None else self.before._trusts.get(policy)
            self.trusts[policy] = known or Trust.of(group, stores)
        identity = _Identity(name, group, certificates, stores)
        return ServedGroup(
            name,
            group,
            policy,
            self._same(identity, lambda: server_context(group, certificates, stores)) if certificates else None,
            self.trusts[policy],
            group.security_policy,
            path_maps,
            uris_of(certificates),
            min((each.not_after for each in certificates), default=NEVER),
            self._responses(group.response_rules),
        )

    def path_maps(self, group: str) -> tuple[ServedPathMap, ...]:
        """The path maps of a server group, each with the pool of its origin."""
        return tuple(self._path_map(each, group) for each in self.configuration.path_maps_of(group))

    def _path_map(self, name: str, group: str) -> ServedPathMap:
        section = self.configuration.path_maps[name]
        formula = formula_of(section, self.configuration.rules.definitions, f"path-map {name}")
        pipeline = self.configuration.pipeline(name, group, self.stages, call_later=self.call_later)
        methods = frozenset(method.encode("ascii") for method in section.methods) or None
        websocket = _websocket(section, pipeline)
        pool = self.pools[section.origin]
        responses = self._responses((*self.configuration.server_groups[group].response_rules, *section.response_rules))
        functions = (self.configuration.edge_functions[each] for each in section.edge_functions)
        pools = {origin: self.pools[origin] for each in functions for origin in each.origins}
        stream = StreamLimits(section.idle_timeout, section.lifetime or math.inf)
        mirror = None
        if section.mirror is not None:
            mirror = Mirror(self.pools[section.mirror], section.mirror_share.share, section.mirror_max_body)
        return ServedPathMap(
            name, formula, pipeline, pool, section.max_body_size, methods, websocket, responses, pools, stream,
            maintenance=Maintenance.of(section.maintenance, section.maintenance_retry), mirror=mirror,
        )  # fmt: skip

    def _responses(self, names: Iterable[str]) -> Responses | None:
        """What is done to answers, of which the later rules win."""
        last = (*reversed(dict.fromkeys(reversed([*names]))),)
        if last not in self.responses:
            rules, pages = self.configuration.response_rules, self.configuration.credentials.pages
            found = [(rules[name], pages[name].pages) for name in last]
            self.responses[last] = Responses.of(found, NOT_TO_CLIENTS)
        return self.responses[last]


def _websocket(section: PathMap, pipeline: Pipeline) -> Settings:
    """What holds for the WebSockets of a path map. Of a message rules see no more than of another body, so where they
    can refuse, none is longer."""
    refusing = pipeline.mode == "block" and any(
        isinstance(stage, Inspection) and "body:truncated" in stage.of_messages for stage in pipeline.stages
    )
    most, inspects = section.max_message_size, section.inspect_messages
    return Settings(
        section.websocket,
        frozenset(section.websocket_origins),
        min(most, section.inspect_body_size) if refusing and inspects != "no" else most,
        section.idle_timeout,
        section.ping,
        inspects,
        unseen=refusing and inspects == "no",
    )


def _tls(origin: Origin) -> bool:
    return any(server.tls for server in origin.servers)
