"""The whole effective configuration as INI: what a file says, what it leaves to defaults, and what the system adds.

Law: read again it is the same configuration. Secrets stand there as they are written, and nothing is resolved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from edgenode.config import ini, schema
from edgenode.config.data import Sections
from edgenode.config.system_filters import is_system, with_system_filters
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.proxy.routing import PathMap
from edgenode.rules.feeds import Feed

_OF_FEEDS = frozenset(field.name for field in attrs.fields(Feed))


def effective(configuration: Sections, text: str) -> str:
    """The configuration that was read from a text, with everything written out."""
    in_file, _ = ini.read(text, ())
    changed = {section.header: section.values for section in in_file}
    everything, _ = with_system_filters(in_file)
    written = {section.header: section.values for section in everything}
    parts = []
    for header, section in configuration.written():
        notes = (f"# {note}" for note in _notes(configuration, header, section, changed.get(header, {})))
        parts.append([*notes, f"[{header}]", *_lines(section, written.get(header, {}))])
    predefined = ", ".join(name for name in PREDEFINED if name not in configuration.actions)
    parts += [[f"# predefined actions: {predefined}"]] if predefined else []
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _notes(configuration: Sections, header: str, section: Any, changed: Mapping[str, str]) -> Iterator[str]:
    name = header.partition(" ")[2]
    if isinstance(section, GlobalFilter) and is_system(name):
        yield f"system-managed, changed: {', '.join(changed)}" if changed else "system-managed"
    for group_name in configuration.server_groups if isinstance(section, PathMap) else ():
        if name in configuration.path_maps_of(group_name):
            yield f"mode for [server-group {group_name}]: {configuration.mode(name, group_name)}"


def _lines(section: Any, written: Mapping[str, str]) -> Iterator[str]:
    known = schema.values_of(section)
    for key, (setting, value) in known.items():
        vain = isinstance(section, Feed) and not section.sources and setting.attribute in _OF_FEEDS
        if key in written:
            yield _line(key, written[key])
        elif value not in (None, (), "") and not vain:
            yield _line(key, setting.notation.write(value))
    yield from (_line(key, text) for key, text in written.items() if key not in known)


def _line(key: str, text: str) -> str:
    first, *more = text.split("\n")
    return "\n".join((f"{key} = {first}".rstrip(), *(f"    {line}".rstrip() for line in more)))
