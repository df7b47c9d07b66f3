"""Names and values as they stand in queries, forms and cookies, and the maps made of them.

Law: every pair is kept, in the order written, up to so many of them; reading takes time in proportion to the text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

Pairs = tuple[tuple[bytes, bytes], ...]
Values = Mapping[bytes, tuple[bytes, ...]]
"""Every value of every name."""


MOST_PAIRS = 4096
"""As many are looked at, empty ones counted: what Rack takes, and more than most others do."""

FEWER_PAIRS = MOST_PAIRS // 8
"""As many where each is read in further character sets."""


def split_pairs(text: bytes, most: int = MOST_PAIRS) -> Pairs:
    """Read ``a=1&b``: up to the first ``=`` is the name; what has none has an empty value, what is empty is no pair."""
    return tuple([part.partition(b"=")[::2] for part in text.split(b"&", most)[:most] if part])


def has_more_pairs(text: bytes, most: int = MOST_PAIRS) -> bool:
    """Whether there are more of them than are looked at, or would be if ``;`` divided them as well."""
    return len(text) >= most and text.count(b"&") + text.count(b";") >= most


def collected(pairs: Iterable[tuple[bytes, bytes]]) -> Values:
    """Every value of every name, in the order of the pairs."""
    pairs = list(pairs)
    once = {name: (value,) for name, value in pairs}
    if len(once) == len(pairs):  # as nearly always, and on the way of many requests
        return once
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for name, value in pairs:
        found[name].append(value)
    return {name: tuple(values) for name, values in found.items()}


def names_of(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """The name of each pair."""
    return tuple(name for name, _ in pairs)


def values_of(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """The value of each pair."""
    return tuple(value for _, value in pairs)
