"""The bodies of an agent's messages, as ``twisted.web`` knows them: from an ``IBodyProducer``, to an ``IProtocol``.

Law: neither side is asked for more than the other takes, and a body is delivered whole or said not to be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IConsumer, IProducer, IProtocol, IPushProducer, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web._newclient import WrongBodyLength  # which users of Agent import from there
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from edgenode.proxy.header_names import HOP_BY_HOP
from edgenode.proxy.streams import OriginStream, ResponseHead

_log = Logger()


class Download(Protocol):
    """Where the body of a response comes from."""

    def pause(self) -> None:
        """Read no more of it."""

    def resume(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Nobody wants the rest."""


@implementer(IConsumer)
class Upload:
    """The body of a request, from its producer to the connection, as fast as the connection takes it.

    :ivar length: in bytes, ``None`` if it is not known in advance.
    :ivar started: whether its producer has been asked to begin.
    :ivar finished: whether all of it was written.
    :raises ValueError: if its length is no length.
    """

    def __init__(self, producer: IBodyProducer) -> None:
        self._producer = producer
        self._stream: OriginStream | None = None
        self._paused = self.started = self.finished = False
        self.length: int | None = None
        if isinstance(producer.length, int) and producer.length >= 0:
            self.length = producer.length
        elif producer.length != UNKNOWN_LENGTH:
            raise ValueError(f"not the length of a body: {producer.length!r}")
        self._left = self.length

    def start(self, stream: OriginStream, failed: Callable[[Failure], None]) -> None:
        """Begin; this cannot be repeated, nor can the request from here on."""
        self._stream = stream
        self._failed = failed
        self.started = True
        maybeDeferred(self._producer.startProducing, self).addCallbacks(self._produced, self._broken)

    def stop(self) -> None:
        """Nobody wants the rest."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with _log.failuresHandled("a body producer could not be stopped"):
                self._producer.stopProducing()

    def drained(self) -> None:
        """The connection takes more."""
        if self._paused and self._stream is not None:
            self._paused = False
            self._producer.resumeProducing()

    def write(self, data: bytes) -> None:
        """Bytes of the body come from the producer."""
        stream = self._stream
        if stream is None or not data:
            return
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self.stop()
                self._failed(Failure(WrongBodyLength("the body is longer than its length")))
                return
        stream.send_body(data, False)
        if stream.full and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """An ``IBodyProducer`` must not register itself: it was the one asked to produce."""
        raise RuntimeError("a body producer does not register")

    def unregisterProducer(self) -> None:
        """Nor unregister."""
        raise RuntimeError("a body producer does not unregister")

    def _produced(self, result: object) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if self._left:
            self._failed(Failure(WrongBodyLength("the body is shorter than its length")))
        else:
            self.finished = True
            stream.send_body(b"", True)

    def _broken(self, failure: Failure) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._failed(failure)


@implementer(IResponse)
class OriginResponse:
    """A response of the origin.

    Before :meth:`deliverBody` no more of its body is held than what the first two reads brought.

    :param body: what came of the body with the head.
    :param done: whether that is all of it.
    """

    def __init__(
        self, download: Download, request: IClientRequest, head: ResponseHead, body: bytes, done: bool
    ) -> None:
        bodiless = done and not body
        multiplexed = head.version == b"2.0"
        self.version = (b"HTTP", 2, 0) if multiplexed else (b"HTTP", 1, 1)
        self.code = head.status
        self.phrase = head.reason
        self.request = request
        self.previousResponse: IResponse | None = None
        self.headers = Headers()
        for name, value in head.headers:
            if name not in HOP_BY_HOP and (name != b"content-length" or request.method == b"HEAD"):
                self.headers.addRawHeader(name, value)
        self.length: int | str = 0 if bodiless else UNKNOWN_LENGTH if head.length is None else head.length
        framed = bodiless or multiplexed or head.length is not None or b"transfer-encoding" in head.fields
        self._end: Exception = ResponseDone() if framed else PotentialDataLoss()
        self._transport = BodyTransport(download)
        self._protocol: IProtocol | None = None
        self._buffer = [body] if body else []
        self._reason: Failure | None = Failure(self._end) if done else None

    def setPreviousResponse(self, response: IResponse) -> None:
        """Remember the response that led here by a redirect."""
        self.previousResponse = response

    def deliverBody(self, protocol: IProtocol) -> None:
        """Give the body to a protocol, which may pause and abort it through its transport.

        Its ``connectionLost`` gets ``ResponseDone``; ``PotentialDataLoss`` if the body ends with its connection; or
        ``ResponseFailed``.

        :raises RuntimeError: if the body was delivered before.
        """
        if self._protocol is not None:
            raise RuntimeError("the body has a protocol already")
        self._protocol = protocol
        held, self._transport.paused = self._transport.paused, False
        protocol.makeConnection(cast(ITransport, self._transport))
        buffer, self._buffer = self._buffer, []
        for data in buffer:
            protocol.dataReceived(data)
        if self._reason is not None:
            protocol.connectionLost(self._reason)
        elif held and not self._transport.paused:
            self._transport.resumeProducing()

    def received(self, body: bytes, done: bool) -> None:
        """More of the body came.

        :param done: whether that is all of it.
        """
        if self._protocol is not None:
            self._protocol.dataReceived(body)
            return
        self._buffer.append(body)
        if not done:
            self._transport.pauseProducing()

    def ended(self, error: Exception | None = None) -> None:
        """The body is over, as it should be if there is no error; the first end counts."""
        if self._reason is None:
            self._reason = Failure(error if error is not None else self._end)
            if self._protocol is not None:
                self._protocol.connectionLost(self._reason)


@implementer(IPushProducer)
class BodyTransport:
    """What the protocol of a response's body knows as its transport.

    :ivar paused: whether the body is being held back.
    """

    disconnecting = False

    def __init__(self, download: Download) -> None:
        self._download = download
        self.paused = False

    def pauseProducing(self) -> None:
        """Deliver nothing more for now."""
        self.paused = True
        self._download.pause()

    def resumeProducing(self) -> None:
        """Deliver again."""
        self.paused = False
        self._download.resume()

    def stopProducing(self) -> None:
        """Deliver nothing more at all: close the connection."""
        self._download.abort()

    loseConnection = abortConnection = stopProducing
