"""Whether rules can look at what they look at: a path map at the head of a request alone, and at names that exist.

Its law is that of :mod:`edgenode.config.checks.references`: what could never match as its author meant it is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from edgenode.config import schema
from edgenode.config.values import suggestion
from edgenode.model.errors import InvalidValue, Problem
from edgenode.rules.categories import value_of
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.nodes import FieldValue, Node, walk
from edgenode.rules.sections import Section

if TYPE_CHECKING:
    from edgenode.config.configuration import Configuration

_NOT_YET: Mapping[str, str] = {
    "tags": "looks for a tag and never finds one: tags are put on only after a path map is chosen",
    "body": "looks at the body of a request, which is read only after a path map is chosen; for the arguments of the "
    "query look at query",
    "edge.path_map": "looks for the name of a path map, and it is one that is chosen only now",
}
"""What a path map cannot look at, by the need or the name of a field."""


def unknowable(configuration: Configuration) -> Iterator[Problem]:
    """A path map is chosen by the head of a request, before the pipeline puts on any tag."""
    for name, path_map in configuration.path_maps.items():
        header = f"path-map {name}"
        for word, sentence in _NOT_YET.items():
            for key, text, node in _looked_at(path_map, configuration.sections):
                if word == node.name or word in FIELDS[node.name].needs:
                    yield schema.located(header, key, text, InvalidValue(sentence, node.column), key == "expression")
                    break


def unknown_names(configuration: Configuration) -> Iterator[Problem]:
    """Entries that look for the name of a section that does not exist."""
    kinds = {"path-matching-name": configuration.path_maps, "security-policy-name": configuration.security_policies}
    for header, section in configuration.written():
        for entry in section.entries if isinstance(section, Section) else ():
            known = kinds.get(entry.category)
            if known is not None and entry.pattern not in known:
                kind = "path-map" if entry.category == "path-matching-name" else "security-policy"
                sentence = f"there is no [{kind} {entry.pattern}]{suggestion(entry.pattern, known)}"
                yield Problem(header, entry.key, sentence, entry.value, len(entry.value) - len(entry.pattern))


def _looked_at(section: Section, named: Mapping[str, Section]) -> Iterator[tuple[str, str, FieldValue]]:
    """The fields that a section looks at, each with the key and the text that lead to it, and its column in that."""
    for key, text, root in _roots(section):
        yield from ((key, text, node) for node in walk(root) if isinstance(node, FieldValue))
    for name in section.sections if named.keys() >= set(section.sections) else ():
        for inner in with_inner(named[name], named):
            for _, _, root in _roots(inner):
                fields = (node for node in walk(root) if isinstance(node, FieldValue))
                yield from (("sections", name, evolve(node, column=0)) for node in fields)


def _roots(section: Section) -> Iterator[tuple[str, str, Node]]:
    for entry in section.entries:
        yield entry.key, entry.value, evolve(value_of(entry), column=0)
    if section.expression is not None:
        yield "expression", section.expression.text, section.expression.root


def with_inner(section: Section, named: Mapping[str, Section]) -> Iterator[Section]:
    """A section and all those within it, each once, even if they stand inside one another in a circle."""
    waiting, seen = [section], set[str]()
    while waiting:
        section = waiting.pop()
        yield section
        fresh = [name for name in section.sections if name in named and name not in seen]
        seen.update(fresh)
        waiting += [named[name] for name in fresh]
