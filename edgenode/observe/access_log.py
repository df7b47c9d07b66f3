"""The access log: one line for each exchange, for people and for the programs that read logs of web servers.

Law: whatever a client has sent, a line is printable ASCII, so that it can neither steer a terminal nor forge another
line; and what is quoted in a line cannot end its quotes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping

from edgenode.model.interfaces import Record
from edgenode.observe.event_record import event_line

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@functools.lru_cache(4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@functools.lru_cache(4)
def _clf_second(seconds: int) -> str:
    at = time.gmtime(seconds)
    return f"[{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year:04}:{time.strftime('%H:%M:%S', at)} +0000]"


def line(record: Record) -> str:
    """When, what status, who asked for what, with which certificate, and why."""
    exchange = record.exchange
    request, client = exchange.request, exchange.connection.client
    if request is None:
        what = "no request"
    else:
        what = (b"%b %b%b" % (request.method, request.authority, request.target)).decode("latin-1")
    whom = "no certificate"
    if client is not None:
        whom = client.subject.replace("|", "\\x7c") or "no name"  # what is behind the bar is ours
        if not client.verification.verified:
            whom = f"not verified: {whom}"
    address = exchange.client or exchange.connection.peer.host
    parts = f"{_second(int(record.time))}  {record.status}  {address}  {what} | {whom} | {'; '.join(_why(record))}"
    return parts if parts.isascii() and parts.isprintable() else _escaped(parts)


def _why(record: Record) -> Iterator[str]:
    decision, error = record.decision, record.error
    for each in decision.reasons:
        yield f"{each.filter}: {each.entry}{f' # {each.annotation}' if each.annotation else ''}"
    if len(decision.tags) > 0:
        yield from (f"tag {tag}" for tag in sorted(decision.tags) if ":" not in tag and tag != "all")
    if decision.action is not None:
        yield f"action {decision.action.name}"
    if error is not None:
        yield f"{error.status}: {error.reason}"
    if record.tries:
        yield f"forwarded to {record.origin}"


def common(record: Record) -> str:
    """The Common Log Format of NCSA and Apache httpd; the user is the subject of a certificate that was verified."""
    exchange = record.exchange
    request, client = exchange.request, exchange.connection.client
    user = "-"
    if client is not None and client.verification.verified:
        user = (
            "".join(each if "!" <= each <= "~" and each not in '"%' else _percent(each) for each in client.subject)
            or "-"
        )
    asked = "-"
    if request is not None:
        version = f"HTTP/{request.version[0]}.{request.version[1]}"
        asked = _quoted(f"{request.method.decode('latin-1')} {request.target.decode('latin-1')} {version}")
    address = exchange.client or exchange.connection.peer.host
    return f'{address} - {user} {_clf_second(int(record.time))} "{asked}" {record.status} {record.sent or "-"}'


def combined(record: Record) -> str:
    """The same with what the client says of itself, and of where it comes from."""
    request = record.exchange.request
    fields: Mapping[bytes, tuple[bytes, ...]] = {} if request is None else request.fields
    more = (_quoted((fields.get(name) or (b"-",))[0].decode("latin-1")) for name in (b"referer", b"user-agent"))
    return '%s "%s" "%s"' % (common(record), *more)  # noqa: UP031


FORMATS: Mapping[str, Callable[[Record], str]] = {
    "line": line,
    "common": common,
    "combined": combined,
    "json": event_line,
}
"""What makes a line of a record, by the value of ``[edge] access-log-format``."""


def _escaped(text: str) -> str:
    return "".join(each if " " <= each <= "~" else each.encode("unicode_escape").decode("ascii") for each in text)


def _quoted(text: str) -> str:
    """As Apache httpd does since 2.0.46, byte by byte."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(_ESCAPES.get(each) or (each if " " <= each <= "~" else f"\\x{ord(each):02x}") for each in text)


_ESCAPES = {'"': '\\"', "\\": "\\\\"}


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "replace"))
