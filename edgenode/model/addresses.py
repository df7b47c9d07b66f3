"""Addresses of TCP connections."""

from __future__ import annotations

import ipaddress
from typing import Self

from attrs import frozen


@frozen
class Address:
    """An IP address and a port.

    :ivar host: the address in text: dotted IPv4, or RFC 5952 IPv6. IPv4-mapped IPv6 is written as IPv4.
    :ivar port: the TCP port.
    """

    host: str
    port: int

    @classmethod
    def of(cls, host: str, port: int) -> Self:
        """The address of a socket, whose host may have a zone or be an IPv4-mapped one.

        :raises ValueError: if the host is no IP address.
        """
        ip = ipaddress.ip_address(host.partition("%")[0])
        return cls(str(getattr(ip, "ipv4_mapped", None) or ip), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
