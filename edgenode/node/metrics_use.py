"""The meter of a node as a part of what observes it: it counts always, whether or not anybody looks."""

from __future__ import annotations

from typing import Any

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink
from edgenode.node.observation import Running
from edgenode.state.interface import Happened


class MetricsUse:
    """Has the node's meter count every exchange."""

    def __init__(self, running: Running, reactor: Any) -> None:
        self.sink: IEventSink | None = running.meter

    def renew(self, configuration: Configuration) -> None:
        """What is counted goes on across reloads."""

    def tell(self, happened: Happened) -> None:
        """The state tells of itself when it is asked."""

    def start(self) -> None:
        """There is nothing to open."""

    def stop(self) -> None:
        """Nor to close."""
