"""What all exchanges of a listener share; replaced as a whole by a reload."""

from __future__ import annotations

from attrs import frozen

from edgenode.model.interfaces import IEventSink
from edgenode.proxy.routing import Router
from edgenode.proxy.trace_context import Tracing
from edgenode.proxy.trusted_proxies import TrustedProxies


@frozen(eq=False)
class ListenerContext:
    """What all exchanges of a listener share.

    :ivar listener: the listener's name.
    :ivar router: its server groups.
    :ivar via: the node's name, for Via.
    :ivar trusted_proxies: the proxies whose reports of the client are believed.
    :ivar events: takes the events.
    :ivar protocols: the application protocols spoken, as ALPN names them, the preferred first.
    :ivar event_headers: the names, in lower case, of the header fields whose values events hold.
    :ivar drain_timeout: how long what a reload, or a stop, has ended may still go on, seconds.
    :ivar tracing: how traces begin; ``None`` if requests stand in none.
    """

    listener: str
    router: Router
    via: bytes
    trusted_proxies: TrustedProxies
    events: IEventSink
    event_headers: tuple[bytes, ...]
    protocols: tuple[bytes, ...] = ()
    drain_timeout: float = 30.0
    tracing: Tracing | None = None
