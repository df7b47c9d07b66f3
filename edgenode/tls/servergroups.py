"""``[server-group]``: a virtual host with its own certificates and its own policy on client certificates."""

from __future__ import annotations

from typing import Annotated, ClassVar

import attrs
from attrs import frozen

from edgenode.model.decision import MODES
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, HostName, Network, Reference, Size, setting
from edgenode.tls.allowlists import CertificatePin, DNSPattern, EmailPattern, KeyPin, SubjectPattern, URIPattern
from edgenode.tls.bounds import LARGEST_CHAIN, LARGEST_OF_OPENSSL

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""TLS 1.2 suites of Mozilla's "intermediate" without finite-field DHE: forward secrecy and AEAD only."""

SIGNATURES = (
    *(f"{kind}-{digest}" for kind in ("ecdsa", "rsa", "rsa-pss") for digest in ("sha256", "sha384", "sha512")),
    "ed25519",
    "ed448",
)

_OF_VERIFIED_CLIENTS = ("allow_", "pin_", "minimum_rsa_bits", "minimum_ec_bits", "signature_algorithms")

REFUSALS = ("handshake", "495", "496", "444", *(str(status) for status in range(400, 432)), "451")

CERTIFICATE_HEADERS = ("none", "rfc9440", "xfcc", "nginx")


@frozen
class ServerGroup:
    """A virtual host: the names it serves, the certificates it presents, and how it judges those of its clients."""

    kind: ClassVar[str] = "server-group"

    hosts: tuple[HostName, ...] = setting(
        "The host names it serves: exact, or ``*.example.com`` for one label more; or addresses, ``192.0.2.1`` and "
        "``[2001:db8::1]``. A client that connects to an address names no server in its handshake: it gets the group "
        "that has the address at which the connection has arrived, here and not before a NAT. A group without any is "
        "served only as a listener's default.",
        (),
    )
    certificate: tuple[Annotated[str, Reference("certificate")], ...] = setting(
        "The certificates to present, at most one for each key type; RSA and ECDSA stand side by side."
    )
    mtls: Annotated[str, Choice(("off", "optional", "optional-no-ca", "on"))] = setting(
        "Whether a client certificate is asked for, and what happens without a good one: nginx's "
        "``ssl_verify_client``. With ``optional-no-ca`` nobody is refused: whether there is a certificate, and what is "
        "wrong with it, is for rules.",
        "off",
    )
    mtls_refusal: Annotated[str, Choice(REFUSALS)] = setting(
        "How a client is refused: in the ``handshake`` by a TLS alert, or over HTTP with a status. 495 and 496 are "
        "nginx's style: the client gets 400 and the event says which; so does 400. 444 closes without a byte.",
        "400",
    )
    trust_store: tuple[Annotated[str, Reference("trust-store")], ...] = setting(
        "Whose certificates of clients are trusted; required unless ``mtls`` is ``off``.", ()
    )
    verify_depth: Annotated[int, Between(0, 100)] = setting(
        "How many intermediate certificates may stand between a client's certificate and an authority.", 1
    )
    max_chain_size: Size = setting(
        "The most bytes of a client's certificate and the intermediates that it sends; at most 100k, OpenSSL's bound.",
        Size(LARGEST_CHAIN),
    )
    required_eku: tuple[Annotated[str, Choice(("clientAuth",))], ...] = setting(
        "Extended key usages that a client's leaf must name itself. Without this a leaf that names none is accepted, "
        "as OpenSSL does; one that names others only is always refused.",
        (),
    )
    allow_dns: tuple[DNSPattern, ...] = setting(
        "DNS names of the clients that are let in, exact or ``*.example.com`` for one label more. With any of the "
        "``allow-`` lists a verified client needs one name that is on one of them.",
        (),
    )
    allow_uri: tuple[URIPattern, ...] = setting(
        "The same for URIs, exact or ``spiffe://example.org/*`` for all that have further path segments.", ()
    )
    allow_email: tuple[EmailPattern, ...] = setting(
        "The same for mailboxes, exact or ``@example.com`` for all of that domain.", ()
    )
    allow_ip: tuple[Network, ...] = setting("The same for IP addresses that a certificate names.", ())
    allow_subject: tuple[SubjectPattern, ...] = setting(
        "The same for whole subjects, as events write them: ``CN=Alice,O=Example``, one a line.", ()
    )
    pin_certificate: tuple[CertificatePin, ...] = setting(
        "The SHA-256 of each certificate that is let in, hexadecimal. With any pin of either kind a client's "
        "certificate or its key must be pinned, besides what the ``allow-`` lists say.",
        (),
    )
    pin_spki: tuple[KeyPin, ...] = setting(
        "The SHA-256 of the SubjectPublicKeyInfo of each key that is let in, hexadecimal or base64.", ()
    )
    minimum_rsa_bits: Annotated[int, Between(1024, 16384)] = setting(
        "The smallest RSA key of a client and its intermediates. OpenSSL's own limit stands behind it.", 2048
    )
    minimum_ec_bits: Annotated[int, Between(192, 521)] = setting(
        "The same for keys on elliptic curves. A client's own is on P-256, P-384 or P-521 in any case, or by TLS 1.3 "
        "on one of Brainpool's: a handshake has no others, here as with nginx.",
        224,
    )
    signature_algorithms: tuple[Annotated[str, Choice(SIGNATURES)], ...] = setting(
        "How a client's certificate and its intermediates may be signed; whatever OpenSSL lets pass without it.", ()
    )
    minimum_version: Annotated[str, Choice(("1.2", "1.3"))] = setting("The lowest TLS version spoken.", "1.2")
    ciphers: str = setting("TLS 1.2 cipher suites in OpenSSL's notation.", CIPHERS)
    certificate_headers: tuple[Annotated[str, Choice(CERTIFICATE_HEADERS)], ...] = setting(
        "What origins are told of the client's certificate, in one style or several: RFC 9440's ``Client-Cert``, "
        "Envoy's ``X-Forwarded-Client-Cert``, or ``SSL_CLIENT_VERIFY`` and its kin as nginx fills them. No such header "
        "ever crosses from a client.",
        ("none",),
    )
    security_policy: Annotated[str, Reference("security-policy")] = setting("The security policy of its requests.")
    mode: Annotated[str, Choice(MODES)] | None = setting(
        "Its mode of filtration; without the key that of ``[edge]``.", None
    )
    strict: bool = setting("Whether no path map may have a looser mode for it.", False)

    def __attrs_post_init__(self) -> None:
        if not 1024 <= self.max_chain_size <= LARGEST_OF_OPENSSL:
            raise InvalidValue(
                "expected 1k to 100k: a certificate has more, and OpenSSL reads no more", which="max-chain-size"
            )

    @property
    def asked_of_verified_clients(self) -> tuple[str, ...]:
        """The keys that are set and that only a client with a verified certificate can satisfy, as in the INI."""
        fields = (field for field in attrs.fields(ServerGroup) if field.name.startswith(_OF_VERIFIED_CLIENTS))
        return tuple(field.name.replace("_", "-") for field in fields if getattr(self, field.name) != field.default)
