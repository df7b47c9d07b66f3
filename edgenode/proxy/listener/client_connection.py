"""One connection from a client: the ClientHello, the handshake, and then whoever speaks on it.

Law: the server group, and with it the whole TLS policy, is chosen before an SSL object exists, and the protocol after
the handshake. Bytes are peeked at, never consumed, until it is known whose they are. Every way in which a connection
can fail to become a request ends in one event that says why.
"""

from __future__ import annotations

import contextlib
import datetime
import socket

from OpenSSL import SSL
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Address, ClientIdentity, Connection, Exchange
from edgenode.model.proxy_protocol import ProxyHeader
from edgenode.net.deadlines import Deadlines
from edgenode.net.handshaking import SteppedConnection
from edgenode.net.transport import Transport
from edgenode.proxy.event_record import EventRecord
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.listener.handshake_failures import failure_of, refused_client
from edgenode.proxy.listener.limits import Admitted, ClientLimits, Load
from edgenode.proxy.listener.peeking import LINGER, LINGER_BYTES, FirstBytes
from edgenode.proxy.listener.roles import Listening, Speaker, Stage
from edgenode.proxy.proxyprotocol.peeking import HeaderBytes, begins_with_header
from edgenode.proxy.proxyprotocol.reading import MalformedProxyHeader
from edgenode.proxy.routing import ServedGroup
from edgenode.proxy.streams import ClientStream, RequestHead
from edgenode.tls.clienthello import ClientHello, MalformedClientHello, NotTLS
from edgenode.tls.policies import accept_keys, ends_soon
from edgenode.tls.verification import Record

UNRECOGNIZED_NAME, _NO_APPLICATION_PROTOCOL = 112, 120
"""Alerts (RFC 6066, section 3; RFC 7301, section 3.2)."""

_HTTP2_ALONE = (b"h2",)
_WITHOUT_ALPN = b"http/1.1"
"""What is spoken if the client has offered nothing."""

_PLAIN_PAGE = b"400 The plain HTTP request was sent to HTTPS port\n"
_PLAIN = b"HTTP/1.1 400 Bad Request\r\n%bContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
    b"Content-Type: text/plain; charset=utf-8\r\n",
    len(_PLAIN_PAGE),
    _PLAIN_PAGE,
)


