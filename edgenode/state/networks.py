"""Values by the networks that they are: an address is looked up in those that contain it, in a step for each length of
prefix that there is.

Law: IPv4 addresses in the form ``::ffff:192.0.2.1`` are those of IPv4.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_BITS = {4: 32, 6: 128}
_MAPPED = 0xFFFF << 32


def network_of(text: str) -> tuple[int, int, int] | None:
    """Version, length of the prefix and its bits of an address or a network; ``None`` if it is neither."""
    address, slash, length = text.partition("/")
    try:
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address))
    except (OSError, ValueError):
        return None
    version = 6 if ":" in address else 4
    bits = _BITS[version]
    if slash:
        if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= bits):
            return None
        prefix = int(length)
    else:
        prefix = bits
    if version == 6 and prefix >= 96 and number >> 32 == 0xFFFF:
        version, prefix, bits, number = 4, prefix - 96, 32, number - _MAPPED
    return version, prefix, number >> (bits - prefix)


def written(text: str) -> str:
    """An address or a network as it is written canonically: ``192.0.2.7``, ``2001:db8::/64``; others as they are."""
    found = network_of(text)
    if found is None:
        return text
    version, prefix, number = found
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    address = kind(number << (_BITS[version] - prefix))
    return f"{address}/{prefix}" if prefix < _BITS[version] else str(address)


class Networks(Generic[T]):
    """What belongs to networks, by network."""

    def __init__(self) -> None:
        self._found: dict[int, dict[int, dict[int, T]]] = {4: {}, 6: {}}

    def put(self, text: str, value: T) -> None:
        """Add what belongs to a network, in the place of what did."""
        found = network_of(text)
        if found is not None:
            version, prefix, number = found
            self._found[version].setdefault(prefix, {})[number] = value

    def remove(self, text: str) -> None:
        """Take out what belongs to a network."""
        found = network_of(text)
        if found is not None:
            version, prefix, number = found
            of_length = self._found[version].get(prefix, {})
            of_length.pop(number, None)
            if not of_length:
                self._found[version].pop(prefix, None)

    def containing(self, text: str) -> Iterator[T]:
        """All that belongs to networks that contain an address, or a network."""
        found = network_of(text)
        if found is not None:
            version, longest, number = found
            for prefix, of_length in self._found[version].items():
                if prefix <= longest and (value := of_length.get(number >> (longest - prefix))) is not None:
                    yield value
