"""Flows of curiefense, and of Link11 WAAP, as sections of edgenode.

Law: a step is taken by the same requests, or the flow is written inactive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgenode.config.curiefense_keys import words
from edgenode.config.curiefense_made import Made, Naming, made_of
from edgenode.config.curiefense_rules import Rule, exactly, pair
from edgenode.model.errors import InvalidValue

_EVERYBODY = "tag.all"
"""A word that is the same in all requests."""


def flows(naming: Naming, several: Sequence[Any], session: str) -> list[Made]:
    """Flows, each with a section for every step.

    :param session: the word for a session.
    """
    return [_flow(made, naming, session) for made in made_of(naming, "flow", several)]


def _flow(made: Made, naming: Naming, session: str) -> Made:
    document = made.document
    made.active = document.get("active") is True
    given = document.get("sequence") or document.get("steps")
    steps = given if isinstance(given, list) else []
    names = []
    for number, step in enumerate(steps, 1):
        names.append(naming.name("section", f"{made.name}-{number}"))
        rule = Rule("and")
        try:
            _read_step(rule, step)
        except (InvalidValue, AttributeError, TypeError) as why:
            made.lose(f"step {number}: {why}")
        made.inner.append([f"[section {names[-1]}]", *rule.written()])
    if not steps:
        made.lose("it has no steps")
        names = [naming.name("section", f"{made.name}-1")]
        made.inner.append([f"[section {names[0]}]", "relation = or"])
    made.write("steps", ", ".join(names))
    made.write("within", f"{made.seconds('timeframe', 60)}s")
    made.write("key", words(made, session) or _EVERYBODY)
    made.write_whom()
    made.write_tags([f"fc-id:{document.get('id', '')}", f"fc-name:{document.get('name', '')}"])
    return made


def _read_step(rule: Rule, step: Mapping[str, Any]) -> None:
    """What a step asks for.

    :raises InvalidValue: if something of it cannot be expressed.
    """
    headers = {str(name).lower(): value for name, value in (step.get("headers") or {}).items()}
    host = str(headers.pop("host", ""))
    if not host:
        raise InvalidValue("it has no header Host, without which it is never taken there")
    texts = {"method": str(step.get("method") or "GET"), "authority": host.lower().removesuffix(":443")}
    for key, text in (texts | {"path": str(step.get("uri") or step.get("path") or "/")}).items():
        rule.add(key, exactly(text))
    several = {"headers": headers, "cookies": step.get("cookies") or {}, "args": step.get("args") or {}}
    for kind, values in several.items():
        for name, value in values.items():
            rule.add(*pair(kind, str(name), str(value)))
    if step.get("plugins"):
        raise InvalidValue("nothing looks at plugins here")
