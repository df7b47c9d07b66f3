"""The mode of filtration: what is said about it from the node down to a path map, and what holds.

Law: the most local word wins, unless somebody further out is strict: then it can only be tightened.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from edgenode.model.decision import MODES


@frozen
class Level:
    """What one section says.

    :ivar mode: its mode; ``None`` if it says nothing.
    :ivar strict: whether nothing within it may be looser than what holds for it.
    """

    mode: str | None = None
    strict: bool = False


@frozen
class Settled:
    """What holds for one section.

    :ivar mode: the mode.
    :ivar clamped: whether the section wanted a looser one.
    """

    mode: str
    clamped: bool = False


def settle(levels: Iterable[Level]) -> list[Settled]:
    """What holds at each level, from the outermost to the most local; ``block`` if nobody says anything."""
    settled: list[Settled] = []
    mode, floor = "block", "off"
    for level in levels:
        wanted = level.mode or mode
        mode = max(wanted, floor, key=MODES.index)
        settled.append(Settled(mode, mode != wanted))
        if level.strict:
            floor = mode
    return settled
