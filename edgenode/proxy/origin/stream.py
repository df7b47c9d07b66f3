"""A stream of bytes to a server that takes no HTTP, such as one of syslog or mail: ``tls://host:port``.

Law: it is opened as any connection to an origin is, with its one identity, and no byte is written before the server's
certificate and name are verified; it is lent once. Nobody waits for ever, and what a server sends has bounds.
"""

from __future__ import annotations

import socket
from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Exchange
from edgenode.model.presentation import Presentation
from edgenode.net.deadlines import NEVER
from edgenode.net.transport import Transport
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.lending import Opening
from edgenode.proxy.origin.opening import TLSOpening
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.refusals import ended
from edgenode.proxy.origin.starttls import StartTLS
from edgenode.proxy.origin.stream_end import StreamEnd

MOST_UNREAD = 64 * 1024
"""Bytes that a server may send before somebody has read any."""


class StreamOpening(TLSOpening):
    """A stream being opened."""

    _asking: StartTLS | None = None

    def connected(self, sock: socket.socket) -> None:
        """There is a connection: begin TLS, or have it agreed first."""
        if self.server.server.starttls and self._asking is None:
            self.reached()
            self._asking = StartTLS(self.pool.reactor, sock, self.connected, self._not_agreed)
        else:
            super().connected(sock)

    def end(self) -> None:
        """Close what is open."""
        if self._asking is not None:
            self._asking.cancel()
        super().end()

    def _not_agreed(self, reason: str) -> None:
        self.fail(OriginError(502, "handshake", f"no TLS with {self.server}: {reason}"))

    def speak(self, transport: Transport, presented: Presentation | None) -> None:
        """It is known whom we talk to: lend it as it is."""
        self.hand_over(Stream(self.pool, self.server, transport, presented))


async def open_stream(pool: OriginPool, judged: Exchange | None = None) -> Stream:
    """A stream to a server of an origin; to the next, as ``next-upstream`` has it, if one cannot be reached.

    :param judged: the exchange that it is for, by which a server may be chosen.
    :raises OriginError: if none could be.
    """
    origin, tried = pool.origin, list[Balanced]()
    while True:
        borrower = _Borrower(pool, tried, judged)
        try:
            stream = await borrower.waiting
        except OriginError as error:
            server = borrower.server
            if server is not None:
                pool.balancer.failed(server, pool.deadlines.clock())
                tried.append(server)
            condition = "timeout" if error.kind == "timeout" else "error"
            most = min(origin.next_upstream_tries, len(pool.balancer.servers))
            if server is None or len(tried) >= most or condition not in origin.next_upstream:
                raise
        else:
            pool.balancer.succeeded(stream.server)
            return stream


