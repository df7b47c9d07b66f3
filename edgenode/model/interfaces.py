"""Every extension point, and nothing else."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import Interface

from edgenode.model.decision import Decision
from edgenode.model.exchange import Exchange


class Stage(Protocol):
    """One step of a pipeline."""

    @property
    def name(self) -> str:
        """The stage's name in reasons and timings."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """What its rules look at besides the head of a request, such as ``body``: see ``rules.fields.Field.needs``."""
        ...

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Judge an exchange; it must not be changed. Return a Deferred only if something has to be waited for.

        Later the exchange has the tags of this stage and of the stages behind it.
        """
        ...


class Told(Protocol):
    """What can be told as an event."""

    def line(self) -> str:
        """The event as one line of JSON, in ASCII."""
        ...


class IEventSink(Interface):
    """Takes the event of every exchange."""

    def record(told: Told) -> None:
        """Take one event; ask for its line when there is time. It must not raise, and must not block."""
