"""Every extension point, and nothing else."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import Interface

from edgenode.decision import Decision
from edgenode.exchange import Exchange


class Stage(Protocol):
    """One step of a pipeline.

    :ivar name: the stage's name in reasons and timings.
    """

    name: str

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Judge an exchange; it must not be changed. Return a Deferred only if something has to be waited for."""
        ...


class IEventSink(Interface):
    """Takes the event of every exchange."""

    def record(event: dict[str, object]) -> None:
        """Take one event. It must not raise, and must not block."""
