"""Who stands around a client's connection: its host, the taker of its current request, and how long it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from edgenode.model.errors import ClientError
from edgenode.proxy.http1.requestheads import RequestHead

if TYPE_CHECKING:
    from edgenode.proxy.http1.server import ServerConnection


class Taker(Protocol):
    """Who takes one request and answers it through the connection."""

    def body(self, data: bytes, done: bool) -> None:
        """Bytes of the request body."""

    def body_refused(self, error: ClientError) -> None:
        """The rest of the body cannot be had: malformed, or too slow."""

    def client_drained(self) -> None:
        """All of the response that was written has been sent."""

    def client_lost(self, reason: str) -> None:
        """The client is gone."""


class Host(Protocol):
    """Who hosts the connection: makes takers, and hears of what never became a request."""

    def established(self, connection: ServerConnection) -> None:
        """The TLS handshake is done."""

    def take(self, connection: ServerConnection, head: RequestHead) -> Taker | None:
        """Take a request; ``None`` if it has been answered already."""

    def refused(self, connection: ServerConnection, error: ClientError) -> None:
        """Something that is no request was refused; it has been answered already."""

    def gone(self, connection: ServerConnection, reason: str) -> None:
        """The connection is over."""


@frozen
class Timeouts:
    """How long a client may take, seconds.

    :ivar header: for a request head, from its first byte.
    :ivar body: for a request body.
    :ivar send: for taking anything at all of what is being sent.
    :ivar keepalive: between two requests.
    :ivar handshake: for the TLS handshake.
    """

    header: float
    body: float
    send: float
    keepalive: float
    handshake: float
