"""Networks and addresses, as rules compare them.

Law: an IPv4-mapped IPv6 address is the IPv4 address it maps, in rules and in what is judged, so neither spelling
passes a rule on the other.
"""

from __future__ import annotations

import ipaddress
import re

from edgenode.errors import InvalidValue

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_PREFIX = re.compile(r"[0-9]{1,3}", re.ASCII)


def network(text: str) -> IPNetwork:
    """Read an address or a CIDR network; a bare address is its /32 or /128.

    :raises InvalidValue: if it is neither, or has host bits set; the sentence then names the network.
    """
    address, slash, prefix = text.partition("/")
    behind = len(address) + 1
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise InvalidValue("expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", 0) from None
    if "%" in address:
        raise InvalidValue("an address in a rule has no zone", address.index("%"))
    if slash and (not _PREFIX.fullmatch(prefix) or int(prefix) > parsed.max_prefixlen):
        raise InvalidValue(f"the length of the prefix is a number from 0 to {parsed.max_prefixlen}", behind)
    found = ipaddress.ip_network(text, strict=False)
    if found.network_address != parsed:
        raise InvalidValue(f"host bits are set: the network is {found}", behind)
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
    return found


def address(text: str) -> tuple[int, int]:
    """The version of an address, 4 or 6, and its number.

    :raises ValueError: if it is no address.
    """
    parsed = ipaddress.ip_address(text)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.version, int(parsed)
