"""Which rounds of a measurement are judged: those in which nothing outside of the bench took the core of a peer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, TypeVar

from bench.peers import Peer

CALM = 0.1
"""The part of the time for which others may take a peer's core without that the round counts for nothing."""


class Run(Protocol):
    """What one peer did in one round.

    :ivar round: the round's number.
    :ivar lost: what :class:`Core` said of it.
    """

    @property
    def round(self) -> int: ...

    @property
    def lost(self) -> float: ...


class Core:
    """How much of a peer's core others take from now on.

    :param peer: the peer, whose core no other process of the bench uses at that time.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._began, self._before = time.monotonic(), peer.kept_waiting()

    def lost(self) -> float:
        """The part of the time in which the peer could have run, and something else did."""
        return (self._peer.kept_waiting() - self._before) / (time.monotonic() - self._began)


_R = TypeVar("_R", bound=Run)


def judged(rows: Sequence[_R]) -> list[_R]:
    """Of the runs of all peers those of the rounds in which each had its core to itself, or all if there is none."""
    disturbed = {row.round for row in rows if row.lost > CALM}
    return [row for row in rows if row.round not in disturbed] or list(rows)
