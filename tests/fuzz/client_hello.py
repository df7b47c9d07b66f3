"""Any bytes are a ClientHello, the beginning of one, or refused by one of two names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgenode.tls.clienthello import MOST_BYTES, ClientHelloReader, MalformedClientHello, NotTLS
from tests.tls.test_clienthello import extension, hello, numbers, openssl, record, server_name, split, vector

_JA4 = re.compile(r"t(?:1[0-3]|s3|00)[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}")
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")


def check(data: bytes) -> None:
    """Read it whole, and cut short: what has been refused or read once is not judged otherwise with more bytes."""
    told = _read(data)
    if isinstance(told, int):
        assert len(data) < told <= MOST_BYTES
    for size in {len(data) // 2, max(len(data) - 1, 0), min(5, len(data))}:
        earlier = _read(data[:size])
        assert isinstance(earlier, int) or earlier == told
        if isinstance(earlier, int) and isinstance(told, int):
            assert earlier <= told


def _read(data: bytes) -> int | str:
    """How many bytes are needed, or a text that says what was read."""
    try:
        found = ClientHelloReader().read(data)
    except (NotTLS, MalformedClientHello) as error:
        return repr(error)
    if isinstance(found, int):
        return found
    assert _JA4.fullmatch(found.fingerprint)
    assert found.server_name is None or _NAME.fullmatch(found.server_name)
    assert all(found.alpn)
    return repr(found)


def seeds() -> Iterator[bytes]:
    """ClientHellos, whole, in parts, and of OpenSSL's own."""
    own = openssl(b"open.test", b"h2", b"http/1.1")
    versions = extension(43, vector(numbers(0x0304, 0x0303, 0x0A0A), 1))
    yield from (own, split(own, 7), own[:100], openssl(None), hello(), hello(server_name(b"a.test"), versions))
    yield from (hello(tail=b"x"), record(b"\x01\0\0\0"), record(b"\x02\0\0\0"), b"GET / HTTP/1.1\r\n", b"\x16\x03", b"")
    yield from (
        b"\x15\3\3\0\2\1\0",
        b"\x16\3\1\x40\1",
        split(hello(extension(21, bytes(2100))), 1),
        record(b"\1\2\2\0"),
    )
    yield hello(extension(13, vector(numbers(0x0403, 0x0804), 2)), extension(16, vector(vector(b"h2", 1), 2)))
