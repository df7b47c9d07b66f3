"""What is told of an alert, and when: several incidents in one message, and no message too soon after another.

Law: that an incident is resolved is told after it was told that it is raised, or with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from attrs import asdict, frozen

from edgenode.observe.alerts.incidents import MOST_RAISED, Incident

_NEVER = float("-inf")


@frozen
class Message:
    """What is told of an alert at a time.

    :ivar time: when it was made, seconds since the epoch.
    :ivar raised: incidents that are told for the first time; those that are over again have an ``until``.
    :ivar resolved: incidents that are over, and were told before.
    :ivar still: of a reminder the incidents that are raised, and were told before.
    :ivar untold: how many were raised, and over again, that there was no room for.
    """

    time: float
    raised: tuple[Incident, ...] = ()
    resolved: tuple[Incident, ...] = ()
    still: tuple[Incident, ...] = ()
    untold: int = 0

    @property
    def status(self) -> str:
        """``raised``, ``resolved`` or ``reminder``: what is told for the first time comes first."""
        return "raised" if self.raised else "resolved" if self.resolved else "reminder"

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """All that are in it."""
        return (*self.raised, *self.resolved, *self.still)

    def known_to(self, told: Iterable[str]) -> Message | None:
        """The message for a receiver that was perhaps not told of all of it: what is resolved, and it was not told of,
        is left out; what is still raised is told for the first time.

        :param told: the identities of those of which it was told.
        :returns: ``None`` if nothing is left.
        """
        known = frozenset(told)
        resolved = tuple(each for each in self.resolved if each.identity in known)
        still = tuple(each for each in self.still if each.identity in known)
        missed = tuple(each for each in self.still if each.identity not in known)
        made = Message(self.time, (*self.raised, *missed), resolved, still, self.untold)
        return made if made.incidents else None

    def as_json(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read such an object.

        :raises ValueError: if it is none.
        """
        try:
            raised, resolved, still = (tuple(map(_incident, value[each])) for each in ("raised", "resolved", "still"))
            return cls(float(value["time"]), raised, resolved, still, int(value["untold"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no message: {error}") from None


def _incident(value: Mapping[str, Any]) -> Incident:
    until = value["until"]
    return Incident(
        str(value["value"]), float(value["since"]), int(value["count"]), None if until is None else float(until)
    )


class Gathering:
    """Makes the messages for one receiver.

    :param pause: seconds between two messages, at least; what happens meanwhile is in the next.
    :param repeat: seconds after which it is reminded of what is still raised; 0: never.
    """

    def __init__(self, pause: float, repeat: float = 0.0) -> None:
        self._pause = pause
        self._repeat = repeat
        self._raised: dict[str, Incident] = {}
        self._resolved: dict[str, Incident] = {}
        self._untold = 0
        self._last = _NEVER

    def note(self, changes: Iterable[Incident]) -> None:
        """Something was raised, or resolved."""
        for each in changes:
            if each.until is None or each.identity in self._raised:
                self._raised[each.identity] = each
            else:
                self._resolved[each.identity] = each
        while len(self._raised) > 2 * MOST_RAISED:  # the first that is over: never more than MOST_RAISED are not
            del self._raised[next(key for key, each in self._raised.items() if each.until is not None)]
            self._untold += 1

    def due(self, now: float, raised: Sequence[Incident]) -> Message | None:
        """The message that is to be sent now, if there is one.

        :param raised: what is raised now.
        """
        if 0 <= now - self._last < self._pause:
            return None
        latest = {each.identity: each for each in raised}
        if self._raised or self._resolved:
            first = tuple(latest.get(key, each) for key, each in self._raised.items())
            message = Message(now, first, tuple(self._resolved.values()), untold=self._untold)
        elif self._repeat and raised and not 0 <= now - self._last < self._repeat:
            message = Message(now, still=tuple(raised))
        else:
            return None
        self._raised, self._resolved, self._untold, self._last = {}, {}, 0, now
        return message

    # -- what outlasts the process -------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """As an object for JSON."""
        rest = Message(0.0, tuple(self._raised.values()), tuple(self._resolved.values()), untold=self._untold)
        return {"last": None if self._last == _NEVER else self._last, "rest": rest.as_json()}

    def restore(self, value: Any) -> None:
        """Go on where another has stopped.

        :raises ValueError: if this is not what :meth:`as_json` makes.
        """
        try:
            last, rest = value["last"], Message.from_json(value["rest"])
            self._last = _NEVER if last is None else float(last)
        except (KeyError, TypeError) as error:
            raise ValueError(f"these are no messages to come: {error}") from None
        self._raised = {each.identity: each for each in rest.raised}
        self._resolved = {each.identity: each for each in rest.resolved}
        self._untold = rest.untold
