"""``[exporter]``: another system that is sent events."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.settings import Reference, setting
from edgenode.observe.event_expressions import EventExpression


@frozen
class Exporter:
    """Another system that is sent events."""

    kind: ClassVar[str] = "exporter"

    origin: Annotated[str, Reference("origin")] = setting(
        "The origin that takes them; its servers, certificate and trust store are used."
    )
    expression: EventExpression | None = setting("Which events are sent; without the key all are.", None)
