"""What an alert counts by: a value of the Rules language, of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.observe.event_expressions import DEFINITIONS
from edgenode.observe.recorded_fields import EVENTS
from edgenode.rules.language.computing import reader
from edgenode.rules.language.nodes import Node, listed
from edgenode.rules.language.parsing import parse_value
from edgenode.rules.language.texts import to_string
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRINGS


@frozen
class EventValue:
    """A value of events: a field, an element of one, or a function's.

    :ivar node: its tree.
    :ivar text: as it is written.
    """

    node: Node
    text: str = field(eq=False)
    _read: Callable[[Any], Any] = field(
        init=False, eq=False, repr=False, default=Factory(lambda self: reader(self.node, DEFINITIONS), True)
    )

    @classmethod
    def from_text(cls, text: str) -> EventValue:
        """A field of :ref:`expressions <rules-language>` on events, an element of one, or a function's value:
        ``ip.src``, ``http.request.headers["x-team"][0]``, ``lower(http.host)``.

        :raises InvalidValue: with its column, if it is wrong, or looks at what events do not hold.
        """
        node = parse_value(text, EVENTS)
        for named, _ in listed(node):
            raise InvalidValue("events are looked at without the lists of the configuration", named.column)
        if node.type not in (BOOL, INT, BYTES, IP, STRINGS):
            raise InvalidValue(f"expected a single value, or several texts, and this is {node.type}", 0)
        return cls(node, text)

    def values(self, event: Mapping[str, Any]) -> tuple[str, ...]:
        """Its different values of an event, as texts; none if the event does not hold it."""
        try:
            found = self._read(event)
        except RuntimeError:  # too much of it to be computed
            return ()
        if found is None:
            return ()
        each = found if self.node.type == STRINGS else (found,)
        return tuple(dict.fromkeys(map(_text, each)))

    def __str__(self) -> str:
        return self.text


def _text(value: Any) -> str:
    octets = value if isinstance(value, bytes) else to_string(value)
    return octets.decode("utf-8", "backslashreplace")
