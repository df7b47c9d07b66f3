"""What rules may name, and how they are to be understood: one value for all rules of a configuration."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from attrs import field, frozen

from edgenode.rules.language.vocabulary import EXCHANGES, Vocabulary
from edgenode.rules.lists import Members
from edgenode.rules.sections import Section


@frozen
class Definitions:
    """The sections and lists that rules name.

    :ivar sections: every ``[section]`` by its name.
    :ivar lists: the members of every ``[list]`` by its name.
    :ivar missing_not_equal: whether ``ne`` is true of what is missing, as in bare wirefilter; at Cloudflare, and here
        unless it is switched, every comparison with what is missing is false.
    :ivar vocabulary: what expressions look at.
    :ivar subjects: what :func:`edgenode.rules.language.expression_formulas.subject` has made of values, by the value.
    """

    sections: Mapping[str, Section] = field(factory=dict)
    lists: Mapping[str, Members] = field(factory=dict)
    missing_not_equal: bool = False
    vocabulary: Vocabulary = field(default=EXCHANGES, kw_only=True)
    subjects: dict[Hashable, Any] = field(factory=dict, init=False, eq=False, repr=False)
