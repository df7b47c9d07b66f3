"""What a client connection needs of others: the port that has accepted it, and the speaker of its protocol."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from edgenode.net.deadlines import Deadlines
from edgenode.net.receiver import Receiver
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.listener.handshake_counts import HandshakeCounts
from edgenode.proxy.listener.limits import Admitted, ClientLimits, Load
from edgenode.proxy.streams import ClientStream, RequestHead
from edgenode.proxy.trusted_proxies import TrustedProxies


class Speaker(Receiver, Protocol):
    """What speaks a protocol on a connection whose handshake is done.

    :ivar deadline: when to lose patience.
    """

    deadline: float

    def expired(self, now: float) -> None:
        """The deadline has passed."""

    def renew(self, limits: ClientLimits) -> None:
        """Hold what comes next to these limits, after a reload."""

    def last_request(self) -> None:
        """End after what is under way."""


class Listening(Protocol):
    """What a client connection needs of the port that has accepted it.

    :ivar proxies: those whose connections begin with a PROXY header; ``None`` for nobody's.
    :ivar speak: makes the speaker of a connection whose handshake is done.
    :ivar handshakes: where handshakes are counted.
    :ivar exchange: makes the exchange of a request.
    """

    reactor: Any
    deadlines: Deadlines
    load: Load
    proxies: TrustedProxies | None
    context: ListenerContext
    handshakes: HandshakeCounts
    speak: Callable[[Any], Speaker]
    exchange: Callable[[ClientSession, Load, ClientStream, RequestHead], ProxyExchange]

    def limits(self, admitted: Admitted) -> ClientLimits:
        """What a connection is held to."""
        ...

    def readmitted(self, connection: Any) -> Admitted | None:
        """As what a connection counts of which it is known now whose it is; ``None`` if it is one too many."""
        ...

    def departed(self, connection: Any) -> None:
        """A connection is over."""


class Stage(Enum):
    """How far a connection has come."""

    CLIENT_HELLO = "client hello"
    TURNED_AWAY = "turned away"
    HANDSHAKE = "handshake"
    SPEAKING = "speaking"
    OVER = "over"
