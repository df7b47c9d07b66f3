"""Warnings about regular expressions that would let one request take a large amount of CPU time.

RE2 searches in linear time, but each byte of a value may be tried against every instruction: those that ``{n,m}``
copies can be busy in more ways than RE2 remembers. Hyperscan, where it is installed, does not mind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from edgenode.config.checks.evidence import problem_at
from edgenode.config.compiled_rules import Formulas
from edgenode.model.errors import Problem
from edgenode.rules.formulas import Leaf, Subject, leaves
from edgenode.rules.lists import Members
from edgenode.rules.matching.engines import vectored
from edgenode.rules.regexes import counted_size

_MOST = 1 << 24
"""Bytes times instructions of RE2 for one subject: about half a second."""

_EACH = 30e-9
"""Seconds for one of them."""


def slow_to_search(formulas: Formulas) -> Iterator[Problem]:
    """What all expressions on one subject could take together, told where most of that comes from."""
    sizes: dict[Subject, dict[str, int]] = defaultdict(dict)
    places: dict[tuple[Subject, str], tuple[str, Leaf]] = {}
    for header, formula in formulas.judged.items():
        for leaf in leaves(formula):
            subject, sought = leaf.predicate.subject, leaf.predicate.sought
            if leaf.predicate.match == "regex":
                for pattern in sought.regexes if isinstance(sought, Members) else (str(sought),):
                    size = 0 if pattern in sizes[subject] or vectored(pattern) else counted_size(pattern)
                    if size:
                        sizes[subject][pattern] = size
                        places[subject, pattern] = header, leaf
    for subject, found in sizes.items():
        length, work = _longest(formulas, subject), sum(found.values())
        if length * work > _MOST:
            header, leaf = places[subject, max(found, key=found.__getitem__)]
            sentence = (
                f"the repetitions in the regular expressions on {subject.key} could keep the node busy for "
                f"{length * work * _EACH:.1f} s with one value of {length} bytes: write them shorter, or install "
                "the package hyperscan, which searches all but the rarest of them at once"
            )
            yield problem_at(header, leaf.evidence, sentence)


def _longest(formulas: Formulas, subject: Subject) -> int:
    """The bytes that the values of a subject can have; 0 if they are not the client's to choose."""
    configuration = formulas.configuration
    if "body" in subject.needs:
        readings = 4 if subject.key == "http.request.body.raw" else 1  # it may stand there in other character sets too
        inspected = (min(each.inspect_body_size, each.max_body_size) for each in configuration.path_maps.values())
        return readings * max(inspected, default=0)
    return (
        0
        if subject.needs - {"arguments"}
        else max((each.max_header_size for each in configuration.listeners.values()), default=0)
    )
