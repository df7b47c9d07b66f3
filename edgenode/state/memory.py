"""The state of one node by itself: counters in memory.

Law: there are never more keys, nor bytes, than may be. When there is no room the largest table gives up what is coldest
of it: so who makes up keys for one limit makes nobody forget those of another. That is told.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from edgenode.state.interface import Answers, Call, Counted, Counter, Happened, Tell
from edgenode.state.quarantine import HeldValues
from edgenode.state.tables import TABLES, Table, Used
from edgenode.state.telling import Telling

KEYS, MEMORY = 1_000_000, 256 << 20
"""The bounds, if no others are given."""

_MOST_KNOWN = 4096
"""Counters whose tables are found at once."""

_LOOKS, _AT_ONCE = 64, 8
"""Entries that are looked at when room has to be made, and of which so many go; if none of them can, the next one."""

_SWEEP, _SWEPT = 1.0, 2000
"""Seconds between two looks for what has run out where nobody asks any more, and the entries that each looks at."""


class MemoryState:
    """Counts in memory.

    :param clock: seconds that never go back.
    :param now: seconds since the epoch, for the quarantine.
    :param keys: how many keys are counted at the most.
    :param memory: bytes that they take at the most, about.
    :ivar quarantine: what is held and banned.
    :ivar forgotten: how many keys had to make room before they had run out.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        keys: int = KEYS,
        memory: int = MEMORY,
    ) -> None:
        self._clock, self._keys, self._memory = clock, keys, memory
        self._used = Used()
        self._tables: dict[tuple[object, ...], Table[Any]] = {}
        self._known: dict[Counter, Table[Any]] = {}
        self._told = Telling(clock)
        self._reactor: Any = None
        self._sweep: Any = None
        self.forgotten = 0
        self.quarantine = HeldValues(clock, now)

    def keys(self) -> dict[str, int]:
        """How many keys are counted, by the name of their counter."""
        found: dict[str, int] = {}
        for (name, *_), table in self._tables.items():
            found[str(name)] = found.get(str(name), 0) + len(table)
        return found

    @property
    def size(self) -> int:
        """Bytes that they take, about."""
        return self._used.size

    @property
    def most(self) -> tuple[int, int]:
        """How many keys, and bytes, there may be."""
        return self._keys, self._memory

    def count(self, calls: Sequence[Call], *, always: bool = False) -> Answers:
        """Count, all at once.

        :param always: whether also what does not fit any more.
        """
        answers: list[Counted | None] = []
        now, known = self._clock(), self._known
        for call in calls:
            counter, key, amount, _, _, only_if, unless = call
            if (only_if or unless) and not _wanted(calls, answers, call):
                answers.append(None)
                continue
            table = known.get(counter)
            if table is None:
                table = self._table(counter)
            answers.append(table.count(key, amount, call, now, always))
        used = self._used
        if used.keys > self._keys or used.size > self._memory:
            self._make_room(now)
        return answers

    def add(self, calls: Sequence[Call]) -> None:
        """Count what only the answer to a request has told, also if it does not fit any more: it has been sent."""
        self.count(calls, always=True)

    def bounds(self, keys: int, memory: int) -> None:
        """Count so many keys at the most from now on, in so many bytes; what is too much goes little by little."""
        self._keys, self._memory = keys, memory

    def start(self, reactor: Any, folder: pathlib.Path | None, tell: Tell) -> None:
        """Open the file of the quarantine, and look for what has run out now and then."""
        self._told.tell, self._reactor = tell, reactor
        self.quarantine.start(reactor, folder, tell)
        self._plan()

    def stop(self) -> Deferred[None]:
        """Close it."""
        self._reactor = None
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        return self.quarantine.stop()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _table(self, counter: Counter) -> Table[Any]:
        identity = counter.identity
        table = self._tables.get(identity)
        if table is None:
            table = self._tables[identity] = TABLES[counter.kind](counter, self._used)
            self._plan()
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[counter] = table
        return table

    def _make_room(self, now: float) -> None:
        """Take out what is too much, a little of it."""
        used = self._used
        table = max(self._tables.values(), key=lambda each: each.size)
        forgotten = table.look(now, _LOOKS, used.keys - self._keys if used.keys > self._keys else _AT_ONCE)
        if len(table) and (used.keys > self._keys or used.size > self._memory) and not forgotten:
            table.give_up()  # all of them were asked for
            forgotten = 1
        if forgotten:
            self.forgotten += forgotten
            why = f"there are {used.keys} keys in {used.size >> 20} MiB: the coldest are forgotten"
            self._told.rarely(Happened("counters-full", why))

    def _look(self) -> None:
        """Look for what has run out."""
        now, keys, self._sweep = self._clock(), self._used.keys, None
        for table in self._tables.values():
            table.look(now, len(table) * _SWEPT // (keys or 1) + 1)
        self._tables = {each: table for each, table in self._tables.items() if len(table)}
        self._known.clear()  # those that are gone are not to be found any more
        self._plan()

    def _plan(self) -> None:
        if self._sweep is None and self._reactor is not None and self._tables:
            self._sweep = self._reactor.callLater(_SWEEP, self._look)


def complete(calls: Sequence[Call], answers: Sequence[Counted | None], at: int) -> bool:
    """Whether a call of ``steps`` has come to its last step."""
    answer = answers[at]
    return answer is not None and answer.total >= calls[at].counter.most


def _wanted(calls: Sequence[Call], answers: Sequence[Counted | None], call: Call) -> bool:
    if call.only_if and not any(complete(calls, answers, each) for each in call.only_if):
        return False
    return not any(complete(calls, answers, each) for each in call.unless)
