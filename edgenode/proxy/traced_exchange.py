"""An exchange that stands in a trace: it continues or begins one, and names its span to the origin.

Law: the origin gets one ``traceparent``, and it is ours, whatever a client or an action has set. Where ``[traces]`` is
not in use nothing of this is on the way of a request.
"""

from __future__ import annotations

import re
import time

from edgenode.model.trace import FailedTry, Trace
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.limits import Load
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.streams import ClientStream, RequestHead
from edgenode.proxy.trace_context import TRACEPARENT, TRACESTATE, Tracing, new_span_id, trace_lines

_OURS = re.compile(rb"\r\n(?i:trace(?:parent|state)):[^\r]*")
_PARENT_BEGINS, _STATE_BEGINS = b"\r\ntraceparent:", b"\r\ntracestate:"


class TracedExchange(ProxyExchange):
    """An exchange that stands in a trace.

    :ivar trace: where.
    """

    trace: Trace

    def __init__(
        self, session: ClientSession, load: Load, stream: ClientStream, head: RequestHead, tracing: Tracing
    ) -> None:
        super().__init__(session, load, stream, head)
        self.trace = tracing.begin(head.fields, session.behind_proxy)

    def _origin_lines(self) -> bytes:
        lines, fields = super()._origin_lines(), self.head.fields
        if self._extra:
            lines = _OURS.sub(b"", b"\r\n" + lines)[2:]
        else:
            if TRACEPARENT in fields:
                lines = _without(lines, _PARENT_BEGINS, fields[TRACEPARENT])
            if TRACESTATE in fields:
                lines = _without(lines, _STATE_BEGINS, fields[TRACESTATE])
        return lines + trace_lines(self.trace)

    def _another(self, server: Balanced, condition: str, *, sent: bool) -> bool:
        trace = self.trace
        if not trace.sampled:
            return super()._another(server, condition, sent=sent)
        failed, span_id = trace.failed, trace.origin_span_id
        error = condition if self.origin_error is None or condition.startswith("http-") else self.origin_error.kind
        trace.failed = (*failed, FailedTry(span_id, server.text, error, time.perf_counter()))
        trace.origin_span_id = new_span_id()
        if super()._another(server, condition, sent=sent):
            return True
        trace.failed, trace.origin_span_id = failed, span_id
        return False


def _without(lines: bytes, begins: bytes, values: tuple[bytes, ...]) -> bytes:
    """Field lines without those of ours.

    :param begins: how such a line begins, and the end of the one before it.
    :param values: of the fields of that name.
    """
    at = lines.find(begins)
    if at < 0 or len(values) > 1:  # it is the first, or in other letters
        return _OURS.sub(b"", b"\r\n" + lines)[2:]
    return lines[:at] + lines[lines.index(b"\r\n", at + 2) :]
