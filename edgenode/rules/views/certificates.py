"""Client certificates as rules look at them, in Cloudflare's and OpenSSL's formats.

Law: without a certificate there are no names, and nothing is verified; and one that is revoked is not verified, unlike
at Cloudflare, where a rule that asks for ``cert_verified`` alone lets it in.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edgenode.model.exchange import ClientIdentity, Exchange, Verification

T = TypeVar("T")

LARGEST = 10 * 1024
"""The most bytes of a certificate as RFC 9440 writes it; Cloudflare's limit."""

LARGEST_CHAIN = 16 * 1024
"""The same of a chain."""

USAGES: Mapping[str, str] = {
    "2.5.29.37.0": "anyExtendedKeyUsage",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.3.6.1.5.5.7.3.17": "ipsecIKE",
    "1.3.6.1.5.2.3.4": "pkInitClientAuth",
    "1.3.6.1.5.2.3.5": "pkInitKDC",
    "1.3.6.1.4.1.311.20.2.2": "msSmartcardLogin",
}
"""The well-known extended key usages, by their dotted numbers."""

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905


def of_client(read: Callable[[ClientIdentity], Any], default: Any) -> Callable[[Exchange], Any]:
    """A reader of an exchange from one of the client's identity, with what it reads where there is none."""

    def reader(exchange: Exchange) -> Any:
        client = exchange.connection.client
        return default if client is None else read(client)

    return reader


def text(attribute: str) -> Callable[[Exchange], bytes]:
    """A reader of a text of the client's identity; empty without a certificate."""
    return of_client(lambda client: getattr(client, attribute).encode("utf-8", "surrogatepass"), b"")


def verdict(read: Callable[[Verification], T]) -> Callable[[Exchange], T]:
    """A reader of the verdict; without a certificate that is of nobody."""
    return lambda exchange: read(exchange.connection.verification)


def names(kind: str) -> Callable[[Exchange], tuple[bytes, ...]]:
    """A reader of all subject alternative names of a kind."""
    return of_client(lambda c: tuple(name.encode("utf-8", "surrogatepass") for name in getattr(c.sans, kind)), ())


def usages(client: ClientIdentity) -> tuple[bytes, ...]:
    """The extended key usages: each dotted number, and behind it its name if it has a well-known one."""
    named = ((dotted, USAGES.get(dotted, "")) for dotted in client.extended_key_usages)
    return tuple(word.encode("ascii") for words in named for word in words if word)


def date(attribute: str) -> Callable[[Exchange], bytes]:
    """A reader of a time as OpenSSL prints it: ``Mar  1 13:35:00 2022 GMT``; empty without a certificate."""

    def read(client: ClientIdentity) -> bytes:
        time: datetime.datetime = getattr(client, attribute)
        return f"{_MONTHS[time.month - 1]} {time.day:2} {time:%H:%M:%S} {time.year} GMT".encode("ascii")

    return of_client(read, b"")


def leaf(client: ClientIdentity) -> bytes:
    """The certificate as a Byte Sequence (RFC 9440, section 2.1); empty if that is too long."""
    written = _byte_sequence(client.leaf)
    return written if len(written) <= LARGEST else b""


def chain(client: ClientIdentity) -> bytes:
    """The further certificates in the order sent, likewise; empty if they are too long, or there are none."""
    written = b", ".join(map(_byte_sequence, client.chain_sent))
    return written if len(written) <= LARGEST_CHAIN else b""


def chain_too_large(client: ClientIdentity) -> bool:
    """Whether they are too long."""
    return bool(client.chain_sent) and not chain(client)


def days_to_expiry(exchange: Exchange) -> int | None:
    """Whole days until the certificate expires, negative behind it; missing without a certificate or the time."""
    client = exchange.connection.client
    if client is None or not exchange.time:
        return None
    return int((client.not_after.timestamp() - exchange.time) // 86400)


def crl_age(exchange: Exchange) -> int | None:
    """Seconds since the revocation list that covers the certificate was issued; missing if none does."""
    client = exchange.connection.client
    if client is None or client.crl_this_update is None or not exchange.time:
        return None
    return int(exchange.time - client.crl_this_update.timestamp())


def crl_stale(exchange: Exchange) -> bool | None:
    """Whether that list is past its date; missing if there is none."""
    client = exchange.connection.client
    if client is None or client.crl_this_update is None or not exchange.time:
        return None
    return client.crl_next_update is not None and exchange.time > client.crl_next_update.timestamp()


def _byte_sequence(der: bytes) -> bytes:
    return b":%b:" % base64.b64encode(der)
