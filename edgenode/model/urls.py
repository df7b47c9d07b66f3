"""The addresses of documents that the node fetches: ``https://HOST[:PORT]/PATH[?QUERY]``."""

from __future__ import annotations

import ipaddress
import re

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import check_dns_name

_ADDRESS = re.compile(r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?((?:[/?][!-~]*)?)", re.IGNORECASE)


@frozen
class Address:
    """An address in its parts.

    :ivar host: a name or an address in lower case; IPv6 without brackets.
    :ivar port: the TCP port.
    :ivar url: the whole of it, as it was written.
    """

    host: str
    port: int
    url: str


def read_address(text: str) -> Address:
    """Read an address.

    :raises InvalidValue: if it is none, or one of those with more in it: a password, a fragment.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise InvalidValue("expected https://HOST/PATH, without spaces, password or fragment", 0)
    host, port, rest = match.groups()
    if "#" in rest:
        raise InvalidValue("an address to fetch has no fragment", text.index("#"))
    if port and not 0 < int(port) < 65536:
        raise InvalidValue("a port is a number from 1 to 65535", match.start(2))
    host = host.lower()
    try:
        _check_host(host)
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, match.start(1) + (problem.column or 0)) from None
    return Address(host.strip("[]"), int(port or 443), text)


def _check_host(host: str) -> None:
    number = host.startswith("[") or host.rstrip(".").rpartition(".")[2].isdigit()  # no name ends so: it is an address
    if not number:
        check_dns_name(host, "host name", "a host name or an IP address")
        return
    try:
        ipaddress.IPv6Address(host[1:-1]) if host.startswith("[") else ipaddress.IPv4Address(host)
    except ValueError:
        raise InvalidValue("expected a host name or an IP address", 0) from None
