"""What was counted, per second over the last minute: for people who look now and then, and keep no series of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any

from attrs import frozen

from edgenode.observe.metrics.meter import Meter
from edgenode.observe.status import Rates

PERIOD, SPAN = 5.0, 60.0
"""Seconds between two looks at the meter, and over which the rates are."""

_MOST_FILTERS = 3


@frozen
class _Counts:
    """What had been counted at a time.

    :ivar at: seconds.
    :ivar statuses: requests by the first digit of their status.
    :ivar actions: requests on which an action was taken, by its name.
    :ivar filters: how often each has matched, of those that propose an action.
    """

    at: float
    statuses: Counter[str]
    actions: Counter[str]
    filters: Counter[str]

    @classmethod
    def of(cls, meter: Meter, now: float) -> _Counts:
        """Those of a meter."""
        meter.settle()
        statuses, actions, filters = Counter[str](), Counter[str](), Counter[str]()
        for (_, _, _, digit, action, mode), counts in meter.requests.items():
            statuses[f"{digit}xx"] += counts.count
            if action and mode == "block":
                actions[action] += counts.count
        for (stage, filter, proposed, *_), (count,) in meter.filters.items():
            if proposed:  # the others only put on tags, many on every request
                filters[filter or stage] += count
        return cls(now, statuses, actions, filters)


class LastMinute:
    """Looks at a meter every few seconds.

    :param meter: what has been counted so far.
    :param reactor: its timers, and a clock of monotonic seconds.
    """

    def __init__(self, meter: Meter, reactor: Any) -> None:
        self._meter, self._reactor = meter, reactor
        self._seen: deque[_Counts] = deque(maxlen=int(SPAN / PERIOD))
        self._next: Any = None

    def start(self) -> None:
        """Look from now on."""
        if self._next is None:
            self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._seen.clear()

    def _look(self) -> None:
        self._seen.append(_Counts.of(self._meter, self._reactor.clock()))
        self._next = self._reactor.callLater(PERIOD, self._look)

    def rates(self, harmless: Collection[str] = ()) -> Rates:
        """What there was per second.

        :param harmless: the actions that keep nobody from anything.
        """
        now = _Counts.of(self._meter, self._reactor.clock())
        before = self._seen[0] if self._seen else now
        seconds = now.at - before.at

        def per_second(of: Callable[[_Counts], Counter[str]]) -> dict[str, float]:
            counts = of(now)
            counts.subtract(of(before))
            return {name: count / seconds for name, count in counts.most_common() if count} if seconds > 0 else {}

        statuses, actions = per_second(lambda each: each.statuses), per_second(lambda each: each.actions)
        filters = per_second(lambda each: each.filters)
        return Rates(
            seconds,
            sum(statuses.values()),
            dict(sorted(statuses.items())),
            sum(rate for name, rate in actions.items() if name not in harmless),
            dict([*filters.items()][:_MOST_FILTERS]),
        )
