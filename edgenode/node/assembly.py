"""A configuration as what serves it: contexts, pools, pipelines and routers, with nothing opened yet.

Law: it is made beside the one that serves and touches nothing of it. What is the same in both is the same object: then
connections to origins stay warm, sessions can be resumed, and clients are not verified again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from edgenode.config.load import Configuration
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.certificate_headers import uris_of
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.routing import Router, ServedGroup, ServedPathMap
from edgenode.rules.formulas import ALWAYS, needs_of
from edgenode.rules.lowering import formula_of
from edgenode.rules.matching.compiling import compile_formula
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.policies import TLSPolicy, client_context, server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore

T = TypeVar("T")


@frozen
class _Identity:
    """All that a pool or a context is made of; equal ones make equal ones."""

    name: str
    section: Origin | ServerGroup
    certificates: tuple[LoadedCertificate | None, ...]
    trust_stores: tuple[LoadedTrustStore | None, ...]

    @property
    def known(self) -> bool:
        """Whether it is the whole truth: the system's authorities may have changed without a word here."""
        section = self.section
        return not (isinstance(section, Origin) and _tls(section) and section.verify and section.trust_store is None)


@frozen(eq=False)
class Assembly:
    """What serves a configuration.

    :ivar configuration: the configuration.
    :ivar pools: the connections to each origin, by name.
    :ivar routers: the server groups of each listener, by name.
    """

    configuration: Configuration
    pools: Mapping[str, OriginPool]
    routers: Mapping[str, Router]
    _made: Mapping[_Identity, Any]
    _trusts: Mapping[TLSPolicy, Trust]

    @classmethod
    def of(
        cls, configuration: Configuration, reactor: Any, deadlines: Deadlines, before: Assembly | None = None
    ) -> Assembly:
        """Make it; this takes a while, and may be done in a thread.

        :param before: the one that it shall succeed.
        """
        builder = _Builder(configuration, reactor, deadlines, before)
        pools = {name: builder.pool(name) for name in configuration.origins}
        served = dict.fromkeys(name for listener in configuration.listeners.values() for name in listener.server_groups)
        groups = {name: builder.group(name, pools) for name in served}
        routers = {}
        for name, listener in configuration.listeners.items():
            default = None if listener.default_server_group is None else groups[listener.default_server_group]
            served_here = [groups[each] for each in listener.server_groups]
            routers[name] = Router(served_here, default, configuration.credentials.locate)
        return cls(configuration, pools, routers, builder.made, builder.trusts)


@frozen(eq=False)
class _Builder:
    """Makes what is new, and takes over what is not; an origin has one pool, whoever names it."""

    configuration: Configuration
    reactor: Any
    deadlines: Deadlines
    before: Assembly | None
    made: dict[_Identity, Any] = field(factory=dict)
    trusts: dict[TLSPolicy, Trust] = field(factory=dict)

    def _same(self, identity: _Identity, make: Callable[[], T]) -> T:
        """What is there already, or else is made."""
        if self.before is not None and identity in self.before._made and identity.known:
            self.made[identity] = self.before._made[identity]
        else:
            self.made[identity] = make()
        made: T = self.made[identity]
        return made

    def pool(self, name: str) -> OriginPool:
        """The pool of an origin."""
        origin, credentials = self.configuration.origins[name], self.configuration.credentials
        certificate = None if origin.certificate is None else credentials.certificates[origin.certificate]
        trust_store = None if origin.trust_store is None else credentials.trust_stores[origin.trust_store]

        def make() -> OriginPool:
            context = None
            if _tls(origin):
                context = client_context(
                    minimum_version=origin.minimum_version,
                    certificate=certificate,
                    trust_store=trust_store,
                    verify=origin.verify,
                )
            verify = verify_origin if origin.verify else None
            return OriginPool(name, origin, context, verify, self.reactor, self.deadlines)

        return self._same(_Identity(name, origin, (certificate,), (trust_store,)), make)

    def group(self, name: str, pools: Mapping[str, OriginPool]) -> ServedGroup:
        """A server group; it is always a new object, for that is how a reload is noticed."""
        group, credentials = self.configuration.server_groups[name], self.configuration.credentials
        certificates = tuple(credentials.certificates[each] for each in group.certificate)
        stores = tuple(credentials.trust_stores[each] for each in group.trust_store)
        security_policy = self.configuration.security_policies[group.security_policy]
        policy = TLSPolicy.of(group, stores)
        identity = _Identity(name, group, certificates, stores)
        return ServedGroup(
            name,
            group,
            policy,
            self._same(identity, lambda: server_context(group, certificates, stores)),
            self._trust(policy, group, stores),
            group.security_policy,
            tuple(self._path_map(each, name, pools) for each in security_policy.path_maps),
            uris_of(certificates),
        )

    def _trust(self, policy: TLSPolicy, group: ServerGroup, stores: Sequence[LoadedTrustStore]) -> Trust:
        if policy not in self.trusts:
            known = None if self.before is None else self.before._trusts.get(policy)
            self.trusts[policy] = known or Trust.of(group, stores)
        return self.trusts[policy]

    def _path_map(self, name: str, group: str, pools: Mapping[str, OriginPool]) -> ServedPathMap:
        section = self.configuration.path_maps[name]
        formula = formula_of(section, self.configuration.rules.definitions, f"path-map {name}")
        matches = None if formula == ALWAYS else compile_formula(formula)
        pipeline = self.configuration.pipeline(name, group)
        timed = "clock" in needs_of(formula)
        return ServedPathMap(name, matches, pipeline, pools[section.origin], section.max_body_size, timed)


def _tls(origin: Origin) -> bool:
    return any(server.tls for server in origin.servers)
