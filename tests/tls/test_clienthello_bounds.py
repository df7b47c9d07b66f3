"""What is read of a ClientHello is bounded."""

from __future__ import annotations

import pytest

from edgenode.tls.clienthello import MAX_SIZE, MOST_BYTES, MOST_RECORDS, ClientHelloReader, MalformedClientHello


def hello(ciphers: int, padding: int, size: int = 2**14, session: int = 0, methods: int = 1) -> bytes:
    """A ClientHello with so many cipher suites, and padding (RFC 7685), in records of so many bytes."""
    suites = b"".join(number.to_bytes(2, "big") for number in range(ciphers))
    body = b"\x03\x03" + bytes(32) + bytes([session]) + bytes(session) + len(suites).to_bytes(2, "big") + suites
    body += bytes([methods]) + bytes(methods)
    body += (padding + 4).to_bytes(2, "big") + b"\0\x15" + padding.to_bytes(2, "big") + bytes(padding)
    message = b"\1" + len(body).to_bytes(3, "big") + body
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def test_the_largest_hello_that_there_can_be_is_read() -> None:
    """Every length in it is at its end: 128 KiB and 328 bytes. OpenSSL takes as many."""
    largest = hello(0x7FFF, 0xFFFB, session=32, methods=255)
    assert len(largest) == MAX_SIZE + 5 * 9
    assert MAX_SIZE == 131_396 + 4
    assert not isinstance(ClientHelloReader().read(largest), int)


def test_one_that_says_that_it_is_larger_is_refused_by_its_header() -> None:
    """None of it need be there."""
    for size, refused in ((MAX_SIZE - 4, False), (MAX_SIZE - 3, True)):
        data = b"\x16\x03\x01\0\4\1" + size.to_bytes(3, "big")
        if refused:
            with pytest.raises(MalformedClientHello):
                ClientHelloReader().read(data)
        else:
            assert ClientHelloReader().read(data) == len(data) + 5


def test_the_number_of_records_is_bounded() -> None:
    """Each costs OpenSSL as much as a long one."""
    padding = MOST_RECORDS - (len(hello(1, 0)) - 5)
    assert not isinstance(ClientHelloReader().read(hello(1, padding, 1)), int)
    with pytest.raises(MalformedClientHello):
        ClientHelloReader().read(hello(1, padding + 1, 1))


def test_no_more_is_ever_asked_for_than_is_looked_at() -> None:
    """The last record may begin one byte before the end, whatever the others hold."""
    assert MOST_BYTES == MAX_SIZE + 5 * MOST_RECORDS
