"""Events for people: one on a line, as in the access log, or one in full.

Law: what a client has sent stands here as it was recorded: whoever prints it to a terminal escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def text_line(event: Mapping[str, Any]) -> str:
    """When, what status, who asked for what, with which certificate, and why: the line of the access log."""
    try:
        return _state(event) if "event" in event else _exchange(event)
    except (LookupError, TypeError, AttributeError):  # it is no event of ours
        return json.dumps(event)


def _second(event: Mapping[str, Any]) -> str:
    return f"{event['time'][:19]}Z"


def _state(event: Mapping[str, Any]) -> str:
    entry = event.get("entry")
    what = "" if entry is None else f"  {entry['key']} {entry['value']}"
    return f"{_second(event)}  {event['event']['action']}{what} | {event['reason']}"


def _exchange(event: Mapping[str, Any]) -> str:
    request, certificate = event["request"], event["certificate"]
    what = "no request" if request is None else f"{request['method']} {request['authority']}{request['target']}"
    whom = "no certificate"
    if certificate["verify"] != "NONE":
        whom = (certificate["subject"] or "no name").replace("|", "\\x7c")
        whom = whom if certificate["verify"] == "SUCCESS" else f"not verified: {whom}"
    address = event["client"] or event["peer"].rpartition(":")[0].strip("[]")
    return f"{_second(event)}  {event['status']}  {address}  {what} | {whom} | {'; '.join(_why(event))}"


def _why(event: Mapping[str, Any]) -> Iterator[str]:
    for each in event["reasons"]:
        yield f"{each['filter']}: {each['entry']}{' # ' + each['annotation'] if each['annotation'] else ''}"
    yield from (f"tag {tag}" for tag in event["tags"] if ":" not in tag and tag != "all")
    if event["action"] is not None:
        yield f"action {event['action']}"
    if event["error"] is not None:
        yield f"{event['error']['status']}: {event['error']['reason']}"
    if event["origin"] is not None:
        yield f"forwarded to {event['origin']['name']}"


def in_full(value: Any, indent: str = "") -> Iterator[str]:
    """Everything that an event holds, a line for each value; lists and objects are indented."""
    for name, inner in value.items():
        match inner:
            case dict() if inner:
                yield f"{indent}{name}"
                yield from in_full(inner, f"{indent}  ")
            case [dict(), *_]:
                for each in inner:
                    yield f"{indent}{name}"
                    yield from in_full(each, f"{indent}  ")
            case [*_]:
                yield f"{indent}{name:<16} {' '.join(map(str, inner)) or '-'}"
            case None | {} | "":
                yield f"{indent}{name:<16} -"
            case bool():
                yield f"{indent}{name:<16} {'yes' if inner else 'no'}"
            case _:
                yield f"{indent}{name:<16} {inner}"
