"""What the rules of content filters count, as far as that does not depend on a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from attrs import field, frozen

from edgenode.config.load import Configuration
from edgenode.policy.contentfilter.directives import Rule, RuleTree

_NUMBER = re.compile(r"\d+")
_MACRO = re.compile(r"%\{tx\.(\w+)\}", re.IGNORECASE)
_DEFAULTS = {
    "critical_anomaly_score": 5,
    "error_anomaly_score": 4,
    "warning_anomaly_score": 3,
    "notice_anomaly_score": 2,
    "inbound_anomaly_score_threshold": 5,
}
"""What the Core Rule Set counts where nothing else is set."""


@frozen
class Scoring:
    """What the rules of a content filter count.

    :ivar threshold: the score from which on it refuses.
    :ivar scores: what each rule adds, by its number.
    :ivar tags: the tags of each.
    :ivar path_maps: the path maps that have it.
    """

    threshold: int
    scores: Mapping[int, int]
    tags: Mapping[int, tuple[str, ...]] = field(factory=dict)
    path_maps: tuple[str, ...] = ()

    @classmethod
    def of(cls, tree: RuleTree, path_maps: Iterable[str] = ()) -> Scoring:
        """What rules count; of a score that depends on the request nothing is known, and it counts nothing."""
        rules = [each for each in tree.directives if isinstance(each, Rule)]
        set_up = _DEFAULTS | {name: int(value) for name, value in _constants(rules) if value.isdecimal()}
        set_up |= {name: int(value) for name, value in tree.variables if value.isdecimal()}
        scores = {each.id: _score(each, set_up) for each in rules}
        tags = {each.id: each.tags for each in rules}
        return cls(set_up["inbound_anomaly_score_threshold"], scores, tags, tuple(path_maps))


def scorings(configuration: Configuration) -> dict[str, Scoring]:
    """What the rules of every active content filter count, by its name."""
    found = {}
    for name, loaded in configuration.credentials.content_rules.items():
        path_maps = [path_map for path_map, each in configuration.path_maps.items() if each.content_filter == name]
        found[name] = Scoring.of(loaded.tree, path_maps)
    return found


def _constants(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    """What rules without an operator set: that is how a set-up says it."""
    for rule in rules:
        if rule.operator is None:
            yield from ((each.name, each.value) for each in rule.set_vars if each.change == "=")


def _score(rule: Rule, set_up: Mapping[str, int]) -> int:
    total = 0
    for change in (each for link in (rule, *rule.chained) for each in link.set_vars):
        if change.change == "+" and "anomaly_score" in change.name:
            macro = _MACRO.fullmatch(change.value)
            known = set_up.get(macro[1].lower(), 0) if macro else 0
            total += int(change.value) if _NUMBER.fullmatch(change.value) else known
    return total
