"""Lines of the journal as what is sent of them.

Law: a line is the same event, with the same key, however often it is read. A request's identifier alone would not do:
a client may choose it where a proxy passes it on, and a WebSocket has two events of one identifier.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.exporters.fields import SentField, sent
from edgenode.observe.exporters.receiver import Outgoing

_LONGEST_IDENTIFIER = 128
_DIGITS = 16
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def key_of(line: bytes, event: Mapping[str, Any]) -> str:
    """Tells an event from every other: its ``id``, if it has one, and the beginning of its line's SHA-256."""
    digest = hashlib.sha256(line).hexdigest()
    identifier = event.get("id")
    plain = _ODD.sub("", identifier[:_LONGEST_IDENTIFIER]) if isinstance(identifier, str) else ""
    return f"{plain}-{digest[:_DIGITS]}" if plain else digest[: 2 * _DIGITS]


def outgoing(
    line: bytes, expression: EventExpression | None, fields: Sequence[SentField], place: str = ""
) -> Outgoing | None:
    """What is sent of a line; ``None`` if nothing is.

    :param place: where it begins in the journal.
    :raises ValueError: if the line is no event.
    """
    event = json.loads(line)
    if not isinstance(event, dict):
        raise ValueError("this is no object")
    time = datetime.datetime.fromisoformat(event["time"]).timestamp() if isinstance(event.get("time"), str) else None
    if time is None:
        raise ValueError("it has no time")
    if expression is not None and not expression.matches(event):
        return None
    what = sent(event, fields)
    written = line if what is event else json.dumps(what, separators=(",", ":")).encode("ascii")
    return Outgoing(key_of(line, event), time, event, what, written, place)