@implementer(IReadDescriptor)
class ClientConnection:
    """A connection, as the port that accepted it sees it.

    :ivar peer: the client's address.
    :ivar admitted: as what it counts.
    :ivar transport: the TLS transport, once there is one.
    :ivar session: the client, once the handshake is done.
    :ivar deadline: for the ClientHello and the handshake.
    """

    __slots__ = (
        "_descriptor", "_first", "_group", "_hello", "_local", "_port", "_proxied", "_reading", "_record", "_socket",
        "_speaker", "_taken_in", "admitted", "deadline", "peer", "session", "stage", "transport",
    )  # fmt: skip

    transport: Transport

    def __init__(self, port: Listening, sock: socket.socket, peer: Address, local: Address, admitted: Admitted) -> None:
        self._port = port
        self.admitted = admitted
        self._socket = sock
        self._descriptor = sock.fileno()
        self.peer = peer
        self._local = local
        self._first: FirstBytes | HeaderBytes = FirstBytes(sock)
        self._proxied: ProxyHeader | None = None
        self._taken_in = 0
        self._reading = False
        self._hello: ClientHello | None = None
        self._group: ServedGroup | None = None
        self._record: Record | None = None
        self._speaker: Speaker | None = None
        self.session: ClientSession | None = None
        self.stage = Stage.CLIENT_HELLO
        self.deadline = port.deadlines.clock() + self.limits.timeouts.handshake

    @property
    def limits(self) -> ClientLimits:
        """What it is held to, as of now."""
        return self._port.limits(self.admitted)

    @property
    def context(self) -> ListenerContext:
        """What the exchanges of its listener share, as of now."""
        return self._port.context

    @property
    def load(self) -> Load:
        """What its listener carries."""
        return self._port.load

    @property
    def deadlines(self) -> Deadlines:
        """The deadlines of the node."""
        return self._port.deadlines

    @property
    def protocol(self) -> str:
        """What has been agreed on: ``http/1.1``, ``h2``, ``stream``; empty if nothing yet."""
        if self.stage is not Stage.SPEAKING or self.session is None:
            return ""
        return getattr(self._speaker, "spoken", "") or self.session.connection.alpn or _WITHOUT_ALPN.decode()

    @property
    def streams(self) -> int:
        """How many HTTP/2 streams are open on it."""
        return getattr(self._speaker, "streams", 0)

    # -- the ClientHello ---------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "client connection"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the socket hung up."""
        self._leave()

    def begin(self) -> None:
        """Look for the first bytes, now and whenever more of them are there: the PROXY header, then the ClientHello."""
        proxies = self._port.proxies
        if proxies is not None and proxies.contains(self.peer.host):
            self._first = HeaderBytes(self._socket)
            self._peek()
        else:
            self._greet()
        if self.stage is Stage.CLIENT_HELLO:
            self._port.deadlines.watch(self)

    @property
    def _early(self) -> bool:
        """Whether there is no transport, or no more."""
        return self.stage in (Stage.CLIENT_HELLO, Stage.TURNED_AWAY)

    def doRead(self) -> None:
        """More bytes are there."""
        if self.stage is Stage.CLIENT_HELLO:
            self._peek()
        elif self.stage is Stage.TURNED_AWAY:
            self._take_in()

    def expired(self, now: float) -> None:
        """The PROXY header, the ClientHello, or the handshake took too long."""
        if self.stage is Stage.CLIENT_HELLO:
            first = self._first
            self._turn_away(ClientError(408, f"the {first.what} took too long") if first.begun else None)
        elif self.stage is Stage.TURNED_AWAY:
            self._leave()
        elif self.stage is Stage.HANDSHAKE:
            self.transport.abort("too slow")

    def _greet(self) -> None:
        """The first bytes of what is spoken may be there."""
        self._peek()

    def _peek(self) -> None:
        try:
            found = self._first.look()
        except EOFError:
            first = self._first
            self._turn_away(ClientError(400, f"closed within the {first.what}") if first.begun else None)
        except OSError:
            self._leave()
        except MalformedProxyHeader as error:
            self._turn_away(ClientError(400, f"PROXY header: {error}"))
        except NotTLS:
            self._not_tls()
        except MalformedClientHello as error:
            self._turn_away(ClientError(400, f"malformed ClientHello: {error}"), alert(error.alert))
        else:
            if found is None:
                self._wait()
            elif isinstance(found, ProxyHeader):
                self._take_header(found)
            else:
                self._hello = found
                self._choose_group(found)

    def _take_header(self, header: ProxyHeader) -> None:
        """A balancer has said whose connection it is: from here on it is that client's."""
        self._proxied = header._replace(sender=self.peer)
        if header.source is not None and header.destination is not None:
            self.peer, self._local = header.source, header.destination
        admitted = self._port.readmitted(self)
        if admitted is None:
            self._leave()
            return
        self.admitted = admitted
        self._first = FirstBytes(self._socket)
        self._greet()

    def _not_tls(self) -> None:
        """No ClientHello came. The client is told so in the one language that it probably speaks."""
        if begins_with_header(self._socket):
            self._turn_away(ClientError(400, "a PROXY header from an address that proxy-protocol does not name"))
            return
        self._turn_away(ClientError(497, "a plain request on a TLS port"), _PLAIN, 400)

    def _wait(self) -> None:
        if not self._reading:
            self._reading = True
            self._port.reactor.addReader(self)

    def _stop_peeking(self) -> None:
        if self._reading:
            self._reading = False
            self._port.reactor.removeReader(self)

    def _turn_away(self, error: ClientError | None, answer: bytes = b"", status: int = 0) -> None:
        """Report an error, if it is one, and let the client go, with a last word to it if there is one."""
        if error is not None:
            self._report(error, status)
        try:
            self._first.end()
            if answer:
                self._socket.send(answer)
        except OSError:
            answer = b""
        if answer:
            self._linger()
        else:
            self._leave()

    def _linger(self) -> None:
        """Send no more, and read on until the client closes too.

        A close with bytes unread, or before others arrive, is a reset, and that may overtake what was sent last.
        """
        self.stage = Stage.TURNED_AWAY
        self.deadline = min(self.deadline, self._port.deadlines.clock() + LINGER)
        self._port.deadlines.watch(self)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._wait()
        self._take_in()

    def _take_in(self) -> None:
        """Read what a client that is turned away goes on sending."""
        try:
            while self._taken_in < LINGER_BYTES and (data := self._socket.recv(LINGER_BYTES)):
                self._taken_in += len(data)
        except BlockingIOError:
            return
        except OSError:
            pass
        self._leave()

    def _leave(self) -> None:
        """Close a connection that never came as far as an SSL object."""
        if self.stage is not Stage.OVER:
            self.stage = Stage.OVER
            self._port.deadlines.forget(self)
            self._stop_peeking()
            self._socket.close()
            self._port.departed(self)

    # -- the handshake -----------------------------------------------------------------------------------------------

    def _choose_group(self, hello: ClientHello) -> None:
        """Begin the handshake under the policy of the server group that the ClientHello, or else the address, names."""
        group = self._port.context.router.named(hello.server_name, self._local.host)
        if group is None:
            named = hello.server_name or "none"
            self._turn_away(ClientError(421, f"no server group for the server name: {named}"), alert(UNRECOGNIZED_NAME))
            return
        protocols = self._port.context.protocols
        if not hello.alpn and protocols == _HTTP2_ALONE:
            self._turn_away(ClientError(400, "the client does not offer HTTP/2"), alert(_NO_APPLICATION_PROTOCOL))
            return
        self._stop_peeking()
        self._first.end()
        assert group.context is not None
        self._group = group
        self._record = Record(protocols)
        kind = SSL.Connection if ends_soon(group.group, hello) else SteppedConnection
        if self._port.reactor.sockets is not None:
            kind = self._port.reactor.sockets.tls
        tls = kind(group.context, self._socket)
        tls.set_accept_state()
        tls.set_app_data(self._record)
        if hello.groups:
            accept_keys(tls, group.group, hello.groups)
        self.stage = Stage.HANDSHAKE
        self.transport = Transport(self._port.reactor, self._socket, tls, self, keep_refused=True)
        self._port.deadlines.watch(self)
        self.transport.start()

    def handshaken(self) -> None:
        """The handshake is done: now it is known who the client is, and which protocol is spoken."""
        tls, group, hello, record = self.transport.connection, self._group, self._hello, self._record
        assert isinstance(tls, SSL.Connection) and group is not None and hello is not None and record is not None
        client = None
        if group.group.mtls != "off":
            client = group.trust.identify(tls, record, datetime.datetime.now(datetime.UTC))
        connection = Connection(
            self.peer,
            self._local,
            hello.server_name,
            tls.get_alpn_proto_negotiated().decode("latin-1"),
            tls.get_protocol_version_name(),
            tls.get_cipher_name() or "",
            hello.fingerprint,
            client,
            group.expired,
            self._proxied,
        )
        port = self._port
        port.handshakes.done(port.context.listener, group.name, client)
        self._group = self._hello = self._record = None
        self._speak(ClientSession(connection, group, port.context))

    def _speak(self, session: ClientSession) -> None:
        """It is known who the client is: what it says is for the speaker of the protocol that was agreed on."""
        port = self._port
        self.session = session
        self.stage = Stage.SPEAKING
        port.deadlines.forget(self)
        self._speaker = speaker = port.speak(self)
        self.transport.receiver = speaker
        port.deadlines.watch(speaker)
        speaker.handshaken()

    def received(self, data: bytes) -> None:
        """Nothing is received before the handshake is done."""

    def drained(self) -> None:
        """Nothing is written before."""

    def ended(self) -> None:
        """The client has closed within the handshake."""
        self.transport.abort("")

    def lost(self, reason: str, clean: bool) -> None:
        """The handshake failed: that is worth an event."""
        self._port.deadlines.forget(self)
        if not self.transport.established:
            self._report(failure_of(reason, self._record, self._group), client=refused_client(self._record))
        if self._socket.fileno() >= 0:
            self._linger()  # the alert that refuses it is under way
        else:
            self.gone(reason)

    # -- the speaker's side ------------------------------------------------------------------------------------------

    def handle(self, stream: ClientStream, head: RequestHead) -> ProxyExchange | None:
        """Handle a request; ``None`` if its response is complete already."""
        session, port = self.session, self._port
        assert session is not None
        exchange = port.exchange(session, port.load, stream, head)
        return exchange if exchange.start(self.admitted.exceeded) else None

    def admit(self) -> None:
        """Judge the client as of now, where there are no requests to do so.

        :raises ClientError: 495 or 496 for its certificate, 421 if it was judged on other terms than those of now, 503
            if the connection is one too many.
        """
        session = self.session
        assert session is not None
        session.follow(self.context)
        refusal = session.admit()
        if refusal is None and self.admitted.exceeded:
            refusal = ClientError(503, f"over the limit: {self.admitted.exceeded}")
        if refusal is not None:
            raise refusal

    def authority(self) -> bytes:
        """The authority of a request that says none."""
        assert self.session is not None
        return self.session.authority()

    def refused(self, error: ClientError) -> None:
        """Something came that is no request."""
        self._report(error, error.status)

    def gone(self, reason: str) -> None:
        """The connection is over."""
        self.stage = Stage.OVER
        self._speaker = None
        self._port.departed(self)

    def becomes(self, tunnel: Speaker) -> None:
        """The connection is a tunnel from now on."""
        self._speaker = tunnel

    def _report(self, error: ClientError, status: int = 0, client: ClientIdentity | None = None) -> None:
        session, group, hello = self.session, self._group, self._hello
        if session is not None:
            facts, group = session.connection, session.handshake_group
        elif hello is not None:
            facts = Connection(
                self.peer,
                self._local,
                hello.server_name,
                fingerprint=hello.fingerprint,
                client=client,
                expired=None if group is None else group.expired,
                proxied=self._proxied,
            )
        else:
            facts = Connection(self.peer, self._local, proxied=self._proxied)
        name = "" if group is None else group.name
        context = self._port.context
        exchange = Exchange(facts, client=self.peer.host, server_group=name)
        record = EventRecord(context.listener, exchange)
        record.error, record.status = error, status
        context.events.record(record)

    # -- the port's side ---------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """The listener's section is another now: what comes next on this connection is held to its limits."""
        if self._speaker is not None:
            self._speaker.renew(self.limits)
            session, protocols = self.session, self.context.protocols
            assert session is not None
            spoken = session.connection.alpn.encode("latin-1") or _WITHOUT_ALPN
            if protocols != session.context.protocols and spoken not in protocols:
                self.drain()
            session.follow(self.context)

    def drain(self) -> None:
        """End after the current request."""
        if self._speaker is not None:
            self._speaker.last_request()
        else:
            self.abort()

    def abort(self) -> None:
        """End now."""
        if self._early:
            self._leave()
        elif self.stage is not Stage.OVER:
            self.transport.abort("the node stops")


def alert(number: int) -> bytes:
    """A fatal alert (RFC 8446, section 6) in a plaintext record: all that is needed before there is an SSL object."""
    return bytes((21, 3, 3, 0, 2, 2, number))
