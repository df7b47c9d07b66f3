"""What of a file is for one origin: its section, and those of its certificate and its trust store.

Law: what is wrong elsewhere in the file does not hold up the origin, and what is wrong in these sections is an error.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from edgenode.config.edge import Edge
from edgenode.config.ini import IniSection
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.proxy.origin.origin import Origin

_NAMED = {"certificate": "certificate", "trust-store": "trust-store"}
"""The keys of an origin that name a section, with its kind."""


def sections_for(written: Sequence[IniSection], origin: str) -> list[IniSection]:
    """Its sections; and ``[edge]``, for what is the same for all, such as how often files are looked at.

    :param written: those of the file.
    :raises ConfigurationError: if there is no such origin.
    """
    own = next((each for each in written if (each.kind, each.name) == (Origin.kind, origin)), None)
    if own is None:
        names = ", ".join(each.name for each in written if each.kind == Origin.kind)
        raise ConfigurationError([Problem(f"origin {origin}", "", f"there is no such origin; there is: {names}")])
    wanted = {(kind, own.values[key].strip()) for key, kind in _NAMED.items() if key in own.values}
    return [each for each in written if each is own or each.kind == Edge.kind or (each.kind, each.name) in wanted]


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
