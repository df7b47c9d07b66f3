"""What flows, dynamic rules, rate limits and an ACL profile make of one request, as JSON has it.

Law: what was counted is told as the state was asked and has answered; why something was not is worked out anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.errors import printable
from edgenode.model.exchange import Exchange
from edgenode.policy.acl import LISTS, Profile
from edgenode.policy.compound_keys import shown
from edgenode.policy.counting import Counting
from edgenode.policy.dynamicrules import DynamicRule
from edgenode.policy.flows import Flow, Flows
from edgenode.policy.keys import Part
from edgenode.policy.ratelimits import USUAL, CompiledLimit, RateLimit
from edgenode.policy.tallies import counters_of
from edgenode.proxy.routing import PathMap
from edgenode.simulation.heard_state import HeardState
from edgenode.state.interface import Call, Counted

CountingSection = Flow | DynamicRule | RateLimit

_STAGES: Mapping[type[Any], str] = {
    Flow: Flows.exemption,
    DynamicRule: "dynamic-rules",
    RateLimit: CompiledLimit.exemption,
}
"""The word by which each kind is left out."""


def counting_sections(configuration: Configuration) -> Iterator[tuple[str, CountingSection]]:
    """Everything that counts, by its header, in the order of judging."""
    for attribute in (configuration.flows, configuration.dynamic_rules, configuration.rate_limits):
        for name, section in attribute.items():
            yield f"{section.kind} {name}", section


def holds_in(section: CountingSection, name: str, path_map: PathMap) -> bool:
    """Whether it holds for a path map."""
    named = {Flow: path_map.flows, DynamicRule: path_map.dynamic_rules, RateLimit: path_map.rate_limits}
    return section.active and (section.global_ or name in named[type(section)])


def exempted(section: CountingSection, exempt: frozenset[str]) -> bool:
    """Whether who is exempt from these stages is not counted by it."""
    return _STAGES[type(section)] in exempt or Counting.name in exempt


def parts_of(section: CountingSection) -> tuple[Part, ...]:
    """The words of its key."""
    return section.key if isinstance(section.key, tuple) else (section.key,)


def counted(
    configuration: Configuration,
    path_map: str,
    exchange: Exchange,
    decision: Decision,
    heard: HeardState,
    before: frozenset[str],
) -> Iterator[dict[str, Any]]:
    """What everything that counts has come to, or why it did not count.

    :param exchange: the request.
    :param before: the tags that were there before anything was counted.
    """
    asked = any(stage == Counting.name for stage, _ in decision.timings)
    for header, section in counting_sections(configuration):
        calls = [
            (call, answer)
            for call, answer in zip(heard.calls, heard.answers, strict=True)
            if call.counter.name == header or call.counter.name.startswith(f"{header} ")
        ]
        told: dict[str, Any] = {"section": header, "counted": any(answer is not None for _, answer in calls)}
        if told["counted"]:
            told["keys"] = [*(_flow(section, calls) if isinstance(section, Flow) else _limit(header, section, calls))]
        elif calls:
            told["why"] = "not without the tag of a flow, or with it"
        else:
            name = header.partition(" ")[2]
            seen = evolve(exchange, tags=before)
            told["why"] = (
                _why_not(section, name, configuration.path_maps[path_map], seen, decision.exempt)
                or ("" if asked else "the request was decided before")
                or _nothing_to_count(header, section, heard)
            )
        yield told


def _flow(section: Flow, calls: Sequence[tuple[Call, Counted | None]]) -> Iterator[dict[str, Any]]:
    for call, answer in calls:
        if answer is not None:
            steps = [section.steps[step] for step in call.steps]
            told: dict[str, Any] = {
                "key": _shown(parts_of(section), call.key),
                "matched": steps,
                "steps": len(section.steps),
            }
            yield told | {"taken": min(answer.total, len(section.steps)), "last": answer.total >= len(section.steps)}


def _limit(
    header: str, section: DynamicRule | RateLimit, calls: Sequence[tuple[Call, Counted | None]]
) -> Iterator[dict[str, Any]]:
    window = section.window if isinstance(section, RateLimit) else "fixed"
    counters = counters_of(header, section.limit, section.count, window)
    for key in dict.fromkeys(call.key for call, answer in calls if answer is not None):
        totals = {call.counter.identity: answer for call, answer in calls if call.key == key and answer is not None}
        thresholds = []
        for line, counter in zip(section.limit, counters, strict=True):
            answer = totals.get(counter.identity)
            if answer is None:
                continue
            action = section.action if isinstance(section, DynamicRule) else line.action or USUAL
            told = {"limit": line.rate, "count": answer.total, "over": answer.total > line.most, "action": action}
            thresholds.append(told)
        told = {"key": _shown(parts_of(section), key), "what": str(section.count), "thresholds": thresholds}
        yield told | {"known_later": section.count.is_known_later}


def _why_not(section: CountingSection, name: str, path_map: PathMap, seen: Exchange, exempt: frozenset[str]) -> str:
    """Why it does not count a request with these tags; empty if that is not why."""
    if not section.active:
        return "active = no"
    if not holds_in(section, name, path_map):
        return "global = no, and the path map does not name it"
    if exempted(section, exempt):
        return "the request is exempt"
    if section.include and seen.tags.isdisjoint(section.include):
        return f"has none of the tags {', '.join(section.include)}"
    excluded = [tag for tag in section.exclude if tag in seen.tags]
    if excluded:
        return f"has the tag {excluded[0]}"
    missing = [str(part) for part in parts_of(section) if not part.values(seen)]
    return f"has no {', '.join(missing)}" if missing else ""


def _nothing_to_count(header: str, section: CountingSection, heard: HeardState) -> str:
    if isinstance(section, Flow):
        return "no step matches"
    if header in heard.quarantine.keys:
        return "its key is banned"
    return f"has no {section.count}" if section.count.part is not None else "there is nothing to count"


def _shown(parts: Sequence[Part], key: str) -> str:
    return printable(shown(parts, key))


def acl_told(profile: Profile, decision: Decision, section: Any, seen: frozenset[str]) -> dict[str, Any]:
    """What the lists of a profile have found.

    :param seen: the tags that were there before it was asked.
    """
    lists = section.lists()
    found = {name: [tag for tag in lists[name] if tag in seen] for name in LISTS if lists[name]}
    why = next((why for why in decision.reasons if why.stage == Profile.name and why.filter), None)
    asked = any(stage == Profile.name for stage, _ in decision.timings)
    return {
        "profile": profile.profile,
        "asked": asked,
        "lists": found,
        "decides": why.entry if why is not None else "",
        "action": why.action if why is not None else "",
    }
