"""A stream: a client's connection that speaks no HTTP, judged by its facts alone, and relayed to an origin.

Law: not a byte of it reaches an origin before the pipeline has let it pass; and it lasts no second longer than its
client is let in: a certificate may expire, or be revoked, while it is open. What rules refuse is closed.
"""

from __future__ import annotations

import time
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.decision import NOTHING, Decision, Forward, Respond
from edgenode.model.errors import ClientError, OriginError, without_frames
from edgenode.model.exchange import Exchange
from edgenode.model.relayed import StreamState
from edgenode.net.deadlines import NEVER
from edgenode.net.errors import UNANNOUNCED
from edgenode.proxy.event_record import EventRecord
from edgenode.proxy.headers import new_identifier
from edgenode.proxy.judging import outcome_of, tell
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.limits import ClientLimits
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.refusals import ended
from edgenode.proxy.origin.stream import Stream, open_stream
from edgenode.proxy.routing import ServedPathMap
from edgenode.proxy.stream.judging import exchange_of, pool_of
from edgenode.proxy.stream.relay import End
from edgenode.proxy.stream.spliced import relay_between

_log = Logger()

_LOOK_AGAIN = 1.0
"""Seconds after which a stream is looked after: its client, and whether anything passes."""

_CLOSED, _DONE = 444, 200
"""The status of a stream that the node has closed, and of one that was relayed, as nginx's ``$status`` has them."""


