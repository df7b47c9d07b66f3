"""A connection to a server of Redis: resolved, connected, its certificate verified, logged in; and then asked.

txredisapi logs in. The rest is not its part, for its parser takes a turn of the reactor for each string and has no
bounds: here a question is bytes, and an answer one string.

Law: answers come in the order of the questions, each within the timeout, or the connection is over; what would come
later belongs to nobody. The server is not believed: what is no answer to the question, or is too long, ends it too.
Nothing is said to a server, and no password, before its certificate is verified.
"""

from __future__ import annotations

import re
import socket
from collections import deque
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from edgenode.model.errors import InvalidValue, OriginError
from edgenode.net.connecting import Connecting
from edgenode.net.errors import describe
from edgenode.net.handshaking import SteppedConnection
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from edgenode.state.redis_login import Login, told
from edgenode.state.settings import Server
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.presenting import OriginRecord

OPENING = 5.0
"""Seconds for a connection, its handshake and the login."""

LONGEST = 1 << 20
"""Bytes of an answer."""

_LINE = 4096
"""Bytes of an error, or of the length of an answer."""

_MOST = 10_000
"""Questions that wait for an answer; who asks more goes without."""


_STRING = re.compile(rb"\$([0-9]{1,7})\r\n").match


class Lie(Exception):
    """An answer that is none to the question."""


class Asker(Protocol):
    """Who has asked, and hears one of these, once."""

    def answered(self, answer: bytes) -> None:
        """The answer.

        :raises Lie: if it is none; then :meth:`lost` follows.
        """

    def refused(self, error: str) -> bool:
        """An error of the server's.

        :returns: whether that was all: else the connection is given up, and :meth:`lost` follows.
        """

    def lost(self) -> None:
        """There will be no answer."""


class Owner(Protocol):
    """Whose connection it is."""

    def opened(self) -> None:
        """It is logged in: ask."""

    def gone(self, reason: str) -> None:
        """It is over, or never was; those who have asked are told after this."""


