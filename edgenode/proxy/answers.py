"""The answers that clients get: the header fields of a decision, response rules, and what is answered from here in the
origin's place.

Law: nobody but the node says where an answer ends. One that cannot be completed is cut, never ended as though it were
whole.
"""

from __future__ import annotations

import time

from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Exchange, Headers, Response
from edgenode.policy.responses import OF_THE_BODY, Responses
from edgenode.proxy import grpc
from edgenode.proxy.forwarding import ForwardedRequest
from edgenode.proxy.header_names import ONE_HOP
from edgenode.proxy.headers import header_lines, http_date, response_lines
from edgenode.proxy.judging import PAGES, refuse
from edgenode.proxy.streams import ResponseHead
from edgenode.proxy.trailers import passing, takes_trailers
from edgenode.proxy.websocket.handshake import accepts_tunnel
from edgenode.rules.views.grpc import has_grpc, is_call

MOST_DROPPED = 64 * 1024
"""Bytes of an origin's body that are dropped before its connection is rather given up."""

_LONGEST_DROPPED = 10.0
"""Seconds for which they are."""


def added_lines(headers: Headers) -> bytes:
    """The header fields of a decision as field lines, each with its line end.

    :param headers: names in lower case; those of one hop, or of the framing, are left out.
    """
    return header_lines([(name.title(), value) for name, value in headers if name not in ONE_HOP])


def ruled_lines(rules: Responses, head: ResponseHead, exchange: Exchange, pseudonym: bytes) -> bytes:
    """The field lines of an origin's answer under response rules: see
    :func:`edgenode.proxy.headers.response_lines`."""
    changes = rules.changes(head.status)
    lines = response_lines(head, pseudonym, changes.unwanted) + changes.for_origins(exchange)
    return lines + rules.hsts(exchange, head.fields)


def own_lines(rules: Responses, response: Response, exchange: Exchange) -> bytes:
    """Those that the rules add to an answer of the node's own."""
    lines = rules.changes(response.status).for_own(response.headers, exchange)
    return lines + rules.hsts(exchange, dict(response.headers))


def replaced_lines(rules: Responses, head: ResponseHead, page: Response, exchange: Exchange, pseudonym: bytes) -> bytes:
    """Those of an origin's error that a page takes the place of: without what was about its body."""
    changes = rules.changes(head.status)
    lines = response_lines(head, pseudonym, changes.unwanted | OF_THE_BODY) + added_lines(page.headers)
    return lines + changes.for_own(page.headers, exchange) + rules.hsts(exchange, head.fields)


def paged(
    rules: Responses, response: Response, error: ClientError | OriginError | None, exchange: Exchange
) -> Response:
    """An answer of the node's own that says no more than its status, or the page in its place.

    :param error: what it is about: clients are answered 400 for their certificates, and pages tell 495 and 496.
    """
    status = response.status
    page = rules.page((status,) if error is None else (error.status, status), exchange)
    if page is None:
        return response
    kept = [field for field in response.headers if field[0] not in OF_THE_BODY]
    return Response(status, (*kept, *page.headers), page.body)


class AnsweredRequest(ForwardedRequest):
    """A request, and the answers that do not come from its origin; :class:`edgenode.proxy.exchange.ProxyExchange` is
    the whole.

    :ivar status: the status sent to the client, or what it stands for in gRPC; 444 closed by us, 499 by the client, 0
        nothing was answered.
    :ivar grpc_status: the status of gRPC that the client was sent; ``None`` for none.
    :ivar sent: bytes of the response body.
    """

    status = 0
    grpc_status: int | None = None
    sent = 0
    _answer: ResponseHead | None = None  # whose body is still to come
    _drops = 0  # bytes that are dropped yet of the body of an error that a page has replaced

    def _end(self) -> None:
        """The exchange is over: a subclass reports it."""

    @property
    def begun(self) -> bool:
        """Whether the client has been sent a part of the answer."""
        return self.responded_to

    def let_go(self) -> None:
        """Nobody wants the answer any more."""

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

    def ruled(self, head: ResponseHead, done: bool) -> bytes | None:
        """The field lines of an answer for the client; ``None`` if a page was sent in its place."""
        path_map, via = self.path_map, self.context.via
        assert path_map is not None
        rules = path_map.responses
        if rules is None:
            return response_lines(head, via)
        if head.status >= 400 and rules.replaces and not is_call(self.head):
            page = rules.page((head.status,), self.exchange)
            if page is not None:
                self._replace(head, page, rules, done)
                return None
        return ruled_lines(rules, head, self.exchange, via)

    def answer(self, head: ResponseHead, lines: bytes, body: bytes, done: bool, trailers: Headers) -> None:
        """Send an answer, with the beginning of its body, to the client."""
        self.sent = len(body)
        if done:
            if trailers:
                self.grpc_status = grpc.reported_status(trailers)
                trailers = passing(trailers, head.options) if takes_trailers(self.head) else ()
            elif b"grpc-status" in head.fields:
                self.grpc_status = grpc.reported_status(head.headers)
            self._end()
        if self.decision.headers:
            lines += added_lines(self.decision.headers)
        self._client.start_response(head.status, head.reason, lines, head.length, body, done and not trailers)
        if trailers:
            self._client.send_body(b"", True, trailers)
        if not done:
            self._answer = head
            if self.stream is not None and self._client.full:
                self.stream.pause()

    def _replace(self, head: ResponseHead, page: Response, rules: Responses, done: bool) -> None:
        """Send a page in the place of an origin's error; what comes of its body is dropped, so that its connection can
        be kept, unless that is much."""
        self.sent = 0 if self.head.method == b"HEAD" else len(page.body)
        lines = replaced_lines(rules, head, page, self.exchange, self.context.via)
        if self.decision.headers:
            lines += added_lines(self.decision.headers)
        self._end()
        if not done and self._request_done and (head.length is None or head.length <= MOST_DROPPED):
            self._drops = MOST_DROPPED
        elif not done:
            self.give_up()
        self._client.start_response(head.status, head.reason, lines, len(page.body), page.body, True)

    def _drop(self, size: int, done: bool) -> None:
        """Bytes came of the body of an error that a page has replaced."""
        self._drops -= size
        if done:
            self.stream = None
        elif self._drops <= 0 or time.perf_counter() > self.ended + _LONGEST_DROPPED:
            self.give_up()

    def _too_late(self) -> None:
        """The deadline of the call has passed, and the client has not cancelled it."""
        self.give_up()
        error = OriginError(504, "timeout", "no answer within the deadline of the call (grpc-timeout)")
        if self.begun:
            self._cut(error, grpc.DEADLINE_EXCEEDED)
        else:
            self.let_go()
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
