"""A connection of HTTP/1.1 that has become a tunnel (RFC 9110, section 7.8), on either side.

Law: what was read of the connection before belongs to the tunnel's beginning, and is never read as HTTP again.
"""

from __future__ import annotations

from collections.abc import Callable

from edgenode.net.deadlines import NEVER
from edgenode.net.transport import Transport
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.listener.limits import ClientLimits
from edgenode.proxy.streams import ResponseHead, TunnelReceiver
from edgenode.proxy.websocket.handshake import accepting

_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n%bUpgrade: websocket\r\nConnection: Upgrade\r\n%b: %b\r\n\r\n"
_ASKING = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n"


def accepted(lines: bytes, key: bytes) -> bytes:
    """The head of the response that accepts WebSocket.

    :param lines: its other field lines, each with CRLF.
    :param key: the client's Sec-WebSocket-Key.
    """
    return _SWITCHED % (lines, b"Sec-WebSocket-Accept", accepting(key))


def upgrade_lines(key: bytes) -> bytes:
    """The field lines that ask for WebSocket.

    :param key: ours.
    """
    return _ASKING % key


def check_switched(head: ResponseHead, key: bytes) -> None:
    """Check the answer 101 to our handshake (RFC 6455, section 4.1).

    :param key: ours.
    :raises MalformedHead: if it does not accept it.
    """
    protocols = [each.strip(b" \t").lower() for each in b",".join(head.fields.get(b"upgrade", ())).split(b",")]
    if protocols != [b"websocket"] or b"upgrade" not in head.options:
        raise MalformedHead("a 101 that does not switch to WebSocket")
    if head.fields.get(b"sec-websocket-accept", ()) != (accepting(key),):
        raise MalformedHead("a 101 whose Sec-WebSocket-Accept is not that of the key")


class HTTP1Tunnel:
    """One end of a tunnel, and the receiver of its transport; towards a client the speaker of its connection as well.

    :param receiver: whom it tells what comes.
    :param gone: called when it is over, with the reason.
    :param early: what has come before.
    :param ended: whether nothing more comes.
    :ivar deadline: none: its receiver has those of a tunnel.
    """

    __slots__ = ("_early", "_ended", "_gone", "_receiver", "deadline", "transport")

    def __init__(
        self,
        transport: Transport,
        receiver: TunnelReceiver,
        gone: Callable[[str], None],
        early: bytes = b"",
        *,
        ended: bool = False,
    ) -> None:
        self.transport = transport
        self._receiver = receiver
        self._gone = gone
        self._early = early
        self._ended = ended
        self.deadline = NEVER
        transport.receiver = self
        if early or ended:
            transport.call_again()
        transport.resume()

    # -- the writer's side -------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether something is unsent."""
        return self.transport.queued > 0

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""
        self.transport.pause()

    def resume(self) -> None:
        """Deliver again."""
        self.transport.resume()

    def end(self) -> None:
        """Send no more once all is sent."""
        self.transport.half_close()

    def close(self) -> None:
        """End the connection once all is sent."""
        self.transport.close()

    def reset(self, reason: str) -> None:
        """Cut it."""
        self.transport.abort(reason)

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """It was long ago."""

    def received(self, data: bytes) -> None:
        """Bytes came."""
        if self._early:
            data, self._early = self._early + data, b""
        if data:
            self._receiver.received(data)
        if self._ended:
            self._ended = False
            self._receiver.ended()

    def drained(self) -> None:
        """All was sent."""
        self._receiver.drained()

    def ended(self) -> None:
        """The other side sends no more."""
        if self._early:
            self._ended = True  # that comes first
        else:
            self._receiver.ended()

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over."""
        self._receiver.lost(reason)
        self._gone(reason)

    # -- as the speaker of a client's connection -----------------------------------------------------------------------

    def expired(self, now: float) -> None:
        """It has no deadline."""

    def renew(self, limits: ClientLimits) -> None:
        """The limits of requests are not a tunnel's."""

    def last_request(self) -> None:
        """It goes on until the drain ends."""
