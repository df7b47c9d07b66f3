"""Rate limits, ACL profiles, flows and dynamic rules of curiefense, and of Link11 WAAP, as sections of edgenode.

Law: as for filters, what is written means here what it means there, or is written inactive. Of two equally strong
actions of limits the later is taken there and the earlier here, so limits, and the thresholds of one, come in reverse
order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field

from edgenode.config.curiefense_rules import Rule, exactly, own_tags, pair, plain, slug
from edgenode.model.errors import InvalidValue
from edgenode.policy.keys import Part
from edgenode.rules import categories
from edgenode.rules.categories import written_name
from edgenode.rules.tags import canonical

SENTENCE = 1000
"""Characters of a sentence about a loss, which may quote what was read."""

_ATTRIBUTES: Mapping[str, str] = {
    "ip": "ip",
    "session": "ip",
    "path": "path",
    "uri": "uri",
    "query": "query",
    "method": "method",
    "authority": "authority",
    "host": "authority",
    "asn": "asn",
    "country": "country",
    "region": "region",
    "subregion": "subregion",
    "company": "organization",
    "organization": "organization",
    "network": "ip/24/56",
} | dict.fromkeys(
    ("secpolid", "securitypolicyid", "securitypolicy", "securitypolicyname"), "security-policy-name"
) | dict.fromkeys(
    ("secpolentryid", "securitypolicyentryid", "securitypolicyentry", "securitypolicyentryname"), "path-matching-name"
)  # fmt: skip
"""The attributes that things are counted by: the word here."""

_NAMED: Mapping[str, str] = {
    "headers": "header", "cookies": "cookie", "args": "argument", "arguments": "argument",
}  # fmt: skip

_EVERYBODY = "tag.all"
"""A word that is the same in all requests."""

_LISTS: Mapping[str, tuple[str, ...]] = {
    "enforce-deny": ("force_deny", "enforce_deny"),
    "bypass": ("passthrough", "bypass"),
    "allow-bot": ("allow_bot",),
    "deny-bot": ("deny_bot",),
    "allow": ("allow",),
    "deny": ("deny",),
}
"""The lists of a profile here, and what they are called there."""

_BLOCKED = {"type": "custom", "params": {"status": 503, "content": "blocked"}}
"""What the engine does where an action is not known."""

_STRENGTHS: Mapping[str, int] = {"custom": 8, "challenge": 6, "ichallenge": 6, "monitor": 1, "skip": 0}
"""How strong actions are over a threshold of a limit."""


class Naming(Protocol):
    """Gives names to sections, and writes actions."""

    actions: Mapping[str, Any]

    def name(self, kind: str, text: str) -> str: ...

    def action(self, given: Any) -> tuple[str | None, list[str]]: ...


@define
class Made:
    """A section that is being made of a document.

    :ivar kind: of the section.
    :ivar name: of the section.
    :ivar document: what it is made of.
    :ivar active: whether the product judges by it.
    :ivar keys: its lines.
    :ivar inner: the sections that belong to it, each as its lines.
    :ivar losses: what could not be expressed.
    :ivar remarks: what is to be looked at.
    :ivar readable: whether the node can read it; else it is written as comments.
    :ivar kept: whether it may be active: nothing is lost that would make it judge others.
    """

    kind: str
    name: str
    document: Mapping[str, Any]
    active: bool = True
    keys: list[str] = field(factory=list)
    inner: list[list[str]] = field(factory=list)
    losses: list[str] = field(factory=list)
    remarks: list[str] = field(factory=list)
    readable: bool = True
    kept: bool = True

    @property
    def title(self) -> str:
        """What people call it."""
        return plain(self.document.get("name") or self.document.get("id") or f"a {self.kind} without a name")

    def lose(self, what: str) -> None:
        """Something without which it would judge others."""
        self.losses.append(plain(what, SENTENCE))
        self.kept = False

    def look(self, what: str) -> None:
        """Something that a person should look at."""
        remark = plain(what, SENTENCE)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def written(self) -> list[list[str]]:
        """The section, and those that belong to it."""
        note = plain(self.document.get("description") or "")
        lines = [f"# not expressed: {loss}" for loss in self.losses]
        lines += [f"# look at this: {remark}" for remark in self.remarks]
        lines += [f"# {self.title}{f': {note}' if note and note != self.title else ''}"]
        lines.append(f"[{self.kind} {self.name}]")
        lines += [] if self.active and self.kept else ["active = no"]
        found = [[*lines, *self.keys], *self.inner]
        if self.readable:
            return found
        return [[line if line.startswith("#") else f"# {line}" for line in section] for section in found]


def _names(naming: Naming, kind: str, several: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each: what people call it, or its id where several are called the same."""
    titles = [slug(str(each.get("name") or each.get("id") or kind)) for each in several]
    return [
        naming.name(kind, title if titles.count(title) == 1 else str(each.get("id") or title))
        for title, each in zip(titles, several, strict=True)
    ]


