"""Proxies in front of us, and what they report of the client (RFC 7239; X-Forwarded-For by custom).

Law: a report is believed as far as trusted hands wrote it. The list is walked from right to left, up to and including
the first address that is not a trusted proxy's: whoever that is could write what he liked at its left. If a trusted
hand wrote no address, nobody knows the client, and the proxy is not taken for it. One header
counts, the one that the proxies write; they may pass the client's own other one on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping

from edgenode.model.exchange import UNKNOWN_CLIENT

X_FORWARDED_FOR = "x-forwarded-for"
FORWARDED = "forwarded"

_PAIR = rb"""([!#$%&'*+.^_`|~0-9A-Za-z-]++)=("(?:[^"\\]|\\.)*+"|[^\s",;\\]*+)"""
_PAIRS = re.compile(_PAIR)
_ELEMENT = re.compile(rb"[ \t]*+(?:%b)?+(?:[ \t]*+;[ \t]*+(?:%b)?+)*+[ \t]*+" % (_PAIR, _PAIR))  # RFC 7239, section 4
_PORT = r"(?::(?:[0-9]{1,5}|_[\w.-]+))?"
_NODE = re.compile(rf"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)){_PORT}|([0-9A-Fa-f:.]+)", re.ASCII)  # RFC 7239, section 6


class TrustedProxies:
    """The networks of the proxies in front of us.

    :param networks: CIDR networks.
    :param header: the header in which they report the client: :data:`X_FORWARDED_FOR` or :data:`FORWARDED`.
    """

    def __init__(self, networks: Iterable[str], header: str = X_FORWARDED_FOR) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self.header = header

    def contains(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        if not self._networks:
            return False
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._networks)

    def walk(self, peer: str, fields: Mapping[bytes, tuple[bytes, ...]]) -> tuple[str, str]:
        """The client, :data:`~edgenode.model.exchange.UNKNOWN_CLIENT` if no address is reported of it, and the
        X-Forwarded-For to send on: the part of the list that is believed, the client first.

        :param peer: the address of a trusted proxy.
        :param fields: the header fields of the request.
        """
        values = fields.get(self.header.encode("ascii"), ())
        read = _reported if self.header == FORWARDED else _listed
        return self._walk(peer, (hop for value in reversed(values) for hop in read(value)))

    def _walk(self, peer: str, hops: Iterator[bytes]) -> tuple[str, str]:
        client, chain = peer, [peer]
        for hop in hops:
            client = _address(hop)
            chain.append(client)
            if client == UNKNOWN_CLIENT or not self.contains(client):
                break
        return client, ", ".join(reversed(chain))


def _listed(value: bytes) -> Iterator[bytes]:
    """The hops in a value of X-Forwarded-For, the last first."""
    return filter(None, map(bytes.strip, reversed(value.split(b","))))


def _reported(value: bytes) -> Iterator[bytes]:
    """The hops in a value of Forwarded, the last first."""
    end = len(value)
    comma = end
    while comma >= 0:
        # From the right, for what the client wrote at the left may lack the end of a string. No comma within a whole
        # string begins an element: the quotes that follow in it stand behind a backslash.
        comma = value.rfind(b",", 0, comma)
        if not _ELEMENT.fullmatch(value, comma + 1, end):
            continue
        element, end = value[comma + 1 : end], comma
        if element.strip():
            yield next(
                (node.strip(b'"') for name, node in _PAIRS.findall(element) if name.lower() == b"for"), b"unknown"
            )
    if end >= 0:
        yield b"unknown"


def _address(hop: bytes) -> str:
    """The address in a hop, without its port; that of nobody if there is none in it, and not that of the proxy: what is
    let in from the proxy's network would be open to everybody."""
    node = _NODE.fullmatch(hop.decode("latin-1"))
    if node is None:  # as with a zone: an address of another host's link, with any text at all behind it
        return UNKNOWN_CLIENT
    bracketed, version4, version6 = node.groups()
    try:
        ip = ipaddress.IPv4Address(version4) if version4 else ipaddress.IPv6Address(bracketed or version6)
    except ValueError:
        return UNKNOWN_CLIENT
    return str(getattr(ip, "ipv4_mapped", None) or ip)
