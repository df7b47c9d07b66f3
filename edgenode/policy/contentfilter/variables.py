"""The variables that a run of the rules has of its own, and how targets choose among all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import pcre
from edgenode.policy.contentfilter.directives import Target
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.names import WITHOUT_MEMBERS

if TYPE_CHECKING:
    from edgenode.policy.contentfilter.evaluation import Run

Pairs = Sequence[tuple[bytes, bytes]]
"""Members of a collection with their values; of a variable without members one with an empty name."""

Read = Callable[["Run"], list[tuple[bytes, bytes]]]
"""What a rule looks at: names such as ``ARGS:q``, and values."""

EARLY: Mapping[str, str] = MappingProxyType(
    {
        "ARGS": "ARGS_GET",
        "ARGS_NAMES": "ARGS_GET_NAMES",
        **dict.fromkeys(
            (
                *("ARGS_POST", "ARGS_POST_NAMES", "FILES", "FILES_NAMES", "FILES_SIZES", "FILES_TMPNAMES"),
                *("FILES_TMP_CONTENT", "FILES_COMBINED_SIZE", "MULTIPART_FILENAME", "MULTIPART_NAME"),
                *("MULTIPART_PART_HEADERS", "REQUEST_BODY", "REQUEST_BODY_LENGTH", "XML", "FULL_REQUEST"),
            ),
            "",
        ),
    }
)
"""What variables are in phase 1, before a body has been read: another one, or nothing."""

_MEMBER = re.compile(rb"[:.]")


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
    collection, choose = target.collection, matching(target)
    read = EARLY.get(collection, collection) if phase == 1 else collection
    prefix = encoded(target.collection) + b":"
    everything = not target.key and not target.pattern

    def pairs(run: Run) -> list[tuple[bytes, bytes]]:
        found = run.read(read)
        chosen = found if everything else [each for each in found if choose(each[0])]
        return [(prefix + name if name else prefix[:-1], value) for name, value in chosen]

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

    def all_of_them(run: Run) -> list[tuple[bytes, bytes]]:
        found = [pair for read in reads for pair in read(run)]
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


def check_target(target: Target) -> None:
    """:raises InvalidValue: if it cannot be compiled."""
    try:
        matching(target)
    except InvalidValue as problem:
        raise InvalidValue(f"{target.collection}: {problem.sentence}") from None
