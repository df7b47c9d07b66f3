"""An exchange that stands in a trace: it continues or begins one, and names its span to the origin.

Law: the origin gets one ``traceparent``, and it is ours, whatever a client or an action has set. Where ``[traces]`` is
not in use nothing of this is on the way of a request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from edgenode.model.trace import FailedTry, Trace
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.limits import Load
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.streams import ClientStream, RequestHead
from edgenode.proxy.trace_context import TRACEPARENT, TRACESTATE, Tracing, new_span_id

_OURS = re.compile(rb"\r\n(?i:trace(?:parent|state)):[^\r]*")


class TracedExchange(ProxyExchange):
    """An exchange that stands in a trace.

    :param tracing: how traces begin.
    :ivar trace: where.
    """

    trace: Trace

    def __init__(
        self, tracing: Tracing, session: ClientSession, load: Load, stream: ClientStream, head: RequestHead
    ) -> None:
        super().__init__(session, load, stream, head)
        self.trace = tracing.begin(head.fields, session.behind_proxy)

    def _origin_lines(self) -> bytes:
        return traced_lines(super()._origin_lines(), self.trace, self.head.fields, bool(self._extra or self._removed))

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


def traced_lines(lines: bytes, trace: Trace, fields: Mapping[bytes, tuple[bytes, ...]], changed: bool = False) -> bytes:
    """The field lines for an origin, with those of a trace.

    :param lines: each with its line end.
    :param fields: the header fields of the request.
    :param changed: whether there may be others in the lines.
    """
    span_id = trace.origin_span_id or trace.span_id
    ours = b"traceparent: 00-%b-%b-%b\r\n" % (trace.trace_id, span_id, trace.flags)
    given, state = fields.get(TRACEPARENT), fields.get(TRACESTATE)
    if not changed and (state is None or state == (trace.state,)):
        if given is None:
            return lines + ours
        if len(given) == 1:
            replaced = lines.replace(b"\r\ntraceparent: %b\r\n" % given, b"\r\n" + ours, 1)
            if replaced is not lines:  # else it is written in other letters, or is the first line
                return replaced
    lines = _OURS.sub(b"", b"\r\n" + lines)[2:]
    return b"%b%btracestate: %b\r\n" % (lines, ours, trace.state) if trace.state else lines + ours
