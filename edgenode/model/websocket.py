"""What became of a WebSocket, for its events."""

from __future__ import annotations

from attrs import frozen


@frozen
class WebSocketState:
    """A WebSocket at its end, or at a message on which a rule has acted.

    :ivar received: messages that came from the client.
    :ivar sent: messages that came from the origin.
    :ivar code: the close code (RFC 6455, section 7.4); 1006 if it ended without one, ``None`` if it goes on.
    :ivar closed_by: ``client``, ``origin`` or ``node``; ``None`` likewise.
    """

    received: int
    sent: int
    code: int | None = None
    closed_by: str | None = None
