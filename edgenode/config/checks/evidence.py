"""The part of a rule that a warning is about: where it stands, and how it is quoted."""

from __future__ import annotations

from edgenode.model.errors import Problem
from edgenode.rules.formulas import Evidence
from edgenode.rules.sections import Entry


def problem_at(header: str, evidence: Evidence, sentence: str) -> Problem:
    """A problem of what was written: an entry, or a part of an expression.

    :param header: of the section in which it stands.
    """
    first = evidence[0] if evidence else None
    if isinstance(first, Entry):
        return Problem(header, first.key, sentence, first.value, 0)
    return Problem(header, "expression" if first else "", sentence, str(first) if first else None, 0)


def shown(evidence: Evidence) -> str:
    """Evidence in words."""
    return " and ".join(map(str, evidence))
