"""What the observer of a node is made of: parts that keep the journal, send events to others, and raise alerts.

Law: a part never blocks the reactor for long, and a part that fails takes nothing from another.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from edgenode.observe.alerts.alert import Alert
from edgenode.observe.exporters.exporter import Exporter
from edgenode.observe.journal.journal import Journal
from edgenode.observe.journal.positions import Positions
from edgenode.proxy.origin.pool import OriginPool

Tell = Callable[[Mapping[str, Any]], None]
"""Tells the node how things stand: an object that can be written as JSON, such as ``{"journal": {"segments": 3}}``. Of
what was told before under the same keys, of objects within it too, the last is what holds."""


@frozen(eq=False)
class Observing:
    """What parts of the observer work with.

    :ivar node: the node's name.
    :ivar journal: how the journal is kept.
    :ivar folder: where it is.
    :ivar exporters: those of the configuration, by name.
    :ivar alerts: likewise.
    :ivar pools: the connections to each origin that these name.
    :ivar positions: how far each exporter has come.
    :ivar reactor: with descriptors, timers and threads.
    :ivar tell: tells the node.
    """

    node: str
    journal: Journal
    folder: pathlib.Path
    exporters: Mapping[str, Exporter]
    alerts: Mapping[str, Alert]
    pools: Mapping[str, OriginPool]
    positions: Positions
    reactor: Any
    tell: Tell


class ObserverPart(Protocol):
    """A part of the observer."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> Deferred[Any] | None:
        """End: within two seconds, or what is not done is done by the next observer."""
