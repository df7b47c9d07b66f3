"""Whether what is masked can be counted, and held."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.compiled_rules import Formulas
from edgenode.model.errors import Problem
from edgenode.policy.keys import Part


def masks(formulas: Formulas) -> Iterator[Problem]:
    """Warnings: what is counted by a hash that another node does not know, nor this one after a restart."""
    configuration = formulas.configuration
    if configuration.masking.key is not None or not formulas.masks:
        return
    where = "another on each node" if configuration.state_settings.url is not None else "another after a restart"
    for several in (configuration.rate_limits, configuration.flows, configuration.dynamic_rules):
        for name, section in several.items():
            key = (section.key,) if isinstance(section.key, Part) else section.key
            for part in key if section.active else ():
                if part.is_masked:
                    sentence = f"{part} is masked, and without key in [masking] its hash is {where}"
                    yield Problem(f"{section.kind} {name}", "key", sentence, warning=True)
