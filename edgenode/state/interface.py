"""What stages ask of a state, and what it answers.

Law: a state counts exactly, and all calls of one list as if at one moment. A call costs the same however many keys
there are. What is remembered is bounded, and the coldest goes first.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

KINDS = ("fixed", "sliding", "distinct", "steps")
"""What a counter counts: requests in a window that begins with the first; requests by GCRA; distinct values in such a
window; how far the steps of a flow have been taken in it."""


@frozen(eq=False)
class Counter:
    """What is counted for each key: a threshold of a limit, or the steps of a flow.

    Those with the same :attr:`identity` share their counts, before and after a reload too.

    :ivar name: the header of its section, such as ``rate-limit login``.
    :ivar kind: one of :data:`KINDS`.
    :ivar most: how many fit into the period; of ``distinct`` no more values are kept than one more; of ``steps`` how
        many there are.
    :ivar period: seconds, greater than 0.
    """

    name: str
    kind: str
    most: int
    period: float

    @property
    def identity(self) -> tuple[str, str, int, float]:
        """What its counts belong to: those of sliding windows and distinct values go on if the number changes."""
        return self.name, self.kind, 0 if self.kind in ("sliding", "distinct") else self.most, self.period


class Call(NamedTuple):
    """One thing to count.

    :ivar counter: by what.
    :ivar key: the values that it is counted under, joined.
    :ivar amount: how much; 0 only looks: the answer is what one more would come to.
    :ivar value: of ``distinct``, the value.
    :ivar steps: of ``steps``, the steps whose conditions the request meets, from 0.
    :ivar only_if: positions in the same list of earlier calls of ``steps``: it counts only if one of them has come to
        its last step.
    :ivar unless: likewise: it does not count if one of them has.
    """

    counter: Counter
    key: str
    amount: int = 1
    value: str = ""
    steps: tuple[int, ...] = ()
    only_if: tuple[int, ...] = ()
    unless: tuple[int, ...] = ()


class Counted(NamedTuple):
    """What a call came to.

    :ivar total: this request included. It is over if that is more than the threshold. Of ``steps`` the number of steps
        taken; all of them only if this request has taken the last.
    :ivar reset: seconds until the total is 0 again if nothing more comes.
    :ivar wait: seconds until one more fits; 0 if it does now.
    """

    total: int
    reset: float
    wait: float


Answers = Sequence[Counted | None]
"""The answers to a list of calls in its order; ``None`` for those that did not count, and for all if nobody counts."""


class InTime(Deferred[Answers]):
    """Answers that come, or fail, within a time limit of the state's own: who waits for them needs no timer."""


AGAIN = 5
"""Seconds within which a state that cannot be asked is tried again, whatever becomes of that."""


class StateAbsent(Exception):
    """The state cannot be asked, and no request is to pass without it: ``absent = closed``."""


@frozen
class Entry:
    """A value that is held in quarantine, or banned.

    :ivar key: what kind of value: a word of a ``key``, such as ``ip`` or ``header.user-agent``; of a ban the header of
        its limit: ``rate-limit login``.
    :ivar value: the value; for addresses a network too; of a ban the key that it was counted under.
    :ivar until: when it ends, seconds since the epoch; infinity for never.
    :ivar since: when it began, likewise.
    :ivar who: who has added it: the header of a section, or a user.
    :ivar why: for people.
    :ivar action: the name of the action for requests that have the value.
    """

    key: str
    value: str
    until: float
    since: float
    who: str
    why: str
    action: str = "block"

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return self.key, self.value, self.action


HAPPENINGS: Mapping[str, str] = {
    "quarantine-held": "creation",
    "quarantine-lifted": "deletion",
    "quarantine-ended": "end",
    "quarantine-full": "error",
    "quarantine-unsaved": "error",
    "quarantine-saved": "change",
    "counters-full": "error",
    "state-absent": "error",
    "state-back": "change",
    "server-down": "error",
    "server-up": "change",
    "certificate-refused": "error",
    "certificate-accepted": "change",
}
"""What can happen to a state, and to the origins, ``event.action`` of the Elastic Common Schema, and the
``event.type`` of each: an entry was added, lifted before its time, or has run out; one had to make room; entries
could not be written to the disk, and can be again; counters had to make room; the server of the state cannot be
asked, and can be again; a server of an origin is down by its health checks, and up again; an origin has refused our
new certificate, or accepted it."""


class Happened(NamedTuple):
    """Something that has happened to a state.

    :ivar action: a key of :data:`HAPPENINGS`.
    :ivar why: for people; of what was lifted who has done so.
    :ivar entry: the entry that it is about, if it is about one.
    """

    action: str
    why: str = ""
    entry: Entry | None = None


Tell = Callable[[Happened], None]
"""Takes what has happened, in the reactor's thread; it must not raise."""


class Quarantine(Protocol):
    """The values that are held, and the bans; shared by all nodes that share the state."""

    @property
    def keys(self) -> frozenset[str]:
        """The keys of its entries; some may have run out. It is asked for every request."""

    @property
    def added(self) -> int:
        """How many entries were ever added, here or by another node: who has waited looks again if it has changed."""

    def now(self) -> float:
        """The time, seconds since the epoch."""

    def find(self, key: str, value: str) -> Entry | None:
        """The entry that holds a value now: of ``ip`` the one that ends last of those whose network it is in."""

    def all(self, key: str, value: str) -> Sequence[Entry]:
        """Every entry that holds a value now, one for each action: of ``ip`` those of all networks that it is in."""

    def hold(self, entry: Entry) -> None:
        """Add an entry, or replace that of the same key, value and action if this one ends later."""

    def lift(self, key: str, value: str, who: str) -> Entry | None:
        """End all entries of a value before their time; returns that which ends last, or ``None`` if there is none."""

    def entries(self) -> Iterator[Entry]:
        """Every entry that has not run out."""

    def saved(self) -> Deferred[bool]:
        """Fires once all that is held and lifted so far is kept on a disk, if it is at all; with false if it cannot
        be."""


class State(Protocol):
    """What is remembered between requests."""

    @property
    def quarantine(self) -> Quarantine:
        """What is held and banned."""

    def count(self, calls: Sequence[Call]) -> Answers | Deferred[Answers]:
        """Count, all at once; a Deferred only if something has to be waited for.

        :raises StateAbsent: or the Deferred fails with it.
        """

    def add(self, calls: Sequence[Call]) -> None:
        """Count what only the answer to a request has told; nobody waits for it.

        All of it counts, also what a sliding window has no room for: it has been sent.
        """

    def start(self, reactor: Any, folder: pathlib.Path | None, tell: Tell) -> None:
        """Open what lasts longer than the process, and connect; until then it remembers in memory alone. Called before
        the first request, and again to go on with other arguments. It does not raise: what fails is told.

        :param reactor: its timers and threads.
        :param folder: where entries of the quarantine are kept; ``None`` for nowhere.
        """

    def stop(self) -> Deferred[None]:
        """Write what is not yet written, and close; the Deferred fires then. It may be started again."""
