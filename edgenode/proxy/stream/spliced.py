"""A relay between two sides without TLS whose bytes the kernel moves: see :mod:`edgenode.net.splice`.

Law: whoever looks at its ends sees what those of a relay that reads and writes would show.
"""

from __future__ import annotations

import socket

from edgenode.net.plain import Plain
from edgenode.net.poller import Reactor
from edgenode.net.splice import Splice
from edgenode.net.transport import Transport
from edgenode.proxy.stream.relay import End, Relaying, join


class SplicedEnd(End):
    """One side: its transport rests until the connection is to end."""

    __slots__ = ("relayed",)

    relayed: Spliced

    def count(self) -> None:
        """Bring ``passed`` up to date."""
        self.relayed.count()

    def abort(self, reason: str) -> None:
        """Cut both sides."""
        self.relayed.splice.stop(reason)


class Spliced:
    """The relay.

    :ivar splice: what moves the bytes.
    """

    def __init__(self, reactor: Reactor, relay: Relaying, one: SplicedEnd, other: SplicedEnd) -> None:
        self._relay = relay
        self._one, self._other = one, other
        one.other, other.other = other, one
        for end in (one, other):
            end.relayed = self
            end.transport.receiver = end
            end.transport.pause()
        self.splice = Splice(reactor, one.transport.sock, other.transport.sock, self._done)

    def count(self) -> None:
        """Bring the ends' counts up to date."""
        self._one.passed, self._other.passed = self.splice.bytes_left_to_right, self.splice.bytes_right_to_left

    def _done(self, reason: str) -> None:
        """It is over: end both connections, first that which is broken, or has ended first."""
        self.count()
        first = self._other if self.splice.by == "right" else self._one
        if reason:
            first.transport.abort(reason)
        else:
            self._relay.side_ended(first)
            first.transport.close()


def relay_between(reactor: Reactor, relay: Relaying, one: Transport, other: Transport) -> tuple[End, End]:
    """Relay between two transports, of which nothing was read; by the kernel if neither has TLS."""
    for each in (one, other):
        each.flush()
        if not isinstance(each.connection, Plain) or not isinstance(each.sock, socket.socket) or each.queued:
            return join(relay, one, other)
    ends = SplicedEnd(relay, one), SplicedEnd(relay, other)
    Spliced(reactor, relay, *ends)
    return ends
