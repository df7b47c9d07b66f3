"""Warnings about rules that their author can hardly have meant: that never match, have no effect, or contradict.

Law: a warning changes nothing, and few of them are false: a reader of many false ones would read none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, islice, product

from attrs import evolve

from edgenode.config.checks.certificate_rules import passing_if_verified, unjudged_certificates, without_mtls
from edgenode.config.checks.comparisons import impossible_comparisons, ne_of_missing
from edgenode.config.checks.evidence import problem_at, shown
from edgenode.config.checks.regex_cost import slow_to_search
from edgenode.config.checks.tags import keys_without_values, unset_tags, unset_tags_in_lists, vain_tags
from edgenode.config.compiled_rules import Formulas
from edgenode.model.errors import Problem
from edgenode.rules.formulas import All, AnyOf, Evidence, Formula, Leaf, Not, Odd, leaves
from edgenode.rules.matching.contradictions import contradiction
from edgenode.rules.matching.impossible import impossible

_PAIRS = 64
"""Pairs of filters that are looked at to find two that can match the same request."""


def warnings(formulas: Formulas) -> Iterator[Problem]:
    """Every warning about the rules of a configuration without errors."""
    for check in WARNINGS:
        yield from (evolve(problem, warning=True) for problem in check(formulas))


# -- what never matches ------------------------------------------------------------------------------------------------


def _impossible_values(formulas: Formulas) -> Iterator[Problem]:
    for header, own in formulas.own.items():
        for formula in own:
            for leaf in leaves(formula):
                sentence = impossible(leaf.predicate)
                if sentence:
                    yield problem_at(header, leaf.evidence, sentence)


def _contradictions(formulas: Formulas) -> Iterator[Problem]:
    for header, several in formulas.apart.items():
        found = [pair for pair in map(contradiction, several) if pair is not None]
        if found and len(found) == len(several):
            one, two = found[0]
            sentence = f"can never match: {shown(one.evidence)} and {shown(two.evidence)} exclude each other"
            yield Problem(header, "", sentence)


_MANY = 3
"""More networks within others than that, as feeds have them, are told of in one warning."""

# -- twice, and in vain ------------------------------------------------------------------------------------------------


def _duplicate_entries(formulas: Formulas) -> Iterator[Problem]:
    """Entries that say the same in other words, and networks within other ones."""
    for header, section in formulas.lists.items():
        seen: dict[object, Evidence] = {}
        for formula in formulas.own[header]:
            key = _meaning(formula)
            if key in seen:
                yield problem_at(header, _evidence(formula), f"says the same as {shown(seen[key])}")
            seen.setdefault(key, _evidence(formula))
        if section.relation == "or":
            yield from _within_others(header, formulas.own[header])


def _within_others(header: str, formulas: tuple[Formula, ...]) -> Iterator[Problem]:
    leaves = [each for each in formulas if isinstance(each, Leaf) and each.predicate.match == "network"]
    ranges = sorted(
        ((*each.predicate.sought, each) for each in leaves if isinstance(each.predicate.sought, tuple)),
        key=lambda range: (range[0], range[1], -range[2]),
    )
    wide, within = None, list[tuple[Leaf, Leaf]]()
    for version, first, last, leaf in ranges:
        if wide is not None and wide[0] == version and first >= wide[1] and last <= wide[2]:
            if (first, last) != wide[1:3]:
                within.append((leaf, wide[3]))
        else:
            wide = version, first, last, leaf
    shown_each = within if len(within) <= _MANY else within[:1]
    more = f", and {len(within) - 1} others are within others" if len(within) > _MANY else ""
    for leaf, other in shown_each:
        yield problem_at(header, leaf.evidence, f"is within {shown(other.evidence)}{more}")


def _duplicate_filters(formulas: Formulas) -> Iterator[Problem]:
    seen: dict[object, str] = {}
    for header, filter in formulas.filters:
        if filter.empty:
            continue
        key = _meaning(formulas.judged[header]), filter.action
        if key in seen:
            yield Problem(header, "", f"has the same rules and the same action as [{seen[key]}]: one filter would do")
        seen.setdefault(key, header)


def _meaning(formula: Formula) -> object:
    """What two formulas that say the same have in common."""
    match formula:
        case Leaf():
            return formula.predicate
        case AnyOf(parts=(part,)) | All(parts=(part,)):
            return _meaning(part)
        case All() | AnyOf():
            return type(formula), frozenset(map(_meaning, formula.parts))
        case Not():
            return Not, _meaning(formula.part)
        case Odd():
            return Odd, tuple(map(_meaning, formula.parts))
        case _:
            return formula.evidence


def _evidence(formula: Formula) -> Evidence:
    return next((leaf.evidence for leaf in leaves(formula) if leaf.evidence), ())


def _ties(formulas: Formulas) -> Iterator[Problem]:
    """Actions of one priority with different outcomes, of filters that can match the same request."""
    actions = formulas.actions
    users: dict[str, list[str]] = {}
    for header, filter in formulas.filters:
        if filter.action is not None and not actions[filter.action].exempts:
            users.setdefault(filter.action, []).append(header)
    for earlier, later in combinations(users, 2):
        one, two = actions[earlier], actions[later]
        same = evolve(one, name="") == evolve(two, name="") if type(one) is type(two) else False
        if one.strength != two.strength or same:
            continue
        for first, second in islice(product(users[earlier], users[later]), _PAIRS):
            if _can_meet(formulas, first, second):
                sentence = (
                    f'has the priority of "{earlier}", {one.strength}: where [{first}] matches as well, the one '
                    f"that stands first in the file is taken; give one of the two actions a priority"
                )
                yield Problem(second, "action", sentence, later, 0)
                break


def _can_meet(formulas: Formulas, one: str, two: str) -> bool:
    if one not in formulas.apart or two not in formulas.apart:
        return True
    pairs = product(formulas.apart[one], formulas.apart[two])
    return any(contradiction((*a, *b)) is None for a, b in islice(pairs, _PAIRS * _PAIRS))


WARNINGS: tuple[Callable[[Formulas], Iterator[Problem]], ...] = (
    _impossible_values,
    impossible_comparisons,
    _contradictions,
    unset_tags,
    unset_tags_in_lists,
    keys_without_values,
    without_mtls,
    passing_if_verified,
    unjudged_certificates,
    _duplicate_entries,
    _duplicate_filters,
    vain_tags,
    _ties,
    ne_of_missing,
    slow_to_search,
)
"""Every kind of warning."""
