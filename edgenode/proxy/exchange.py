"""One exchange: routed, judged, forwarded to its origin, answered, and reported as one event.

It knows no protocol, only the streams of :mod:`edgenode.proxy.streams`. Law: no byte of a request reaches an origin
before the pipeline has let it pass. What goes wrong at the origin is told to the event, not to the client. A response
that cannot be completed is cut, never ended as though it were whole.
"""

from __future__ import annotations

import time

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.decision import Forward, Respond
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Headers, Response
from edgenode.policy.responses import Responses
from edgenode.proxy import grpc
from edgenode.proxy.answers import added_lines, origin_lines, own_lines, paged, replaced_lines, tell
from edgenode.proxy.expectation import Expectation
from edgenode.proxy.forwarding import ForwardedRequest
from edgenode.proxy.headers import (
    answered_here,
    header_lines,
    http_date,
    new_identifier,
    reported_identifier,
    response_lines,
)
from edgenode.proxy.judging import PAGES, TOO_LARGE, refuse
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.limits import Load
from edgenode.proxy.origin.attempts import SAFE
from edgenode.proxy.streams import ClientStream, RequestHead, ResponseHead
from edgenode.proxy.trailers import passing, takes_trailers
from edgenode.proxy.websocket.handshake import ACCEPT, accepts_tunnel, answer_fault, reserved_bits
from edgenode.proxy.websocket.relay import Relay
from edgenode.rules.views.grpc import has_grpc, is_call

_MOST_DROPPED = 64 * 1024
"""Bytes of an origin's body that are dropped before its connection is rather given up."""

_log = Logger()


