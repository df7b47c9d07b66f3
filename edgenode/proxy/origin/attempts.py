"""The attempts at one request to an origin: a connection is borrowed, the request sent, and if that fails tried again.

Law: what a server may have acted on is sent again only if it has no side effects and no body: nginx's
``proxy_next_upstream``, narrowed. A server that refuses our certificate has not acted on the request, though in TLS 1.3
it was sent: that goes on like one that was not, unless some of its body is gone. So does one that a server of HTTP/2
says it has not looked at, by REFUSED_STREAM or GOAWAY; and that is no failure of the server. A server has failed by
what ``next-upstream`` names, and by nothing else. The proxy's exchanges and the agent's requests are subclasses: they
say what is sent, and what becomes of the response.
"""

from __future__ import annotations

import types
from collections.abc import Mapping

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Exchange, Headers
from edgenode.model.presentation import Presentation
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.lending import Opening
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.streams import OriginStream, ResponseHead

SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
"""Methods without side effects (RFC 9110, section 9.2.1): the only ones sent again once they were sent."""

CONDITIONS: Mapping[str, str] = types.MappingProxyType(
    {
        "connect": "error",
        "handshake": "error",
        "certificate": "error",
        "reset": "error",
        "timeout": "timeout",
        "invalid": "invalid-header",
    }
)
"""For each kind of :class:`~edgenode.model.errors.OriginError` after which another server may do better, the condition
of ``next-upstream``."""


_MOST_REPEATS = 8
"""How often a request is sent again because of its connection, not of its server. A server that ends each connection
after so many requests, as nginx does, refuses some by GOAWAY, up to a tenth; and the next connection may be as old."""


