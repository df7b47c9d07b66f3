"""The quarantine: values that are held for a time, and bans. In memory, and in a file if there is a folder for it.

Law: an entry ends when its time is over by a clock that is never set, whatever becomes of the date. There are never
more than a certain number; the section that has added the most gives up the one of its own that ends soonest, and what
people have added goes last. What cannot be written is told, holds all the same, and is written once that can be done.
"""

from __future__ import annotations

import heapq
import itertools
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from edgenode.state.interface import Entry, Happened, Tell
from edgenode.state.networks import Networks, written
from edgenode.state.saving import Saving
from edgenode.state.telling import Telling

_ADDRESS = "ip"
"""The key whose values are networks."""

_SECTIONS = ("dynamic-rule ", "rate-limit ")
"""How the names of those begin who add entries by themselves."""

_SET = 1.0
"""Seconds by which the date must have gone another way than time for the clock to have been set."""

_SAME = 1.0
"""Seconds; an entry that would be prolonged by less stays as it is."""

_AT_ONCE = 100
"""Entries that are taken out in one turn."""

_LONGEST = 3600.0
"""Seconds that a timer waits at the most; the date is looked at then."""

_Actions = dict[str, "_Held"]
"""What holds one value, by the action: a weaker one that ends later does not outlive a stronger one."""

Share = Callable[[Entry | None, str, str, str], None]


@define(eq=False)
class _Held:
    """An entry with its end by the clock.

    :ivar offset: the date at the clock's zero by which its dates are written.
    """

    entry: Entry
    deadline: float
    offset: float
    gone: bool = False


@define(eq=False)
class _Owner:
    """Who has added entries.

    :ivar name: who.
    :ivar count: how many entries there are of his.
    """

    name: str
    count: int = 0
    _ends: list[tuple[float, int, _Held]] = field(factory=list)

    def add(self, held: _Held, number: int) -> None:
        self.count += 1
        heapq.heappush(self._ends, (held.deadline, number, held))
        if len(self._ends) > 2 * self.count + 1000:  # prolonged, or lifted, again and again
            self._ends = [each for each in self._ends if not each[2].gone]
            heapq.heapify(self._ends)

    def first(self) -> _Held | None:
        """The entry that ends soonest."""
        while self._ends and self._ends[0][2].gone:
            heapq.heappop(self._ends)
        return self._ends[0][2] if self._ends else None


