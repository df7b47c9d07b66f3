"""A stream of HTTP/2 that has become a tunnel (RFC 8441), on either side.

Law: the end of one direction is END_STREAM and leaves the other as it is; a cut is RST_STREAM with CANCEL (RFC 8441,
section 5). Nothing is told after ``lost``.
"""

from __future__ import annotations

from typing import Protocol

from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Headers
from edgenode.proxy.streams import ResponseHead, TunnelReceiver


class ClientSide(Protocol):
    """A stream of a client's that is a tunnel."""

    @property
    def full(self) -> bool:
        """Whether the writer should wait."""
        ...

    def pause_body(self) -> None:
        """Deliver nothing."""

    def resume_body(self) -> None:
        """Deliver again."""

    def send_on(self, data: bytes, done: bool) -> None:
        """Send bytes, or the end of them, and stay open."""

    def part(self) -> None:
        """End both directions once all is sent."""

    def cancel(self) -> None:
        """End both at once."""


class ClientTunnel:
    """One end of a tunnel, towards a client: the handler of its stream.

    :param receiver: whom it tells what comes.
    """

    __slots__ = ("_receiver", "_stream")

    def __init__(self, stream: ClientSide, receiver: TunnelReceiver) -> None:
        self._stream = stream
        self._receiver: TunnelReceiver | None = receiver

    # -- the writer's side -------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the writer should wait."""
        return self._stream.full

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._stream.send_on(data, False)

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""
        self._stream.pause_body()

    def resume(self) -> None:
        """Deliver again."""
        self._stream.resume_body()

    def end(self) -> None:
        """Send no more once all is sent."""
        self._stream.send_on(b"", True)

    def close(self) -> None:
        """End both directions once all is sent."""
        self._stream.send_on(b"", True)
        self._stream.part()
        self.client_lost("")

    def reset(self, reason: str) -> None:
        """End both at once."""
        self._stream.cancel()
        self.client_lost(reason)

    # -- the stream's side -------------------------------------------------------------------------------------------

    def request_body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """Bytes came, or the end of them."""
        if data and self._receiver is not None:
            self._receiver.received(data)
        if done and self._receiver is not None:
            self._receiver.ended()

    def body_failed(self, error: ClientError) -> None:
        """The stream has broken the protocol."""
        self.reset(error.reason)

    def client_drained(self) -> None:
        """All was sent."""
        if self._receiver is not None:
            self._receiver.drained()

    def client_lost(self, reason: str) -> None:
        """The stream is over."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(reason)


class OriginSide(Protocol):
    """A stream to an origin that is a tunnel."""

    @property
    def full(self) -> bool:
        """Whether the writer should wait."""
        ...

    def pause(self) -> None:
        """Deliver nothing."""

    def resume(self) -> None:
        """Deliver again."""

    def send_body(self, data: bytes, done: bool) -> None:
        """Send bytes, or the end of them."""

    def reset(self) -> None:
        """End both directions: at once, or if both have ended, once all is sent."""


class OriginTunnel:
    """The same towards an origin: the receiver of its stream."""

    __slots__ = ("_ended", "_receiver", "_sent_end", "_stream")

    def __init__(self, stream: OriginSide, receiver: TunnelReceiver) -> None:
        self._stream = stream
        self._receiver: TunnelReceiver | None = receiver
        self._ended = self._sent_end = False

    # -- the writer's side -------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the writer should wait."""
        return self._stream.full

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self._sent_end:
            self._stream.send_body(data, False)

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""
        self._stream.pause()

    def resume(self) -> None:
        """Deliver again."""
        self._stream.resume()

    def end(self) -> None:
        """Send no more once all is sent."""
        if not self._sent_end:
            self._sent_end = True
            self._stream.send_body(b"", True)

    def close(self) -> None:
        """End both directions once all is sent: this one now, and all of it when the origin has ended its own."""
        self.end()
        if self._ended:
            self.reset("")

    def reset(self, reason: str) -> None:
        """End both at once."""
        self._stream.reset()
        self._lost(reason)

    # -- the stream's side -------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """There is none behind the answer."""

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """Nor another answer."""

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """Bytes came, or the end of them."""
        if body and self._receiver is not None:
            self._receiver.received(body)
        if done:
            self._ended = True
            if self._receiver is not None:
                self._receiver.ended()

    def origin_drained(self) -> None:
        """All was sent."""
        if self._receiver is not None:
            self._receiver.drained()

    def failed(self, error: OriginError) -> None:
        """The stream is over."""
        self._lost(error.reason)

    def _lost(self, reason: str) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(reason)
