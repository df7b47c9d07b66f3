"""Rate limits and dynamic rules of curiefense, and of Link11 WAAP, as sections of edgenode.

Law: of two equally strong actions of limits the later is taken there and the earlier here, so limits, and the
thresholds of one, come in reverse order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgenode.config.curiefense_keys import distinct, word, words
from edgenode.config.curiefense_made import Made, Naming, made_of
from edgenode.model.errors import InvalidValue

_STRENGTHS: Mapping[str, int] = {"custom": 8, "challenge": 6, "ichallenge": 6, "monitor": 1, "skip": 0}
"""How strong actions are over a threshold of a limit."""


def limits(naming: Naming, several: Sequence[Any], session: str, *, named: bool) -> list[Made]:
    """Rate limits; the last first.

    :param session: the word for a session.
    :param named: whether there are path maps that name them.
    """
    return [_limit(made, naming, session, named) for made in made_of(naming, "rate-limit", several)][::-1]


def _limit(made: Made, naming: Naming, session: str, named: bool) -> Made:
    document = made.document
    made.active = document.get("active") is True or "active" not in document
    everywhere = document.get("global") is True
    made.write("global", "yes" if everywhere else "no")
    if not everywhere and not named:
        made.look("it holds for the path maps that name it in rate-limits")
    made.write("key", words(made, session))
    made.write_whom()
    period, ban, lines = made.seconds("timeframe", 60), 0, dict[str, str]()
    for most, given in _thresholds(made, naming):
        action, seconds = _without_ban(given)
        ban = max(ban, seconds)
        name = made.action(naming, action or "action-rate-limit-block")
        if name is not None:
            lines.setdefault(f"{most} per {period}s", name)
    if not lines:
        made.lose("no threshold is left")
        lines = {"0 per 60s": "monitor"}
    made.keys += ["limit =", *(f"    {rate} {name}" for rate, name in lines.items())]
    counted = distinct(made)
    made.write("count", f"distinct {counted}" if counted else "")
    if document.get("is_action_ban") is True:
        ban = made.seconds("ttl", 3600)
    made.write("ban", f"{ban}s" if ban else "")
    made.write_tags([f"limit-id:{document.get('id', '')}", f"limit-name:{document.get('name', '')}"])
    return made


def _without_ban(action: Any) -> tuple[Any, int]:
    """An action, and for how long it bans; before the third version of the API a ban was an action with another one."""
    if not isinstance(action, dict) or action.get("type") != "ban":
        return action, 0
    params = action.get("params") or {}
    try:
        seconds = int(params.get("duration") or params.get("ttl") or 3600)
    except (TypeError, ValueError):
        seconds = 3600
    return params.get("action") or {"type": "default"}, seconds


def _thresholds(made: Made, naming: Naming) -> list[tuple[int, Any]]:
    """The thresholds and their actions, the highest first, without those that the engine passes over."""
    document, found = made.document, []
    given = document.get("thresholds")
    if not given:
        given = [{"limit": document.get("threshold", document.get("limit", 5)), "action": document.get("action")}]
    for each in given if isinstance(given, list) else [given]:
        try:
            found.append((max(0, int(each.get("limit", each.get("threshold")))), each.get("action")))
        except (AttributeError, TypeError, ValueError):
            made.lose(f"threshold {each}: it has no number")
    found.sort(key=lambda each: each[0])
    strongest, kept = 0, []
    for most, action in found:
        strength = _strength(naming, action)
        if strength >= strongest:
            strongest = strength
            kept.append((most, action))
        else:
            made.look(f"the threshold {most} has a weaker action than a lower one: it has no effect there")
    return kept[::-1]


def _strength(naming: Naming, action: Any) -> int:
    document = action if isinstance(action, dict) else naming.actions.get(str(action))
    if isinstance(document, dict):
        return _STRENGTHS.get(str(document.get("type")), _STRENGTHS["custom"])
    return _STRENGTHS.get(str(action).removeprefix("action-"), _STRENGTHS["custom"])


def dynamic_rules(naming: Naming, several: Sequence[Any]) -> list[Made]:
    """Dynamic rules."""
    return [_dynamic_rule(made, naming) for made in made_of(naming, "dynamic-rule", several)]


def _dynamic_rule(made: Made, naming: Naming) -> Made:
    document = made.document
    made.active = document.get("active") is True
    kind, _, name = str(document.get("target") or "ip").partition("_")
    try:
        made.write("key", word(kind, name) if name else word("attrs", kind))
    except InvalidValue as why:
        made.lose(f"target: {why}")
        made.write("key", "ip")
    made.write_whom()
    made.write("limit", f"{made.seconds('threshold', 0)} per {made.seconds('timeframe', 60)}s")
    made.write("hold", f"{made.seconds('ttl', 3600)}s")
    action = made.action(naming, document.get("action") or "action-dynamic-rule-block")
    made.write("action", action or "")
    made.kept = made.kept and action is not None
    made.write_tags(())
    return made
