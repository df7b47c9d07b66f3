"""What happens to the state, as lines of JSON among the events: entries of the quarantine, and what fails.

Law: the classes here are the schema of these lines, as :mod:`edgenode.observe.event_schema` is that of exchanges; a
line of one kind has ``event``, and one of the other ``request``. A value that a client has chosen cannot forge a line.
"""

from __future__ import annotations

import datetime
import time
from typing import Annotated, Any, TypedDict

from attrs import frozen

from edgenode.observe.event_fields import described_rows, rows_of
from edgenode.observe.event_record import members_of
from edgenode.observe.event_schema import Instant, Kind, Text
from edgenode.observe.event_values import instant
from edgenode.state.interface import HAPPENINGS, Entry, Happened

_LATEST = datetime.datetime.max.replace(tzinfo=datetime.UTC).timestamp() - 86400.0
"""The last day that RFC 3339 can say; what ends later never ends."""

End = Annotated[str | None, Kind(lambda value: instant(value) if abs(value) < _LATEST else "null")]


class EventOfState(TypedDict):
    """What has happened, in the words of the Elastic Common Schema."""

    kind: Annotated[Text, "kind", "``event``."]
    category: Annotated[Text, "category", "``intrusion_detection``; of what happens to an origin ``network``."]
    type: Annotated[
        Text, "type", "``creation`` and ``deletion`` of an entry, its ``end``, an ``error``, or a ``change``."
    ]
    action: Annotated[Text, "action", "What has happened: ``quarantine-held``, ``state-absent``, ``server-down``, ..."]


class EventEntry(TypedDict):
    """The entry of the quarantine, or the ban; ``null`` if it is not about one."""

    key: Annotated[
        Text, "key", "What kind of value is held: ``ip``, ``header.user-agent``; of a ban the header of its limit."
    ]
    value: Annotated[Text, "value", "The value, or the network; of a ban the key that it was counted under."]
    since: Annotated[Instant, "since", "When it began; RFC 3339, UTC."]
    until: Annotated[End, "until", "When it ends; ``null`` for never."]
    who: Annotated[Text, "who", "Who has added it: the header of a section, or a user."]
    why: Annotated[Text, "why", "Why, for people."]
    action: Annotated[Text, "action", "The action for requests that have the value."]


class StateEvent(TypedDict):
    """Something that has happened to the state, as a line of JSON says it."""

    time: Annotated[Instant, "time", "When it happened; RFC 3339, UTC, microseconds."]
    event: Annotated[EventOfState, "event"]
    reason: Annotated[Text, "why", "Why, for people; of an entry that was lifted, who has done so."]
    entry: Annotated[EventEntry | None, "entry"]


STATE_ROWS = tuple(rows_of(StateEvent))
"""The fields of such a line, in order."""


_OF_ORIGINS = frozenset(("server-up", "server-down", "certificate-accepted", "certificate-refused"))


@frozen
class _Words:
    action: str
    type: str
    category: str
    kind: str = "event"


@frozen
class _Told:
    time: float
    event: _Words
    why: str
    entry: Entry | None


def state_line(happened: Happened, now: float | None = None) -> str:
    """The event of something that has happened to the state.

    :param now: when, seconds since the epoch; the clock's time if absent.
    :returns: a line without its end, printable ASCII, with the fields of :class:`StateEvent`.
    """
    category = "network" if happened.action in _OF_ORIGINS else "intrusion_detection"
    words = _Words(happened.action, HAPPENINGS[happened.action], category)
    told = _Told(time.time() if now is None else now, words, happened.why, happened.entry)
    return f"{{{_members(told)}}}"


def reference() -> str:
    """The definitions of all fields, reStructuredText."""
    return described_rows(STATE_ROWS, "state.")


_members: Any = members_of(STATE_ROWS)
