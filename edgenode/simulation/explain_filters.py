"""Which global filters matched a request, and why, or why not, as JSON has it.

Law: it is worked out without the engine that judges. What a client sent is escaped where it is not printable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.errors import printable
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.rules.language.texts import to_string
from edgenode.rules.matching.explaining import Found, Trace, closeness, simplified


def asked_about(name: str, section: GlobalFilter) -> dict[str, Any]:
    """A filter itself."""
    told = {"name": name, "display_name": section.name, "description": section.description}
    return told | {"tags": list(section.tags), "action": section.action}


def filter_told(configuration: Configuration, name: str, trace: Trace | None, why: str) -> dict[str, Any]:
    """A filter that is asked about: what each of its parts found, or why it was not judged.

    :param trace: what became of it; ``None`` if it was not judged.
    :param why: why no filter was; empty if others were.
    """
    section = configuration.global_filters[name]
    told = asked_about(name, section) | {"judged": trace is not None}
    if trace is not None:
        return told | {"rule": _traced(simplified(trace))}
    inactive = (
        "active = no" if configuration.edge.system_filters else "it is not active, or [edge] system-filters is no"
    )
    return told | {"why": why if why and section.active else inactive}


def filters_told(filters: Mapping[str, GlobalFilter], traces: Mapping[str, Trace]) -> dict[str, Any]:
    """The filters that matched, and those that nearly did.

    :param traces: what became of each that was judged.
    """

    def told(name: str) -> dict[str, Any]:
        return asked_about(name, filters[name]) | {"rule": _traced(simplified(traces[name]))}

    nearly = [name for name, trace in traces.items() if trace.nearly]
    nearly.sort(key=lambda name: -closeness(traces[name]))
    return {
        "matched": [told(name) for name, trace in traces.items() if trace.holds],
        "nearly": [told(name) for name in nearly],
        "judged": len(traces),
    }


def agrees(traces: Mapping[str, Trace], decision: Decision) -> bool:
    """Whether the engine found the same filters for the same reasons."""
    engine = {why.filter: why.entry for why in decision.reasons if why.stage == GlobalFilters.name and why.filter}
    slow = {name: " and ".join(map(str, trace.evidence or ())) for name, trace in traces.items() if trace.holds}
    return engine == slow


def _traced(trace: Trace) -> dict[str, Any]:
    told: dict[str, Any] = {"holds": trace.holds}
    if trace.section:
        told["section"] = trace.section
    if trace.shown:
        told["text"] = " and ".join(map(str, trace.shown))
        told["annotation"] = ", ".join(each.annotation for each in trace.shown if each.annotation)
    if trace.subject:
        told["looked_at"] = [_shown(value) for value in trace.values]
        told["found"] = [_found(found) for found in trace.found]
    if trace.parts or not trace.shown:
        told["relation"] = trace.relation
        told["parts"] = [_traced(part) for part in trace.parts]
    return told


def _found(found: Found) -> dict[str, Any]:
    told: dict[str, Any] = {"value": _shown(found.value)}
    if found.span is not None:
        start, end = found.span
        told |= {"before": _shown(found.value[:start]), "match": _shown(found.value[start:end])}
        told["behind"] = _shown(found.value[end:])
    if found.line:
        told |= {"line": found.line, "annotation": found.annotation}
    return told


def _shown(value: Any) -> str:
    """A value of a field, printable."""
    if isinstance(value, bool | int | tuple):
        return to_string(value).decode("ascii")
    return printable(value if isinstance(value, str) else value.decode("utf-8", "backslashreplace"))
