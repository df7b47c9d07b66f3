"""The actions of rules: what each says, worked out with the defaults of its phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import define, field

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import names
from edgenode.policy.contentfilter.directives import Control, Place, Rule, SetVar
from edgenode.policy.contentfilter.numbers import is_number, numbers
from edgenode.policy.contentfilter.syntax import Word
from edgenode.policy.contentfilter.targets import check_macros, targets


@define
class Draft:
    """What a list of actions says; the attributes are those of :class:`~.directives.Rule`, unset ones ``None``.

    :ivar chain: whether the next rule is a link of it.
    :ivar unsupported: what cannot be done here, each a sentence.
    """

    id: int = 0
    phase: int | None = None
    chain: bool = False
    transformations: list[str] = field(factory=list)
    multi_match: bool = False
    capture: bool = False
    disruptive: str | None = None
    allows: str = ""
    status: int = 0
    set_vars: list[SetVar] = field(factory=list)
    controls: list[Control] = field(factory=list)
    skip_after: str = ""
    skip: int = 0
    init_collections: list[tuple[str, str]] = field(factory=list)
    message: str = ""
    log_data: str = ""
    tags: list[str] = field(factory=list)
    severity: int | None = None
    logged: bool | None = None
    unsupported: list[str] = field(factory=list)

    def rule(self, place: Place, phase: int, default: Draft, link: bool) -> Rule:
        """The rule, without what it looks at.

        :param phase: its own, or that of the first link.
        :param default: the defaults of the phase.
        :param link: whether it is a further link of a chain.
        """
        block = self.disruptive == "block"
        logged = default.logged if self.logged is None else self.logged
        return Rule(
            place,
            0 if link else self.id,
            phase,
            transformations=_in_effect([*default.transformations, *self.transformations]),
            multi_match=self.multi_match or default.multi_match,
            capture=self.capture or default.capture,
            disruptive=(default.disruptive if block else self.disruptive) or "pass",
            allows=default.allows if block else self.allows,
            status=self.status or default.status,
            set_vars=(*default.set_vars, *self.set_vars),
            controls=(*default.controls, *self.controls),
            skip_after=self.skip_after,
            skip=self.skip,
            init_collections=tuple(self.init_collections),
            message=self.message,
            log_data=self.log_data or default.log_data,
            tags=(*default.tags, *self.tags),
            severity=default.severity if self.severity is None else self.severity,
            logged=True if logged is None else logged,
            unsupported="; ".join([*default.unsupported, *self.unsupported]),
        )


def _in_effect(transformations: list[str]) -> tuple[str, ...]:
    """Those behind the last ``none``."""
    last = max((place for place, name in enumerate(transformations, 1) if name == "none"), default=0)
    return tuple(transformations[last:])


def drafted(actions: Iterable[tuple[Word, Word]], at: int = 0, onto: Draft | None = None) -> Draft:
    """What a list of actions says.

    :param at: where the list begins, for columns.
    :param onto: what was said before it.
    :raises InvalidValue: with the first that is wrong.
    """
    draft = onto or Draft()
    for word, value in actions:
        name = names.ACTIONS.get(word.text.lower())
        try:
            if name is None:
                raise InvalidValue(f"there is no action {word.text}", word.at)
            if name in names.WITHOUT_VALUE and value.text:
                raise InvalidValue(f"{name} has no value", value.at)
            if name in names.WITH_VALUE and not value.text:
                raise InvalidValue(f"{name} needs a value", word.at)
            if name in names.UNSUPPORTED_ACTIONS:
                draft.unsupported.append(f"{name} is not supported: {names.UNSUPPORTED_ACTIONS[name]}")
            elif name not in names.HARMLESS:
                _SAYS[name](draft, value)
        except InvalidValue as problem:
            raise InvalidValue(problem.sentence, at + (problem.column or 0)) from None
    return draft


def _sets(attribute: str, value: Any, draft: Draft, _: Word) -> None:
    setattr(draft, attribute, value)


def _text(attribute: str, draft: Draft, value: Word) -> None:
    check_macros(value.text, value.at)
    setattr(draft, attribute, value.text)


def _number(attribute: str, smallest: int, largest: int, draft: Draft, value: Word) -> None:
    if not is_number(value.text) or len(value.text) > 10 or not smallest <= int(value.text) <= largest:
        raise InvalidValue(f"this is no number from {smallest} to {largest}: {value.text}", value.at)
    if attribute == "id" and draft.id:
        raise InvalidValue("the rule has a number already", value.at)
    setattr(draft, attribute, int(value.text))


def _phase(draft: Draft, value: Word) -> None:
    if value.text.lower() not in names.PHASES:
        raise InvalidValue(f"there is no phase {value.text}: there are 1 to 5", value.at)
    draft.phase = names.PHASES[value.text.lower()]


def _severity(draft: Draft, value: Word) -> None:
    known = {name: number for number, name in enumerate(names.SEVERITIES)} | {str(each): each for each in range(8)}
    if value.text.lower() not in known:
        listed = ", ".join(each.upper() for each in names.SEVERITIES)
        raise InvalidValue(f"there is no severity {value.text}: there are {listed}, and 0 to 7", value.at)
    draft.severity = known[value.text.lower()]


def _transformation(draft: Draft, value: Word) -> None:
    name = names.TRANSFORMATIONS.get(value.text.lower())
    if name is None:
        raise InvalidValue(f"there is no transformation {value.text}", value.at)
    draft.transformations.append(name)


def _allow(draft: Draft, value: Word) -> None:
    if value.text.lower() not in ("", "phase", "request"):
        raise InvalidValue("allow lets the phase pass, the request, or, without a value, everything", value.at)
    draft.disruptive, draft.allows = "allow", value.text.lower()


def _tag(draft: Draft, value: Word) -> None:
    check_macros(value.text, value.at)
    draft.tags.append(value.text)


def _set_var(draft: Draft, value: Word) -> None:
    deleted = value.text.startswith("!")
    name, equals, content = value.text.removeprefix("!").partition("=")
    collection, member = _member(Word(name, value.at + deleted))
    if deleted and equals:
        raise InvalidValue("what is deleted gets no value", value.at)
    check_macros(value.text, value.at)
    change = content[0] if content[:1] in ("+", "-") and content[1:] else "="
    content = content[1:] if change != "=" else content
    if collection in names.PERSISTENT:
        return
    if deleted:
        draft.set_vars.append(SetVar(collection, member, "!"))
    else:
        draft.set_vars.append(SetVar(collection, member, change, content if equals else "1"))


def _member(word: Word) -> tuple[str, str]:
    """``tx.name`` or ``tx:name``."""
    dot = min((place for place in map(word.text.find, ".:") if place >= 0), default=-1)
    collection, name = word.text[:dot].strip().upper(), word.text[dot + 1 :].strip().lower()
    if dot < 0 or collection not in names.SETTABLE:
        raise InvalidValue(f"this sets none of {', '.join(sorted(names.SETTABLE))}: tx.NAME=VALUE", word.at)
    if not name:
        raise InvalidValue("a name is missing: tx.NAME=VALUE", word.at)
    return collection, name


def _init_collection(draft: Draft, value: Word) -> None:
    collection, equals, key = value.text.partition("=")
    if collection.upper() not in names.PERSISTENT or not equals:
        raise InvalidValue(f"this begins none of {', '.join(sorted(names.PERSISTENT))}: ip=KEY", value.at)
    check_macros(key, value.at + len(collection) + 1)
    draft.init_collections.append((collection.upper(), key))


def _control(draft: Draft, value: Word) -> None:
    written, equals, content = value.text.partition("=")
    if written.lower() in names.HARMLESS_CONTROLS:
        return
    name, at = names.CONTROLS.get(written.lower()), value.at + len(written) + 1
    if name is None:
        raise InvalidValue(f"there is no control {written}", value.at)
    if not equals or not content:
        raise InvalidValue(f"{name} needs a value", value.at)
    known = names.CONTROL_VALUES.get(name)
    if known is not None:
        if content.lower() not in known:
            raise InvalidValue(f"{name} is one of {', '.join(known)}, and not {content}", at)
        draft.controls.append(Control(name, content.lower()))
        return
    first, semicolon, aim = content.partition(";")
    for each in first.split() if name.endswith("ById") else ():
        numbers(Word(each, at))
    if name.startswith("ruleRemoveTarget"):
        if not semicolon:
            raise InvalidValue(f"{name} needs a target: {name}=RULE;VARIABLE", at)
        draft.controls += (Control(name, first, each) for each in targets(aim, at + len(first) + 1))
    else:
        draft.controls.append(Control(name, content))


_SAYS: Mapping[str, Callable[[Draft, Word], None]] = {
    **{name: partial(_sets, "disruptive", name) for name in names.DISRUPTIVE},
    "allow": _allow,
    "capture": partial(_sets, "capture", True),
    "chain": partial(_sets, "chain", True),
    "ctl": _control,
    "id": partial(_number, "id", 1, 2**31 - 1),
    "initcol": _init_collection,
    "log": partial(_sets, "logged", True),
    "logdata": partial(_text, "log_data"),
    "msg": partial(_text, "message"),
    "multiMatch": partial(_sets, "multi_match", True),
    "nolog": partial(_sets, "logged", False),
    "phase": _phase,
    "setvar": _set_var,
    "severity": _severity,
    "skip": partial(_number, "skip", 1, 10_000),
    "skipAfter": lambda draft, value: setattr(draft, "skip_after", value.text),
    "status": partial(_number, "status", 100, 599),
    "t": _transformation,
    "tag": _tag,
}
"""What takes each action into a draft."""
