"""One line of JSON from the record of an exchange, by the schema in :mod:`edgenode.observe.event_schema`.

Law: what a line has, and in which order, is the schema's. Whatever a client has sent, a line is printable ASCII, so no
event can be forged within another. What is the same for many exchanges of a connection is written once.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Request
from edgenode.model.interfaces import Record
from edgenode.model.presentation import Presentation
from edgenode.model.trace import Trace
from edgenode.observe.event_fields import ALL_ROWS, ROWS, Row
from edgenode.observe.event_schema import Event
from edgenode.observe.event_values import (
    PLAIN,
    escaped,
    header_labels,
    instant,
    octets,
    reasons,
    stages,
    tags,
    text,
    texts,
    version,
)

_FIXED = ("peer", "local", "tls", "certificate", "server_group", "security_policy", "path_map")
"""The fields that the exchanges of a :class:`~edgenode.model.interfaces.Standing` share; they stand together."""


def event_line(record: Record) -> str:
    """The event of an exchange: a JSON object with the fields of :class:`~edgenode.observe.event_schema.Event`.

    :returns: a line without its end, printable ASCII.
    """
    exchange, decision, standing = record.exchange, record.decision, record.standing
    prefix = "" if standing is None else standing.event_prefix
    if not prefix:
        prefix = _fixed(record)
        if standing is not None:
            standing.event_prefix = prefix
    request, action, error = exchange.request, decision.action, record.error
    began, ended = record.began, record.ended
    decided = record.decided or ended
    answered = record.answered or ended
    line = _EVENT[:]
    line[1::2] = (
        instant(record.time),
        octets(record.identifier),
        text(record.listener),
        text(exchange.client),
        prefix,
        "null" if request is None else _request(request, record.event_headers),
        tags(decision.tags),
        reasons(decision.reasons),
        "null" if action is None else text(action.name),
        text(decision.mode),
        stages(decision.timings),
        _ENDING
        % (
            record.status,
            "null" if error is None else _error(error),
            _origin(record) if record.tries else "null",
            record.received,
            record.sent,
            (decided - began) * 1e6,
            (answered - decided) * 1e6,
            (ended - answered) * 1e6,
            (ended - began) * 1e6,
        ),
    )
    if record.grpc_status is not None:
        line[-1] = f'{line[-1][:-1]},"grpc_status":{record.grpc_status}}}'
    if record.websocket is not None:
        line[-1] = f'{line[-1][:-1]},"websocket":{{{_of_websocket(record.websocket)}}}}}'
    if record.relayed is not None:
        line[-1] = f'{line[-1][:-1]},"stream":{{{_of_stream(record.relayed)}}}}}'
    if record.trace is not None:
        line[-1] = f'{line[-1][:-1]},"trace":{_trace(record.trace)}}}'
    return "".join(line)


def event_of(record: Record) -> Event:
    """The event of an exchange as a typed value, the same that stands in its line of JSON.

    It takes half as long again as its line: a sink that looks at a few of the facts only finds them in the record.
    """
    event: Event = json.loads(event_line(record))
    return event


def _origin(record: Record) -> str:
    server, presented = record.server, record.presented
    origin = _ORIGIN % (
        text(record.origin),
        "null" if server is None else text(server),
        record.origin_status or "null",
        record.tries,
        "true" if record.reused else "false",
        "null" if presented is None else _presented(presented),
    )
    if record.left_out or record.queued or record.origin_protocol:
        origin = f"{origin[:-1]}{''.join(_in_part(record))}}}"
    return origin


def _in_part(record: Record) -> Iterator[str]:
    """What is said of the origin only where there is something to say."""
    if record.left_out:
        yield f',"left_out":{texts(record.left_out)}'
    if record.queued:
        yield f',"queued":{record.queued * 1e6:.0f}'
    if record.origin_protocol:
        yield f',"protocol":{text(record.origin_protocol)}'


def _presented(presentation: Presentation) -> str:
    if not presentation.event_text:
        presentation.event_text = f"{{{_of_presentation(presentation)}}}"
    return presentation.event_text


def _request(request: Request, names: tuple[bytes, ...]) -> str:
    # What was sent stands at every second place; whether any of it has to be escaped is seen of all of it at once.
    members, length, read = _REQUEST[:], request.length, request.fields.get
    members[1::2] = request.method, request.scheme, request.authority, request.target
    if length == 0 and request.version == (1, 1):
        written = _AS_USUAL
    else:
        written = _framing(version(request.version), "null" if length is None else f"{length}")
    for name, opening, absent in header_labels(names):
        values = read(name)
        if values:
            written += opening
            for value in values:
                members += written, value
                written = b'","'
            written = b'"]'
        else:
            written += absent
    members.append(written + b"}}")
    sent = b"".join(members[1::2])
    if sent.translate(PLAIN) != sent:
        members[1::2] = map(escaped, members[1::2])
    return b"".join(members).decode("ascii")


def _trace(trace: Trace) -> str:
    # Digits need no escaping.
    trace_id, span_id = trace.trace_id.decode("ascii"), trace.span_id.decode("ascii")
    return _TRACE % (f'"{trace_id}"', f'"{span_id}"', "true" if trace.sampled else "false")


def _error(error: ClientError | OriginError) -> str:
    """Whose fault, the status inside, which may differ from the one sent, and the reason."""
    if isinstance(error, ClientError):
        return _CLIENT_ERROR % ('"client"', error.status, text(error.reason))
    return _ORIGIN_ERROR % ('"origin"', text(error.kind), error.status, text(error.reason))


# -- from the schema ---------------------------------------------------------------------------------------------------


def _template(rows: Iterable[Row], *, optional: bool = True) -> str:
    """An object with a place for each value, ``%d`` or ``%s`` for JSON text; the fixed fields have one together."""
    members = []
    for row in rows:
        if row.path in _FIXED:
            members += ["%s"] if row.path == _FIXED[0] else []
        elif optional or not row.optional:
            value = _template(row.inner) if row.type is row.object else "%d" if row.type is int else "%s"
            members.append(f'"{row.name}":{value}')
    return f"{{{','.join(members)}}}"


def _parts(template: str) -> list[str]:
    """A template, cut at its places: those are every second part, and to fill and join them takes a third of the time
    that ``%`` does."""
    around = re.split("%[sd]", template)
    parts = [""] * (2 * len(around) - 1)
    parts[::2] = around
    return parts


def _framing(version: str, length: str) -> bytes:
    """What stands between the target of a request and its headers."""
    return (_FRAMING % (version, length)).encode("ascii")


_BEFORE, _, _AFTER = _template(ROWS, optional=False).partition('"status":')
_EVENT, _ENDING = [*_parts(_BEFORE), ""], f'"status":{_AFTER}'
_SENT, _, _FRAMING = _template(ALL_ROWS["request"].inner).partition('"version":')
_REQUEST = [part.encode("ascii") for part in _parts(_SENT.replace("%s", '"%s"'))[:-1]]
_FRAMING = f'","version":{_FRAMING.removesuffix("%s}")}{{'
_AS_USUAL = _framing(version((1, 1)), "0")
_ORIGIN = _template(ALL_ROWS["origin"].inner, optional=False)
_ORIGIN_ERROR = _template(ALL_ROWS["error"].inner)
_TRACE = _template(ALL_ROWS["trace"].inner)
_CLIENT_ERROR = _template(ALL_ROWS["error"].inner, optional=False)


def members_of(rows: Iterable[Row]) -> Callable[[object], str]:
    """What writes fields that are the same for many exchanges; without those that may be absent of what there is not.

    :return: given what the places of the rows are counted from, the record or what the object around them describes,
        the members of a JSON object. Every new connection needs it.
    """
    parts = []
    for place, of_one in itertools.groupby(rows, lambda row: row.names[:-1]):
        together = tuple(of_one)
        written = [(row.names[-1], f'"{row.name}":', _write(row), "" if row.omitted else "null") for row in together]
        parts.append((place, written, [f'"{row.name}":null' for row in together if not row.optional]))

    def members(owner: object) -> str:
        found: list[str] = []
        for place, rows, absent in parts:
            value = owner
            for name in place:
                value = None if value is None else getattr(value, name)
            if value is None:
                found += absent
                continue
            for name, label, write, nothing in rows:
                if (inner := getattr(value, name)) is not None:
                    found.append(label + write(inner))
                elif nothing:
                    found.append(label + nothing)
        return ",".join(found)

    return members


def _write(row: Row) -> Callable[[Any], str]:
    if not row.inner:
        return row.kind.write
    members = members_of(row.inner)
    return lambda value: f"{{{members(value)}}}"


_fixed = members_of(ALL_ROWS[path] for path in _FIXED)
_of_websocket = members_of(ALL_ROWS["websocket"].inner)
_of_stream = members_of(ALL_ROWS["stream"].inner)
_of_presentation = members_of(ALL_ROWS["origin.certificate"].inner)
