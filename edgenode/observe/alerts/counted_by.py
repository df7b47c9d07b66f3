"""What an alert counts by: a field of expressions on events, and its values of an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from edgenode.model.errors import InvalidValue

_PATHS = {"ip.src": ("client",), "edge.server_group": ("server_group",), "edge.path_map": ("path_map",)}


@frozen
class EventField:
    """A field of expressions on events.

    :ivar name: as it is written.
    """

    name: str

    @classmethod
    def from_text(cls, text: str) -> EventField:
        """Read it.

        :raises InvalidValue: if events hold no such field.
        """
        if text not in _PATHS:
            raise InvalidValue("events hold no such field", 0)
        return cls(text)

    def values(self, event: Mapping[str, Any]) -> tuple[str, ...]:
        """Its different values of an event, in its order; none if it does not hold it."""
        found: Any = event
        for key in _PATHS[self.name]:
            found = found.get(key) if isinstance(found, Mapping) else None
        return (found,) if isinstance(found, str) else ()

    def __str__(self) -> str:
        return self.name
