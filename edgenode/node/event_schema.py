"""What an event is: one JSON object for each exchange, or for each connection that never came to one.

These classes are its schema, and there is no other: what is written, read for replay, documented and typed comes from
them. An attribute's name is the key in JSON, its annotation the type; they stand in the order of the line.
"""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from attrs import frozen

from edgenode.node.event_values import (
    ADDRESS,
    CHAIN,
    FLAG,
    HEADERS,
    INSTANT,
    MOMENT,
    NAME,
    NAMES,
    NUMBER,
    NUMBERS,
    OCTETS,
    REASONS,
    STAGES,
    TAGS,
    TEXT,
    TEXTS,
    VERDICT,
    VERSION,
    Kind,
)

COMPUTED = ""
"""In the place of :attr:`Field.of`: the value is made of several."""


@frozen
class Field:
    """One field of an event.

    :ivar of: where its value stands in a :class:`~edgenode.model.interfaces.Record`: attributes joined with dots,
        behind those of the object around it; of an object, where what it describes stands; :data:`COMPUTED` if it is
        made of several.
    :ivar kind: how the value is written and read.
    :ivar help: what it says, for the reference; of an object its class says it.
    :ivar unit: the unit of a number.
    """

    of: str
    kind: Kind = TEXT
    help: str = ""
    unit: str = ""


class EventTls(TypedDict):
    """The TLS handshake; before its end the texts are empty."""

    version: Annotated[str, Field("tls_version", TEXT, "The version agreed on: ``TLSv1.3``.")]
    cipher: Annotated[str, Field("cipher", TEXT, "OpenSSL's name of the cipher suite.")]
    server_name: Annotated[
        str | None, Field("server_name", TEXT, "The server name asked for (SNI); ``null`` for none.")
    ]
    alpn: Annotated[str, Field("alpn", TEXT, "The application protocol agreed on by ALPN.")]
    fingerprint: Annotated[str, Field("fingerprint", TEXT, "JA4 of the ClientHello.")]


class EventNames(TypedDict):
    """Subject alternative names; ``null`` for a kind that has more than 1024 characters."""

    dns: Annotated[list[str] | None, Field("dns", NAMES, "DNS names.")]
    uri: Annotated[list[str] | None, Field("uri", NAMES, "URIs, SPIFFE IDs among them.")]
    email: Annotated[list[str] | None, Field("email", NAMES, "Mailboxes.")]
    ip: Annotated[list[str] | None, Field("ip", NAMES, "IP addresses.")]


class _Verdict(TypedDict):
    verify: Annotated[
        str,
        Field(
            "verification",
            VERDICT,
            "``SUCCESS``, ``NONE`` or ``FAILED:`` and the reason: nginx's ``$ssl_client_verify``.",
        ),
    ]
    subject: Annotated[
        str | None,
        Field("client.subject", NAME, "Its subject (RFC 4514), at most 1024 characters; ``null`` without one."),
    ]
    issuer: Annotated[str | None, Field("client.issuer", NAME, "Its issuer, likewise.")]
    serial: Annotated[str | None, Field("client.serial", TEXT, "Its serial number, hexadecimal.")]
    fingerprint: Annotated[str | None, Field("client.fingerprint_sha256", TEXT, "SHA-256 of it, hexadecimal.")]
    revoked: Annotated[bool, Field("verification.revoked", FLAG, "Whether a revocation list revokes it.")]
    first_error: Annotated[
        int, Field("verification.first_error", NUMBER, "OpenSSL's number of the first error, 0 if there was none.")
    ]
    last_error: Annotated[int, Field("verification.last_error", NUMBER, "That of the last error.")]
    depth: Annotated[int, Field("verification.depth", NUMBER, "Where in the chain that one was; 0 is the leaf.")]


