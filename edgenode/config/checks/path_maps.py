"""Whether path maps can be reached, and can look at what they look at: a path map is chosen by a request's head alone.

Law: what could never match as its author meant it is an error; what is only of no use is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from edgenode.config import schema
from edgenode.config.data import Sections
from edgenode.model.errors import InvalidValue, Problem
from edgenode.rules.categories import value_of
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.nodes import FieldValue, Node, walk
from edgenode.rules.matching.contradictions import BEGINNING
from edgenode.rules.section_formulas import minds_case
from edgenode.rules.sections import Section

_EVERY_PATH = frozenset({"/", "^/", ".*", "^.*", "^.*$", "/.*", "^/.*", "^/.*$"})
"""The usual ways to write a path expression that matches any path."""

_EXPRESSIONS = ("path", "uri")
"""The categories whose entries are told to be within others by how their expressions begin."""

_ARGUMENTS = FieldValue("edge.arguments", FIELDS["edge.arguments"].type, column=0)

_NOT_YET: Mapping[str, str] = {
    "tags": "looks for a tag and never finds one: tags are put on only after a path map is chosen",
    "body": "looks at the body of a request, which is read only after a path map is chosen; for the arguments of the "
    "query look at query",
    "tokens": "looks at a token, which is verified only after a path map is chosen",
    "edge.path_map": "looks for the name of a path map, and it is one that is chosen only now",
}
"""What a path map cannot look at, by the need or the name of a field."""


def unreachable(configuration: Sections) -> Iterator[Problem]:
    """Path maps that are never chosen."""
    for name, policy in configuration.security_policies.items():
        earlier: list[str] = []
        for path_map_name in policy.path_maps:
            path_map = configuration.path_maps.get(path_map_name)
            if path_map is None:
                continue
            hiding = [other for other in earlier if covers(configuration.path_maps[other], path_map)]
            reason = f'"{hiding[0]}" before it matches the same requests' if hiding else ""
            if path_map.empty and path_map.relation == "or":
                reason = "an or without entries and sections matches nothing"
            if reason:
                sentence = f'"{path_map_name}" can never be reached: {reason}'
                yield Problem(f"security-policy {name}", "path-maps", sentence, warning=True)
            earlier.append(path_map_name)


def covers(earlier: Section, later: Section) -> bool:
    """Whether all that ``later`` matches is certainly matched by ``earlier``, as far as their texts tell."""
    if _matches_every_path(earlier):
        return True
    wanted, items = _items(earlier), _items(later)
    alternatives = [items] if later.relation == "and" else [frozenset({item}) for item in items]
    enough = all if earlier.relation == "and" else any
    return all(enough(any(_implies(given, item) for given in each) for item in wanted) for each in alternatives)


def _matches_every_path(section: Section) -> bool:
    vain = [entry.category == "path" and entry.value in _EVERY_PATH for entry in section.entries]
    if section.relation == "or":
        return any(vain)
    return all(vain) and not section.sections and section.expression is None


def _items(section: Section) -> frozenset[tuple[str, ...]]:
    readings = " ".join(sorted(section.readings))
    entries = {
        (entry.category, entry.name, entry.value, f"{minds_case(entry, section.match_case)} {readings}")
        for entry in section.entries
    }
    expression = {("expression", str(section.expression))} if section.expression is not None else set()
    return frozenset(entries | {("sections", name) for name in section.sections} | expression)


def _implies(given: tuple[str, ...], item: tuple[str, ...]) -> bool:
    """Whether what satisfies one item satisfies another: the same, or an expression for texts that begin alike."""
    if given == item:
        return True
    alike = (*given[:2], *given[3:]) == (*item[:2], *item[3:]) and given[0] in _EXPRESSIONS
    beginning = BEGINNING.fullmatch(item[2]) if alike else None
    longer = BEGINNING.match(given[2]) if alike and "|" not in given[2] else None
    return beginning is not None and longer is not None and longer[1].startswith(beginning[1])


def looks_too_early(configuration: Sections) -> Iterator[Problem]:
    """Path maps that look at a body, a tag or the path map's name, none of which is known when it is chosen."""
    for name, path_map in configuration.path_maps.items():
        header = f"path-map {name}"
        for word, sentence in _NOT_YET.items():
            for key, text, node in _looked_at(path_map, configuration.sections):
                if word == node.name or word in FIELDS[node.name].needs:
                    yield schema.located(header, key, text, InvalidValue(sentence, node.column), key == "expression")
                    break


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
        if entry.category == "method" and "method-override" in section.readings:
            yield entry.key, entry.value, _ARGUMENTS
    if section.expression is not None:
        yield "expression", section.expression.text, section.expression.root


def with_inner(section: Section, named: Mapping[str, Section]) -> Iterator[Section]:
    """A section and all those within it, each once, also if they name one another in a circle."""
    waiting, seen = [section], set[str]()
    while waiting:
        section = waiting.pop()
        yield section
        fresh = [name for name in section.sections if name in named and name not in seen]
        seen.update(fresh)
        waiting += [named[name] for name in fresh]
