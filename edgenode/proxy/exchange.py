"""One exchange: routed, judged, forwarded to its origin, answered, and reported as one event.

It knows no protocol, only the streams of :mod:`edgenode.proxy.streams`. Law: no byte of a request reaches an origin
before the pipeline has let it pass. What goes wrong at the origin is told to the event, not to the client.
"""

from __future__ import annotations

import time

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.decision import Decision, Forward, Respond, Rewrite
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Headers, Response
from edgenode.model.trace import Trace
from edgenode.proxy import grpc
from edgenode.proxy.answers import added_lines, ruled_lines
from edgenode.proxy.expectation import Expectation
from edgenode.proxy.headers import new_identifier, reported_identifier, response_lines
from edgenode.proxy.judged_answers import JudgedAnswer, readable_answers
from edgenode.proxy.judging import PAGES, TOO_LARGE, tell
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.limits import Load
from edgenode.proxy.streams import ClientStream, RequestHead, ResponseHead
from edgenode.proxy.trailers import passing, takes_trailers
from edgenode.proxy.websocket.handshake import ACCEPT, accepts_tunnel, answer_fault, reserved_bits
from edgenode.proxy.websocket.relay import Relay
from edgenode.rules.views.grpc import is_call

_log = Logger()


class ProxyExchange(JudgedAnswer):
    """One request of a client and the response to it; once it is over, the record of its event.

    :param session: the client.
    :param load: where it counts.
    :param stream: the client's stream, for the response.
    :param head: the request.
    :ivar time: when it began, seconds since the epoch.
    :ivar began: the same on ``time.perf_counter``; likewise ``decided`` and ``answered`` (by the origin); 0 if
        that did not happen.
    """

    decided = 0.0
    answered = 0.0
    _counted = ""
    _call: grpc.CallDeadline | None = None
    _interim_waits = False
    websocket = relayed = None
    trace: Trace | None = None

    def __init__(self, session: ClientSession, load: Load, stream: ClientStream, head: RequestHead) -> None:
        self.time = now = session.now()
        self.began = time.perf_counter()
        self.context = session.context
        self._load = load
        self._client = stream
        self.arrive(session, head, now)
        reported = session.behind_proxy and reported_identifier(head)
        self.identifier = self.exchange.identifier = reported or new_identifier()
        if head.length != 0:
            self._request_done = False

    # -- the record of its event -------------------------------------------------------------------------------------

    @property
    def listener(self) -> str:
        """The name of its listener."""
        return self.context.listener

    @property
    def event_headers(self) -> tuple[bytes, ...]:
        """The names of the header fields whose values its event holds."""
        return self.context.event_headers

    @property
    def origin(self) -> str:
        """The name of the origin; empty if none was asked."""
        return self.pool.name if self.tries else ""

    @property
    def server(self) -> str | None:
        """The server of the origin that was asked last."""
        return None if self.balanced is None else self.balanced.text

    @property
    def left_out(self) -> tuple[str, ...]:
        """The certificate headers that the origin was not sent, for they would be too long."""
        return () if self.site is None else self.site.left_out

    # -- judged ------------------------------------------------------------------------------------------------------

    def start(self, exceeded: str = "") -> bool:
        """Judge the request and act on it, if there is room for it; true if the response is still to come.

        :param exceeded: the limit that is in its way, if one is.
        """
        requests = self._load.requests
        if requests.limited and not exceeded:
            client = self._load.client(self.exchange.client)
            exceeded = requests.take(client)
            if not exceeded:
                self._counted = client
        if exceeded:
            self.error = ClientError(503, f"over the limit: {exceeded}")
            refusal = Response(503, ((b"retry-after", self._load.retry_after),), PAGES[503], True)
            self._respond(refusal, grpc.RESOURCE_EXHAUSTED)
            return False
        try:
            waiting = self.judge()
            if waiting is not None:
                waiting.addCallbacks(self._judged_late, self._failed_to_judge)
            elif self.wants:
                self._client.accept_body()
            else:
                self._client.soon(self._judged)
        except BaseException:
            self._count_out()  # nobody else will, and a defect must not eat up the limit
            raise
        return not self.ended

    def look_into_body(self) -> None:
        """Enough of the body is there to judge the request; what is there waits on."""
        waiting = self.judge_body(bytes(self._pending))
        if waiting is None:
            self._judged_with_body()
        else:
            waiting.addCallbacks(self._judged_late, self._failed_to_judge, (True,))

    def _judged_late(self, decision: Decision, with_body: bool = False) -> None:
        try:  # an errback behind this would cost every request a step
            self.take_decision(decision)
            if with_body:
                self._judged_with_body()
            else:
                self._judged()
        except BaseException:
            self._failed_to_judge(Failure())

    def _judged_with_body(self) -> None:
        self._judged()
        # The request may be on its way for long, and its event wait to be written: the body is no longer needed.
        self.exchange.request = self.head

    def _judged(self) -> None:
        if self.ended:
            return
        if self.error is not None:
            assert isinstance(self.error, ClientError)
            self._refuse(self.error)
            return
        outcome = self.outcome()
        if isinstance(outcome, Forward):
            if self.decision.rewrite is not None:
                self.rewrite(self.decision.rewrite)
            if outcome.headers:
                self.rewrite(Rewrite(outcome.headers))
            self._forward()
        elif isinstance(outcome, Respond):
            self._respond(outcome.response)
        else:
            self._close()

    def _failed_to_judge(self, failure: Failure) -> None:
        if self.ended and failure.check(CancelledError):
            return
        _log.failure("a request could not be judged", failure=failure)
        if not self.ended:
            self._refuse(ClientError(503, "the request could not be judged"))

    # -- to the origin -----------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        path_map, head, pool = self.path_map, self.head, self.chosen
        assert path_map is not None and pool is not None
        answer = self.answer_here(path_map, pool)
        if answer is not None:
            self._respond(answer)
            return
        length = head.length
        if length != 0:
            if (len(self._pending) if length is None else length) > path_map.max_body_size:
                self._refuse(ClientError(413, TOO_LARGE))
                return
            if head.expects_continue and self._client.waits:  # no rule has wanted the body
                self._expectation = Expectation(self._client, pool.deadlines, pool.origin.continue_timeout)
            if is_call(head) and (timeout := grpc.timeout_of(head)) is not None:
                self._call = grpc.CallDeadline(pool.deadlines, timeout, self._too_late)
        answers = path_map.pipeline.answers
        if answers is not None and answers.look_at_bodies and not head.upgrade:
            self.rewrite(readable_answers(head))
        self.decided = time.perf_counter()
        self.pool = pool
        if head.upgrade:
            self.alone = pool.origin.protocol == "auto"
        elif path_map.mirror is not None:
            self.mirror(path_map.mirror)
        self.attempt()

    def body_failed(self, error: ClientError) -> None:
        """The rest of the request body cannot be had."""
        if self.ended:
            return
        self.give_up()
        if self.begun:
            self._cut(error)
        else:
            self.let_go()
            self._refuse(error)
        self.unwanted()

    # -- from the origin ---------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """An interim response: all are passed on, but 100 only to who waits for it."""
        if head.status == 100:
            if self._expectation is not None:
                self._expectation.accept()
        else:
            self._client.interim(head.status, head.reason, response_lines(head, self.context.via))
            if self.stream is not None and self._client.full:
                self._interim_waits = True
                self.stream.pause()

    def take_response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The origin has answered."""
        if self._expectation is not None and self._asked_again(head):
            return
        self.answered = time.perf_counter()
        if self._kept is not None:
            self._kept = None
        self.status = head.status
        if head.status == 101:
            self._become_websocket(head)
            return
        if self.head.upgrade and accepts_tunnel(self.head, head.status):
            self._no_websocket("a success that accepts no WebSocket")
            return
        path_map = self.path_map
        assert path_map is not None
        answers = path_map.pipeline.answers
        if answers is not None:
            self.hold(answers, head, body, done)
            return
        lines = self.ruled(head, done)
        if lines is not None:
            self.answer(head, lines, body, done, ())

    def _become_websocket(self, head: ResponseHead) -> None:
        """The origin accepts: from here on it is a relay's, which reports its end."""
        stream, path_map = self.stream, self.path_map
        assert stream is not None and path_map is not None
        fault = answer_fault(head, self.head, extensible=path_map.websocket.inspects == "no")
        if fault:
            self._no_websocket(f"a 101 that accepts no WebSocket: {fault}")
            return
        self.stream = None
        counted, self._counted = self._counted, ""
        relay = Relay(self, path_map, self._load, counted, reserved_bits(head))
        head.options |= {ACCEPT}
        self._end()
        rules, via = path_map.responses, self.context.via
        lines = response_lines(head, via) if rules is None else ruled_lines(rules, head, self.exchange, via)
        relay.begin(self._client, stream, lines + added_lines(self.decision.headers))

    def _no_websocket(self, reason: str) -> None:
        """The origin's answer is none that the client may see."""
        self.give_up()
        self.responded_to = False
        self.no_response(OriginError(502, "invalid", reason, sent=True))

    def _asked_again(self, head: ResponseHead) -> bool:
        """Whether the origin knows no expectations, so that it is asked without (RFC 9110, section 10.1.1)."""
        expectation = self._expectation
        assert expectation is not None
        if head.status == 417 and expectation.lasts:
            expectation.accept()
            self.responded_to = False
            self.give_up()
            self.attempt()
            return True
        expectation.over()
        return False

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of the response."""
        if self._drops:
            self._drop(len(body), done)
            return
        if self._held is not None:
            self.held_body(self._held, body, done, trailers)
            return
        self.sent += len(body)
        if done:
            self.stream = None
            if trailers:
                self.grpc_status = grpc.reported_status(trailers)
            self._end()
            if trailers:
                assert self._answer is not None
                trailers = passing(trailers, self._answer.options) if takes_trailers(self.head) else ()
            self._client.send_body(body, True, trailers)
            return
        self._client.send_body(body, False)
        if self.stream is not None and self._client.full:
            self.stream.pause()

    def client_drained(self) -> None:
        """The client has taken what was sent."""
        if self._held is not None and self._held.judging:
            return  # it is paused for that, and goes on once it is judged
        if self.stream is not None and (self.responded_to or self._interim_waits):
            self._interim_waits = False
            self.stream.resume()

    def no_response(self, error: OriginError) -> None:
        """No server has answered: 502, 503 or 504."""
        if not self.ended:
            self.error = error
            self._respond(Response(error.status, (), PAGES[error.status], True), grpc.status_of_failure(error))

    def response_broken(self, error: OriginError) -> None:
        """The response has begun and cannot be completed."""
        if self._held is not None:  # of which the client has been sent nothing
            self.let_go()
            self.no_response(error)
        elif not self.ended:
            self._cut(error)
        elif not self._drops:  # only by a defect in the middle of it
            self._client.reset(error.reason)

    def client_lost(self, reason: str) -> None:
        """The client is gone: nobody waits for the origin any more."""
        if self.ended:
            return
        self.error = ClientError(499, reason)
        if not self.begun:
            self.status = 499
        self._held = None
        self.give_up()
        self._end()
        self.unwanted()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """The exchange is over: report it."""
        if not self.ended:
            self.ended = time.perf_counter()
            for each in (self._expectation, self._call, self._copy):
                if each is not None:
                    each.over()
            if self._counted:
                self._count_out()
            self.context.events.record(self)
            if self.decision.after and self.status != 101:  # else its relay tells, at its end
                tell(self.decision.after, self.status, self.sent, self._origin_answered)

    @property
    def _origin_answered(self) -> int:
        """The status of the origin; that of its failure if it was asked and has not answered, or not to the end."""
        error = self.error
        return error.status if self.tries and isinstance(error, OriginError) else self.origin_status

    def _count_out(self) -> None:
        counted, self._counted = self._counted, ""
        if counted:
            self._load.requests.give_back(counted)