class EventCertificate(_Verdict, total=False):
    """The client certificate. What follows ``depth`` is there only if there was one: with it, what a rule can read of a
    certificate can be replayed."""

    errors: Annotated[
        list[int], Field("client.verification.errors", NUMBERS, "OpenSSL's numbers of all errors, in the order found.")
    ]
    tags: Annotated[list[str], Field("client.tags", TEXTS, "Tags of the trust stores that vouch for it.")]
    subject_legacy: Annotated[
        str, Field("client.subject_legacy", NAME, "The subject in OpenSSL's one-line form, at most 1024 characters.")
    ]
    issuer_legacy: Annotated[str, Field("client.issuer_legacy", NAME, "The issuer, likewise.")]
    issuer_serial: Annotated[
        str,
        Field("client.issuer_serial", TEXT, "The serial number of its direct issuer; empty unless it was verified."),
    ]
    fingerprint_sha1: Annotated[str, Field("client.fingerprint_sha1", TEXT, "SHA-1 of it, hexadecimal.")]
    ski: Annotated[str, Field("client.ski", TEXT, "Its subject key identifier, hexadecimal; empty if it has none.")]
    issuer_ski: Annotated[str, Field("client.issuer_ski", TEXT, "Its authority key identifier, likewise.")]
    not_before: Annotated[str, Field("client.not_before", MOMENT, "The start of its validity; RFC 3339, UTC.")]
    not_after: Annotated[str, Field("client.not_after", MOMENT, "The end of its validity.")]
    sans: Annotated[EventNames, Field("client.sans")]
    extended_key_usages: Annotated[
        list[str] | None,
        Field("client.extended_key_usages", NAMES, "Dotted numbers; ``null`` if they have more than 1024 characters."),
    ]
    spki_sha256: Annotated[str, Field("client.spki_sha256", TEXT, "SHA-256 of its public key (SPKI), hexadecimal.")]
    key_type: Annotated[str, Field("client.key_type", TEXT, "``RSA``, ``ECDSA``, ``Ed25519``, ...")]
    key_bits: Annotated[int, Field("client.key_bits", NUMBER, "The size of its key, 0 if it is not known.", "bits")]
    signature_algorithm: Annotated[str, Field("client.signature_algorithm", TEXT, "Such as ``ecdsa-sha256``.")]
    chain_sent: Annotated[int, Field("client.chain_sent", CHAIN, "How many further certificates the client sent.")]
    chain_verified: Annotated[
        int, Field("client.chain_verified", CHAIN, "How many the verified chain has behind the leaf.")
    ]
    crl_this_update: Annotated[
        str | None,
        Field(
            "client.crl_this_update",
            MOMENT,
            "When the revocation list that covers it was issued; ``null`` if none does.",
        ),
    ]
    crl_next_update: Annotated[
        str | None, Field("client.crl_next_update", MOMENT, "When a newer one is due; ``null`` if that is not said.")
    ]


class EventRequest(TypedDict):
    """The head of the request; ``null`` if it could not be read."""

    method: Annotated[str, Field("method", OCTETS, "As sent.")]
    scheme: Annotated[str, Field("scheme", OCTETS, "``https`` or ``http``.")]
    authority: Annotated[str, Field("authority", OCTETS, "Host and port asked for, in normal form.")]
    target: Annotated[str, Field("target", OCTETS, "The request target in origin form, as sent.")]
    version: Annotated[str, Field("version", VERSION, "``HTTP/1.1``, ``HTTP/1.0`` or ``HTTP/2.0``.")]
    length: Annotated[
        int | None, Field("length", NUMBER, "The length of the body; ``null`` if it was not known in advance.", "bytes")
    ]
    headers: Annotated[
        dict[str, list[str]],
        Field(
            "fields",
            HEADERS,
            "All values of each header field that ``[edge] event-headers`` names, none of one that is absent.",
        ),
    ]


class EventReason(TypedDict):
    """A filter that matched, or another reason of a stage."""

    stage: Annotated[str, Field("", TEXT, "The stage that judged.")]
    filter: Annotated[str, Field("", TEXT, "The filter by name.")]
    entry: Annotated[str, Field("", TEXT, "The entries that made it match; of a datafeed its source.")]
    annotation: Annotated[str, Field("", TEXT, "The annotations of those entries.")]
    action: Annotated[str, Field("", TEXT, "The action that it proposes; empty if it only tags.")]


