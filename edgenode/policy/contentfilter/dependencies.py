"""What a rule looks at and what it changes, as far as that is known before there is a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from attrs import define, field, frozen

from edgenode.policy.contentfilter.directives import Rule, SetVar
from edgenode.policy.contentfilter.macros import Macro, Text

_OF_THE_RUN = frozenset(("TX", "RULE", "MATCHED_VAR", "MATCHED_VAR_NAME", "MATCHED_VARS", "MATCHED_VARS_NAMES"))
"""The variables that say nothing of the request but what rules have put there."""

CAPTURED = frozenset(map(str, range(10)))
"""The members of ``TX`` that regular expressions set."""


@define
class Names:
    """Some members of ``TX``.

    :ivar exact: by name.
    :ivar prefixes: all that begin with one of those; an empty one means all that there are.
    :ivar patterns: all that match one of those.
    """

    exact: set[str] = field(factory=set)
    prefixes: set[str] = field(factory=set)
    patterns: set[str] = field(factory=set)

    def add(self, other: Names) -> None:
        """Those of another as well."""
        self.exact |= other.exact
        self.prefixes |= other.prefixes
        self.patterns |= other.patterns

    def has(self, name: str) -> bool:
        """Whether a member may be among them."""
        return (
            name in self.exact
            or any(name.startswith(each) for each in self.prefixes)
            or any(re.search(each, name, re.IGNORECASE) for each in self.patterns)
        )

    def meets(self, other: Names) -> bool:
        """Whether both may have a member in common."""
        if (self.prefixes or self.patterns) and (other.prefixes or other.patterns):
            return True
        return any(map(self.has, other.exact)) or any(map(other.has, self.exact))


@frozen
class Dependencies:
    """Of one link.

    :ivar reads: the members of ``TX`` that decide whether it matches.
    :ivar told: those that are in what it sets and tells.
    :ivar writes: those that it may set.
    :ivar of_request: whether it depends on the request whether it matches.
    :ivar sets_of_request: whether what it sets does.
    """

    reads: Names
    told: Names
    writes: Names
    of_request: bool
    sets_of_request: bool

    @property
    def changes(self) -> bool:
        """Whether it sets anything at all."""
        return bool(self.writes.exact or self.writes.prefixes)


def of_link(link: Rule) -> Dependencies:
    """The dependencies of a rule by itself, without its chain."""
    reads, told, writes, of_request = Names(), Names(), Names(), False
    for target in link.targets:
        if target.collection != "TX":
            of_request = of_request or target.collection not in _OF_THE_RUN
        elif target.pattern:
            reads.patterns.add(target.pattern)
        elif target.key:
            reads.exact.add(target.key)
        else:
            reads.prefixes.add("")
    if link.operator is not None:
        of_request |= _read((link.operator.argument,), reads) or link.operator.name == "geolookup"
    changes = [each for each in link.set_vars if each.collection == "TX"]
    sets_of_request = _read((text for each in changes for text in (each.name, each.value)), told)
    told.exact |= {each.name for each in changes if each.change in "+-"}
    _read((link.message, link.log_data, *link.tags), told)
    for change in changes:
        _written(change, writes)
    writes.exact |= CAPTURED if link.capture else frozenset()
    return Dependencies(reads, told, writes, of_request, sets_of_request)


def _written(change: SetVar, writes: Names) -> None:
    parts = Text.of(change.name).parts
    if len(parts) == 1 and isinstance(parts[0], bytes):
        writes.exact.add(change.name)
    else:
        writes.prefixes.add(parts[0].decode() if parts and isinstance(parts[0], bytes) else "")


def _read(texts: Iterable[str], names: Names) -> bool:
    """Note the members of ``TX`` that texts have; whether they have variables of a request."""
    macros = [macro for text in texts for macro in _macros(text)]
    names.exact |= {each.key for each in macros if each.collection == "TX"}
    return any(each.collection not in _OF_THE_RUN for each in macros)


def _macros(text: str) -> Iterator[Macro]:
    if "%{" in text:
        yield from Text.of(text).macros
