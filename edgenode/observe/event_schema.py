"""What an event is: one JSON object for each exchange, or for each connection that never came to one.

Law: these classes are its schema, and there is no other: what is written, read for replay, documented and typed comes
from them. An attribute's name is the key in JSON; they stand in the order of the line. An annotation says the type and
how its values are written and read, then where the value stands in a :class:`~edgenode.model.interfaces.Record`, the
help for the reference, and the unit of a number. The place is attributes joined with dots, behind those of the object
around it; of an object it is where what it describes stands, and its class has the help.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Annotated, Any, Final, NotRequired, TypedDict

from attrs import fields, frozen

from edgenode.model.decision import Reason
from edgenode.model.exchange import Address, Verification
from edgenode.observe.event_values import headers, instant, octets, reasons, stages, tags, text, texts, version

COMPUTED = ""
"""In the place of a place: the value is made of several."""

UNKNOWN: Final = object()
"""What is read where the JSON holds only a part of a value."""

_LONGEST_NAME = 1024
"""Characters of a distinguished name, or of all names of a kind, that are written: their owner chose their length."""

_LONGEST_CHAIN = 1000
"""Certificates; no TLS handshake has so many."""


@frozen
class Kind:
    """A way to write values: ``read(json.loads(write(value)))`` is the value, or :data:`UNKNOWN`; never something else.

    :ivar write: a value, not ``None``, as JSON text.
    :ivar read: the value that some JSON of the field's type stands for, or :data:`UNKNOWN`; raises ``ValueError``.
    """

    write: Callable[[Any], str]
    read: Callable[[Any], Any] = lambda value: value


def _names(values: tuple[str, ...]) -> str:
    """All names of a kind; ``null`` if they are too long, for some of them are not all."""
    return texts(values) if sum(map(len, values)) + len(values) <= _LONGEST_NAME else "null"


def _read_moment(value: str | None) -> Any:
    if value is None:
        return None
    moment = datetime.datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"a time without its zone: {value}")
    return moment


def _read_version(value: str) -> tuple[int, int]:
    major, _, minor = value.removeprefix("HTTP/").partition(".")
    return int(major), int(minor)


def _read_chain(length: int) -> tuple[bytes, ...]:
    """As many certificates, of which nothing is known."""
    if not 0 <= length <= _LONGEST_CHAIN:
        raise ValueError(f"a chain of {length} certificates")
    return (b"",) * length


def _read_address(value: str) -> Address:
    host, _, port = value.rpartition(":")
    return Address.of(host.removeprefix("[").removesuffix("]"), int(port))


def _read_verdict(value: str) -> Verification:
    """As much of it as its word says; the numbers are fields of their own."""
    if value == "NONE":
        return Verification()
    if value == "SUCCESS":
        return Verification(presented=True, verified=True)
    if not value.startswith("FAILED:"):
        raise ValueError(f"no verdict on a certificate: {value}")
    return Verification(presented=True, reason=value.removeprefix("FAILED:"))


def _read_headers(value: dict[str, list[str]]) -> dict[bytes, tuple[bytes, ...]]:
    return {name.encode("ascii"): tuple(each.encode("latin-1") for each in found) for name, found in value.items()}


_REASON_NAMES = tuple(each.name for each in fields(Reason))


def _read_reasons(values: list[dict[str, str]]) -> tuple[Reason, ...]:
    if not all(each.keys() >= set(_REASON_NAMES[:-1]) for each in values):
        raise ValueError("a reason of which a part is missing")
    return tuple(Reason(*(each.get(name, "") for name in _REASON_NAMES)) for each in values)


OBJECT = Kind(text)
"""Of an object, which is written field by field."""

Text = Annotated[str, Kind(text)]
Number = Annotated[int, Kind(str)]
Flag = Annotated[bool, Kind(lambda value: "true" if value else "false")]
Texts = Annotated[list[str], Kind(texts, tuple)]
Numbers = Annotated[list[int], Kind(lambda values: f"[{','.join(map(str, values))}]", tuple)]
Octets = Annotated[str, Kind(octets, lambda value: value.encode("latin-1"))]
Name = Annotated[
    str,
    Kind(
        lambda value: text(value[:_LONGEST_NAME]),
        lambda value: UNKNOWN if value is not None and len(value) >= _LONGEST_NAME else value,
    ),
]
Names = Annotated[list[str], Kind(_names, lambda values: UNKNOWN if values is None else tuple(values))]
Instant = Annotated[str, Kind(instant, lambda value: _read_moment(value).timestamp())]
# Whole seconds: X.509 has no others.
Moment = Annotated[str, Kind(lambda value: f'"{value.isoformat()[:19]}Z"', _read_moment)]
Version = Annotated[str, Kind(version, _read_version)]
Where = Annotated[str, Kind(lambda value: text(str(value)), _read_address)]
Verdict = Annotated[str, Kind(lambda value: text(str(value)), _read_verdict)]
Chain = Annotated[int, Kind(lambda value: str(len(value)), _read_chain)]
Tags = Annotated[list[str], Kind(tags, frozenset)]
Stages = Annotated[dict[str, int], Kind(stages, lambda value: tuple(value.items()))]
Headers = Annotated[dict[str, list[str]], Kind(headers, _read_headers)]


class EventTls(TypedDict):
    """The TLS handshake; before its end the texts are empty."""

    version: Annotated[Text, "tls_version", "The TLS version: ``TLSv1.3``."]
    cipher: Annotated[Text, "cipher", "OpenSSL's name of the cipher suite."]
    server_name: Annotated[Text | None, "server_name", "The server name in the handshake (SNI); ``null`` for none."]
    alpn: Annotated[Text, "alpn", "The application protocol chosen by ALPN."]
    fingerprint: Annotated[Text, "fingerprint", "JA4 of the ClientHello."]
    certificate_expired: NotRequired[
        Annotated[
            Moment,
            "expired",
            "The expiry of the server group's certificate, or of one in its chain, if that had expired.",
        ]
    ]


class EventNames(TypedDict):
    """Subject alternative names; ``null`` for a kind that has more than 1024 characters."""

    dns: Annotated[Names | None, "dns", "The DNS names in the client's certificate."]
    uri: Annotated[Names | None, "uri", "The URIs in the client's certificate, such as SPIFFE IDs."]
    email: Annotated[Names | None, "email", "The mailboxes in the client's certificate."]
    ip: Annotated[Names | None, "ip", "The IP addresses in the client's certificate."]


class _Verdict(TypedDict):
    verify: Annotated[
        Verdict, "verification", "``SUCCESS``, ``NONE`` or ``FAILED:`` and the reason: nginx's ``$ssl_client_verify``."
    ]
    subject: Annotated[
        Name | None,
        "client.subject",
        "The subject of the client's certificate (RFC 4514), at most 1024 characters, or ``null``.",
    ]
    issuer: Annotated[
        Name | None,
        "client.issuer",
        "The issuer of the client's certificate (RFC 4514), at most 1024 characters, or ``null``.",
    ]
    serial: Annotated[Text | None, "client.serial", "The serial number of the certificate, hexadecimal."]
    fingerprint: Annotated[
        Text | None, "client.fingerprint_sha256", "The SHA-256 of the client's certificate, hexadecimal."
    ]
    revoked: Annotated[
        Flag,
        "verification.revoked",
        "Whether a revocation list revokes the client's certificate or one of its issuers.",
    ]
    first_error: Annotated[
        Number,
        "verification.first_error",
        "OpenSSL's number of the first error of the client's certificate; 0 for none.",
    ]
    last_error: Annotated[
        Number, "verification.last_error", "OpenSSL's number of the last error of the client's certificate; 0 for none."
    ]
    depth: Annotated[
        Number, "verification.depth", "The depth in the chain of the last error; 0 is the client's certificate."
    ]


class EventCertificate(_Verdict, total=False):
    """The client's certificate. The fields after ``depth`` are there only if the client has sent one; they are what
    rules can read of it."""

    errors: Annotated[
        Numbers,
        "client.verification.errors",
        "OpenSSL's numbers of all errors of the client's certificate, in the order found.",
    ]
    tags: Annotated[Texts, "client.tags", "The tags of the trust stores in which the client's chain ends."]
    subject_legacy: Annotated[
        Name, "client.subject_legacy", "The subject in OpenSSL's old one-line form, at most 1024 characters."
    ]
    issuer_legacy: Annotated[
        Name, "client.issuer_legacy", "The issuer in OpenSSL's old one-line form, at most 1024 characters."
    ]
    issuer_serial: Annotated[
        Text,
        "client.issuer_serial",
        "The serial number of the direct issuer's certificate; empty unless the client is verified.",
    ]
    fingerprint_sha1: Annotated[Text, "client.fingerprint_sha1", "The SHA-1 of the client's certificate, hexadecimal."]
    ski: Annotated[
        Text, "client.ski", "The subject key identifier of the client's certificate, hexadecimal; empty if it has none."
    ]
    issuer_ski: Annotated[
        Text,
        "client.issuer_ski",
        "The authority key identifier of the client's certificate, hexadecimal; empty if it has none.",
    ]
    not_before: Annotated[Moment, "client.not_before", "When the client's certificate becomes valid; RFC 3339, UTC."]
    not_after: Annotated[Moment, "client.not_after", "When the client's certificate expires; RFC 3339, UTC."]
    sans: Annotated[EventNames, "client.sans"]
    extended_key_usages: Annotated[
        Names | None,
        "client.extended_key_usages",
        "The extended key usages as dotted numbers; ``null`` if they have more than 1024 characters.",
    ]
    spki_sha256: Annotated[
        Text, "client.spki_sha256", "The SHA-256 of the public key (SPKI) of the client's certificate, hexadecimal."
    ]
    key_type: Annotated[
        Text, "client.key_type", "The key type of the client's certificate: ``RSA``, ``ECDSA``, ``Ed25519``, ..."
    ]
    key_bits: Annotated[
        Number,
        "client.key_bits",
        "The size of the key of the client's certificate in bits; 0 if it is not known.",
        "bits",
    ]
    signature_algorithm: Annotated[
        Text, "client.signature_algorithm", "The signature algorithm of the client's certificate: ``ecdsa-sha256``."
    ]
    chain_sent: Annotated[Chain, "client.chain_sent", "The number of further certificates that the client sent."]
    chain_verified: Annotated[
        Chain, "client.chain_verified", "The number of certificates in the verified chain after the client's own."
    ]
    crl_this_update: Annotated[
        Moment | None,
        "client.crl_this_update",
        "When the revocation list that covers the client's certificate was issued; ``null`` if none does.",
    ]
    crl_next_update: Annotated[
        Moment | None,
        "client.crl_next_update",
        "When a newer revocation list is due; ``null`` if the list does not say it.",
    ]


class EventRequest(TypedDict):
    """The head of the request; ``null`` if it could not be read."""

    method: Annotated[Octets, "method", "The method as it was sent."]
    scheme: Annotated[Octets, "scheme", "``https`` or ``http``."]
    authority: Annotated[Octets, "authority", "The host and port asked for, in normal form."]
    target: Annotated[Octets, "target", "The request target in origin form, as sent."]
    version: Annotated[Version, "version", "``HTTP/1.1``, ``HTTP/1.0`` or ``HTTP/2.0``."]
    length: Annotated[Number | None, "length", "The length of the body; ``null`` if not known in advance.", "bytes"]
    headers: Annotated[
        Headers, "fields", "All values of each header field that ``[edge] event-headers`` names and the request has."
    ]


class EventReason(TypedDict):
    """A filter that matched, or another reason of a stage."""

    stage: Annotated[Text, COMPUTED, "The stage of the pipeline."]
    filter: Annotated[Text, COMPUTED, "The filter by name."]
    entry: Annotated[Text, COMPUTED, "The entries that made the filter match; of a datafeed its source."]
    annotation: Annotated[Text, COMPUTED, "The annotations of the entries that matched."]
    action: Annotated[Text, COMPUTED, "The action that the filter proposes; empty if it only sets tags."]
    display_name: NotRequired[Annotated[Text, COMPUTED, "The ``name`` of the filter for people, if it has one."]]


class EventError(TypedDict):
    """What failed; ``null`` if nothing did."""

    fault: Annotated[Text, COMPUTED, "Who caused the error: ``client`` or ``origin``."]
    kind: NotRequired[
        Annotated[Text, "kind", "The kind of an origin's error: ``connect``, ``handshake``, ``timeout``, ..."]
    ]
    status: Annotated[
        Number, "status", "The exact status: 495, 496, 497 and others, also where the client got another one."
    ]
    reason: Annotated[Text, "reason", "The reason in a sentence; it is not sent to the client."]


class EventOriginCertificate(TypedDict):
    """The node's client certificate on the last connection to the origin; ``null`` without TLS, or without a
    handshake."""

    asked: Annotated[Flag, "asked", "Whether the origin asked for a client certificate."]
    subject: Annotated[
        Name | None, "subject", "The subject of the client certificate that the origin was sent; ``null`` for none."
    ]
    serial: Annotated[Text | None, "serial", "The serial number of the certificate, hexadecimal."]
    accepted: Annotated[
        Flag | None,
        "accepted",
        "Whether the origin accepted the client certificate, or its absence, in TLS; ``null`` if it did not "
        "ask, or is not known to have accepted: with TLS 1.3 that is until it answers. nginx refuses later, "
        "with a status 400.",
    ]
    alert: Annotated[
        Text | None,
        "alert",
        "The TLS alert with which the origin refused, such as ``certificate required``; else ``null``.",
    ]
    expired: NotRequired[
        Annotated[
            Moment, "expired", "The expiry of the client certificate that the origin was sent, if it had expired."
        ]
    ]


class EventOrigin(TypedDict):
    """The origin; ``null`` if none was asked."""

    name: Annotated[Text, "origin", "The origin by name."]
    server: Annotated[Text | None, "server", "The server asked last: address and port, or ``unix:`` and a path."]
    status: Annotated[Number | None, "origin_status", "The status that the origin answered; ``null`` for none."]
    tries: Annotated[Number, "tries", "The number of servers that were tried."]
    reused: Annotated[Flag, "reused", "Whether the request was sent on a kept connection."]
    certificate: Annotated[EventOriginCertificate | None, "presented"]
    left_out: NotRequired[
        Annotated[
            Texts, "left_out", "The certificate headers that the origin was not sent, because they would be too long."
        ]
    ]
    queued: NotRequired[
        Annotated[Number, "queued", "The time that the request waited for a connection, if it had to.", "µs"]
    ]
    protocol: NotRequired[
        Annotated[Text, "origin_protocol", "The protocol spoken to the server, if it was not HTTP/1.1: ``HTTP/2``."]
    ]


class EventBytes(TypedDict):
    """The sizes of the bodies; of a WebSocket, and of a stream, what has passed, with its frame headers."""

    received: Annotated[Number, "received", "The size of the request's body.", "bytes"]
    sent: Annotated[Number, "sent", "The size of the response's body.", "bytes"]


class EventWebSocket(TypedDict):
    """A WebSocket at its end, or at a message on which a rule has acted: only in the events that follow the one of its
    handshake, which has the same ``id``."""

    received: Annotated[Number, "received", "The number of messages that came from the client."]
    sent: Annotated[Number, "sent", "The number of messages that came from the origin."]
    code: Annotated[
        Number | None,
        "code",
        "The close code (RFC 6455, section 7.4); 1005 if the Close frame had none, 1006 if there was no Close frame, "
        "``null`` if the WebSocket goes on.",
    ]
    closed_by: Annotated[
        Text | None, "closed_by", "Who closed it: ``client``, ``origin`` or ``node``; ``null`` if it goes on."
    ]


class EventStream(TypedDict):
    """A stream that is no HTTP, at its end."""

    closed_by: Annotated[Text, "closed_by", "Who ended it first: ``client``, ``origin`` or ``node``."]


class EventTrace(TypedDict):
    """Where the request stands in a trace (W3C Trace Context), if ``[traces]`` is in use."""

    trace_id: Annotated[Octets, "trace_id", "The trace by its identifier, 32 hexadecimal digits."]
    span_id: Annotated[Octets, "span_id", "The node's span in it, 16 hexadecimal digits."]
    sampled: Annotated[Flag, "sampled", "Whether spans were made of the request."]


class EventTimings(TypedDict):
    """The times that the exchange took."""

    decision: Annotated[Number, COMPUTED, "The time from the beginning to the decision.", "µs"]
    origin: Annotated[Number, COMPUTED, "The time from the decision to the beginning of the origin's answer.", "µs"]
    response: Annotated[Number, COMPUTED, "The time from the beginning of the origin's answer to the end.", "µs"]
    total: Annotated[Number, COMPUTED, "The time from the beginning to the end.", "µs"]


class Event(TypedDict):
    """What happened in one exchange, as a line of JSON says it."""

    time: Annotated[Instant, "time", "When the exchange began; RFC 3339, UTC, microseconds."]
    id: Annotated[Octets, "identifier", "The ``X-Request-Id`` that the origin got; empty if none was made."]
    listener: Annotated[Text, "listener", "The listener by name."]
    client: Annotated[
        Text,
        "exchange.client",
        "The client's address, as a trusted proxy reports it if there is one; then it may be ``unknown``.",
    ]
    peer: Annotated[Where, "exchange.connection.peer", "The address and port at the other end of the connection."]
    local: Annotated[Where, "exchange.connection.local", "The node's address and port of the connection."]
    tls: Annotated[EventTls, "exchange.connection"]
    certificate: Annotated[EventCertificate, "exchange.connection"]
    server_group: Annotated[Text, "exchange.server_group", "The server group; empty if none was chosen."]
    security_policy: Annotated[Text, "exchange.security_policy", "The security policy; empty if none was chosen."]
    path_map: Annotated[Text, "exchange.path_map", "The path map; empty if none was chosen."]
    request: Annotated[EventRequest | None, "exchange.request"]
    tags: Annotated[Tags, "decision.tags", "All tags at the end, sorted."]
    reasons: Annotated[list[EventReason], Kind(reasons, _read_reasons), "decision.reasons", "All filters that matched."]
    action: Annotated[Text | None, "decision.action.name", "The action that was taken; ``null`` if there was none."]
    mode: Annotated[
        Text, "decision.mode", "The mode of filters; if it is not ``block``, the action was not carried out."
    ]
    stages: Annotated[Stages, "decision.timings", "The time that each stage took.", "µs"]
    status: Annotated[
        Number,
        "status",
        "The status that the client got, of a gRPC call that the node has refused the one that it stands for; 444: the "
        "connection was closed without an answer, 499: the client disconnected, 0: nothing was answered.",
    ]
    error: Annotated[EventError | None, "error"]
    origin: Annotated[EventOrigin | None, COMPUTED]
    bytes: Annotated[EventBytes, COMPUTED]
    timings: Annotated[EventTimings, COMPUTED]
    grpc_status: NotRequired[
        Annotated[
            Number,
            "grpc_status",
            "The status of gRPC that the client got, if it got one: the origin's, or the node's of a call that it has "
            "refused.",
        ]
    ]
    websocket: NotRequired[Annotated[EventWebSocket, "websocket"]]
    stream: NotRequired[Annotated[EventStream, "relayed"]]
    trace: NotRequired[Annotated[EventTrace, "trace"]]
