"""A formula taken apart for one exchange: what became of each part of it, and of which values.

Law: formulas are read here as they are written, part by part, and nothing is shared with the engine that judges all of
them at once. So whoever shows this can tell whether the two agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from attrs import evolve, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import All, AnyOf, Computed, Evidence, Formula, Leaf, Not, Odd, Predicate, Sought
from edgenode.rules.language import expression_formulas
from edgenode.rules.lists import Members
from edgenode.rules.networks import Range, network_range
from edgenode.rules.regexes import compile_regex
from edgenode.rules.section_formulas import entry_formula
from edgenode.rules.sections import Section


@frozen
class Found:
    """A value that a predicate was true of.

    :ivar value: the value.
    :ivar span: where in it a regular expression matched, from and to; ``None`` if the whole of it is meant.
    :ivar line: the line of a list or of a feed that it stands in, as far as that is known.
    :ivar annotation: what is said of that line.
    """

    value: Any
    span: tuple[int, int] | None = None
    line: str = ""
    annotation: str = ""


@frozen
class Trace:
    """What became of a formula, or of a part of one.

    :ivar holds: whether it was true.
    :ivar evidence: what made it true, as the engine would say it; ``None`` if it was not.
    :ivar shown: the entries or clauses that it stands for; none if it only joins its parts.
    :ivar relation: how its parts are joined: ``and``, ``or``, ``xor``, ``not``; empty for a single predicate.
    :ivar parts: its parts.
    :ivar subject: what a single predicate looks at; empty for others.
    :ivar values: the values that it looked at; none if there was none.
    :ivar found: those of them that it was true of.
    :ivar section: the name of the section that it is, if it is one.
    """

    holds: bool
    evidence: Evidence | None
    shown: Evidence = ()
    relation: str = ""
    parts: tuple[Trace, ...] = ()
    subject: str = ""
    values: tuple[Any, ...] = ()
    found: tuple[Found, ...] = ()
    section: str = ""

    @property
    def nearly(self) -> bool:
        """Whether it was false though some of what it asks for was there: all but the rest of an ``and``."""
        if self.holds:
            return False
        if self.relation == "and":
            return any(part.holds and part.shown_anywhere for part in self.parts) or any(p.nearly for p in self.parts)
        return self.relation == "or" and any(part.nearly for part in self.parts)

    @property
    def shown_anywhere(self) -> bool:
        """Whether it stands for anything that was written: not so what making formulas adds."""
        return bool(self.shown) or bool(self.section) or any(part.shown_anywhere for part in self.parts)

    def leaves(self) -> Iterator[Trace]:
        """All single predicates in it, and what was computed."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


def trace_section(section: Section, definitions: Definitions, exchange: Exchange) -> Trace:
    """What became of a section whose formula can be made: see :func:`edgenode.rules.section_formulas.formula_of`."""
    parts = [trace(entry_formula(entry, section.match_case, section.readings), exchange) for entry in section.entries]
    if section.expression is not None:
        parts.append(trace(expression_formulas.formula(section.expression, definitions), exchange))
    for name in dict.fromkeys(section.sections):
        inner = trace_section(definitions.sections[name], definitions, exchange)
        parts.append(evolve(inner, section=name))
    return _joined(section.relation, tuple(parts))


def trace(formula: Formula, exchange: Exchange) -> Trace:
    """What became of a formula.

    :param exchange: with every tag that the formula is to see.
    """
    match formula:
        case Leaf():
            return _leaf(formula, exchange)
        case All() | AnyOf():
            return _joined("and" if isinstance(formula, All) else "or", _parts(formula.parts, exchange))
        case Odd():
            parts = _parts(formula.parts, exchange)
            holds = sum(part.holds for part in parts) % 2 == 1
            return Trace(holds, formula.evidence if holds else None, formula.evidence, "xor", parts)
        case Not():
            part = trace(formula.part, exchange)
            return Trace(not part.holds, None if part.holds else formula.evidence, formula.evidence, "not", (part,))
        case Computed():
            holds = formula.test(exchange)
            return Trace(holds, formula.evidence if holds else None, formula.evidence)


def _parts(formulas: Collection[Formula], exchange: Exchange) -> tuple[Trace, ...]:
    return tuple(trace(formula, exchange) for formula in formulas)


def _joined(relation: str, parts: tuple[Trace, ...]) -> Trace:
    true = [part.evidence for part in parts if part.evidence is not None]
    holds = len(true) == len(parts) if relation == "and" else bool(true)
    evidence = sum(true, ()) if relation == "and" else (true or [()])[0]
    return Trace(holds, evidence if holds else None, (), relation, parts)


