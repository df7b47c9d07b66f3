"""Rules written in SecLang, from the tree: what tests read back."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.policy.contentfilter.directives import Control, Marker, Operator, Rule, RuleTree, SetVar, Target
from edgenode.policy.contentfilter.names import SEVERITIES


def written(tree: RuleTree) -> str:
    """The directives of a tree, each rule on several lines."""
    return "\n".join(line for each in tree.directives for line in _directive(each))


def _directive(each: Rule | Marker) -> Iterator[str]:
    if isinstance(each, Marker):
        yield f'SecMarker "{each.name}"'
        return
    links = (each, *each.chained)
    for place, link in enumerate(links):
        actions = ",\\\n    ".join(_actions(link, first=not place, last=place == len(links) - 1))
        if link.operator is None:
            yield f'SecAction "{actions}"'
        else:
            yield f'SecRule {"|".join(map(target, link.targets))} "{operator(link.operator)}" \\\n    "{actions}"'


def target(each: Target) -> str:
    """A target."""
    member = f"/{each.pattern}/" if each.pattern else each.key
    quoted = f"'{member}'" if set("|,/") & set(each.pattern) else member
    return f"{'!' * each.excluded}{'&' * each.counted}{each.collection}{':' * bool(member)}{quoted}"


def operator(each: Operator) -> str:
    """An operator with its argument."""
    argument = each.argument if each.name in ("rx", "rxglobal") else each.argument.replace('"', '\\"')
    return f"{'!' * each.negated}@{each.name}{' ' * bool(argument)}{argument}"


def set_var(each: SetVar) -> str:
    """What sets a variable."""
    if each.change == "!":
        return f"!{each.collection}.{each.name}"
    return f"{each.collection}.{each.name}={each.change.removeprefix('=')}{each.value}"


def control(each: Control) -> str:
    """A control."""
    return f"{each.name}={each.value}" + ("" if each.target is None else f";{target(each.target)}")


def _actions(rule: Rule, *, first: bool, last: bool) -> Iterator[str]:
    if first:
        yield from (f"id:{rule.id}", f"phase:{rule.phase}")
        yield f"allow:{rule.allows}" if rule.allows else rule.disruptive
    yield from (f"t:{name}" for name in ("none", *rule.transformations))
    yield "log" if rule.logged else "nolog"
    for name, value in (("status", rule.status), ("skip", rule.skip), ("skipAfter", rule.skip_after)):
        if value:
            yield f"{name}:{value}"
    for name, text in (("msg", rule.message), ("logdata", rule.log_data), *(("tag", tag) for tag in rule.tags)):
        if text:
            quoted = text.replace("'", "\\'").replace('"', '\\"')
            yield f"{name}:'{quoted}'"
    if rule.severity is not None:
        yield f"severity:{SEVERITIES[rule.severity].upper()}"
    yield from (f"setvar:'{set_var(each)}'" for each in rule.set_vars)
    yield from (f"ctl:{control(each)}" for each in rule.controls)
    yield from (f"initcol:{collection}={key}" for collection, key in rule.init_collections)
    for name, said in (("multiMatch", rule.multi_match), ("capture", rule.capture), ("chain", not last)):
        if said:
            yield name