def _of(naming: Naming, kind: str, several: Sequence[Any]) -> Iterator[Made]:
    objects = [each if isinstance(each, dict) else {} for each in several]
    for name, each in zip(_names(naming, kind, objects), objects, strict=True):
        made = Made(kind, name, each)
        if not each:
            made.lose("it is no object with keys")
        yield made


def _listed(given: Any) -> list[Any]:
    if isinstance(given, str):
        return given.split()
    return list(given) if isinstance(given, list | tuple | set) else []


# -- what limits, flows and dynamic rules have in common ---------------------------------------------------------------


def _seconds(made: Made, key: str, default: int) -> int:
    try:
        found = int(made.document.get(key) or default)
    except (TypeError, ValueError):
        made.lose(f"{key}: it is no number of seconds")
        return default
    return found


def _tags(made: Made, key: str) -> list[str]:
    """The tags of ``include`` or ``exclude``, in canonical form."""
    given = made.document.get(key)
    several, all_of = given, False
    if isinstance(given, dict):
        several, all_of = given.get("tags"), str(given.get("relation") or "OR").upper() == "AND"
        if set(given) - {"tags", "relation"}:
            made.lose(f"{key}: it has other keys than tags and relation")
    found = []
    for tag in map(str, _listed(several)):
        form = canonical(tag.strip())
        if form != tag:
            made.look(f"tag {tag} is written {form}")
        if form and form not in found:
            found.append(form)
    if all_of and len(found) > 1:
        joined, header = canonical(f"{made.name}-{key}"), f"[global-filter {made.kind}-{made.name}-{key}]"
        made.inner.append([header, f"tags = {joined}", "tag =", *(f"    {each}" for each in found)])
        made.look(
            f"{key} asks for all of its tags: a filter puts {joined} on requests that have all, if filters set them"
        )
        return [joined]
    return found


def _include_exclude(made: Made) -> list[str]:
    lines = []
    for key in ("include", "exclude"):
        tags = _tags(made, key)
        lines += [f"{key} = {' '.join(tags)}"] if tags else []
    return lines


