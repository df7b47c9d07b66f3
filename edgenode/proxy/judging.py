"""What becomes of a request: server group, client certificate, path map, pipeline; and who is told of that.

Law: a refusal for the client's certificate comes before any rule, and no rule can undo it. What is judged depends on
the request, the connection, the configuration and the clock, and on no request before it. Who is told of an answer
cannot hold it up.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from edgenode.model.decision import FORWARD, NOTHING, After, Close, Decision, Forward, Outcome, Respond, Rewrite
from edgenode.model.errors import ClientError, OriginError, without_frames
from edgenode.model.exchange import Body, Exchange, Response
from edgenode.proxy.header_names import ONE_HOP, request_header_fault
from edgenode.proxy.headers import Forwarded
from edgenode.proxy.listener.client_session import ClientSession, Site, Standing
from edgenode.proxy.routing import UNSERVED, ServedPathMap
from edgenode.proxy.streams import RequestHead
from edgenode.proxy.websocket.handshake import check_request

_log = Logger()

TOO_LARGE = "the request body is too large"

_NO_TAGS: frozenset[str] = frozenset()


class JudgedRequest:
    """A request, and what became of it.

    :ivar head: the request as it was read.
    :ivar session: the client.
    :ivar exchange: what is judged, as far as it was routed.
    :ivar forwarded: where the request comes from, if a trusted proxy reports it.
    :ivar site: the server group that serves it; ``None`` if none would.
    :ivar path_map: its path map; ``None`` if none matched.
    :ivar standing: what it shares with other requests of the connection; ``None`` if it was not routed.
    :ivar error: why it failed, and whose fault that was: if the client's, the pipeline may not have been asked.
    :ivar wants: how many bytes of its body have to be there before the pipeline is asked; 0 if it need not wait.
    :ivar decision: what the pipeline said; the automatic tags if it was not asked.
    """

    head: RequestHead
    session: ClientSession
    exchange: Exchange
    forwarded: Forwarded | None = None
    site: Site | None = None
    path_map: ServedPathMap | None = None
    standing: Standing | None = None
    error: ClientError | OriginError | None = None
    wants: int = 0
    decision: Decision = NOTHING
    _waiting: Deferred[Decision] | None = None

    def arrive(self, session: ClientSession, head: RequestHead, now: float, client: str | None = None) -> None:
        """Begin with a request that has come.

        :param now: seconds since the epoch.
        :param client: the client's address if somebody knows better than the connection and the trusted proxies.
        """
        self.session = session
        self.head = head
        peer = session.connection.peer.host
        if session.behind_proxy:
            self.forwarded = Forwarded.reported(head, peer, session.context.trusted_proxies)
            peer = self.forwarded.client
            head.scheme = self.forwarded.scheme
        self.exchange = Exchange(
            session.connection, head, peer if client is None else client, _NO_TAGS, "", "", "", None, now
        )

    def judge(self) -> Deferred[Decision] | None:
        """Judge the request, or find that it wants its body first (:attr:`wants`).

        :returns: a Deferred if a stage has to wait; what it fires with is for :meth:`take_decision`.
        """
        try:
            decision = self._judge()
        except ClientError as error:
            # Without its traceback: that leads back here, and only the garbage collector would free the connection.
            self.error = without_frames(error)
            self._tag()
            return None
        except BaseException:  # a field of an extension, which a path map looks at
            _log.failure("a request could not be judged")
            self.error = ClientError(503, "the request could not be judged")
            self._tag()
            return None
        if not isinstance(decision, Decision):  # to ask for Deferred, an abstract class, takes ten times as long
            return self._wait(decision)
        self.decision = decision
        return None

    def _judge(self) -> Decision | Deferred[Decision]:
        exchange, head, session = self.exchange, self.head, self.session
        self.site = site = session.site(head.authority, exchange.time)
        group = site.group
        exchange.connection = site.connection
        exchange.server_group = group.name
        exchange.security_policy = group.security_policy
        exchange.geography = group.locate(exchange.client) if session.behind_proxy else site.geography
        if site.refusal is not None:
            raise site.refusal
        self.path_map = path_map = group.path_map(exchange)
        exchange.path_map = path_map.name
        method, methods = head.method, path_map.methods
        if method in UNSERVED if methods is None else method not in methods:
            raise ClientError(405, f"the method is not served: {method.decode()}", ((b"allow", path_map.allow),))
        if head.upgrade:
            check_request(head, path_map.websocket, self.forwarded)
        own = not session.behind_proxy and exchange.client == session.connection.peer.host
        self.standing = standing = site.standing(path_map, exchange, own)
        exchange.standing = standing.tags
        length = head.length
        if length != 0 and path_map.pipeline.inspects:
            if length is not None and length > path_map.max_body_size:
                raise ClientError(413, TOO_LARGE)
            self.wants = path_map.pipeline.inspects
            self._tag()
            return self.decision
        return path_map.pipeline.judge(exchange)

    def judge_body(self, data: bytes) -> Deferred[Decision] | None:
        """Judge a request that has waited for its body.

        :param data: more of it than was wanted, or all there is.
        :returns: as :meth:`judge`.
        """
        exchange, path_map, wanted, size = self.exchange, self.path_map, self.wants, self.head.length
        assert path_map is not None
        truncated = len(data) > wanted
        if size is None:
            # How much more there is nobody knows, and nothing small may hide there: so it is as much as there may be.
            size = path_map.max_body_size if truncated else len(data)
        self.wants = 0
        exchange.request = self.head.with_body(Body(data[:wanted], size, truncated))
        exchange.tags = _NO_TAGS
        decision = path_map.pipeline.judge(exchange)
        if isinstance(decision, Deferred):
            return self._wait(decision)
        self.decision = decision
        return None

    def unwanted(self) -> None:
        """Nobody waits for the decision any more: what it is waited for is cancelled."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def outcome(self) -> Outcome:
        """What the decision makes of the exchange: 503 if its action fails, whatever the failure policy."""
        try:
            outcome = outcome_of(self.decision, self.exchange)
            if self.decision.rewrite is not None and isinstance(outcome, Forward):
                assert self.path_map is not None
                check_rewrite(self.decision.rewrite, self.path_map)
            return outcome
        except ClientError as error:
            self.error = error
            return Respond(Response(error.status, (), PAGES[error.status], True))

    def _wait(self, decision: Deferred[Decision]) -> Deferred[Decision]:
        self._waiting = decision
        return decision

    def take_decision(self, decision: Decision) -> None:
        """Take what the Deferred has fired with."""
        self._waiting = None
        self.decision = decision

    def _tag(self) -> None:
        """The automatic tags, for the event of a request that the pipeline has not seen."""
        group = self.session.handshake_group if self.site is None else self.site.group
        if group.path_maps:
            tagged = group.path_maps[0].pipeline.tagging.decide(self.exchange)
            self.decision = tagged if isinstance(tagged, Decision) else NOTHING