def holds(predicate: Predicate, exchange: Exchange) -> bool:
    """Whether a predicate is true of any value that its subject has in an exchange."""
    return any(_hit(predicate, value) is not None for value in predicate.subject.read(exchange) or ())


def _leaf(leaf: Leaf, exchange: Exchange) -> Trace:
    predicate = leaf.predicate
    values = tuple(predicate.subject.read(exchange) or ())
    found = tuple(hit for hit in (_hit(predicate, value) for value in values) if hit is not None)
    return Trace(
        bool(found), leaf.evidence if found else None, leaf.evidence, "", (), predicate.subject.key, values, found
    )


def _hit(predicate: Predicate, value: Any) -> Found | None:
    """The value, if a predicate is true of it."""
    sought = predicate.sought
    if isinstance(sought, Members):
        return _member(predicate.match, sought, value)
    return Found(value, _span(sought, value)) if _satisfies(predicate.match, sought, value) else None


def _satisfies(match: str, sought: Sought, value: Any) -> bool:
    match match, sought:
        case "present", _:
            return True
        case "true", _:
            return value is True
        case "equal", _:
            return bool(value == sought)
        case "regex", str():
            return _span(sought, value) is not None
        case "network", Range(version, first, last):
            return bool(value[0] == version and first <= value[1] <= last)
        case "range", (lowest, highest):
            return bool(lowest <= value <= highest)
    raise ValueError(f"there is no match {match}")


def _span(sought: Sought, value: Any) -> tuple[int, int] | None:
    if not isinstance(sought, str) or not isinstance(value, bytes):
        return None
    match = compile_regex(sought).search(value)
    return None if match is None else match.span()


def _member(match: str, members: Members, value: Any) -> Found | None:
    match match:
        case "equal":
            names = [b"*" + suffix for suffix in members.suffixes if value.endswith(suffix)]
            line = value if value in members.words else min(names, key=len, default=None)
            return None if line is None else _listed(value, None, line.decode("utf-8", "replace"), members)
        case "regex":
            spans = ((pattern, _span(pattern, value)) for pattern in members.regexes)
            hit = next(((pattern, span) for pattern, span in spans if span is not None), None)
            return None if hit is None else _listed(value, hit[1], hit[0], members)
        case "network":
            return (
                _listed(value, None, _annotated_network(members, value), members) if value in members.networks else None
            )
        case "range":
            return _listed(value, None, str(value), members) if value in members.numbers else None
    raise ValueError(f"there is no match {match}")


def _listed(value: Any, span: tuple[int, int] | None, line: str, members: Members) -> Found:
    said = members.annotations
    return Found(
        value, span, line, said.get(line) or said.get(line.removeprefix("*"), "")
    )  # *.example.com, .example.com


def _annotated_network(members: Members, value: tuple[int, int]) -> str:
    """The narrowest network with an annotation that an address is in: of the others only their union is kept."""
    found = []
    for line in members.annotations:
        try:
            version, first, last = network_range(line)
        except InvalidValue:  # what only looks like a network
            continue
        if version == value[0] and first <= value[1] <= last:
            found.append((last - first, line))
    return min(found, default=(0, ""))[1]


def simplified(trace: Trace) -> Trace:
    """The same as people read it: what was written as one thing is one, and what making formulas added is not shown."""
    parts = tuple(simplified(part) for part in trace.parts if part.shown_anywhere)
    if not trace.section:
        if trace.relation == "and" and len(parts) == 1:  # a comparison, and that there is something to compare
            return evolve(parts[0], holds=trace.holds, evidence=trace.evidence)
        if trace.relation == "not" and len(parts) == 1 and not parts[0].parts:
            only = parts[0]
            return evolve(trace, relation="", parts=(), subject=only.subject, values=only.values, found=only.found)
        if trace.relation == "or" and len({part.shown for part in parts}) == 1 and not any(p.parts for p in parts):
            found = tuple(hit for part in parts for hit in part.found)
            return evolve(parts[0], holds=trace.holds, evidence=trace.evidence, found=found)
    return evolve(trace, parts=parts)


def closeness(trace: Trace) -> float:
    """The share of what a formula asks for that was there, from 0 to 1."""
    leaves = list(simplified(trace).leaves())
    return sum(leaf.holds for leaf in leaves) / len(leaves) if leaves else 0.0
