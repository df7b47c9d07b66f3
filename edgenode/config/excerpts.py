"""What of a file is for a part of the program: for one origin, or for the observer of a node.

Law: what is wrong elsewhere in the file does not hold up that part, and what is wrong in its sections is an error.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from edgenode.config import schema
from edgenode.config.data import SECTIONS
from edgenode.config.edge import Edge
from edgenode.config.ini import IniSection
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.exporters.exporter import Exporter
from edgenode.observe.journal.journal import Journal
from edgenode.proxy.origin.origin import Origin

Excerpt = Callable[[Sequence[IniSection]], list[IniSection]]
"""Chooses sections of those of a file."""

_OBSERVED = (Journal.kind, Exporter.kind, Alert.kind)

_CLASSES = {cls.kind: cls for cls in SECTIONS}


def of_origin(origin: str) -> Excerpt:
    """An origin with its certificate and its trust store."""

    def excerpt(written: Sequence[IniSection]) -> list[IniSection]:
        own = next((each for each in written if (each.kind, each.name) == (Origin.kind, origin)), None)
        if own is None:
            names = ", ".join(each.name for each in written if each.kind == Origin.kind)
            raise ConfigurationError([Problem(f"origin {origin}", "", f"there is no such origin; there is: {names}")])
        return _with_named(written, [own])

    return excerpt


def of_observer(written: Sequence[IniSection]) -> list[IniSection]:
    """The journal, the exporters, the alerts, and what these name."""
    return _with_named(written, [each for each in written if each.kind in _OBSERVED])


def of_journal(written: Sequence[IniSection]) -> list[IniSection]:
    """The journal alone."""
    return _with_named(written, [each for each in written if each.kind == Journal.kind])


def _with_named(written: Sequence[IniSection], first: Sequence[IniSection]) -> list[IniSection]:
    """Some sections, those that they name, and those that these name; and ``[edge]``, for what is the same for all."""
    by_name = {(each.kind, each.name): each for each in written}
    wanted = {each.header: each for each in written if each.kind == Edge.kind}
    waiting = [*first]
    while waiting:
        section = waiting.pop()
        if section.header not in wanted:
            wanted[section.header] = section
            waiting += [by_name[named] for named in _named_by(section) if named in by_name]
    return [each for each in written if each.header in wanted]


def _named_by(section: IniSection) -> list[tuple[str, str]]:
    """The kinds and names of the sections that one names."""
    found = []
    for key, setting in schema.settings(_CLASSES[section.kind]).items():
        kind, items = setting.notation.refers_to, setting.notation.items
        if kind and key in section.values:
            text = section.values[key]
            found += [(kind, name) for name in (items.findall(text) if items else [text.strip()])]
    return found


def problems_in(problems: Sequence[Problem], written: Sequence[IniSection], own: Sequence[IniSection]) -> list[Problem]:
    """The problems that are in some sections, or in front of all.

    :param problems: of the whole file.
    :param written: its sections.
    :param own: the sections; ``[edge]`` is not held against anybody.
    """
    headers = {each.header for each in own if each.kind != Edge.kind}
    starts = sorted((each.lines.get("", (0,))[0], each.header) for each in written)

    def within(problem: Problem) -> bool:
        if problem.section or not problem.line:
            return problem.section in headers
        before = bisect_right(starts, (problem.line, "\uffff"))
        return not before or starts[before - 1][1] in headers

    return [each for each in problems if within(each)]
