"""Events on their way, in batches, and up to where in the journal everything has been dealt with.

Law: events leave in the order in which they came, and what has been dealt with is a prefix of what has come: a position
is given only once every event before it has been.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from attrs import define, field

from edgenode.observe.exporters.receiver import Outgoing

P = TypeVar("P")


@define
class Batches(Generic[P]):
    """What was read and is not dealt with yet.

    :ivar most: the maximum number of events in a batch.
    :ivar most_bytes: the size from which a batch is full; a single event may be larger.
    :ivar wait: how long an event waits for others; seconds.
    """

    most: int
    most_bytes: int
    wait: float
    _waiting: deque[tuple[Outgoing, float]] = field(factory=deque, init=False)
    _size: int = field(default=0, init=False)
    _marks: deque[tuple[int, P]] = field(factory=deque, init=False)
    _came: int = field(default=0, init=False)
    _settled: int = field(default=0, init=False)

    def add(self, events: Iterable[Outgoing], position: P, now: float) -> None:
        """More was read of the journal.

        :param position: behind the last line that was read, whether it is to be sent or not.
        """
        for each in events:
            self._waiting.append((each, now))
            self._size += len(each.line)
            self._came += 1
        if self._marks and self._marks[-1][0] == self._came:
            self._marks.pop()
        self._marks.append((self._came, position))

    @property
    def full(self) -> bool:
        """Whether there is enough for a batch, so that no more need be read."""
        return len(self._waiting) >= self.most or self._size >= self.most_bytes

    def due(self, now: float) -> float | None:
        """The time until the next batch should leave, 0 if it should now; ``None`` if there is nothing."""
        if not self._waiting:
            return None
        return 0.0 if self.full else max(0.0, self._waiting[0][1] + self.wait - now)

    def take(self) -> list[Outgoing]:
        """The next batch."""
        batch: list[Outgoing] = []
        size = 0
        while self._waiting and len(batch) < self.most:
            length = len(self._waiting[0][0].line)
            if batch and size + length > self.most_bytes:
                break
            batch.append(self._waiting.popleft()[0])
            size += length
        self._size -= size
        return batch

    def settle(self, count: int) -> None:
        """So many more events, in the order in which they came, have been dealt with."""
        self._settled += count

    def position(self) -> P | None:
        """The position up to which everything has been dealt with; ``None`` if there is no new one."""
        found = None
        while self._marks and self._marks[0][0] <= self._settled:
            found = self._marks.popleft()[1]
        return found
