"""What ``edgenode quarantine`` has a running node do: list what is held and banned, add an entry, and lift one.

Law: whoever orders it, a value is read as the configuration reads values, so what is held is what requests are looked
up by; and nothing that would keep everybody out is held by mistake.
"""

from __future__ import annotations

import json
import math
import pathlib
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence

from edgenode.config.load import Configuration
from edgenode.config.notation import suggestion
from edgenode.config.value_readers import Scope, seconds
from edgenode.model.errors import InvalidValue
from edgenode.node.control import Report
from edgenode.policy.actions import Skip
from edgenode.policy.contentfilter.masking import Masks
from edgenode.policy.dynamicrules import is_common
from edgenode.policy.keys import ADDRESS, WIDEST, Part
from edgenode.policy.quarantine import is_ban, moment
from edgenode.rules.networks import network
from edgenode.state.interface import Entry, Quarantine

MOST_SHOWN = 10_000
"""Entries of a list, of more the newest; and so many are lifted in one go."""

LONGEST_WHY = 1000
"""Characters of a reason."""


def user(uid: int) -> str:
    """Who a user is, for people: ``root (uid 0)``. It may take its time: the names may be another machine's."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def obey(order: Mapping[str, str], who: str, configuration: Configuration, now: float) -> Report:
    """Do what an order says.

    :param order: its arguments: ``do`` and what belongs to that.
    :param who: who has ordered it.
    :param configuration: what the node does now.
    :param now: seconds since the epoch.
    """
    try:
        for name, text in order.items():
            if not text.isprintable():
                raise InvalidValue(f"{name}: only printable characters can be written here")
        needed = () if order.get("who") else _NEEDED.get(order.get("do", ""), ())
        missing = [name for name in ("do", *needed) if not order.get(name)]
        if missing or order["do"] not in _DO:
            raise InvalidValue(f"an order says what to do: {', '.join(_DO)}; and has {', '.join(missing)}")
        return _DO[order["do"]](order, who, configuration, now)
    except InvalidValue as problem:
        return Report(False, problem.sentence)


# -- add ---------------------------------------------------------------------------------------------------------------


def _add(order: Mapping[str, str], who: str, configuration: Configuration, now: float) -> Report:
    part, value = _read(order, configuration.masks())
    action, why = order.get("action", "block"), order.get("why", "")
    actions = configuration.rules.actions
    if action not in actions:
        raise InvalidValue(f"there is no action {action}{suggestion(action, actions)}")
    if isinstance(actions[action], Skip):
        raise InvalidValue(f"the action {action} lets requests pass, and the quarantine holds them")
    if len(why) > LONGEST_WHY:
        raise InvalidValue(f"a reason has at most {LONGEST_WHY} characters")
    until = now + _span(order["for"]) if order.get("for") else math.inf
    doubt = None if order.get("yes") else next(_doubts(part, value, configuration), None)
    if doubt is not None:
        raise InvalidValue(f"{part.word} {value}: {doubt}; if that is meant, say --yes")
    quarantine = configuration.state.quarantine
    quarantine.lift(part.word, value, who)  # what a person says counts, even if it ends sooner
    entry = Entry(part.word, value, until, now, who, why, action)
    quarantine.hold(entry)
    return Report(True, f"{part.word} {value} is held {_end(until)}")


def _read(order: Mapping[str, str], masks: Masks) -> tuple[Part, str]:
    """The key and the value of an order, as requests are looked up by them."""
    part = Part.from_text(order["key"]).hiding(masks)
    try:
        return part, part.written(order["value"])
    except InvalidValue as problem:
        raise InvalidValue(f"{part.word} {order['value']}: {problem.sentence}") from None


def _span(text: str) -> float:
    found = seconds(text, Scope(pathlib.Path()))
    if not found:
        raise InvalidValue("nothing is held for no time at all: leave --for out to hold it until it is lifted")
    return found


def _doubts(part: Part, value: str, configuration: Configuration) -> Iterator[str]:
    """Why somebody may not mean this."""
    if part.of_addresses:
        held = network(value)
        if part.word == ADDRESS and held.prefixlen < WIDEST[held.version]:
            yield f"that is {'everybody' if not held.prefixlen else 'a large part of the internet'}"
        for trusted in map(network, configuration.edge.trusted_proxies):
            if trusted.version == held.version and trusted.overlaps(held):
                yield f"{trusted} are trusted proxies of this node"
    elif value == "all" and part.of_field == "edge.tags":
        yield "every request has that tag"
    elif part.word != "tag" and is_common(part):
        yield f"a value of {part.word} is common to many clients"
    for path_map in configuration.path_maps if "body" in part.needs else ():
        pipeline = configuration.pipeline(path_map)
        if not pipeline.inspects and pipeline.mode != "off":
            yield f"no rule of the path map {path_map} looks at bodies, so only those in a query would be found there"


# -- lift --------------------------------------------------------------------------------------------------------------


def _lift(order: Mapping[str, str], who: str, configuration: Configuration, now: float) -> Report:
    quarantine = configuration.state.quarantine
    if order.get("who"):
        return _lift_all(quarantine, order["who"], who)
    key, value = order["key"], order["value"]
    lifted = quarantine.lift(key, value, who)  # as the list shows it: a ban, or what no category has any more
    if lifted is None and not is_ban(key):
        part, value = _read(order, configuration.masks())
        key = part.word
        lifted = quarantine.lift(key, value, who)
    if lifted is not None:
        return Report(True, f"{key} {value} is lifted")
    around = quarantine.find(key, value.partition("/")[0]) if key == ADDRESS else None
    hint = "" if around is None else f"; but {key} {around.value} is"
    return Report(False, f"{key} {value} is not held{hint}")


def _lift_all(quarantine: Quarantine, owner: str, who: str) -> Report:
    """Lift what somebody has added: what others hold of the same values stays held."""
    mine = [each for each in quarantine.entries() if each.who == owner]
    for entry in mine[:MOST_SHOWN]:
        others = [
            each for each in quarantine.all(entry.key, entry.value) if each.who != owner and each.value == entry.value
        ]
        quarantine.lift(entry.key, entry.value, who)
        for other in others:
            quarantine.hold(other)
    if not mine:
        return Report(False, f"nothing is held by {owner}")
    rest = f"; {len(mine) - MOST_SHOWN} are left: say it again" if len(mine) > MOST_SHOWN else ""
    return Report(True, f"{min(len(mine), MOST_SHOWN)} of {owner} lifted{rest}")


# -- list --------------------------------------------------------------------------------------------------------------


def _list(order: Mapping[str, str], who: str, configuration: Configuration, now: float) -> Report:
    return listed(order, [*configuration.state.quarantine.entries()])


def listed(order: Mapping[str, str], entries: Sequence[Entry]) -> Report:
    """The entries that an order asks for; of very many it takes its time.

    :param entries: all that there are.
    """
    key = order.get("key", "")
    if key and not is_ban(key):
        try:
            key = Part.from_text(key).word
        except InvalidValue as problem:
            return Report(False, problem.sentence)
    found = [each for each in entries if not key or each.key == key]
    found.sort(key=lambda each: each.since)
    return Report(True, json.dumps({"all": len(found), "entries": [*map(_told, found[-MOST_SHOWN:])]}))


def _told(entry: Entry) -> dict[str, str | None]:
    return {
        "key": entry.key,
        "value": entry.value,
        "action": entry.action,
        "since": moment(entry.since),
        "until": None if math.isinf(entry.until) else moment(entry.until),
        "who": entry.who,
        "why": entry.why,
    }


def _end(until: float) -> str:
    return "until it is lifted" if math.isinf(until) else f"until {moment(until)}"


_Do = Callable[[Mapping[str, str], str, Configuration, float], Report]

_NEEDED = {"add": ("key", "value"), "lift": ("key", "value")}
_DO: Mapping[str, _Do] = {"add": _add, "lift": _lift, "list": _list}
