"""What a configuration says, as data: every section of a file as its frozen class, by kind and name.

The module owns the list of section kinds. Its law: what loads, checks or compiles a configuration imports this module,
and is never imported by it.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from edgenode.config.edge import Edge
from edgenode.config.extensions import SinkSection, StageSection
from edgenode.feeds.geo import Geo
from edgenode.observe.admin import Admin
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.exporters.exporter import Exporter
from edgenode.observe.journal.journal import Journal
from edgenode.observe.traces.traces import Traces
from edgenode.policy.acl import ACLProfile
from edgenode.policy.actions import ActionSection
from edgenode.policy.challenge import ChallengeSection
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.policy.contentfilter.masked import Masking
from edgenode.policy.dynamicrules import DynamicRule
from edgenode.policy.edgefunctions import EdgeFunctionSection
from edgenode.policy.flows import Flow
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.jwt.section import JWT
from edgenode.policy.modes import Level, settle
from edgenode.policy.ratelimits import RateLimit
from edgenode.policy.responses import ResponseRules
from edgenode.proxy.listener.listener import Listener
from edgenode.proxy.origin.health_check import HealthCheck
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.routing import PathMap, SecurityPolicy
from edgenode.rules.lists import List
from edgenode.rules.sections import Section
from edgenode.state.settings import StateSection
from edgenode.tls.certificates import Certificate
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.truststores import TrustStore


@frozen
class Sections:
    """The sections of a configuration; those with a name are mapped by it, in the order of the file.

    :ivar edge: what holds for the whole node.
    :ivar geo: the databases of addresses.
    :ivar challenge: what is asked of clients that meet a challenge.
    :ivar masking: what is never told in clear.
    :ivar state_settings: where what is remembered between requests is kept.
    :ivar admin: where the node tells of itself.
    :ivar journal: where events are kept.
    :ivar traces: which requests are traced.
    :ivar global_filters: those of the file, then the system-managed ones.
    :ivar actions: those of the file, without the predefined ones.
    """

    edge: Edge = field(factory=Edge)
    geo: Geo = field(factory=Geo)
    challenge: ChallengeSection = field(factory=ChallengeSection)
    masking: Masking = field(factory=Masking)
    state_settings: StateSection = field(factory=StateSection)
    admin: Admin = field(factory=Admin)
    journal: Journal = field(factory=Journal)
    traces: Traces = field(factory=Traces)
    listeners: Mapping[str, Listener] = field(factory=dict)
    server_groups: Mapping[str, ServerGroup] = field(factory=dict)
    certificates: Mapping[str, Certificate] = field(factory=dict)
    trust_stores: Mapping[str, TrustStore] = field(factory=dict)
    security_policies: Mapping[str, SecurityPolicy] = field(factory=dict)
    path_maps: Mapping[str, PathMap] = field(factory=dict)
    origins: Mapping[str, Origin] = field(factory=dict)
    health_checks: Mapping[str, HealthCheck] = field(factory=dict)
    response_rules: Mapping[str, ResponseRules] = field(factory=dict)
    global_filters: Mapping[str, GlobalFilter] = field(factory=dict)
    sections: Mapping[str, Section] = field(factory=dict)
    lists: Mapping[str, List] = field(factory=dict)
    jwts: Mapping[str, JWT] = field(factory=dict)
    actions: Mapping[str, ActionSection] = field(factory=dict)
    flows: Mapping[str, Flow] = field(factory=dict)
    acl_profiles: Mapping[str, ACLProfile] = field(factory=dict)
    content_filters: Mapping[str, ContentFilter] = field(factory=dict)
    dynamic_rules: Mapping[str, DynamicRule] = field(factory=dict)
    rate_limits: Mapping[str, RateLimit] = field(factory=dict)
    stages: Mapping[str, StageSection] = field(factory=dict)
    edge_functions: Mapping[str, EdgeFunctionSection] = field(factory=dict)
    sinks: Mapping[str, SinkSection] = field(factory=dict)
    exporters: Mapping[str, Exporter] = field(factory=dict)
    alerts: Mapping[str, Alert] = field(factory=dict)

    def written(self) -> Iterator[tuple[str, Any]]:
        """Every section with its header without brackets, those without a name first."""
        for attribute, cls in UNNAMED.items():
            yield cls.kind, getattr(self, attribute)
        for attribute, cls in NAMED.items():
            for name, section in getattr(self, attribute).items():
                yield f"{cls.kind} {name}", section

    def with_rules(self) -> Iterator[tuple[str, Section]]:
        """Every section that is a rule list: path maps, global filters and ``[section]``, by its header."""
        for header, section in self.written():
            if isinstance(section, Section):
                yield header, section

    def fed(self) -> Iterator[tuple[str, List | GlobalFilter | JWT]]:
        """Every section that has a content: lists, and global filters and token configurations with a source, by its
        header.

        Those that are switched off have none without a place to keep what is fetched for them.
        """
        for name, each in self.lists.items():
            yield f"{each.kind} {name}", each
        for name, filter in self.global_filters.items():
            if filter.sources and (filter.active or not filter.remote or self.edge.state is not None):
                yield f"{filter.kind} {name}", filter
        for name, jwt in self.jwts.items():
            if jwt.sources:
                yield f"{jwt.kind} {name}", jwt

    def path_maps_of(self, server_group: str) -> tuple[str, ...]:
        """The names of the path maps of a server group; none if it has no security policy."""
        policy = self.security_policies.get(self.server_groups[server_group].security_policy)
        return () if policy is None else policy.path_maps

    def mode(self, path_map: str, server_group: str | None = None) -> str:
        """The mode of filtration of a path map.

        :param server_group: for which server group; ``None`` for none.
        :returns: one of :data:`edgenode.model.decision.MODES`.
        """
        levels = [Level(self.edge.mode, self.edge.strict)]
        if server_group is not None:
            group = self.server_groups[server_group]
            levels.append(Level(group.mode, group.strict))
        return settle([*levels, Level(self.path_maps[path_map].mode)])[-1].mode


_ATTRIBUTES = typing.get_type_hints(Sections)

UNNAMED: Mapping[str, type[Any]] = {name: hint for name, hint in _ATTRIBUTES.items() if isinstance(hint, type)}
"""The kinds of section of which there is at most one, by the attribute of :class:`Sections` that holds it."""

NAMED: Mapping[str, type[Any]] = {
    name: typing.get_args(hint)[1] for name, hint in _ATTRIBUTES.items() if name not in UNNAMED
}
"""The kinds of section that have a name, likewise."""

SECTIONS: tuple[type[Any], ...] = (*UNNAMED.values(), *NAMED.values())
"""Every kind of section there is."""

KINDS: tuple[str, ...] = tuple(cls.kind for cls in SECTIONS)
"""The first words of their headers."""
