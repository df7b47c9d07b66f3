"""The fields that events hold: what expressions on events can look at, one line each.

Law: a field that rules have too has here the value that it had for them, or is missing; the readers are theirs. What a
rule can look at and no event holds is refused with a reason, never silently missing. No reader raises, whatever stands
in the place of an event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from edgenode.observe.event_fields import ALL_ROWS
from edgenode.observe.recorded_exchange import Event, NotRecorded, RecordedExchange, at, value_at
from edgenode.rules.fields import FIELDS, OF_KEY
from edgenode.rules.language import foreign_fields
from edgenode.rules.language.types import BOOL, BYTES, INT, STRINGS, Type
from edgenode.rules.language.vocabulary import Vocabulary

Reader = Callable[[Event], Any]

HEADERS = "http.request.headers"
"""The map of the header fields that are recorded."""


@frozen
class RecordedField:
    """One thing of an event to look at.

    :ivar name: as written in expressions; that of the same field of rules, where there is one.
    :ivar type: the type of its value.
    :ivar read: its value in an event as :mod:`json` reads it, or ``None`` where that does not hold it.
    :ivar help: a phrase for the reference.
    :ivar keys: the keys of the event that it is read from.
    :ivar header: the name of the header field that must be recorded for it, in lower case; empty for none.
    :ivar path: where its value stands in the event as it is, an empty text as a missing one; empty if it is computed.
    """

    name: str
    type: Type
    read: Reader
    help: str
    keys: tuple[str, ...]
    header: str = ""
    path: str = ""


def _whole(read: Reader) -> Reader:
    """A reader that does not raise."""

    def reader(event: Event) -> Any:
        try:
            return read(event)
        except (NotRecorded, ValueError, OverflowError):
            return None

    return reader


# -- fields of rules ---------------------------------------------------------------------------------------------------


def _of_rules(keys: str, *names: str, header: str = "") -> tuple[RecordedField, ...]:
    """Fields whose readers are those of rules.

    :param keys: of the event, that they are read from.
    """
    return tuple(
        RecordedField(name, found.type, _on_exchange(found.read), found.help, tuple(keys.split()), header)
        for name in names
        for found in (FIELDS.built_in[name],)
    )


def _on_exchange(read: Callable[[Any], Any]) -> Reader:
    return _whole(lambda event: read(RecordedExchange(event)))


def _of_header(name: bytes) -> Reader:
    return _on_exchange(OF_KEY[HEADERS](name))


def _headers(event: Event) -> Mapping[bytes, tuple[bytes, ...]]:
    return {name: values for name, values in value_at("request.headers")(event).items() if values}


_NOT_OF_CERTIFICATES = ("rfc9440", "days_to_expiry", "crl_age", "crl_stale")


# -- what is known afterwards ------------------------------------------------------------------------------------------


def _afterwards(type: Type, *rows: tuple[str, ...]) -> tuple[RecordedField, ...]:
    """Fields that stand in an event as they are: name, path, and a phrase where the schema's is not theirs."""
    return tuple(
        RecordedField(
            name,
            type,
            _plain(path, type),
            help[0] if help else ALL_ROWS[path].help,
            (path.partition(".")[0],),
            path=path,
        )
        for name, path, *help in rows
    )


def _plain(path: str, type: Type) -> Reader:
    if path not in ALL_ROWS:
        keys = tuple(path.split("."))
        return _whole(lambda event: _text(at(event, keys)))
    read = value_at(path)
    convert = {BYTES: _text, INT: _number, BOOL: _flag}[type]
    return _whole(lambda event: convert(read(event)))


