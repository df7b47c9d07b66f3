"""Whether actions can do what they say: their keys, their headers, and the mode of filtration that they meet.

Law: what cannot work, or is weaker than it looks, is an error or a warning; nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from edgenode.config import schema
from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.policy.modes import Level, settle
from edgenode.proxy.header_names import request_header_fault, response_header_fault


def actions(configuration: Sections) -> Iterator[Problem]:
    """Keys that do not go together, and headers that are not the configuration's to set."""
    for name, section in configuration.actions.items():
        header = f"action {name}"
        for key, problem in section.faults():
            value = getattr(section, key.replace("-", "_"), None)
            if value is None:
                yield Problem(header, key, problem.sentence)
                continue
            text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            yield schema.located(header, key, text, evolve(problem, column=problem.column or 0))
        fault = request_header_fault if section.type == "monitor" else response_header_fault
        for each in section.headers:
            sentence = fault(each.name.encode("ascii"))
            if sentence:
                yield Problem(header, "headers", sentence, str(each), 0)


def clamped_modes(configuration: Sections) -> Iterator[Problem]:
    """Modes that somebody further out forbids."""
    edge = Level(configuration.edge.mode, configuration.edge.strict)
    for name, group in configuration.server_groups.items():
        own = Level(group.mode, group.strict)
        settled = settle([edge, own])[-1]
        if settled.clamped:
            sentence = f"[edge] is strict, and so it is {settled.mode}"
            yield Problem(f"server-group {name}", "mode", sentence, group.mode, 0, warning=True)
        for path_map in configuration.path_maps_of(name):
            section = configuration.path_maps.get(path_map)
            if section is None or not settle([edge, own, Level(section.mode)])[-1].clamped:
                continue
            who = f"[server-group {name}]" if group.strict else "[edge]"
            sentence = f"{who} is strict, and so it is {settled.mode} there"
            yield Problem(f"path-map {path_map}", "mode", sentence, section.mode, 0, warning=True)
