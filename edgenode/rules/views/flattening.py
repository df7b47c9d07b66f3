"""What has a structure, JSON or XML or GraphQL, as a flat list of names and values, within bounds.

Law: what has more than is looked at is not looked at by half: it counts as unread, as does what is not well-formed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field

MOST_DEEP = 64
"""As many structures may stand inside one another: what .NET's readers take, too."""

MOST_VALUES = 8192
"""As many are looked at, structures among them: more than 128 KiB of what programs write have."""

MOST_NAMED = 1 << 20
"""Bytes of all names: a long one in front of many would be written out with each of them."""


MOST_PAIRS = 2 * MOST_VALUES
"""As many pairs of a name and a value: nearly every value has one name, or two."""


class Unread(Exception):
    """It is not well-formed."""


class Beyond(Unread):
    """It may be well-formed, and has more than is looked at, or what could mean anything."""


@define
class Flattening:
    """Names and values that are being collected.

    :ivar pairs: those found so far.
    """

    pairs: list[tuple[bytes, bytes]] = field(factory=list)
    _values: int = field(default=MOST_VALUES, init=False)
    _named: int = field(default=MOST_NAMED, init=False)
    _pairs: int = field(default=MOST_PAIRS, init=False)

    def expect(self, depth: int, values: int, named: int) -> None:
        """Take notice of values before they are made.

        :param depth: in how many structures they stand.
        :param values: how many there are.
        :param named: how many characters of names there are to each.
        :raises Beyond: if there is too much of anything.
        """
        self._values -= values
        self._named -= values * named
        if depth > MOST_DEEP or self._values < 0 or self._named < 0:
            raise Beyond("it is too deep, or has too many values")

    def add(self, names: Collection[bytes], values: Sequence[bytes]) -> None:
        """Add every reading of a value under every name.

        :raises Beyond: if there are too many: each reading but the first counts as one more value.
        """
        self._values -= len(values) - 1
        self._pairs -= len(names) * len(values)
        if self._values < 0 or self._pairs < 0:
            raise Beyond("it has too many values, by too many names")
        self.pairs += [(name, value) for name in names for value in values]


def bytes_of(text: str) -> bytes:
    """A text in UTF-8; what was not UTF-8 as it was received."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair of surrogates
        return text.encode("utf-8", "surrogatepass")
