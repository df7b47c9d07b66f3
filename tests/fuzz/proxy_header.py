"""Any bytes are a PROXY header, the beginning of one, or refused by one name; and a slow, obvious reader agrees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgenode.model.exchange import Address
from edgenode.proxy.proxyprotocol.reading import MOST_BYTES, MalformedProxyHeader, read_header
from edgenode.proxy.proxyprotocol.writing import vector, version1, version2
from tests.support.proxy_headers import slow

FOUR = Address("192.0.2.7", 50000), Address("198.51.100.1", 443)
SIX = Address("2001:db8::7", 50000), Address("2001:db8::1", 443)
TLS = vector(0x20, b"\7\0\0\0\0" + vector(0x21, b"TLSv1.3") + vector(0x22, b"alice") + vector(0x23, b"AES"))
ALL = (
    vector(1, b"h2")
    + vector(2, b"shop.test")
    + vector(4, b"\0\0")
    + vector(5, b"id")
    + TLS
    + vector(0xEA, b"\1vpce-1")
    + vector(0xEA, b"\2x")
    + vector(0xEE, b"\1\2\0\0\0")
)


def check(data: bytes) -> None:
    """Read it whole, cut short, and slowly."""
    told = _read(data)
    if isinstance(told, int):
        assert len(data) < told <= MOST_BYTES + 16
    for size in {len(data) // 2, max(len(data) - 1, 0), min(15, len(data))}:
        earlier = _read(data[:size])
        assert isinstance(earlier, int) or earlier == told
    if isinstance(told, tuple):
        said, size = told
        assert slow(data[:size]) == said
        assert _read(data[:size] + b"PROXY ") == told
    elif isinstance(told, str):
        assert slow(data) is None


def _read(data: bytes) -> int | str | tuple[dict[str, Any], int]:
    """How many bytes are needed, a text that says what is wrong, or what was read."""
    try:
        found = read_header(data)
    except MalformedProxyHeader as error:
        return str(error)
    if isinstance(found, int):
        return found
    header, size = found
    said = {name: value for name, value in header._asdict().items() if value is not None and value != b""}
    for name in ("source", "destination"):
        if name in said:
            said[name] = (said[name].host, said[name].port)
    if "tls" in said:
        said["tls"] = tuple(said["tls"])
    return said, size


def seeds() -> Iterator[bytes]:
    """Headers of both versions, and what is wrong by little."""
    yield from (version1(*FOUR), version1(*SIX), version2(*FOUR), version2(*SIX, ALL), version2(*FOUR, ALL, True))
    yield from (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN x y\r\n", b"PROXY TCP4 1.2.3.4 01.2.3.4 1 2\r\n", b"PROXY ", b"")
    yield from (
        b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 +5 1\r\n",
        b"GET / HTTP/1.1\r\n",
    )
    whole = version2(*FOUR, ALL, True)
    yield from (whole[:-1] + b"\0", whole[:15] + b"\xff" + whole[16:], whole[:12] + b"\x20" + whole[13:], whole[:20])
    yield version2(*FOUR, vector(2, b"a") + vector(2, b"b"))
    yield version2(*FOUR, b"\x02\0\x05abc")
