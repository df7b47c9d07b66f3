"""The rules of ``builtin`` for their page, in reStructuredText.

Law: the page has what the files of rules say, all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config import content_rules
from edgenode.model.errors import ConfigurationError
from edgenode.policy.contentfilter.contentfilter import BUILTIN, ContentFilter, RuleSource
from edgenode.policy.contentfilter.directives import Rule

_LEVEL, _ATTACK = "paranoia-level/", "attack-"
_SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")


def reference() -> str:
    """A table of all rules that tell of an attack.

    :raises ConfigurationError: if they cannot be read.
    """
    loaded, problems = content_rules.load("", ContentFilter(rules=(RuleSource(BUILTIN),)))
    if loaded is None:
        raise ConfigurationError(list(problems))
    rules = [each for each in loaded.tree.directives if isinstance(each, Rule) and _words(each, _ATTACK)]
    return "\n".join(_table(rules))


def _table(rules: list[Rule]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 12 50 20 8 10", "")
    yield from ("   * - Rule", "     - What it finds", "     - Tag", "     - Level", "     - Severity")
    for each in rules:
        severity = "" if each.severity is None else _SEVERITIES[each.severity]
        yield from (f"   * - {each.id}", f"     - {each.message}", f"     - ``{_ATTACK}{_words(each, _ATTACK)}``")
        yield from (f"     - {_words(each, _LEVEL)}", f"     - {severity}")


def _words(rule: Rule, start: str) -> str:
    return " ".join(tag.removeprefix(start) for tag in rule.tags if tag.startswith(start))
