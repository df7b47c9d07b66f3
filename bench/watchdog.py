"""Watches a process's event loop from inside: how long it was blocked at the worst, and where.

A timer beats every ten milliseconds; how late a beat comes is how long the loop was kept from turning. On a busy
machine much of that is no fault of the process: it was ready to run, and the kernel ran somebody else. The kernel knows
that time (``/proc/PID/task/TID/schedstat``, the second number), and it is taken off. So is what other threads have
waited for a processor while the loop slept, for it may have slept for the interpreter's lock in the hands of one of
them. What is left is the loop's own work, a system call that blocked, or a thread that worked with the lock in its
hands. A thread looks at the loop's stack while it is late. If even that thread could not, either somebody worked with
the lock in his hands, or the whole machine stood still: then only the processor's time counts.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pathlib
import sys
import threading
import time
import traceback
from collections import Counter
from typing import Any

from attrs import Factory, asdict, define, frozen

BEAT = 0.01
"""Seconds between two beats."""

_LOOK = 0.02
"""Seconds of lateness from which the stack is looked at."""

_DEEPEST = 12
"""Calls of a stack that are told, the innermost."""


@frozen
class Blocked:
    """The loop was kept from turning; times in seconds.

    :ivar blocked: for how long, by its own process.
    :ivar late: for how long altogether.
    :ivar worked: how much of it the loop's thread had a processor.
    :ivar collected: how much of it was spent in the garbage collector.
    :ivar at: when, since the watchdog began.
    :ivar where: where the loop was most of the time, if it could be looked at.
    """

    blocked: float
    late: float
    worked: float
    collected: float
    at: float
    where: tuple[str, ...]


@frozen
class Clocks:
    """What time it is, for the thread that asks; seconds.

    :ivar wall: on the wall.
    :ivar worked: how long it has had a processor.
    :ivar waited: how long it has waited for one.
    :ivar others: how long the other threads of the process have.
    :ivar process: how long any of its threads has had one.
    """

    wall: float
    worked: float
    waited: float
    others: float
    process: float

    @classmethod
    def now(cls, apart: int = 0) -> Clocks:
        """Now.

        :param apart: a thread that does not count.
        """
        me, waited = str(threading.get_native_id()), Counter[bool]()
        for task in {*os.listdir("/proc/self/task")} - {str(apart)}:
            with contextlib.suppress(OSError):
                waited[task == me] += int(pathlib.Path("/proc/self/task", task, "schedstat").read_text().split()[1])
        return cls(time.monotonic(), time.thread_time(), waited[True] / 1e9, waited[False] / 1e9, time.process_time())

    def excused(self, since: Clocks) -> float:
        """How long the thread was kept from running since then by other processes."""
        waited = self.waited - since.waited
        slept = self.wall - since.wall - (self.worked - since.worked) - waited - BEAT
        return waited + min(max(slept, 0.0), self.others - since.others)


@define(eq=False)
class Watchdog:
    """Watches the loop that it is started in.

    :param limit: seconds; what is blocked for longer is kept in ``violations``.
    :ivar worst: the longest time that the loop was blocked.
    :ivar beats: how many beats there were.
    """

    reactor: Any
    limit: float = 0.05
    beats: int = 0
    worst: float = 0.0
    violations: list[Blocked] = Factory(list)
    _due: float = 0.0
    _began: float = 0.0
    _looker: int = 0
    _clocks: Clocks = Factory(Clocks.now)
    _collected: float = 0.0
    _collecting: float = 0.0
    _stacks: Counter[tuple[str, ...]] = Factory(Counter)

    def start(self) -> None:
        """Begin, in the thread of the loop."""
        self._began = time.monotonic()
        gc.callbacks.append(self._collect)
        looker = threading.Thread(target=self._look, args=(threading.get_ident(),), daemon=True)
        looker.start()
        self._looker = looker.native_id or 0
        self._clocks = Clocks.now(self._looker)
        self._next()

    def report(self) -> dict[str, Any]:
        """What there was, for JSON."""
        return {
            "beats": self.beats,
            "worst": self.worst,
            "violations": [asdict(each) for each in self.violations],
        }

    def _next(self) -> None:
        self._due = time.monotonic() + BEAT
        self.reactor.callLater(BEAT, self._beat)

    def _beat(self) -> None:
        clocks, collected = Clocks.now(self._looker), self._collected
        late = clocks.wall - self._due
        blocked = late - clocks.excused(self._clocks)
        if not self._stacks:
            blocked = min(blocked, clocks.process - self._clocks.process)
        self.beats += 1
        self.worst = max(self.worst, blocked)
        if blocked > self.limit:
            at = self._due - self._began
            where = max(self._stacks, key=self._stacks.__getitem__, default=())
            worked = clocks.worked - self._clocks.worked
            self.violations.append(Blocked(blocked, late, worked, collected, at, where))
        self._clocks, self._collected, self._stacks = clocks, 0.0, Counter()
        self._next()

    def _collect(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self._collected += time.perf_counter() - self._collecting

    def _look(self, loop: int) -> None:
        while True:
            time.sleep(BEAT)
            if time.monotonic() - self._due > _LOOK:
                frame = sys._current_frames().get(loop)
                stack = traceback.extract_stack(frame)
                if all(each.filename != __file__ for each in stack):  # the beat itself has come
                    self._stacks[tuple(f"{each.filename}:{each.lineno} {each.name}" for each in stack[-_DEEPEST:])] += 1
