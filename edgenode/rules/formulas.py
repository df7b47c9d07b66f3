"""Formulas: what entries, sections and expressions all come down to; predicates joined by and, or, xor and not.

Law: both notations mean their formula and nothing else. A predicate is true if any value of its subject satisfies it;
where the subject is missing or has no value, no predicate is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Union

from attrs import field, frozen

from edgenode.model.exchange import Exchange, Request
from edgenode.rules.language.types import Type
from edgenode.rules.lists import Members
from edgenode.rules.networks import Range
from edgenode.rules.sections import Entry


@frozen
class Clause:
    """A part of an expression, as the evidence that it was true.

    :ivar text: the part, in canonical form.
    """

    text: str
    annotation: str = ""

    def __str__(self) -> str:
        return self.text


Evidence = tuple[Entry | Clause, ...]
"""What made a formula true, in the order written."""


Read = Callable[[Exchange], Collection[Any] | None]
"""Reads every value of a subject; ``None`` or none at all where it is missing."""


@frozen
class Subject:
    """What predicates look at: all values that a field, or a value made of fields, has in an exchange.

    :ivar key: its canonical text, ``http.request.headers["x"][*]``; two subjects with one key are the same.
    :ivar type: the type of each value: ``Bool``, ``Int``, ``Bytes`` or ``Ip``. Only ``edge.tags`` has ``str``.
    :ivar read: every value; ``None`` or none at all where it is missing.
    :ivar needs: what it takes to read it: see :class:`edgenode.rules.fields.Field`.
    :ivar breadth: a guess at how many requests in a hundred one predicate on it is true of.
    :ivar header: the name of the header, in lower case, if its values are all that is read; else ``None``.
    :ivar of_request: reads its one value of a request, ``None`` where it is missing; ``None`` for all subjects that may
        have several values, or that are no part of a request.
    """

    key: str
    type: Type = field(eq=False)
    read: Read = field(eq=False, repr=False)
    needs: frozenset[str] = field(default=frozenset(), eq=False)
    breadth: int = field(default=5, eq=False)
    header: bytes | None = field(default=None, eq=False)
    of_request: Callable[[Request], Any] | None = field(default=None, eq=False, repr=False)


Sought = None | bool | bytes | str | int | tuple[int, int] | Range | Members


@frozen(cache_hash=True)
class Predicate:
    """Whether any value of a subject is as it is sought.

    :ivar subject: what is looked at.
    :ivar match: how: ``present`` (it has a value), ``true`` (a ``Bool`` that holds), ``equal`` (``Bytes``; ``str`` for
        tags), ``regex`` (``Bytes``), ``network`` (``Ip``), ``range`` (``Int``).
    :ivar sought: for ``equal`` the value; for ``regex`` a checked pattern of RE2, text in latin-1; for ``network`` a
        :class:`~edgenode.rules.networks.Range`; for ``range`` the pair of the lowest and the highest; for each of these
        four also the :class:`~edgenode.rules.lists.Members` of a list; for the others ``None``.
    """

    subject: Subject
    match: str
    sought: Sought = None


@frozen
class Leaf:
    """True if its predicate is.

    :ivar evidence: what to show if it is.
    """

    predicate: Predicate
    evidence: Evidence


@frozen
class All:
    """True if every part is; ``All(())`` is always true."""

    parts: tuple[Formula, ...]


@frozen
class AnyOf:
    """True if any part is; ``AnyOf(())`` never is. The first true part in the order written is the evidence."""

    parts: tuple[Formula, ...]


@frozen
class Odd:
    """True if an odd number of parts is: xor."""

    parts: tuple[Formula, ...]
    evidence: Evidence


@frozen
class Not:
    """True if its part is not."""

    part: Formula
    evidence: Evidence


@frozen
class Computed:
    """What can be told only by computing it anew for each exchange.

    :ivar test: whether it is true.
    :ivar needs: what it takes to compute it. With ``tags`` among them it is computed once every tag is known.
    """

    test: Callable[[Exchange], bool]
    needs: frozenset[str]
    evidence: Evidence


Formula = Union[Leaf, All, AnyOf, Odd, Not, Computed]  # noqa: UP007


def every(formula: Formula) -> Iterator[Formula]:
    """A formula and everything in it, in the order written; of a part that stands in it several times, once."""
    seen: set[int] = set()
    waiting = [formula]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        match part:
            case Not():
                waiting.append(part.part)
            case All() | AnyOf() | Odd():
                waiting += reversed(part.parts)


def leaves(formula: Formula) -> Iterator[Leaf]:
    """Every predicate in a formula."""
    return (part for part in every(formula) if isinstance(part, Leaf))


def needs_of(formula: Formula) -> frozenset[str]:
    """What it takes to tell whether a formula is true: see :class:`edgenode.rules.fields.Field`."""
    computed = (part.needs for part in every(formula) if isinstance(part, Computed))
    return frozenset[str]().union(*computed, *(leaf.predicate.subject.needs for leaf in leaves(formula)))


def requires_tag(formula: Formula, tag: str) -> bool:
    """Whether a formula is certainly true of nothing without a tag: one of the parts that must all hold looks for it,
    or each of the parts of which any is enough. What stands under ``not`` or xor, or is computed, is no such part."""
    known: dict[int, bool] = {}  # one section may stand in many others

    def requires(part: Formula) -> bool:
        if id(part) not in known:
            match part:
                case Leaf(predicate=predicate):
                    known[id(part)] = predicate.match == "equal" and predicate.sought == tag
                case All():
                    known[id(part)] = any(map(requires, part.parts))
                case AnyOf():
                    known[id(part)] = bool(part.parts) and all(map(requires, part.parts))
                case _:
                    known[id(part)] = False
        return known[id(part)]

    return requires(formula)


@frozen
class Reads:
    """What a formula looks at that other rules may change.

    :ivar tags: the tags that it looks for.
    :ivar computes: whether it computes something of all tags.
    """

    tags: frozenset[str] = frozenset()
    computes: bool = False

    @classmethod
    def of(cls, formula: Formula) -> Reads:
        """Of a formula."""
        predicates = [leaf.predicate for leaf in leaves(formula) if "tags" in leaf.predicate.subject.needs]
        computes = any(isinstance(part, Computed) and "tags" in part.needs for part in every(formula))
        return cls(frozenset(each.sought for each in predicates if isinstance(each.sought, str)), computes)


ALWAYS = All(())
NEVER = AnyOf(())
