"""The record of an event that is no proxied request's: of a connection, or of a request judged elsewhere."""

from __future__ import annotations

import time
from typing import Self

from edgenode.model.decision import NOTHING, Decision
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Exchange
from edgenode.model.interfaces import EVENT_HEADERS, Record, Standing
from edgenode.model.presentation import Presentation
from edgenode.model.relayed import StreamState
from edgenode.model.trace import Trace
from edgenode.model.websocket import WebSocketState


class EventRecord:
    """What an event says of an exchange, while it is gathered: :class:`edgenode.model.interfaces.Record`.

    :param listener: the name of the listener; empty if it was none of ours.
    :param exchange: what was judged.
    :param at: when it began, seconds since the epoch; now if not given.
    :param began: the same on ``time.perf_counter``.
    """

    standing: Standing | None = None
    event_headers: tuple[bytes, ...] = EVENT_HEADERS
    decision: Decision = NOTHING
    error: ClientError | OriginError | None = None
    identifier = b""
    origin = origin_protocol = ""
    server: str | None = None
    left_out: tuple[str, ...] = ()
    status = tries = origin_status = received = sent = 0
    grpc_status: int | None = None
    reused = False
    presented: Presentation | None = None
    websocket: WebSocketState | None = None
    relayed: StreamState | None = None
    trace: Trace | None = None
    decided = answered = queued = 0.0

    def __init__(self, listener: str, exchange: Exchange, at: float = 0.0, began: float = 0.0) -> None:
        self.listener = listener
        self.exchange = exchange
        self.time = at or time.time()
        self.began = self.ended = began or time.perf_counter()

    @classmethod
    def following(cls, record: Record) -> Self:
        """The record of what has come of an exchange that has its own: it begins as that has."""
        following = cls(record.listener, record.exchange, record.time, record.began)
        for name in _FOLLOWING:
            setattr(following, name, getattr(record, name))
        return following


_FOLLOWING = (
    "standing", "event_headers", "identifier", "origin", "server", "left_out", "status", "tries", "origin_status",
    "reused", "presented", "decided", "answered", "queued", "origin_protocol", "trace",
)  # fmt: skip
