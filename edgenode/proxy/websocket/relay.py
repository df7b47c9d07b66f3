"""A WebSocket between a client and an origin: frames pass as they came, in both directions.

Law: what passes is what the other side has sent, and only whole frames of ours come between. Where one side breaks the
protocol the other is sent a Close frame in the place of what was wrong, and what that still has to say, up to its own
Close frame, arrives before the offender is told: both see what they would see without the node, in the same order. An
end without a Close frame is passed on as such, and no code is made up. What the node itself decides ends both at once.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from edgenode.model.decision import Decision, Forward
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Body
from edgenode.model.interfaces import Record
from edgenode.model.websocket import WebSocketState
from edgenode.net.deadlines import NEVER
from edgenode.policy.tagging import MESSAGE
from edgenode.proxy.event_record import EventRecord
from edgenode.proxy.headers import Forwarded
from edgenode.proxy.judging import outcome_of, tell
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.listener.limits import Load
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.routing import ServedPathMap
from edgenode.proxy.streams import ClientStream, OriginStream, RequestHead
from edgenode.proxy.websocket.frames import ABNORMAL, GOING_AWAY, INTERNAL, POLICY, Walker
from edgenode.proxy.websocket.handshake import check_request
from edgenode.proxy.websocket.judged_side import JudgedSide
from edgenode.proxy.websocket.messages import OPCODES, MessageReader
from edgenode.proxy.websocket.side import Side

_log = Logger()

_ANSWER = 1.0
"""Seconds that a side has for its Close frame, once ours is in the place of a fault of the other's."""

_FAREWELL = 2.0
"""Seconds that a side has to end its connection after the last Close frame, and then to take what is unsent."""

_HALF_CLOSED = 10.0
"""Seconds in which something has to pass from the one side after the other has ended without a Close frame."""

_MESSAGE = frozenset((MESSAGE,))


class Handshake(Record, Protocol):
    """The exchange whose request was accepted.

    :ivar session: the client.
    :ivar head: the request.
    :ivar context: what it shares with others of its listener.
    :ivar forwarded: where the request comes from, if a trusted proxy reports it.
    """

    session: ClientSession
    head: RequestHead
    forwarded: Forwarded | None
    context: ListenerContext
    pool: OriginPool


