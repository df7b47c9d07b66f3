"""What a balancer says of a connection in a header of the PROXY protocol, as fields; missing without one."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from edgenode.model.exchange import Exchange
from edgenode.model.proxy_protocol import ProxiedTLS, ProxyHeader
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, Type
from edgenode.rules.networks import address


def _of(read: Callable[[ProxyHeader], Any]) -> Callable[[Exchange], Any]:
    """A reader of a header."""

    def of_exchange(exchange: Exchange) -> Any:
        header = exchange.connection.proxied
        return None if header is None else read(header)

    return of_exchange


def _text(attribute: str) -> Callable[[Exchange], Any]:
    """A reader of a text; missing if it is empty."""
    read = attrgetter(attribute)
    return _of(lambda header: read(header) or None)


def _of_tls(read: Callable[[ProxiedTLS], Any]) -> Callable[[Exchange], Any]:
    """A reader of what the header says of the client's TLS."""
    return _of(lambda header: None if header.tls is None else read(header.tls))


ROWS: tuple[tuple[str, Type, Callable[[Exchange], Any], str], ...] = (
    ("version", INT, _of(attrgetter("version")), "The version of the PROXY header that the connection began with."),
    ("sender", IP, _of(lambda header: None if header.sender is None else address(header.sender.host)),
     "The address of the balancer that has sent the PROXY header."),
    ("authority", BYTES, _text("authority"),
     "The host name that the client wants of the balancer, such as its SNI, as the PROXY header has it."),
    ("alpn", BYTES, _text("alpn"), "The application protocol that the PROXY header names: ``h2``."),
    ("unique_id", BYTES, _text("unique_id"), "The connection's identifier in the PROXY header, bytes of any kind."),
    ("ssl", BOOL, _of(lambda header: header.tls is not None and header.tls.spoken),
     "Whether the client speaks TLS with the balancer, by the PROXY header."),
    ("ssl.version", BYTES, _of_tls(lambda tls: tls.version or None), "The TLS version there: ``TLSv1.3``."),
    ("ssl.cipher", BYTES, _of_tls(lambda tls: tls.cipher or None), "The cipher suite there, by OpenSSL's name."),
    ("ssl.verified", BOOL, _of_tls(attrgetter("verified")),
     "Whether the client has shown the balancer a certificate that it has verified."),
    ("ssl.verify", INT, _of_tls(attrgetter("verify")),
     "The result of that verification, by OpenSSL's number; 0 also where there was no certificate."),
    ("ssl.cn", BYTES, _of_tls(lambda tls: tls.name or None), "The Common Name of the certificate shown there."),
    ("aws.vpc_endpoint_id", BYTES, _text("vpc_endpoint"),
     "AWS: the VPC endpoint by which the client comes: ``vpce-08d2bf15fac5001c9``."),
    ("azure.link_id", INT, _of(attrgetter("link_id")),
     "Azure: the number of the private endpoint by which the client comes."),
)  # fmt: skip
"""Name, type, reader and help of each."""
