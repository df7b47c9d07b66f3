"""A header of the PROXY protocol, which says to a server whose connection it is. Source: ``proxy-protocol.txt``."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_pton

from cryptography import x509
from cryptography.x509.oid import NameOID

from edgenode.model.exchange import Address, Connection
from edgenode.proxy.proxyprotocol.crc32c import crc32c
from edgenode.proxy.proxyprotocol.reading import (
    ALPN,
    AUTHORITY,
    CRC32C,
    SIGNATURE,
    SSL,
    SSL_CIPHER,
    SSL_CN,
    SSL_VERSION,
    UNIQUE_ID,
)

_MAPPED = "::ffff:"
_WITH_TLS, _WITH_CERTIFICATE, _NOT_VERIFIED = 1, 2, 1


def version1(source: Address, destination: Address) -> bytes:
    """The line of version 1; addresses of two families are both written as IPv6.

    :param source: the client's address.
    :param destination: the address to which it has connected.
    """
    if ":" not in source.host and ":" not in destination.host:
        family, one, other = 4, source.host, destination.host
    else:
        family, one, other = 6, _as_ipv6(source.host), _as_ipv6(destination.host)
    return f"PROXY TCP{family} {one} {other} {source.port} {destination.port}\r\n".encode("ascii")


def version2(source: Address, destination: Address, vectors: bytes = b"", checksum: bool = False) -> bytes:
    """The header of version 2.

    :param vectors: of :func:`vector`, one behind the other.
    :param checksum: whether it has one.
    """
    ports = struct.pack(">HH", source.port, destination.port)
    if ":" not in source.host and ":" not in destination.host:
        kind, addresses = 0x11, inet_pton(AF_INET, source.host) + inet_pton(AF_INET, destination.host)
    else:
        hosts = (inet_pton(AF_INET6, _as_ipv6(host)) for host in (source.host, destination.host))
        kind, addresses = 0x21, b"".join(hosts)
    if checksum:
        vectors += vector(CRC32C, bytes(4))
    rest = addresses + ports + vectors
    header = b"%b\x21%c%b%b" % (SIGNATURE, kind, struct.pack(">H", len(rest)), rest)
    return header[:-4] + crc32c(header).to_bytes(4) if checksum else header


def local2() -> bytes:
    """The header of version 2 for a connection of the sender's own."""
    return SIGNATURE + b"\x20\0\0\0"


def vector(kind: int, value: bytes) -> bytes:
    """A vector of type, length and value."""
    return struct.pack(">BH", kind, len(value)) + value


def vectors_of(connection: Connection, identifier: bytes = b"") -> bytes:
    """What is said of a connection besides its addresses: server name, ALPN, and the client's TLS with its certificate.

    :param identifier: of the request for which it is; empty for none.
    """
    name, client = connection.server_name, connection.client
    found = vector(AUTHORITY, name.encode("ascii")) if name else b""
    if connection.alpn:
        found += vector(ALPN, connection.alpn.encode("latin-1"))
    if identifier:
        found += vector(UNIQUE_ID, identifier[:128])
    if connection.tls_version:
        verified = connection.verification.verified and not connection.verification.revoked
        flags = _WITH_TLS | (0 if client is None else _WITH_CERTIFICATE)
        said = struct.pack(">BI", flags, 0 if verified else _NOT_VERIFIED)
        said += vector(SSL_VERSION, connection.tls_version.encode("ascii"))
        said += vector(SSL_CIPHER, connection.cipher.encode("ascii"))
        if client is not None and (common := common_name(client.leaf)):
            said += vector(SSL_CN, common)
        found += vector(SSL, said)
    return found


def common_name(leaf: bytes) -> bytes:
    """The Common Name of a certificate, the last if it has several; empty without one.

    :param leaf: DER.
    """
    try:
        names = x509.load_der_x509_certificate(leaf).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return b""
    value = names[-1].value if names else ""
    return value if isinstance(value, bytes) else value.encode("utf-8", "replace")


def _as_ipv6(host: str) -> str:
    return host if ":" in host else _MAPPED + host