class Relay:
    """A WebSocket from its handshake to its end.

    :param handshake: the exchange that led to it.
    :param path_map: its path map.
    :param load: where it counts.
    :param counted: under which name its request counts; empty if it does not.
    :param reserved: the reserved bits in its frames: see :class:`~edgenode.proxy.websocket.frames.Walker`.
    :ivar deadline: when to look after it, on the clock of ``Deadlines``.
    """

    def __init__(
        self, handshake: Handshake, path_map: ServedPathMap, load: Load, counted: str, reserved: int | None
    ) -> None:
        self._handshake = handshake
        self._path_map = path_map
        self._load = load
        self._counted = counted
        self._context = handshake.context
        self._deadlines = path_map.pool.deadlines
        self.clock = self._deadlines.clock
        self.active = self.clock()
        self.closing = False
        self._code, self._by = 0, ""
        self._error: ClientError | OriginError | None = None
        self._decision = handshake.decision
        self._offender: Side | None = None  # who is told once the other has answered
        self._until = NEVER  # of what is waited for
        self._retire = NEVER  # the path map is no longer what it was
        self._valid_until = NEVER  # the verdict on the client
        self._patience = NEVER  # until when who takes what is unsent, however slowly, is waited for
        self._over = self._cut = False
        self._judged = handshake.exchange
        self.deadline = 0.0
        settings = path_map.websocket
        walker = Walker(masked=True, most=settings.most, reserved=reserved)
        if settings.inspects == "no":
            self._client = Side(self, "client", walker)
        else:
            reader = MessageReader(OPCODES[settings.inspects])
            self._client = JudgedSide(self, "client", walker, reader, self._judge, self._verdict)
        self._origin = Side(self, "origin", Walker(masked=False, most=settings.most, reserved=reserved))
        self._client.other, self._origin.other = self._origin, self._client
        self._sides = self._client, self._origin

    def begin(self, client: ClientStream, origin: OriginStream, lines: bytes) -> None:
        """Accept the client's request, and relay.

        :param lines: the field lines of the response.
        """
        self._load.relays.add(self)
        self._deadlines.watch(self)
        self._origin.tunnel = origin.tunnel(self._origin)
        self._client.tunnel = client.tunnel(self._client, lines)

    # -- what the sides tell -----------------------------------------------------------------------------------------

    def finished(self, side: Side) -> None:
        """What a side sends has come to its Close frame, or to what is wrong."""
        walker, other = side.walker, side.other
        if self.closing:
            self._part(side)
        elif walker.fault is not None:
            self._note(walker.fault.code, "node", side.fault())
            self._offender = side
            if other.walker.over or other.over:
                self._tell_offender()
            else:
                other.walker.keeps_close = True
                other.close(walker.fault.code)
                self._wait(_ANSWER)
        elif self._offender is not None:
            self._tell_offender()
        else:
            other.told = True
            self._note(walker.closed, side.name)
            if other.walker.over:
                self._farewell()

    def ended(self, side: Side) -> None:
        """Nothing more comes from a side."""
        if self.closing or side.other.over:
            for each in self._sides:
                if not (each.gone or each.answers):
                    each.tunnel.close()
        elif self._offender is not None:
            self._tell_offender()
        else:
            if not side.walker.closed:
                self._note(ABNORMAL, side.name, side.broke_off())
            side.other.tunnel.end()
            self._wait(_HALF_CLOSED)

    def lost(self, side: Side, reason: str) -> None:
        """An end of the tunnel is over."""
        other = side.other
        if not self._code:
            self._note(ABNORMAL, side.name, side.broke_off(reason))
        if other.gone:
            self._end()
            return
        if self._offender is other:
            other.close(self._code)
        if not self.closing:
            self._farewell()
        if not (other.gone or other.answers):
            other.tunnel.close()

    # -- what others tell --------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """There was a reload: whether the client is still let in, and all else, is looked at in a moment."""
        self.deadline = 0.0

    def leave(self) -> None:
        """The node stops, and will cut the connection at once."""
        self._close(GOING_AWAY)

    def expired(self, now: float) -> None:
        """Look after it: something is due."""
        if now >= self._until:
            self._time_is_up(now)
        if not self.closing and self._offender is None:
            self._look_at_client()
        if not self.closing and self._offender is None:
            self._look_at_peers(now)
        self.deadline = self._due(now)

    # -- judging messages --------------------------------------------------------------------------------------------

    def _judge(self, message: bytes) -> Decision | Deferred[Decision]:
        """Judge a message of the client's, as a request with its handshake's head, and the message as its body."""
        pipeline, handshake = self._path_map.pipeline, self._handshake
        exchange = handshake.exchange.tagged()
        exchange.tags = handshake.decision.tags | _MESSAGE
        exchange.time = time.time()
        most = pipeline.inspects_messages or len(message)
        exchange.request = handshake.head.with_body(Body(message[:most], len(message), len(message) > most))
        self._judged = exchange
        return pipeline.judge(exchange)

    def _verdict(self, decision: Decision) -> bool:
        """Act on what was decided of a message: whether it passes."""
        try:
            passes = decision.action is None or isinstance(outcome_of(decision, self._judged), Forward)
        except ClientError as error:
            self._error, passes = error, False
        tell(decision.after, 0 if passes else 444, 0, 0)  # a message has no answer
        if not passes:
            self._decision = decision
            self._close(POLICY, self._error)
        elif decision.action is not None:
            self._record(decision, None, None)
        return passes

    # -- inside ------------------------------------------------------------------------------------------------------

    def _note(self, code: int, by: str, error: ClientError | OriginError | None = None) -> None:
        """Keep how it ended: the first that is said counts."""
        if not self._code:
            self._code, self._by = code, by
            self._error = self._error or error

    def _wait(self, seconds: float) -> None:
        self._until = self.clock() + seconds
        self.deadline = min(self.deadline, self._until)

    def _close(self, code: int, error: ClientError | OriginError | None = None) -> None:
        """End it from here: both are sent a Close frame, and nothing passes any more."""
        if self.closing:
            return
        self._note(code, "node", error)
        self._patience = 0.0
        self._say(*self._sides)

    def _tell_offender(self) -> None:
        """The other has said what it had to say: now who was wrong is told."""
        assert self._offender is not None
        self._say(self._offender)

    def _say(self, *sides: Side) -> None:
        """Tell sides how it ends, and part."""
        cut = [side for side in sides if not side.close(self._code)]
        self._farewell()
        for side in cut:
            if not side.gone:
                side.tunnel.reset("cut within a frame")

    def _farewell(self) -> None:
        """Nothing passes any more; everybody has a moment to end its connection, the servers first."""
        self.closing = True
        self._wait(_FAREWELL)
        for side in self._sides:
            if side.gone:
                continue
            if side.walker.over or side.over:
                self._part(side)
            else:
                side.tunnel.resume()

    def _part(self, side: Side) -> None:
        """A side has sent all that it may: towards the client we are the server, and end first (RFC 6455, 7.1.1)."""
        if side.over:
            side.tunnel.close()
        else:
            if side is self._client:
                side.tunnel.end()
            side.tunnel.resume()

    def _time_is_up(self, now: float) -> None:
        """What was waited for did not come."""
        if not self.closing and self._offender is not None:
            self._tell_offender()
        elif not self.closing and self.active + _HALF_CLOSED > now:
            self._until = self.active + _HALF_CLOSED
        elif now < self._patience and any(not side.gone and side.tunnel.full for side in self._sides):
            self._patience = min(self._patience, now + self._path_map.websocket.idle)
            self._wait(_FAREWELL)
        else:
            cut, self._cut, self.closing = self._cut, True, True
            self._wait(_FAREWELL)
            for side in self._sides:
                if side.gone:
                    continue
                if cut:
                    side.tunnel.reset("it does not end")
                else:
                    side.tunnel.close()

    def _look_at_client(self) -> None:
        """Whether the client is still let in, and the path map is still there, after a reload or by the clock."""
        handshake, session = self._handshake, self._handshake.session
        try:
            site = session.site(handshake.head.authority, session.now())
            if site.refusal is not None:
                raise site.refusal
            if session.context is not self._context:
                self._context = session.context
                self._follow(site.group.path_map(handshake.exchange))
        except ClientError as error:
            self._close(POLICY, ClientError(error.status, error.reason))
            return
        except BaseException:  # a field of an extension, which a path map looks at
            _log.failure("whether a WebSocket may go on could not be judged")
            self._close(INTERNAL, ClientError(503, "whether it may go on could not be judged"))
            return
        self._valid_until = self.clock() + max(site.until - session.now(), 0.0)

    def _follow(self, path_map: ServedPathMap) -> None:
        """Go on by a path map as it is since a reload, or end.

        :raises ClientError: if it would not let the handshake in.
        """
        settings = path_map.websocket
        if self._handshake.pool not in (path_map.pool, *path_map.pools.values()) or not settings.offered:
            self._retire = self.clock() + self._context.drain_timeout
            return
        check_request(self._handshake.head, settings, self._handshake.forwarded)
        if settings.inspects != self._path_map.websocket.inspects:
            self._close(GOING_AWAY)  # what was agreed on, and what has passed of a message, was not for rules to see
            return
        self._path_map, self._retire = path_map, NEVER
        for side in self._sides:
            side.walker.most = settings.most

    def _look_at_peers(self, now: float) -> None:
        """Whether anything passes, and whether both are still there."""
        settings = self._path_map.websocket
        if now >= self._retire:
            self._close(GOING_AWAY)
        elif now >= self.active + settings.idle:
            self._close(GOING_AWAY, ClientError(408, "nothing has passed for idle-timeout"))
        elif settings.ping:
            for side in self._sides:
                if side.pinged and side.heard >= side.pinged:
                    side.pinged = 0.0
                if side.pinged:
                    if now >= side.pinged + settings.ping:
                        self._dead(side)
                        return
                elif now >= side.heard + settings.ping:
                    side.ping(os.urandom(4))

    def _dead(self, side: Side) -> None:
        """A side has not answered a Ping."""
        reason = f"the {side.name} answers no Ping"
        error = ClientError(408, reason) if side is self._client else OriginError(504, "timeout", reason, sent=True)
        self._note(INTERNAL, "node", error)
        side.told = True
        self._say(side.other)
        if not side.gone:
            side.tunnel.reset(reason)

    def _due(self, now: float) -> float:
        """When to look again."""
        if self._over:
            return NEVER
        due = self._until
        if not self.closing and self._offender is None:
            settings = self._path_map.websocket
            due = min(due, self._retire, self._valid_until, self.active + settings.idle)
            if settings.ping:
                for side in self._sides:
                    due = min(due, (side.pinged or side.heard) + settings.ping)
        return max(due, now)

    def _end(self) -> None:
        """Both ends are over: report it."""
        if self._over:
            return
        self._over = self.closing = True
        self._deadlines.forget(self)
        self._load.relays.discard(self)
        if self._counted:
            self._load.requests.give_back(self._counted)
        self._record(self._decision, self._code, self._by)
        tell(self._handshake.decision.after, 101, self._origin.passed, 101)

    def _record(self, decision: Decision, code: int | None, by: str | None) -> None:
        """Write an event."""
        record = EventRecord.following(self._handshake)
        record.decision, record.error = decision, self._error
        record.received, record.sent = self._client.passed, self._origin.passed
        record.ended = time.perf_counter()
        received, sent = self._client.walker.messages, self._origin.walker.messages
        record.websocket = WebSocketState(received, sent, code, by)
        self._context.events.record(record)
