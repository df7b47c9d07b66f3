"""What becomes of a request: server group, client certificate, path map, pipeline.

Law: a refusal for the client's certificate comes before any rule, and no rule can undo it. A request that repeats its
predecessor on the connection byte for byte is judged as that was, as long as nothing has changed that was looked at:
the second of the verdict on the certificate, the configuration, and stages that say of themselves that they repeat;
where a path map is chosen by the clock nothing is taken for repeated. A judgement on a body is never taken for another:
what repeats a head may bring another body.
"""

from __future__ import annotations

from attrs import define, evolve
from twisted.internet.defer import Deferred

from edgenode.model.decision import NOTHING, Decision, Outcome, Respond
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Body, Exchange, Response
from edgenode.proxy.http1.requestheads import RequestHead
from edgenode.proxy.listener.client_session import Visitor
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.routing import Router, ServedGroup, ServedPathMap
from edgenode.tls.verification import judge

TOO_LARGE = "the request body is too large"

_NO_TAGS: frozenset[str] = frozenset()


@define(eq=False)
class Judgement:
    """What became of a request.

    :ivar exchange: the exchange, as far as it was routed.
    :ivar group: its server group, ``None`` if none would serve it.
    :ivar path_map: its path map, ``None`` if none matched.
    :ivar refusal: why it was not even given to the pipeline.
    :ivar wants: how many bytes of its body have to be there before the pipeline is asked; 0 if it need not wait.
    :ivar decision: what the pipeline said; the automatic tags if it was not asked.
    :ivar told: what an event says of all this, once one has.
    :ivar written: the server that the request was last written for, and its head before and after its identifier.
    """

    exchange: Exchange
    group: ServedGroup | None = None
    path_map: ServedPathMap | None = None
    refusal: ClientError | None = None
    wants: int = 0
    decision: Decision = NOTHING
    told: str = ""
    written: tuple[Balanced, bytes, bytes] | None = None

    def outcome(self) -> Outcome:
        """What the decision makes of the exchange."""
        return self.decision.outcome(self.exchange)


def judge_request(router: Router, visitor: Visitor, head: RequestHead, client: str) -> Judgement | Deferred[Judgement]:
    """Judge a request, or find that it wants its body first.

    :param client: the client's address: the peer's, or what a trusted proxy reports.
    :returns: what became of it; if it ``wants`` its body, only as far as it was routed: see :func:`judge_body`.
    """
    last = visitor.last
    request = head.request
    if (
        last is not None
        and last.exchange.request is request
        and last.group is not None
        and router.route(visitor.shaken, request) is last.group
        and visitor.as_of_now(last.group) is last.exchange.connection
    ):
        return last
    judgement = Judgement(Exchange(visitor.connection, request, client, time=visitor.now()))
    try:
        decision = _judge(judgement, router, visitor, head.body is not None)
    except ClientError as error:
        # Without its traceback: that leads back here, and only the garbage collector would free the connection.
        judgement.refusal = error.with_traceback(None)
        judgement.decision = _automatic(judgement, judgement.group or visitor.shaken)
        return judgement
    if isinstance(decision, Deferred):
        return decision.addCallback(_complete, judgement)
    judgement.decision = decision
    return judgement


def judge_body(judgement: Judgement, data: bytes) -> Judgement | Deferred[Judgement]:
    """Judge a request that has waited for its body.

    :param judgement: of its head.
    :param data: more of it than was wanted, or all there is.
    """
    exchange, path_map, wanted = judgement.exchange, judgement.path_map, judgement.wants
    assert path_map is not None and exchange.request is not None
    truncated, size = len(data) > wanted, exchange.request.length
    if size is None:
        # How much more there is nobody knows, and nothing small may hide there: so it is as much as there may be.
        size = path_map.max_body_size if truncated else len(data)
    body = Body(data[:wanted], size, truncated)
    judgement.wants = 0
    judgement.exchange = exchange = evolve(exchange, request=evolve(exchange.request, body=body))
    decision = path_map.pipeline.decide(exchange)
    if isinstance(decision, Deferred):
        return decision.addCallback(_complete, judgement)
    return _complete(decision, judgement)


def _judge(judgement: Judgement, router: Router, visitor: Visitor, has_body: bool) -> Decision | Deferred[Decision]:
    request, client = judgement.exchange.request, judgement.exchange.client
    assert request is not None
    judgement.group = group = router.route(visitor.shaken, request)
    connection = visitor.as_of_now(group)
    routed = connection, request, client, _NO_TAGS, group.name, group.security_policy
    geography = None if router.locate is None else router.locate(client)
    judgement.exchange = Exchange(*routed, "", geography, judgement.exchange.time)
    refusal = judge(group.group, connection.verification)
    if refusal is not None:
        raise refusal
    judgement.path_map = path_map = group.path_map(judgement.exchange)
    judgement.exchange = exchange = Exchange(*routed, path_map.name, geography, judgement.exchange.time)
    if has_body and path_map.pipeline.inspects:
        if request.length is not None and request.length > path_map.max_body_size:
            raise ClientError(413, TOO_LARGE)
        judgement.wants = path_map.pipeline.inspects
        return _automatic(judgement, group)
    return path_map.pipeline.decide(exchange)


def _complete(decision: Decision, judgement: Judgement) -> Judgement:
    judgement.decision = decision
    return judgement


def _automatic(judgement: Judgement, group: ServedGroup) -> Decision:
    """The automatic tags, for the event of a request that the pipeline never saw."""
    if not group.path_maps:
        return NOTHING
    tagged = group.path_maps[0].pipeline.tagging.decide(judgement.exchange)
    return tagged if isinstance(tagged, Decision) else NOTHING


def refuse(error: ClientError, style: str) -> Respond | None:
    """The answer to a client's fault; ``None`` to close without one.

    :param style: how the server group refuses clients for their certificates: its ``mtls-refusal``.
    """
    if error.status not in (495, 496):
        return Respond(Response(error.status, (), PAGES.get(error.status, b"%d\n" % error.status)))
    if style == "444":
        return None
    status = 400 if style in ("handshake", "495", "496") else int(style)
    page = PAGES[error.status] if status == 400 else PAGES.get(status, b"%d Refused\n" % status)
    return Respond(Response(status, (), page))


PAGES = {
    400: b"400 Bad Request\n",
    403: b"403 Forbidden\n",
    404: b"404 Not Found\n",
    408: b"408 Request Timeout\n",
    413: b"413 Content Too Large\n",
    421: b"421 Misdirected Request\n",
    495: b"400 The SSL certificate error\n",
    496: b"400 No required SSL certificate was sent\n",
    502: b"502 Bad Gateway\n",
    503: b"503 Service Unavailable\n",
    504: b"504 Gateway Timeout\n",
}
"""What the client reads; never more than the status, for reasons are the event's. 495 and 496 are in nginx's words."""
