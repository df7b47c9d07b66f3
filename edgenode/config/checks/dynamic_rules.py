"""Whether dynamic rules hold what they find.

Law: what a rule holds is refused, or at least told; a rule that would let it pass, or never finds anything, is an
error, and one by which clients hold one another is doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.checks.limits import geography, of_clients_choice
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.model.errors import Problem


def dynamic_rules(configuration: Sections) -> Iterator[Problem]:
    """Rules on a place that nobody knows, and those whose action forwards at once what they hold."""
    for name, rule in configuration.dynamic_rules.items():
        tags = (*rule.include, *rule.exclude)
        yield from geography(configuration, f"dynamic-rule {name}", (rule.key,), tags, rule.active)
    yield from letting_pass(configuration)


def letting_pass(configuration: Sections) -> Iterator[Problem]:
    """The latter alone: they cannot be compiled."""
    for name, rule in configuration.dynamic_rules.items():
        section = configuration.actions.get(rule.action)
        if (rule.action if section is None else section.type) == "skip":
            sentence = "an action that lets requests pass does not hold them"
            yield Problem(f"dynamic-rule {name}", "action", sentence, rule.action, 0)


def doubtful(formulas: Formulas) -> Iterator[Problem]:
    """Rules on what clients choose."""
    for name, rule in formulas.configuration.dynamic_rules.items():
        if rule.active:
            yield from of_clients_choice(f"dynamic-rule {name}", (rule.key,))
