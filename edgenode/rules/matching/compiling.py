"""Formulas, compiled: every predicate gets a number and is put into the set of its subject, and a formula becomes a
test on the numbers that hit.

Law: what an exchange costs depends on what is looked at and on what matches, not on how many formulas there are. So
each formula has triggers, predicates of which at least one must hit before it can be true. It is tested only if one
has, and what it looks at besides is looked at only then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

from attrs import frozen

from edgenode.model.exchange import Exchange
from edgenode.rules.formulas import Evidence, Formula, Subject
from edgenode.rules.lists import Members
from edgenode.rules.matching.engines import Automata, Patterns, Workshop
from edgenode.rules.matching.evaluators import Test
from edgenode.rules.matching.looks import Looks, Sought
from edgenode.rules.matching.numbering import Numbering, Part
from edgenode.rules.matching.ordering import by_tags
from edgenode.rules.matching.sets import patterns

Words = dict[str, list[tuple[Any, int]]]
"""What is sought of a subject by the kind of match, each with its number."""


@frozen
class _Judged:
    """A formula in the order of judging.

    :ivar index: its place in the order given.
    :ivar test: whether it is true.
    :ivar looks: the subjects to be looked at first, besides those that always are.
    :ivar gives: the numbers of the tags that it sets, as far as anything looks for them.
    :ivar tags: all tags that it sets.
    :ivar computes: whether it computes something of all tags.
    """

    index: int
    test: Test
    looks: tuple[int, ...]
    gives: frozenset[int]
    tags: frozenset[str]
    computes: bool


@frozen(eq=False)
class FormulaSet:
    """Many formulas, judged together.

    :ivar each_needs: what each looks at besides the head of a request, in the order given: see
        :attr:`edgenode.rules.fields.Field.needs`.
    :ivar ways: of each formula, in the order given, every evidence that it can have, the very object that
        :meth:`matching` returns; without what has to be put together while it is judged.
    :ivar automata: what its regular expressions were compiled to.
    """

    each_needs: tuple[frozenset[str], ...]
    ways: tuple[tuple[Evidence, ...], ...]
    _always: Looks
    _later: tuple[Looks, ...]
    _judged: tuple[_Judged, ...]
    _by_trigger: Mapping[int, tuple[int, ...]]
    _untriggered: tuple[int, ...]
    _computing: bool
    automata: Automata

    @property
    def pieces(self) -> Sequence[object]:
        """Most of what it is made of, in many pieces."""
        return self._judged

    def matching(self, exchange: Exchange) -> Sequence[tuple[int, Evidence]]:
        """The index of each formula that is true, with the evidence, in the order given.

        :raises RuntimeError: if a value cannot be searched for want of memory.
        """
        hits: set[int] = set()
        self._always.look(exchange, hits)
        waiting = set(self._untriggered)
        by_trigger = self._by_trigger
        for hit in hits:
            if hit in by_trigger:
                waiting.update(by_trigger[hit])
        return self._judge(exchange, waiting, hits) if waiting else ()

    def _judge(self, exchange: Exchange, waiting: set[int], hits: set[int]) -> Sequence[tuple[int, Evidence]]:
        matching: list[tuple[int, Evidence]] = []
        looked: set[int] = set()
        tags: set[str] = set()
        heap = sorted(waiting)
        while heap:
            judged = self._judged[heappop(heap)]
            for look in judged.looks:
                if look not in looked:
                    looked.add(look)
                    self._later[look].look(exchange, hits)
            evidence = judged.test(hits, exchange.tagged(tags) if judged.computes and tags else exchange)
            if evidence is None:
                continue
            matching.append((judged.index, evidence))
            if self._computing:
                tags |= judged.tags
            for tag in judged.gives:  # whoever looks for it is judged later: see matching.ordering
                if tag not in hits:
                    hits.add(tag)
                    for later in self._by_trigger.get(tag, ()):
                        if later not in waiting:
                            waiting.add(later)
                            heappush(heap, later)
        if len(matching) > 1:
            matching.sort(key=itemgetter(0))
        return matching


def compile_formulas(
    formulas: Sequence[Formula],
    tags: Sequence[Collection[str]] = (),
    names: Sequence[str] = (),
    workshop: Workshop | None = None,
) -> FormulaSet:
    """Compile formulas that are judged together.

    :param formulas: the formulas.
    :param tags: the tags that each sets if it is true, which others see; none if left out.
    :param names: what they are called in errors.
    :param workshop: where regular expressions are compiled; one of their own if absent.
    :raises InvalidValue: if tags are set and looked for in a circle, or if the regular expressions are too large.
    """
    tags = tags or ((),) * len(formulas)
    names = names or tuple(f"rule {number}" for number in range(1, len(formulas) + 1))
    numbering = Numbering()
    for formula in formulas:
        numbering.count(formula)
    parts = [numbering.part(formula) for formula in formulas]
    computing = [index for index, part in enumerate(parts) if part.computes]
    order = by_tags(names, [part.tags for part in parts], tags, computing)
    numbers = _looked_at_always(parts)
    always, later = numbering.sought(numbers), numbering.sought(numbering.everything - numbers)
    numbers |= _looked_up_besides(always, later)
    workshop = workshop or Workshop()
    engines = workshop.engines(_regexes(always, later))
    judged, by_trigger = _ranked(numbering, parts, order, tags, numbers, [*later])
    looks = Looks.of(always.items(), lambda subject: engines((True, subject)))
    others = tuple(Looks.of([each], lambda subject: engines((False, subject))) for each in later.items())
    found = FormulaSet(
        tuple(part.needs for part in parts),
        tuple(part.ways for part in parts),
        looks,
        others,
        judged,
        {trigger: tuple(ranks) for trigger, ranks in by_trigger.items()},
        tuple(rank for rank, index in enumerate(order) if parts[index].triggers is None),
        bool(computing),
        workshop.automata,
    )
    numbering.forget()
    while parts:
        parts.pop()
    return found


def _ranked(
    numbering: Numbering,
    parts: Sequence[Part],
    order: Sequence[int],
    tags: Sequence[Collection[str]],
    always: frozenset[int],
    later: Sequence[Subject],
) -> tuple[tuple[_Judged, ...], dict[int, list[int]]]:
    """The formulas in the order of judging, and their places in it by their triggers."""
    places = {subject: place for place, subject in enumerate(later)}
    by_trigger: dict[int, list[int]] = {}
    judged = []
    for rank, index in enumerate(order):
        part = parts[index]
        for trigger in () if part.triggers is None else part.triggers.numbers:
            by_trigger.setdefault(trigger, []).append(rank)
        looks = {places[numbering.subject_of(number)] for number in part.numbers - always}
        gives = frozenset(numbering.tags[tag] for tag in tags[index] if tag in numbering.tags)
        judged.append(_Judged(index, part.test, tuple(sorted(looks)), gives, frozenset(tags[index]), part.computes))
    return tuple(judged), by_trigger


def _regexes(always: Mapping[Subject, Sought], later: Mapping[Subject, Sought]) -> dict[tuple[bool, Subject], Patterns]:
    """The regular expressions that are sought, by whether they always are, and by the subject."""
    return {
        (sought is always, subject): patterns(by_match["regex"])
        for sought in (always, later)
        for subject, by_match in sought.items()
        if "regex" in by_match
    }


def _looked_at_always(parts: Sequence[Part]) -> frozenset[int]:
    """The predicates that are looked at for every exchange: triggers, and whatever is in formulas without any."""
    return frozenset[int]().union(*(part.numbers if part.triggers is None else part.triggers.numbers for part in parts))


def _looked_up_besides(always: dict[Subject, Words], later: dict[Subject, Words]) -> frozenset[int]:
    """Words in a part of a request that others are always looked up in are looked up together with those, which takes
    no longer.

    :returns: their numbers; what is always looked at has them now.
    """
    found = set[int]()
    for subject in [*later]:
        words, others = later[subject].get("equal", []), always.get(subject, {}).get("equal")
        if subject.of_request is None or others is None or any(isinstance(sought, Members) for sought, _ in words):
            continue
        others += words
        found.update(number for _, number in words)
        later[subject].pop("equal", None)
        if not later[subject]:
            del later[subject]
    return frozenset(found)


def compile_formula(formula: Formula) -> Callable[[Exchange], Evidence | None]:
    """Compile a single formula into a function: the evidence if it is true, else ``None``.

    :raises InvalidValue: as :func:`compile_formulas`.
    """
    matching = compile_formulas((formula,)).matching

    def match(exchange: Exchange) -> Evidence | None:
        found = matching(exchange)
        return found[0][1] if found else None

    return match
