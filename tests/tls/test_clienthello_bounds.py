"""What is read of a ClientHello is bounded."""

from __future__ import annotations

import pytest

from edgenode.tls.clienthello import MalformedClientHello, read_client_hello


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
