"""``[server-group]``: a virtual host with its own certificates and its own policy on client certificates."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.settings import Between, Choice, HostName, Reference, setting

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""TLS 1.2 suites of Mozilla's "intermediate" without finite-field DHE: forward secrecy and AEAD only."""

REFUSALS = ("handshake", "495", "496", "444", *(str(status) for status in range(400, 432)), "451")


@frozen
class ServerGroup:
    """A virtual host: the names it serves, the certificates it presents and how it judges those of its clients."""

    kind: ClassVar[str] = "server-group"

    hosts: tuple[HostName, ...] = setting(
        "The host names it serves: exact, or ``*.example.com`` for one label more. A group without any is served only "
        "as a listener's default.",
        (),
    )
    certificate: tuple[Annotated[str, Reference("certificate")], ...] = setting(
        "The certificates to present, at most one for each key type; RSA and ECDSA stand side by side."
    )
    mtls: Annotated[str, Choice(("off", "optional", "optional-no-ca", "on"))] = setting(
        "Whether a client certificate is asked for, and what happens without a good one: nginx's "
        "``ssl_verify_client``.",
        "off",
    )
    mtls_refusal: Annotated[str, Choice(REFUSALS)] = setting(
        "How a client is refused: in the ``handshake`` by a TLS alert, or over HTTP with a status. 495 and 496 are "
        "nginx's style: the client gets 400 and the event says which; so does 400. 444 closes without a byte.",
        "400",
    )
    trust_store: tuple[Annotated[str, Reference("trust-store")], ...] = setting(
        "Whom to believe about clients; required unless ``mtls`` is ``off``.", ()
    )
    verify_depth: Annotated[int, Between(0, 100)] = setting(
        "How many intermediate certificates may stand between a client's certificate and an authority.", 1
    )
    required_eku: tuple[Annotated[str, Choice(("clientAuth",))], ...] = setting(
        "Extended key usages that a client's leaf must name itself. Without this a leaf that names none is accepted, "
        "as OpenSSL does; one that names others only is always refused.",
        (),
    )
    minimum_version: Annotated[str, Choice(("1.2", "1.3"))] = setting("The lowest TLS version spoken.", "1.2")
    ciphers: str = setting("TLS 1.2 cipher suites in OpenSSL's notation.", CIPHERS)
    security_policy: Annotated[str, Reference("security-policy")] = setting("The security policy of its requests.")
