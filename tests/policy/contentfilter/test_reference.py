"""Our engine beside libmodsecurity, with Debian's Core Rule Set: the same rules match, and the scores are the same.

What differs is listed here, and in ``docs/content-filter-differences.rst``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pytest

from tests.support import attack_requests
from tests.support.modsecurity import DEBIAN_RULES, DEBIAN_SETUP, Answer, Asked, Reference
from tests.support.rulesets import Ours, exchange, has_further

pytest.importorskip("libmodsecurity")
pytest.importorskip("libinjection")

pytestmark = [
    pytest.mark.skipif(not DEBIAN_SETUP.exists(), reason="Debian's package modsecurity-crs is not installed"),
    pytest.mark.deadline(300),
]

PARTS = 8

FEWEST = 3000
"""The requests that have to be compared, all parts together."""


def _is_multipart(request: Asked) -> bool:
    return any(value.startswith(b"multipart/") for _, value in request.headers)


def _has_lines(request: Asked) -> bool:
    """Whether a value of multipart has a line end in it."""
    return _is_multipart(request) and b"\n" in request.body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]


def _has_nul(request: Asked) -> bool:
    return any(nul in request.target + request.body for nul in (b"\0", b"%00", b"\\u0000"))


FURTHER_RULES: Mapping[str, Callable[[Asked], bool]] = {
    "libmodsecurity takes the line ends out of values of multipart": _has_lines,
}
"""Where rules match here, and not there: why, and of which requests."""

FURTHER_SCORES: Mapping[str, Callable[[Asked], bool]] = {
    "libmodsecurity does not look at a value once more from which utf8toUnicode took a NUL": _has_nul,
}
"""Where a rule matches here more often than there."""


def everything() -> list[Asked]:
    """All requests that are compared."""
    return [*attack_requests.odd(), *attack_requests.benign(), *attack_requests.attacks()]


def part(number: int) -> list[Asked]:
    """One part of them."""
    return everything()[number::PARTS]


@cache
def ours(*, further: bool) -> Ours:
    """Our engine with Debian's rules."""
    return Ours(DEBIAN_RULES, DEBIAN_SETUP, further=further)


def explained(request: Asked, mine: Answer, theirs: Answer) -> bool:
    """Whether two answers are the same but for what is listed."""
    if mine == theirs:
        return True
    more = all(mine.scores.get(name, 0) >= score for name, score in theirs.scores.items())
    if mine.rules == theirs.rules:
        return more and any(holds(request) for holds in FURTHER_SCORES.values())
    return more and set(theirs.rules) < set(mine.rules) and any(holds(request) for holds in FURTHER_RULES.values())


def test_there_are_enough_requests() -> None:
    """Thousands of requests are compared, each of which some listener would take in."""
    assert len(everything()) >= FEWEST


@pytest.mark.parametrize("number", range(PARTS))
def test_the_same_rules_match_as_in_the_reference(number: int) -> None:
    """For every request the same rules match, in the same order, and the scores are the same, but for what is listed;
    with what other servers would read of it, at least those match."""
    requests = part(number)
    wrong: list[tuple[str, Answer | None, Answer]] = []
    for request, theirs in zip(requests, Reference().answers(requests), strict=True):
        mine = ours(further=False).answer(request)
        if mine is None:
            continue
        if not explained(request, mine, theirs):
            wrong.append((request.name, mine, theirs))
        elif has_further(exchange(request)):
            all_of_it = ours(further=True).answer(request)
            if all_of_it is None or not set(theirs.rules) <= set(all_of_it.rules):
                wrong.append((request.name, all_of_it, theirs))
    assert wrong == []


def test_a_difference_would_be_seen() -> None:
    """An answer with a rule less, a rule more or another score is none that is explained."""
    request = next(attack_requests.attacks())
    theirs = Answer((942100, 949110), {"inbound": 5})
    for other in (Answer((949110,), {}), Answer((942100, 949110), {"inbound": 10}), Answer((1, 942100, 949110), {})):
        assert not explained(request, other, theirs)
