"""What a balancer in front of the node says of a connection: the header of the PROXY protocol, read.

Source: HAProxy's ``doc/proxy-protocol.txt``.
"""

from __future__ import annotations

from typing import NamedTuple

from edgenode.model.addresses import Address

_WITH_TLS, _WITH_CERTIFICATE = 0x01, 0x06


class ProxiedTLS(NamedTuple):
    """What a header of version 2 says of the client's TLS with the balancer (``PP2_TYPE_SSL``).

    :ivar flags: its ``client`` byte: TLS is spoken, a certificate was shown on this connection, or in this session.
    :ivar verify: the result of the verification, by OpenSSL's number; 0 also if there was nothing to verify.
    :ivar version: ``TLSv1.3``; empty if it is not said, as all that follow.
    :ivar name: the Common Name of the client's certificate.
    :ivar cipher: OpenSSL's name of the cipher suite.
    """

    flags: int
    verify: int
    version: bytes = b""
    name: bytes = b""
    cipher: bytes = b""

    @property
    def spoken(self) -> bool:
        """Whether the client speaks TLS with the balancer."""
        return bool(self.flags & _WITH_TLS)

    @property
    def verified(self) -> bool:
        """Whether the client has shown the balancer a certificate that it has verified."""
        return bool(self.flags & _WITH_CERTIFICATE) and not self.verify


class ProxyHeader(NamedTuple):
    """A header of the PROXY protocol; what it does not say is empty or ``None``.

    :ivar version: 1 or 2.
    :ivar source: the client's address; ``None`` if the connection is the balancer's own, or of another kind than TCP.
    :ivar destination: the address to which the client has connected; likewise.
    :ivar alpn: the application protocol that client and balancer speak, or that is forwarded.
    :ivar authority: the host name that the client wants, such as the server name of its handshake.
    :ivar unique_id: the connection's identifier, up to 128 bytes of any kind.
    :ivar tls: the client's TLS with the balancer.
    :ivar vpc_endpoint: AWS: the identifier of the VPC endpoint by which the client comes.
    :ivar link_id: Azure: the number of the private endpoint by which the client comes.
    :ivar sender: who has sent the header: the balancer's address; ``None`` as long as nobody has said it.
    """

    version: int
    source: Address | None = None
    destination: Address | None = None
    alpn: bytes = b""
    authority: bytes = b""
    unique_id: bytes = b""
    tls: ProxiedTLS | None = None
    vpc_endpoint: bytes = b""
    link_id: int | None = None
    sender: Address | None = None
