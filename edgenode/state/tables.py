"""The counts of one counter in memory, by key: a table for each kind of counter.

Law: a call takes the same time however many keys there are. No step looks at more than a few entries: those that have
run out, and those that have to make room, go a few at a time. Of those that have not run out the coldest go first,
which a hand finds that goes around all keys (the CLOCK algorithm): it passes whoever was asked for since it came by
last, once.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar, cast

from edgenode.state.interface import Call, Counted, Counter

_SHARDS = 64
"""Dictionaries of a table: one that grows is copied, and a large one takes too long for that."""

_LAST = _SHARDS - 1

_NEW, _LOOKS = 16, 48
"""Of so many new entries the last has so many others looked at: so no more than half of all can have run out."""

_ENTRY = 96
"""Bytes of an entry besides its key: its share of the dictionary, its place in the ring, and the number."""

_SET, _MEMBER = 400, 40
"""The same of an entry that holds values, and of a value besides its text."""

_LONGEST = 64
"""Characters of a value that is kept as it is."""

_counted: Callable[[tuple[int, float, float]], Counted] = cast(Any, partial(tuple.__new__, Counted))
"""A :class:`Counted`, in half the time."""


class Used:
    """What all tables of a state hold together.

    :ivar keys: how many keys.
    :ivar size: bytes, about.
    """

    __slots__ = ("keys", "size")

    def __init__(self) -> None:
        self.keys = self.size = 0


T = TypeVar("T")


class Table(ABC, Generic[T]):
    """The counts of one counter: keys with what is kept of each.

    :ivar size: bytes that it holds, about.
    """

    __slots__ = ("_most", "_new", "_period", "_ring", "_shards", "_used", "size")

    entry_size: ClassVar[int] = _ENTRY

    def __init__(self, counter: Counter, used: Used) -> None:
        self._most, self._period, self._used = counter.most, counter.period, used
        self._shards: list[dict[str, T]] = [{} for _ in range(_SHARDS)]
        self._ring: deque[str] = deque()
        self.size = self._new = 0

    def __len__(self) -> int:
        return len(self._ring)

    @abstractmethod
    def count(self, key: str, amount: int, call: Call, now: float, always: bool) -> Counted:
        """Count.

        :param key: the call's.
        :param amount: the call's.
        :param always: whether also what does not fit any more.
        """

    def _add(self, key: str, now: float) -> None:
        """A key is new; now and then others are looked at."""
        self._ring.append(key)
        self._grow(self.entry_size + key.__sizeof__())
        self._used.keys += 1
        self._new += 1
        if self._new == _NEW:
            self._new = 0
            self.look(now, _LOOKS)

    def _grow(self, size: int) -> None:
        self.size += size
        self._used.size += size

    def look(self, now: float, most: int, room: int = 0) -> int:
        """Look at the next entries, and take out those that have run out.

        :param most: so many.
        :param room: so many shall go, even if they have not, but for those that were asked for since the last look; no
            more are looked at then.
        :returns: how many have gone that had not run out.
        """
        ring, shards, standing, gone, forgotten = self._ring, self._shards, self._standing, 0, 0
        for _ in range(min(most, len(ring))):
            key = ring[0]
            shard = shards[hash(key) & _LAST]
            over, asked_for = standing(shard[key], now)
            if over or (room and not asked_for):
                self.give_up()
                gone += 1
                forgotten += not over
                if gone == room:
                    break
            else:
                if asked_for:
                    shard[key] = self._passed(shard[key])
                ring.rotate(-1)
        return forgotten

    def give_up(self) -> None:
        """Take out the next entry, whichever it is."""
        key = self._ring.popleft()
        shard = self._shards[hash(key) & _LAST]
        size = self._size_of(key, shard.pop(key))
        if not shard:
            shard.clear()  # a dictionary keeps the room of what it had
        self._used.keys -= 1
        self._grow(-size)

    def _size_of(self, key: str, kept: T) -> int:
        return self.entry_size + key.__sizeof__()

    @abstractmethod
    def _standing(self, kept: T, now: float) -> tuple[bool, bool]:
        """Whether an entry has run out, and whether it was asked for since the last look."""

    @abstractmethod
    def _passed(self, kept: T) -> T:
        """The entry as one that was looked at."""


class _Windows(Table[complex]):
    """Windows that begin with the first request: the end and the count, as the parts of a complex number, which takes
    a third of the memory of a tuple, and none of the garbage collector's time. The end is negative if it was asked for.
    """

    __slots__ = ()

    def _standing(self, kept: complex, now: float) -> tuple[bool, bool]:
        end = kept.real
        return abs(end) <= now, end < 0

    def _passed(self, kept: complex) -> complex:
        return complex(-kept.real, kept.imag)

    def count(self, key: str, amount: int, call: Call, now: float, always: bool) -> Counted:
        """See :meth:`Table.count`."""
        shard = self._shards[hash(key) & _LAST]
        kept = shard.get(key)
        if kept is None:
            known, wait = 0, self._period
            if amount:
                shard[key] = complex(now + wait, amount)
                self._add(key, now)
        else:
            end = kept.real
            if -end > now:  # it was asked for, and goes on
                known, wait = int(kept.imag), -end - now
                if amount:
                    shard[key] = kept + amount * 1j
            elif end > now:
                known, wait = int(kept.imag), end - now
                if amount:
                    shard[key] = complex(-end, known + amount)
            else:
                known, wait = 0, self._period
                if amount:
                    shard[key] = complex(-now - wait, amount)
        return _counted((known + (amount or 1), wait, wait if known + amount >= self._most else 0.0))


class _Steps(_Windows):
    """The same, counting the steps of a flow that were taken."""

    __slots__ = ()

    def count(self, key: str, amount: int, call: Call, now: float, always: bool) -> Counted:
        """See :meth:`Table.count`."""
        shard = self._shards[hash(key) & _LAST]
        kept = shard.get(key)
        taken, end = 0, now + self._period
        if kept is not None and abs(kept.real) > now:
            taken, end = int(kept.imag), abs(kept.real)
        if taken not in call.steps:
            return _counted((taken, end - now, 0.0))
        taken += 1
        remembered = min(taken, self._most - 1)  # the last step may be repeated
        if amount and remembered:
            shard[key] = complex(end if kept is None else -end, remembered)
            if kept is None:
                self._add(key, now)
        return _counted((taken, end - now, 0.0))


class _Arrivals(Table[int]):
    """GCRA (ITU-T I.371): the time at which all that has come would be used up, negative if it was asked for.

    It is kept in such small parts of a nanosecond that a period is divided by any number as good as exactly: so what
    has come is still known when a reload changes the number.
    """

    __slots__ = ("_span",)

    def __init__(self, counter: Counter, used: Used) -> None:
        super().__init__(counter, used)
        self._span = max(round(counter.period * 1e9), 1) << _PARTS

    def _standing(self, kept: int, now: float) -> tuple[bool, bool]:
        return abs(kept) <= int(now * 1e9) << _PARTS, kept < 0

    def _passed(self, kept: int) -> int:
        return -kept

    def count(self, key: str, amount: int, call: Call, now: float, always: bool) -> Counted:
        """See :meth:`Table.count`."""
        most, span = call.counter.most, self._span
        if not most:
            return _counted((amount or 1, 0.0, self._period))
        interval, at = span // most or 1, int(now * 1e9) << _PARTS
        shard = self._shards[hash(key) & _LAST]
        kept = shard.get(key)
        if kept is None:
            left = 0
        else:
            left = (kept if kept > 0 else -kept) - at  # what there is to be used up
            if left < 0:
                left = 0
        further = left + (amount or 1) * interval
        total = -(-further // interval)
        if amount and (always or total <= most):
            left = further
            if kept is None:
                shard[key] = at + left
                self._add(key, now)
            else:
                shard[key] = -at - left
        elif kept is not None and kept > 0:
            shard[key] = -kept
        wait = left + interval - span
        return _counted((total, left / _SECOND, wait / _SECOND if wait > 0 else 0.0))


_PARTS = 40
_SECOND = 1_000_000_000 << _PARTS
"""Parts of a nanosecond, as a power of two, and those of a second."""

_Values = dict[str | None, complex | None]
"""The distinct values of a window; of ``None`` its end and the bytes of the values, as the parts of a complex number.
The garbage collector does not look into a dictionary of such things, as it does into a set."""


class _Distinct(Table[_Values]):
    """Windows with their distinct values. The end is negative if it was asked for."""

    __slots__ = ()

    entry_size = _SET

    def _standing(self, kept: _Values, now: float) -> tuple[bool, bool]:
        end = _of(kept).real
        return abs(end) <= now, end < 0

    def _passed(self, kept: _Values) -> _Values:
        kept[None] = complex(-_of(kept).real, _of(kept).imag)
        return kept

    def _size_of(self, key: str, kept: _Values) -> int:
        return super()._size_of(key, kept) + int(_of(kept).imag)

    def count(self, key: str, amount: int, call: Call, now: float, always: bool) -> Counted:
        """See :meth:`Table.count`."""
        value, most = call.value, call.counter.most
        if len(value) > _LONGEST:
            value = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        shard = self._shards[hash(key) & _LAST]
        kept = shard.get(key)
        end, size, values = 0.0, 0.0, kept
        if kept is not None:
            end, size = abs(_of(kept).real), _of(kept).imag
        if values is None or end <= now:
            end, values = now + self._period, {}
            if kept is not None and amount:
                self._grow(-int(size))
            size = 0.0
        seen = len(values) - (None in values)
        total = seen + (value not in values)
        if amount:
            if total > seen <= most:
                values[value] = None
                further = _MEMBER + value.__sizeof__()
                size += further
                self._grow(further)
                seen = total
            values[None] = complex(end if kept is None else -end, size)
            if values is not kept:
                shard[key] = values
            if kept is None:
                self._add(key, now)
        wait = end - now
        return _counted((total, wait, wait if seen >= most else 0.0))


def _of(values: _Values) -> complex:
    return cast(complex, values[None])


TABLES: Mapping[str, type[Table[Any]]] = {
    "fixed": _Windows,
    "sliding": _Arrivals,
    "distinct": _Distinct,
    "steps": _Steps,
}
"""What makes the table of a counter, by its kind."""
