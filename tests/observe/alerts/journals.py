"""A journal, a clock and receivers that a test plays, and alerts between them."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from edgenode.model.settings import Seconds
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.alerting import FILE, Alerting
from edgenode.observe.alerts.condition import Condition
from edgenode.observe.alerts.messages import Gathering, Message
from edgenode.observe.alerts.outbox import Outbox
from edgenode.observe.alerts.watching import Receiver, Watching
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.journal.segments import Segment

EPOCH = 1_796_000_000.0
"""When the clocks of tests begin."""


def alert(threshold: str = "more than 2 per 1m", expression: str = "http.response.code ge 500", **keys: Any) -> Alert:
    """An alert."""
    given = {"resolve_after": Seconds(5.0), "pause": Seconds(0.0), **keys}
    return Alert(expression=EventExpression.from_text(expression), threshold=Condition.from_text(threshold), **given)


def event(time: float, status: int = 500, client: str = "192.0.2.1", **keys: Any) -> dict[str, Any]:
    """The event of an exchange that has ended at a time."""
    began = datetime.datetime.fromtimestamp(time - 0.25, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    request = {"method": "GET", "headers": {}}
    return {
        "time": began,
        "client": client,
        "request": request,
        "status": status,
        "timings": {"total": 250_000},
        **keys,
    }


class Journal:
    """The files of a journal.

    :param folder: the folder.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.number = 0
        self.path = folder

    def rotate(self, time: float) -> None:
        """Begin a segment."""
        self.number += 1
        self.path = Segment.new(self.folder, self.number, datetime.datetime.fromtimestamp(time, datetime.UTC)).path
        self.path.touch()

    def write(self, *events: Mapping[str, Any] | bytes) -> None:
        """Append events, or lines that are none."""
        with self.path.open("ab") as file:
            for each in events:
                file.write((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n")


class Post:
    """A receiver that takes every message, or none while it is down.

    :ivar told: what it has taken.
    """

    name = "origin hooks"

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.down = False

    async def send(self, message: Message) -> None:
        """Take a message."""
        if self.down:
            await Deferred[None]()
        await succeed(None)
        self.told.append(message)

    @property
    def heard(self) -> list[tuple[str, str]]:
        """Everything that it was told of: ``raised`` or ``resolved``, and the value."""
        found = []
        for message in self.told:
            found += [("raised", each.value) for each in message.raised]
            found += [("resolved", each.value) for each in message.incidents if each.until is not None]
        return found


class Observed:
    """Alerts that read a journal, in one process after the other.

    :param folder: the journal's.
    :param alerts: by name.
    """

    def __init__(self, folder: pathlib.Path, **alerts: Alert) -> None:
        self.folder, self.alerts = folder, alerts
        self.clock, self.post, self.journal = Clock(), Post(), Journal(folder)
        self.clock.advance(EPOCH)
        self.journal.rotate(EPOCH)
        self.alerting: Alerting
        self.watching: Sequence[Watching]
        self.start()

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.seconds()

    def start(self) -> None:
        """Begin a process."""
        self.watching = [
            Watching(name, each, [self._receiver(name, each)], self.now) for name, each in self.alerts.items()
        ]
        longest = max(each.threshold.period for each in self.alerts.values())
        self.alerting = Alerting(self.watching, self.folder, longest, self.clock, lambda: self.now)
        self.alerting.start()

    def restart(self) -> None:
        """End it, and begin another."""
        self.alerting.stop()
        assert self.clock.getDelayedCalls() == []
        self.start()

    def crash(self) -> None:
        """The same without an end: what it had not saved is lost."""
        kept = [(path, path.read_bytes()) for path in (self.folder / FILE,) if path.exists()]
        self.alerting.stop()
        (self.folder / FILE).unlink()
        for path, content in kept:
            path.write_bytes(content)
        self.start()

    def happens(self, *events: Mapping[str, Any] | bytes) -> None:
        """Events are written, and read."""
        self.journal.write(*events)
        self.passes(1.0)

    def passes(self, seconds: float) -> None:
        """Time passes."""
        while seconds > 0:
            step = min(seconds, 0.5)
            self.clock.advance(step)
            seconds -= step

    def _receiver(self, name: str, each: Alert) -> Receiver:
        outbox = Outbox(name, self.post, self.clock, lambda: self.alerting.change(), lambda: self.now, lambda: 1.0)
        return Receiver(Gathering(each.pause, each.repeat), outbox)