def _selectors(given: Any) -> list[tuple[str, str]]:
    """The parts of a key: each its type and its name.

    :raises InvalidValue: if one has not exactly these.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise InvalidValue(f"it cannot be read: {given}") from None
    found: list[tuple[str, str]] = []
    for each in [given] if isinstance(given, dict) else given or []:
        named = {str(kind): str(name) for kind, name in each.items() if name} if isinstance(each, dict) else {}
        if len(named) != 1:
            raise InvalidValue(f"a part is one type and one name, not {each}")
        found += named.items()
    return found


def _word(kind: str, name: str) -> str:
    """The word of a key here.

    :raises InvalidValue: if there is none.
    """
    if kind in ("attrs", "attributes"):
        if name not in _ATTRIBUTES:
            raise InvalidValue(f"nothing is counted by {name} here")
        return _ATTRIBUTES[name]
    if kind not in _NAMED:
        raise InvalidValue(f"nothing is counted by {kind} here")
    word = f"{_NAMED[kind]}.{name.lower() if kind == 'headers' else written_name(name.encode())}"
    Part.from_text(word)
    return word


def _key(made: Made, session: str) -> list[str]:
    """The words of its key.

    :param session: the word for a session.
    """
    words = []
    try:
        for kind, name in _selectors(made.document.get("key")):
            words.append(session if (kind, name) == ("attrs", "session") else _word(kind, name))
            if name == "network":
                made.look("a network is that of the database there, and here one of /24, of IPv6 of /56")
    except (InvalidValue, AttributeError, TypeError) as why:
        made.lose(f"key: {why}")
    return list(dict.fromkeys(words))


def _action(made: Made, naming: Naming, given: Any, usual: str) -> str | None:
    """The name of an action; ``None`` if it cannot be expressed."""
    given = given or usual
    if isinstance(given, str) and given not in naming.actions and not given.startswith("action-"):
        made.look(f"action {given} is not known: it is what the engine does then, a 503; give the actions, too")
        given = _BLOCKED
    name, losses = naming.action(given)
    made.losses += [plain(loss.partition(";")[0] if name is None else loss, SENTENCE) for loss in losses]
    return name


# -- rate limits -------------------------------------------------------------------------------------------------------


def limits(naming: Naming, several: Sequence[Any], session: str, *, named: bool) -> list[Made]:
    """Rate limits; the last first.

    :param session: the word for a session.
    :param named: whether there are path maps that name them.
    """
    found = []
    for made in _of(naming, "rate-limit", several):
        document = made.document
        made.active = document.get("active") is True or "active" not in document
        made.keys = [f"global = {'yes' if document.get('global') is True else 'no'}"]
        if document.get("global") is not True and not named:
            made.look("it holds for the path maps that name it in rate-limits")
        words = _key(made, session)
        made.keys += [f"key = {', '.join(words)}"] if words else []
        made.keys += _include_exclude(made)
        period, ban = _seconds(made, "timeframe", 60), 0
        lines = []
        for most, given in _thresholds(made, naming):
            action, seconds = _without_ban(given)
            ban = max(ban, seconds)
            name = _action(made, naming, action, "action-rate-limit-block")
            if name is not None:
                lines.append(f"{most} per {period}s {name}")
        lines = list({line.rpartition(" ")[0]: line for line in reversed(lines)}.values())[::-1]
        if not lines:
            made.lose("no threshold is left")
            lines = ["0 per 60s monitor"]
        made.keys += ["limit =", *(f"    {line}" for line in lines)]
        made.keys += _distinct(made)
        if document.get("is_action_ban") is True:
            ban = _seconds(made, "ttl", 3600)
        made.keys += [f"ban = {ban}s"] if ban else []
        of_it = [f"limit-id:{document.get('id', '')}", f"limit-name:{document.get('name', '')}"]
        made.keys += _own(made, of_it)
        found.append(made)
    return found[::-1]


def _own(made: Made, names: Sequence[str]) -> list[str]:
    """The tags that it sets, and those by which the product knows it."""
    tags = [canonical(name) for name in names if not name.endswith(":")]
    tags += own_tags(made.document.get("tags"), made.losses)
    return [f"tags = {' '.join(dict.fromkeys(tags))}"] if tags else []


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


def _distinct(made: Made) -> list[str]:
    """What is counted instead of requests."""
    try:
        pairs = [pair for pair in _selectors(made.document.get("pairwith")) if pair[0] != "self"]
        return [f"count = distinct {_word(*pairs[0])}"] if pairs else []
    except (InvalidValue, AttributeError, TypeError) as why:
        made.lose(f"pairwith: {why}")
        return []


# -- dynamic rules -----------------------------------------------------------------------------------------------------


def rules(naming: Naming, several: Sequence[Any]) -> list[Made]:
    """Dynamic rules."""
    found: list[Made] = []
    for made in _of(naming, "dynamic-rule", several):
        document = made.document
        made.active = document.get("active") is True
        kind, _, name = str(document.get("target") or "ip").partition("_")
        try:
            made.keys = [f"key = {_word(kind, name) if name else _word('attrs', kind)}"]
        except InvalidValue as why:
            made.lose(f"target: {why}")
            made.keys = ["key = ip"]
        made.keys += _include_exclude(made)
        made.keys.append(f"limit = {_seconds(made, 'threshold', 0)} per {_seconds(made, 'timeframe', 60)}s")
        made.keys.append(f"hold = {_seconds(made, 'ttl', 3600)}s")
        action = _action(made, naming, document.get("action"), "action-dynamic-rule-block")
        if action is None:
            made.kept = False
        else:
            made.keys.append(f"action = {action}")
        made.keys += _own(made, ())
        found.append(made)
    return found


# -- ACL profiles ------------------------------------------------------------------------------------------------------


def profiles(naming: Naming, several: Sequence[Any], *, named: bool) -> list[Made]:
    """ACL profiles.

    :param named: whether there are path maps that name them; then filters put the tags on that name them.
    """
    found = []
    for made in _of(naming, "acl-profile", several):
        document = made.document
        made.active = document.get("active") is not False
        for key, names in _LISTS.items():
            tags = []
            for tag in (str(tag) for name in names for tag in _listed(document.get(name))):
                form = canonical(tag.strip())
                if form != tag:
                    made.look(f"tag {tag} is written {form}")
                if form and form not in tags:
                    tags.append(form)
            made.keys += [f"{key} = {' '.join(tags)}"] if tags else []
        action = _action(made, naming, document.get("action"), "action-acl-block")
        made.keys += [f"action = {action}"] if action not in (None, "block") else []
        made.keys += _own(made, () if named else names_of(document))
        if not named:
            made.look("it holds for the path maps that name it in acl-profile")
        found.append(made)
    return found


def names_of(profile: Mapping[str, Any]) -> list[str]:
    """The tags by which the product knows a profile."""
    return [f"aclid:{profile.get('id', '')}", f"aclname:{profile.get('name', '')}"]


# -- flows -------------------------------------------------------------------------------------------------------------


def flows(naming: Naming, several: Sequence[Any], session: str) -> list[Made]:
    """Flows, each with a section for every step.

    :param session: the word for a session.
    """
    found = []
    for made in _of(naming, "flow", several):
        document = made.document
        made.active = document.get("active") is True
        given = document.get("sequence") or document.get("steps")
        steps = given if isinstance(given, list) else []
        names = []
        for number, step in enumerate(steps, 1):
            name = naming.name("section", f"{made.name}-{number}")
            names.append(name)
            rule = Rule("and")
            try:
                _step(rule, step)
            except (InvalidValue, AttributeError, TypeError) as why:
                made.lose(f"step {number}: {why}")
            made.inner.append([f"[section {name}]", *rule.written()])
        if not steps:
            made.lose("it has no steps")
            names = [naming.name("section", f"{made.name}-1")]
            made.inner.append([f"[section {names[0]}]", "relation = or"])
        made.keys = [f"steps = {', '.join(names)}", f"within = {_seconds(made, 'timeframe', 60)}s"]
        made.keys.append(f"key = {', '.join(_key(made, session)) or _EVERYBODY}")
        made.keys += _include_exclude(made)
        made.keys += _own(made, [f"fc-id:{document.get('id', '')}", f"fc-name:{document.get('name', '')}"])
        found.append(made)
    return found


def _step(rule: Rule, step: Mapping[str, Any]) -> None:
    """What a step asks for.

    :raises InvalidValue: if something of it cannot be expressed.
    """
    headers = {str(name).lower(): value for name, value in (step.get("headers") or {}).items()}
    host = str(headers.pop("host", ""))
    if not host:
        raise InvalidValue("it has no header Host, without which it is never taken there")
    texts = {"method": str(step.get("method") or "GET"), "authority": host.lower().removesuffix(":443")}
    for key, text in (texts | {"path": str(step.get("uri") or step.get("path") or "/")}).items():
        _add(rule, key, exactly(text))
    several = {"headers": headers, "cookies": step.get("cookies") or {}, "args": step.get("args") or {}}
    for kind, values in several.items():
        for name, value in values.items():
            _add(rule, *pair(kind, str(name), str(value)))
    if step.get("plugins"):
        raise InvalidValue("nothing looks at plugins here")


def _add(rule: Rule, key: str, value: str) -> None:
    key, line = categories.format(categories.entry(key, value, ""))
    rule.lines.setdefault(key, []).append(line)
