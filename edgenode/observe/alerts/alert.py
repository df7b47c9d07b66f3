"""``[alert]``: a condition on events over time, and who is told."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from edgenode.model.settings import setting
from edgenode.observe.event_expressions import EventExpression


@frozen
class Alert:
    """A condition on events over time, and who is told."""

    kind: ClassVar[str] = "alert"

    expression: EventExpression = setting("The events that are counted.")
