"""What is counted of each exchange: integers, and nothing that is made for one.

Law: nothing of an exchange is kept but its identifier, once for each bucket; whatever clients, origins and filters send
or say, there is no more to remember than a bound; and nothing is raised.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from twisted.logger import Logger
from zope.interface import implementer

from edgenode.model.decision import Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.interfaces import IEventSink, Record
from edgenode.model.presentation import Presentation
from edgenode.observe.metrics.handshake_reasons import reason_of
from edgenode.proxy.listener.handshake_counts import OTHER, HandshakeCounts

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of the buckets of durations, seconds; behind them is one without an end."""

MOST = 10_000
"""Requests that are told apart by their labels; further ones are ``other`` in every respect."""

MOST_FILTERS = 2_000
"""Filters, likewise, with their actions and modes."""

MOST_SERVERS = 1_000
"""Servers of origins, likewise."""

_MOST_FOUND = 256
"""Filters, and servers, that are found at once for requests with the same labels."""

_BATCH = 64
"""Records that wait at the most. Each by itself, in a cache that the request has emptied, takes four times as long."""

_OVER_THE_LIMIT = "over the limit: "

_log = Logger()


class RequestCounts:
    """What is counted of requests with the same labels.

    :ivar buckets: how many have taken how long.
    :ivar seconds: how long all together.
    :ivar received: bytes of their bodies.
    :ivar sent: bytes of the bodies of the answers.
    :ivar exemplars: for each bucket the last request: its identifier, its duration, and when it began.
    :ivar filters: where some filters are counted with this action and mode, by ``Reason.counted_as``.
    :ivar servers: where requests to some servers are counted, by the server.
    """

    __slots__ = ("buckets", "exemplars", "filters", "received", "seconds", "sent", "servers")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.exemplars: list[tuple[bytes, float, float] | None] = [None] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.received = self.sent = 0
        self.filters: dict[str, list[int]] = {}
        self.servers: dict[str | None, OriginCounts] = {}

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


