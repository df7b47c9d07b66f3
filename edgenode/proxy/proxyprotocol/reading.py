"""A header of the PROXY protocol, read from the first bytes of a connection.

Law: a header is whole and well-formed, or it is refused with a reason; it is told apart from one that is not all there
yet; every length is checked against what holds it, and nothing that is said twice is believed. Source: HAProxy's
``doc/proxy-protocol.txt``.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable, Mapping
from socket import AF_INET, AF_INET6, inet_ntoa, inet_ntop, inet_pton
from types import MappingProxyType
from typing import Any

from edgenode.model.exchange import Address
from edgenode.model.proxy_protocol import ProxiedTLS, ProxyHeader
from edgenode.proxy.proxyprotocol.crc32c import crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""What version 2 begins with."""

MOST_BYTES = 16 * 1024
"""The longest header of version 2 that is read; with the client's whole certificate one has some 2 KiB."""

_LONGEST_LINE = 107
"""Of version 1, with its line end."""

_NAME = b"PROXY "
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: .*)?|TCP(?:(4) ([0-9.]{7,15}) ([0-9.]{7,15})|6 ([0-9A-Fa-f:.]{2,45}) ([0-9A-Fa-f:.]{2,45})) "
    rb"(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n",
    re.DOTALL,
)

_START = 16
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_LENGTHS: Mapping[int, int] = MappingProxyType(
    {0x00: 0, _TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
)
"""The length of the addresses for each family and protocol that there is."""

ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL = 0x01, 0x02, 0x03, 0x05, 0x20
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23
_AWS_VPC_ENDPOINT, _AZURE_LINK_ID = 0xEA01, 0xEE01
_READ = frozenset((ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL, _AWS_VPC_ENDPOINT, _AZURE_LINK_ID))
_READ_OF_SSL = frozenset((SSL_VERSION, SSL_CN, SSL_CIPHER))
_OWN = range(0xE0, 0xF0)
"""Types of applications' own; those of clouds begin their values with a type again."""

_header: Callable[[tuple[Any, ...]], ProxyHeader] = functools.partial(tuple.__new__, ProxyHeader)
"""What ``ProxyHeader`` does, without a call of Python."""

_NOTHING_MORE = ProxyHeader(2)[3:]
_MAPPED = b"\0" * 10 + b"\xff\xff"
_start = struct.Struct(">12sBBH").unpack_from
_ipv4 = struct.Struct(">4s4sHH").unpack_from
_ipv6 = struct.Struct(">16s16sHH").unpack_from
_ssl = struct.Struct(">BI").unpack_from


class MalformedProxyHeader(Exception):
    """What came is no header of the PROXY protocol; it says why in a few words."""


def read_header(data: bytes) -> tuple[ProxyHeader, int] | int:
    """Read a header.

    :param data: all bytes received so far, from the very first.
    :returns: the header and its length; or how many bytes are needed at least, if it is not all there.
    :raises MalformedProxyHeader: if there is none, or not a good one.
    """
    if data[:1] != b"\r":
        return _read_line(data)
    if len(data) < _START:
        if not SIGNATURE.startswith(data[:12]):
            raise MalformedProxyHeader("neither version 1 nor 2")
        return _START
    signature, command, family, length = _start(data)
    if signature != SIGNATURE:
        raise MalformedProxyHeader("neither version 1 nor 2")
    if command != _PROXY and command != _LOCAL:
        raise MalformedProxyHeader("an unknown version or command")
    size: int = _START + length
    if size > MOST_BYTES:
        raise MalformedProxyHeader(f"longer than {MOST_BYTES} bytes")
    if len(data) < size:
        return size
    if command == _LOCAL:
        return ProxyHeader(2), size
    addresses = _LENGTHS.get(family)
    if addresses is None:
        raise MalformedProxyHeader("an unknown family or protocol")
    if length < addresses:
        raise MalformedProxyHeader("its addresses go beyond its end")
    source = destination = None
    if family == _TCP4:
        sender, receiver, port, own = _ipv4(data, _START)
        source, destination = Address(inet_ntoa(sender), port), Address(inet_ntoa(receiver), own)
    elif family == _TCP6:
        sender, receiver, port, own = _ipv6(data, _START)
        source, destination = Address(_text(sender), port), Address(_text(receiver), own)
    if length == addresses:
        return _header((2, source, destination, *_NOTHING_MORE)), size
    return _with_vectors(source, destination, data[:size], _START + addresses), size


def _read_line(data: bytes) -> tuple[ProxyHeader, int] | int:
    """The same of version 1."""
    end = data.find(b"\n", 0, _LONGEST_LINE) + 1
    if not end:
        if len(data) >= _LONGEST_LINE or not (data.startswith(_NAME) or _NAME.startswith(data)):
            raise MalformedProxyHeader(
                f"no line of up to {_LONGEST_LINE} bytes" if data.startswith(_NAME) else "neither version 1 nor 2"
            )
        return len(data) + 1
    line = _LINE.fullmatch(data, 0, end)
    if line is None:
        raise MalformedProxyHeader("a malformed line" if data.startswith(_NAME) else "neither version 1 nor 2")
    version4, from4, to4, from6, to6, from_port, to_port = line.groups()
    if from_port is None:
        return ProxyHeader(1), end
    port, own = int(from_port), int(to_port)
    if port > 65535 or own > 65535:
        raise MalformedProxyHeader("a port beyond 65535")
    try:
        if version4:
            source, destination = from4.decode(), to4.decode()
            inet_pton(AF_INET, source)
            inet_pton(AF_INET, destination)
        else:
            source, destination = _text(inet_pton(AF_INET6, from6.decode())), _text(inet_pton(AF_INET6, to6.decode()))
    except OSError:
        raise MalformedProxyHeader("a malformed address") from None
    return ProxyHeader(1, Address(source, port), Address(destination, own)), end


def _text(address: bytes) -> str:
    """An IPv6 address in text; an IPv4-mapped one as IPv4."""
    return inet_ntoa(address[12:]) if address.startswith(_MAPPED) else inet_ntop(AF_INET6, address)


def _with_vectors(source: Address | None, destination: Address | None, data: bytes, at: int) -> ProxyHeader:
    """The header with what its vectors say.

    :param data: the whole header.
    :param at: where they begin.
    """
    found = _vectors(data, at, _READ)
    if CRC32C in found:
        _check(data, at, found[CRC32C])
    unique_id = found.get(UNIQUE_ID, b"")
    if len(unique_id) > 128:
        raise MalformedProxyHeader("a unique id of more than 128 bytes")
    link, tls = found.get(_AZURE_LINK_ID), found.get(SSL)
    if link is not None and len(link) != 5:
        raise MalformedProxyHeader("a link id that has not 4 bytes")
    return ProxyHeader(
        2, source, destination, found.get(ALPN, b""), found.get(AUTHORITY, b""), unique_id,
        None if tls is None else _read_ssl(tls), found.get(_AWS_VPC_ENDPOINT, b"")[1:],
        None if link is None else int.from_bytes(link[1:], "little"),
    )  # fmt: skip


def _vectors(data: bytes, at: int, wanted: frozenset[int]) -> dict[int, bytes]:
    """The values of those types that are read, by their type."""
    found: dict[int, bytes] = {}
    end = len(data)
    while at < end:
        start = at + 3
        if start > end:
            raise MalformedProxyHeader("a vector goes beyond its end")
        kind, at = data[at], start + (data[at + 1] << 8 | data[at + 2])
        if at > end:
            raise MalformedProxyHeader("a vector goes beyond its end")
        if kind in _OWN and at > start:
            kind = kind << 8 | data[start]
        if kind in wanted:
            if kind in found:
                raise MalformedProxyHeader(f"the vector 0x{kind:02x} is repeated")
            found[kind] = data[start:at]
    return found


def _read_ssl(value: bytes) -> ProxiedTLS:
    if len(value) < 5:
        raise MalformedProxyHeader("a vector of TLS of less than 5 bytes")
    flags, verify = _ssl(value)
    found = _vectors(value, 5, _READ_OF_SSL)
    return ProxiedTLS(flags, verify, found.get(SSL_VERSION, b""), found.get(SSL_CN, b""), found.get(SSL_CIPHER, b""))


def _check(data: bytes, at: int, checksum: bytes) -> None:
    """Check the checksum, which is over the header with zeros in its place.

    :param at: where the vectors begin.
    """
    if len(checksum) != 4:
        raise MalformedProxyHeader("a checksum that has not 4 bytes")
    while data[at] != CRC32C:
        at += 3 + (data[at + 1] << 8 | data[at + 2])
    if crc32c(b"%b\0\0\0\0%b" % (data[: at + 3], data[at + 7 :])) != int.from_bytes(checksum):
        raise MalformedProxyHeader("the checksum is wrong")
