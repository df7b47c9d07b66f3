"""Whether flows can be followed, and whether anybody hears of it.

Law: a warning changes nothing; what can never be followed as it is written is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.compiled_rules import Formulas
from edgenode.model.errors import Problem


def flows(formulas: Formulas) -> Iterator[Problem]:
    """Flows of a single step, of steps that are all the same, and on a place that nobody knows."""
    configuration = formulas.configuration
    for name, flow in configuration.flows.items():
        header = f"flow {name}"
        if len(flow.steps) == 1:
            sentence = "has one step: a global filter with these rules would do the same"
            yield Problem(header, "steps", sentence, warning=True)
        unlocated = [str(part) for part in flow.key if "geography" in part.needs]
        if unlocated and flow.active and not configuration.geo:
            sentence = f"{unlocated[0]} says where a client is, which nobody knows: no database is named in [geo]"
            yield Problem(header, "key", sentence, ", ".join(map(str, flow.key)), 0)
