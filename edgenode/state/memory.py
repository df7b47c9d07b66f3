"""The state of one node by itself: counters in memory."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from twisted.internet.defer import Deferred

from edgenode.state.interface import Answers, Call, Counted, Counter, Tell
from edgenode.state.quarantine import HeldValues


class MemoryState:
    """Counts in memory.

    :param clock: seconds that never go back.
    :param now: seconds since the epoch, for the quarantine.
    :ivar quarantine: what is held and banned.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._windows: dict[tuple[Counter, str], tuple[float, int]] = {}
        self._arrivals: dict[tuple[Counter, str], float] = {}
        self._values: dict[tuple[Counter, str], set[str]] = {}
        self.quarantine = HeldValues(clock, now)

    def count(self, calls: Sequence[Call]) -> Answers:
        """Count, all at once."""
        now = self._clock()
        answers: list[Counted | None] = []
        for call in calls:
            wanted = not call.only_if or any(_complete(calls, answers, each) for each in call.only_if)
            if not wanted or any(_complete(calls, answers, each) for each in call.unless):
                answers.append(None)
            elif call.counter.kind == "sliding":
                answers.append(self._slide(call, now))
            else:
                answers.append(self._in_window(call, now))
        return answers

    def add(self, calls: Sequence[Call]) -> None:
        """Count what only the answer to a request has told."""
        now = self._clock()
        for call in calls:
            if call.counter.kind == "sliding":
                self._slide(call, now, always=True)
            else:
                self._in_window(call, now)

    def start(self, reactor: Any, folder: pathlib.Path | None, tell: Tell) -> None:
        """Open the file of the quarantine."""
        self.quarantine.start(reactor, folder, tell)

    def stop(self) -> Deferred[None]:
        """Close it."""
        return self.quarantine.stop()

    def _in_window(self, call: Call, now: float) -> Counted:
        counter, key = call.counter, (call.counter, call.key)
        end, known = self._windows.get(key, (0.0, 0))
        if end <= now:
            end, known = now + counter.period, 0
            self._values.pop(key, None)
        count, kept = known + (call.amount or 1), known + call.amount
        if counter.kind == "distinct":
            values = self._values.setdefault(key, set())
            count = len(values | {call.value})
            if len(values) <= counter.most and call.amount:
                values.add(call.value)
            kept = len(values)
        elif counter.kind == "steps":
            count = kept = known
            if known in call.steps:
                count += 1
                kept = min(count, counter.most - 1)
        if kept:
            self._windows[key] = end, kept
        return Counted(count, end - now, end - now if kept >= counter.most else 0.0)

    def _slide(self, call: Call, now: float, always: bool = False) -> Counted:
        """GCRA (ITU-T I.371): the time at which all that has come would be used up."""
        counter, key = call.counter, (call.counter, call.key)
        if not counter.most:
            return Counted(call.amount or 1, 0.0, counter.period)
        interval = counter.period / counter.most
        arrival = max(now, self._arrivals.get(key, now))
        further = arrival + (call.amount or 1) * interval
        count = ceil((further - now) / interval - 1e-9)
        if (always or count <= counter.most) and call.amount:
            self._arrivals[key] = arrival = further
        return Counted(count, arrival - now, max(0.0, arrival + interval - now - counter.period))


def _complete(calls: Sequence[Call], answers: Sequence[Counted | None], at: int) -> bool:
    answer = answers[at]
    return answer is not None and answer.total >= calls[at].counter.most
