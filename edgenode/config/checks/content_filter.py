"""Whether content filters do what they say.

Law: a key that nothing looks at, and a filter that refuses nobody though it seems to, are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgenode.config.compiled_rules import Formulas
from edgenode.model.errors import Problem
from edgenode.policy.actions import refuses
from edgenode.policy.contentfilter.contentfilter import VARIABLES, ContentFilter
from edgenode.policy.contentfilter.directives import Rule, RuleTree
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.policy.contentfilter.targets import macros, members

_OF_ANSWERS: Mapping[str, str] = {"outbound_threshold": "outbound-threshold", "response_limit": "response-limit"}
"""The keys about answers, by their attributes."""


_OF_PHASES = 3
"""The first phase of answers."""


def content_filters(formulas: Formulas) -> Iterator[Problem]:
    """Keys without an effect, and filters that let in whom their rules refuse."""
    for name, section in formulas.configuration.content_filters.items():
        header = f"content-filter {name}"
        if not section.active:
            continue
        action = formulas.actions[section.action]
        if section.refuses and (not refuses(action) or action.exempts):
            sentence = f"lets in those whom the rules refuse, for it is of type {type(action).__name__.lower()}"
            yield Problem(header, "action", sentence, section.action, 0, warning=True)
        for attribute, key in _OF_ANSWERS.items():
            default = getattr(ContentFilter(rules=section.rules), attribute)
            if not section.responses and getattr(section, attribute) != default:
                sentence = "has no effect: answers are not looked at without responses = yes"
                yield Problem(header, key, sentence, warning=True)
        if name in formulas.content_rules:
            yield from _of_rules(header, section, formulas.content_rules[name].tree)
            engine = formulas.content_rules[name].engine
            yield from (problem for word, problem in engine if word == "off" or section.refuses)
            if not formulas.configuration.geo and _looks_at_places(formulas.content_rules[name].compiled):
                sentence = "rules look at GEO, which is empty: there is no [geo]"
                yield Problem(header, "rules", sentence, warning=True)


def _looks_at_places(rules: RuleSet) -> bool:
    """Whether a rule that can run looks at where a client is."""
    links = (link for rule in rules.rules for link in (rule, *rule.chained))
    return any(target.collection == "GEO" for link in links for target in link.targets)


def _of_rules(header: str, section: ContentFilter, tree: RuleTree) -> Iterator[Problem]:
    looked_at = _looked_at(tree)
    for attribute, names in VARIABLES.items():
        if getattr(section, attribute) is not None and not looked_at & {*names}:
            sentence = f"has no effect: no rule looks at TX:{names[0]}"
            yield Problem(header, attribute.replace("_", "-"), sentence, warning=True)
    if section.responses and all(each.phase < _OF_PHASES for each in tree.directives if isinstance(each, Rule)):
        sentence = "has no effect: no rule is of phase 3 or 4"
        yield Problem(header, "responses", sentence, warning=True)
    refusing = {"deny", "drop", "redirect"}
    if section.refuses and not any(isinstance(each, Rule) and each.disruptive in refusing for each in tree.directives):
        yield Problem(header, "rules", "nobody is refused: no rule says deny, drop or redirect", warning=True)


def _looked_at(tree: RuleTree) -> set[str]:
    """The members of TX that rules look at."""
    rules = [link for each in tree.directives if isinstance(each, Rule) for link in (each, *each.chained)]
    found = {target.key for rule in rules for target in rule.targets if target.collection == "TX"}
    texts = [rule.operator.argument for rule in rules if rule.operator is not None]
    texts += [each.value for rule in rules for each in rule.set_vars]
    return found.union(*(members(text, "TX") for text in texts if macros(text)))
