"""The system-managed filters: those of ``system.ini``, as the configuration changes them.

Law: no other filter can have a name like these, and a misspelt name is an error and changes none of them. What the file
says of one of them is stronger than what it says of all.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from functools import cache

from attrs import evolve

from edgenode.config import ini
from edgenode.config.edge import Edge
from edgenode.config.ini import IniSection
from edgenode.config.notation import suggestion
from edgenode.model.errors import Problem
from edgenode.policy.globalfilters import GlobalFilter

_PREFIX = "system."
_NO = ("no", "false", "off")


def is_system(name: str) -> bool:
    """Whether a filter of this name is system-managed."""
    return name.lower().startswith(_PREFIX)


@cache
def shipped() -> Mapping[str, IniSection]:
    """The filters that the node comes with, by name."""
    text = pathlib.Path(__file__).with_name("system.ini").read_text(encoding="utf-8")
    sections, problems = ini.read(text, (GlobalFilter.kind,))
    assert not problems, problems
    return {section.name: section for section in sections}


def with_system_filters(written: Sequence[IniSection]) -> tuple[list[IniSection], list[Problem]]:
    """The sections of a file with the system-managed filters, changed key by key as the file says.

    :returns: those of the file in their order, then the system-managed ones; and names that are no such filter's, and
        changes that are in vain.
    """
    changes = {each.name: each for each in written if each.kind == GlobalFilter.kind and is_system(each.name)}
    near = {name: suggestion(name, shipped()) for name in changes if name not in shipped()}
    sentence = f"names with {_PREFIX} are the system's, and it has no such filter"
    problems = [Problem(changes[name].header, "", sentence + meant) for name, meant in near.items()]
    off = any(each.kind == Edge.kind and each.values.get("system-filters") in _NO for each in written)
    sections = [each for each in written if each.name not in changes or each.kind != GlobalFilter.kind]
    for name, section in shipped().items():
        own, lines = (changes[name].values, changes[name].lines) if name in changes else ({}, {})
        if off and own and "active" not in own:
            sentence = "is not judged, for [edge] system-filters is no; with active = yes it is all the same"
            problems.append(Problem(section.header, "", sentence, warning=True))
        values = {**section.values, **({"active": "no"} if off else {}), **own}
        sections.append(evolve(section, values=values, lines=lines))
    return sections, problems
