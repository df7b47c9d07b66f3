"""One exchange: routed, judged, forwarded to its origin, answered, and reported as one event.

Law: no byte of a request reaches an origin before the pipeline has let it pass, and none is sent a second time if that
could have a second effect. What goes wrong at the origin is told to the event, not to the client. A response that
cannot be completed is cut, never ended as though it were whole.
"""

from __future__ import annotations

import time

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.decision import Forward, Respond
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Exchange, Headers, Response
from edgenode.net.transport import HIGH_WATER
from edgenode.proxy.crossing import answered_here, origin_request, response_lines
from edgenode.proxy.event_record import Account
from edgenode.proxy.headers import http_date, new_identifier, passing
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.http1.requestheads import RequestHead
from edgenode.proxy.http1.responseheads import ResponseHead
from edgenode.proxy.http1.server import ServerConnection
from edgenode.proxy.http1.writing import LAST_CHUNK, chunk
from edgenode.proxy.judging import PAGES, TOO_LARGE, Judgement, judge_body, judge_request, refuse
from edgenode.proxy.listener.client_session import Visitor
from edgenode.proxy.listener.context import Surroundings
from edgenode.proxy.listener.limits import Load
from edgenode.proxy.origin.balancing import CONDITIONS, Attempts, Balanced
from edgenode.proxy.origin.pool import Opening, OriginPool

_log = Logger()