class EventError(TypedDict):
    """What failed; ``null`` if nothing did."""

    fault: Annotated[str, Field("", TEXT, "``client`` or ``origin``.")]
    kind: NotRequired[Annotated[str, Field("kind", TEXT, "Of an origin: ``connect``, ``timeout``, ...")]]
    status: Annotated[
        int, Field("status", NUMBER, "495, 496, 497 and others, also where the client got another status.")
    ]
    reason: Annotated[str, Field("reason", TEXT, "A sentence; the client never gets it.")]


class EventOrigin(TypedDict):
    """The origin; ``null`` if none was asked."""

    name: Annotated[str, Field("origin", TEXT, "The origin by name.")]
    server: Annotated[str | None, Field("server", TEXT, "The server asked last, as address and port.")]
    status: Annotated[int | None, Field("origin_status", NUMBER, "The status that it answered; ``null`` for none.")]
    tries: Annotated[int, Field("tries", NUMBER, "How many servers were tried.")]
    reused: Annotated[bool, Field("reused", FLAG, "Whether on a kept connection.")]


class EventBytes(TypedDict):
    """Of the bodies."""

    received: Annotated[int, Field("received", NUMBER, "Of the request's body.", "bytes")]
    sent: Annotated[int, Field("sent", NUMBER, "Of the response's body.", "bytes")]


class EventTimings(TypedDict):
    """How long it took."""

    decision: Annotated[int, Field("", NUMBER, "From the beginning to the decision.", "µs")]
    origin: Annotated[int, Field("", NUMBER, "From there to the origin's answer.", "µs")]
    response: Annotated[int, Field("", NUMBER, "From there to the end.", "µs")]
    total: Annotated[int, Field("", NUMBER, "All together.", "µs")]


class Event(TypedDict):
    """What happened in one exchange, as a line of JSON says it."""

    time: Annotated[str, Field("time", INSTANT, "When the exchange began; RFC 3339, UTC, microseconds.")]
    id: Annotated[
        str,
        Field("identifier", OCTETS, "The identifier that the origin got as ``X-Request-Id``; empty if none was made."),
    ]
    listener: Annotated[str, Field("listener", TEXT, "The listener by name.")]
    client: Annotated[
        str, Field("exchange.client", TEXT, "The client's address, as a trusted proxy reports it if there is one.")
    ]
    peer: Annotated[
        str, Field("exchange.connection.peer", ADDRESS, "The other end of the connection, address and port.")
    ]
    local: Annotated[str, Field("exchange.connection.local", ADDRESS, "This end of the connection.")]
    tls: Annotated[EventTls, Field("exchange.connection")]
    certificate: Annotated[EventCertificate, Field("exchange.connection")]
    server_group: Annotated[
        str, Field("exchange.server_group", TEXT, "The server group by name; empty if it did not get that far.")
    ]
    security_policy: Annotated[str, Field("exchange.security_policy", TEXT, "The security policy, likewise.")]
    path_map: Annotated[str, Field("exchange.path_map", TEXT, "The path map, likewise.")]
    request: Annotated[EventRequest | None, Field("exchange.request")]
    tags: Annotated[list[str], Field("decision.tags", TAGS, "All tags at the end, sorted.")]
    reasons: Annotated[list[EventReason], Field("decision.reasons", REASONS, "Every filter that matched.")]
    action: Annotated[
        str | None, Field("decision.action.name", TEXT, "The action that won; ``null`` if there was none.")
    ]
    mode: Annotated[
        str,
        Field(
            "decision.mode", TEXT, "The mode of filtration; if it is not ``block``, the action is what would have been."
        ),
    ]
    stages: Annotated[dict[str, int], Field("decision.timings", STAGES, "What each stage took.", "µs")]
    status: Annotated[
        int,
        Field(
            "status",
            NUMBER,
            "What the client got; 444 closed without an answer, 499 the client left, 0 nothing was answered.",
        ),
    ]
    error: Annotated[EventError | None, Field("error")]
    origin: Annotated[EventOrigin | None, Field("")]
    bytes: Annotated[EventBytes, Field("")]
    timings: Annotated[EventTimings, Field("")]
