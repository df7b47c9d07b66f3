"""How much there was of each value in a window that slides by sixtieths of its length.

Law: what is counted is what has happened in the last sixty parts, the one that is under way included, in whatever order
it is told; and there are never more than so many values: the coldest go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from math import floor
from typing import Protocol

PARTS = 60
"""So many parts a window has."""


class Window(Protocol):
    """What there was of one value."""

    def add(self, part: int, what: str) -> None:
        """Count something.

        :param part: the number of the part of time in which it has happened.
        :param what: a value of which only different ones count, where that is what is counted.
        """

    def count(self, part: int) -> int:
        """How much there was up to a part, with it; never asked for an earlier one again."""


class Events:
    """A number of events."""

    __slots__ = ("_parts", "_total")

    def __init__(self) -> None:
        self._parts: deque[list[int]] = deque()
        self._total = 0

    def add(self, part: int, what: str = "") -> None:
        """Count an event."""
        self._total += 1
        parts, place = self._parts, len(self._parts)
        while place and parts[place - 1][0] > part:  # it is told late
            place -= 1
        if place and parts[place - 1][0] == part:
            parts[place - 1][1] += 1
        else:
            parts.insert(place, [part, 1])

    def count(self, part: int) -> int:
        """How many there were."""
        parts = self._parts
        while parts and parts[0][0] <= part - PARTS:
            self._total -= parts.popleft()[1]
        return self._total


class Different:
    """A number of different values.

    :param most: as many are enough to know; of more the oldest are not kept.
    """

    __slots__ = ("_last", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: dict[int, int] = {}

    def add(self, part: int, what: str) -> None:
        """Count a value."""
        last, key = self._last, hash(what)
        last[key] = max(part, last.get(key, part))
        if len(last) > self._most:
            del last[min(last, key=last.__getitem__)]

    def count(self, part: int) -> int:
        """How many different ones there were, at most as many as are kept."""
        oldest = part - PARTS
        if any(each <= oldest for each in self._last.values()):
            self._last = {key: each for key, each in self._last.items() if each > oldest}
        return len(self._last)


class Windows:
    """The windows of all values.

    :param period: the length of a window, seconds.
    :param most: so many values at the most.
    :param distinct: how many different values are enough to know; 0: events are counted.
    :ivar forgotten: how many values have had to go.
    """

    def __init__(self, period: float, most: int, distinct: int = 0) -> None:
        self._part = period / PARTS
        self._most = most
        self._distinct = distinct
        self._windows: dict[str, Window] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, value: str, time: float, now: float, what: str = "", kept: Collection[str] = ()) -> None:
        """Count something.

        :param time: when it has happened, seconds since the epoch; not later than now.
        :param now: never less than before.
        :param kept: the values that do not go.
        """
        part = self._number(time)
        if part <= self._number(now) - PARTS:
            return
        window = self._windows.pop(value, None)
        if window is None:
            window = Different(self._distinct) if self._distinct else Events()
            if len(self._windows) >= self._most:
                self._forget(kept)
        self._windows[value] = window  # the last is the one that was met last
        window.add(part, what)

    def count(self, value: str, now: float) -> int:
        """How much there was of a value in the window that ends now."""
        window = self._windows.get(value)
        if window is None:
            return 0
        found = window.count(self._number(now))
        if not found:
            del self._windows[value]
        return found

    def values(self) -> Iterator[str]:
        """The values of which there was something, the coldest first."""
        return iter(self._windows)

    def clear(self) -> None:
        """Forget all of it."""
        self._windows.clear()

    def _forget(self, kept: Collection[str]) -> None:
        """The coldest value goes."""
        for value in self._windows:
            if value not in kept:
                del self._windows[value]
                self.forgotten += 1
                return

    def _number(self, time: float) -> int:
        return floor(time / self._part)
