"""Formulas read slowly and obviously, part by part: what the engine has to agree with."""

from __future__ import annotations

from typing import Any

from edgenode.model.exchange import Exchange
from edgenode.rules.formulas import All, AnyOf, Computed, Evidence, Formula, Leaf, Not, Odd, Predicate
from edgenode.rules.lists import Members
from edgenode.rules.networks import Networks, Range
from edgenode.rules.regexes import compile_regex


def found(formula: Formula, exchange: Exchange) -> Evidence | None:
    """What makes a formula true of an exchange; ``None`` if it is not."""
    match formula:
        case Leaf(predicate, evidence):
            return evidence if holds(predicate, exchange) else None
        case All(parts):
            several = [found(part, exchange) for part in parts]
            return None if None in several else tuple(one for each in several if each is not None for one in each)
        case AnyOf(parts):
            return next((each for each in (found(part, exchange) for part in parts) if each is not None), None)
        case Odd(parts, evidence):
            true = [part for part in parts if found(part, exchange) is not None]
            return evidence if len(true) % 2 else None
        case Not(part, evidence):
            return evidence if found(part, exchange) is None else None
        case Computed(test, _, evidence):
            return evidence if test(exchange) else None


def is_true(formula: Formula, exchange: Exchange) -> bool:
    """Whether a formula is true of an exchange."""
    return found(formula, exchange) is not None


def holds(predicate: Predicate, exchange: Exchange) -> bool:
    """Whether any value of its subject is as a predicate seeks it."""
    values = list(predicate.subject.read(exchange) or ())
    if predicate.match == "present":
        return bool(values)
    if predicate.match == "true":
        return any(value is True for value in values)
    return any(_satisfies(predicate.match, predicate.sought, value) for value in values)


def _satisfies(match: str, sought: Any, value: Any) -> bool:
    if isinstance(sought, Members):
        return _is_member(match, sought, value)
    if match == "equal":
        return bool(value == sought)
    if match == "regex":
        return bool(compile_regex(sought).search(value))
    if match == "network":
        assert isinstance(sought, Range)
        return bool(value[0] == sought.version and sought.first <= value[1] <= sought.last)
    assert match == "range"
    lowest, highest = sought
    return bool(lowest <= value <= highest)


def _is_member(match: str, members: Members, value: Any) -> bool:
    if match == "equal":
        return value in members.words or any(value.endswith(suffix) for suffix in members.suffixes)
    if match == "regex":
        return any(compile_regex(pattern).search(value) is not None for pattern in members.regexes)
    if match == "network":
        return in_networks(members.networks, value)
    assert match == "range"
    return value in members.numbers


def in_networks(networks: Networks, address: tuple[int, int]) -> bool:
    """Whether an address is in any of the ranges, looked at one by one."""
    version, number = address
    return any(each.version == version and each.first <= number <= each.last for each in networks.ranges())
