"""The client at the other end of a connection, and what is remembered of it from one request to the next.

Law: what is remembered depends on nothing but what it is remembered by. A verdict on a certificate is remembered for as
long as its server group's trust says that it holds, to the second: the grain of a certificate's validity (RFC 5280,
section 4.1.2.5).
"""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

from attrs import evolve

from edgenode.model.exchange import Connection
from edgenode.proxy.headers import Passage, read_passage
from edgenode.proxy.http1.requestheads import Block, RequestHead
from edgenode.proxy.routing import Router, ServedGroup
from edgenode.proxy.trusted_proxies import TrustedProxies
from edgenode.tls.trust import FOREVER

if TYPE_CHECKING:
    from edgenode.proxy.judging import Judgement

_BLOCKS = 8
"""Header blocks remembered for a connection: a browser sends some four kinds, a program one."""


class Visitor:
    """A client on one connection.

    :ivar connection: the facts of the connection, with the verdict on the client as of its handshake.
    :ivar shaken: the server group under whose TLS policy it was judged, as of the last reload.
    :ivar last: what became of its last request, if a request that repeats it would be judged in the same way.
    """

    __slots__ = ("_as_of", "_passages", "_router", "_since", "_trust", "_until", "connection", "last", "shaken")

    def __init__(self, connection: Connection, shaken: ServedGroup, router: Router) -> None:
        self.connection = connection
        self.shaken = shaken
        self.last: Judgement | None = None
        self._router = router
        self._passages: dict[Block, Passage] = {}
        self._as_of = connection
        self._trust = shaken.trust
        self._since, self._until = 0, FOREVER
        if connection.client is not None:
            self._since = int(self.now())
            handshake = datetime.datetime.fromtimestamp(self._since, datetime.UTC)
            self._until = shaken.trust.until(connection.client, handshake)

    def now(self) -> float:
        """The time, seconds since the epoch."""
        return time.time()

    def follow(self, router: Router) -> None:
        """Keep up with a reload: from now on the server groups, and all that surrounds them, are others.

        A group without a successor stays; the router then serves only what is judged on the very same terms.
        """
        if router is not self._router:
            self._router = router
            self.shaken = router.successor(self.shaken) or self.shaken
            self._passages.clear()

    def as_of_now(self, group: ServedGroup) -> Connection:
        """The facts with the verdict as of now: a certificate may have expired or been revoked since the handshake,
        and the trust stores may be others."""
        client = self.connection.client
        if client is None:
            return self.connection
        second = int(self.now())
        if group.trust is not self._trust or not self._since <= second <= self._until:
            now = datetime.datetime.fromtimestamp(second, datetime.UTC)
            judged, self._until = group.trust.look_again(client, now)
            if judged != self._as_of.client:
                self._as_of = self.connection if judged is client else evolve(self.connection, client=judged)
            self._trust, self._since = group.trust, second
        return self._as_of

    def passage(self, head: RequestHead, trusted: TrustedProxies, via: bytes) -> Passage:
        """How the header block of a request goes through."""
        passage = self._passages.get(head.block)
        if passage is None:
            passage = read_passage(head.request, head.block.options, self.connection.peer.host, trusted, via)
            if len(self._passages) >= _BLOCKS:
                self._passages.clear()
            self._passages[head.block] = passage
        return passage
