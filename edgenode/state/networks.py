"""Values by the networks that they are: an address is looked up in those that contain it, in a step for each length of
prefix that there is.

Law: IPv4 addresses in the form ``::ffff:192.0.2.1`` are those of IPv4.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Generic, TypeVar

T = TypeVar("T")

_BITS = {4: 32, 6: 128}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_MAPPED = bytes(10) + b"\xff\xff"
_packed = socket.inet_pton


def network_of(text: str) -> tuple[int, int, int] | None:
    """Version, length of the prefix and its bits of an address or a network; ``None`` if it is neither."""
    address, slash, length = text.partition("/")
    try:
        version = 6 if ":" in address else 4
        number = int.from_bytes(_packed(_FAMILY[version], address))
    except (OSError, ValueError):
        return None
    bits = _BITS[version]
    if slash:
        if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= bits):
            return None
        prefix = int(length)
    else:
        prefix = bits
    if version == 6 and prefix >= 96 and number >> 32 == 0xFFFF:
        version, prefix, bits, number = 4, prefix - 96, 32, number & 0xFFFFFFFF
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
        self._steps: dict[int, tuple[tuple[int, dict[int, T]], ...]] = {4: (), 6: ()}

    def put(self, text: str, value: T) -> None:
        """Add what belongs to a network, in the place of what did."""
        found = network_of(text)
        if found is not None:
            version, prefix, number = found
            lengths = self._found[version]
            if prefix not in lengths:
                lengths[prefix] = {}
                self._lay_out(version)
            lengths[prefix][number] = value

    def remove(self, text: str) -> None:
        """Take out what belongs to a network."""
        found = network_of(text)
        if found is not None:
            version, prefix, number = found
            of_length = self._found[version].get(prefix, {})
            of_length.pop(number, None)
            if not of_length and self._found[version].pop(prefix, None) is not None:
                self._lay_out(version)

    def containing(self, text: str) -> list[T]:
        """All that belongs to networks that contain an address, or a network; asked for every request."""
        version, longest = (6, 128) if ":" in text else (4, 32)
        try:
            packed = _packed(_FAMILY[version], text)
        except (OSError, ValueError):
            network = network_of(text)
            if network is None:
                return []
            version, longest, number = network
        else:
            if packed.startswith(_MAPPED):
                version, longest, packed = 4, 32, packed[12:]
            number = int.from_bytes(packed)
        values = []
        for prefix, of_length in self._steps[version]:
            if prefix <= longest and (value := of_length.get(number >> (longest - prefix))) is not None:
                values.append(value)
        return values

    def _lay_out(self, version: int) -> None:
        self._steps[version] = tuple(self._found[version].items())
