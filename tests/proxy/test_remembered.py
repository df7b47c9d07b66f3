"""What is remembered of clients' bytes is bounded in size, not only in number."""

from __future__ import annotations

import pytest

from edgenode.proxy import headers
from edgenode.proxy.http1 import fields, requestheads, responseheads
from edgenode.proxy.http1.requestheads import Limits, read_request_head
from edgenode.proxy.http1.responseheads import read_response_head
from edgenode.tls.clienthello import MalformedClientHello, read_client_hello

LIMITS = Limits(8192, 32768, 1000)


def hello(ciphers: int) -> bytes:
    """A ClientHello with so many cipher suites and nothing else."""
    suites = b"".join(number.to_bytes(2, "big") for number in range(ciphers))
    body = b"\x03\x03" + bytes(32) + b"\0" + len(suites).to_bytes(2, "big") + suites + b"\1\0"
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def test_a_hello_with_more_ciphers_than_there_are_is_refused() -> None:
    """Seven thousand suites would be remembered with their fingerprint; five hundred are more than anybody has."""
    assert not isinstance(read_client_hello(hello(512)), int)
    with pytest.raises(MalformedClientHello):
        read_client_hello(hello(513))


@pytest.mark.parametrize(
    "fields",
    [b"".join(b"a%d:\r\n" % number for number in range(100)), b"X: %b\r\n" % (b"a" * 5000)],
    ids=["many fields", "a long one"],
)
def test_only_small_header_blocks_are_remembered(fields: bytes) -> None:
    """A block of many fields, or of many bytes, is read anew each time."""
    before = requestheads._read_block.cache_info().currsize, responseheads._read_response.cache_info().currsize
    read_request_head(b"GET / HTTP/1.1\r\nHost: remembered.test\r\n" + fields + b"\r\n", LIMITS)
    read_response_head(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", b"GET")
    assert (
        requestheads._read_block.cache_info().currsize,
        responseheads._read_response.cache_info().currsize,
    ) == before


def test_a_long_connection_field_is_not_remembered() -> None:
    """Its options are computed each time."""
    before = fields._options.cache_info().currsize
    options = b",".join(b"option-%d" % number for number in range(100))
    read_request_head(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: %b\r\n\r\n" % options, LIMITS)
    assert fields._options.cache_info().currsize == before


def test_a_long_header_name_is_not_remembered() -> None:
    """Whether it crosses is worked out each time."""
    name = b"x-" + b"a" * 100
    assert headers._crosses(name)
    assert name not in headers._KNOWN
