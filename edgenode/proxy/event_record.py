"""What happened in one exchange, kept while it happens and told afterwards as its event."""

from __future__ import annotations

import time

from edgenode.model.errors import ClientError, OriginError
from edgenode.model.interfaces import EVENT_HEADERS, Record
from edgenode.proxy.judging import Judgement
from edgenode.proxy.origin.balancing import Balanced


class Account:
    """The account of one exchange.

    :ivar listener: the name of the listener it came in on.
    :ivar judgement: what became of the request.
    :ivar headers: the names, in lower case, of the header fields whose values its event tells.
    :ivar error: whose fault it was, if it failed.
    :ivar identifier: the request's identifier.
    :ivar status: the status sent to the client; 444 closed by us, 499 by the client, 0 nothing was answered.
    :ivar server: the server of the origin that was asked last.
    :ivar tries: how many were asked.
    :ivar reused: whether that was on a kept connection.
    :ivar origin_status: the status it answered.
    :ivar received: bytes of the request body.
    :ivar sent: bytes of the response body.
    :ivar time: when it began, seconds since the epoch.
    :ivar began: the same on ``time.perf_counter``; likewise ``decided``, ``answered`` (by the origin), ``ended``.
    """

    error: ClientError | OriginError | None = None
    status = 0
    server: Balanced | None = None
    tries = 0
    reused = False
    origin_status = 0
    received = 0
    sent = 0
    decided = answered = ended = 0.0

    def __init__(
        self,
        listener: str,
        judgement: Judgement,
        began: float,
        identifier: bytes = b"",
        headers: tuple[bytes, ...] = EVENT_HEADERS,
    ) -> None:
        self.listener = listener
        self.judgement = judgement
        self.began = began
        self.identifier = identifier
        self.headers = headers
        self.time = time.time()

    def finished(self) -> Record:
        """The same as the event writer wants it."""
        return _Finished(self)


class _Finished:
    """An account as a :class:`~edgenode.model.interfaces.Record`."""

    standing = None

    def __init__(self, account: Account) -> None:
        self.listener, self.event_headers, self.identifier = account.listener, account.headers, account.identifier
        self.exchange, self.decision = account.judgement.exchange, account.judgement.decision
        self.status, self.error, self.tries, self.reused = account.status, account.error, account.tries, account.reused
        self.origin_status, self.received, self.sent = account.origin_status, account.received, account.sent
        self.time, self.began, self.decided = account.time, account.began, account.decided
        self.answered, self.ended = account.answered, account.ended
        path_map = account.judgement.path_map
        self.origin = "" if path_map is None else path_map.pool.name
        self.server = None if account.server is None else str(account.server)
