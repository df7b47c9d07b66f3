"""Where a request stands in a trace: the identifiers of W3C Trace Context, and what its spans need besides."""

from __future__ import annotations

from attrs import frozen


@frozen
class FailedTry:
    """A server of an origin that was asked before another.

    :ivar span_id: the span that its request has named as parent.
    :ivar server: the server.
    :ivar error: why another was asked: a condition of ``next-upstream``, or a kind of
        :class:`~edgenode.model.errors.OriginError`.
    :ivar ended: when it had failed, seconds of :func:`time.perf_counter`.
    """

    span_id: bytes
    server: str
    error: str
    ended: float


class Trace:
    """Where a request stands in a trace (https://www.w3.org/TR/trace-context/); identifiers are lower-case hexadecimal.

    :ivar trace_id: of the whole trace, 32 digits.
    :ivar span_id: of the request as it came to the node, 16 digits.
    :ivar flags: as they are sent on, 2 digits.
    :ivar sampled: whether its spans are made.
    :ivar parent_id: the span of the client that it continues; empty if the trace begins here.
    :ivar state: the value of ``tracestate``, as it is sent on; empty for none.
    :ivar link: trace and span that the client has named, where they are not continued; ``None`` for none.
    :ivar origin_span_id: the span of the request to the origin, if it is sampled; of the last try.
    :ivar failed: the tries before that.
    """

    # Those of a trace that is not sampled, and begins here: of every request.
    parent_id = state = origin_span_id = b""
    link: tuple[bytes, bytes] | None = None
    failed: tuple[FailedTry, ...] = ()

    def __init__(self, trace_id: bytes, span_id: bytes, flags: bytes, sampled: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.sampled = sampled