def outcome_of(decision: Decision, exchange: Exchange) -> Outcome:
    """What a decision makes of an exchange.

    :raises ClientError: 503, if its action fails.
    """
    try:
        outcome = decision.outcome(exchange)
        if type(outcome) in _OUTCOMES:
            if outcome is not FORWARD:
                _check_framing(outcome)
            return outcome
        raise TypeError(f"an action made {type(outcome).__name__} of an exchange")
    except BaseException:  # what passes the reactor, be it ``SystemExit``, has it drop the node's poller
        name = "" if decision.action is None else decision.action.name
        _log.failure("the action {name} failed", name=name)
        raise ClientError(503, "an action failed") from None


def check_rewrite(rewrite: Rewrite, path_map: ServedPathMap | None) -> None:
    """Whether what a stage would change of a request is its to change.

    :param path_map: the path map, whose origins it may choose; ``None`` if there are none to be chosen.
    :raises ClientError: 503, if it is not.
    """
    faults = [name for name in (*(name for name, _ in rewrite.headers), *rewrite.removed) if request_header_fault(name)]
    if rewrite.origin and (path_map is None or rewrite.origin not in path_map.pools):
        faults.append(rewrite.origin.encode())
    if faults:
        _log.error("a stage changes of a request what it may not: {faults}", faults=faults)
        raise ClientError(503, "a stage changes of a request what it may not")


def tell(after: Iterable[After], status: int, sent: int, origin_status: int) -> None:
    """Tell everybody what a request was answered: see :meth:`edgenode.model.decision.After.responded`."""
    for each in after:
        try:
            each.responded(status, sent, origin_status)
        except BaseException:  # the answer is the client's, whatever becomes of who counts it
            _log.failure("what a request was answered could not be counted")


_OUTCOMES = frozenset((Forward, Respond, Close))


def _check_framing(outcome: Outcome) -> None:
    """Whether an action, which may be an extension's, leaves to us what says where a message ends: who reads another
    end takes a part of it for the next message.

    :raises ValueError: if it does not.
    """
    if isinstance(outcome, Close):
        return
    headers = outcome.response.headers if isinstance(outcome, Respond) else outcome.headers
    for name, _ in headers:
        if name.lower() in ONE_HOP:
            raise ValueError(f"an action sets a header of one hop or of the framing: {name!r}")


def refuse(error: ClientError, style: str) -> Respond | None:
    """The response to a client's fault; ``None`` to close without one.

    :param style: how the server group refuses clients for their certificates: its ``mtls-refusal``.
    """
    if error.status not in (495, 496):
        page = PAGES.get(error.status, b"%d\n" % error.status)
        return Respond(Response(error.status, error.headers, page, True))
    if style == "444":
        return None
    status = 400 if style in ("handshake", "495", "496") else int(style)
    page = PAGES[error.status] if status == 400 else PAGES.get(status, b"%d Refused\n" % status)
    return Respond(Response(status, (), page, True))


PAGES = {
    400: b"400 Bad Request\n",
    403: b"403 Forbidden\n",
    404: b"404 Not Found\n",
    405: b"405 Method Not Allowed\n",
    408: b"408 Request Timeout\n",
    413: b"413 Content Too Large\n",
    414: b"414 URI Too Long\n",
    417: b"417 Expectation Failed\n",
    421: b"421 Misdirected Request\n",
    431: b"431 Request Header Fields Too Large\n",
    495: b"400 The SSL certificate error\n",
    496: b"400 No required SSL certificate was sent\n",
    501: b"501 Not Implemented\n",
    502: b"502 Bad Gateway\n",
    503: b"503 Service Unavailable\n",
    504: b"504 Gateway Timeout\n",
}
"""What the client reads; never more than the status, for reasons are the event's. 495 and 496 are in nginx's words."""