class StreamConnection:
    """A stream, from the end of the handshake: the speaker of its connection.

    :ivar deadline: when it is looked after again.
    """

    spoken: ClassVar[str] = "stream"

    def __init__(self, client: ClientConnection) -> None:
        session = client.session
        assert session is not None
        self._client = client
        self._session: ClientSession = session
        self.transport = client.transport
        self._context = client.context
        self._deadlines = client.deadlines
        self._send_timeout = client.limits.timeouts.send
        self._path_map: ServedPathMap | None = None
        self._waiting: Deferred[Decision] | Deferred[Stream] | None = None
        self._stream: Stream | None = None
        self._ends: tuple[End, End] | None = None
        self._decision = NOTHING
        self._over = False
        self._closed_by = ""
        self._began = self._deadlines.clock()
        self._moved, self._moved_at = -1, 0.0
        self._retire = NEVER
        facts = session.connection
        self._record = EventRecord(
            client.context.listener, Exchange(facts, client=facts.peer.host, server_group=session.handshake_group.name)
        )
        self.deadline = self._began + _LOOK_AGAIN

    # -- judged ------------------------------------------------------------------------------------------------------

    def handshaken(self) -> None:
        """It is known who the client is: judge, and read nothing before."""
        self.transport.pause()
        self._client.load.streams.add(self)
        try:
            self._judge()
        except ClientError as error:
            self._refuse(without_frames(error))
        except BaseException:  # a field of an extension, which a path map looks at
            self._undecided(Failure())

    def _judge(self) -> None:
        session = self._session
        session.follow(self._client.context)
        group = session.handshake_group
        exchange = self._record.exchange = exchange_of(session)
        exchange.identifier = self._record.identifier = new_identifier()
        if group.path_maps:
            tagged = group.path_maps[0].pipeline.tagging.decide(exchange)
            self._decision = tagged if isinstance(tagged, Decision) else NOTHING
        self._client.admit()
        self._path_map = path_map = group.path_map(exchange)
        exchange.path_map = path_map.name
        decision = path_map.pipeline.judge(exchange)
        if isinstance(decision, Decision):
            self._decided(decision)
        else:
            self._waiting = decision
            decision.addCallback(self._decided).addErrback(self._undecided)

    def _decided(self, decision: Decision) -> None:
        self._waiting = None
        if self._over:
            return
        self._decision = decision
        self._record.decided = time.perf_counter()
        path_map, pool = self._path_map, None
        assert path_map is not None
        try:
            outcome = outcome_of(decision, self._record.exchange)
            if isinstance(outcome, Forward):
                pool = pool_of(path_map, decision)
        except ClientError as error:
            self._refuse(without_frames(error))
            return
        if pool is not None:
            self._open(pool)
            return
        self._record.status = outcome.response.status if isinstance(outcome, Respond) else _CLOSED
        self._close()

    def _undecided(self, failure: Failure) -> None:
        if self._over and failure.check(CancelledError):
            return
        _log.failure("a stream could not be judged", failure=failure)
        self._refuse(ClientError(503, "the stream could not be judged"))

    def _refuse(self, error: ClientError) -> None:
        if not self._over:
            self._record.error, self._record.status = error, error.status
            self._close()

    # -- to the origin -----------------------------------------------------------------------------------------------

    def _open(self, pool: OriginPool) -> None:
        record = self._record
        record.origin, record.tries = pool.name, 1
        self._waiting = opening = ensureDeferred(open_stream(pool, record.exchange))
        opening.addCallbacks(self._opened, self._not_opened).addErrback(self._undecided)

    def _not_opened(self, failure: Failure) -> None:
        self._waiting = None
        if self._over:
            return
        error = failure.value
        if not isinstance(error, OriginError):
            failure.raiseException()
        record = self._record
        record.error, record.status, record.presented = error, error.status, error.presented
        self._close("origin")

    def _opened(self, stream: Stream) -> None:
        self._waiting = None
        if self._over:
            stream.close()
            return
        record = self._record
        record.status = record.origin_status = _DONE
        record.answered = time.perf_counter()
        record.server, record.presented = stream.server.text, stream.presented
        self._stream = stream
        self._moved_at = self._deadlines.clock()
        self._ends = relay_between(stream.pool.reactor, self, self.transport, stream.transport)

    # -- what the two ends tell --------------------------------------------------------------------------------------

    def side_ended(self, end: End) -> None:
        """A side sends no more."""
        self._note(self._name(end))

    def side_lost(self, end: End, reason: str, clean: bool) -> None:
        """A side is gone."""
        ends, stream, record = self._ends, self._stream, self._record
        assert ends is not None and stream is not None
        if not clean and not self._closed_by:
            if reason == UNANNOUNCED and end is ends[0]:
                pass  # as many clients do once they have all they want: that is no fault worth telling
            elif end is ends[0]:
                record.error = ClientError(499, reason)
                record.status = 499
            else:
                record.error = ended(reason, stream.presented, "of the stream", not end.passed, begun=end.passed > 0)
                record.presented = record.error.presented or record.presented
                record.status = record.origin_status = 502
        self._note(self._name(end))
        if end is ends[1]:
            stream.released_by_relay()
        if end.other.gone:
            self._end(reason)

    def _name(self, end: End) -> str:
        assert self._ends is not None
        return "client" if end is self._ends[0] else "origin"

    def _note(self, who: str) -> None:
        self._closed_by = self._closed_by or who

    # -- the client's side, before there is another ------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Nothing is read before the origin is there."""

    def drained(self) -> None:
        """Nothing is written before."""

    def ended(self) -> None:
        """Nothing is read before the origin is there."""

    def lost(self, reason: str, clean: bool) -> None:
        """The client is gone, or was closed, before anything was relayed."""
        if not self._closed_by:
            self._record.error, self._record.status = ClientError(499, reason), 499
        self._note("client")
        waiting, self._waiting = self._waiting, None
        self._end(reason)
        if waiting is not None:
            waiting.cancel()

    # -- looked after ------------------------------------------------------------------------------------------------

    def expired(self, now: float) -> None:
        """Time to look: at the client, and whether anything passes."""
        self.deadline = now + _LOOK_AGAIN
        try:
            self._look_at_client(now)
        except ClientError as error:
            self._cut("node", without_frames(error))
            return
        except BaseException:  # as above
            _log.failure("whether a stream may go on could not be judged")
            self._cut("node", ClientError(503, "whether it may go on could not be judged"))
            return
        if now >= self._retire:
            self._cut("node")
        elif self._ends is not None and self._path_map is not None:
            self._look_at_bytes(now, self._ends, self._path_map)

    def _look_at_client(self, now: float) -> None:
        """:raises ClientError: if it is let in no longer."""
        context = self._client.context
        self._client.admit()
        if context is not self._context and self._path_map is not None:
            self._context = context
            path_map = self._session.handshake_group.path_map(self._record.exchange)
            self._follow(path_map, now, context.drain_timeout)

    def _follow(self, path_map: ServedPathMap, now: float, drain: float) -> None:
        """Go on by a path map as it is since a reload, or end after a while."""
        assert self._path_map is not None
        pools = (path_map.pool, *path_map.pools.values())
        known = self._stream is None or self._stream.pool in pools
        self._retire = NEVER if known else now + drain
        self._path_map = path_map

    def _look_at_bytes(self, now: float, ends: tuple[End, End], path_map: ServedPathMap) -> None:
        for end in ends:
            end.count()
        moved = sum(end.passed + end.transport.sent for end in ends)
        if moved != self._moved:
            self._moved, self._moved_at = moved, now
        limits = path_map.stream
        if now >= self._began + limits.lifetime:
            self._cut("node", ClientError(408, "it has lasted for lifetime"))
        elif now >= self._moved_at + limits.idle:
            self._cut("node", ClientError(408, "nothing has passed for idle-timeout"))
        elif any(end.gone for end in ends) and now >= self._moved_at + self._send_timeout:
            self._cut("node")

    def renew(self, limits: ClientLimits) -> None:
        """There was a reload: look at once."""
        self._send_timeout = limits.timeouts.send
        self.deadline = self._deadlines.clock()

    def last_request(self) -> None:
        """Only the two sides know when it is done: it goes on until the drain ends."""

    def leave(self) -> None:
        """The node stops."""
        self._cut("node")

    # -- the end -----------------------------------------------------------------------------------------------------

    def _cut(self, who: str, error: ClientError | None = None) -> None:
        """End it now, on both sides."""
        if self._over:
            return
        if error is not None and self._record.error is None:
            self._record.error, self._record.status = error, error.status
        self._note(who)
        reason = "the node stops" if error is None else error.reason
        if self._ends is None:
            self.transport.abort(reason)
            return
        for end in self._ends:
            if not end.gone:
                end.abort(reason)

    def _close(self, who: str = "node") -> None:
        """Close it, before anything was relayed."""
        self._note(who)
        self.transport.close()

    def _end(self, reason: str) -> None:
        """Both sides are over: report it."""
        if self._over:
            return
        self._over = True
        self._deadlines.forget(self)
        self._client.load.streams.discard(self)
        record = self._record
        if self._ends is not None:
            record.received, record.sent = (end.passed for end in self._ends)
        record.ended = time.perf_counter()
        record.decision = self._decision
        record.relayed = StreamState(self._closed_by)
        self._client.context.events.record(record)
        tell(self._decision.after, record.status, record.received + record.sent, record.origin_status)
        self._client.gone(reason)
