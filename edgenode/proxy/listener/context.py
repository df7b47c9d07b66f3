"""What all exchanges of a listener share; replaced as a whole by a reload."""

from __future__ import annotations

from attrs import frozen

from edgenode.model.interfaces import EVENT_HEADERS, IEventSink
from edgenode.proxy.routing import Router
from edgenode.proxy.trusted_proxies import TrustedProxies


@frozen(eq=False)
class Surroundings:
    """What all exchanges of a listener share.

    :ivar listener: the listener's name.
    :ivar router: its server groups.
    :ivar via: the node's name, for Via.
    :ivar trusted_proxies: whose reports of the client are believed.
    :ivar events: who takes the events.
    :ivar event_headers: the names of the header fields whose values they tell.
    """

    listener: str
    router: Router
    via: bytes
    trusted_proxies: TrustedProxies
    events: IEventSink
    event_headers: tuple[bytes, ...] = EVENT_HEADERS
