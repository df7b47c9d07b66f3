"""What alerts would have said of events that are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.incidents import Incident
from edgenode.observe.alerts.watching import Watching
from edgenode.observe.alerts.windows import PARTS


def replayed(
    alerts: Mapping[str, Alert], events: Iterable[tuple[Mapping[str, Any], float]]
) -> Iterator[tuple[str, Incident]]:
    """What is raised and resolved, with the name of its alert, by the times of the events.

    :param alerts: by name.
    :param events: each with when it was over, seconds since the epoch, in about that order.
    """
    watching: list[Watching] = []
    now = float("-inf")
    for event, time in events:
        if not watching:
            watching = [Watching(name, alert, (), time) for name, alert in alerts.items()]
        changes = [
            (moment, each.name, change)
            for each in watching
            for moment in _between(now, time, each)
            for change in each.machine.advance(moment)
        ]
        changes += [(time, each.name, change) for each in watching for change in each.judge(event, time)]
        yield from ((name, change) for _, name, change in sorted(changes, key=itemgetter(0)))
        now = max(now, time)


def _between(now: float, time: float, watching: Watching) -> Iterator[float]:
    """The moments between two events at which something can change: for as long as something can."""
    alert = watching.alert
    step = max(1.0, alert.threshold.period / PARTS)
    end = min(time, now + 2 * alert.threshold.period + alert.resolve_after)
    while now + step < end:
        now += step
        yield now
