"""The meter of a node as a part of what observes it: it counts always, whether or not anybody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink
from edgenode.node.observation import Running
from edgenode.observe.metrics.meter import FilterKey
from edgenode.policy.dynamicrules import CompiledRule, DynamicRule
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.policy.ratelimits import CompiledLimit, RateLimit
from edgenode.state.interface import Happened


class MetricsUse:
    """Has the node's meter count every exchange."""

    def __init__(self, running: Running, reactor: Any) -> None:
        self._meter = running.meter
        self.sink: IEventSink | None = running.meter

    def renew(self, configuration: Configuration) -> None:
        """What is counted goes on across reloads; what a filter may do begins at 0, or the first time would be missed
        by whoever asks for an increase."""
        self._meter.settle()
        self._meter.expect(_filters(configuration))

    def tell(self, happened: Happened) -> None:
        """The state tells of itself when it is asked."""

    def start(self) -> None:
        """There is nothing to open."""

    def stop(self) -> None:
        """Nothing of the node's life is left to be counted."""
        self._meter.settle()


def _filters(configuration: Configuration) -> Iterator[FilterKey]:
    """Every action that a filter, a limit or a dynamic rule may have taken, in each mode that there is."""
    groups = configuration.server_groups
    modes = {configuration.mode(path, group) for group in groups for path in configuration.path_maps_of(group)}
    kinds: tuple[tuple[str, Mapping[str, GlobalFilter | RateLimit | DynamicRule]], ...] = (
        (GlobalFilters.name, configuration.global_filters),
        (CompiledLimit.exemption, configuration.rate_limits),
        (CompiledRule.exemption, configuration.dynamic_rules),
    )
    for stage, sections in kinds:
        for name, section in sections.items():
            yield from ((stage, name, action, mode, True) for action in section.proposes for mode in sorted(modes))
