"""Sections as formulas: what the entries, the expression and the sections of a rule list come down to.

Law: an entry and the expression that says the same are one predicate, but for what ``$`` is in a text that a client
has encoded: see :func:`edgenode.rules.categories.sought_of`. A negated entry needs something to negate: where
there is no value it is not true. Nothing that a section names is passed over, and no circle is entered.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from edgenode.model.errors import InvalidValue
from edgenode.rules.categories import category_of, sought_of
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import All, AnyOf, Formula, Leaf, Not, Predicate, Sought
from edgenode.rules.language import expression_formulas
from edgenode.rules.language.patterns import folded
from edgenode.rules.readings import subject_of
from edgenode.rules.sections import Entry, Section

DEEPEST = 32
"""How many sections may stand inside one another."""


def formula_of(section: Section, definitions: Definitions, name: str = "the section") -> Formula:
    """The formula of a section.

    :param name: what it is called in errors.
    :raises InvalidValue: if sections stand inside one another in a circle or more than 32 deep, if a section or a list
        is named that does not exist.
    """
    return SectionFormulas(definitions).formula(section, name)


@define
class SectionFormulas:
    """Makes formulas of sections, of each section once."""

    _definitions: Definitions
    _inner: dict[str, tuple[Formula, int]] = field(factory=dict, init=False)
    _whole: dict[int, tuple[Section, Formula]] = field(factory=dict, init=False)

    def formula(self, section: Section, name: str) -> Formula:
        """As :func:`formula_of`."""
        known = self._whole.get(id(section))
        if known is None:
            found, _ = self._formula(section, (name,))
            known = self._whole[id(section)] = section, found  # the object keeps its id taken
        return known[1]

    def forget(self) -> None:
        """Free the formulas, one after another: no other thread runs while many are freed in one go."""
        while self._whole:
            self._whole.popitem()

    def _formula(self, section: Section, path: tuple[str, ...]) -> tuple[Formula, int]:
        """The formula of a section that is reached by a path of names, and how many sections stand inside one another,
        itself included."""
        parts = [
            entry_formula(entry, section.match_case, section.readings, self._definitions) for entry in section.entries
        ]
        if section.expression is not None:
            parts.append(expression_formulas.formula(section.expression, self._definitions))
        inner = [self._named(name, path) for name in dict.fromkeys(section.sections)]
        parts += [formula for formula, _ in inner]
        height = 1 + max((height for _, height in inner), default=0)
        if height > DEEPEST:
            raise InvalidValue(f"sections stand inside one another more than {DEEPEST} deep")
        return (All if section.relation == "and" else AnyOf)(tuple(parts)), height

    def _named(self, name: str, path: tuple[str, ...]) -> tuple[Formula, int]:
        if name in path[1:]:
            raise self._circle(path[path.index(name, 1) :])
        if len(path) >= DEEPEST:
            raise InvalidValue(f"sections stand inside one another more than {DEEPEST} deep: {' → '.join(path)}")
        if name not in self._definitions.sections:
            raise InvalidValue(f"there is no section {name}")
        if name not in self._inner:
            self._inner[name] = self._formula(self._definitions.sections[name], (*path, name))
        return self._inner[name]

    def _circle(self, names: tuple[str, ...]) -> InvalidValue:
        """The same error wherever the circle is entered: it is told from the section that stands first in the file."""
        first = min(names, key=list(self._definitions.sections).index)
        start = names.index(first)
        shown = " → ".join((*names[start:], *names[:start], first))
        return InvalidValue(f"sections stand inside one another in a circle: {shown}", which=first)


def minds_case(entry: Entry, match_case: bool | None) -> bool:
    """Whether the value of an entry is compared case by case.

    :param match_case: what its section says; without a word those of headers are not.
    """
    return entry.category != "header" if match_case is None else match_case


def entry_formula(
    entry: Entry,
    match_case: bool | None = None,
    readings: Iterable[str] = (),
    definitions: Definitions | None = None,
) -> Formula:
    """The formula of an entry that has been checked, in a section with this ``match-case`` and these readings."""
    subject = subject_of(entry, readings, definitions)
    match, sought = category_of(entry).match, sought_of(entry)
    if not minds_case(entry, match_case):
        match, sought = in_either_case(match, sought)
    leaf = Leaf(Predicate(subject, match, sought), (entry,))
    if not entry.negated:
        return leaf
    differs = Not(leaf, (entry,))
    if "tags" in subject.needs:  # an exchange always has tags, and more of them while it is judged
        return differs
    return All((Leaf(Predicate(subject, "present"), ()), differs))


def in_either_case(match: str, sought: Sought) -> tuple[str, Sought]:
    """What is looked for without regard to the case of ASCII letters; a tag has no case."""
    if isinstance(sought, str) and match == "regex":
        return match, f"(?i:{sought})"
    if isinstance(sought, bytes):
        return "regex", rf"\A(?:{folded(sought)})\z"
    return match, sought
