"""One side of a WebSocket: the client, or the origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgenode.model.errors import ClientError, OriginError
from edgenode.proxy.streams import Tunnel
from edgenode.proxy.websocket.frames import PING, TOO_BIG, Walker, close_frame, control_frame


class Relaying(Protocol):
    """What a side tells of itself: the relay.

    :ivar clock: monotonic seconds.
    :ivar active: when something passed last.
    :ivar closing: whether nothing passes any more.
    """

    clock: Callable[[], float]
    active: float
    closing: bool

    def finished(self, side: Side) -> None:
        """What the side sends has come to its Close frame, or to what is wrong."""

    def ended(self, side: Side) -> None:
        """Nothing more comes from there."""

    def lost(self, side: Side, reason: str) -> None:
        """This end of the tunnel is over."""


class Side:
    """One side: what comes from there is walked along, and passed to the other; the receiver of its end of the tunnel.

    :param walker: of the frames that come from there.
    :ivar name: ``client`` or ``origin``.
    :ivar tunnel: its end of the tunnel.
    :ivar other: the other side.
    :ivar passed: how many bytes have passed from there.
    :ivar heard: when something came from there.
    :ivar pinged: when it was sent a Ping that nothing has answered; 0.0 if it was not.
    :ivar over: whether nothing more comes from there.
    :ivar gone: whether its end of the tunnel is over.
    :ivar told: whether it was sent a Close frame, the other's or one of ours.
    """

    tunnel: Tunnel
    other: Side

    def __init__(self, relay: Relaying, name: str, walker: Walker) -> None:
        self.relay = relay
        self.name = name
        self.walker = walker
        self.passed = 0
        self.heard = relay.clock()
        self.pinged = 0.0
        self.over = self.gone = self.told = False

    # -- what comes from there ---------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Bytes came."""
        self.heard = self.relay.clock()
        walker = self.walker
        done = walker.over
        data = walker.walk(data)
        if data:
            self.let_pass(data)
        if walker.over and not done:
            self.relay.finished(self)

    def let_pass(self, data: bytes) -> None:
        """Send bytes on to the other side, and wait if it does not take them."""
        relay = self.relay
        if relay.closing:
            return
        relay.active = self.heard
        self.passed += len(data)
        tunnel = self.other.tunnel
        tunnel.write(data)
        if tunnel.full:
            self.tunnel.pause()

    def ended(self) -> None:
        """Nothing more comes."""
        self.over = True
        self.relay.ended(self)

    # -- what is sent there ------------------------------------------------------------------------------------------

    @property
    def between(self) -> bool:
        """Whether what has passed from there ends with a frame, so that one of ours may follow."""
        return self.walker.between

    @property
    def answers(self) -> bool:
        """Whether its Close frame is still to come, for it has got one: a client that cannot send it any more, because
        its connection has ended, takes that for the end of everything, and has no code."""
        return self.told and not (self.walker.over or self.over)

    def go_on(self) -> None:
        """The other side has taken everything: read on."""
        self.tunnel.resume()

    def drained(self) -> None:
        """It has taken everything."""
        if not self.other.gone:
            self.other.go_on()

    def lost(self, reason: str) -> None:
        """Its end of the tunnel is over."""
        self.over = self.gone = True
        self.relay.lost(self, reason)

    def close(self, code: int) -> bool:
        """Send it a Close frame of ours, unless it was sent one.

        :returns: whether that could be done: in the middle of another frame only a cut says it.
        """
        if not (self.told or self.gone):
            if not self.other.between:
                return False
            self.told = True
            self.tunnel.write(close_frame(code, masked=self.name == "origin"))
        return True

    def ping(self, payload: bytes) -> None:
        """Send it a Ping of ours, if no frame is in the way."""
        if self.other.between and not (self.told or self.gone or self.tunnel.full):
            self.pinged = self.relay.clock()
            self.walker.awaited = payload
            self.tunnel.write(control_frame(PING, payload, masked=self.name == "origin"))

    # -- for the event -----------------------------------------------------------------------------------------------

    def fault(self) -> ClientError | OriginError:
        """What is wrong with what it has sent."""
        fault = self.walker.fault
        assert fault is not None
        if self.name == "client":
            return ClientError(413 if fault.code == TOO_BIG else 400, f"WebSocket: {fault.reason}")
        return OriginError(502, "invalid", f"WebSocket: {fault.reason}", sent=True, begun=True)

    def broke_off(self, reason: str = "") -> ClientError | OriginError:
        """That it has ended without a Close frame."""
        reason = f"the {self.name} ended the WebSocket without a Close frame{f': {reason}' if reason else ''}"
        if self.name == "client":
            return ClientError(499, reason)
        return OriginError(502, "reset", reason, sent=True, begun=True)
