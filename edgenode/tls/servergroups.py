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
    """A virtual host: its names, the certificates that it presents, and its settings for client certificates."""

    kind: ClassVar[str] = "server-group"

    hosts: tuple[HostName, ...] = setting(
        "The host names of the group: exact, or ``*.example.com`` for one label more; or addresses, "
        "``192.0.2.1`` and ``[2001:db8::1]``. A client that connects to an address names no server in its "
        "handshake: it gets the group that has the local address of the connection, which behind a NAT is "
        "the address of this machine. A group without host names is used only as a listener's default.",
        (),
    )
    certificate: tuple[Annotated[str, Reference("certificate")], ...] = setting(
        "The certificates to present, at most one for each key type: RSA, ECDSA. Required, unless only listeners with "
        "``tls = no`` serve the group.",
        (),
    )
    mtls: Annotated[str, Choice(("off", "optional", "optional-no-ca", "on"))] = setting(
        "Whether a client certificate is asked for, and what happens without a good one: nginx's "
        "``ssl_verify_client``. With ``optional-no-ca`` nobody is refused: rules decide on missing and bad "
        "certificates.",
        "off",
    )
    mtls_refusal: Annotated[str, Choice(REFUSALS)] = setting(
        "How a client is refused: in the ``handshake`` by a TLS alert, or over HTTP with a status. With "
        "400, 495 or 496 the client gets 400, as from nginx, and the event says 495 or 496. 444 closes the "
        "connection without a byte.",
        "400",
    )
    trust_store: tuple[Annotated[str, Reference("trust-store")], ...] = setting(
        "The authorities that are trusted to issue client certificates; required unless ``mtls`` is ``off``.", ()
    )
    verify_depth: Annotated[int, Between(0, 100)] = setting(
        "How many intermediate certificates may stand between a client's certificate and an authority.", 1
    )
    max_chain_size: Size = setting(
        "The maximum size of a client's certificate and the intermediates that it sends; at most 100k, "
        "OpenSSL's own limit.",
        Size(LARGEST_CHAIN),
    )
    required_eku: tuple[Annotated[str, Choice(("clientAuth",))], ...] = setting(
        "Extended key usages that a client's certificate must name. Without the key a certificate that "
        "names none is accepted, as by OpenSSL; one that names only others is always refused.",
        (),
    )
    allow_dns: tuple[DNSPattern, ...] = setting(
        "DNS names of the clients that are accepted, exact or ``*.example.com`` for one label more. With "
        "any of the ``allow-`` lists a verified client needs one name that is on one of them.",
        (),
    )
    allow_uri: tuple[URIPattern, ...] = setting(
        "URIs of the clients that are accepted, exact or ``spiffe://example.org/*`` for all with further "
        "path segments; see ``allow-dns``.",
        (),
    )
    allow_email: tuple[EmailPattern, ...] = setting(
        "Mailboxes of the clients that are accepted, exact or ``@example.com`` for all of that domain; see "
        "``allow-dns``.",
        (),
    )
    allow_ip: tuple[Network, ...] = setting(
        "Networks of the IP addresses that the certificates of accepted clients name; see ``allow-dns``.", ()
    )
    allow_subject: tuple[SubjectPattern, ...] = setting(
        "Whole subjects of the clients that are accepted, as events write them: ``CN=Alice,O=Example``, one "
        "a line; see ``allow-dns``.",
        (),
    )
    pin_certificate: tuple[CertificatePin, ...] = setting(
        "The SHA-256 of each certificate that is accepted, hexadecimal. With any ``pin-certificate`` or "
        "``pin-spki`` a client's certificate or its key must be pinned, in addition to the ``allow-`` "
        "lists.",
        (),
    )
    pin_spki: tuple[KeyPin, ...] = setting(
        "The SHA-256 of the SubjectPublicKeyInfo of each key that is accepted, hexadecimal or base64; see "
        "``pin-certificate``.",
        (),
    )
    minimum_rsa_bits: Annotated[int, Between(1024, 16384)] = setting(
        "The minimum size of RSA keys of a client and its intermediates. OpenSSL's own minimum applies as well.", 2048
    )
    minimum_ec_bits: Annotated[int, Between(192, 521)] = setting(
        "The minimum size of keys on elliptic curves of a client and its intermediates. In any case a "
        "client's own key has to be on P-256, P-384 or P-521, or with TLS 1.3 on a Brainpool curve: a "
        "handshake has no others, as with nginx.",
        224,
    )
    signature_algorithms: tuple[Annotated[str, Choice(SIGNATURES)], ...] = setting(
        "The signature algorithms allowed for a client's certificate and its intermediates; without the key "
        "all that OpenSSL accepts.",
        (),
    )
    minimum_version: Annotated[str, Choice(("1.2", "1.3"))] = setting("The lowest TLS version.", "1.2")
    ciphers: str = setting("TLS 1.2 cipher suites in OpenSSL's notation.", CIPHERS)
    certificate_headers: tuple[Annotated[str, Choice(CERTIFICATE_HEADERS)], ...] = setting(
        "The headers that tell origins about the client's certificate, in one or several styles: "
        "``Client-Cert`` of RFC 9440, Envoy's ``X-Forwarded-Client-Cert``, or ``SSL_CLIENT_VERIFY`` and "
        "others with the values of nginx's variables. Such headers of a client are always removed.",
        ("none",),
    )
    security_policy: Annotated[str, Reference("security-policy")] = setting(
        "The security policy for the requests of the group; required, unless the file is only for the endpoint "
        "``edgenode:``, which serves no requests.",
        "",
    )
    response_rules: tuple[Annotated[str, Reference("response-rules")], ...] = setting(
        "What is done to the answers of the group: header fields, and pages in the place of errors, those too that no "
        "path map has. Where they contradict each other the later ones win, and those of the path map last.",
        (),
    )
    mode: Annotated[str, Choice(MODES)] | None = setting(
        "The mode of filters for this group; without the key that of ``[edge]``.", None
    )
    strict: bool = setting("Whether path maps are forbidden to have a looser mode in this group.", False)

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
