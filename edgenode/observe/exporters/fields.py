"""Which parts of an event are sent, and under which names: the lines of ``fields``.

Law: a part is named by its place in an event, as the page of events has it, and one that no event has is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.observe.event_fields import ROWS, Row
from edgenode.observe.state_events import STATE_ROWS

_NAME = re.compile(r"[^\s.:\"\\]+(?:\.[^\s.:\"\\]+)*")


def _paths(rows: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        found[row.path] = row
        found |= _paths(row.inner)
    return found


PATHS: Mapping[str, Row] = {**_paths(STATE_ROWS), **_paths(ROWS)}
"""Every part of an event, of exchanges and of the state."""

_KEYED = ("request.headers", "stages")
"""Objects whose keys are not the schema's."""


@frozen
class SentField:
    """A part of an event under a name of the receiver's: ``source.ip: client``; or a text that is sent with every
    event: ``event.dataset: "edgenode"``.

    :ivar name: the keys that lead to its place in what is sent.
    :ivar path: those that lead to it in the event; empty for a text.
    :ivar text: the text.
    """

    lines: ClassVar[bool] = True

    name: tuple[str, ...]
    path: tuple[str, ...] = ()
    text: str = ""

    @classmethod
    def from_text(cls, text: str) -> SentField:
        """Read a line.

        :raises InvalidValue: if it is none, with its column.
        """
        name, colon, value = text.partition(":")
        if not colon:
            raise InvalidValue("expected a name, a colon and a part of the event: source.ip: client", 0)
        start, name, value = len(text) - len(value.lstrip()), name.strip(), value.strip()
        if not _NAME.fullmatch(name):
            raise InvalidValue("expected a name, or several joined with dots", 0)
        keys = (*name.split("."),)
        if value.startswith('"'):
            return cls(keys, text=_constant(value, start))
        within = next((each for each in _KEYED if value.startswith(f"{each}.")), "")
        if within:
            rest = value.removeprefix(f"{within}.")
            return cls(keys, (*within.split("."), rest.lower() if within == "request.headers" else rest))
        if value not in PATHS:
            close = get_close_matches(value, [*PATHS], 1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            raise InvalidValue(f'an event has no "{value}"{hint}', start)
        return cls(keys, (*value.split("."),))

    def __str__(self) -> str:
        return f"{'.'.join(self.name)}: {'.'.join(self.path) if self.path else json.dumps(self.text)}"


def _constant(value: str, start: int) -> str:
    try:
        text = json.loads(value)
    except ValueError as error:
        raise InvalidValue("the text does not end with its quotation mark, as in JSON", start) from error
    assert isinstance(text, str)
    return text


def check(several: Sequence[SentField]) -> None:
    """Whether the names can stand beside one another.

    :raises InvalidValue: if two are the same, or one is within another.
    """
    for number, each in enumerate(several):
        for other in several[:number]:
            shorter, longer = sorted((each.name, other.name), key=len)
            if longer[: len(shorter)] == shorter:
                one, two = ".".join(each.name), ".".join(other.name)
                raise InvalidValue(f"{one} and {two} cannot both be sent: one would stand in the other's place")


def sent(event: Mapping[str, Any], several: Sequence[SentField]) -> Mapping[str, Any]:
    """What is sent of an event: all of it without any field; what the event does not have is left out."""
    if not several:
        return event
    made: dict[str, Any] = {}
    for each in several:
        value = each.text if not each.path else _found(event, each.path)
        if value is None:
            continue
        place = made
        for key in each.name[:-1]:
            place = place.setdefault(key, {})
        place[each.name[-1]] = value
    return made


def _found(value: Any, path: Sequence[str]) -> Any:
    """The part at a path, of a list those of all its members; ``None`` if there is none."""
    for at, key in enumerate(path):
        if isinstance(value, list):
            found = [each for each in (_found(member, path[at:]) for member in value) if each is not None]
            return found or None
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
