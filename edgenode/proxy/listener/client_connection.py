"""One connection from a client, from its first byte to its end.

Law: bytes are peeked at, never consumed, until it is known whose they are. Every way in which a connection can fail to
become a request ends in one event that says why.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import time
from typing import TYPE_CHECKING, Protocol

from OpenSSL import SSL
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Address, ClientIdentity, Connection, Exchange
from edgenode.net.transport import Receiver, Transport
from edgenode.proxy.event_record import Account
from edgenode.proxy.forwarding import Forwarding
from edgenode.proxy.http1.hosting import Timeouts
from edgenode.proxy.http1.requestheads import Limits, RequestHead
from edgenode.proxy.http1.server import ServerConnection
from edgenode.proxy.judging import Judgement
from edgenode.proxy.listener.client_session import Visitor
from edgenode.proxy.listener.context import Surroundings
from edgenode.proxy.listener.limits import Admitted
from edgenode.proxy.routing import Router, ServedGroup
from edgenode.tls.clienthello import MAX_SIZE, ClientHello, MalformedClientHello, NotTLS, read_client_hello
from edgenode.tls.identity import identify, identity_of
from edgenode.tls.verification import Record

if TYPE_CHECKING:
    from edgenode.proxy.listener.port import Port

# Fatal alerts (RFC 8446, section 6) in a plaintext record: all that is needed before there is an SSL object.
_DECODE_ERROR = bytes((21, 3, 3, 0, 2, 2, 50))
_UNRECOGNIZED_NAME = bytes((21, 3, 3, 0, 2, 2, 112))
_PLAIN_PAGE = b"400 The plain HTTP request was sent to HTTPS port\n"
_PLAIN = b"HTTP/1.1 400 Bad Request\r\n%bContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
    b"Content-Type: text/plain; charset=utf-8\r\n",
    len(_PLAIN_PAGE),
    _PLAIN_PAGE,
)
_MISSING_CERTIFICATE = "peer did not return a certificate"


class Speaker(Receiver, Protocol):
    """Who speaks on a connection once its server group is chosen: HTTP, or another protocol.

    :ivar transport: the connection.
    :ivar deadline: when to lose patience.
    """

    transport: Transport
    deadline: float

    def expired(self, now: float) -> None:
        """The deadline has passed."""

    def renew(self, limits: Limits, timeouts: Timeouts, max_requests: int) -> None:
        """A reload: hold what comes next to these."""

    def last_request(self) -> None:
        """End after what is under way."""


@implementer(IReadDescriptor)
class Arrival:
    """A connection, as the port that accepted it sees it: first the peek, then the host of what is spoken on it.

    :ivar peer: the client's address.
    :ivar admitted: as what it counts.
    :ivar visitor: the client, once the handshake is done.
    :ivar deadline: for the whole ClientHello.
    """

    __slots__ = (
        "_connection", "_descriptor", "_fingerprint", "_group", "_needed", "_over", "_port", "_reading", "_record",
        "_router", "_server_name", "_socket", "_speaker", "admitted", "deadline", "peer", "visitor",
    )  # fmt: skip

    def __init__(self, port: Port, sock: socket.socket, peer: Address, local: Address, admitted: Admitted) -> None:
        self._port = port
        self.admitted = admitted
        self._socket = sock
        self._descriptor = sock.fileno()
        self.peer = peer
        self._connection = Connection(peer, local)
        self._needed = 0
        self._reading = False
        self._over = False
        self._server_name: str | None = None
        self._fingerprint = ""
        self._group: ServedGroup | None = None
        self._router: Router | None = None
        self._record: Record | None = None
        self._speaker: Speaker | None = None
        self.visitor: Visitor | None = None
        self.deadline = port.deadlines.clock() + self._terms[1].handshake

    @property
    def _terms(self) -> tuple[Limits, Timeouts, int]:
        """To what it is held: size, time, number of requests."""
        port = self._port
        if self.admitted.exceeded:
            return port.limits, port.haste, 1
        return port.limits, port.timeouts, port.listener.keepalive_requests

    @property
    def surroundings(self) -> Surroundings:
        """What the exchanges of its listener share, as of now."""
        return self._port.surroundings

    # -- the peek ----------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "arrival"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the socket hung up."""
        self._leave()

    def greet(self) -> None:
        """Look for the ClientHello, now and whenever more of it is there."""
        self._peek()
        if self._speaker is None and not self._over:
            self._port.deadlines.watch(self)

    def doRead(self) -> None:
        """More bytes are there."""
        if self._speaker is None and not self._over:
            self._peek()

    def expired(self, now: float) -> None:
        """The ClientHello took too long."""
        self._turn_away(ClientError(408, "the ClientHello took too long") if self._needed else None)

    def _peek(self) -> None:
        try:
            data = self._socket.recv(MAX_SIZE, socket.MSG_PEEK)
        except BlockingIOError:
            self._wait(1)
            return
        except OSError:
            self._leave()
            return
        if len(data) < self._needed or not data:
            # Woken up with less than was asked for: the client has closed.
            self._turn_away(ClientError(400, "closed within the ClientHello") if data else None)
            return
        try:
            hello = read_client_hello(data)
        except NotTLS:
            self._answer_plain()
        except MalformedClientHello as error:
            self._turn_away(ClientError(400, f"malformed ClientHello: {error}"), _DECODE_ERROR)
        else:
            if isinstance(hello, int):
                self._wait(hello)
            else:
                self._welcome(hello)

    def _wait(self, needed: int) -> None:
        """Sleep until so many bytes are there: a poll would spin on the unread part of the ClientHello otherwise."""
        if needed > 1:
            self._needed = needed
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, needed)
        if not self._reading:
            self._reading = True
            self._port.reactor.addReader(self)

    def _stop_peeking(self) -> None:
        self._port.deadlines.forget(self)
        if self._reading:
            self._reading = False
            self._port.reactor.removeReader(self)

    def _answer_plain(self) -> None:
        """Tell a client that does not speak TLS so, in the one language it probably speaks."""
        with contextlib.suppress(OSError):
            # What it has sent is taken in first: unread bytes would turn the close into a reset that drops the answer.
            self._socket.recv(MAX_SIZE)
            self._socket.send(_PLAIN)
        self._turn_away(ClientError(497, "a plain request on a TLS port"), status=400)

    def _turn_away(self, error: ClientError | None, alert: bytes = b"", status: int = 0) -> None:
        if alert:
            with contextlib.suppress(OSError):
                self._socket.recv(MAX_SIZE)
                self._socket.send(alert)
        if error is not None:
            self._report(error, status)
        self._leave()

    def _leave(self) -> None:
        """Close a connection that never came as far as an SSL object."""
        if not self._over:
            self._over = True
            self._stop_peeking()
            self._socket.close()
            self._port.departed(self)

    # -- TLS ---------------------------------------------------------------------------------------------------------

    def _welcome(self, hello: ClientHello) -> None:
        """The whole ClientHello is there: choose the server group, and begin the handshake under its policy."""
        self._server_name, self._fingerprint = hello.server_name, hello.fingerprint
        self._router = router = self._port.surroundings.router
        group = router.named(hello.server_name)
        if group is None:
            named = hello.server_name or "none"
            self._turn_away(ClientError(421, f"no server group for the server name: {named}"), _UNRECOGNIZED_NAME)
            return
        self._stop_peeking()
        if self._needed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._group = group
        self._record = Record()
        tls = SSL.Connection(group.context, self._socket)
        tls.set_accept_state()
        tls.set_app_data(self._record)
        port = self._port
        speaker = port.speak(self, port.deadlines, *self._terms)
        speaker.deadline = self.deadline
        self._speaker = speaker
        speaker.transport = Transport(port.reactor, self._socket, tls, speaker)
        port.deadlines.watch(speaker)
        speaker.transport.start()

    def established(self, connection: Speaker) -> None:
        """The handshake is done: now it is known who the client is."""
        tls, group, router, record = connection.transport.connection, self._group, self._router, self._record
        assert isinstance(tls, SSL.Connection) and group is not None and router is not None and record is not None
        client = None
        if group.group.mtls != "off":
            try:
                client = identify(tls, record.verification(True), group.trust.tags)
                if client is not None:
                    client = group.trust.dated(client, datetime.datetime.now(datetime.UTC))
            except ClientError as error:
                self._report(error)
                connection.transport.abort(error.reason)
                return
        self._connection = Connection(
            self.peer,
            self._connection.local,
            self._server_name,
            tls.get_alpn_proto_negotiated().decode("latin-1"),
            tls.get_protocol_version_name(),
            tls.get_cipher_name() or "",
            self._fingerprint,
            client,
        )
        self.visitor = Visitor(self._connection, group, router)
        self._group = self._router = None  # a reload may replace them: who keeps them keeps a whole configuration

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def take(self, connection: ServerConnection, head: RequestHead) -> Forwarding | None:
        """A request has come."""
        assert self.visitor is not None
        port = self._port
        forwarding = Forwarding(port.surroundings, port.load, connection, self.visitor, head)
        return forwarding if forwarding.start(self.admitted.exceeded) else None

    def refused(self, connection: ServerConnection, error: ClientError) -> None:
        """Something came that is no request."""
        self._report(error, error.status)

    def gone(self, connection: Speaker, reason: str) -> None:
        """The connection is over; if the handshake never ended, that is worth an event."""
        if not connection.transport.established:
            self._report(self._handshake_error(reason), client=self._refused_client())
        self._over = True
        self._speaker = None
        self._port.departed(self)

    def _handshake_error(self, reason: str) -> ClientError:
        if self._record is not None and (self._record.errors or self._record.failure is not None):
            return ClientError(495, f"client certificate: {self._record.reason}")
        if _MISSING_CERTIFICATE in reason:
            return ClientError(496, "no required client certificate was sent")
        return ClientError(400, f"TLS handshake: {reason or 'the client closed the connection'}")

    def _refused_client(self) -> ClientIdentity | None:
        """Whose certificate was refused in the handshake, as far as it can be read."""
        record = self._record
        if record is None or record.leaf is None:
            return None
        with contextlib.suppress(Exception):
            return identity_of(record.leaf, record.verification(True))
        return None

    def _report(self, error: ClientError, status: int = 0, client: ClientIdentity | None = None) -> None:
        facts = self._connection
        if not facts.fingerprint:
            name, fingerprint = self._server_name, self._fingerprint
            facts = Connection(self.peer, facts.local, name, fingerprint=fingerprint, client=client)
        group = self._group if self.visitor is None else self.visitor.shaken
        name = "" if group is None else group.name
        judgement = Judgement(Exchange(facts, client=self.peer.host, server_group=name))
        account = Account(self._port.surroundings.listener, judgement, time.perf_counter())
        account.error, account.status, account.ended = error, status, account.began
        self._port.surroundings.events.record(account.finished())

    # -- the port's side ---------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """The listener's section is another now: what comes next on this connection is held to its limits."""
        if self._speaker is not None:
            self._speaker.renew(*self._terms)

    def drain(self) -> None:
        """End after the current request."""
        if self._speaker is None:
            self._leave()
        elif not self._speaker.transport.established:
            self._speaker.transport.abort("the node stops")
        else:
            self._speaker.last_request()

    def abort(self) -> None:
        """End now."""
        if self._speaker is None:
            self._leave()
        else:
            self._speaker.transport.abort("the node stops")
