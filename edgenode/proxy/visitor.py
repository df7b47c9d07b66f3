"""The client at the other end of a connection, and what is remembered of it from one request to the next.

Law: what is remembered depends on nothing but what it is remembered by. A verdict on a certificate is remembered for
the second it was made in, for that is the grain of a certificate's validity (RFC 5280, section 4.1.2.5).
"""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

from attrs import evolve

from edgenode.exchange import Connection
from edgenode.proxy.headers import Passage, read_passage
from edgenode.proxy.http1.heads import Block, RequestHead
from edgenode.proxy.routing import ServedGroup
from edgenode.proxy.trustedproxies import TrustedProxies
from edgenode.tls.revocation import look_again

if TYPE_CHECKING:
    from edgenode.proxy.judging import Judgement

_BLOCKS = 8
"""Header blocks remembered for a connection: a browser sends some four kinds, a program one."""


class Visitor:
    """A client on one connection.

    :ivar connection: the facts of the connection, with the verdict on the client as of its handshake.
    :ivar shaken: the server group under whose TLS policy it was judged.
    :ivar last: what became of its last request, if a request that repeats it would be judged in the same way.
    """

    __slots__ = ("_as_of", "_passages", "_second", "connection", "last", "shaken")

    def __init__(self, connection: Connection, shaken: ServedGroup) -> None:
        self.connection = connection
        self.shaken = shaken
        self.last: Judgement | None = None
        self._passages: dict[Block, Passage] = {}
        self._as_of = connection
        self._second: tuple[ServedGroup, int] | None = None

    def as_of_now(self, group: ServedGroup) -> Connection:
        """The facts with the verdict as of now: a certificate may have expired or been revoked since the handshake."""
        client = self.connection.client
        if client is None:
            return self.connection
        second = group, int(time.time())
        if second != self._second:
            now = datetime.datetime.fromtimestamp(second[1], datetime.UTC)
            verdict = look_again(client, group.trust_stores, now)
            if verdict != self._as_of.verification:
                self._as_of = evolve(self.connection, client=evolve(client, verification=verdict))
            self._second = second
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
