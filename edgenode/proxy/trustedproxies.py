"""Proxies in front of us, and what they report of the client (RFC 7239; X-Forwarded-For by custom).

Law: a report is believed as far as trusted hands wrote it. The list is walked from right to left, up to and including
the first address that is not a trusted proxy's: whoever that is could write what he liked at its left.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

_FOR = re.compile(rb'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)


class TrustedProxies:
    """The networks of the proxies in front of us.

    :param networks: CIDR networks.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def contains(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        if not self._networks:
            return False
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._networks)

    def walk(self, peer: str, fields: Mapping[bytes, tuple[bytes, ...]]) -> tuple[str, str]:
        """The client, and the X-Forwarded-For to send on: the part of the list that is believed, the client first.

        :param peer: the address of a trusted proxy.
        :param fields: the header fields of the request. If X-Forwarded-For and Forwarded disagree, neither counts.
        """
        hops = [hop.strip() for field in fields.get(b"x-forwarded-for", ()) for hop in field.split(b",")]
        forwarded = [_for(element) for field in fields.get(b"forwarded", ()) for element in field.split(b",")]
        if hops and forwarded and self._walk(peer, hops)[0] != self._walk(peer, forwarded)[0]:
            # The proxy writes one of the two, and the client wrote the other: nobody knows which.
            return peer, peer
        return self._walk(peer, hops or forwarded)

    def _walk(self, peer: str, hops: list[bytes]) -> tuple[str, str]:
        client, chain = peer, [peer]
        for hop in reversed([hop for hop in hops if hop]):
            address = _address(hop)
            if address is None:
                break
            client = address
            chain.append(address)
            if not self.contains(address):
                break
        return client, ", ".join(reversed(chain))


def _for(element: bytes) -> bytes:
    match = _FOR.search(element)
    return match[1].strip(b'"') if match else b"unknown"


def _address(hop: bytes) -> str | None:
    """The address in a hop, without its port; ``None`` if there is none in it."""
    text = hop.decode("latin-1")
    if "%" in text:  # a zone: an address of another host's link, with any text at all behind it
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str(getattr(ip, "ipv4_mapped", None) or ip)
