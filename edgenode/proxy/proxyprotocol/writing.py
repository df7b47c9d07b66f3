"""A header of the PROXY protocol, which says to a server whose connection it is. Source: ``proxy-protocol.txt``."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_pton

from cryptography import x509
from cryptography.x509.oid import NameOID

from edgenode.model.exchange import Address, Connection
from edgenode.model.proxy_protocol import ProxiedTLS
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
    """What is said of a connection besides its addresses: server name, ALPN, and the client's TLS with its certificate;
    without TLS here, what a balancer in front has said of its own.

    :param identifier: of the request for which it is; empty for none.
    """
    before = connection.proxied
    if not connection.tls_version and before is not None:
        authority, alpn = before.authority, before.alpn
    else:
        authority, alpn = (connection.server_name or "").encode("ascii"), connection.alpn.encode("latin-1")
    found = b"".join(vector(kind, value) for kind, value in ((AUTHORITY, authority), (ALPN, alpn)) if value)
    if identifier:
        found += vector(UNIQUE_ID, identifier[:128])
    if connection.tls_version:
        return found + vector(SSL, _own_tls(connection))
    return found if before is None or before.tls is None else found + vector(SSL, _ssl(before.tls))


def _own_tls(connection: Connection) -> bytes:
    client, verdict = connection.client, connection.verification
    verified = verdict.verified and not verdict.revoked
    flags = _WITH_TLS | (0 if client is None else _WITH_CERTIFICATE)
    version, cipher = connection.tls_version.encode("ascii"), connection.cipher.encode("ascii")
    name = b"" if client is None else common_name(client.leaf)
    return _ssl(ProxiedTLS(flags, 0 if verified else _NOT_VERIFIED, version, name, cipher))


def _ssl(tls: ProxiedTLS) -> bytes:
    said = ((SSL_VERSION, tls.version), (SSL_CIPHER, tls.cipher), (SSL_CN, tls.name))
    return struct.pack(">BI", tls.flags, tls.verify) + b"".join(vector(kind, value) for kind, value in said if value)


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
