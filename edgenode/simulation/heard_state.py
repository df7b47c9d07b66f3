"""A state of a simulation's own, whose clock is set by hand: what was counted for the last request, and the answers.

Law: nothing that a node counts or holds is looked at, and nothing is changed there.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed

from edgenode.state.interface import Answers, Call, Counted, Quarantine, Tell
from edgenode.state.memory import MemoryState


class _OwnQuarantine:
    """The quarantine of whatever memory there is now: pipelines keep the one that they were made with."""

    def __init__(self, heard: HeardState) -> None:
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._heard.memory.quarantine, name)


class HeardState:
    """Counts in memory from nothing.

    :ivar memory: what counts.
    :ivar quarantine: what is held.
    :ivar calls: what was counted for the last request.
    :ivar answers: what that came to.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self.quarantine: Quarantine = cast(Quarantine, _OwnQuarantine(self))
        self.forget()

    def forget(self) -> None:
        """Begin with nothing."""
        self.memory = MemoryState(lambda: self._now, lambda: self._now)
        self.calls: Sequence[Call] = ()
        self.answers: Sequence[Counted | None] = ()

    def at(self, time: float) -> None:
        """It is as late as that, or later, and another request comes.

        :param time: seconds since the epoch.
        """
        self._now = max(self._now, time)
        self.calls = self.answers = ()

    def count(self, calls: Sequence[Call]) -> Answers:
        """Count, and keep what that came to."""
        answers = self.memory.count(calls)
        self.calls, self.answers = tuple(calls), tuple(answers)
        return answers

    def add(self, calls: Sequence[Call]) -> None:
        """Count what the answer to a request has told."""
        self.memory.add(calls)

    def start(self, reactor: Any, folder: pathlib.Path | None, tell: Tell) -> None:
        """Nothing is opened."""

    def stop(self) -> Deferred[None]:
        """Nor closed."""
        return succeed(None)
