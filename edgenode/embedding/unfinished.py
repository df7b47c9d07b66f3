"""The end of a connection, for requests of which Twisted may tell no end.

Law: whoever waits is told once, when the connection is over, whatever has become of the protocol on it. A resource may
give the connection to another protocol, or end its stream, at any time: then no request is finished, and none is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgenode.embedding.protocol_transport import ProtocolTransport

Told = Callable[[], None]


class EndOfConnection:
    """A transport's method that hears of the end, and those who hear of it besides.

    It takes the method's place on the transport until then, for there is no other way that all transports have.
    """

    __slots__ = ("_method", "_name", "_transport", "_waiting")

    def __init__(self, transport: Any, name: str) -> None:
        self._transport = transport
        self._name = name
        self._method = getattr(transport, name)
        self._waiting: dict[Told, None] = {}
        setattr(transport, name, self)

    @classmethod
    def tell(cls, transport: Any, told: Told) -> EndOfConnection | None:
        """Tell somebody when a connection is over; ``None`` if its transport would not say so."""
        name = "lost" if isinstance(transport, ProtocolTransport) else "connectionLost"
        found = getattr(transport, name, None)
        if not isinstance(found, cls):
            try:
                found = cls(transport, name)
            except AttributeError:  # it has no such method, or lets nobody put another in its place
                return None
        found._waiting[told] = None
        return found

    def forget(self, told: Told) -> None:
        """Somebody does not wait any more."""
        self._waiting.pop(told, None)

    def __call__(self, *reason: Any) -> None:
        """The connection is over."""
        if vars(self._transport).get(self._name) is self:
            delattr(self._transport, self._name)
        try:
            self._method(*reason)
        finally:
            waiting, self._waiting = self._waiting, {}
            for told in waiting:
                told()
