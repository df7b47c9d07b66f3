"""Which tags a request got, from whom, and which actions were proposed for it, as JSON has it.

Law: of an action that is not taken it is told why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edgenode.config.load import Configuration
from edgenode.model.decision import Action, Decision, Reason
from edgenode.policy.challenge import Challenges, for_humans
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import AUTOMATIC, HUMAN
from edgenode.rules.tags import canonical
from edgenode.simulation.overhearing import automatic_tags, before_filters, challenge_tags, own_stages
from edgenode.simulation.simulator import Judged

BEHIND: Mapping[str, str] = {
    "quarantine": "quarantine",
    "flows": "flow",
    "dynamic-rules": "dynamic rule",
    "rate-limits": "rate limit",
    "acl": "ACL profile",
}
"""The stages behind the filters, as their reasons name them: what their tags are from."""


def tags_told(
    configuration: Configuration, judged: Judged, pipeline: Pipeline, matched: Mapping[str, GlobalFilter]
) -> Iterator[dict[str, str]]:
    """Every tag in the order in which it came, and from whom.

    :param matched: the filters that matched, by name, in the order of judging.
    """
    exchange, decision = judged.exchange, judged.decision
    client, policy = exchange.connection.client, exchange.security_policy
    own, vouched = configuration.security_policies[policy].tags, () if client is None else client.tags
    automatic = automatic_tags(pipeline, exchange)
    sources: list[tuple[str, str, Iterable[str]]] = [
        ("the node", "", sorted(automatic.difference(own, vouched), key=_place)),
        ("security policy", policy, own),
        ("trust store", "", (tag for tag in vouched if tag in automatic)),
        ("stage", Challenges.name, challenge_tags(pipeline, exchange)),
    ]
    sources += [("stage", stage.name, sorted(stage.said.tags)) for stage in own_stages(pipeline)]
    sources += [("global filter", name, filter.tags) for name, filter in matched.items()]
    actions = [configuration.rules.actions[each.action] for each in matched.values() if each.action is not None]
    sources += [("action", action.name, sorted(action.tags)) for action in actions if action.exempts]
    for why in decision.reasons:
        if why.stage in BEHIND and why.filter:
            sources.append((BEHIND[why.stage], why.filter, _tags_behind(configuration, why)))
    if (winner := decision.action) is not None:
        of_action = (tag for tag in sorted(decision.tags) if tag.startswith("action:") or tag in winner.tags)
        sources.append(("action", winner.name, of_action))
    sources.append(("a stage", "", sorted(decision.tags)))
    seen: set[str] = set()
    for kind, name, several in sources:
        for tag in several:
            if tag not in seen:
                seen.add(tag)
                yield {"tag": tag, "from": kind, "name": name}


def _tags_behind(configuration: Configuration, why: Reason) -> list[str]:
    """The tags of a section whose stage judges behind the filters."""
    found: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "flows": ("flow", configuration.flows),
        "dynamic-rules": ("dynamic-rule", configuration.dynamic_rules),
        "rate-limits": ("limit", configuration.rate_limits),
        "acl": ("acl", configuration.acl_profiles),
    }
    if why.stage not in found:
        rule = why.filter.removeprefix("dynamic-rule ")
        return ["quarantine", *([canonical(f"dynamic-rule:{rule}")] if rule != why.filter else [])]
    family, sections = found[why.stage]
    own = sections[why.filter].tags if why.filter in sections else ()
    return [canonical(f"{family}:{why.filter}"), *own]


def _place(tag: str) -> tuple[int, str]:
    families = list(AUTOMATIC)
    family = tag.partition(":")[0]
    return families.index(family) if family in families else len(families), tag


def actions_told(
    configuration: Configuration, judged: Judged, pipeline: Pipeline, matched: Mapping[str, GlobalFilter]
) -> Iterator[dict[str, Any]]:
    """Every action that was proposed, strongest first and then in the order of the file; and why it was not taken.

    :param matched: the filters that matched, by name.
    """
    winner, taken = judged.decision.action, False
    proposed = _proposed(configuration, judged.decision, pipeline, matched)
    for action, name in sorted(proposed, key=lambda each: -each[0].strength):
        won = not taken and winner is not None and action.name == winner.name and not action.exempts
        taken = taken or won
        if action.exempts:
            why = f"leaves out {', '.join(sorted(action.exempts))}; competes with no other"
        elif won:
            why = "the strongest"
        elif winner is not None and action.name == winner.name:
            why = "the same action"
        elif winner is not None and action.strength == winner.strength:
            why = f"as strong as {winner.name}, but later{'' if name.startswith('stage ') else ' in the file'}"
        else:
            why = f"weaker than {winner.name}" if winner is not None else ""
        yield {"action": action.name, "filter": name, "strength": action.strength, "taken": won, "why": why}


def _proposed(
    configuration: Configuration, decision: Decision, pipeline: Pipeline, matched: Mapping[str, GlobalFilter]
) -> list[tuple[Action, str]]:
    """Every action that was proposed, and by whom, in the order of judging."""
    known, names = configuration.rules.actions, [name for name in configuration.global_filters if name in matched]
    own, first = own_stages(pipeline), {each.name for each in before_filters(pipeline)}
    by_stages = [(each.said.action, f"stage {each.name}", each.name in first) for each in own]
    by_filters = [(known[action], name) for name in names if (action := matched[name].action) is not None]
    behind = [
        (known.get(why.action, decision.action), f"{BEHIND[why.stage]} {why.filter}")
        for why in decision.reasons
        if why.stage in BEHIND and why.action
    ]
    found = [
        *((action, name) for action, name, early in by_stages if early),
        *((_met(action, decision), name) for action, name in by_filters),
        *((action, name) for action, name, early in by_stages if not early),
        *((_met(action, decision), name) for action, name in behind),
    ]
    return [(action, name) for action, name in found if action is not None]


def _met(action: Action | None, decision: Decision) -> Action | None:
    """An action as a request meets it: of a human, who has solved a challenge, it asks for none."""
    return for_humans(action) if action is not None and HUMAN in decision.tags else action
