"""Any Twisted protocol on a connection of a listener: Twisted's transport interfaces in front of our transport.

Law: a protocol is built only for a client that its server group lets in, and hears no byte from one that it lets in no
longer. What Twisted promises a protocol is kept: ``connectionMade`` comes first and ``connectionLost`` last, each once,
and neither from within a call of the protocol's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet import interfaces
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.embedding.transport_facts import TransportFacts
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Exchange
from edgenode.model.interfaces import IEdgeTransport
from edgenode.net.errors import describe
from edgenode.proxy.event_record import EventRecord
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.limits import ClientLimits

_log = Logger()

_LOOK_AGAIN = 1.0
"""Seconds after which a client that sends nothing is judged again, and a client that takes nothing is looked at."""

_LINGER = 2.0
"""Seconds for which a client may read what it was sent, once its protocol has closed, before the connection is cut."""


class Server(Protocol):
    """The port that the connection came in by, as the transport needs it.

    :ivar factory: builds the protocols.
    :ivar reactor: for what must not happen at once.
    """

    factory: interfaces.IProtocolFactory
    reactor: Any


@implementer(IEdgeTransport)
@implementer(
    interfaces.INegotiated,
    interfaces.ISystemHandle,
    interfaces.IConsumer,
    interfaces.IPushProducer,
    interfaces.ILoggingContext,
)
class ProtocolTransport(TransportFacts):
    """The transport of a protocol on a TLS connection, with all that Twisted's own has, and the facts besides.

    :param server: the port.
    :param client: the client connection, whose handshake is done.
    :ivar protocol: who hears what is received; another may take its place. ``None`` before it is built and at the end.
    :ivar server: the port.
    :ivar factory: builds the protocols.
    :ivar reactor: the reactor.
    :ivar producer: the producer that is registered, if one is.
    :ivar streamingProducer: whether it is a push producer.
    :ivar disconnecting: whether its protocol has closed it.
    :ivar deadline: when it is looked at again.
    """

    TLS = True

    def __init__(self, server: Server, client: ClientConnection) -> None:
        super().__init__(client)
        self.server = server
        self.factory = server.factory
        self.reactor = server.reactor
        self._deadlines = client.deadlines
        self._send_timeout = client.limits.timeouts.send
        self.protocol: interfaces.IProtocol | None = None
        self._error: ClientError | None = None
        self._began = self._began_at = 0.0
        self._received = 0
        self._written = 0
        self.producer: Any = None
        self.streamingProducer = False
        self._producer_waits = False
        self._aborted = False
        self._half_closing = False
        self._half_closed = False
        self._closed = False
        self._lingered = False
        self._read_over = False
        self._progress = 0, 0.0
        self.disconnecting = False
        self.deadline = self._deadlines.clock() + _LOOK_AGAIN

    @property
    def wrappedProtocol(self) -> interfaces.IProtocol | None:
        """The protocol, under its name in Twisted's TLS transport."""
        return self.protocol

    @wrappedProtocol.setter
    def wrappedProtocol(self, protocol: interfaces.IProtocol) -> None:
        self.protocol = protocol

    # -- the connection's side ---------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """The TLS handshake is done: the protocol is built, if the client is let in."""
        self._began, self._began_at = time.perf_counter(), time.time()
        try:
            self.admit()
        except ClientError as error:
            self._error = error
            self.transport.close()
            return
        self.protocol = protocol = self.factory.buildProtocol(self.getPeer())
        if protocol is None:
            self.transport.close()
            return
        protocol.makeConnection(self)
        if interfaces.IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()

    def received(self, data: bytes) -> None:
        """Bytes from the client, for the protocol unless it has closed."""
        if not self.disconnecting and self.protocol is not None and self._admitted():
            self._received += len(data)
            self.protocol.dataReceived(data)

    def ended(self) -> None:
        """The client sends no more. As with Twisted's own transports, only a half-closeable protocol goes on; and not
        in TLS 1.2, which has close_notify answered at once (RFC 5246, section 7.2.1; RFC 8446, section 6.1)."""
        protocol, old = self.protocol, self._session.connection.tls_version == "TLSv1.2"
        if not self.disconnecting and not old and interfaces.IHalfCloseableProtocol.providedBy(protocol):
            self._read_over = True
            protocol.readConnectionLost()
        else:
            self.transport.close()

    def drained(self) -> None:
        """The client took everything."""
        producer = self.producer
        if producer is not None and (self._producer_waits or not self.streamingProducer):
            self._producer_waits = False
            self._resume(producer)
        self._close_when_done()

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over."""
        self._deadlines.forget(self)
        why = Failure(self._end(reason, clean))
        self.disconnecting = True
        producer, self.producer = self.producer, None
        protocol, self.protocol = self.protocol, None
        try:
            if producer is not None:
                producer.stopProducing()
        finally:
            try:
                if protocol is not None:
                    protocol.connectionLost(why)
            finally:
                if self._began:
                    self._tell()
                self._client.gone(reason)

    def _end(self, reason: str, clean: bool) -> Exception:
        """Why the connection is over, as Twisted's TLS transport has it."""
        error = self.transport.error
        if self._aborted:
            return ConnectionAborted()
        if clean or self._lingered:
            return ConnectionDone()
        # An end without close_notify, or a socket that fails, is no error of TLS to Twisted.
        return error if type(error) is SSL.Error and error.args[0] and not _eof(error) else ConnectionLost(reason)

    def expired(self, now: float) -> None:
        """Time to look again: at the client's certificate, and whether it takes what it is sent."""
        if not self.transport.established or self._closed:
            self._lingered = self._closed
            self.transport.abort("too slow")
            return
        if not self._admitted():
            return
        sent, since = self._progress
        if self.transport.sent != sent or not (self.transport.queued or self._read_over):
            self._progress = self.transport.sent, now
        elif now - since >= self._send_timeout:
            if self.transport.queued:
                self.transport.abort("the client takes nothing of what is sent")
            else:
                self.loseConnection()  # its protocol has no answer to the client's end
        self.deadline = now + _LOOK_AGAIN

    def renew(self, limits: ClientLimits) -> None:
        """Go on with other timeouts, and look at the client at once: it may have been revoked."""
        self._send_timeout = limits.timeouts.send
        if self.transport.established and not self._closed:
            self.deadline = self._deadlines.clock()

    def last_request(self) -> None:
        """Close: without requests only the protocol knows when it is done, and now is as good as later."""
        self.loseConnection()

    def _admitted(self) -> bool:
        """Whether the client is let in still; else the connection is cut."""
        try:
            self.admit()
        except ClientError as error:
            self._error = error
            self.transport.abort(error.reason)
            return False
        return True

    def _tell(self) -> None:
        facts, context = self.connection, self._client.context
        exchange = Exchange(facts, client=facts.peer.host, server_group=self.server_group)
        record = EventRecord(context.listener, exchange, self._began_at, self._began)
        record.error, record.received, record.sent = self._error, self._received, self._written
        record.ended = time.perf_counter()
        context.events.record(record)

    # -- the protocol's side: writing --------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, in order; after the end, and after :meth:`loseConnection` without a producer, they are dropped.

        :raises TypeError: if it is something else than bytes.
        """
        if not isinstance(data, bytes):
            if not isinstance(data, (bytearray, memoryview)):
                raise TypeError("Data must be bytes")
            data = bytes(data)
        over = self.transport.lost or self._aborted or self._half_closed
        if over or (self.disconnecting and self.producer is None):
            return
        self._written += len(data)
        self.transport.write(data)
        full = self.transport.queued or self.transport.error is not None  # then it is stopped soon
        if full and self.streamingProducer and not self._producer_waits:
            self._producer_waits = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several bytes as one."""
        self.write(b"".join(data))

    # What a producer provides is not asked: as with Twisted's transports, ``streaming`` says which kind it is.

    def registerProducer(self, producer: interfaces.IProducer, streaming: bool) -> None:
        """Let a producer write as fast as the client reads, and no faster.

        :raises RuntimeError: if there is one already.
        """
        if self.producer is not None:
            raise RuntimeError(f"Cannot register producer {producer}, because {self.producer} was never unregistered.")
        if self.transport.lost:
            producer.stopProducing()
            return
        self.producer, self.streamingProducer, self._producer_waits = producer, streaming, False
        if not streaming:
            self.reactor.callLater(0, self._pull, producer)

    def unregisterProducer(self) -> None:
        """There is no more to come from it."""
        self.producer, self.streamingProducer = None, False
        self._close_when_done()

    def _pull(self, producer: Any) -> None:
        """Let a pull producer write once, if it is still there and all before it has been sent."""
        if self.producer is producer and not self.transport.queued:
            self._resume(producer)

    def _resume(self, producer: Any) -> None:
        if self.streamingProducer:
            producer.resumeProducing()
            return
        try:
            producer.resumeProducing()
        except Exception:
            _log.failure("while calling resumeProducing on {producer}", producer=producer)
            if self.producer is producer:
                self.unregisterProducer()
        if self.producer is producer and not self.transport.queued:
            self.reactor.callLater(0, self._pull, producer)  # all was sent at once, so nothing will be drained

    # -- the protocol's side: reading --------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Deliver nothing until :meth:`resumeProducing`."""
        if not self.disconnecting:
            self.transport.pause()

    def resumeProducing(self) -> None:
        """Deliver again."""
        if not self.disconnecting:
            self.transport.resume()

    def stopProducing(self) -> None:
        """Deliver nothing any more."""
        self.loseConnection()

    # -- the protocol's side: the end --------------------------------------------------------------------------------

    def loseConnection(self) -> None:
        """Close properly once everything is sent and no producer is left; nothing is delivered from now on."""
        if not self.disconnecting:
            self.disconnecting = True
            self._close_when_done()

    def loseWriteConnection(self) -> None:
        """Close the sending side once everything is sent (RFC 8446, section 6.1), and go on reading."""
        self._half_closing = True
        self._close_when_done()

    def abortConnection(self) -> None:
        """Cut the connection; the protocol hears of it afterwards, not from within this call."""
        if not self._aborted and not self.transport.lost:
            self._aborted = self.disconnecting = True
            self.transport.pause()
            self.reactor.callLater(0, self.transport.abort, "aborted by the protocol")

    def _close_when_done(self) -> None:
        if not (self.disconnecting or self._half_closing) or self.transport.lost or self._aborted:
            return
        if self.producer is not None or self.transport.queued:
            return  # whoever ends that comes here again
        if not self._half_closed:
            self._half_closed = True
            if self._read_over:  # then this is the end, and a protocol hears of that from no call of its own
                self.reactor.callLater(0, self.transport.half_close)
            else:
                self.transport.half_close()
            self.reactor.callLater(0, self._tell_half_closed)
        if self.disconnecting:
            # Unread bytes would turn a close into a reset, which can destroy what was sent last.
            self._closed = True
            self.deadline = self._deadlines.clock() + _LINGER
            self.transport.resume()

    def _tell_half_closed(self) -> None:
        if not self.disconnecting and interfaces.IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    def logPrefix(self) -> str:
        """What stands before log messages about the connection."""
        protocol = self.protocol
        return protocol.logPrefix() if interfaces.ILoggingContext.providedBy(protocol) else type(protocol).__name__


def _eof(error: SSL.Error) -> bool:
    return "unexpected eof" in describe(error)
