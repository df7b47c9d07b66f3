"""The sections of a file, each read into its class.

Law: a section that is written the same, among the same names, is read once, and taken over by the next configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from edgenode.config import schema
from edgenode.config.data import KINDS, NAMED, SECTIONS, UNNAMED
from edgenode.config.ini import IniSection
from edgenode.config.notation import suggestion
from edgenode.config.value_readers import Scope
from edgenode.model.errors import Problem
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.rules.sections import Section

_ATTRIBUTES: Mapping[str, str] = {cls.kind: attribute for attribute, cls in (*UNNAMED.items(), *NAMED.items())}
_KEYS = {key for cls in SECTIONS for key in schema.settings(cls)}
_HOMES = {key: [cls.kind for cls in SECTIONS if key in schema.settings(cls)] for key in _KEYS}
"""The kinds of section that have a key, by the key."""

_RULE_LISTS = (GlobalFilter.kind, Section.kind)
_NAMED_BY_RULES = ("action", "section", "list")


@define(eq=False)
class RuleLists:
    """Sections that are rules alone: what they are read as depends on what is written, and on the names there are.

    :ivar names: the names that they may name, by the kind.
    :ivar sections: what is written of each, in its order, and what it was read as, by its header; without those that
        name a file.
    """

    names: Mapping[str, tuple[str, ...]] = field(factory=dict)
    sections: dict[str, tuple[tuple[tuple[str, str], ...], Section]] = field(factory=dict)


def read_sections(
    written: Sequence[IniSection],
    scope: Scope,
    rule_lists: RuleLists,
    before: RuleLists | None,
    named: Sequence[IniSection],
) -> tuple[dict[str, Any], list[Problem]]:
    """Read each section into its class; the values are the arguments of :class:`edgenode.config.data.Sections`.

    :param rule_lists: keeps those that may be taken over.
    :param before: those that may be.
    :param named: the sections that they may name.
    """
    names: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for section in named:
        names.setdefault(section.kind, []).extend([section.name] if section.name else [])
    names["action"] += PREDEFINED
    problems = [] if names["listener"] else [Problem("", "", "there is no [listener NAME], and so nothing to do")]
    scope = evolve(scope, names=names, homes=_HOMES)
    rule_lists.names = {kind: (*names[kind],) for kind in _NAMED_BY_RULES}
    known = before.sections if before is not None and before.names == rule_lists.names else {}
    values: dict[str, Any] = {attribute: {} for attribute in NAMED}
    for section in written:
        attribute = _ATTRIBUTES.get(section.kind, "")
        if attribute in UNNAMED:
            if section.name:
                problems.append(Problem(section.header, "", f"the section [{section.kind}] has no name"))
            value, found = schema.read(section, UNNAMED[attribute], scope)
            values[attribute] = value or UNNAMED[attribute]()
        elif not attribute:
            sentence = f'unknown kind of section "{section.kind}"{suggestion(section.kind, KINDS)}'
            found = [Problem(section.header, "", sentence)]
        elif not section.name:
            found = [Problem(section.header, "", f"a name is missing: [{section.kind} NAME]")]
        else:
            text, (known_text, value) = (*section.values.items(),), known.get(section.header, (None, None))
            if text == known_text:
                found = []
            else:
                value, found = schema.read(section, NAMED[attribute], scope)
            if value is not None:
                values[attribute][section.name] = value
                if section.kind in _RULE_LISTS and "source" not in section.values:
                    rule_lists.sections[section.header] = text, value
        problems += found
    _add_readings(values)
    return values, problems


def _add_readings(values: dict[str, Any]) -> None:
    """Give the filters and sections the readings of ``[edge]`` besides their own; a path map has only its own."""
    further = values["edge"].readings if "edge" in values else ()
    for attribute in ("global_filters", "sections") if further else ():
        for name, each in values[attribute].items():
            values[attribute][name] = evolve(each, readings=tuple(dict.fromkeys((*each.readings, *further))))
