"""What is read of a ClientHello is bounded."""

from __future__ import annotations

import pytest

from edgenode.tls.clienthello import ClientHello, MalformedClientHello, read_client_hello


def hello(ciphers: int, padding: int = 0) -> bytes:
    """A ClientHello with so many cipher suites, and padding (RFC 7685) if it is to have some."""
    suites = b"".join(number.to_bytes(2, "big") for number in range(ciphers))
    body = b"\x03\x03" + bytes(32) + b"\0" + len(suites).to_bytes(2, "big") + suites + b"\1\0"
    if padding:
        body += (padding + 4).to_bytes(2, "big") + b"\0\x15" + padding.to_bytes(2, "big") + bytes(padding)
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def test_a_hello_with_more_ciphers_than_there_are_is_refused() -> None:
    """Seven thousand suites would be remembered with their fingerprint; five hundred are more than anybody has."""
    assert not isinstance(read_client_hello(hello(512)), int)
    with pytest.raises(MalformedClientHello):
        read_client_hello(hello(513))


def test_a_hello_has_at_most_16_kib() -> None:
    """The record that holds it counts with its header, and the largest is read."""
    largest = 16 * 1024
    padding = largest - len(hello(1, 1)) + 1
    assert len(hello(1, padding)) == largest
    assert isinstance(read_client_hello(hello(1, padding)), ClientHello)
    with pytest.raises(MalformedClientHello):
        read_client_hello(hello(1, padding + 1))
    with pytest.raises(MalformedClientHello):
        read_client_hello(hello(1, padding + 1)[:5])