class Attempts:
    """One request to an origin, and the attempts at it.

    :ivar pool: the connections to the origin.
    :ivar alone: whether only a connection of its own will do: see :class:`edgenode.proxy.origin.queue.Borrower`.
    :ivar client: on whose behalf it is, if that may ask for much at once: likewise.
    :ivar stream: where the request is under way; ``None`` while it is not, and once the response is complete.
    :ivar balanced: the server that was asked last.
    :ivar tries: how many servers were asked.
    :ivar queued: how long it has waited for a connection, seconds.
    :ivar reused: whether the last was asked on a kept connection.
    :ivar origin_protocol: what was spoken to it: ``HTTP/2``, or empty for HTTP/1.1.
    :ivar presented: what became of our certificate on the connection to it; ``None`` without TLS.
    :ivar origin_status: the status that it answered; 0 if it did not.
    :ivar origin_error: why the last attempt failed.
    :ivar responded_to: whether a response has begun, so that there can be no other.
    """

    pool: OriginPool
    alone: bool = False
    stream: OriginStream | None = None
    balanced: Balanced | None = None
    tries: int = 0
    reused: bool = False
    origin_protocol: str = ""
    presented: Presentation | None = None
    origin_status: int = 0
    origin_error: OriginError | None = None
    queued: float = 0.0
    _waits_since: float = 0.0
    _repeats: int = 0
    _opening: Opening | None = None
    _tried: tuple[Balanced, ...] = ()
    responded_to: bool = False
    _retrying: bool = False

    @property
    def client(self) -> object:
        """See above."""
        return None

    @property
    def judged(self) -> Exchange | None:
        """The exchange that it belongs to, by which a server may be chosen; ``None`` if there is none."""
        return None

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent twice."""
        return False

    # -- what a subclass says ----------------------------------------------------------------------------------------

    def send(self, stream: OriginStream) -> None:
        """Begin the request on a stream; called for each attempt."""
        raise TypeError(f"{type(self).__name__} sends nothing")

    def stick(self, cookie: bytes) -> None:
        """The client shall come back to the server that has answered: the value of a Set-Cookie field."""

    def take_response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The response that counts has come: see :meth:`edgenode.proxy.streams.ResponseReceiver.responded`."""

    def no_response(self, error: OriginError) -> None:
        """There will be no response, and no further attempt."""

    def response_broken(self, error: OriginError) -> None:
        """The response has begun, and there will be no more of it."""

    # -- for a subclass ----------------------------------------------------------------------------------------------

    def attempt(self, *, fresh: bool = False, turn: bool = False) -> None:
        """Borrow a connection and send the request on it.

        :param fresh: whether only a new connection will do.
        :param turn: whether the request has waited for one, and its turn has come.
        """
        opening = self.pool.borrow(self, self._tried, fresh=fresh, turn=turn)
        if opening is not None:
            self._opening = opening
            if opening.waits:
                self._waits_since = self.pool.deadlines.clock()
            else:
                self.tries += 1
                self.reused = False

    def _waited(self) -> None:
        """It waits no longer for a connection."""
        if self._waits_since:
            self.queued += self.pool.deadlines.clock() - self._waits_since
            self._waits_since = 0.0

    def give_up(self) -> None:
        """Nobody waits for the response, or for the rest of it, any more."""
        opening, self._opening = self._opening, None
        stream, self.stream = self.stream, None
        if self._retrying:
            self._retried()
        if opening is not None:
            self._waited()
            opening.cancel()
        if stream is not None:
            stream.reset()

    @property
    def whole(self) -> bool:
        """Whether nothing of the request's body has gone with a connection, so that all of it can be sent again."""
        return True

    @property
    def attempting(self) -> bool:
        """Whether a connection is being opened, or the request is under way on one."""
        return self.stream is not None or self._opening is not None

    # -- the pool's side ---------------------------------------------------------------------------------------------

    def lent(self, stream: OriginStream, server: Balanced, reused: bool) -> None:
        """The pool has lent a connection.

        :param reused: whether it was opened for another request: then this may come from within :meth:`attempt`.
        """
        opening = self._opening
        if reused or (opening is not None and opening.waits):
            self.tries += 1
            self.reused = reused
        if opening is not None:
            self._opening = None
            self._waited()
        self.stream = stream
        self.balanced = server
        if self.origin_protocol != stream.protocol:
            self.origin_protocol = stream.protocol
        self.presented = stream.presented
        self.origin_status = 0
        try:
            self.send(stream)
        except Exception:  # a defect: of a new connection the exception ends that alone
            self.give_up()
            self.no_response(OriginError(502, "unavailable", "an internal error"))
            raise

    def turn(self, fresh: bool) -> None:
        """A connection has come free: borrow it."""
        self._opening = None
        self._waited()
        self.attempt(fresh=fresh, turn=True)

    def not_lent(self, server: Balanced | None, error: OriginError) -> None:
        """No connection could be had.

        :param server: that did not let itself be connected to; ``None`` if none was asked.
        """
        if server is not None:
            self.balanced = server
            self.presented = error.presented
            self.origin_status = 0
            if self._opening is None or self._opening.waits:  # it failed from within :meth:`attempt`, or for others too
                self.tries += 1
                self.reused = False
        self._opening = None
        self._waited()
        self._attempt_failed(error)

    # -- the stream's side -------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """An interim response came."""

    def origin_drained(self) -> None:
        """The origin has taken what was sent."""

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of the response."""

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The origin has answered."""
        status = self.origin_status = head.status
        pool, server = self.pool, self.balanced
        assert server is not None
        if self._retrying:
            self._retried()
        if not self.reused and self.stream is not None and self.presented is not None:
            self.presented = self.stream.presented = self.presented.answered()
            pool.standing.answered(server.text, self.presented)
        if done:
            self.stream = None  # it is back in its pool, and may be another's already
        if status >= 400 and f"http-{status}" in pool.origin.next_upstream:
            pool.balancer.failed(server, pool.deadlines.clock())
            if self._another(server, f"http-{status}", sent=True):
                return
        else:
            pool.balancer.answered(server, status, self)
        self.responded_to = True
        self.take_response(head, body, done)

    def failed(self, error: OriginError) -> None:
        """The connection failed."""
        self.stream = None
        if error.presented is not None:
            self.presented = error.presented
            if error.presented.alert and self.balanced is not None:
                self.pool.standing.refused(self.balanced.text, error.presented, error.reason)
        if self.responded_to:
            self.response_broken(error)
        elif self._repeats < _MOST_REPEATS and self._unspent(error):
            self._repeats += 1
            self.tries -= 1
            self.attempt(fresh=error.code is None)
        else:
            self._attempt_failed(error)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _unspent(self, error: OriginError) -> bool:
        """Whether an attempt has failed for no fault of the server, and can be made again as though it had not been."""
        if error.code is not None:  # the origin has looked at no more than the stream's number
            return error.kind == "reset" and not error.sent and self.whole
        # The origin closed a kept connection just as it was used.
        return self.reused and error.kind in ("reset", "handshake") and self.repeatable

    def _attempt_failed(self, error: OriginError) -> None:
        """An attempt failed before any response: another server, or the end."""
        if self._retrying:
            self._retried()
        pool, server = self.pool, self.balanced
        if server is not None and error.kind in CONDITIONS:
            pool.balancer.failed(server, pool.deadlines.clock())
            self.origin_error = error
            if self._another(server, CONDITIONS[error.kind], sent=error.sent):
                return
        if error.kind != "unavailable" or self.origin_error is None:
            self.origin_error = error
        self.no_response(self.origin_error)

    def _another(self, server: Balanced, condition: str, *, sent: bool) -> bool:
        """Go to another server, if the request may and there is one.

        :param condition: of ``next-upstream``.
        :param sent: whether the server may have acted on the request.
        """
        origin = self.pool.origin
        if condition not in origin.next_upstream or (sent and not self.repeatable) or not self.whole:
            return False
        self._tried = (*self._tried, server)
        if len(self._tried) >= min(origin.next_upstream_tries, len(self.pool.balancer.servers)):
            return False
        limited = origin.retry_budget is not None
        if limited and not self.pool.retries.take(self.pool.active):
            return False
        self.give_up()
        self._retrying = limited
        self.attempt()
        return True

    def _retried(self) -> None:
        """It counts no longer as one that was sent to a further server."""
        self._retrying = False
        self.pool.retries.give_back()