class OriginCounts:
    """What is counted of requests that were sent to one server of an origin.

    :ivar statuses: how many were answered so, by the first digit; 0: none.
    :ivar buckets: after how long the answer began, from the decision on.
    :ivar seconds: how long that took all together.
    :ivar exemplars: as those of requests.
    :ivar retries: servers that were asked before this one, in vain.
    :ivar errors: what failed, by its kind.
    :ivar presented: of connections that were opened for a request, whether they were sent our client certificate, and
        what became of that.
    """

    __slots__ = ("buckets", "errors", "exemplars", "presented", "retries", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses = [0] * 10
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.exemplars: list[tuple[bytes, float, float] | None] = [None] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.retries = 0
        self.errors: dict[str, int] = {}
        self.presented: dict[tuple[str, str], int] = {}

    def count(self, presented: Presentation) -> None:
        """Count what became of our client certificate."""
        sent = "no" if presented.subject is None else "yes"
        outcome = (sent, _OUTCOMES[presented.accepted] if presented.asked else "not asked")
        self.presented[outcome] = self.presented.get(outcome, 0) + 1


_OUTCOMES = {True: "accepted", False: "refused", None: "not known"}


RequestKey = tuple[str, str, str, int | str, str, str]
"""Listener, server group, path map, first digit of the status, action and mode."""

FilterKey = tuple[str, str, str, str, bool | str]
"""Stage, filter, the action that it proposes, the mode, and whether that action was taken."""

_OTHERS: RequestKey = (OTHER, OTHER, OTHER, OTHER, OTHER, OTHER)


@implementer(IEventSink)
class Meter:
    """Counts exchanges.

    :param handshakes: where handshakes are counted.
    :ivar requests: every request by its labels.
    :ivar filters: how often each filter has matched; a list of one number.
    :ivar limits: how often a limit of a listener was in the way: by the listener's name and the limit's.
    :ivar client_errors: what was wrong with a request: by listener, server group, and the status that says it.
    :ivar origins: what was sent to each server of each origin.
    :ivar messages: messages of WebSockets: by listener and path map, those received, and those sent.
    :ivar failed: records that could not be counted, for a defect.
    """

    def __init__(self, handshakes: HandshakeCounts | None = None) -> None:
        self.handshakes = HandshakeCounts() if handshakes is None else handshakes
        self.requests: dict[RequestKey, RequestCounts] = {}
        self.filters: dict[FilterKey, list[int]] = {}
        self.limits: dict[tuple[str, str], int] = {}
        self.client_errors: dict[tuple[str, str, int], int] = {}
        self.origins: dict[tuple[str, str | None], OriginCounts] = {}
        self.messages: dict[tuple[str, str], tuple[int, int]] = {}
        self.failed = 0
        self._waiting: list[Record] = []

    def expect(self, filters: Iterable[FilterKey]) -> None:
        """Know of the filters of another configuration before they match, so that they are told with 0: as many as
        leave room for others. A path map may have another origin now."""
        for counts in self.requests.values():
            counts.servers.clear()
        for each in filters:
            if len(self.filters) < MOST_FILTERS // 2:
                self.filters.setdefault(each, [0])

    def record(self, record: Record) -> None:
        """Take the record of an exchange, which is counted with others."""
        self._waiting.append(record)
        if len(self._waiting) >= _BATCH:
            self.settle()

    def settle(self) -> None:
        """Count what waits: before somebody looks, and before what the records hold would be kept for them alone."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self.count(each)

    def count(self, record: Record) -> None:
        """Count what has become of an exchange."""
        try:  # all of it in one function: each call would take a tenth of its time
            exchange, decision, error = record.exchange, record.decision, record.error
            if error is not None and self._count_failure(record, error):
                return
            action, mode = decision.action, decision.mode
            taken = "" if action is None else action.name
            key = (record.listener, exchange.server_group, exchange.path_map, record.status // 100, taken, mode)
            counts = self.requests.get(key) or self._new_requests(key)
            if record.websocket is None:
                identifier, began, at = record.identifier, record.began, record.time
                took = record.ended - began
                bucket = bisect_left(BOUNDS, took)
                counts.buckets[bucket] += 1
                counts.exemplars[bucket] = (identifier, took, at)
                counts.seconds += took
                counts.received += record.received
                counts.sent += record.sent
                tries = record.tries
                if tries:
                    server = record.server
                    of_origin = counts.servers.get(server) or self._server(counts, record.origin, server)
                    of_origin.statuses[record.origin_status // 100] += 1
                    if answered := record.answered:
                        took = answered - record.decided
                        bucket = bisect_left(BOUNDS, took)
                        of_origin.buckets[bucket] += 1
                        of_origin.exemplars[bucket] = (identifier, took, at)
                        of_origin.seconds += took
                    if tries > 1:
                        of_origin.retries += tries - 1
                    if not record.reused and (presented := record.presented) is not None:
                        of_origin.count(presented)
            else:
                self._count_messages(record)
            for each in decision.reasons:
                (counts.filters.get(each.counted_as) or self._filter(counts, each, mode, taken))[0] += 1
        except Exception:
            if not self.failed:
                _log.failure("an exchange could not be counted; the next one that cannot is not logged")
            self.failed += 1

    def _new_requests(self, key: RequestKey) -> RequestCounts:
        if len(self.requests) >= MOST:
            key = _OTHERS
        return self.requests.setdefault(key, RequestCounts())

    def _filter(self, counts: RequestCounts, reason: Reason, mode: str, taken: str) -> list[int]:
        """Where a filter is counted, found at once the next time."""
        key: FilterKey = (reason.stage, reason.filter, reason.action, mode, reason.action == taken != "")
        if key not in self.filters and len(self.filters) >= MOST_FILTERS:
            key = (OTHER, OTHER, OTHER, OTHER, OTHER)
        count = self.filters.setdefault(key, [0])
        if counts is not self.requests.get(_OTHERS):  # there actions and modes are mixed
            if len(counts.filters) >= _MOST_FOUND:
                counts.filters.clear()
            counts.filters[reason.counted_as] = count
        return count

    def _server(self, counts: RequestCounts, origin: str, server: str | None) -> OriginCounts:
        """Where requests to a server are counted, likewise."""
        of_origin = self._new_origin((origin, server))
        if counts is not self.requests.get(_OTHERS):
            if len(counts.servers) >= _MOST_FOUND:
                counts.servers.clear()
            counts.servers[server] = of_origin
        return of_origin

    def _new_origin(self, key: tuple[str, str | None]) -> OriginCounts:
        if key not in self.origins and len(self.origins) >= MOST_SERVERS:
            key = (OTHER, OTHER)
        return self.origins.setdefault(key, OriginCounts())

    # -- what is rare ------------------------------------------------------------------------------------------------

    def _count_failure(self, record: Record, error: ClientError | OriginError) -> bool:
        """Count what failed.

        :returns: whether that was the handshake, and there is nothing else to count.
        """
        exchange = record.exchange
        if isinstance(error, OriginError):
            errors = self._new_origin((record.origin, record.server)).errors
            errors[error.kind] = errors.get(error.kind, 0) + 1
            return False
        if exchange.request is None and record.relayed is None and not exchange.connection.tls_version:
            reason, client = reason_of(error, exchange.connection), exchange.connection.client
            self.handshakes.failed(record.listener, exchange.server_group, reason, client)
            return True
        at = (record.listener, exchange.server_group, error.status)
        if at in self.client_errors or len(self.client_errors) < MOST:
            self.client_errors[at] = self.client_errors.get(at, 0) + 1
        if error.reason.startswith(_OVER_THE_LIMIT):
            limit = (record.listener, error.reason.removeprefix(_OVER_THE_LIMIT))
            if limit in self.limits or len(self.limits) < MOST:
                self.limits[limit] = self.limits.get(limit, 0) + 1
        return False

    def _count_messages(self, record: Record) -> None:
        """The end of a WebSocket; the handshake before it was the request."""
        state = record.websocket
        if state is None or state.code is None:
            return
        key = (record.listener, record.exchange.path_map)
        if key not in self.messages and len(self.messages) >= MOST:
            key = (OTHER, OTHER)
        received, sent = self.messages.get(key, (0, 0))
        self.messages[key] = (received + state.received, sent + state.sent)
