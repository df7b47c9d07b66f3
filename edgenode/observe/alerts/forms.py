"""Messages as receivers take them: JSON with all there is, Slack's, Alertmanager's, and the text of a mail.

Law: values are clients'. In a text for people they are one line each, of printable characters; nothing of them is taken
for the notation of whoever shows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from edgenode.model.durations import write_seconds
from edgenode.model.errors import printable
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.incidents import Incident
from edgenode.observe.alerts.messages import Message
from edgenode.observe.event_values import instant

MOST_LINES = 20
"""Incidents that a text for a chat has lines of."""

MOST_VALUES = 5
"""Values that stand in a description."""

FRESH = 300.0
"""Seconds for which an Alertmanager believes that something is raised; it is told again before."""


@frozen
class Subject:
    """The alert that messages are of.

    :ivar name: its name.
    :ivar alert: its section.
    :ivar node: the name of the node, ``[edge] name``.
    """

    name: str
    alert: Alert
    node: str

    @property
    def unit(self) -> str:
        """What is counted."""
        if self.alert.distinct is not None:
            return f"different {self.alert.distinct}"
        return "% of events" if self.alert.threshold.share else "events"

    def identity(self, incident: Incident) -> str:
        """The identifier of an incident, 32 hexadecimal digits: the same in all messages of it, and in no others."""
        text = "\0".join((self.node, self.name, incident.identity))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def key(self, message: Message) -> str:
        """The identifier of a message, 32 hexadecimal digits: the same each time that it is sent."""
        text = "\0".join((message.status, repr(message.time), *map(self.identity, message.incidents)))
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]

    def described(self, message: Message) -> str:
        """What it means."""
        incidents = message.incidents
        values = [_plain(each.value) for each in incidents if each.value]
        more = f" and {len(values) - MOST_VALUES} more" if len(values) > MOST_VALUES else ""
        return self.alert.description.of(
            {
                "alert": self.name,
                "count": str(max((each.count for each in incidents), default=0)),
                "node": self.node,
                "severity": self.alert.severity,
                "since": moment_text(min(each.since for each in incidents)),
                "status": message.status,
                "threshold": str(self.alert.threshold),
                "value": ", ".join(values[:MOST_VALUES]) + more,
            }
        )

    def title(self, message: Message) -> str:
        """A line."""
        incidents = message.incidents
        first = _plain(incidents[0].value)
        others = f" and {len(incidents) - 1} more" if len(incidents) > 1 else ""
        return f"[{message.status}] {self.name} on {self.node}{f': {first}' if first else ''}{others}"

    def line(self, incident: Incident) -> str:
        """An incident, for people."""
        value = f"{self.alert.by} {_plain(incident.value)}: " if incident.value else ""
        state = f"since {moment_text(incident.since)}"
        if incident.until is not None:
            lasted = write_seconds(float(max(1, round(incident.until - incident.since))))
            state = f"from {moment_text(incident.since)} to {moment_text(incident.until)}, {lasted}"
        return f"{value}{incident.count} {self.unit}, {state}"


def as_json(subject: Subject, message: Message) -> Any:
    """All there is, as an object."""
    alert = subject.alert
    return {
        "alert": subject.name,
        "status": message.status,
        "time": moment_text(message.time),
        "node": subject.node,
        "severity": alert.severity,
        "description": subject.described(message),
        "expression": str(alert.expression),
        "threshold": str(alert.threshold),
        "by": None if alert.by is None else str(alert.by),
        "distinct": None if alert.distinct is None else str(alert.distinct),
        "incidents": [
            {
                "id": subject.identity(each),
                "status": "raised" if each.until is None else "resolved",
                "value": each.value if alert.by is not None else None,
                "count": each.count,
                "since": moment_text(each.since),
                "until": None if each.until is None else moment_text(each.until),
            }
            for each in message.incidents
        ],
        "untold": message.untold,
    }


def as_slack(subject: Subject, message: Message) -> Any:
    """A text, with ``&``, ``<`` and ``>`` as entities, so that no value is a link or a mention."""
    lines = list(_lines(subject, message))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more"]
    text = "\n".join(_parts(subject, message, lines))
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return {"text": text}


def as_alertmanager(subject: Subject, message: Message) -> Any:
    """What ``POST /api/v2/alerts`` takes: an alert for each incident."""
    return [
        {
            "labels": {
                "alertname": subject.name,
                "severity": subject.alert.severity,
                "instance": subject.node,
                **({str(subject.alert.by).replace(".", "_"): _plain(each.value)} if each.value else {}),
            },
            "annotations": {"summary": subject.line(each), "description": subject.described(message)},
            "startsAt": moment_text(each.since),
            "endsAt": moment_text(message.time + FRESH if each.until is None else each.until),
        }
        for each in message.incidents
    ]


FORMS: Mapping[str, Callable[[Subject, Message], Any]] = {
    "json": as_json,
    "slack": as_slack,
    "alertmanager": as_alertmanager,
}
"""What makes the value of each format."""


def body(subject: Subject, message: Message) -> bytes:
    """The body of a message, JSON of ASCII."""
    return json.dumps(FORMS[subject.alert.format](subject, message)).encode("ascii")


def text(subject: Subject, message: Message) -> str:
    """A message for people."""
    return "\n".join(_parts(subject, message, list(_lines(subject, message)))) + "\n"


def _parts(subject: Subject, message: Message, lines: list[str]) -> Iterator[str]:
    yield subject.title(message)
    described = subject.described(message)
    if described:
        yield described
    yield from lines
    if message.untold:
        yield f"{message.untold} were raised and resolved, and are not listed"
    yield f"{subject.alert.severity}; {subject.alert.threshold}; {' '.join(str(subject.alert.expression).split())}"


def _lines(subject: Subject, message: Message) -> Iterator[str]:
    for word, incidents in (("raised", message.raised), ("resolved", message.resolved), ("still", message.still)):
        for each in incidents:
            yield f"{word}: {subject.line(each)}"


def _plain(value: str) -> str:
    return printable(value)


def moment_text(seconds: float) -> str:
    """Seconds since the epoch for people and programs: RFC 3339, UTC."""
    return str(json.loads(instant(min(max(seconds, 0.0), _LATEST))))


_LATEST = 253370764800.0
"""The beginning of the year 9999."""
