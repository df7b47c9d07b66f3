"""What tuning has found, as JSON has it, and as lines of INI for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict

from edgenode.model.errors import printable
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.simulation.tuning import Proposal, Tuning

_LONGEST = 80
"""Characters of a request that are shown."""


def told(tuning: Tuning, at_least: int, clients: int = 1) -> dict[str, Any]:
    """Every filter that refused something, with the lines for it: see :meth:`Tuning.proposals`."""
    filters = {}
    for name in sorted(tuning.refused):
        proposals = tuning.proposals(name, at_least, clients)
        summary = tuning.summary(name, [each.line for each in proposals])
        filters[name] = asdict(summary) | {
            "exclude": [_proposal(each) for each in proposals],
            "wider": [_proposal(each) for each in tuning.wider(name, proposals)],
            "path_maps": list(tuning.scorings[name].path_maps),
        }
    return {"filters": filters}


def _proposal(each: Proposal) -> dict[str, Any]:
    return {"line": str(each.line)} | {
        name: getattr(each, name) for name in ("silences", "clients", "besides", "path_maps", "example", "other")
    }


def lines(found: Mapping[str, Any], sections: Mapping[str, ContentFilter]) -> Iterator[str]:
    """It as sections, with comments.

    :param sections: the filters as they are: what they exclude already is told with it.
    """
    filters = found["filters"]
    if not filters:
        yield "# no event was refused by a content filter that the configuration has"
    for number, (name, each) in enumerate(filters.items()):
        yield from ("",) if number else ()
        yield f"# [content-filter {name}] refused {_events(each['refused'])}."
        if not each["exclude"]:
            yield "# None of them come as often, and from as many clients, as it takes for an exclusion."
            continue
        yield f"# With these lines {_events(each['silences'])} pass in which nothing else matched{_besides(each)}."
        yield f"[content-filter {name}]"
        yield "exclude ="
        yield from (f"    {line}" for line in sections[name].exclude)
        for line in each["exclude"]:
            yield f"# {_comment(line)}"
            yield f"    {line['line']}"
        for line in each["wider"]:
            yield f"# Wider, in the place of several: {line['line']}: {_comment(line)}"
        yield from _elsewhere(name, each)


def _events(number: int) -> str:
    return f"{number:,} event{'' if number == 1 else 's'}"


def _besides(each: Mapping[str, Any]) -> str:
    return f"; and {each['besides']:,} besides" if each["besides"] else "; and no other"


def _comment(line: Mapping[str, Any]) -> str:
    clients = f"{line['clients']:,} client{'' if line['clients'] == 1 else 's'}"
    other = f": {_request(line['other'])}" if line["other"] else ""
    example = f": {_request(line['example'])}" if line["example"] else ""
    return f"{_events(line['silences'])} of {clients}{example}{_besides(line)}{other}"


def _request(example: Mapping[str, str]) -> str:
    request = printable(f"{example['method']} {example['authority']}{example['target']}")
    return f"{request if len(request) <= _LONGEST else f'{request[:_LONGEST]}…'} from {printable(example['client'])}"


def _elsewhere(name: str, each: Mapping[str, Any]) -> Iterator[str]:
    """Where the lines would hold too, though nothing was refused there."""
    seen = {path_map for line in each["exclude"] for path_map in line["path_maps"]}
    others: Sequence[str] = [path_map for path_map in each["path_maps"] if path_map not in seen]
    if others:
        where = ", ".join(f"[path-map {other}]" for other in others)
        yield f"# It is the filter of {where} too, where nothing of this was refused: one of its own would be narrower."
