"""Every check of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgenode.config.checks import (
    acl,
    actions,
    admin,
    alerts,
    balancing,
    content_filter,
    dynamic_rules,
    feeds,
    flows,
    journal,
    limits,
    masks,
    observing,
    path_maps,
    responses,
    rule_warnings,
    rules,
    sections,
    state,
    streams,
    tokens,
    traces,
)
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.model.errors import Problem

OF_SECTIONS: tuple[Callable[[Sections], Iterator[Problem]], ...] = (
    sections.names,
    sections.timeouts,
    sections.endpoints,
    sections.hosts,
    sections.without_tls,
    sections.without_mtls,
    sections.keys_without_effect,
    path_maps.unreachable,
    sections.origins,
    sections.without_http,
    balancing.balancing,
    streams.streams,
    streams.shared,
    state.state,
    tokens.token_configurations,
    journal.journal,
    observing.exporters,
    traces.traces,
    admin.admin,
    alerts.alerts,
    rules.without_effect,
    actions.actions,
    actions.clamped_modes,
    responses.response_rules,
    limits.rate_limits,
    dynamic_rules.dynamic_rules,
    path_maps.looks_too_early,
)
"""The checks between sections; each leaves out what could not be read, which has been reported."""

OF_RULES: tuple[Callable[[Formulas], Iterator[Problem]], ...] = (feeds.lists_of_other_values,)
"""Likewise those that need what lists hold."""

OF_THE_WHOLE: tuple[Callable[[Formulas], Iterator[Problem]], ...] = (
    rules.unknown_names,
    tokens.unknown_token_configurations,
    rule_warnings.warnings,
    rules.geography_without_database,
    rules.uninspected,
    acl.acl_profiles,
    content_filter.content_filters,
    flows.flows,
    limits.doubtful,
    dynamic_rules.doubtful,
    masks.masks,
    sections.unused,
)
"""What can be told only once every section could be read."""
