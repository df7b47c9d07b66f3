"""One alert at work: which events count, what is raised because of them, and who is told."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.logger import Logger

from edgenode.model.errors import printable
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.incidents import Incident, Machine
from edgenode.observe.alerts.messages import Gathering, Message
from edgenode.observe.alerts.outbox import Outbox

_QUIET = 10.0
"""Seconds between two lines in the log, at least."""

_log = Logger()

_TOLD = 10
"""Values that stand in what the node is told of an alert."""

_NAMED = 5
"""Values that stand in a line of the log."""


@frozen
class Receiver:
    """Who is told.

    :ivar gathering: makes the messages.
    :ivar outbox: sends them.
    """

    gathering: Gathering
    outbox: Outbox


def moment(event: Mapping[str, Any]) -> float:
    """When an event was over, seconds since the epoch: its ``time`` is when it began.

    :raises ValueError: if it does not say it, as KeyError and TypeError too.
    """
    began = datetime.datetime.fromisoformat(event["time"])
    if began.tzinfo is None:
        raise ValueError("a time without its zone")
    timings = event.get("timings")
    lasted = timings.get("total", 0) if isinstance(timings, Mapping) else 0
    return began.timestamp() + (lasted / 1e6 if isinstance(lasted, int) else 0.0)


def events_of(lines: Iterable[bytes], now: float) -> Iterator[tuple[Mapping[str, Any], float]]:
    """The events of lines, each with when it was over; what is none is passed over.

    :param now: seconds since the epoch; no event was over later, whatever it says: the clock may have been set back.
    """
    for line in lines:
        try:
            event = json.loads(line)
            time = moment(event)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
        yield event, min(time, now)


class Watching:
    """One alert.

    :param name: its name.
    :param alert: its section.
    :param receivers: who is told.
    :param start: since when events are told, seconds since the epoch.
    :ivar alert: its section.
    :ivar machine: what is raised.
    """

    def __init__(self, name: str, alert: Alert, receivers: Sequence[Receiver], start: float) -> None:
        self.alert = alert
        self._receivers = receivers
        self._log = Gathering(max(alert.pause, _QUIET), alert.repeat)
        self.name = name
        self.machine = Machine(alert.threshold, alert.resolve_after, alert.distinct is not None, alert.at_least, start)

    @property
    def receivers(self) -> Sequence[Receiver]:
        """Who is told."""
        return self._receivers

    def take(self, event: Mapping[str, Any], time: float) -> bool:
        """Take an event; whether something has changed.

        :param event: as :mod:`json` reads it.
        :param time: when it was over, seconds since the epoch.
        """
        return self._note(self.judge(event, time))

    def judge(self, event: Mapping[str, Any], time: float) -> list[Incident]:
        """Take an event, and return what is raised and resolved, of which nobody is told."""
        changes: list[Incident] = []
        self._each(event, lambda *what: changes.extend(self.machine.take(time, *what)))
        return changes

    def recall(self, event: Mapping[str, Any], time: float) -> None:
        """Count an event that was taken before the start."""
        self._each(event, lambda *what: self.machine.recall(time, *what))

    def advance(self, now: float) -> bool:
        """It is so late, and every event up to now was taken; whether something has changed."""
        return self._note(self.machine.advance(now))

    def tell(self, now: float) -> bool:
        """Send the messages that are due; whether there were any."""
        found = False
        message = self._log.due(now, self.machine.raised)
        if message is not None:
            _log.warn("[alert {name}] {text}", name=self.name, text=self._in_words(message))
        for each in self._receivers:
            message = each.gathering.due(now, self.machine.raised)
            if message is not None:
                each.outbox.put(message)
                found = True
        return found

    def _note(self, changes: Iterable[Incident]) -> bool:
        changes = tuple(changes)
        if changes:
            self._log.note(changes)
            for each in self._receivers:
                each.gathering.note(changes)
        return bool(changes)

    def _in_words(self, message: Message) -> str:
        """A line for the log, with the first few values."""
        incidents = message.incidents
        values = [f"{printable(each.value)} ({each.count})" for each in incidents if each.value]
        if not values:
            return f"{message.status}: {incidents[0].count}, {self.alert.threshold}"
        more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
        return f"{message.status}: {', '.join(values[:_NAMED])}{more}, {self.alert.threshold}"

    def _each(self, event: Mapping[str, Any], take: Callable[[str, str, bool], None]) -> None:
        """Tell of an event what it is counted by, what is different of it, and whether it counts."""
        alert = self.alert
        counts = alert.expression.matches(event)
        if not counts and not (alert.threshold.share and self._is_of(event)):
            return
        for value in ("",) if alert.by is None else alert.by.values(event):
            for what in ("",) if alert.distinct is None else alert.distinct.values(event):
                take(value, what, counts)

    def _is_of(self, event: Mapping[str, Any]) -> bool:
        """Whether it is one of those of which the ones that count are a share."""
        return "request" in event if self.alert.of is None else self.alert.of.matches(event)

    # -- what others see of it, and what outlasts the process ----------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """How it stands, as an object for JSON."""
        raised = self.machine.raised
        return {
            "severity": self.alert.severity,
            "raised": len(raised),
            "values": [{"value": each.value, "since": each.since, "count": each.count} for each in raised[:_TOLD]],
            "events": self.machine.counted,
            "forgotten": self.machine.forgotten,
            "not_raised": self.machine.waiting,
            "receivers": {
                each.outbox.name: {
                    "sent": each.outbox.sent,
                    "failed": each.outbox.failed,
                    "waiting": each.outbox.waiting,
                    "last_error": each.outbox.error,
                }
                for each in self._receivers
            },
        }

    @property
    def meaning(self) -> list[str]:
        """What is raised is still raised after a restart only if these are the same."""
        alert = self.alert
        return [str(each) for each in (alert.expression, alert.threshold, alert.by, alert.distinct, alert.of)]

    def as_json(self) -> dict[str, Any]:
        """As an object for JSON."""
        return {
            "meaning": self.meaning,
            "raised": self.machine.kept(),
            "receivers": {
                each.outbox.name: {"gathering": each.gathering.as_json(), "outbox": each.outbox.as_json()}
                for each in self._receivers
            },
        }

    def restore(self, value: Any, now: float) -> None:
        """Go on where another has stopped. If the section says something else since, what was raised is resolved.

        :param now: the time of the other, seconds since the epoch.
        :raises ValueError: if this is not what :meth:`as_json` makes.
        """
        try:
            kept, same = value["receivers"], value["meaning"] == self.meaning
            for each in self._receivers:
                if each.outbox.name in kept:
                    each.gathering.restore(kept[each.outbox.name]["gathering"])
                    each.outbox.restore(kept[each.outbox.name]["outbox"])
            if same:
                self.machine.restore(value["raised"], now)
            else:
                self._note(
                    Incident(str(text), float(since), int(count), until=now)
                    for text, since, count, _ in value["raised"]
                )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no state of an alert: {error}") from None