def _text(value: object) -> bytes | None:
    """A text as bytes; missing if it is empty."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    return value or None if isinstance(value, bytes) else None


def _number(value: object) -> int | None:
    return value if type(value) is int and -(1 << 63) <= value < 1 << 63 else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _reasons(event: Event) -> list[dict[str, str]]:
    found: Any = at(event, ("reasons",))
    if type(found) is not list or not all(type(each) is dict for each in found):
        raise NotRecorded
    return found


def _of_reasons(key: str) -> Reader:
    def read(event: Event) -> tuple[bytes, ...]:
        texts = (_text(each.get(key)) for each in _reasons(event))
        return tuple(text for text in texts if text is not None)

    return _whole(read)


def _acting(event: Event) -> bytes | None:
    action: Any = at(event, ("action",))
    proposing = (each.get("filter") for each in _reasons(event) if action and each.get("action") == action)
    return _text(next(proposing, None))


_OF_BLOCKED = ("action", "mode", "status", "origin", "error")


def _blocked(event: Event) -> bool:
    action, mode, status, origin, error = (at(event, (key,)) for key in _OF_BLOCKED)
    refused = (_number(status) or 0) >= 400 and origin is None and error is None
    return refused and mode == "block" and bool(_text(action))


_CERTIFICATE = tuple(
    name
    for name in FIELDS.built_in
    if name.startswith(("cf.tls_client_auth.", "edge.tls_client_auth."))
    and not any(part in name for part in _NOT_OF_CERTIFICATES)
)

_TABLE = (
    *_of_rules("client", "ip.src"),
    *_of_rules(
        "tls", "ssl", "cf.tls_version", "cf.tls_cipher", "cf.bot_management.ja4", "edge.ja4", "edge.sni", "edge.alpn"
    ),
    *_of_rules("local", "cf.edge.server_ip", "cf.edge.server_port"),
    *_of_rules("peer", "edge.peer_ip", "edge.peer_port"),
    *_of_rules("id", "cf.ray_id", "cf.random_seed"),
    *_of_rules("time", "http.request.timestamp.sec", "http.request.timestamp.msec"),
    *_of_rules("server_group", "edge.server_group"),
    *_of_rules("security_policy", "edge.security_policy"),
    *_of_rules("path_map", "edge.path_map"),
    *_of_rules("tags", "edge.tags"),
    *_of_rules(
        "request", "http.host", "http.request.method", "http.request.version", "http.request.full_uri",
        "http.request.uri", "http.request.uri.path", "http.request.uri.path.extension", "http.request.uri.query",
        "http.request.uri.args", "http.request.uri.args.names", "http.request.uri.args.values",
        "raw.http.request.full_uri", "raw.http.request.uri", "raw.http.request.uri.path",
        "raw.http.request.uri.path.extension", "raw.http.request.uri.query", "raw.http.request.uri.args",
        "raw.http.request.uri.args.names", "raw.http.request.uri.args.values",
        "edge.authority", "edge.path", "edge.paths", "edge.query", "edge.uri",
    ),
    RecordedField(
        HEADERS, FIELDS.built_in[HEADERS].type, _whole(_headers),
        "All values of every header that ``[edge] event-headers`` names, by its name in lower case.", ("request",),
    ),
    *_of_rules("request", "http.user_agent", header="user-agent"),
    *_of_rules("request", "http.referer", header="referer"),
    *_of_rules("request", "http.x_forwarded_for", header="x-forwarded-for"),
    *_of_rules("request", "http.request.accepted_languages", header="accept-language"),
    *_of_rules("request", "edge.grpc.service", "edge.grpc.method", header="content-type"),
    *_of_rules("request", "http.cookie", "http.request.cookies", "edge.cookies", header="cookie"),
    *_of_rules("certificate", *_CERTIFICATE),
    *_of_rules(
        "certificate time", "edge.tls_client_auth.days_to_expiry", "edge.tls_client_auth.crl_age",
        "edge.tls_client_auth.crl_stale",
    ),
    # -- what is known afterwards --------------------------------------------------------------------------------------
    *_afterwards(
        INT,
        ("http.response.code", "status"),
        ("edge.error.status", "error.status"),
        ("edge.origin.status", "origin.status"),
        ("edge.origin.tries", "origin.tries"),
        ("edge.origin.queued", "origin.queued", "Microseconds that the request waited for a connection to the origin."),
        ("edge.bytes.received", "bytes.received"),
        ("edge.bytes.sent", "bytes.sent"),
        ("edge.duration", "timings.total", "Microseconds from the beginning of the exchange to its end."),
        ("edge.duration.decision", "timings.decision", "Microseconds from the beginning to the decision."),
        ("edge.duration.origin", "timings.origin",
         "Microseconds from the decision to the beginning of the origin's answer."),
        ("edge.duration.response", "timings.response",
         "Microseconds from the beginning of the origin's answer to the end."),
        ("edge.grpc_status", "grpc_status"),
        ("edge.websocket.code", "websocket.code"),
    ),
    *_afterwards(
        BYTES,
        ("edge.id", "id"),
        ("edge.listener", "listener"),
        ("edge.action", "action", "The name of the action that was taken; missing if there was none."),
        ("edge.mode", "mode"),
        ("edge.error.fault", "error.fault"),
        ("edge.error.kind", "error.kind"),
        ("edge.error.reason", "error.reason"),
        ("edge.origin", "origin.name"),
        ("edge.origin.server", "origin.server"),
        ("edge.origin.protocol", "origin.protocol"),
        ("edge.origin.certificate.alert", "origin.certificate.alert"),
        ("edge.websocket.closed_by", "websocket.closed_by"),
        ("edge.event.action", "event.action",
         "Of an event of the state what has happened: ``quarantine-held``, ...; missing for exchanges."),
        ("edge.event.type", "event.type", "Its type: ``creation``, ``deletion``, ``end``, ``error`` or ``change``."),
        ("edge.event.reason", "reason", "Why it has happened, for people."),
        ("edge.event.key", "entry.key", "The kind of value that it holds or lifts: ``ip``, ``header.user-agent``."),
        ("edge.event.value", "entry.value", "The value that it holds or lifts."),
        ("edge.event.who", "entry.who", "Who has added the value: the header of a section, or a user."),
    ),
    *_afterwards(
        BOOL,
        ("edge.origin.reused", "origin.reused"),
        ("edge.origin.certificate.asked", "origin.certificate.asked"),
        ("edge.origin.certificate.accepted", "origin.certificate.accepted"),
    ),
    RecordedField(
        "edge.blocked", BOOL, _whole(_blocked),
        "Whether rules have refused the request, whatever the name of their action is: one was taken, not in "
        "``monitoring``; nothing was forwarded, nothing has failed, and the status is 400 or more.",
        _OF_BLOCKED,
    ),
    RecordedField(
        "edge.filter", BYTES, _whole(_acting),
        "The filter whose action was taken: of several that proposed it the first.", ("reasons", "action"),
    ),
    RecordedField("edge.filters", STRINGS, _of_reasons("filter"), "All filters that matched.", ("reasons",)),
    RecordedField(
        "edge.annotations", STRINGS, _of_reasons("annotation"), "The annotations of the entries that matched.",
        ("reasons",),
    ),
)  # fmt: skip

RECORDED: Mapping[str, RecordedField] = {each.name: each for each in _TABLE}
"""Every field of events by its name."""


# -- what is not recorded ----------------------------------------------------------------------------------------------

_PLACES = 'events hold where a client is as tags: look at any(edge.tags[*] eq "geo-country:germany")'
_NO_BODY = "events hold no bodies, but their sizes: edge.bytes.received and edge.bytes.sent"
_SOME_HEADERS = 'events hold the headers that [edge] event-headers names: look at http.request.headers["..."]'
_NO_RESPONSE = "events hold of a response http.response.code and edge.bytes.sent"

_NO_CERTIFICATE = (
    "events hold what a certificate says, and not itself: look at cf.tls_client_auth.cert_fingerprint_sha256"
)

_NO_TOKENS = "events hold neither tokens nor what they say"

_NOT_RECORDED: Mapping[str, str] = {
    "cf.edge.client_tcp": "it is true of every request",
    **{
        f"cf.tls_client_auth.cert_{name}": _NO_CERTIFICATE
        for name in ("rfc9440", "rfc9440_too_large", "chain_rfc9440", "chain_rfc9440_too_large")
    },
    "edge.arguments": f"{_NO_BODY}; for the query look at http.request.uri.args",
    "edge.jwt": _NO_TOKENS,
    "edge.organization": _PLACES,
    "edge.proxy_protocol": "of a PROXY header events hold the client's address alone",
    "edge.region": _PLACES,
    "edge.subregion": _PLACES,
    "http.request.body": _NO_BODY,
    "http.request.headers.names": _SOME_HEADERS,
    "http.request.headers.values": _SOME_HEADERS,
    "http.request.headers.truncated": _SOME_HEADERS,
    "http.request.jwt": _NO_TOKENS,
    "http.response": _NO_RESPONSE,
    "ip.geoip": _PLACES,
    "ip.src": _PLACES,
    "raw.http.response": _NO_RESPONSE,
}
"""Why events do not hold some fields of rules, by the name or the beginning of it."""


def _why_not(name: str) -> str:
    why = foreign_fields.why_not(name, _NOT_RECORDED)
    return why or ("events do not hold it" if name in FIELDS else foreign_fields.why_not(name))


EVENTS = Vocabulary(
    RECORDED,
    {HEADERS: _of_header},
    {alias: name for alias, name in foreign_fields.ALIASES.items() if name in RECORDED},
    _why_not,
)
"""What expressions on events look at."""