class _Borrower:
    """Who waits for a stream: see :class:`edgenode.proxy.origin.queue.Borrower`."""

    alone: ClassVar[bool] = False
    client: ClassVar[object] = None

    def __init__(self, pool: OriginPool, tried: list[Balanced], judged: Exchange | None) -> None:
        self.judged = judged
        self._pool = pool
        self._tried = tried
        self._opening: Opening | None = None
        self.server: Balanced | None = None
        self.waiting: Deferred[Stream] = Deferred(lambda _: self._cancel())
        self.turn(fresh=True, turn=False)

    def turn(self, fresh: bool, turn: bool = True) -> None:
        self._opening = None
        opening = self._pool.borrow(self, self._tried, fresh=fresh, turn=turn)
        if not self.waiting.called:
            self._opening = opening

    def lent(self, stream: Any, server: Balanced, reused: bool) -> None:
        self._opening = None
        self.waiting.callback(stream)

    def not_lent(self, server: Balanced | None, error: OriginError) -> None:
        self._opening = None
        self.server = server
        self.waiting.errback(error)

    def _cancel(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()


class Stream:
    """An established connection to a server that takes no HTTP.

    One thing at a time: write, read a line, or end. What fails, fails with :class:`~edgenode.model.errors.OriginError`,
    and the stream is over; so it is if a Deferred is cancelled.

    :ivar server: the server at its other end.
    :ivar greeted: whether the server has greeted already, before TLS.
    :ivar transport: the transport below; its receiver is this object.
    :ivar presented: what became of our certificate on it; ``None`` without TLS.
    :ivar deadline: when to lose patience, on the clock of the pool's ``deadlines``.
    """

    shares: ClassVar[bool] = False
    protocol: ClassVar[str] = ""

    def __init__(
        self, pool: OriginPool, server: Balanced, transport: Transport, presented: Presentation | None
    ) -> None:
        self._pool = pool
        self.server = server
        self.greeted = server.server.starttls
        self.transport = transport
        self.presented = presented
        self.deadline = NEVER
        self.released = 0
        self._unread = b""
        self._answered = False
        self._sent = 0
        self._most = 0  # bytes of the line that is waited for
        self._waiting: Deferred[Any] | None = None
        self._ending = False
        self._below: socket.socket | None = None  # the same socket, while the end is waited for
        self._last: StreamEnd | None = None
        self._over: OriginError | None = None
        self._finished = False  # whether the server has ended its side

    # -- for who has borrowed it -------------------------------------------------------------------------------------

    def write(self, data: bytes) -> Deferred[None]:
        """Send bytes; fires once the operating system has taken all of them, which says nothing of the server.

        ``send-timeout`` is how long it may take none.
        """
        waiting = self._wait(self._pool.origin.send_timeout)
        if self._waiting is not None:
            self._sent = self.transport.sent
            self.transport.write(data)
            if not self.transport.queued:
                self._fire(None)
        return waiting

    def read_line(self, most: int = 4096) -> Deferred[bytes]:
        """The next line, without its end: LF, or CR and LF.

        ``read-timeout`` is how long it may take.

        :param most: bytes that it may have; a longer one is an error.
        """
        waiting = self._wait(self._pool.origin.read_timeout)
        if self._waiting is not None:
            self._most = most
            self._read()
        return waiting

    def end(self, *, bare: bool = False) -> Deferred[None]:
        """Say that nothing follows; fires once the server has ended too, in answer, and so has read all that was sent.

        ``read-timeout`` is how long it may take.

        It has not if it ended first, or reset the connection: see :mod:`edgenode.proxy.origin.stream_end`.

        :param bare: whether in TLS a FIN without close_notify will do, which somebody on the way may have forged.
        """
        waiting = self._wait(self._pool.origin.read_timeout)
        if self._waiting is not None:
            if self._finished:
                self._fail(self._error("the server has ended it before all was sent"))
            else:
                self._ending = True
                self._below = self._copy()
                connection = self.transport.connection
                if bare and isinstance(connection, SSL.Connection):
                    connection.set_options(SSL.OP_IGNORE_UNEXPECTED_EOF)
                self.transport.half_close()
        return waiting

    def close(self) -> None:
        """Give it up, whatever was written; it may have ended already."""
        self.transport.abort("given up")

    # -- for who relays it ---------------------------------------------------------------------------------------

    @property
    def pool(self) -> OriginPool:
        """Whose it is."""
        return self._pool

    def released_by_relay(self) -> None:
        """Another is the receiver of its transport, and that is lost."""
        self._pool.deadlines.forget(self)
        self._pool.gone(self)

    # -- the pool's side ---------------------------------------------------------------------------------------------

    def usable(self, look: bool) -> bool:
        """No stream is lent twice."""
        return False

    def expired(self, now: float) -> None:
        """It took too long; unless some more of what is written was sent meanwhile."""
        if self.transport.queued and self.transport.sent > self._sent:
            self._sent = self.transport.sent
            self.deadline = now + self._pool.origin.send_timeout
            return
        self._fail(OriginError(504, "timeout", f"{self.server} took too long", sent=True))

    # -- the transport's side ----------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """That was before."""

    def received(self, data: bytes) -> None:
        """Bytes came."""
        if self.presented is not None and not self._answered:
            self.presented = self.presented.answered()
        self._answered = True
        self._unread += data
        if self._most:
            self._read()
        if len(self._unread) > MOST_UNREAD:
            self._fail(OriginError(502, "invalid", f"{self.server} sends what nobody asked for", sent=True))

    def drained(self) -> None:
        """All is sent."""
        if self._waiting is not None and not (self._most or self._ending):
            self._fire(None)

    def ended(self) -> None:
        """The server ends, before we do."""
        self._finished = True
        if self._waiting is not None:
            self._fail(self._error("the server has ended it"))

    def lost(self, reason: str, clean: bool) -> None:
        """It is over."""
        self._pool.deadlines.forget(self)
        self._pool.gone(self)
        below, self._below = self._below, None
        ended_well = clean and self._ending and self._over is None
        self._over = self._over or self._error(reason or "closed", clean)
        if ended_well and below is not None:
            self._last = StreamEnd(self._pool, below, self.deadline, self._closed)
            return
        if below is not None:
            below.close()
        if ended_well:
            self._fire(None)
        else:
            self._fail(self._over)

    def _closed(self, reason: str) -> None:
        """The connection has ended, for the kernel too."""
        if reason:
            self._fail(self._error(reason))
        else:
            self._fire(None)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> Deferred[Any]:
        assert self._waiting is None, "one thing at a time"
        if self._over is not None:
            return fail(self._over)
        waiting: Deferred[Any] = Deferred(lambda _: self._cancelled())
        self._waiting = waiting
        self.deadline = self._pool.deadlines.clock() + seconds
        return waiting

    def _fire(self, value: Any) -> None:
        waiting, self._waiting = self._waiting, None
        self.deadline, self._most = NEVER, 0
        if waiting is not None:
            waiting.callback(value)

    def _fail(self, error: OriginError) -> None:
        waiting, self._waiting = self._waiting, None
        self.deadline, self._most = NEVER, 0
        self._over = self._over or error
        self.transport.abort("given up")
        if waiting is not None:
            waiting.errback(error)

    def _cancelled(self) -> None:
        self._waiting = None
        self.transport.abort("given up")
        if self._last is not None:
            self._last.give_up()

    def _read(self) -> None:
        line, end, rest = self._unread.partition(b"\n")
        line = line.removesuffix(b"\r")
        if len(line) > self._most:
            error = f"{self.server} sends a line of more than {self._most} bytes"
            self._fail(OriginError(502, "invalid", error, sent=True))
        elif end:
            self._unread = rest
            self._fire(line)
        elif self._finished:
            self._fail(self._error("the server has ended it"))

    def _error(self, reason: str, clean: bool = False) -> OriginError:
        return ended(reason, self.presented, f"at {self.server}", not self._answered, clean=clean)

    def _copy(self) -> socket.socket | None:
        """The socket once more, to see how the connection ends; ``None`` of one that is in memory."""
        sock = self.transport.sock
        return sock.dup() if isinstance(sock, socket.socket) else None
