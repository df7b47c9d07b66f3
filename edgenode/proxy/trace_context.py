"""W3C Trace Context (https://www.w3.org/TR/trace-context/): a trace is continued, or begun.

Law: what is not exactly a ``traceparent`` is none, and the trace begins here; a ``tracestate`` goes with the
``traceparent`` that it came with, or not at all. Identifiers cannot be guessed, and no two processes have the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from edgenode.model.trace import Trace

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"

PARENTS = ("trusted-proxies", "respect", "ignore")
"""Whose traces are continued: those of the trusted proxies, of everybody, of nobody."""

_IDS = rb"([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})"
_VERSION_0 = re.compile(rb"00-" + _IDS)
# Of a later one it is the beginning; ff is none (section 3.2.2).
_LATER_VERSION = re.compile(rb"(?!00|ff)[0-9a-f]{2}-%b(?:-.*)?" % _IDS, re.DOTALL)
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_WRITTEN_MEMBER = (  # level 2, section 3.3.1.3
    rb"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MEMBER = re.compile(_WRITTEN_MEMBER)
_FEW_MEMBERS = re.compile(rb"%b(?:,%b){0,31}" % (_WRITTEN_MEMBER, _WRITTEN_MEMBER))
_MOST_MEMBERS = 32
_LONGEST_STATE = 512
_LONG_MEMBER = 128
_SAMPLED, _KNOWN = 1, 3  # and that the identifier is random: level 2, section 3.2.2.5
_FLAGS = {b"00": (b"00", False), b"01": (b"01", True)}

_drawn: list[bytes] = []
os.register_at_fork(after_in_child=_drawn.clear)


def new_ids() -> bytes:
    """48 random digits, for the identifiers of a trace and of a span."""
    try:
        return _drawn.pop()
    except IndexError:
        _draw()
        return new_ids()


def _draw() -> None:
    """Ask the system for many at a time; none has an identifier of zeros."""
    digits = os.urandom(24 * 128).hex().encode("ascii")
    if _NO_SPAN not in digits:  # else it has no luck, and is asked again
        _drawn.extend([digits[at : at + 48] for at in range(0, len(digits), 48)])


def new_span_id() -> bytes:
    """16 random digits."""
    return new_ids()[32:]


def read_traceparent(value: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The identifiers of trace and parent, and the flags, of a ``traceparent``; ``None`` if it is none."""
    match = _VERSION_0.fullmatch(value) or _LATER_VERSION.fullmatch(value)
    if match is None:
        return None
    trace_id, parent_id, flags = match.groups()
    return None if trace_id == _NO_TRACE or parent_id == _NO_SPAN else (trace_id, parent_id, flags)


def read_tracestate(values: Sequence[bytes]) -> bytes:
    """What is sent on of ``tracestate``: as it came, but for what is longer than the specification has everybody take
    (section 3.3.1.5); empty if it is none.

    :param values: of the fields of that name, in order.
    """
    if len(values) == 1 and len(values[0]) <= _LONGEST_STATE and _FEW_MEMBERS.fullmatch(values[0]):
        return values[0]  # as nearly always
    value = b",".join(values)
    members = [member for each in value.split(b",") if (member := each.strip(b" \t"))]
    if len(members) > _MOST_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return b""
    if len(value) <= _LONGEST_STATE:
        return value.strip(b" \t")
    while sum(map(len, members)) + len(members) - 1 > _LONGEST_STATE:
        longest = [at for at, member in enumerate(members) if len(member) > _LONG_MEMBER]
        del members[longest[-1] if longest else -1]
    return b",".join(members)


def threshold(share: float) -> bytes:
    """What the second half of a new trace's identifier is below, if it is sampled: 16 digits, or more than all."""
    below = round(share * 2**64)
    return b"%016x" % below if below < 1 << 64 else b"g"


@frozen
class Tracing:
    """How traces begin.

    :ivar threshold: see :func:`threshold`.
    :ivar parent: whose traces are continued, of :data:`PARENTS`. Of others the identifiers become a link of our own
        trace, for who chooses an identifier could have all his requests in one trace, or sampled.
    :ivar ids: draws identifiers, as :func:`new_ids`.
    """

    threshold: bytes
    parent: str = PARENTS[0]
    ids: Callable[[], bytes] = new_ids

    def begin(self, fields: Mapping[bytes, tuple[bytes, ...]], trusted: bool) -> Trace:
        """Where a request stands.

        :param fields: its header fields.
        :param trusted: whether a trusted proxy has sent it.
        """
        ids = self.ids()
        trace_id, span_id = ids[:32], ids[32:]
        link = None
        values = fields.get(TRACEPARENT)
        if values is not None and len(values) == 1 and (given := read_traceparent(values[0])) is not None:
            if self.parent == "respect" or (trusted and self.parent != "ignore"):
                trace_id, parent_id, written = given
                flags, sampled = _FLAGS.get(written) or _flags(written)
                trace = Trace(trace_id, span_id, flags, sampled)
                trace.parent_id = parent_id
                if TRACESTATE in fields:
                    trace.state = read_tracestate(fields[TRACESTATE])
                if sampled:
                    trace.origin_span_id = new_span_id()
                return trace
            link = given[:2]
        if trace_id[16:] >= self.threshold:
            return Trace(trace_id, span_id, b"00", False)
        trace = Trace(trace_id, span_id, b"01", True)
        trace.link, trace.origin_span_id = link, new_span_id()
        return trace


def _flags(written: bytes) -> tuple[bytes, bool]:
    """The flags that are sent on, and whether they say that the trace is sampled."""
    flags = int(written, 16)
    return b"%02x" % (flags & _KNOWN), bool(flags & _SAMPLED)