class RedisConnection:
    """A connection to a server.

    :param reactor: the node's poller.
    :param attempt: counts up, so that each address of a name has its turn to be the first.
    :ivar full: whether too many wait for an answer.
    """

    def __init__(self, reactor: Any, server: Server, owner: Owner, attempt: int = 0) -> None:
        self._reactor = reactor
        self._server = server
        self._owner = owner
        self._attempt = attempt
        self._addresses: list[str] = []
        self._connecting: Connecting | None = None
        self._transport: Transport | None = None
        self._record = OriginRecord()
        self._login: Login | None = None
        self._buffer = bytearray()
        self._needed = 1
        self._pending: deque[tuple[float, Asker]] = deque()
        self._over = False
        self._timeout = server.section.timeout
        self._timer: Any = None

    def open(self) -> None:
        """Begin."""
        host = self._server.url.host
        if not self._server.url.port:
            self._resolved((host,))
        else:
            asked = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _addresses, host)
            asked.addCallbacks(self._resolved, self._unresolved)

    @property
    def full(self) -> bool:
        """Whether too many wait for an answer."""
        return len(self._pending) >= _MOST

    def ask(self, question: bytes, asker: Asker) -> None:
        """Send a question; who has asked is never told from within this call."""
        transport = self._transport
        if transport is None:
            self._reactor.callLater(0, asker.lost)
            return
        self._pending.append((self._reactor.clock() + self._timeout, asker))
        if self._timer is None:
            self._timer = self._reactor.callLater(self._timeout, self._look)
        transport.write(question)

    def proved(self) -> None:
        """The server has answered: it did accept our certificate."""
        if self._transport is not None:
            self._transport.wary = False

    def end(self, reason: str) -> None:
        """Give up."""
        if self._over:
            return
        self._over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        transport, self._transport = self._transport, None
        login, self._login = self._login, None
        self._buffer.clear()
        if transport is not None:
            transport.abort(reason)
        if login is not None:
            login.end()
        self._owner.gone(reason)
        while self._pending:
            self._pending.popleft()[1].lost()

    # -- opening -----------------------------------------------------------------------------------------------------

    def _resolved(self, addresses: tuple[str, ...]) -> None:
        if self._over:
            return
        self._timer = self._reactor.callLater(OPENING, self.end, "no connection in time")
        first = self._attempt % len(addresses)
        self._addresses = [*addresses[first:], *addresses[:first]]
        self._try_next("no address")

    def _unresolved(self, failure: Failure) -> None:
        self.end(f"{self._server.url.host} cannot be resolved")

    def _try_next(self, reason: str, number: int = 0) -> None:
        self._connecting = None
        if self._over:
            return
        if not self._addresses:
            self.end(reason)
            return
        address, port = self._addresses.pop(0), self._server.url.port
        self._connecting = Connecting(self._reactor, address, port, self._connected, self._try_next)

    def _connected(self, sock: socket.socket) -> None:
        self._connecting = None
        try:
            context = self._server.context()
            connection = Plain(sock) if context is None else self._tls(context, sock)
        except (SSL.Error, UnicodeError) as error:
            sock.close()
            self.end(f"no TLS: {error if isinstance(error, UnicodeError) else describe(error)}")
            return
        self._transport = Transport(self._reactor, sock, connection, self)
        self._transport.start()

    def _tls(self, context: SSL.Context, sock: socket.socket) -> SSL.Connection:
        connection = SteppedConnection(context, sock)
        name = self._server.name
        if ":" not in name and not name.replace(".", "").isdigit():
            connection.set_tlsext_host_name(name.encode("ascii"))
        connection.set_app_data(self._record)
        connection.set_connect_state()
        return connection

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """Verify whom we talk to, and log in."""
        transport = self._transport
        assert transport is not None
        if isinstance(transport.connection, SSL.Connection):
            try:
                verify_origin(transport.connection, self._server.name)
            except OriginError as error:
                self.end(error.reason.replace("the origin", "the server"))
                return
            transport.wary = True
        try:
            self._login = Login(self._server, transport.write, self._logged_in, self.end)
        except InvalidValue as problem:
            self.end(problem.sentence)
        else:
            self._login.begin()

    def _logged_in(self, rest: bytes) -> None:
        """The login is over.

        :param rest: what the server has said besides.
        """
        self._login = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if rest:
            self.end("said more than it was asked")
        elif not self._over:
            self._owner.opened()

    def received(self, data: bytes) -> None:
        """Take answers apart."""
        if self._login is not None:
            self._login.received(data)
            return
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        at, size, pending = 0, len(data), self._pending
        while at < size:
            match = _STRING(data, at)
            if match is None:
                at = self._take_another(data, at)
            elif (start := match.end()) + (length := int(match[1])) + 2 > size and length <= LONGEST:
                self._keep(data[at:], start + length + 2 - at)
                return
            elif not pending or data[start + length : start + length + 2] != b"\r\n":
                self.end("its answer is none" if pending else "said more than it was asked")
            else:
                asker, at = pending.popleft()[1], start + length + 2
                try:
                    asker.answered(data[start : start + length])
                except Lie as lie:
                    self.end(f"its answer is none: {lie}")
                    asker.lost()
            if self._over:
                return

    def _take_another(self, data: bytes, at: int) -> int:
        """Take an error, or wait for the rest of a line; returns where it ends."""
        end, kind = data.find(b"\r\n", at, at + _LINE), data[at : at + 1]
        if end < 0 and len(data) - at < _LINE and kind in (b"$", b"-"):
            self._keep(data[at:], len(data) - at + 1)
            return len(data)
        if end < 0 or kind != b"-" or not self._pending:
            self.end("its answer is none" if self._pending else "said more than it was asked")
            return at
        asker, error = self._pending.popleft()[1], told(data[at + 1 : end].decode("utf-8", "replace"))
        if not asker.refused(error):
            self.end(f"it says: {error}")
            asker.lost()
        return end + 2

    def _keep(self, data: bytes, needed: int) -> None:
        """Wait for the rest of an answer.

        :param needed: the bytes that it has at the least.
        """
        self._buffer += data
        self._needed = needed

    def drained(self) -> None:
        """All is sent."""

    def ended(self) -> None:
        """The server has closed."""
        self.end("it has closed the connection")

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over."""
        if self._record.errors and not self._over:
            reason = f"its certificate: {self._record.reason}"
        self._transport = None
        self.end(reason or "it has closed the connection")

    def _look(self) -> None:
        """Whether who has asked has waited for too long."""
        self._timer = None
        if self._pending:
            now = self._reactor.clock()
            oldest, _ = self._pending[0]
            if oldest <= now:
                self.end(f"no answer within {self._timeout:g} s")
            else:
                self._timer = self._reactor.callLater(oldest - now, self._look)


def _addresses(host: str) -> tuple[str, ...]:
    """Ask the system for the addresses of a host; this may block."""
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM)))
