"""Every check of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgenode.config.checks.actions import actions, clamped_modes
from edgenode.config.checks.feeds import lists_of_other_values
from edgenode.config.checks.path_maps import looks_too_early, unreachable
from edgenode.config.checks.rule_warnings import warnings
from edgenode.config.checks.rules import geography_without_database, unknown_names, without_effect
from edgenode.config.checks.sections import (
    endpoints,
    hosts,
    keys_without_effect,
    names,
    origins,
    timeouts,
    unused,
    without_mtls,
)
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.model.errors import Problem

OF_SECTIONS: tuple[Callable[[Sections], Iterator[Problem]], ...] = (
    names,
    timeouts,
    endpoints,
    hosts,
    without_mtls,
    keys_without_effect,
    unreachable,
    origins,
    without_effect,
    actions,
    clamped_modes,
    looks_too_early,
)
"""The checks between sections; each leaves out what could not be read, which has been reported."""

OF_RULES: tuple[Callable[[Formulas], Iterator[Problem]], ...] = (lists_of_other_values,)
"""Likewise those that need what lists hold."""

OF_THE_WHOLE: tuple[Callable[[Formulas], Iterator[Problem]], ...] = (
    unknown_names,
    warnings,
    geography_without_database,
    unused,
)
"""What can be told only once every section could be read."""