class ProxyExchange(ForwardedRequest):
    """One request of a client and the response to it; once it is over, the record of its event.

    :param session: the client.
    :param load: where it counts.
    :param stream: the client's stream, for the response.
    :param head: the request.
    :ivar listener: the name of its listener.
    :ivar event_headers: the names of the header fields whose values its event holds.
    :ivar status: the status sent to the client, or what it stands for in gRPC; 444 closed by us, 499 by the client, 0
        nothing was answered.
    :ivar grpc_status: the status of gRPC that the client was sent; ``None`` for none.
    :ivar sent: bytes of the response body.
    :ivar time: when it began, seconds since the epoch.
    :ivar began: the same on ``time.perf_counter``; likewise ``decided``, ``answered`` (by the origin), ``ended``;
        0 if that did not happen.
    """

    status = 0
    grpc_status: int | None = None
    sent = 0
    decided = 0.0
    answered = 0.0
    ended = 0.0
    _counted = ""
    _answer: ResponseHead | None = None
    _call: grpc.CallDeadline | None = None
    _interim_waits = False
    _drops = 0  # bytes that are dropped yet of the body of an error that a page has replaced
    websocket = None

    def __init__(self, session: ClientSession, load: Load, stream: ClientStream, head: RequestHead) -> None:
        self.time = now = session.now()
        self.began = time.perf_counter()
        self.context = context = session.context
        self.listener = context.listener
        self.event_headers = context.event_headers
        self._load = load
        self._client = stream
        self.arrive(session, head, now)
        reported = reported_identifier(head) if session.behind_proxy else None
        self.identifier = self.exchange.identifier = reported or new_identifier()
        if head.length != 0:
            self._request_done = False

    # -- the record of its event -------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """The name of the origin; empty if none was asked."""
        return self.path_map.pool.name if self.path_map is not None and self.tries else ""

    @property
    def server(self) -> str | None:
        """The server of the origin that was asked last."""
        return None if self.balanced is None else str(self.balanced)

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
                waiting.addCallback(lambda _: self._judged()).addErrback(self._failed_to_judge)
            elif self.wants:
                self._client.accept_body()
            else:
                self._client.soon(self._judged)
        except BaseException:
            self._count_out()  # nobody else will, and a defect must not eat up the limit
            raise
        return not self._over

    def look_into_body(self) -> None:
        """Enough of the body is there to judge the request; what is there waits on."""
        waiting = self.judge_body(bytes(self._pending))
        if waiting is None:
            self._judged_with_body()
        else:
            waiting.addCallback(lambda _: self._judged_with_body()).addErrback(self._failed_to_judge)

    def _judged_with_body(self) -> None:
        self._judged()
        # The request may be on its way for long, and its event wait to be written: the body is no longer needed.
        self.exchange.request = self.head

    def _judged(self) -> None:
        if self._over:
            return
        if self.error is not None:
            assert isinstance(self.error, ClientError)
            self._refuse(self.error)
            return
        outcome = self.outcome()
        if isinstance(outcome, Forward):
            if outcome.headers:
                self._extra = outcome.headers
            self._forward()
        elif isinstance(outcome, Respond):
            self._respond(outcome.response)
        else:
            self._close()

    def _failed_to_judge(self, failure: Failure) -> None:
        if self._over and failure.check(CancelledError):
            return
        _log.failure("a request could not be judged", failure=failure)
        if not self._over:
            self._refuse(ClientError(503, "the request could not be judged"))

    def _refuse(self, error: ClientError) -> None:
        """Answer for a client's fault; with a wrong certificate or a wrong host the connection is of no further use."""
        self.error = error
        answer = refuse(error, self.session.handshake_group.group.mtls_refusal)
        if answer is None:
            self._close()
            return
        status = error.status
        if status in (495, 496) or (status == 421 and (self.head.version < (2, 0) or self.session.admit() is not None)):
            self._client.last_request()  # on HTTP/2, a connection that one host may not share serves its own
        self._respond(answer.response, grpc.status_of(error.status))

    def _respond(self, response: Response, grpc_status: int = 0) -> None:
        """Answer from here; complete in itself.

        :param grpc_status: for a client of gRPC; 0 for that of the response's status.
        """
        self.responded_to = True
        if accepts_tunnel(self.head, response.status):
            response = Response(403, response.headers, response.body)
        self.status = response.status
        rules, call = self._rules, is_call(self.head)
        if call:
            response, self.grpc_status = grpc.trailers_only(response, grpc_status)
        elif rules is not None and response.plain:
            response = paged(rules, response, self.error, self.exchange)
        body = response.body
        length = None if call else len(body)
        self.sent = 0 if self.head.method == b"HEAD" else len(body)
        fields = [(name.title(), value) for name, value in response.headers]
        if body and all(name != b"content-type" for name, _ in response.headers):
            fields.insert(0, (b"Content-Type", b"text/plain; charset=utf-8"))
        self._end()
        lines = header_lines(fields) + http_date()
        if rules is not None:
            lines += own_lines(rules, response, self.exchange)
        if self.decision.headers:
            lines += added_lines(self.decision.headers)
        self._client.start_response(response.status, b"", lines, length, body, True)

    @property
    def _rules(self) -> Responses | None:
        """What is done to an answer of our own."""
        if self.path_map is not None:
            return self.path_map.responses
        return (self.session.handshake_group if self.site is None else self.site.group).responses

    def _close(self) -> None:
        self.status = 444
        self._end()
        self._client.close_silently()

    # -- to the origin -----------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        path_map, head = self.path_map, self.head
        assert path_map is not None
        if b"max-forwards" in head.fields:
            answer = answered_here(head, path_map.allow)
            if answer is not None:
                self._respond(answer)
                return
        length = head.length
        if length != 0:
            if (len(self._pending) if length is None else length) > path_map.max_body_size:
                self._refuse(ClientError(413, TOO_LARGE))
                return
            if head.expects_continue and self._client.waits:  # no rule has wanted the body
                pool = path_map.pool
                self._expectation = Expectation(self._client, pool.deadlines, pool.origin.continue_timeout)
            if is_call(head) and (timeout := grpc.timeout_of(head)) is not None:
                self._call = grpc.CallDeadline(path_map.pool.deadlines, timeout, self._too_late)
        self.decided = time.perf_counter()
        self.pool = pool = path_map.pool
        self.alone = head.upgrade and pool.origin.protocol == "auto"
        self.repeatable = length == 0 and head.method in SAFE
        self.attempt()

    def body_failed(self, error: ClientError) -> None:
        """The rest of the request body cannot be had."""
        if self._over:
            return
        self.give_up()
        if self.responded_to:
            self._cut(error)
        else:
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
        self._kept = None
        self.status = head.status
        if head.status == 101:
            self._become_websocket(head)
            return
        if accepts_tunnel(self.head, head.status):
            self._no_websocket("a success that accepts no WebSocket")
            return
        path_map = self.path_map
        assert path_map is not None
        rules = path_map.responses
        if rules is not None and head.status >= 400 and rules.replaces and not is_call(self.head):
            page = rules.page((head.status,), self.exchange)
            if page is not None:
                self._replace(head, page, rules, done)
                return
        self.sent = len(body)
        if done:
            if b"grpc-status" in head.fields:
                self.grpc_status = grpc.reported_status(head.headers)
            self._end()
        lines = self._crossing_lines(head, rules)
        self._client.start_response(head.status, head.reason, lines, head.length, body, done)
        if not done:
            self._answer = head
            if self.stream is not None and self._client.full:
                self.stream.pause()

    def _crossing_lines(self, head: ResponseHead, rules: Responses | None) -> bytes:
        via = self.context.via
        lines = response_lines(head, via) if rules is None else origin_lines(rules, head, self.exchange, via)
        return lines + added_lines(self.decision.headers) if self.decision.headers else lines

    def _replace(self, head: ResponseHead, page: Response, rules: Responses, done: bool) -> None:
        """Send a page in the place of an origin's error; what comes of its body is dropped, so that its connection can
        be kept, unless that is much."""
        self.sent = 0 if self.head.method == b"HEAD" else len(page.body)
        lines = replaced_lines(rules, head, page, self.exchange, self.context.via)
        if self.decision.headers:
            lines += added_lines(self.decision.headers)
        self._end()
        if not done and self._request_done and (head.length is None or head.length <= _MOST_DROPPED):
            self._drops = _MOST_DROPPED
        elif not done:
            self.give_up()
        self._client.start_response(head.status, head.reason, lines, len(page.body), page.body, True)

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
        relay.begin(self._client, stream, self._crossing_lines(head, path_map.responses))

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
            self._drops -= len(body)
            if done:
                self.stream = None
            elif self._drops <= 0:
                self.give_up()
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
        if self.stream is not None and (self.responded_to or self._interim_waits):
            self._interim_waits = False
            self.stream.resume()

    def no_response(self, error: OriginError) -> None:
        """No server has answered: 502, 503 or 504."""
        if not self._over:
            self.error = error
            self._respond(Response(error.status, (), PAGES[error.status], True), grpc.status_of_failure(error))

    def response_broken(self, error: OriginError) -> None:
        """The response has begun and cannot be completed."""
        if not self._over:
            self._cut(error)
        elif not self._drops:  # only by a defect in the middle of it
            self._client.reset(error.reason)

    def client_lost(self, reason: str) -> None:
        """The client is gone: nobody waits for the origin any more."""
        if self._over:
            return
        self.error = ClientError(499, reason)
        if not self.responded_to:
            self.status = 499
        self.give_up()
        self._end()
        self.unwanted()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _too_late(self) -> None:
        """The deadline of the call has passed, and the client has not cancelled it."""
        self.give_up()
        error = OriginError(504, "timeout", "no answer within the deadline of the call (grpc-timeout)")
        if self.responded_to:
            self._cut(error, grpc.DEADLINE_EXCEEDED)
        else:
            self.error = error
            self._respond(Response(504, (), PAGES[504], True), grpc.DEADLINE_EXCEEDED)

    def _cut(self, error: ClientError | OriginError, grpc_status: int = 0) -> None:
        """End a response that has begun so that nobody takes it for whole; a call of gRPC with its status."""
        self.error = error
        answer = self._answer
        if answer is not None and is_call(self.head) and has_grpc(answer.fields):
            self.grpc_status = grpc_status or grpc.status_of_failure(error)
            self._end()
            self._client.send_body(b"", True, grpc.trailers(self.grpc_status, grpc.phrase(error.status)))
            return
        self._end()
        self._client.reset(error.reason)

    def _end(self) -> None:
        """The exchange is over: report it."""
        if not self._over:
            self._over = True
            if self._expectation is not None:
                self._expectation.over()
            if self._call is not None:
                self._call.over()
            if self._counted:
                self._count_out()
            self.ended = time.perf_counter()
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
