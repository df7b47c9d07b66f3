"""Bytes between two transports, in both directions.

Law: nothing is read from one side for which the other has no room. An end of one side is passed on as what it is: a
proper end ends the other's sending side once all before it is sent, while its answer still comes back; a loss cuts the
other, without close_notify, so that nobody takes a part for the whole.
"""

from __future__ import annotations

from typing import Protocol

from edgenode.net.transport import Transport


class Relaying(Protocol):
    """Whom the two ends tell how it goes."""

    def side_ended(self, end: End) -> None:
        """A side sends no more."""

    def side_lost(self, end: End, reason: str, clean: bool) -> None:
        """A side is gone; called once for each."""


class End:
    """One side of a relay: the receiver of its transport.

    :param relay: whom it tells how it goes.
    :ivar transport: its transport.
    :ivar other: the other side.
    :ivar passed: bytes that have come from it.
    :ivar over: whether it has ended its sending side.
    :ivar gone: whether its connection is over.
    """

    __slots__ = ("_cut", "_relay", "gone", "other", "over", "passed", "transport")

    other: End

    def __init__(self, relay: Relaying, transport: Transport) -> None:
        self._relay = relay
        self.transport = transport
        self.passed = 0
        self.over = self.gone = False
        self._cut = ""

    def handshaken(self) -> None:
        """It was before."""

    def received(self, data: bytes) -> None:
        """Bytes came: the other side gets them, and as long as it does not take them no more are read."""
        self.passed += len(data)
        other = self.other.transport
        other.write(data)
        if other.queued:
            self.transport.pause()

    def drained(self) -> None:
        """All is sent: more may come from the other side."""
        if self._cut:
            self.transport.abort(self._cut)
        elif not self.other.gone:
            self.other.transport.resume()

    def ended(self) -> None:
        """It sends no more; what the other side still sends it gets."""
        self.over = True
        self._relay.side_ended(self)
        self.other.transport.half_close()

    def lost(self, reason: str, clean: bool) -> None:
        """Its connection is over: so is the other's, once it has got all that came before."""
        self.gone = True
        other = self.other
        self._relay.side_lost(self, reason, clean)
        if other.gone:
            return
        if clean:
            other.transport.close()
        else:
            other.cut(reason or "closed")

    def count(self) -> None:
        """Bring ``passed`` up to date: it is."""

    def abort(self, reason: str) -> None:
        """End it at once."""
        self.transport.abort(reason)

    def cut(self, reason: str) -> None:
        """Send what is queued, and end it as no proper end."""
        self.transport.flush()
        if self.transport.queued:
            self._cut = reason
            self.transport.pause()
        else:
            self.transport.abort(reason)


def join(relay: Relaying, one: Transport, other: Transport) -> tuple[End, End]:
    """Relay between two transports, of which nothing was read."""
    ends = End(relay, one), End(relay, other)
    ends[0].other, ends[1].other = ends[1], ends[0]
    for end in ends:
        end.transport.receiver = end
        end.transport.resume()
    return ends
