"""The variables that a run of the rules has of its own, and how targets choose among all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edgenode.model.exchange import Exchange
from edgenode.policy.contentfilter import pcre
from edgenode.policy.contentfilter.collections import COLLECTIONS, Collection
from edgenode.policy.contentfilter.directives import Target
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.names import WITHOUT_MEMBERS

Pairs = Sequence[tuple[bytes, bytes]]
"""Members of a collection with their values; of a variable without members one with an empty name."""


class Known(Protocol):
    """What knows the members of variables."""

    def read(self, collection: str) -> Pairs:
        """The members of a variable."""


Read = Callable[[Known], list[tuple[bytes, bytes]]]
"""What a rule looks at: names such as ``ARGS:q``, and values."""

Source = Callable[[Exchange], tuple[tuple[bytes, bytes], ...]]


class Further(tuple[bytes, bytes]):
    """A member that some server reads in the place of others: it stands behind them, and a rule that only counts does
    not look at it once it has matched, for it would count twice what was sent once."""

    __slots__ = ()


EARLY, COUNTED, BY_NAME = "early ", "&", "by name "
"""What stands before the name of a variable that is read in phase 1, of one whose members are counted, and of one in
which a member is looked for by its name, which it may have in other readings."""

WITH_ALIASES = frozenset(name for name, each in COLLECTIONS.items() if each.aliases is not None)
"""The variables whose members have further names."""


def sources(collections: Mapping[str, Collection]) -> dict[str, Source]:
    """What reads each variable: for a rule, to be counted, and both in phase 1, before there is a body."""
    found: dict[str, Source] = {}
    for name, each in collections.items():
        found[name], found[COUNTED + name] = _both(each.read, each.further), each.read
        found[EARLY + name] = found[name] if each.early is None else each.early
        found[EARLY + COUNTED + name] = each.early or each.read
        found[BY_NAME + name] = _both(each.read, each.aliases or each.further)
        found[EARLY + BY_NAME + name] = each.early or found[BY_NAME + name]
    return found


OF_THE_RUN_NAMES = frozenset(
    (
        *("TX", "MATCHED_VAR", "MATCHED_VAR_NAME", "MATCHED_VARS", "MATCHED_VARS_NAMES", "HIGHEST_SEVERITY", "RULE"),
        "REQBODY_PROCESSOR",
    )
)
"""The variables that are not only the request's: what rules have found and set."""


def names_of(collection: str) -> tuple[str, ...]:
    """All by which a variable is read."""
    return tuple(early + counted + collection for early in ("", EARLY) for counted in ("", COUNTED))


def _both(read: Source, further: Source) -> Source:
    """What reads the members that rules see besides as well."""
    if further is NO_FURTHER:
        return read

    def both(exchange: Exchange) -> tuple[tuple[bytes, bytes], ...]:
        more = further(exchange)
        return (*read(exchange), *map(Further, more)) if more else read(exchange)

    return both


NO_FURTHER = Collection("", lambda exchange: ()).further


def matching(target: Target) -> Callable[[bytes], object]:
    """Whether a member of a target's collection is one that it means.

    :raises InvalidValue: if its pattern is no regular expression.
    """
    if target.pattern:
        return pcre.search(f"(?i){target.pattern}")
    if not target.key or target.collection in WITHOUT_MEMBERS:
        return lambda name: True
    key = encoded(target.key).lower()
    return lambda name: name.lower() == key


def _chosen(target: Target, phase: int) -> Read:
    """What reads one target, without what is excluded."""
    choose = matching(target)
    by_name = (target.key or target.pattern) and target.collection in WITH_ALIASES
    how = COUNTED if target.counted else BY_NAME if by_name else ""
    read = f"{EARLY if phase == 1 else ''}{how}{target.collection}"
    prefix = encoded(target.collection) + b":"
    everything = not target.key and not target.pattern

    def pairs(run: Known) -> list[tuple[bytes, bytes]]:
        found = run.read(read)
        chosen = found if everything else [each for each in found if choose(each[0])]
        members = [(prefix + name if name else prefix[:-1], value) for name, value in chosen]
        if chosen and isinstance(chosen[-1], Further):
            both = zip(members, chosen, strict=True)
            return [Further(member) if isinstance(before, Further) else member for member, before in both]
        return members

    if not target.counted:
        return pairs
    label = b"&" + prefix[:-1] + (b":" + encoded(target.key) if target.key else b"")
    return lambda run: [(label, b"%d" % len(pairs(run)))]


def reader(targets: Sequence[Target], phase: int) -> Read:
    """What reads all that a rule looks at.

    :raises InvalidValue: if a pattern is no regular expression.
    """
    reads = [_chosen(each, phase) for each in targets if not each.excluded]
    without = [named(each) for each in targets if each.excluded]
    if len(reads) == 1 and not without:
        return reads[0]

    def all_of_them(run: Known) -> list[tuple[bytes, bytes]]:
        found = [pair for read in reads for pair in read(run)]
        if any(isinstance(pair, Further) for pair in found):
            found.sort(key=lambda pair: isinstance(pair, Further))
        return [pair for pair in found if not any(leave(pair[0]) for leave in without)] if without else found

    return all_of_them


def named(target: Target) -> Callable[[bytes], object]:
    """Whether a name such as ``ARGS:q`` is one that a target means.

    :raises InvalidValue: if its pattern is no regular expression.
    """
    choose, collection = matching(target), encoded(target.collection)

    def means(name: bytes) -> object:
        variable, _, member = name.partition(b":")
        return variable == collection and choose(member)

    return means