class HeldValues:
    """A :class:`~edgenode.state.interface.Quarantine`.

    :param clock: seconds that never go back, nor are set.
    :param now: seconds since the epoch.
    :param most: entries that there are at the most.
    :ivar keys: the keys of its entries; some may have run out.
    :ivar added: how many entries were ever added.
    :ivar share: takes what is held and lifted here, and not by :meth:`merge` and :meth:`unmerge`: the entry, ``None``
        if it was lifted, its key and value, and who has done so.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        most: int = 100_000,
    ) -> None:
        self._clock, self._now, self._most = clock, now, most
        self._offset = now() - clock()
        self._by_key: dict[str, dict[str, _Actions]] = {}
        self._networks: Networks[_Actions] = Networks()
        self._owners: dict[str, _Owner] = {}
        self._count = 0
        self._numbers = itertools.count()
        self._told = Telling(clock)
        self._sweep: Any = None
        self._sweep_at = math.inf
        self._reactor: Any = None
        self._saving = Saving(self.entries, self._tell)
        self.keys: frozenset[str] = frozenset()
        self.added = 0
        self.share: Share | None = None

    def __len__(self) -> int:
        return self._count

    def counts(self) -> dict[str, int]:
        """How many values are held, by key; some may have run out."""
        return {key: len(values) for key, values in self._by_key.items() if values}

    # -- the interface -----------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The time, seconds since the epoch; as the entries' own, which does not jump."""
        return self._clock() + self._offset

    def find(self, key: str, value: str) -> Entry | None:
        """The entry that holds a value now: of ``ip`` the one that ends last of those whose network it is in."""
        found = max(self._holding(key, value), key=_deadline, default=None)
        return None if found is None or found.deadline <= self._clock() else self._dated(found)

    def all(self, key: str, value: str) -> Sequence[Entry]:
        """Every entry that holds a value now, one for each action: of ``ip`` those of all networks that it is in."""
        found = self._holding(key, value)
        if not found:
            return ()
        now = self._clock()
        return tuple(self._dated(held) for held in found if held.deadline > now)

    def _holding(self, key: str, value: str) -> Sequence[_Held]:
        if key == _ADDRESS:
            return [held for of_value in self._networks.containing(value) for held in of_value.values()]
        of_value = self._by_key.get(key, {}).get(value)
        return () if of_value is None else (*of_value.values(),)

    def hold(self, entry: Entry) -> None:
        """Add an entry, or replace that of the same key, value and action if this one ends later."""
        held = self._hold(entry)
        if held is not None and self.share is not None:
            self.share(held, held.key, held.value, held.who)

    def merge(self, entry: Entry) -> None:
        """The same with what another node holds."""
        self._hold(entry)

    def lift(self, key: str, value: str, who: str) -> Entry | None:
        """End all entries of a value before their time; returns that which ends last, or ``None`` if there is none."""
        entry = self.unmerge(key, value, who)
        if entry is not None and self.share is not None:
            self.share(None, key, entry.value, who)
        return entry

    def unmerge(self, key: str, value: str, who: str) -> Entry | None:
        """The same with what another node has lifted."""
        of_value = self._by_key.get(key, {}).get(written(value) if key == _ADDRESS else value, {})
        now, last = self._clock(), None
        for held in sorted(of_value.values(), key=_deadline):
            self._remove(held)
            if held.deadline > now:
                last = self._dated(held)
                self._tell(Happened("quarantine-lifted", who, last))
        return last

    def entries(self) -> Iterator[Entry]:
        """Every entry that has not run out."""
        self._look_at_the_date()
        now = self._clock()
        for of_key in [*self._by_key.values()]:
            for held in [held for of_value in of_key.values() for held in of_value.values()]:
                if held.deadline > now:
                    yield self._dated(held)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, reactor: Any, folder: pathlib.Path | None, tell: Tell) -> None:
        """Read what the folder's file keeps, and write what changes from now on; see
        :meth:`edgenode.state.interface.State.start`."""
        self._told.tell, self._reactor = tell, None
        self._look_at_the_date()
        for entry in self._saving.start(reactor, folder, self._now(), self._most):
            self._hold(entry, kept=True)
        self._reactor = reactor  # only now is there an end to wait for
        self._plan()

    def stop(self) -> Deferred[None]:
        """Write what is not yet written, and close the file."""
        self._reactor = None
        self._plan()
        return self._saving.stop()

    def saved(self) -> Deferred[bool]:
        """Fires once all that is held and lifted so far is on the disk; with false if it cannot be written there."""
        return self._saving.saved()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _tell(self, happened: Happened) -> None:
        self._told.tell(happened)

    def _hold(self, entry: Entry, *, kept: bool = False) -> Entry | None:
        """Add an entry; returns it as it is held, ``None`` if nothing has changed.

        :param kept: whether it comes from the file.
        """
        self._look_at_the_date()
        now = self._clock()
        if entry.key == _ADDRESS:
            entry = evolve(entry, value=written(entry.value))
        # Not longer than it was to last from its beginning: the clock may have been set back since.
        deadline = now + min(entry.until - self._offset - now, entry.until - entry.since)
        if not deadline > now:
            return None
        known = self._by_key.get(entry.key, {}).get(entry.value, {}).get(entry.action)
        if known is not None and known.deadline > now:
            same = known.entry.who == entry.who
            if deadline <= known.deadline + (_SAME if same else 0.0):
                return None
            prolonged = same and not kept
        else:
            prolonged = False
        if known is not None:
            self._remove(known, quiet=True)
        elif self._count >= self._most and not self._make_room(entry.who, deadline, now):
            return None
        self._insert(_Held(entry, deadline, self._offset))
        if not kept:
            self._saving.change(entry, held=True)
        if not (kept or prolonged):
            self._tell(Happened("quarantine-held", entry.why, entry))
        return entry

    def _insert(self, held: _Held) -> None:
        entry = held.entry
        if entry.key not in self._by_key:
            self._by_key[entry.key] = {}
            self.keys |= {entry.key}
        of_value = self._by_key[entry.key].setdefault(entry.value, {})
        if entry.key == _ADDRESS and not of_value:
            self._networks.put(entry.value, of_value)
        of_value[entry.action] = held
        self.added += 1
        self._count += 1
        owner = self._owners.get(entry.who)
        if owner is None:
            owner = self._owners[entry.who] = _Owner(entry.who)
        owner.add(held, next(self._numbers))
        if self._reactor is not None and held.deadline < self._sweep_at:
            self._plan()

    def _remove(self, held: _Held, *, quiet: bool = False) -> None:
        """Take an entry out.

        :param quiet: whether another takes its place.
        """
        entry, held.gone = held.entry, True
        of_key = self._by_key[entry.key]
        of_value = of_key[entry.value]
        del of_value[entry.action]
        self._count -= 1
        if not quiet:
            self._saving.change(entry, held=False)
        if not of_value:
            del of_key[entry.value]
            if entry.key == _ADDRESS:
                self._networks.remove(entry.value)
        if not of_key:
            del self._by_key[entry.key]
            self.keys -= {entry.key}
        owner = self._owners[entry.who]
        owner.count -= 1
        if not owner.count:
            del self._owners[entry.who]

    def _make_room(self, who: str, deadline: float, now: float) -> bool:
        """Whether there is room for one more of somebody's, which ends then."""
        self._end(now, _AT_ONCE)
        if self._count < self._most:
            return True
        owners = {each.name: each.count for each in self._owners.values()}
        owners[who] = owners.get(who, 0) + 1
        # A client can make a rule hold as many values as it likes: it shall not free what others hold.
        name = max(owners, key=lambda each: (each.startswith(_SECTIONS), owners[each]))
        self._told.rarely(Happened("quarantine-full", f"there are {self._most} entries; room is made by {name}"))
        giver = self._owners.get(name)
        first = None if giver is None else giver.first()
        if first is None or (name == who and first.deadline >= deadline):
            return False
        self._remove(first)
        return True

    def _end(self, now: float, most: int) -> None:
        """Take out what has run out, so much at the most."""
        for owner in [*self._owners.values()]:
            while most and (held := owner.first()) is not None and held.deadline <= now:
                self._remove(held)
                self._tell(Happened("quarantine-ended", held.entry.why, self._dated(held)))
                most -= 1

    def _plan(self) -> None:
        """Be back when the next entry ends."""
        if self._sweep is not None:
            self._sweep.cancel()
        ends = [held.deadline for owner in self._owners.values() if (held := owner.first()) is not None]
        self._sweep, self._sweep_at = None, min(ends, default=math.inf)
        if self._reactor is not None and self._sweep_at < math.inf:
            delay = min(max(self._sweep_at - self._clock(), 0.0), _LONGEST)
            self._sweep = self._reactor.callLater(delay, self._swept)

    def _swept(self) -> None:
        self._sweep = None
        self._look_at_the_date()
        self._end(self._clock(), _AT_ONCE)
        self._plan()

    def _look_at_the_date(self) -> None:
        """Date everything anew if the clock was set: what has to end in an hour still has to."""
        offset = self._now() - self._clock()
        if abs(offset - self._offset) > _SET:
            self._offset = offset
            self._saving.rewrite()

    def _dated(self, held: _Held) -> Entry:
        if held.offset != self._offset:
            entry, by = held.entry, self._offset - held.offset
            held.entry, held.offset = evolve(entry, until=entry.until + by, since=entry.since + by), self._offset
        return held.entry


def _deadline(held: _Held) -> float:
    return held.deadline
