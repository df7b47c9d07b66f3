"""What is judged: a connection, who is at its other end, a request, and the exchange that joins them.

Law: no value here knows a transport, a reactor or a TLS library. Bytes are kept as they were received; what is decoded
for matching stands beside them and never replaces them. What is made once per connection is frozen; what is made for
every request is not, because freezing costs more than the value itself, and is not changed all the same once it has
been handed on, except for the exchange of whoever owns it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from attrs import Factory, define, field, frozen

from edgenode.model.addresses import Address as Address
from edgenode.model.proxy_protocol import ProxyHeader
from edgenode.model.tokens import TokenVerdict

Headers = tuple[tuple[bytes, bytes], ...]
"""Header fields in the order received, as (name in lower case, value) pairs; repeated names stay repeated."""


UNKNOWN_CLIENT = "unknown"
"""The client of an exchange if a trusted proxy reports none, or no address (RFC 7239, section 6.2)."""


@frozen
class Verification:
    """The verdict on a client certificate, with the reasons that the TLS library gave.

    :ivar presented: a certificate was sent, valid or not.
    :ivar verified: it chains to a trusted authority and nothing at all was wrong with it.
    :ivar revoked: a revocation list names it, or one of its issuers.
    :ivar first_error: OpenSSL's number of the first error (HAProxy's ``ssl_c_err``), 0 if there was none.
    :ivar last_error: the number of the last error (nginx's ``$ssl_client_verify``), 0 if there was none.
    :ivar depth: the depth in the chain, 0 the leaf, at which the last error arose.
    :ivar reason: the last error in OpenSSL's words, empty if there was none.
    :ivar errors: the numbers of all errors, in the order found.
    :ivar whose: the issuer whose revocation list the last error is about; empty if it is about none.
    """

    presented: bool = False
    verified: bool = False
    revoked: bool = False
    first_error: int = 0
    last_error: int = 0
    depth: int = 0
    reason: str = ""
    errors: tuple[int, ...] = ()
    whose: str = ""

    @property
    def sentence(self) -> str:
        """The reason for people: the same, and whose list it is about."""
        return f"{self.reason}: the list of {self.whose}" if self.whose else self.reason

    def __str__(self) -> str:
        """nginx's word for it: ``SUCCESS``, ``FAILED:reason`` or ``NONE``."""
        if not self.presented:
            return "NONE"
        return "SUCCESS" if self.verified else f"FAILED:{self.reason}"


@frozen
class AlternativeNames:
    """The subject alternative names of a certificate (RFC 5280, section 4.2.1.6), each kind as written and in order.

    :ivar dns: DNS names.
    :ivar uri: URIs, among them SPIFFE IDs.
    :ivar email: mailboxes.
    :ivar ip: IP addresses in text; an IPv4-mapped IPv6 address stays one.
    """

    dns: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    email: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()


@frozen
class ClientIdentity:
    """What a client certificate says of its holder; believe it only if ``verification.verified``.

    :ivar leaf: the certificate, DER.
    :ivar chain_sent: the further certificates in the order the client sent them, DER, without the leaf.
    :ivar subject: the subject's distinguished name, RFC 4514 (which is RFC 2253's order: CN first).
    :ivar issuer: the issuer's distinguished name, likewise.
    :ivar serial: the serial number, upper-case hexadecimal.
    :ivar fingerprint_sha256: of the DER leaf, lower-case hexadecimal.
    :ivar not_before: start of validity, UTC.
    :ivar not_after: end of validity, UTC.
    :ivar verification: the verdict.
    :ivar chain_verified: its issuers up to the trusted authority, DER; empty unless it was verified.
    :ivar tags: those of the trust stores that its chain ends in; empty unless it was verified.
    :ivar sans: its subject alternative names; none if they cannot be read.
    :ivar spki_sha256: of its SubjectPublicKeyInfo, DER, lower-case hexadecimal.
    :ivar key_type: ``RSA``, ``ECDSA``, ``Ed25519``, ``Ed448`` or ``DSA``; of another kind the dotted number.
    :ivar key_bits: the size of the key, 0 if it is not known.
    :ivar signature_algorithm: how it is signed, such as ``ecdsa-sha256``; of another kind the dotted number.
    :ivar subject_legacy: the subject in OpenSSL's one-line form: ``/C=US/O=Example/CN=x``.
    :ivar issuer_legacy: the issuer, likewise.
    :ivar fingerprint_sha1: of the DER leaf, lower-case hexadecimal.
    :ivar ski: its subject key identifier, upper-case hexadecimal; empty if it has none.
    :ivar issuer_ski: its authority key identifier, likewise.
    :ivar issuer_serial: the serial number of its direct issuer; empty unless it was verified.
    :ivar extended_key_usages: the dotted numbers of its extended key usages.
    :ivar crl_this_update: when the revocation list that covers it was issued, UTC; ``None`` if none covers it.
    :ivar crl_next_update: when a newer one is due, UTC; ``None`` if that is not said.
    """

    leaf: bytes
    chain_sent: tuple[bytes, ...]
    subject: str
    issuer: str
    serial: str
    fingerprint_sha256: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    verification: Verification
    chain_verified: tuple[bytes, ...] = ()
    tags: tuple[str, ...] = ()
    sans: AlternativeNames = AlternativeNames()
    spki_sha256: str = ""
    key_type: str = ""
    key_bits: int = 0
    signature_algorithm: str = ""
    subject_legacy: str = ""
    issuer_legacy: str = ""
    fingerprint_sha1: str = ""
    ski: str = ""
    issuer_ski: str = ""
    issuer_serial: str = ""
    extended_key_usages: tuple[str, ...] = ()
    crl_this_update: datetime.datetime | None = None
    crl_next_update: datetime.datetime | None = None


NO_CERTIFICATE = Verification()


@frozen(eq=False)
class Connection:
    """One connection from a client, as far as rules may know it; equal only to itself.

    :ivar peer: the client: behind a trusted proxy this is still the proxy; see :attr:`Exchange.client`.
    :ivar local: the address the connection came in on.
    :ivar server_name: the TLS server name (SNI) in lower case, or ``None``.
    :ivar alpn: the application protocol that was agreed on, or an empty string.
    :ivar tls_version: such as ``TLSv1.3``; empty without TLS.
    :ivar cipher: OpenSSL's name of the cipher suite; empty without TLS.
    :ivar fingerprint: JA4 of the ClientHello; empty without TLS.
    :ivar client: the client's identity, ``None`` if it presented no certificate.
    :ivar expired: since when our own certificate had expired at the handshake, UTC; ``None`` if it had not.
    :ivar proxied: what a balancer has said of it in a PROXY header; ``None`` without one. ``peer`` and ``local`` are
        the header's then, if it says them.
    """

    peer: Address
    local: Address
    server_name: str | None = None
    alpn: str = ""
    tls_version: str = ""
    cipher: str = ""
    fingerprint: str = ""
    client: ClientIdentity | None = None
    expired: datetime.datetime | None = None
    proxied: ProxyHeader | None = None

    @property
    def verification(self) -> Verification:
        """The verdict on the client's certificate; that of nobody's if there is none."""
        return NO_CERTIFICATE if self.client is None else self.client.verification


@frozen
class Body:
    """As much of a request's body as rules may look at.

    :ivar data: its beginning, with the framing of HTTP removed; content codings are left alone.
    :ivar size: its size in bytes: of the whole, if that is known, else the most that it can be.
    :ivar truncated: whether there is more of it than ``data``.
    """

    data: bytes = b""
    size: int = 0
    truncated: bool = False


NO_BODY = Body()

_NO_ARGUMENTS: Mapping[bytes, Sequence[bytes]] = MappingProxyType({})


@define(slots=False, unsafe_hash=True)
class Request:
    """The head of an HTTP request as it was received; never changed once made.

    It has a ``__dict__``, in which the views of :mod:`edgenode.rules.views.view` are kept.

    :ivar method: case-sensitive, as sent.
    :ivar scheme: ``https`` or ``http``.
    :ivar authority: host and port of an absolute target, or else of Host, in normal form.
    :ivar target: the request target in origin form, or ``*``, as sent.
    :ivar path: the target up to the first ``?``, as sent: percent-encoding untouched.
    :ivar query: the target after the first ``?``, or ``None`` if it has none.
    :ivar normalised_path: the path for matching: percent-decoded once, slashes merged, dot segments resolved.
    :ivar headers: the header fields, names in lower case.
    :ivar names: the same names as they were received, index by index.
    :ivar version: ``(1, 1)``, ``(1, 0)``, ``(2, 0)``.
    :ivar length: the body's length in bytes, 0 for none, ``None`` if it is not known in advance.
    :ivar body: its body, if it has none, or if a rule asked for it; else ``None``.
    :ivar fields: every value of every header by its lower-case name, a ``dict`` that nobody changes.
    :ivar application_arguments: the arguments as the application behind has read them itself, decoded, if it is known:
        Twisted's ``request.args``. Rules see them besides.
    """

    application_arguments = _NO_ARGUMENTS

    method: bytes
    scheme: bytes
    authority: bytes
    target: bytes
    path: bytes
    query: bytes | None
    normalised_path: bytes
    headers: Headers = ()
    names: tuple[bytes, ...] = ()
    version: tuple[int, int] = (1, 1)
    length: int | None = 0
    body: Body | None = field(
        default=Factory(lambda self: NO_BODY if self.length == 0 else None, takes_self=True), repr=False
    )
    fields: Mapping[bytes, tuple[bytes, ...]] = field(
        default=Factory(lambda self: by_name(self.headers), takes_self=True), repr=False, eq=False
    )

    @property
    def host(self) -> bytes:
        """The authority without port and without a trailing dot."""
        return host_of(self.authority)


def by_name(headers: Headers) -> dict[bytes, tuple[bytes, ...]]:
    """Every value of every header by its lower-case name."""
    fields: dict[bytes, tuple[bytes, ...]] = {name: (value,) for name, value in headers}
    if len(fields) == len(headers):
        return fields
    # Some name is repeated, which is rare; thousands of times by who wants it to take long.
    found: dict[bytes, list[bytes]] = {name: [] for name in fields}
    for name, value in headers:
        found[name].append(value)
    return {name: tuple(values) for name, values in found.items()}


def host_of(authority: bytes) -> bytes:
    """The host of an authority: no port, no trailing dot; an IPv6 literal keeps its brackets."""
    end = authority.rfind(b":")
    if end >= 0 and end > authority.rfind(b"]"):
        authority = authority[:end]
    return authority[:-1] if authority.endswith(b".") else authority


@define
class Response:
    """An answer that the node gives by itself.

    :ivar status: the HTTP status.
    :ivar headers: the header fields besides those of framing.
    :ivar body: the whole body.
    :ivar plain: whether that says no more than the status, so that an error page may take its place.
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    plain: bool = field(default=False, eq=False)


@frozen(cache_hash=True)
class Geography:
    """Where an address is, and whose it is, as far as the databases of ``[geo]`` know; empty is unknown.

    :ivar country: ISO 3166-1 code of two letters: ``DE``.
    :ivar country_name: in English: ``Germany``.
    :ivar continent: code of two letters: ``EU``.
    :ivar region: the first subdivision's name in English.
    :ivar region_code: its ISO 3166-2 code without the country's: ``BW``.
    :ivar subregion: the second subdivision's name in English.
    :ivar subregion_code: its code.
    :ivar city: its name in English.
    :ivar postal_code: as used there.
    :ivar metro_code: of the United States.
    :ivar latitude: degrees, in text.
    :ivar longitude: likewise.
    :ivar timezone: such as ``Europe/Berlin``.
    :ivar in_european_union: whether the country is a member.
    :ivar asn: the number of the autonomous system, 0 if unknown.
    :ivar organization: whose it is: ``Google LLC``.
    """

    country: str = ""
    country_name: str = ""
    continent: str = ""
    region: str = ""
    region_code: str = ""
    subregion: str = ""
    subregion_code: str = ""
    city: str = ""
    postal_code: str = ""
    metro_code: str = ""
    latitude: str = ""
    longitude: str = ""
    timezone: str = ""
    in_european_union: bool = False
    asn: int = 0
    organization: str = ""


class TokenJudge(Protocol):
    """Judges the tokens of requests, by token configuration."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the token configurations."""

    def judge(self, name: str, exchange: Exchange) -> TokenVerdict:
        """The verdict on the token of an exchange that has a request.

        :param name: of the token configuration.
        """


@define(weakref_slot=False)
class Exchange:
    """What the pipeline judges: a connection, the request on it if it speaks HTTP, and the tags so far.

    Only its owner changes it: whoever made it, or the pipeline that was given it
    (:meth:`edgenode.policy.pipeline.Pipeline.judge`). Rules and stages read it.

    :ivar connection: where it came in.
    :ivar request: the request; ``None`` for a stream.
    :ivar client: the client's address in text: the peer, or what trusted proxies report of it; then it may be
        :data:`UNKNOWN_CLIENT`.
    :ivar tags: the tags put on it so far; they only grow.
    :ivar server_group: the name of the server group that serves it.
    :ivar security_policy: the name of its security policy.
    :ivar path_map: the name of its path map; empty if none was chosen.
    :ivar geography: where the client is; ``None`` if nobody has looked.
    :ivar time: when it began, seconds since the epoch; 0 if unknown.
    :ivar standing: the automatic tags that are the same for every request of this connection with this authority and
        path map: see :meth:`edgenode.policy.tagging.Tagging.standing`. ``None`` if nobody has computed them.
    :ivar identifier: its identifier, as events and the origin are told; empty if it has none.
    :ivar exempt: the names of the stages that are left out for it.
    :ivar tokens: who judges its tokens, if a rule asks; ``None`` if there are no token configurations.
    :ivar carried: what a stage that has judged the request keeps for its answer; ``None`` for nothing.
    """

    connection: Connection
    request: Request | None = None
    client: str = ""
    tags: frozenset[str] = frozenset()
    server_group: str = ""
    security_policy: str = ""
    path_map: str = ""
    geography: Geography | None = None
    time: float = 0.0
    standing: frozenset[str] | None = None
    identifier: bytes = b""
    exempt: frozenset[str] = frozenset()
    tokens: TokenJudge | None = field(default=None, eq=False, repr=False)
    carried: object = field(default=None, eq=False, repr=False)

    def tagged(self, tags: Iterable[str] = ()) -> Exchange:
        """A copy of this exchange with more tags."""
        return Exchange(
            self.connection,
            self.request,
            self.client,
            self.tags.union(tags),
            self.server_group,
            self.security_policy,
            self.path_map,
            self.geography,
            self.time,
            self.standing,
            self.identifier,
            self.exempt,
            self.tokens,
            self.carried,
        )