class Forwarding:
    """One exchange on a client's connection.

    :param load: where it counts.
    :param client: the client's connection, for the answer.
    :param visitor: who is at its other end.
    :param head: the request.
    """

    __slots__ = (
        "_account", "_answered", "_client", "_counted", "_extra", "_failed_attempts", "_head", "_lent", "_load",
        "_opening", "_over", "_passage", "_pending", "_request_done", "_surroundings", "_visitor", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        surroundings: Surroundings,
        load: Load,
        client: ServerConnection,
        visitor: Visitor,
        head: RequestHead,
    ) -> None:
        self._surroundings = surroundings
        self._load = load
        self._counted = ""
        self._client = client
        self._visitor = visitor
        self._head = head
        visitor.follow(surroundings.router)
        self._passage = visitor.passage(head, surroundings.trusted_proxies, surroundings.via)
        self._extra: Headers = ()
        self._lent: OriginConnection | None = None
        self._opening: Opening | None = None
        self._failed_attempts: Attempts | None = None
        self._pending: list[bytes] = []
        self._waiting = 0
        self._request_done = head.body is None
        self._answered = False
        self._over = False

    # -- judged ------------------------------------------------------------------------------------------------------

    def start(self, exceeded: str = "") -> bool:
        """Judge the request and act on it, if there is room for it; true if the answer is still to come.

        :param exceeded: the limit that is in its way, if one is.
        """
        requests = self._load.requests
        if requests.limited and not exceeded:
            client = self._load.client(self._passage.client)
            exceeded = requests.take(client)
            if not exceeded:
                self._counted = client
        if exceeded:
            self._turn_away(exceeded)
            return False
        try:
            return self._start()
        except BaseException:
            if self._counted:
                self._count_out()  # nobody else will, and a defect must not eat up the limit
            raise

    def _turn_away(self, exceeded: str) -> None:
        """Answer that it is one too many; it is not judged, and nothing of it is remembered."""
        waiting = Judgement(Exchange(self._visitor.connection, self._head.request, self._passage.client))
        began, identifier = time.perf_counter(), self._passage.identifier or new_identifier()
        self._account = self._opened(waiting, began, identifier)
        self._account.error = ClientError(503, f"over the limit: {exceeded}")
        self._answer(Response(503, ((b"retry-after", self._load.retry_after),), PAGES[503]))

    def _start(self) -> bool:
        surroundings, passage, began = self._surroundings, self._passage, time.perf_counter()
        judgement = judge_request(surroundings.router, self._visitor, self._head, passage.client)
        identifier = passage.identifier or new_identifier()
        if isinstance(judgement, Deferred):
            waiting = Judgement(Exchange(self._visitor.connection, self._head.request, passage.client))
            self._account = self._opened(waiting, began, identifier)
            judgement.addCallback(self._judged).addErrback(self._failed_to_judge)
        else:
            self._account = self._opened(judgement, began, identifier)
            if judgement.wants:
                self._client.accept_body()
            else:
                self._judged(judgement)
        return not self._over

    def _opened(self, judgement: Judgement, began: float, identifier: bytes) -> Account:
        surroundings = self._surroundings
        return Account(surroundings.listener, judgement, began, identifier, surroundings.event_headers)

    def _look_into_body(self, judgement: Judgement) -> None:
        """Enough of the body is there to judge the request; what is there waits on."""
        data = b"".join(self._pending)
        self._pending = [data]
        judged = judge_body(judgement, data)
        if isinstance(judged, Deferred):
            judged.addCallback(self._judged_with_body).addErrback(self._failed_to_judge)
        else:
            self._judged_with_body(judged)

    def _judged_with_body(self, judgement: Judgement) -> None:
        self._judged(judgement)
        # The request may be on its way for long, and its event wait to be written: the body is no longer needed.
        judgement.exchange = evolve(judgement.exchange, request=self._head.request)

    def _judged(self, judgement: Judgement) -> None:
        if self._over:
            return
        account = self._account
        account.judgement = judgement
        if judgement.refusal is not None:
            self._refuse(judgement.refusal)
            return
        outcome = judgement.outcome()
        if isinstance(outcome, Forward):
            self._extra = outcome.headers
            self._forward()
        elif isinstance(outcome, Respond):
            self._answer(outcome.response)
        else:
            self._close()

    def _failed_to_judge(self, failure: Failure) -> None:
        _log.failure("a request could not be judged", failure=failure)
        if not self._over:
            self._refuse(ClientError(503, "the request could not be judged"))

    def _refuse(self, error: ClientError) -> None:
        """Answer for a client's fault; with a wrong certificate or a wrong host the connection is of no further use."""
        self._account.error = error
        answer = refuse(error, self._visitor.shaken.group.mtls_refusal)
        if answer is None:
            self._close()
        else:
            self._answer(answer.response, close=error.status in (421, 495, 496))

    def _answer(self, response: Response, *, close: bool = False) -> None:
        self._answered = True
        self._account.status = response.status
        self._account.sent = len(response.body)
        self._end()
        self._client.respond(response, close=close)

    def _close(self) -> None:
        self._account.status = 444
        self._end()
        self._client.close_silently()

    # -- to the origin -----------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        path_map, head = self._account.judgement.path_map, self._head
        answer = answered_here(head.request, self._passage)
        if answer is not None:
            self._answer(answer)
            return
        assert path_map is not None
        length = head.request.length
        if (self._waiting if length is None else length) > path_map.max_body_size:
            self._refuse(ClientError(413, TOO_LARGE))
            return
        self._account.decided = time.perf_counter()
        if head.block.expects_continue:
            self._client.accept_body()
        self._borrow(path_map.pool)

    def _borrow(self, pool: OriginPool, *, fresh: bool = False) -> None:
        tried = () if self._failed_attempts is None else self._failed_attempts.tried
        lent = pool.borrow(self, tried, fresh=fresh)
        if lent is not None:
            self._account.tries += 1
        if isinstance(lent, OriginConnection):
            self._account.reused = True
            self._begin(lent)
        elif lent is not None:
            self._account.reused = False
            self._opening = lent

    def connected(self, connection: OriginConnection) -> None:
        """The pool has opened a connection."""
        self._opening = None
        self._begin(connection)

    def unconnected(self, server: Balanced | None, error: OriginError) -> None:
        """The pool could open none."""
        self._opening = None
        if server is not None:
            self._account.server = server
        self._fail(error)

    def _begin(self, connection: OriginConnection) -> None:
        """Send the request, with what has arrived of its body."""
        self._lent = connection
        self._account.server = connection.server
        account = self._account
        data = origin_request(account.judgement, connection.server, self._passage, self._extra, account.identifier)
        if self._head.body is not None:
            data += self._framed(b"".join(self._pending))
            self._pending, self._waiting = [], 0
        has_body = self._head.body is not None
        connection.begin(self._head.request.method, data, self._request_done, self, has_body=has_body)
        self._client.resume_body()

    def _framed(self, body: bytes) -> bytes:
        """Bytes of the request body in the framing that the origin was told."""
        if self._head.request.length is not None:
            return body
        return chunk(body) + LAST_CHUNK if self._request_done else chunk(body)

    def body(self, data: bytes, done: bool) -> None:
        """Bytes of the request body came from the client."""
        self._account.received += len(data)
        self._request_done = done
        if self._over:
            return
        judgement = self._account.judgement
        path_map = judgement.path_map
        if (
            path_map is not None
            and self._account.received > path_map.max_body_size
            and (
                # If its beginning is to be judged that comes first, however much of it has come at once.
                judgement.wants >= path_map.max_body_size or self._lent is not None or self._opening is not None
            )
        ):
            self.body_refused(ClientError(413, TOO_LARGE))
        elif self._lent is not None:
            self._lent.write(self._framed(data), done)
            if self._lent.transport.full:
                self._client.pause_body()
        else:
            self._pending.append(data)
            self._waiting += len(data)
            if judgement.wants:
                if done or self._waiting > judgement.wants:
                    self._look_into_body(judgement)
            elif self._waiting > HIGH_WATER:
                self._client.pause_body()

    def body_refused(self, error: ClientError) -> None:
        """The rest of the request body cannot be had."""
        if self._over:
            return
        self._let_go()
        if self._answered:
            self._cut(error)
        else:
            self._refuse(error)

    def origin_drained(self) -> None:
        """The origin has taken what was sent."""
        self._client.resume_body()

    # -- from the origin ---------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """An interim response: all but 100, which answers an expectation that was ours to answer, are passed on."""
        if head.status != 100:
            self._client.interim(head.status, head.reason, response_lines(head, self._surroundings.via)[0])

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The origin has answered."""
        self._account.origin_status = head.status
        pool, server = self._pool, self._account.server
        assert server is not None
        if done:
            self._lent = None  # it is back in its pool, and may be another's already
        if head.status >= 400 and f"http-{head.status}" in pool.origin.next_upstream:
            pool.balancer.failed(server, pool.deadlines.clock())
            if self._try_again(server, f"http-{head.status}", sent=True):
                return
        else:
            pool.balancer.succeeded(server)
        self._account.error = None
        self._account.answered = time.perf_counter()
        self._answered = True
        self._account.status = head.status
        self._account.sent = len(body)
        if done:
            self._end()
        lines, dated = response_lines(head, self._surroundings.via)
        if not dated:
            lines += http_date()
        self._client.begin_response(head.status, head.reason, lines, head.length, body, done)
        if not done and self._client.transport.full and self._lent is not None:
            self._lent.pause()

    def continued(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of the response."""
        self._account.sent += len(body)
        if done:
            self._lent = None
            self._end()
            self._client.continue_response(body, True, passing(trailers) if self._passage.trailers else ())
            return
        self._client.continue_response(body, False)
        if self._client.transport.full and self._lent is not None:
            self._lent.pause()

    def client_drained(self) -> None:
        """The client has taken what was sent."""
        if self._lent is not None and self._answered:
            self._lent.resume()

    def failed(self, error: OriginError) -> None:
        """The origin's connection failed."""
        self._lent = None
        if self._over:
            return
        if self._answered:
            self._cut(error)
            return
        if self._account.reused and error.kind == "reset" and self._attempts.repeatable:
            # The origin closed a kept connection just as it was used: that is no failure of the server, and no try.
            self._account.tries -= 1
            self._borrow(self._pool, fresh=True)
            return
        self._fail(error)

    def client_lost(self, reason: str) -> None:
        """The client is gone: nobody waits for the origin any more."""
        if self._over:
            return
        self._account.error = ClientError(499, reason)
        if not self._answered:
            self._account.status = 499
        self._let_go()
        self._end()

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _pool(self) -> OriginPool:
        path_map = self._account.judgement.path_map
        assert path_map is not None
        return path_map.pool

    def _fail(self, error: OriginError) -> None:
        """An attempt failed before any answer: the next server, or 502, 503, 504."""
        pool, server = self._pool, self._account.server
        if server is not None and error.kind in CONDITIONS:
            pool.balancer.failed(server, pool.deadlines.clock())
            self._account.error = error
            if self._try_again(server, CONDITIONS[error.kind], sent=error.sent):
                return
        if error.kind != "unavailable" or not isinstance(self._account.error, OriginError):
            self._account.error = error
        status = self._account.error.status if self._account.error is not None else error.status
        self._answer(Response(status, (), PAGES[status]))

    def _try_again(self, server: Balanced, condition: str, *, sent: bool) -> bool:
        """Go to another server if the request may, and there is one."""
        if not self._attempts.another(server, condition, sent):
            return False
        self._let_go()
        self._borrow(self._pool)
        return True

    @property
    def _attempts(self) -> Attempts:
        """The attempts so far; made when one has failed, for most requests need but one."""
        if self._failed_attempts is None:
            self._failed_attempts = Attempts(self._pool.origin, self._head.request.method, self._head.body is None)
        return self._failed_attempts

    def _let_go(self) -> None:
        """Give up what is under way with the origin."""
        opening, self._opening = self._opening, None
        lent, self._lent = self._lent, None
        if opening is not None:
            opening.cancel()
        if lent is not None:
            lent.abandon()

    def _cut(self, error: ClientError | OriginError) -> None:
        """The response has begun and cannot be completed."""
        self._account.error = error
        self._end()
        self._client.abort(error.reason)

    def _end(self) -> None:
        """The exchange is over: report it."""
        if not self._over:
            self._over = True
            if self._counted:
                self._count_out()
            self._account.ended = time.perf_counter()
            self._surroundings.events.record(self._account.finished())

    def _count_out(self) -> None:
        counted, self._counted = self._counted, ""
        self._load.requests.give_back(counted)
