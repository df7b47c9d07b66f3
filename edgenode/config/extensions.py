"""``[stage]`` and ``[sink]``: stages and event sinks of one's own, and what they are made to.

Law: what an extension makes is checked before anything uses it, and whatever is wrong with it is a problem of the
section that names it. What has not changed in a reload stays the same object.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from attrs import field, frozen

from edgenode.config.schema import Setting, keys_of
from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.model.extensions import GROUPS, Extension, Factory, Table, clashes, failed, installed
from edgenode.model.interfaces import IEventSink, Stage
from edgenode.model.settings import Choice, Extends, setting
from edgenode.policy.actions import EXEMPTIBLE, TYPES
from edgenode.policy.stages import NAMES, Placed, check_place
from edgenode.rules.categories import CATEGORIES, WORDS
from edgenode.rules.fields import FIELDS

T = TypeVar("T")

_FACTORY = (
    "What makes it: the name under which an installed distribution declares it, or ``module:function``. The module is "
    "imported into the node's process, with its rights; also by ``check``, ``explain`` and ``replay``. Its further "
    "keys are those of the extension: see the page Extending."
)


@frozen
class StageSection:
    """A stage of one's own. It judges the requests of every path map that does not say otherwise; ``skip`` of
    ``[action]`` can exempt from it by its name."""

    kind: ClassVar[str] = "stage"

    factory: Annotated[str, Extends("stage")] | None = setting(
        f"{_FACTORY} Without the key the program in which the node is embedded gives the stage.", None
    )
    before: Annotated[str, Choice(NAMES[1:])] | None = setting(
        "The built-in stage before which it judges. Without this key and ``after`` it judges behind all of them.", None
    )
    after: Annotated[str, Choice(NAMES)] | None = setting("The built-in stage behind which it judges.", None)
    extension: Extension | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if it stands before one stage and after another."""
        check_place(self.before or "", self.after or "")


@frozen
class SinkSection:
    """An event sink of one's own: it gets the record of every exchange, whatever ``events`` and ``access-log`` say."""

    kind: ClassVar[str] = "sink"

    factory: Annotated[str, Extends("sink")] = setting(_FACTORY)
    extension: Extension | None = field(default=None, kw_only=True)


NOT_NAMES: Mapping[str, tuple[str, ...]] = {"stage": (*NAMES, *EXEMPTIBLE, "none"), "sink": ()}
"""What no section of a kind may be called."""

Own = Mapping[str, tuple[Any, Any]]
"""The sections of a kind with what they were made to, by the name."""


def made(kind: str, sections: Mapping[str, Any], before: Own) -> tuple[Own, list[Problem]]:
    """What the sections of a kind are made to; without those that cannot be, or that a program is to give.

    :param before: what is in use.
    """
    found: dict[str, tuple[Any, Any]] = {}
    problems = []
    for name, section in sections.items():
        if name in NOT_NAMES[kind]:
            sentence = "this is a word of the configuration" if name == "none" else "this is the name of a built-in one"
            problems.append(Problem(f"{kind} {name}", "", sentence))
        elif name in before and before[name][0] == section:
            found[name] = before[name]
        elif section.extension is not None:
            try:
                found[name] = section, _checked(kind, name, section)
            except InvalidValue as problem:
                problems.append(Problem(f"{kind} {name}", problem.which or "factory", problem.sentence))
            except Exception as error:  # an attribute of what it has made
                problems.append(Problem(f"{kind} {name}", "factory", failed("the extension has made", error)))
    return found, problems


def _checked(kind: str, name: str, section: Any) -> Stage | IEventSink:
    extension: Extension = section.extension
    thing = extension.made(name)
    if kind == "sink":
        if not IEventSink.providedBy(thing) or not callable(getattr(thing, "record", None)):
            raise InvalidValue(f"the extension has made no IEventSink, but a {type(thing).__name__}")
        return thing
    if getattr(thing, "name", None) != name:
        raise InvalidValue("the extension has made no stage of the name that it was given")
    return Placed(thing).stage


def faults() -> Iterator[Problem]:
    """What installed distributions declare that cannot be told from something else, whoever uses it."""
    taken: Mapping[str, Mapping[str, object]] = {
        "field": FIELDS.built_in,
        "category": {**CATEGORIES.built_in, **dict.fromkeys(WORDS)},
        "action": TYPES,
        "stage": {},
        "sink": {},
        "edge-function": {},
    }
    for kind, group in GROUPS.items():
        for name, sentence in clashes(kind, taken[kind]):
            yield Problem(group, name, f"{sentence}; remove one of them")


def of_kind(kind: str) -> Iterator[tuple[str, str, Mapping[str, Setting]]]:
    """The installed extensions of a kind that has keys: name, what it is or why it cannot be used, and its keys."""
    for name in installed(kind) if kind in ("stage", "action", "sink", "edge-function") else ():
        try:
            factory = Factory.named(kind, name)
            help = (inspect.getdoc(factory.call) or "").partition("\n\n")[0]
            yield name, " ".join(help.split()), keys_of(factory, ())
        except InvalidValue as problem:
            yield name, problem.sentence, {}


def usable(table: Table[T]) -> Iterator[T]:
    """What stands in a table, without extensions that cannot be used."""
    for name in table:
        try:
            yield table[name]
        except InvalidValue:
            continue


def placed(
    sections: Mapping[str, StageSection], own: Own, given: Sequence[Stage | Placed], wanted: Sequence[str]
) -> tuple[Placed, ...]:
    """The stages of one's own of a path map, in order.

    :param sections: every ``[stage]`` by its name.
    :param own: what they were made to.
    :param given: those that the program gives; one that has no section judges in every path map.
    :param wanted: the sections that the path map names; all of them if it names none.
    :raises ConfigurationError: if a section has no stage, or a stage that is given has a name that is taken.
    """
    by_name = {each.stage.name: each for each in map(_with_place, given)}
    problems = [Problem(f"stage {name}", "factory", "the program gives one as well") for name in own if name in by_name]
    if len(by_name) < len(given):
        problems.append(Problem("", "", "the program gives two stages of one name"))
    found = []
    for name, section in sections.items():
        stage: Stage | None = own[name][1] if name in own else by_name[name].stage if name in by_name else None
        if stage is None:
            problems.append(Problem(f"stage {name}", "factory", "this key is required: no program gives the stage"))
        elif not wanted or name in wanted:
            found.append(Placed(stage, section.before or "", section.after or ""))
    if problems:
        raise ConfigurationError(problems)
    return (*found, *(each for name, each in by_name.items() if name not in sections))


def _with_place(each: Stage | Placed) -> Placed:
    return each if isinstance(each, Placed) else Placed(each)
