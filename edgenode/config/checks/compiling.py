"""Whether the rules can be compiled; and, if so, what they are compiled to."""

from __future__ import annotations

from edgenode.config.checks.actions import actions
from edgenode.config.checks.dynamic_rules import letting_pass
from edgenode.config.checks.feeds import lists_of_other_values, named_lists
from edgenode.config.compiled_rules import CompiledRules, Formulas
from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.actions import PREDEFINED


def compile_rules(
    formulas: Formulas, before: CompiledRules | None = None
) -> tuple[CompiledRules | None, list[Problem]]:
    """Compile the rules, as far as all that they name could be read.

    :param before: the rules that they succeed.
    :returns: ``None`` if that cannot be; and what only shows here: circles, and expressions too large together.
    """
    configuration = formulas.configuration
    rule_lists, filters = dict(configuration.with_rules()), configuration.global_filters
    steps = (flow.steps for flow in configuration.flows.values())
    inner = (*(section.sections for section in rule_lists.values()), *steps)
    if not all(name in configuration.sections for names in inner for name in names):
        return None, []
    if not named_lists(configuration) <= configuration.lists.keys() or any(lists_of_other_values(formulas)):
        return None, []
    found: dict[str, Problem] = {}
    for header, section in rule_lists.items():
        try:
            formulas.section_formulas.formula(section, header)
        except InvalidValue as problem:  # once for each circle, and not again for whatever leads into it
            where = f"section {problem.which}" if problem.which else header
            found.setdefault(problem.which, Problem(where, "sections", problem.sentence))
    problems = list(found.values())
    known = (None, *PREDEFINED, *configuration.actions)
    named = (
        *(filter.action for filter in filters.values()),
        *(acl.action for acl in configuration.acl_profiles.values()),
        *(filter.action for filter in configuration.content_filters.values()),
        *(rule.action for rule in configuration.dynamic_rules.values()),
        *(name for limit in configuration.rate_limits.values() for name in limit.action_names()),
    )
    if (
        problems
        or any(actions(configuration))
        or any(letting_pass(configuration))
        or any(action not in known for action in named)
    ):
        return None, problems
    try:
        return CompiledRules.of(formulas, before), []
    except InvalidValue as problem:
        if problem.which not in filters:
            return None, [Problem("", "", f"the global filters together: {problem.sentence}")]
        tags = filters[problem.which].tags
        shown = next((tag for tag in tags if f"({tag})" in problem.sentence), tags[0])
        return None, [Problem(f"global-filter {problem.which}", "tags", problem.sentence, shown, 0)]
